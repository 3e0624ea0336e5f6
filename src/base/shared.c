/*
 * shared.c
 *	  Shared memory: one entry for each database that may need a worker.
 *
 * One lightweight lock guards all of it; it is held for a few instructions
 * and never across anything that may raise an error.  The one thing done at
 * each commit, dwf_shared_wake(), takes it in shared mode, and a worker takes
 * it for news only, not for its counters: those who commit and the worker that
 * they wake would wait for each other.
 *
 * A worker's latch is published with its pid and taken back when the process
 * exits (on_shmem_exit, so also after an error), both under the lock.  It is
 * set after the lock was let go, and so perhaps for a process that took over
 * the PGPROC, which wakes for nothing: all are made for that.
 *
 * Who keeps workers away from a database (evict.c) puts its pid into the entry,
 * and takes it out afterwards; a pid whose process is gone counts for nothing.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/shared.h"
#include "base/shared_entry.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* The longest wait for another start after one that failed, milliseconds. */
#define MAX_START_WAIT	60000

DwfShared  *dwf_shared;
DwfSharedEntry *dwf_shared_mine;
static const DwfSharedPart *parts;
static int	nparts;

static shmem_request_hook_type next_request_hook;
static shmem_startup_hook_type next_startup_hook;

static void request_memory(void);
static void start_memory(void);
static DwfSharedEntry *hold_entry(Oid database);
static void copy_status(DwfSharedEntry *entry, DwfWorkerStatus *status);
static void clear_status(DwfSharedEntry *entry);
static void detach_worker(int code, Datum arg);

void
dwf_shared_request(const DwfSharedPart *others, int count)
{
	parts = others;
	nparts = count;
	next_request_hook = shmem_request_hook;
	shmem_request_hook = request_memory;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_memory;
}

static void
request_memory(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(DwfShared)));
	RequestNamedLWLockTranche("domowf", 1);
	for (int i = 0; i < nparts; i++)
		parts[i].request();
}

/* The entries first, then what others keep; with AddinShmemInitLock held. */
static void
start_memory(void)
{
	bool		found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	dwf_shared = ShmemInitStruct("domowf", sizeof(DwfShared), &found);
	if (!found)
	{
		memset(dwf_shared, 0, sizeof(DwfShared));
		dwf_shared->lock = &GetNamedLWLockTranche("domowf")->lock;
		ConditionVariableInit(&dwf_shared->left);
		for (int i = 0; i < DWF_MAX_DATABASES; i++)
		{
			DwfSharedEntry *entry = &dwf_shared->entries[i];

			pg_atomic_init_u64(&entry->earliest, DT_NOEND);
			pg_atomic_init_u32(&entry->waiting, 0);
			pg_atomic_init_u32(&entry->has_news, 0);
			SpinLockInit(&entry->news_lock);
			pg_atomic_init_u64(&entry->length, 0);
			pg_atomic_init_u64(&entry->count_took, 0);
			pg_atomic_init_u32(&entry->removal_failed, 0);
			pg_atomic_init_u64(&entry->in_flight, 0);
			pg_atomic_init_u64(&entry->sent, 0);
			pg_atomic_init_u64(&entry->failed, 0);
			pg_atomic_init_u64(&entry->stuck_since, 0);
			pg_atomic_init_u32(&entry->stuck_at, 0);
			pg_atomic_init_u32(&entry->doing, 0);
			pg_atomic_init_u64(&entry->expected_at, 0);
			pg_atomic_init_u32(&entry->has_returns, 0);
		}
	}
	for (int i = 0; i < nparts; i++)
		parts[i].start();
	LWLockRelease(AddinShmemInitLock);
}

bool
dwf_shared_exists(void)
{
	return dwf_shared != NULL;
}

