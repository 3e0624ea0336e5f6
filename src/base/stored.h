/*
 * stored.h
 *	  Settings that are stored for databases and roles.
 */
#ifndef DWF_STORED_H
#define DWF_STORED_H

/*
 * Whether what is stored of a setting that takes a superuser can be a superuser's
 * alone, as things are now: nobody else has the privilege to set it.
 */
extern bool dwf_stored_is_superusers(const char *name);

/*
 * Which targets are stored, and for whom, in words, palloc'd; NULL: none is.  What
 * is stored for all roles in all databases only a superuser can have.
 */
extern char *dwf_stored_list_targets(void);

#endif							/* DWF_STORED_H */
