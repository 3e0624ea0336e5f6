/*
 * tally.h
 *	  By how much the transaction under way makes the queue longer, by role.
 */
#ifndef DWF_TALLY_H
#define DWF_TALLY_H

/*
 * Adds to the count of a role at the present nesting level.  InvalidOid stands
 * for all roles together.
 */
extern void dwf_tally_add(Oid role, int64 count);

/* The count of a role, but for what was rolled back. */
extern int64 dwf_tally_count(Oid role);

/* The tally of all levels, entry after entry: false behind the last one. */
extern bool dwf_tally_entry(int number, Oid *role, int64 *count);

/*
 * The subtransaction at a nesting level ends: its counts go to the one around
 * it, or are dropped.  Cannot fail.
 */
extern void dwf_tally_end_level(int nesting, bool keep);

/* The transaction ends.  Cannot fail. */
extern void dwf_tally_end(void);

#endif							/* DWF_TALLY_H */
