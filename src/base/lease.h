/*
 * lease.h
 *	  Things that a cache gives away, and that stay while somebody uses them.
 */
#ifndef DWF_LEASE_H
#define DWF_LEASE_H

/*
 * A thing in a memory context of its own.  It goes away, context and all, once
 * the cache has dropped it and nobody holds it.
 */
typedef struct DwfLease
{
	MemoryContext context;		/* holds the thing, this struct included */
	bool		is_dropped;		/* the cache has no use for it */
	int			users;			/* memory contexts that hold it */
} DwfLease;

/*
 * Holds a thing for as long as the current memory context lives, or until that
 * is reset.
 */
extern void dwf_lease_hold(DwfLease *lease);

/* The cache's part: it does not give the thing away any more. */
extern void dwf_lease_drop(DwfLease *lease);

#endif							/* DWF_LEASE_H */
