/*
 * stall.c
 *	  Whether a worker does not get on, and why.
 *
 * The worker says what it is about to do, and since when (progress.h).  What it
 * waits for meanwhile is PostgreSQL's to say: the wait event of its process, and
 * the locks of all.  A worker of which nothing is heard when it was to be heard
 * of does not get on either.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/transaction.h"
#include "worker/stall.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/wait_event.h"

/* How often a stall is said, and workers are looked at, milliseconds. */
#define SAY_INTERVAL	60000
#define LOOK_INTERVAL	10000
#define MIN_LOOK		100

/* Processes that are named, of those that hold a lock. */
#define MAX_HOLDERS		3

/* Modes that keep others from writing to a table. */
#define AGAINST_WRITERS \
	(LOCKBIT_ON(ShareLock) | LOCKBIT_ON(ShareRowExclusiveLock) | \
	 LOCKBIT_ON(ExclusiveLock) | LOCKBIT_ON(AccessExclusiveLock))

static const char *const tasks[DWF_TASKS] = {
	[DWF_TASK_START] = "what it has to look at before it begins cannot be",
	[DWF_TASK_STATE] = "it cannot be read whether anything may be sent",
	[DWF_TASK_CLAIM] = "what is due cannot be claimed",
	[DWF_TASK_SETTLE] = "what came of requests cannot be written",
	[DWF_TASK_REDATE] = "requests cannot be dated anew after the clock was set",
	[DWF_TASK_ORDER] = "order keys cannot be looked at",
	[DWF_TASK_IDS] = "ids cannot be looked at",
	[DWF_TASK_LEFT] = "what the worker before was sending cannot be looked at",
	[DWF_TASK_HOLD] = "what is to be held cannot be looked at",
	[DWF_TASK_CARE] = "what has expired or is old cannot be looked at",
	[DWF_TASK_RECOUNT] = "the queue cannot be counted",
	[DWF_TASK_REMOVE] = "old rows of the log cannot be removed",
	[DWF_TASK_COUNT] = "what was counted cannot be folded",
	[DWF_TASK_TRACK] = "what has become of tracked instances cannot be written",
	[DWF_TASK_RETURNS] = "what is to be written back cannot be looked at",
	[DWF_TASK_ORPHANS] = "what the worker before was sending cannot be looked at",
	[DWF_TASK_KEPT] = "a request that is due cannot be claimed",
	[DWF_TASK_REFUSED] = "a row refuses to be changed, and is passed by",
};

/* What was said of a place of dwf_shared_status_at(). */
typedef struct Said
{
	Oid			database;
	DwfSteady	at;
} Said;

static bool is_over(DwfSteady since, DwfSteady now);
static void find_reason(const DwfWorkerStatus *status, bool is_private,
						DwfStall *stall);
static void tell_lock(const DwfWorkerStatus *status, const LOCKTAG *lock,
					  DwfStall *stall);
static void append_lock(StringInfo text, const DwfWorkerStatus *status,
						const LOCKTAG *lock);
static int	append_holders(StringInfo text, const LOCKTAG *lock, int worker);
static bool keeps_out(const LockInstanceData * other, const LOCKTAG *lock);
static bool find_waited_for(int pid, LOCKTAG *lock);
static void tell_error(const DwfObstacle *obstacle, bool is_private,
					   DwfStall *stall);
static void say(Oid database, const DwfWorkerStatus *status,
				const DwfStall *stall);

