/*
 * configuration.h
 *	  What the server's configuration says, whatever a session has made of it.
 */
#ifndef DWF_CONFIGURATION_H
#define DWF_CONFIGURATION_H

#include "base/compat.h"

/* The settings that decide where requests go. */
typedef enum DwfTarget
{
	DWF_TARGET_BASE_URL,
	DWF_TARGET_CA_FILE,
	DWF_TARGET_INSTANCE,
	DWF_TARGET_PROXY
} DwfTarget;

#define DWF_TARGETS	(DWF_TARGET_PROXY + 1)

/*
 * To be called by the assign hooks of these settings: what a postmaster that
 * preloads the library is given is the configuration.  Cannot fail.
 */
extern void dwf_configuration_note(DwfTarget target, const char *value,
								   GucSource source);

/*
 * To be called once, when the settings have been defined.  In a session that
 * loads the library by itself, a client may have set any of them before, when
 * they were placeholders; PostgreSQL drops what it was not allowed to set, and
 * with it the configuration's value.  Puts that back.
 */
extern void dwf_configuration_restore(void);

/*
 * The setting that sends requests elsewhere than the configuration says
 * ("domowf.base_url"), or NULL; `values` are the settings as they are now, none
 * NULL.  Configured secrets go only where the configuration points: a token and
 * the host that it goes to are one privilege.  What `trusting`, or who may
 * become that role, has set does not count; InvalidOid: everybody's does.
 * Raises 55000 where the configuration cannot be read.
 */
extern const char *dwf_configuration_diverted_by(const char *const values[DWF_TARGETS],
												 Oid trusting);

/*
 * The role that has set what a setting of domowf's is now, whoever's session it
 * is: of a function with SECURITY DEFINER that is its owner.  A superuser's is
 * what the configuration says.  InvalidOid: nobody knows (stored.h).
 */
extern Oid	dwf_configuration_setter(const char *name);

#endif							/* DWF_CONFIGURATION_H */
