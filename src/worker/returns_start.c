/*
 * returns_start.c
 *	  The worker's part of returns: a process for each owner for whom something
 *	  is due.
 *
 * The worker looks when somebody tells that something is to be returned, when a
 * process has ended, and at each poll_interval.  A process ends by itself when
 * its owner has nothing left, or after a while, so that another owner can have
 * its place.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/returners.h"
#include "base/testpoint.h"
#include "queue/refused.h"
#include "queue/returns.h"
#include "worker/progress.h"
#include "worker/returns.h"
#include "worker/worker_status.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/timestamp.h"

/* Owners that are looked at: more than there are places for, to take turns. */
#define MAX_OWNERS		64

/* To look takes at most this part of the time: 1/20. */
#define LOOK_SHARE		20

/* How long to wait after a look that failed, or for a free slot, ms. */
#define PAUSE			1000

/* What a look has found. */
typedef struct Look
{
	bool		looks_after;	/* as well */
	Oid			owners[MAX_OWNERS];
	int			count;
	TimestampTz next;
} Look;

static bool is_told = true;		/* that there is something to return */
static DwfSteady again;			/* no look before */
static DwfSteady next;
static bool is_at_rest;

static void look(void *arg);
static void say_no_slot(void);
static bool start_process(Oid owner);

void
dwf_return_see_to(DwfWriting *writing, bool rests)
{
	static DwfSteady next_care = 0;
	static int	turn = 0;
	DwfSteady	now = dwf_clock_now();
	int64		cpu;
	Look		found = {0};

	is_told |= dwf_returner_take_told();
	is_at_rest = rests;
	if (!dwf_returns)
	{
		dwf_progress_drop(DWF_TASK_RETURNS);
		dwf_refused_begin(DWF_REFUSED_RETURN);
	}
	if (!dwf_returns || rests || now < again || (!is_told && now < next))
		return;
	is_told = false;
	cpu = dwf_clock_cpu();
	found.looks_after = now >= next_care;
	if (!dwf_writing_do(writing, DWF_TASK_RETURNS, look, &found))
	{
		is_told = true;
		again = TimestampTzPlusMilliseconds(now, PAUSE);
		return;
	}
	again = dwf_clock_now() + LOOK_SHARE * (dwf_clock_cpu() - cpu);
	if (found.looks_after)
		next_care = dwf_clock_next_beat(now, dwf_poll_interval);
	next = dwf_clock_next_beat(now, dwf_poll_interval);
	if (found.next != DT_NOEND)
		next = Min(next, dwf_clock_steady(found.next));
	for (int i = 0; i < found.count; i++)
	{
		Oid			owner = found.owners[(turn + i) % found.count];

		if (!dwf_returner_reserve(owner))
			continue;
		if (start_process(owner))
			continue;
		dwf_returner_give_back(owner);
		say_no_slot();
		again = TimestampTzPlusMilliseconds(now, PAUSE);
		is_told = true;
		break;
	}
	turn++;
}

DwfSteady
dwf_return_at(void)
{
	return !dwf_returns || is_at_rest ? DT_NOEND : Max(again, is_told ? 0 : next);
}

/* As the launcher does; once a minute. */
static void
say_no_slot(void)
{
	if (dwf_worker_status_may_say("no slot for returns"))
		ereport(LOG,
				(errmsg("domowf: nothing is written back from this database: no background worker is free"),
				 errhint("Increase max_worker_processes.")));
}

static void
look(void *arg)
{
	Look	   *found = arg;

	DWF_TESTPOINT("return-look");
	if (found->looks_after)
		dwf_return_look_after();
	found->count = dwf_return_find_owners(found->owners, MAX_OWNERS,
										  &found->next);
}

/* Registers a process.  False: there is no free slot. */
static bool
start_process(Oid owner)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION | DWF_BGWORKER_INTERRUPTIBLE;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "domowf", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "domowf_returns_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "domowf returns", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "domowf returns", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	memcpy(worker.bgw_extra, &owner, sizeof(owner));
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}
