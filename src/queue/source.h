/*
 * source.h
 *	  The table whose trigger asked for a request, as requests name it.
 */
#ifndef DWF_SOURCE_H
#define DWF_SOURCE_H

/*
 * The table of a name as requests have it, whatever rights there are on its
 * schema; InvalidOid: none.
 */
extern Oid	dwf_source_find(const char *name);

/* Who owns a table now; InvalidOid: there is no such table. */
extern Oid	dwf_source_owner(Oid table);

#endif							/* DWF_SOURCE_H */
