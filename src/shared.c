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
 * Eviction.  DROP DATABASE and its like need a database without connections.
 * Who runs them puts its pid into the entry, which makes the worker leave and
 * the launcher stay away, and takes it out afterwards.  A pid whose process is
 * gone counts for nothing.
 */
#include "postgres.h"

#include "compat.h"
#include "shared.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* How often an evictor looks again, milliseconds. */
#define EVICTION_POLL	100

typedef struct Entry
{
	Oid			database;		/* InvalidOid: free */
	DwfPresence presence;
	TimestampTz retry_at;		/* DWF_UNKNOWN: not started before this */
	int			evictor;		/* pid, 0: none */
	bool		is_told;		/* that the server was promoted */
	Latch	   *latch;			/* of the worker; NULL: none */
	pg_atomic_uint64 earliest;	/* TimestampTz of the earliest new run_at */
	pg_atomic_uint32 waiting;	/* a request that stands behind is new */
	pg_atomic_uint64 length;	/* int64: requests that wait, about */
	pg_atomic_uint64 in_flight; /* these three: for `status`, */
	pg_atomic_uint64 sent;		/* written without the lock */
	pg_atomic_uint64 failed;
	DwfWorkerStatus status;
} Entry;

typedef struct Shared
{
	LWLock	   *lock;
	Latch	   *launcher;
	bool		promoted;
	ConditionVariable settled;
	ConditionVariable left;		/* a worker has left a database */
	Entry		entries[DWF_MAX_DATABASES];
} Shared;

static Shared *shared;
static Entry *my_entry;
static Oid	evicted = InvalidOid;	/* by this process */

static shmem_request_hook_type next_request_hook;
static shmem_startup_hook_type next_startup_hook;

static void request_memory(void);
static void start_memory(void);
static Entry *find_entry(Oid database, bool make);
static void detach_launcher(int code, Datum arg);
static void detach_worker(int code, Datum arg);
static bool is_evicted(Entry *entry);
static bool has_left(Oid database);

void
dwf_shared_request(void)
{
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
	RequestAddinShmemSpace(MAXALIGN(sizeof(Shared)));
	RequestNamedLWLockTranche("domowf", 1);
}

