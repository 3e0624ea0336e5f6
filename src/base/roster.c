/*
 * roster.c
 *	  Which databases have a worker, or are to be probed: what the launcher
 *	  goes by.
 *
 * It stands in shared memory, since CREATE EXTENSION in any process is what
 * makes a database known, and its worker what says how it went.
 */
#include "postgres.h"

#include "base/roster.h"
#include "base/shared_entry.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

/* How long a visit is put off whose process did not come, milliseconds. */
#define LOST_VISIT_WAIT	60000

static void detach_launcher(int code, Datum arg);
static DwfSharedEntry *find_starting(Oid database);
static void end_start(DwfSharedEntry *entry);

void
dwf_roster_open(void)
{
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	dwf_shared->launcher = MyLatch;

	/* workers of a launcher that died: none is starting any more */
	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		if (dwf_shared->entries[i].presence == DWF_STARTING)
		{
			dwf_shared->entries[i].presence = DWF_UNKNOWN;
			dwf_shared->entries[i].is_visit = false;
		}
	}
	LWLockRelease(dwf_shared->lock);
	on_shmem_exit(detach_launcher, 0);
}

static void
detach_launcher(int code, Datum arg)
{
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	dwf_shared->launcher = NULL;
	LWLockRelease(dwf_shared->lock);
}

void
dwf_roster_probe(Oid database)
{
	DwfSharedEntry *entry;

	if (dwf_shared == NULL)
		return;
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	entry = dwf_shared_find(database, true);
	if (entry != NULL && (entry->presence == DWF_ABSENT ||
						  entry->presence == DWF_DORMANT))
		entry->presence = DWF_UNKNOWN;
	if (entry != NULL)
	{
		entry->retry_at = 0;
		entry->visits = 0;
		entry->is_probed = true;
	}
	else
		dwf_shared->overflow = database;

	/* where there is no room it looks soon enough by itself */
	if (entry != NULL && dwf_shared->launcher != NULL)
		SetLatch(dwf_shared->launcher);
	LWLockRelease(dwf_shared->lock);
}

bool
dwf_roster_begin_start(Oid database, DwfSteady now, bool make_room)
{
	DwfSharedEntry *entry;
	bool		start;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	entry = dwf_shared_find(database, make_room ||
							dwf_shared_find(InvalidOid, false) != NULL);
	start = entry != NULL && entry->presence == DWF_UNKNOWN &&
		entry->retry_at <= now && entry->status.pid == 0 &&
		!dwf_shared_entry_is_evicted(entry);
	if (start)
		entry->presence = DWF_STARTING;
	LWLockRelease(dwf_shared->lock);
	return start;
}

DwfSteady
dwf_roster_next_start(DwfSteady now)
{
	DwfSteady	next = DT_NOEND;

	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		DwfSharedEntry *entry = &dwf_shared->entries[i];

		if (OidIsValid(entry->database) &&
			(entry->presence == DWF_UNKNOWN ||
			 entry->presence == DWF_DORMANT) &&
			entry->status.pid == 0 && entry->retry_at > now)
			next = Min(next, entry->retry_at);
	}
	LWLockRelease(dwf_shared->lock);
	return next;
}

void
dwf_roster_fail_start(Oid database, DwfSteady retry_at)
{
	DwfSharedEntry *entry;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	entry = find_starting(database);
	if (entry != NULL)
	{
		end_start(entry);
		entry->retry_at = retry_at;
	}
	LWLockRelease(dwf_shared->lock);
	ConditionVariableBroadcast(&dwf_shared->left);
}

/* The entry of a database whose process is to attach yet.  Lock held. */
static DwfSharedEntry *
find_starting(Oid database)
{
	DwfSharedEntry *entry = dwf_shared_find(database, false);

	return entry != NULL && entry->presence == DWF_STARTING &&
		entry->status.pid == 0 ? entry : NULL;
}

/* Lock held. */
static void
end_start(DwfSharedEntry *entry)
{
	entry->presence = entry->is_visit ? DWF_DORMANT : DWF_UNKNOWN;
	entry->is_visit = false;
}

void
dwf_roster_lose_start(Oid database)
{
	DwfSharedEntry *entry;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	entry = find_starting(database);
	if (entry != NULL)
	{
		end_start(entry);
		if (entry->presence == DWF_DORMANT)
			entry->retry_at = TimestampTzPlusMilliseconds(dwf_clock_now(),
														  LOST_VISIT_WAIT);
		else
			dwf_shared_entry_put_off(entry);
	}
	LWLockRelease(dwf_shared->lock);
	ConditionVariableBroadcast(&dwf_shared->left);
}

bool
dwf_roster_is_starting(Oid database)
{
	bool		is_starting;

	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	is_starting = find_starting(database) != NULL;
	LWLockRelease(dwf_shared->lock);
	return is_starting;
}

Oid
dwf_roster_take_absent(Oid *overflow)
{
	Oid			database = InvalidOid;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	*overflow = dwf_shared->overflow;
	dwf_shared->overflow = InvalidOid;
	for (int i = 0; i < DWF_MAX_DATABASES && !OidIsValid(database); i++)
	{
		DwfSharedEntry *entry = &dwf_shared->entries[i];

		if (OidIsValid(entry->database) && entry->presence == DWF_ABSENT &&
			entry->status.pid == 0 && !dwf_shared_entry_is_evicted(entry))
		{
			database = entry->database;
			entry->database = InvalidOid;
		}
	}
	LWLockRelease(dwf_shared->lock);
	return database;
}

bool
dwf_roster_knows(Oid database)
{
	bool		known;

	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	known = dwf_shared_find(database, false) != NULL;
	LWLockRelease(dwf_shared->lock);
	return known;
}

bool
dwf_roster_has_no_room(Oid database)
{
	bool		has_none = true;

	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		const DwfSharedEntry *entry = &dwf_shared->entries[i];
		bool		is_new = entry->presence == DWF_UNKNOWN &&
		entry->status.pid == 0 && entry->failures == 0;

		if (entry->database == database || !OidIsValid(entry->database) ||
			is_new || entry->presence == DWF_STARTING ||
			entry->presence == DWF_ABSENT)
			has_none = false;
	}
	LWLockRelease(dwf_shared->lock);
	return has_none;
}

void
dwf_roster_forget(const Oid *databases, int count)
{
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		DwfSharedEntry *entry = &dwf_shared->entries[i];
		bool		known = false;

		for (int j = 0; j < count && !known; j++)
			known = databases[j] == entry->database;
		if (!known && entry->status.pid == 0 &&
			entry->presence != DWF_STARTING && !dwf_shared_entry_is_evicted(entry))
			entry->database = InvalidOid;
	}
	LWLockRelease(dwf_shared->lock);
}