DwfSharedEntry *
dwf_shared_find(Oid database, bool make)
{
	DwfSharedEntry *spare = NULL;
	DwfSharedEntry *dormant = NULL;

	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		DwfSharedEntry *entry = &dwf_shared->entries[i];

		if (entry->database == database)
			return entry;
		if (spare == NULL && !OidIsValid(entry->database))
			spare = entry;
		if (make && dwf_shared_entry_sleeps(entry) &&
			(dormant == NULL || entry->retry_at > dormant->retry_at))
			dormant = entry;
	}
	if (spare == NULL)
		spare = dormant;
	if (!make || spare == NULL)
		return NULL;
	spare->database = database;
	spare->presence = DWF_UNKNOWN;
	spare->retry_at = 0;
	spare->failures = 0;
	spare->evictor = 0;
	spare->is_probed = spare->is_visit = false;
	spare->visits = 0;
	spare->say_again = 0;
	spare->latch = NULL;
	pg_atomic_write_u64(&spare->earliest, DT_NOEND);
	pg_atomic_write_u32(&spare->waiting, 0);
	pg_atomic_write_u32(&spare->has_news, 0);
	dwf_news_clear(&spare->news);
	pg_atomic_write_u64(&spare->length, 0);
	pg_atomic_write_u64(&spare->count_took, 0);
	pg_atomic_write_u32(&spare->removal_failed, 0);
	pg_atomic_write_u64(&spare->in_flight, 0);
	pg_atomic_write_u64(&spare->sent, 0);
	pg_atomic_write_u64(&spare->failed, 0);
	pg_atomic_write_u64(&spare->stuck_since, 0);
	pg_atomic_write_u32(&spare->stuck_at, 0);
	pg_atomic_write_u64(&spare->expected_at, 0);
	pg_atomic_write_u32(&spare->has_returns, 0);
	memset(spare->returners, 0, sizeof(spare->returners));
	spare->returned_at = 0;
	memset(&spare->status, 0, sizeof(spare->status));
	spare->nconnections = 0;
	return spare;
}

/* The entry of a database, or NULL; it stays so until the lock is released. */
static DwfSharedEntry *
hold_entry(Oid database)
{
	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	return dwf_shared_find(database, false);
}

bool
dwf_shared_wake(Oid database, TimestampTz run_at, int64 count,
				bool stands_behind)
{
	DwfSharedEntry *entry;
	Latch	   *latch = NULL;
	bool		is_known = false;

	if (dwf_shared == NULL)
		return true;
	entry = hold_entry(database);
	if (entry != NULL)
	{
		uint64		known = pg_atomic_read_u64(&entry->earliest);

		/* CAS refreshes `known` when it fails */
		while (run_at < (TimestampTz) known &&
			   !pg_atomic_compare_exchange_u64(&entry->earliest, &known,
											   (uint64) run_at))
			;
		if (count != 0)
			(void) pg_atomic_fetch_add_u64(&entry->length, count);
		if (stands_behind)
			pg_atomic_write_u32(&entry->waiting, 1);
		if (run_at != DT_NOEND || stands_behind)
			latch = entry->latch;
		is_known = entry->presence != DWF_ABSENT &&
			(entry->presence != DWF_DORMANT || run_at != DT_NOBEGIN);
	}
	LWLockRelease(dwf_shared->lock);
	if (latch != NULL)
		SetLatch(latch);
	return is_known;
}

void
dwf_shared_tell(Oid database, const DwfNews *news)
{
	DwfSharedEntry *entry;

	if (dwf_shared == NULL || (news->nlanes == 0 && news->nids == 0))
		return;
	entry = hold_entry(database);
	if (entry != NULL)
	{
		SpinLockAcquire(&entry->news_lock);
		dwf_news_merge(&entry->news, news);
		SpinLockRelease(&entry->news_lock);
		pg_atomic_write_u32(&entry->has_news, 1);
	}
	LWLockRelease(dwf_shared->lock);
}

