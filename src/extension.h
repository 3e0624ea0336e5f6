/*
 * extension.h
 *	  The extension as it is installed in this database.
 */
#ifndef DWF_EXTENSION_H
#define DWF_EXTENSION_H

/*
 * The version of the extension's SQL; NULL: it is not installed.  palloc'd;
 * in a transaction.
 */
extern char *dwf_extension_version(void);

/*
 * Whether this library serves the extension as it is installed (version.h);
 * also where it is not installed.  Reads the catalog at the first call, and
 * then only when a table has changed since, which any process is told, or
 * after dwf_extension_look_again().  In a transaction: exact for a table on
 * which it holds a lock.
 */
extern bool dwf_extension_is_served(void);
extern void dwf_extension_look_again(void);

/* Why it is not served, in words.  palloc'd; in a transaction. */
extern char *dwf_extension_describe_skew(void);

#endif							/* DWF_EXTENSION_H */
