/*
 * owner.h
 *	  Whose rights domowf's own tables are touched with: their owner's.
 */
#ifndef DWF_OWNER_H
#define DWF_OWNER_H

/* What dwf_owner_enter() changed. */
typedef struct DwfOwnerScope
{
	Oid			user;
	int			security;
	int			guc_level;
} DwfOwnerScope;

/*
 * Runs what follows as the owner of the queue, with a search_path and
 * replication role under which nothing of a user's runs.  Undone by
 * dwf_owner_leave(), or by the end of the (sub)transaction after an error.
 * Raises 55000 where one of domowf's objects is not right (objects.h).
 */
extern void dwf_owner_enter(DwfOwnerScope *scope);

/*
 * The same for what only reads.  Triggers and rules are none of its business, so
 * the replication role stays as it is: to set it throws away all plans of the
 * session, ours and the user's.
 */
extern void dwf_owner_enter_to_read(DwfOwnerScope *scope);

/*
 * The same for what writes into this table, and no other.  The table is locked
 * as by an INSERT, so that what hangs on it stays; the replication role is set
 * where something hangs on it that goes by it.
 */
extern void dwf_owner_enter_to_write(DwfOwnerScope *scope, const char *table);

/* The same for what needs the registry only, as its owner. */
extern void dwf_owner_enter_registry(DwfOwnerScope *scope);
extern void dwf_owner_enter_registry_to_read(DwfOwnerScope *scope);

/*
 * Raises that again, where a statement since has waited for a lock and found
 * its tables changed: to be called before its result is taken for what C code
 * expects.
 */
extern void dwf_owner_stay(void);
extern void dwf_owner_stay_registry(void);

/*
 * The worker's way: no settings, since it has its own, and to be undone by
 * dwf_owner_leave() behind the end of the transaction.
 */
extern void dwf_owner_become(DwfOwnerScope *scope);

/* Undoes dwf_owner_enter(). */
extern void dwf_owner_leave(const DwfOwnerScope *scope);

#endif							/* DWF_OWNER_H */
