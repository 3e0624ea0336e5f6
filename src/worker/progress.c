/*
 * progress.c
 *	  What the worker has to do and does not get done.
 */
#include "postgres.h"

#include "base/text.h"
#include "worker/progress.h"

#include "storage/proc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

static DwfSteady since[DWF_TASKS];	/* 0: it is done */
static bool has_obstacle;
static DwfObstacle shown;		/* the last one */

/* The lock that the last wait was for which came to nothing. */
static volatile bool has_waited;
static LOCKTAG waited_for;

static void publish(void);
static void set_obstacle(const DwfObstacle *obstacle);

void
dwf_progress_open(void)
{
	since[DWF_TASK_START] = dwf_shared_stuck_since();
	has_obstacle = true;

	/* whatever the worker before was stuck at */
	if (since[DWF_TASK_START] != 0)
		dwf_shared_set_stuck(since[DWF_TASK_START], DWF_TASK_START);
}

void
dwf_progress_begin(DwfTask task)
{
	if (since[task] == 0)
		dwf_progress_set(task, dwf_clock_now());
}

void
dwf_progress_set(DwfTask task, DwfSteady when)
{
	if (since[task] == when)
		return;
	since[task] = when;
	publish();
}

/* What waits for longest counts; what was in its way is past with the last. */
static void
publish(void)
{
	DwfTask		oldest = DWF_TASK_START;

	for (DwfTask task = DWF_TASK_START; task < DWF_TASKS; task++)
	{
		if (since[task] != 0 &&
			(since[oldest] == 0 || since[task] < since[oldest]))
			oldest = task;
	}
	dwf_shared_set_stuck(since[oldest], oldest);
	if (since[oldest] == 0 && has_obstacle)
	{
		DwfObstacle none = {0};

		set_obstacle(&none);
		has_obstacle = false;
	}
}

static void
set_obstacle(const DwfObstacle *obstacle)
{
	has_obstacle = true;
	shown = *obstacle;
	dwf_shared_set_obstacle(obstacle);
}

void
dwf_progress_drop(DwfTask task)
{
	if (since[task] != 0)
		dwf_progress_set(task, 0);
}

void
dwf_progress_note_error(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *error = CopyErrorData();
	DwfObstacle obstacle = {.code = error->sqlerrcode};

	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && has_waited)
	{
		obstacle.has_lock = true;
		obstacle.lock = waited_for;
		if (memcmp(&shown.lock, &waited_for, sizeof(LOCKTAG)) == 0)
			strlcpy(obstacle.table, shown.table, sizeof(obstacle.table));
	}
	has_waited = false;
	dwf_text_cut(obstacle.error, sizeof(obstacle.error), error->message);
	FreeErrorData(error);
	MemoryContextSwitchTo(old);
	set_obstacle(&obstacle);
}

void
dwf_progress_name_lock(void)
{
	const LOCKTAG *lock = &shown.lock;
	char	   *table;

	if (!has_obstacle || !shown.has_lock || shown.table[0] != '\0' ||
		(lock->locktag_type != LOCKTAG_RELATION &&
		 lock->locktag_type != LOCKTAG_TUPLE))
		return;
	table = get_rel_name(lock->locktag_field2);
	if (table == NULL)
		return;
	snprintf(shown.table, sizeof(shown.table), "%s.%s",
			 get_namespace_name(get_rel_namespace(lock->locktag_field2)),
			 table);
	set_obstacle(&shown);
}

void
dwf_progress_note_holder(TransactionId holder)
{
	static TransactionId last = InvalidTransactionId;
	DwfObstacle obstacle = {.has_lock = true};

	if (has_obstacle && holder == last)
		return;
	last = holder;
	SET_LOCKTAG_TRANSACTION(obstacle.lock, holder);
	set_obstacle(&obstacle);
}

void
dwf_progress_note_refusal(int code, const char *error)
{
	DwfObstacle obstacle = {.code = code};

	dwf_text_cut(obstacle.error, sizeof(obstacle.error), error);
	if (has_obstacle && shown.code == code &&
		strcmp(shown.error, obstacle.error) == 0)
		return;
	set_obstacle(&obstacle);
}

/*
 * The lock is there for as long as this process waits for it, or is another one
 * by now, which does no harm.
 */
void
dwf_progress_note_wait(void)
{
	const		LOCK *lock = MyProc == NULL ? NULL : MyProc->waitLock;

	has_waited = lock != NULL;
	if (lock != NULL)
		waited_for = lock->tag;
}
