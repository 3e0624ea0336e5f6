/*
 * changes.h
 *	  Whether what was read of the catalogs may have changed since.
 */
#ifndef DWF_CHANGES_H
#define DWF_CHANGES_H

/*
 * A number that grows with every change of what is watched.  What was read
 * while it was n, and watched before it was read, holds as long as it is n.
 */
extern uint64 dwf_changes_generation(void);

/*
 * The same for whoever is not the one that restarts (below): grows with that,
 * too.
 */
extern uint64 dwf_changes_stamp(void);

/*
 * Watches a relation and all that hangs on it, or one row of a catalog, by the
 * syscache that has its oid as key.  Roles are always watched, all of them.
 */
extern void dwf_changes_relation(Oid relation);
extern void dwf_changes_row(int cache, Oid oid);

/* Nothing is watched any more. */
extern void dwf_changes_restart(void);

/* What nobody is told of (pg_extension, pg_depend) is to be read again. */
extern void dwf_changes_look_again(void);

#endif							/* DWF_CHANGES_H */
