/*
 * hung.h
 *	  Whose code hangs on domowf's objects.
 */
#ifndef DWF_HUNG_H
#define DWF_HUNG_H

/*
 * Whether code hangs on an object that would run where C code uses it, and is
 * somebody's who does not have the rights of the object's owner: what an
 * index, a constraint, a default, statistics, a trigger or rule that always
 * fires, or a view needs, functions and all that leads to functions.  Then
 * says so in words, palloc'd, with what to do.  `name` is the object's, for
 * people.
 */
extern bool dwf_hung_find_fault(Oid class, Oid oid, const char *name,
								Oid owner, char **message, char **hint);

#endif							/* DWF_HUNG_H */