bool
dwf_stall_find(const DwfWorkerStatus *status, bool is_private,
			   DwfStall *stall)
{
	DwfSteady	now = dwf_clock_now();
	bool		is_stuck = is_over(status->stuck_since, now);

	/* one that has ended, since nothing is to be done, is nobody's stall */
	if (status->pid == 0 && status->failures == 0)
		return false;

	/* what is not right with the tables is said as the reason of a pause */
	if (status->paused_until == DT_NOEND &&
		status->obstacle.code == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
		return false;
	if (!is_stuck && !is_over(status->expected_at, now))
		return false;
	stall->since = is_stuck ? status->stuck_since : status->expected_at;
	stall->seconds = (now - stall->since) / USECS_PER_SEC;
	stall->task = is_stuck ? tasks[status->stuck_at] :
		"nothing is heard of the worker";
	find_reason(status, is_private, stall);
	return true;
}

/* Whether it was too long ago; 0: it never was. */
static bool
is_over(DwfSteady since, DwfSteady now)
{
	return since != 0 &&
		now >= TimestampTzPlusMilliseconds(since, dwf_stall_after);
}

/*
 * What the process waits for right now goes first, then what it met when it
 * tried last; but not a lock that another task waits for, where it is known what
 * is in the way of the one that does not get on.
 */
static void
find_reason(const DwfWorkerStatus *status, bool is_private, DwfStall *stall)
{
	PGPROC	   *process = status->pid == 0 ? NULL : BackendPidGetProc(status->pid);
	uint32		waits = process == NULL ? 0 : process->wait_event_info;
	const char *type = waits == 0 ? NULL : pgstat_get_wait_event_type(waits);
	const char *event = waits == 0 ? NULL : pgstat_get_wait_event(waits);
	bool		is_its_own = status->doing == status->stuck_at ||
	(!status->obstacle.has_lock && status->obstacle.code == 0) ||
	is_over(status->expected_at, dwf_clock_now());
	LOCKTAG		lock;

	if (event != NULL && strcmp(event, "SyncRep") == 0)
	{
		stall->reason = "it waits for a synchronous standby";
		stall->hint = "Let a standby of synchronous_standby_names run and keep up, or name others there.";
	}
	else if (is_its_own && find_waited_for(status->pid, &lock))
		tell_lock(status, &lock, stall);
	else if (status->obstacle.has_lock)
		tell_lock(status, &status->obstacle.lock, stall);
	else if (status->obstacle.code != 0)
		tell_error(&status->obstacle, is_private, stall);
	else if (is_over(status->stuck_since, dwf_clock_now()) &&
			 (status->stuck_at == DWF_TASK_ORPHANS ||
			  status->stuck_at == DWF_TASK_TRACK ||
			  status->stuck_at == DWF_TASK_KEPT))
	{
		stall->reason = "another transaction has locked it";
		stall->hint = "See pg_stat_activity and pg_prepared_xacts for transactions that are open for long.";
	}
	else if (type != NULL && strcmp(type, "Extension") != 0)
	{
		stall->reason = psprintf("it waits for %s/%s", type, event);
		stall->hint = "See that wait event in PostgreSQL's documentation.";
	}
	else
	{
		stall->reason = "its process does not run";
		stall->hint = "See whether the process was stopped, and whether the system is overloaded.";
	}
}

/* In words: a lock, and who holds it. */
static void
tell_lock(const DwfWorkerStatus *status, const LOCKTAG *lock,
		  DwfStall *stall)
{
	StringInfoData reason;
	StringInfoData holders;
	int			count;

	initStringInfo(&reason);
	initStringInfo(&holders);
	appendStringInfoString(&reason, "it waits for a lock on ");
	append_lock(&reason, status, lock);
	count = append_holders(&holders, lock, status->pid);
	if (count > 0)
		appendStringInfo(&reason, ", held by %s", holders.data);
	stall->reason = reason.data;
	stall->hint = count > 0 ?
		"End the transaction that holds it: see pg_stat_activity, pg_prepared_xacts." :
		"See pg_locks for who holds it for long.";
}

static void
append_lock(StringInfo text, const DwfWorkerStatus *status,
			const LOCKTAG *lock)
{
	bool		is_row = lock->locktag_type == LOCKTAG_TUPLE;
	const DwfObstacle *known = &status->obstacle;

	if (known->table[0] != '\0' &&
		memcmp(&known->lock, lock, sizeof(LOCKTAG)) == 0)
		appendStringInfo(text, "%s %s", is_row ? "a row of" : "table",
						 known->table);
	else
		DescribeLockTag(text, lock);
}

/* Returns how many keep the worker from a lock; the first ones are named. */
static int
append_holders(StringInfo text, const LOCKTAG *lock, int worker)
{
	LockData   *locks = GetLockStatusData();
	int			count = 0;

	for (int i = 0; i < locks->nelements; i++)
	{
		const		LockInstanceData *other = &locks->locks[i];

		if (other->pid == worker || !keeps_out(other, lock))
			continue;
		if (++count > MAX_HOLDERS)
			continue;
		if (count > 1)
			appendStringInfoString(text, ", ");
		if (other->pid == 0)
			appendStringInfoString(text, "a prepared transaction");
		else
			appendStringInfo(text, "process %d", other->pid);
	}
	return count;
}

/* Who waits for a table keeps those out who come after him. */
static bool
keeps_out(const LockInstanceData * other, const LOCKTAG *lock)
{
	LOCKMASK	mask = other->holdMask;

	if (memcmp(&other->locktag, lock, sizeof(LOCKTAG)) != 0)
		return false;
	if (lock->locktag_type != LOCKTAG_RELATION)
		return mask != 0;
	if (other->waitLockMode != NoLock)
		mask |= LOCKBIT_ON(other->waitLockMode);
	return (mask & AGAINST_WRITERS) != 0;
}

/* The lock that a process waits for at this moment. */
static bool
find_waited_for(int pid, LOCKTAG *lock)
{
	LockData   *locks = pid == 0 ? NULL : GetLockStatusData();

	for (int i = 0; locks != NULL && i < locks->nelements; i++)
	{
		if (locks->locks[i].pid != pid ||
			locks->locks[i].waitLockMode == NoLock)
			continue;
		*lock = locks->locks[i].locktag;
		return true;
	}
	return false;
}

/* In words: an error, and what is not private of it. */
static void
tell_error(const DwfObstacle *obstacle, bool is_private, DwfStall *stall)
{
	if (obstacle->code == ERRCODE_DISK_FULL)
	{
		stall->reason = "the disk is full";
		stall->hint = "Make room there: it is tried again.";
		return;
	}
	stall->reason = is_private ?
		psprintf("error %s: %s", unpack_sql_state(obstacle->code),
				 obstacle->error) :
		psprintf("error %s", unpack_sql_state(obstacle->code));
	stall->hint = obstacle->code == ERRCODE_LOCK_NOT_AVAILABLE ?
		"End the transaction that holds what a trigger waits for, or have the trigger not wait: it is tried again." :
		"Mend what refuses it: it is tried again.";
}

long
dwf_stall_say_all(void)
{
	static Said said[DWF_MAX_DATABASES];
	DwfSteady	now = dwf_clock_now();
	DwfSteady	next = TimestampTzPlusMilliseconds(now, LOOK_INTERVAL);

	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		DwfWorkerStatus status;
		DwfStall	stall;
		Oid			database;

		if (!dwf_shared_status_at(i, &database, &status))
			continue;
		next = Min(next, TimestampTzPlusMilliseconds(now, dwf_stall_after));
		if (!dwf_stall_find(&status, true, &stall))
			said[i].database = InvalidOid;
		else if (said[i].database != database || stall.since > said[i].at ||
				 now >= TimestampTzPlusMilliseconds(said[i].at, SAY_INTERVAL))
		{
			say(database, &status, &stall);
			said[i].database = database;
			said[i].at = now;
		}
	}
	return Max(MIN_LOOK, (next - now) / 1000);
}

/* In the server's log, where databases have names. */
static void
say(Oid database, const DwfWorkerStatus *status, const DwfStall *stall)
{
	char	   *name;
	MemoryContext context = CurrentMemoryContext;

	dwf_transaction_start();
	name = get_database_name(database);
	name = name == NULL ? NULL : MemoryContextStrdup(context, name);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	ereport(LOG,
			(errmsg("domowf: the worker of database \"%s\" (process %d) has not got on for " INT64_FORMAT " s: %s: %s",
					name == NULL ? "" : name, status->pid, stall->seconds,
					stall->task, stall->reason),
			 errhint("%s", stall->hint)));
}