bool
dwf_shared_take_news(DwfNews *news)
{
	DwfSharedEntry *entry = dwf_shared_mine;

	/* told before the flag is set, and the flag before the latch */
	if (pg_atomic_read_u32(&entry->has_news) == 0 ||
		pg_atomic_exchange_u32(&entry->has_news, 0) == 0)
		return false;
	SpinLockAcquire(&entry->news_lock);
	memcpy(news, &entry->news, sizeof(DwfNews));
	dwf_news_clear(&entry->news);
	SpinLockRelease(&entry->news_lock);
	return true;
}

TimestampTz
dwf_shared_take_earliest(void)
{
	return (TimestampTz) pg_atomic_exchange_u64(&dwf_shared_mine->earliest, DT_NOEND);
}

bool
dwf_shared_is_told(void)
{
	return pg_atomic_read_u64(&dwf_shared_mine->earliest) == (uint64) DT_NOBEGIN;
}

bool
dwf_shared_take_waiting(void)
{
	return pg_atomic_read_u32(&dwf_shared_mine->waiting) != 0 &&
		pg_atomic_exchange_u32(&dwf_shared_mine->waiting, 0) != 0;
}

int64
dwf_shared_queue_length(Oid database)
{
	DwfSharedEntry *entry = hold_entry(database);
	int64		length = 0;

	if (entry != NULL)
		length = (int64) pg_atomic_read_u64(&entry->length);
	LWLockRelease(dwf_shared->lock);
	return length;
}

void
dwf_shared_add_length(Oid database, int64 count)
{
	DwfSharedEntry *entry = hold_entry(database);

	if (entry != NULL)
		(void) pg_atomic_fetch_add_u64(&entry->length, count);
	LWLockRelease(dwf_shared->lock);
}

void
dwf_shared_note_count(Oid database, int64 took)
{
	DwfSharedEntry *entry = hold_entry(database);

	if (entry != NULL)
		pg_atomic_write_u64(&entry->count_took, took);
	LWLockRelease(dwf_shared->lock);
}

int64
dwf_shared_count_took(void)
{
	return (int64) pg_atomic_read_u64(&dwf_shared_mine->count_took);
}

void
dwf_shared_note_removal(Oid database, int code)
{
	DwfSharedEntry *entry = hold_entry(database);

	if (entry != NULL)
		pg_atomic_write_u32(&entry->removal_failed, (uint32) code);
	LWLockRelease(dwf_shared->lock);
}

int
dwf_shared_removal_failed(void)
{
	return (int) pg_atomic_read_u32(&dwf_shared_mine->removal_failed);
}

bool
dwf_shared_status(Oid database, DwfWorkerStatus *status)
{
	DwfSharedEntry *entry;

	if (dwf_shared == NULL)
		return false;
	entry = hold_entry(database);
	if (entry != NULL)
		copy_status(entry, status);
	LWLockRelease(dwf_shared->lock);
	return entry != NULL;
}

bool
dwf_shared_status_at(int place, Oid *database, DwfWorkerStatus *status)
{
	DwfSharedEntry *entry = &dwf_shared->entries[place];

	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	*database = entry->database;
	if (OidIsValid(*database))
		copy_status(entry, status);
	LWLockRelease(dwf_shared->lock);
	return OidIsValid(*database);
}

/* Lock held. */
static void
copy_status(DwfSharedEntry *entry, DwfWorkerStatus *status)
{
	*status = entry->status;
	status->is_dormant = status->pid == 0 &&
		(entry->presence == DWF_DORMANT || entry->is_visit);
	status->in_flight = (int) pg_atomic_read_u64(&entry->in_flight);
	status->sent = (int64) pg_atomic_read_u64(&entry->sent);
	status->failed = (int64) pg_atomic_read_u64(&entry->failed);
	status->stuck_since = (DwfSteady) pg_atomic_read_u64(&entry->stuck_since);
	status->stuck_at = (DwfTask) pg_atomic_read_u32(&entry->stuck_at);
	status->doing = (DwfTask) pg_atomic_read_u32(&entry->doing);
	status->expected_at = (DwfSteady) pg_atomic_read_u64(&entry->expected_at);
	status->failures = entry->failures;
}

