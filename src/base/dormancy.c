/*
 * dormancy.c
 *	  Databases that keep no worker process, since it could do nothing there
 *	  until somebody acts: copies of another one, and those whose tables this
 *	  library cannot serve.
 *
 * Whoever may create databases can make any number of copies, and a process for
 * each would take the slots of max_worker_processes from those who have
 * something to send, and from everybody else on the server.  So such a worker
 * says why it is paused, in its database's entry, and exits.  The entry is kept
 * for people to read; it gives way where another database needs it
 * (dwf_shared_find()), and the launcher remembers for whom none was left, who
 * then has no row in domowf.worker and is not visited.
 *
 * Nothing else that somebody without other rights can make holds a process or an
 * entry for long: a database without the extension gives both back, and to
 * create the extension, or resume a copy, takes a right of its own.  So a
 * database that is paused by a person or after a promotion keeps its worker.
 *
 * What brings a worker back: domowf_resume(), ALTER EXTENSION UPDATE, a restart.
 * But not all that matters is told by a commit of this server's (COMMIT PREPARED
 * tells nothing, nor does a table that was mended), and expiry, retention and
 * renamed roles are promised of a paused database, too.  So it is visited: a
 * worker comes for one turn.  Visits come at growing intervals, up to a minute,
 * and take a small share of the time, as a visit reads the whole queue; and
 * there is one at a time on a server, so that all of them together take one
 * slot, and only one that nobody else wants.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/dormancy.h"
#include "base/guc.h"
#include "base/shared_entry.h"
#include "base/testpoint.h"

#include "utils/timestamp.h"

/* The longest time between visits, milliseconds. */
#define MAX_VISIT_WAIT	60000

/* Visits take 1/100 of the time; but where one took long, not a day's pause. */
#define VISIT_SHARE		100
#define MAX_SHARE_WAIT	3600000

/* How often a reason is said, milliseconds. */
#define SAY_INTERVAL	60000

static DwfSteady next_visit(const DwfSharedEntry *entry);

bool
dwf_dormancy_begin(void)
{
	DwfSharedEntry *entry = dwf_shared_mine;
	bool		begin;

	DWF_TESTPOINT("before-dormancy");
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);

	/* told by dwf_shared_wake(), or by dwf_roster_probe() */
	begin = !entry->is_probed &&
		(TimestampTz) pg_atomic_read_u64(&entry->earliest) != DT_NOBEGIN;
	entry->is_probed = false;
	if (begin)
	{
		entry->retry_at = next_visit(entry);
		entry->visits++;
		entry->presence = DWF_DORMANT;
	}
	LWLockRelease(dwf_shared->lock);
	return begin;
}

static DwfSteady
next_visit(const DwfSharedEntry *entry)
{
	DwfSteady	now = dwf_clock_now();
	int64		wait = (int64) dwf_poll_interval << Min(entry->visits, 10);
	int64		share = VISIT_SHARE *
	TimestampDifferenceMilliseconds(entry->attached_at, now);

	wait = Min(wait, DWF_TESTNUMBER("visit-wait", MAX_VISIT_WAIT));
	return TimestampTzPlusMilliseconds(now,
									   Max(wait, Min(share, MAX_SHARE_WAIT)));
}

bool
dwf_dormancy_may_say(const char *reason)
{
	DwfSharedEntry *entry = dwf_shared_mine;
	DwfSteady	now = dwf_clock_now();

	/* nobody else writes these two */
	if (now < entry->say_again &&
		strcmp(entry->status.pause_reason, reason) == 0)
		return false;
	entry->say_again = TimestampTzPlusMilliseconds(now, SAY_INTERVAL);
	return true;
}

Oid
dwf_dormancy_take_visit(DwfSteady now)
{
	DwfSharedEntry *next = NULL;
	Oid			database = InvalidOid;

	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < DWF_MAX_DATABASES; i++)
	{
		DwfSharedEntry *entry = &dwf_shared->entries[i];

		if (OidIsValid(entry->database) && dwf_shared_entry_sleeps(entry) &&
			entry->retry_at <= now &&
			(next == NULL || entry->retry_at < next->retry_at))
			next = entry;
	}
	if (next != NULL)
	{
		next->presence = DWF_STARTING;
		next->is_visit = true;
		database = next->database;
	}
	LWLockRelease(dwf_shared->lock);
	return database;
}

bool
dwf_dormancy_is_visited(Oid database)
{
	DwfSharedEntry *entry;
	bool		is_visited;

	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	entry = dwf_shared_find(database, false);
	is_visited = entry != NULL && entry->is_visit &&
		(entry->status.pid != 0 || entry->presence == DWF_STARTING);
	LWLockRelease(dwf_shared->lock);
	return is_visited;
}

bool
dwf_dormancy_holds(Oid database)
{
	DwfSharedEntry *entry;
	bool		is_dormant;

	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	entry = dwf_shared_find(database, false);
	is_dormant = entry != NULL &&
		(entry->presence == DWF_DORMANT || entry->is_visit);
	LWLockRelease(dwf_shared->lock);
	return is_dormant;
}