static void
start_memory(void)
{
	bool		found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("domowf", sizeof(Shared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(Shared));
		shared->lock = &GetNamedLWLockTranche("domowf")->lock;
		ConditionVariableInit(&shared->settled);
		ConditionVariableInit(&shared->left);
		for (int i = 0; i < DWF_MAX_DATABASES; i++)
		{
			Entry	   *entry = &shared->entries[i];

			pg_atomic_init_u64(&entry->earliest, DT_NOEND);
			pg_atomic_init_u32(&entry->waiting, 0);
			pg_atomic_init_u64(&entry->length, 0);
			pg_atomic_init_u64(&entry->in_flight, 0);
			pg_atomic_init_u64(&entry->sent, 0);
			pg_atomic_init_u64(&entry->failed, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

bool
dwf_shared_exists(void)
{
	return shared != NULL;
}

/* The entry of a database; NULL: none, or no room.  Lock held. */
static Entry *
find_entry(Oid database, bool make)
{
	Entry	   *spare = NULL;

	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		Entry	   *entry = &shared->entries[i];

		if (entry->database == database)
			return entry;
		if (spare == NULL && !OidIsValid(entry->database))
			spare = entry;
	}
	if (!make || spare == NULL)
		return NULL;
	spare->database = database;
	spare->presence = DWF_UNKNOWN;
	spare->retry_at = 0;
	spare->evictor = 0;
	spare->is_told = false;
	spare->latch = NULL;
	pg_atomic_write_u64(&spare->earliest, DT_NOEND);
	pg_atomic_write_u32(&spare->waiting, 0);
	pg_atomic_write_u64(&spare->length, 0);
	memset(&spare->status, 0, sizeof(spare->status));
	return spare;
}

void
dwf_shared_wake(Oid database, TimestampTz run_at, int64 count,
				bool stands_behind)
{
	Entry	   *entry;
	Latch	   *latch = NULL;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	entry = find_entry(database, false);
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
	}
	LWLockRelease(shared->lock);
	if (latch != NULL)
		SetLatch(latch);
}

TimestampTz
dwf_shared_take_earliest(void)
{
	return (TimestampTz) pg_atomic_exchange_u64(&my_entry->earliest, DT_NOEND);
}

bool
dwf_shared_take_waiting(void)
{
	return pg_atomic_read_u32(&my_entry->waiting) != 0 &&
		pg_atomic_exchange_u32(&my_entry->waiting, 0) != 0;
}

int64
dwf_shared_queue_length(Oid database)
{
	Entry	   *entry;
	int64		length = 0;

	LWLockAcquire(shared->lock, LW_SHARED);
	entry = find_entry(database, false);
	if (entry != NULL)
		length = (int64) pg_atomic_read_u64(&entry->length);
	LWLockRelease(shared->lock);
	return length;
}

void
dwf_shared_add_length(Oid database, int64 count)
{
	Entry	   *entry;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	entry = find_entry(database, false);
	if (entry != NULL)
		(void) pg_atomic_fetch_add_u64(&entry->length, count);
	LWLockRelease(shared->lock);
}

void
dwf_shared_set_length(int64 count)
{
	pg_atomic_write_u64(&my_entry->length, (uint64) count);
}

void
dwf_shared_settled(void)
{
	if (shared != NULL)
		ConditionVariableBroadcast(&shared->settled);
}

void
dwf_shared_prepare_wait(void)
{
	if (shared != NULL)
		ConditionVariablePrepareToSleep(&shared->settled);
}

void
dwf_shared_wait_settled(long timeout)
{
	if (shared != NULL)
		(void) ConditionVariableTimedSleep(&shared->settled, timeout,
										   PG_WAIT_EXTENSION);
	else
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

void
dwf_shared_cancel_wait(void)
{
	if (shared != NULL)
		ConditionVariableCancelSleep();
}

bool
dwf_shared_status(Oid database, DwfWorkerStatus *status)
{
	Entry	   *entry;

	if (shared == NULL)
		return false;
	LWLockAcquire(shared->lock, LW_SHARED);
	entry = find_entry(database, false);
	if (entry != NULL)
	{
		*status = entry->status;
		status->in_flight = (int) pg_atomic_read_u64(&entry->in_flight);
		status->sent = (int64) pg_atomic_read_u64(&entry->sent);
		status->failed = (int64) pg_atomic_read_u64(&entry->failed);
	}
	LWLockRelease(shared->lock);
	return entry != NULL;
}

void
dwf_shared_launcher(void)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = MyLatch;

	/* workers of a launcher that died: none is starting any more */
	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		if (shared->entries[i].presence == DWF_STARTING)
			shared->entries[i].presence = DWF_UNKNOWN;
	}
	LWLockRelease(shared->lock);
	on_shmem_exit(detach_launcher, 0);
}

static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = NULL;
	LWLockRelease(shared->lock);
}

void
dwf_shared_set_promoted(void)
{
	shared->promoted = true;
}

bool
dwf_shared_was_promoted(void)
{
	return shared->promoted && !my_entry->is_told;
}

void
dwf_shared_set_told(void)
{
	my_entry->is_told = true;
}

void
dwf_shared_probe(Oid database)
{
	Entry	   *entry;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = find_entry(database, true);
	if (entry != NULL && entry->presence == DWF_ABSENT)
		entry->presence = DWF_UNKNOWN;
	if (entry != NULL)
		entry->retry_at = 0;
	if (shared->launcher != NULL)
		SetLatch(shared->launcher);
	LWLockRelease(shared->lock);
}

bool
dwf_shared_begin_start(Oid database, TimestampTz now)
{
	Entry	   *entry;
	bool		start;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = find_entry(database, true);
	start = entry != NULL && entry->presence == DWF_UNKNOWN &&
		entry->retry_at <= now && entry->status.pid == 0 &&
		!is_evicted(entry);
	if (start)
		entry->presence = DWF_STARTING;
	LWLockRelease(shared->lock);
	return start;
}

TimestampTz
dwf_shared_next_start(TimestampTz now)
{
	TimestampTz next = DT_NOEND;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		Entry	   *entry = &shared->entries[i];

		if (OidIsValid(entry->database) && entry->presence == DWF_UNKNOWN &&
			entry->status.pid == 0 && entry->retry_at > now)
			next = Min(next, entry->retry_at);
	}
	LWLockRelease(shared->lock);
	return next;
}

void
dwf_shared_fail_start(Oid database, TimestampTz retry_at)
{
	Entry	   *entry;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = find_entry(database, false);
	if (entry != NULL && entry->presence == DWF_STARTING &&
		entry->status.pid == 0)
	{
		entry->presence = DWF_UNKNOWN;
		entry->retry_at = retry_at;
	}
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&shared->left);
}