bool
dwf_shared_attach(Oid database)
{
	DwfSharedEntry *entry;
	bool		welcome;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	entry = dwf_shared_find(database, true);
	welcome = entry != NULL && entry->status.pid == 0 && !dwf_shared_entry_is_evicted(entry);
	if (welcome)
	{
		clear_status(entry);

		/* what was told before is seen by whoever comes now */
		entry->is_probed = false;
		pg_atomic_write_u64(&entry->earliest, DT_NOEND);
		pg_atomic_write_u64(&entry->in_flight, 0);
		pg_atomic_write_u64(&entry->sent, 0);
		pg_atomic_write_u64(&entry->failed, 0);
		entry->status.pid = MyProcPid;
		entry->status.started_at = GetCurrentTimestamp();
		entry->attached_at = dwf_clock_now();
		pg_atomic_write_u64(&entry->expected_at, entry->attached_at);
		entry->latch = MyLatch;
		dwf_shared_mine = entry;
	}
	else if (entry != NULL && entry->presence == DWF_STARTING &&
			 entry->status.pid == 0)
	{
		entry->presence = DWF_UNKNOWN;
		entry->is_visit = false;
	}
	LWLockRelease(dwf_shared->lock);
	if (welcome)
		on_shmem_exit(detach_worker, 0);
	else
		ConditionVariableBroadcast(&dwf_shared->left);
	return welcome;
}

/*
 * A visit says anew why it is paused; until then that stays to be read, and so
 * does what the worker before could not get past.
 */
static void
clear_status(DwfSharedEntry *entry)
{
	DwfWorkerStatus before = entry->status;

	memset(&entry->status, 0, sizeof(entry->status));
	entry->status.obstacle = before.obstacle;
	entry->nconnections = 0;
	if (!entry->is_visit)
		return;
	entry->status.paused_until = before.paused_until;
	strlcpy(entry->status.pause_reason, before.pause_reason,
			sizeof(entry->status.pause_reason));
}

/* At the exit of a worker, in whatever way: must not fail. */
static void
detach_worker(int code, Datum arg)
{
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	dwf_shared_mine->status.pid = 0;
	dwf_shared_mine->nconnections = 0;
	dwf_shared_mine->latch = NULL;
	dwf_shared_mine->is_visit = false;
	pg_atomic_write_u64(&dwf_shared_mine->in_flight, 0);
	pg_atomic_write_u64(&dwf_shared_mine->expected_at, 0);
	if (code == 0)
	{
		pg_atomic_write_u64(&dwf_shared_mine->stuck_since, 0);
		memset(&dwf_shared_mine->status.obstacle, 0, sizeof(DwfObstacle));
	}
	if (dwf_shared_mine->presence != DWF_ABSENT &&
		dwf_shared_mine->presence != DWF_DORMANT)
	{
		/* ended by force: not again at once, and later where it never works */
		if (code == 0 || dwf_shared_mine->presence == DWF_RUNNING)
			dwf_shared_mine->failures = 0;
		dwf_shared_mine->retry_at = 0;
		if (code != 0)
			dwf_shared_entry_put_off(dwf_shared_mine);
		dwf_shared_mine->visits = 0;
		dwf_shared_mine->presence = DWF_UNKNOWN;
	}
	if (dwf_shared->launcher != NULL)
		SetLatch(dwf_shared->launcher);
	LWLockRelease(dwf_shared->lock);
	ConditionVariableBroadcast(&dwf_shared->left);
}

void
dwf_shared_set_presence(DwfPresence presence)
{
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	/* who made it since this worker looked has been told that there is one */
	if (presence == DWF_ABSENT && dwf_shared_mine->is_probed)
		presence = DWF_UNKNOWN;
	dwf_shared_mine->presence = presence;
	LWLockRelease(dwf_shared->lock);
}

