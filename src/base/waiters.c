/*
 * waiters.c
 *	  Who waits for a request, and is woken when it has been settled.
 *
 * Whoever is woken looks at his request, which costs more than its settlement
 * did: to wake all who wait each time makes a queue of many waiters slow for
 * everybody.  So there are many condition variables, and a request's id says
 * which is its own.  Ids follow each other, so that requests of the same time
 * have different ones.  Who shares one by chance looks for nothing.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/waiters.h"

#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "utils/wait_event.h"

/* A power of two. */
#define PLACES	4096

static ConditionVariable *places;	/* NULL: not preloaded */

/* A bit for each place. */
static uint64 marked[PLACES / 64];
static bool is_marked;

static int	place_of(int64 request);

void
dwf_waiters_request(void)
{
	RequestAddinShmemSpace(sizeof(ConditionVariable) * PLACES);
}

void
dwf_waiters_start(void)
{
	bool		found;

	places = ShmemInitStruct("domowf waiters",
							 sizeof(ConditionVariable) * PLACES, &found);
	for (int i = 0; !found && i < PLACES; i++)
		ConditionVariableInit(&places[i]);
}

/* Databases begin at places of their own, as all of them count from 1. */
static int
place_of(int64 request)
{
	return ((uint64) request + (uint64) MyDatabaseId * 997) % PLACES;
}

void
dwf_waiters_prepare(int64 request)
{
	if (places != NULL)
		ConditionVariablePrepareToSleep(&places[place_of(request)]);
}

void
dwf_waiters_sleep(int64 request, long timeout)
{
	if (places != NULL)
		(void) ConditionVariableTimedSleep(&places[place_of(request)], timeout,
										   dwf_wait_event_request());
	else
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 timeout, dwf_wait_event_request());
		ResetLatch(MyLatch);
	}
}

void
dwf_waiters_cancel(void)
{
	if (places != NULL)
		ConditionVariableCancelSleep();
}

void
dwf_waiters_mark(int64 request)
{
	int			place = place_of(request);

	marked[place / 64] |= UINT64CONST(1) << (place % 64);
	is_marked = true;
}

void
dwf_waiters_wake(void)
{
	if (!is_marked)
		return;
	for (int i = 0; places != NULL && i < PLACES; i++)
	{
		if (marked[i / 64] == 0)
			i += 63;			/* none of these */
		else if (marked[i / 64] & (UINT64CONST(1) << (i % 64)))
			ConditionVariableBroadcast(&places[i]);
	}
	dwf_waiters_forget();
}

void
dwf_waiters_forget(void)
{
	if (is_marked)
		memset(marked, 0, sizeof(marked));
	is_marked = false;
}
