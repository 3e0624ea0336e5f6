/*
 * shared_entry.h
 *	  What shared memory looks like; for shared.c, roster.c, dormancy.c,
 *	  returners.c and evict.c only.
 */
#ifndef DWF_SHARED_ENTRY_H
#define DWF_SHARED_ENTRY_H

#include "base/clock.h"
#include "base/shared.h"

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

/* One database. */
typedef struct DwfSharedEntry
{
	Oid			database;		/* InvalidOid: free */
	DwfPresence presence;
	DwfSteady	retry_at;		/* DWF_UNKNOWN: not started before this;
								 * DWF_DORMANT: not visited */
	int			failures;		/* starts that led to nothing, in a row */
	int			evictor;		/* pid, 0: none */
	bool		is_probed;		/* dwf_roster_probe(), while there is a worker */
	bool		is_visit;		/* of a dormant database: what its worker is */
	int			visits;			/* since it is dormant */
	DwfSteady	say_again;		/* why it is paused: not before, in the log */
	DwfSteady	attached_at;	/* the worker, last */
	Latch	   *latch;			/* of the worker; NULL: none */
	pg_atomic_uint64 earliest;	/* TimestampTz of the earliest new run_at */
	pg_atomic_uint32 waiting;	/* a request that stands behind is new */
	pg_atomic_uint32 has_news;	/* in `news`, behind its lock */
	slock_t		news_lock;
	DwfNews		news;
	pg_atomic_uint64 length;	/* int64: requests that wait, about */
	pg_atomic_uint32 removal_failed;	/* SQLSTATE, 0: it did not */
	pg_atomic_uint64 count_took;	/* usec, to count them */
	pg_atomic_uint64 in_flight; /* these seven: for `status`, */
	pg_atomic_uint64 sent;		/* written without the lock */
	pg_atomic_uint64 failed;
	pg_atomic_uint64 stuck_since;
	pg_atomic_uint32 stuck_at;
	pg_atomic_uint32 doing;
	pg_atomic_uint64 expected_at;
	pg_atomic_uint32 has_returns;	/* dwf_returner_tell() */
	DwfReturner returners[DWF_MAX_RETURNERS];
	DwfSteady	returned_at;	/* one that did some has ended; 0: none has */
	DwfWorkerStatus status;
	int			nconnections;
	DwfConnectionStatus connections[DWF_SHOWN_CONNECTIONS];
} DwfSharedEntry;

typedef struct DwfShared
{
	LWLock	   *lock;
	Latch	   *launcher;
	Oid			overflow;		/* dwf_roster_probe() found no room for it */
	ConditionVariable left;		/* a worker has left a database */
	DwfSharedEntry entries[DWF_MAX_DATABASES];
} DwfShared;

/* NULL: not preloaded. */
extern DwfShared *dwf_shared;

/* The entry of the worker that this process is; NULL: it is none. */
extern DwfSharedEntry *dwf_shared_mine;

/*
 * The entry of a database; NULL: none, or no room.  Where it is to be made, one
 * that is dormant makes room.  Lock held.
 */
extern DwfSharedEntry *dwf_shared_find(Oid database, bool make);

/* Not started again at once, and later where it never works.  Lock held. */
extern void dwf_shared_entry_put_off(DwfSharedEntry *entry);

/* Whether a database is dormant and in nobody's hands.  Lock held. */
extern bool dwf_shared_entry_sleeps(DwfSharedEntry *entry);

/* Whether a worker is not wanted.  Lock held; takes out who is gone. */
extern bool dwf_shared_entry_is_evicted(DwfSharedEntry *entry);

#endif							/* DWF_SHARED_ENTRY_H */
