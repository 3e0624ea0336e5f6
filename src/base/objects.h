/*
 * objects.h
 *	  What C code reads, writes or runs in schema domowf: the tables and the
 *	  rest, as members of the installed extension.
 *
 * An object is right where it is a member of the extension, of the kind and
 * with the columns and indexes that the script gave it, belongs to whoever has
 * the rights of the extension's owner, and nobody's code hangs on it who has
 * not (hung.h).  Nothing else is touched: a schema of this name, with tables
 * and views in it, can be made by many.
 */
#ifndef DWF_OBJECTS_H
#define DWF_OBJECTS_H

#include "base/columns.h"
#include "base/hung.h"

/* What is wrong with an object, and what to do; palloc'd, no sentences. */
typedef struct DwfObjectFault
{
	char	   *message;
	char	   *hint;
} DwfObjectFault;

/*
 * All of these are for use in a transaction, and know an object by its name in
 * schema domowf.  What was found right is known until it may have changed
 * (changes.h), and costs nothing until then; locks are not waited for.
 */

/* Its oid; InvalidOid where there is no such member of the extension. */
extern Oid	dwf_object_oid(const char *name);

/*
 * The same, and its owner where that is not NULL.  Raises 55000, with the name
 * and what to do, where it is not right.
 */
extern Oid	dwf_object_require(const char *name, Oid *owner);

/* The same, and what hangs on it.  Valid until the next look. */
extern const DwfHung *dwf_object_hung(const char *name);

/*
 * Whether it is right, or there is none in the installed version; otherwise why
 * it is not.
 */
extern bool dwf_object_is_right(const char *name, DwfObjectFault *fault);

/*
 * What the newest script makes of a table's columns, in the order of
 * columns.h, `count` of them.
 */
extern const DwfColumn *dwf_object_columns(const char *name, int *count);

/* Both for all of them. */
extern void dwf_objects_require(void);
extern bool dwf_objects_are_right(DwfObjectFault *fault);

#endif							/* DWF_OBJECTS_H */