void
dwf_shared_entry_put_off(DwfSharedEntry *entry)
{
	entry->retry_at =
		TimestampTzPlusMilliseconds(dwf_clock_now(),
									Min(MAX_START_WAIT,
										1000 << Min(entry->failures, 10)));
	entry->failures++;
}

bool
dwf_shared_entry_sleeps(DwfSharedEntry *entry)
{
	return entry->presence == DWF_DORMANT && entry->status.pid == 0 &&
		!dwf_shared_entry_is_evicted(entry);
}

bool
dwf_shared_entry_is_evicted(DwfSharedEntry *entry)
{
	if (entry->evictor != 0 && entry->evictor != MyProcPid &&
		BackendPidGetProc(entry->evictor) == NULL)
		entry->evictor = 0;
	return entry->evictor != 0;
}

bool
dwf_shared_is_worker(void)
{
	return dwf_shared_mine != NULL;
}

bool
dwf_shared_is_evicted(void)
{
	return dwf_shared_mine->evictor != 0;
}

void
dwf_shared_publish(const DwfWorkerStatus *status)
{
	DwfWorkerStatus *shown = &dwf_shared_mine->status;

	pg_atomic_write_u64(&dwf_shared_mine->in_flight, status->in_flight);
	pg_atomic_write_u64(&dwf_shared_mine->sent, status->sent);
	pg_atomic_write_u64(&dwf_shared_mine->failed, status->failed);

	/* nobody else writes it, so that it can be read without the lock */
	if (shown->paused_until == status->paused_until &&
		shown->is_reason_private == status->is_reason_private &&
		strcmp(shown->pause_reason, status->pause_reason) == 0 &&
		strcmp(shown->last_error, status->last_error) == 0)
		return;
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	shown->paused_until = status->paused_until;
	shown->is_reason_private = status->is_reason_private;
	strlcpy(shown->pause_reason, status->pause_reason,
			sizeof(shown->pause_reason));
	strlcpy(shown->last_error, status->last_error, sizeof(shown->last_error));
	LWLockRelease(dwf_shared->lock);
}

void
dwf_shared_set_stuck(DwfSteady since, DwfTask task)
{
	pg_atomic_write_u32(&dwf_shared_mine->stuck_at, task);
	pg_atomic_write_u64(&dwf_shared_mine->stuck_since, since);
}

void
dwf_shared_set_doing(DwfTask task)
{
	pg_atomic_write_u32(&dwf_shared_mine->doing, task);
}

void
dwf_shared_expect(DwfSteady when)
{
	pg_atomic_write_u64(&dwf_shared_mine->expected_at, when);
}

DwfSteady
dwf_shared_stuck_since(void)
{
	return (DwfSteady) pg_atomic_read_u64(&dwf_shared_mine->stuck_since);
}

void
dwf_shared_set_obstacle(const DwfObstacle *obstacle)
{
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	dwf_shared_mine->status.obstacle = *obstacle;
	LWLockRelease(dwf_shared->lock);
}

void
dwf_shared_publish_connections(const DwfConnectionStatus *rows, int count)
{
	DwfSharedEntry *mine = dwf_shared_mine;

	if (mine->nconnections == count &&
		memcmp(mine->connections, rows, count * sizeof(*rows)) == 0)
		return;
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	mine->nconnections = count;
	memcpy(mine->connections, rows, count * sizeof(*rows));
	LWLockRelease(dwf_shared->lock);
}

int
dwf_shared_connections(Oid database, DwfConnectionStatus *rows)
{
	DwfSharedEntry *entry;
	int			count = 0;

	if (dwf_shared == NULL)
		return 0;
	entry = hold_entry(database);
	if (entry != NULL)
	{
		count = entry->nconnections;
		memcpy(rows, entry->connections, count * sizeof(*rows));
	}
	LWLockRelease(dwf_shared->lock);
	return count;
}
