/*
 * returners.c
 *	  The processes that do returns, and upkeep, as shared memory knows them.
 *
 * Their places stand in the entry of their database (shared_entry.h), under its
 * lock.  That an owner has one process alone rests on them: a crash of any
 * process of the server makes shared memory, and all of these, anew.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/returners.h"
#include "base/shared_entry.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

/* How long a place is kept for a process that does not come, milliseconds. */
#define ARRIVAL_PATIENCE	10000

static Oid	my_database;
static Oid	my_owner;
static bool has_done;

static DwfReturner *find_place(DwfSharedEntry *entry, Oid owner);
static bool is_for(int number, Oid owner);
static bool is_free(const DwfReturner *place, DwfSteady now);
static void detach(int code, Datum arg);

bool
dwf_returner_reserve(Oid owner)
{
	DwfSteady	now = dwf_clock_now();
	DwfReturner *chosen = NULL;
	DwfReturner *held;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	held = find_place(dwf_shared_mine, owner);
	if (held != NULL && is_free(held, now))
		chosen = held;
	for (int i = 0; i < DWF_MAX_RETURNERS && held == NULL && chosen == NULL; i++)
	{
		if (is_for(i, owner) && is_free(&dwf_shared_mine->returners[i], now))
			chosen = &dwf_shared_mine->returners[i];
	}
	if (chosen != NULL)
		*chosen = (DwfReturner)
	{
		owner, 0, now
	};
	LWLockRelease(dwf_shared->lock);
	return chosen != NULL;
}

void
dwf_returner_give_back(Oid owner)
{
	DwfReturner *place;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	place = find_place(dwf_shared_mine, owner);
	if (place != NULL && place->pid == 0)
		place->owner = InvalidOid;
	LWLockRelease(dwf_shared->lock);
}

/* The place of an owner; NULL: it has none.  Lock held. */
static DwfReturner *
find_place(DwfSharedEntry *entry, Oid owner)
{
	for (int i = 0; i < DWF_MAX_RETURNERS; i++)
	{
		if (entry->returners[i].owner == owner)
			return &entry->returners[i];
	}
	return NULL;
}

/* Returns never keep upkeep from its place, nor the other way round. */
static bool
is_for(int number, Oid owner)
{
	return (number == DWF_MAX_RETURNERS - 1) == (owner == DWF_UPKEEP_PLACE);
}

static bool
is_free(const DwfReturner *place, DwfSteady now)
{
	return !OidIsValid(place->owner) ||
		(place->pid == 0 &&
		 now >= TimestampTzPlusMilliseconds(place->since, ARRIVAL_PATIENCE));
}

bool
dwf_returner_attach(Oid database, Oid owner)
{
	DwfSharedEntry *entry;
	DwfReturner *place = NULL;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	entry = dwf_shared_find(database, false);
	if (entry != NULL && !dwf_shared_entry_is_evicted(entry))
		place = find_place(entry, owner);
	if (place != NULL && place->pid != 0)
		place = NULL;
	if (place != NULL)
	{
		place->pid = MyProcPid;
		place->latch = MyLatch;
	}
	LWLockRelease(dwf_shared->lock);
	if (place == NULL)
		return false;
	my_database = database;
	my_owner = owner;
	on_shmem_exit(detach, 0);
	return true;
}

/* At the exit, in whatever way: must not fail. */
static void
detach(int code, Datum arg)
{
	DwfSharedEntry *entry;
	DwfReturner *place;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	entry = dwf_shared_find(my_database, false);
	place = entry == NULL ? NULL : find_place(entry, my_owner);
	if (place != NULL && place->pid == MyProcPid)
		*place = (DwfReturner)
	{
		InvalidOid, 0, 0
	};
	if (has_done && entry != NULL)
		entry->returned_at = dwf_clock_now();
	LWLockRelease(dwf_shared->lock);
	if (has_done)
		dwf_returner_tell(my_database);
	ConditionVariableBroadcast(&dwf_shared->left);
}

void
dwf_returner_note_done(void)
{
	has_done = true;
}

bool
dwf_returner_is_at_work(Oid database, int lately)
{
	DwfSharedEntry *entry;
	bool		is_at_work = false;

	if (dwf_shared == NULL)
		return false;
	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	entry = dwf_shared_find(database, false);
	for (int i = 0; i < DWF_MAX_RETURNERS && entry != NULL; i++)
		is_at_work |= entry->returners[i].pid != 0 &&
			!is_for(i, DWF_UPKEEP_PLACE);
	if (entry != NULL && entry->returned_at != 0)
		is_at_work |= dwf_clock_now() <
			TimestampTzPlusMilliseconds(entry->returned_at, lately);
	LWLockRelease(dwf_shared->lock);
	return is_at_work;
}

bool
dwf_returner_is_evicted(void)
{
	DwfSharedEntry *entry;
	bool		is_evicted;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	entry = dwf_shared_find(my_database, false);
	is_evicted = entry == NULL || dwf_shared_entry_is_evicted(entry);
	LWLockRelease(dwf_shared->lock);
	return is_evicted;
}

void
dwf_returner_tell(Oid database)
{
	DwfSharedEntry *entry;
	Latch	   *latch = NULL;

	if (dwf_shared == NULL)
		return;
	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	entry = dwf_shared_find(database, false);
	if (entry != NULL)
	{
		pg_atomic_write_u32(&entry->has_returns, 1);
		latch = entry->latch;
		/* upkeep is not woken: it rests for as long as others need */
		for (int i = 0; i < DWF_MAX_RETURNERS; i++)
		{
			if (entry->returners[i].pid != 0 &&
				!is_for(i, DWF_UPKEEP_PLACE))
				SetLatch(entry->returners[i].latch);
		}
	}
	LWLockRelease(dwf_shared->lock);
	if (latch != NULL)
		SetLatch(latch);
}

bool
dwf_returner_take_told(void)
{
	return pg_atomic_read_u32(&dwf_shared_mine->has_returns) != 0 &&
		pg_atomic_exchange_u32(&dwf_shared_mine->has_returns, 0) != 0;
}
