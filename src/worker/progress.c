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
static DwfObstacle met[DWF_TASKS];	/* what was in the way of each, last */
static DwfObstacle general;		/* of all: no transaction could begin */
static DwfObstacle shown;		/* of these */
static bool is_inherited;		/* of the worker before, until one is known */

/* The lock that the last wait was for which came to nothing. */
static volatile bool has_waited;
static LOCKTAG waited_for;

static void publish(void);
static const DwfObstacle *obstacle_of(DwfTask task);
static bool is_set(const DwfObstacle *obstacle);
static void name_table(DwfObstacle *obstacle);

void
dwf_progress_open(void)
{
	since[DWF_TASK_START] = dwf_shared_stuck_since();
	is_inherited = true;

	/* whatever the worker before was stuck at */
	if (since[DWF_TASK_START] != 0)
		dwf_shared_set_stuck(since[DWF_TASK_START], DWF_TASK_START);
}

void
dwf_progress_begin(DwfTask task)
{
	dwf_shared_set_doing(task);
	if (since[task] == 0)
		dwf_progress_set(task, dwf_clock_now());
}

void
dwf_progress_begun(void)
{
	memset(&general, 0, sizeof(general));
}

/* What was in its way is past. */
void
dwf_progress_set(DwfTask task, DwfSteady when)
{
	if (since[task] == when)
		return;
	since[task] = when;
	memset(&met[task], 0, sizeof(met[task]));
	publish();
}

/* What waits for longest counts, with what is in its way, and in no other's. */
static void
publish(void)
{
	DwfTask		oldest = DWF_TASK_START;
	const DwfObstacle *obstacle;

	for (DwfTask task = DWF_TASK_START; task < DWF_TASKS; task++)
	{
		if (since[task] != 0 &&
			(since[oldest] == 0 || since[task] < since[oldest]))
			oldest = task;
	}
	dwf_shared_set_stuck(since[oldest], oldest);
	obstacle = obstacle_of(oldest);
	if (is_inherited ? since[DWF_TASK_START] != 0 && !is_set(obstacle) :
		memcmp(&shown, obstacle, sizeof(shown)) == 0)
		return;
	is_inherited = false;
	memcpy(&shown, obstacle, sizeof(shown));
	dwf_shared_set_obstacle(&shown);
}

/*
 * Results that are fresh, and orphans, are written by transactions that have more
 * to do, whose obstacles are theirs.
 */
static const DwfObstacle *
obstacle_of(DwfTask task)
{
	static const DwfObstacle none = {0};
	DwfTask		by = task;

	if (since[task] == 0)
		return &none;
	if (is_set(&general))
		return &general;
	if (task == DWF_TASK_ORPHANS)
		by = DWF_TASK_LEFT;
	else if (task == DWF_TASK_SETTLE)
		by = is_set(&met[DWF_TASK_STATE]) ? DWF_TASK_STATE : DWF_TASK_CLAIM;
	return is_set(&met[task]) ? &met[task] : &met[by];
}

static bool
is_set(const DwfObstacle *obstacle)
{
	return obstacle->has_lock || obstacle->code != 0;
}

void
dwf_progress_drop(DwfTask task)
{
	if (since[task] != 0)
		dwf_progress_set(task, 0);
}

void
dwf_progress_note_error(DwfTask task, bool has_begun)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *error = CopyErrorData();
	DwfObstacle *obstacle = has_begun ? &met[task] : &general;
	DwfObstacle before = *obstacle;

	memset(obstacle, 0, sizeof(*obstacle));
	obstacle->code = error->sqlerrcode;
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && has_waited)
	{
		obstacle->has_lock = true;
		obstacle->lock = waited_for;
		if (memcmp(&before.lock, &waited_for, sizeof(LOCKTAG)) == 0)
			strlcpy(obstacle->table, before.table, sizeof(obstacle->table));
	}
	has_waited = false;
	dwf_text_cut(obstacle->error, sizeof(obstacle->error), error->message);
	FreeErrorData(error);
	MemoryContextSwitchTo(old);
	publish();
}

void
dwf_progress_name_locks(void)
{
	for (DwfTask task = DWF_TASK_START; task < DWF_TASKS; task++)
		name_table(&met[task]);
	name_table(&general);
}

/* Where the lock is on a table, or in one. */
static void
name_table(DwfObstacle *obstacle)
{
	const LOCKTAG *lock = &obstacle->lock;
	char	   *table;

	if (!obstacle->has_lock || obstacle->table[0] != '\0' ||
		(lock->locktag_type != LOCKTAG_RELATION &&
		 lock->locktag_type != LOCKTAG_TUPLE))
		return;
	table = get_rel_name(lock->locktag_field2);
	if (table == NULL)
		return;
	snprintf(obstacle->table, sizeof(obstacle->table), "%s.%s",
			 get_namespace_name(get_rel_namespace(lock->locktag_field2)),
			 table);
	publish();
}

void
dwf_progress_note_holder(DwfTask task, TransactionId holder)
{
	DwfObstacle *obstacle = &met[task];
	LOCKTAG		lock;

	memset(&lock, 0, sizeof(lock));
	SET_LOCKTAG_TRANSACTION(lock, holder);
	if (obstacle->has_lock && memcmp(&obstacle->lock, &lock, sizeof(lock)) == 0)
		return;
	memset(obstacle, 0, sizeof(*obstacle));
	obstacle->has_lock = true;
	obstacle->lock = lock;
	publish();
}

void
dwf_progress_note_refusal(DwfTask task, int code, const char *error)
{
	DwfObstacle *obstacle = &met[task];
	char		text[sizeof(obstacle->error)];

	dwf_text_cut(text, sizeof(text), error);
	if (obstacle->code == code && strcmp(obstacle->error, text) == 0)
		return;
	memset(obstacle, 0, sizeof(*obstacle));
	obstacle->code = code;
	strlcpy(obstacle->error, text, sizeof(obstacle->error));
	publish();
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
