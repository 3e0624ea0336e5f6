/*
 * lease.c
 *	  Things that a cache gives away, and that stay while somebody uses them.
 *
 * An invalidation can arrive wherever PostgreSQL looks something up, and what
 * a user of a cached thing calls (an output function, a call that waits for
 * Domo) may run SQL that reads the cache again.  So a plain pointer into it
 * would not do, and to copy it all for each row would cost more than the look.
 * A reset callback of a memory context gives the reference back, after errors
 * as well.
 */
#include "postgres.h"

#include "base/lease.h"

#include "utils/memutils.h"

static void give_back(void *arg);
static void free_unused(DwfLease *lease);

void
dwf_lease_hold(DwfLease *lease)
{
	MemoryContextCallback *callback = palloc(sizeof(*callback));

	callback->func = give_back;
	callback->arg = lease;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	lease->users++;
}

static void
give_back(void *arg)
{
	DwfLease   *lease = arg;

	lease->users--;
	free_unused(lease);
}

void
dwf_lease_drop(DwfLease *lease)
{
	lease->is_dropped = true;
	free_unused(lease);
}

static void
free_unused(DwfLease *lease)
{
	if (lease->users == 0 && lease->is_dropped)
		MemoryContextDelete(lease->context);
}
