/*
 * extension.h
 *	  The extension as it is installed in this database.
 */
#ifndef DWF_EXTENSION_H
#define DWF_EXTENSION_H

typedef struct DwfExtension
{
	Oid			oid;
	Oid			owner;
	char		version[64];	/* of its SQL; '' where it is longer */
} DwfExtension;

/*
 * The extension, NULL where it is not installed.  In a transaction.  Reads the
 * catalog where what is watched (changes.h) may have changed since, or where it
 * found nothing; any process is told of a script that changes a table.  Valid
 * until the next call.
 */
extern const DwfExtension *dwf_extension_find(void);

/*
 * Whether this library serves the extension as it is installed (version.h);
 * also where it is not installed.  In a transaction: exact for a table on
 * which it holds a lock.
 */
extern bool dwf_extension_is_served(void);

/*
 * Whether its worker can send what it holds, which takes the tables of
 * DWF_OLDEST_SQL; as dwf_extension_is_served() in the rest.  Before that,
 * calls are made and requests stored.
 */
extern bool dwf_extension_can_send(void);

/* Makes both read the catalog again. */
extern void dwf_extension_look_again(void);

/*
 * Whether another one is installed than dwf_extension_find() knows, which then
 * reads the catalog again.  For who looks at an object for the first time: the
 * invalidation of a table that nobody has looked at tells nothing of an update.
 */
extern bool dwf_extension_has_changed(void);

/* Whether the SQL that is installed is of this version or a later one. */
extern bool dwf_extension_is_since(const char *version);

/* Why it cannot, and what to do.  palloc'd; in a transaction. */
extern char *dwf_extension_describe_skew(void);
extern char *dwf_extension_mend_skew(void);

/* Raises 55000 with both where an update is due before it can. */
extern void dwf_extension_require_update(void);

#endif							/* DWF_EXTENSION_H */
