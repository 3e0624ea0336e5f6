/*
 * care.c
 *	  What the worker does for the tables at times.
 *
 * What reads a whole table, or past rows that are dead and cannot be removed,
 * is done the more seldom the longer it takes.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/shared.h"
#include "base/testpoint.h"
#include "queue/counter.h"
#include "queue/hold.h"
#include "queue/recount.h"
#include "queue/retention.h"
#include "queue/upkeep.h"
#include "registry/granted.h"
#include "worker/care.h"
#include "worker/progress.h"
#include "worker/upkeep_process.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

/* Rows that are touched at a time. */
#define CARE_BATCH		1000

/* What takes no longer is done by the worker itself, usec. */
#define AT_HAND			5000

/* Longer queues it does not count: they may have grown since the last time. */
#define ROWS_AT_HAND	2000

/* A process is not started more often for that, usec. */
#define START_INTERVAL	USECS_PER_SEC

/* Rows of the log that it removes itself at a time. */
#define REMOVED_AT_HAND	100

/* To count the queue takes at most 1/100 of the time. */
#define COUNT_SHARE		100

/* To fold what was counted takes at most 1/100. */
#define FOLD_SHARE		100

/* When to try again what did not work. */
#define FOLD_AGAIN		USECS_PER_SEC

/* Looking for old rows of the log takes at most 1/100. */
#define REMOVAL_SHARE	100

static void do_apart(DwfCare *care, DwfWriting *writing, DwfTask task,
					 void (*work) (void *arg));
static void hold_and_follow(void *arg);
static void expire(void *arg);
static void count_queue(void *arg);
static void fold(void *arg);
static void remove_old(void *arg);
static bool remove_some(DwfCare *care);
static void note_process(DwfCare *care, DwfSteady now);

void
dwf_care_take(DwfCare *care, DwfWriting *writing, DwfSteady now)
{
	care->more = care->has_failed = false;
	do_apart(care, writing, DWF_TASK_HOLD, hold_and_follow);
	do_apart(care, writing, DWF_TASK_CARE, expire);
	if (now >= care->next_count)
		do_apart(care, writing, DWF_TASK_RECOUNT, count_queue);
	if (dwf_log_retention <= 0)
	{
		dwf_retention_keep_all();
		dwf_shared_note_removal(MyDatabaseId, 0);
	}
	else if (now >= care->next_removal)
		do_apart(care, writing, DWF_TASK_REMOVE, remove_old);
	note_process(care, now);
}

/* It ends, and is started again, and again: that is a stall. */
static void
note_process(DwfCare *care, DwfSteady now)
{
	int			code = dwf_shared_removal_failed();

	if (code == 0)
	{
		if (care->failing_since != 0)
			dwf_progress_set(DWF_TASK_REMOVE, 0);
		care->failing_since = 0;
		return;
	}
	if (care->failing_since == 0)
		care->failing_since = now;
	dwf_progress_set(DWF_TASK_REMOVE, care->failing_since);
	dwf_progress_note_refusal(DWF_TASK_REMOVE, code,
							  "its process has failed, see the server's log");
}

static void
do_apart(DwfCare *care, DwfWriting *writing, DwfTask task,
		 void (*work) (void *arg))
{
	if (!dwf_writing_do(writing, task, work, care))
		care->has_failed = true;
}

static void
hold_and_follow(void *arg)
{
	dwf_hold_try_again();
	dwf_granted_follow();
}

static void
expire(void *arg)
{
	DwfCare    *care = arg;

	care->more |= dwf_upkeep_expire(GetCurrentTimestamp(), CARE_BATCH);
}

/* By the other process where it took long the last time, or will now. */
static void
count_queue(void *arg)
{
	DwfCare    *care = arg;
	DwfSteady	start = dwf_clock_now();
	int64		took = dwf_shared_count_took();
	bool		apart;

	apart = (took > DWF_TESTNUMBER("upkeep", AT_HAND) ||
			 dwf_shared_queue_length(MyDatabaseId) > ROWS_AT_HAND) &&
		dwf_upkeep_process_start();
	if (!apart)
		dwf_recount(true);
	care->next_count = start +
		Max(COUNT_SHARE * dwf_shared_count_took(), apart ? START_INTERVAL : 0);
}

void
dwf_care_fold(DwfCare *care, DwfWriting *writing, DwfSteady now)
{
	DwfSteady	start = dwf_clock_now();
	int64		cpu;

	if (now < care->next_fold)
		return;
	cpu = dwf_clock_cpu();
	if (dwf_writing_do(writing, DWF_TASK_COUNT, fold, NULL))
		care->next_fold = start + FOLD_SHARE * (dwf_clock_cpu() - cpu);
	else
		care->next_fold = start + FOLD_AGAIN;
}

static void
fold(void *arg)
{
	dwf_counter_fold();
}

static void
remove_old(void *arg)
{
	DwfCare    *care = arg;

	care->more |= remove_some(care);
}

/*
 * Removes old rows of the log; true: there may be more.  Where there are many,
 * the other process does.  The index by time (BRIN) knows nothing of the newest
 * rows, which are read each time, so that this is done less often where it takes
 * long.
 */
static bool
remove_some(DwfCare *care)
{
	DwfSteady	start = dwf_clock_now();
	int64		cpu = dwf_clock_cpu();
	int64		retention = dwf_log_retention * USECS_PER_MINUTE;

	if (dwf_retention_remove(GetCurrentTimestamp() - retention,
							 REMOVED_AT_HAND))
	{
		if (!dwf_upkeep_process_start())
			return true;
		care->next_removal = start + START_INTERVAL;
		return false;
	}
	dwf_shared_note_removal(MyDatabaseId, 0);
	care->next_removal = start + REMOVAL_SHARE * (dwf_clock_cpu() - cpu);
	return false;
}