void
dwf_shared_forget(const Oid *databases, int count)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		Entry	   *entry = &shared->entries[i];
		bool		known = false;

		for (int j = 0; j < count && !known; j++)
			known = databases[j] == entry->database;
		if (!known && entry->status.pid == 0 &&
			entry->presence != DWF_STARTING && !is_evicted(entry))
			entry->database = InvalidOid;
	}
	LWLockRelease(shared->lock);
}

bool
dwf_shared_attach(Oid database)
{
	Entry	   *entry;
	bool		welcome;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = find_entry(database, true);
	welcome = entry != NULL && entry->status.pid == 0 && !is_evicted(entry);
	if (welcome)
	{
		memset(&entry->status, 0, sizeof(entry->status));
		pg_atomic_write_u64(&entry->in_flight, 0);
		pg_atomic_write_u64(&entry->sent, 0);
		pg_atomic_write_u64(&entry->failed, 0);
		entry->status.pid = MyProcPid;
		entry->status.started_at = GetCurrentTimestamp();
		entry->latch = MyLatch;
		my_entry = entry;
	}
	else if (entry != NULL && entry->presence == DWF_STARTING &&
			 entry->status.pid == 0)
		entry->presence = DWF_UNKNOWN;
	LWLockRelease(shared->lock);
	if (welcome)
		on_shmem_exit(detach_worker, 0);
	else
		ConditionVariableBroadcast(&shared->left);
	return welcome;
}

static void
detach_worker(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_entry->status.pid = 0;
	my_entry->latch = NULL;
	if (my_entry->presence != DWF_ABSENT)
	{
		/* ended by itself or by force: not again at once */
		my_entry->presence = DWF_UNKNOWN;
		my_entry->retry_at = code == 0 ? 0 :
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 1000);
	}
	if (shared->launcher != NULL)
		SetLatch(shared->launcher);
	LWLockRelease(shared->lock);
	ConditionVariableBroadcast(&shared->left);
}

void
dwf_shared_set_presence(DwfPresence presence)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	my_entry->presence = presence;
	LWLockRelease(shared->lock);
}

/* Lock held.  Takes out an evictor that is gone. */
static bool
is_evicted(Entry *entry)
{
	if (entry->evictor != 0 && entry->evictor != MyProcPid &&
		BackendPidGetProc(entry->evictor) == NULL)
		entry->evictor = 0;
	return entry->evictor != 0;
}

bool
dwf_shared_is_evicted(void)
{
	return my_entry->evictor != 0;
}

void
dwf_shared_publish(const DwfWorkerStatus *status)
{
	DwfWorkerStatus *shown = &my_entry->status;

	pg_atomic_write_u64(&my_entry->in_flight, status->in_flight);
	pg_atomic_write_u64(&my_entry->sent, status->sent);
	pg_atomic_write_u64(&my_entry->failed, status->failed);

	/* nobody else writes it, so that it can be read without the lock */
	if (shown->paused_until == status->paused_until &&
		shown->is_reason_private == status->is_reason_private &&
		strcmp(shown->pause_reason, status->pause_reason) == 0 &&
		strcmp(shown->last_error, status->last_error) == 0)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shown->paused_until = status->paused_until;
	shown->is_reason_private = status->is_reason_private;
	strlcpy(shown->pause_reason, status->pause_reason,
			sizeof(shown->pause_reason));
	strlcpy(shown->last_error, status->last_error, sizeof(shown->last_error));
	LWLockRelease(shared->lock);
}

void
dwf_shared_evict(Oid database)
{
	Entry	   *entry;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = find_entry(database, true);
	if (entry != NULL)
	{
		entry->evictor = MyProcPid;
		evicted = database;
		if (entry->latch != NULL)
			SetLatch(entry->latch);
	}
	LWLockRelease(shared->lock);

	ConditionVariablePrepareToSleep(&shared->left);
	while (entry != NULL && !has_left(database))
		(void) ConditionVariableTimedSleep(&shared->left, EVICTION_POLL,
										   PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

static bool
has_left(Oid database)
{
	Entry	   *entry;
	bool		left;

	LWLockAcquire(shared->lock, LW_SHARED);
	entry = find_entry(database, false);
	left = entry == NULL ||
		(entry->status.pid == 0 && entry->presence != DWF_STARTING);
	LWLockRelease(shared->lock);
	return left;
}

void
dwf_shared_readmit(void)
{
	Entry	   *entry;

	if (shared == NULL || !OidIsValid(evicted))
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	entry = find_entry(evicted, false);
	if (entry != NULL && entry->evictor == MyProcPid)
		entry->evictor = 0;
	if (shared->launcher != NULL)
		SetLatch(shared->launcher);
	LWLockRelease(shared->lock);
	evicted = InvalidOid;
}
