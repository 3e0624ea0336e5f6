/*
 * shared.h
 *	  Shared memory: which databases have a worker, how to wake it, and what
 *	  it says of itself.
 */
#ifndef DWF_SHARED_H
#define DWF_SHARED_H

#include "base/clock.h"
#include "base/news.h"

#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/timestamp.h"

/* Databases that can have a worker at a time; few, so that a test has more. */
#ifdef DWF_TEST_HOOKS
#define DWF_MAX_DATABASES	8
#else
#define DWF_MAX_DATABASES	128
#endif

/*
 * What is known of a database.
 *
 *		DWF_UNKNOWN   -> STARTING
 *		DWF_STARTING  -> RUNNING (it has the extension), ABSENT, DORMANT,
 *						 UNKNOWN
 *		DWF_RUNNING   -> UNKNOWN (it ended), ABSENT (extension dropped), DORMANT
 *		DWF_ABSENT    -> UNKNOWN (CREATE EXTENSION was committed); or its entry
 *						 is freed, for the launcher remembers it
 *		DWF_DORMANT   -> STARTING (a visit is due), UNKNOWN (domowf_resume());
 *						 or its entry is freed, where another database needs it
 */
typedef enum DwfPresence
{
	DWF_UNKNOWN,				/* to be probed, not before retry_at */
	DWF_STARTING,				/* a worker is registered, not yet there; the
								 * launcher sees whether it dies before */
	DWF_RUNNING,				/* a worker serves it */
	DWF_ABSENT,					/* it does not have the extension */
	DWF_DORMANT					/* a worker has nothing to do (dormancy.c) */
} DwfPresence;

/* What a worker has to do, and may be kept from. */
typedef enum DwfTask
{
	DWF_TASK_START,				/* what dead workers left, when it starts */
	DWF_TASK_STATE,				/* whether it is paused, and with which token */
	DWF_TASK_CLAIM,				/* the same, and claims what is due */
	DWF_TASK_SETTLE,			/* results that are not written yet */
	DWF_TASK_REDATE,			/* after somebody has set the clock */
	DWF_TASK_ORDER,				/* order keys */
	DWF_TASK_IDS,				/* ids that are free */
	DWF_TASK_LEFT,				/* what dead workers left, after the start */
	DWF_TASK_HOLD,				/* what a takeover has still to hold */
	DWF_TASK_CARE,				/* expiry */
	DWF_TASK_RECOUNT,			/* how long the queue is */
	DWF_TASK_REMOVE,			/* retention */
	DWF_TASK_COUNT,				/* what was counted, folded */
	DWF_TASK_TRACK,				/* what polls of instances have told */
	DWF_TASK_RETURNS,			/* for whom something is to be returned */
	DWF_TASK_ORPHANS,			/* of dead workers, locked by somebody */
	DWF_TASK_KEPT,				/* requests that are due, the same, or refused */
	DWF_TASK_REFUSED			/* rows that refuse something else */
} DwfTask;

#define DWF_TASKS	(DWF_TASK_REFUSED + 1)

/* What keeps a worker from something, as far as it knows. */
typedef struct DwfObstacle
{
	int			code;			/* of the last error; 0: none */
	bool		has_lock;		/* it waits for this lock, or did */
	LOCKTAG		lock;
	char		table[2 * NAMEDATALEN + 2]; /* of which it is; '': none, or
											 * not known */
	char		error[256];		/* private, see below */
} DwfObstacle;

/*
 * Processes that do returns for a database at a time, each of another owner; and
 * behind their places that of the process that does upkeep, which serves none.
 */
#define DWF_MAX_RETURNERS	5
#define DWF_UPKEEP_PLACE	((Oid) 1)	/* no role's oid */

/* A process that does returns, or upkeep, or will. */
typedef struct DwfReturner
{
	Oid			owner;			/* whom it serves; InvalidOid: a free place */
	int			pid;			/* 0: it has not come yet */
	DwfSteady	since;			/* the place is kept */
	struct Latch *latch;		/* its own, once it has come */
} DwfReturner;

/* Connections of a database that are shown. */
#define DWF_SHOWN_CONNECTIONS	32

typedef enum DwfConnectionState
{
	DWF_CONNECTION_IDLE,
	DWF_CONNECTION_SENDS,
	DWF_CONNECTION_PAUSED,
	DWF_CONNECTION_WAITS		/* requests do, and there is none for them */
} DwfConnectionState;

/* One of them, as the `connection` view shows it. */
typedef struct DwfConnectionStatus
{
	char		server[NAMEDATALEN];	/* "": the settings' */
	char		role[NAMEDATALEN];
	bool		is_public;		/* the mapping is PUBLIC's */
	DwfConnectionState state;
	int			in_flight;
	int64		sent;
	int64		failed;
	TimestampTz paused_until;
	bool		is_reason_private;
	bool		is_unneeded;	/* paused, or none, and nothing is to be sent
								 * there */
	bool		polls_wait;		/* instances there are not polled */
	char		reason[160];
} DwfConnectionStatus;

/* One database, as the `worker` view shows it. */
typedef struct DwfWorkerStatus
{
	/* by the steady clock: for stall.c */
	DwfSteady	stuck_since;	/* `stuck_at` does not get on; 0: all does */
	DwfTask		stuck_at;
	DwfTask		doing;			/* what it was about to do last */
	DwfSteady	expected_at;	/* it is to be heard of by then; 0: never */
	DwfObstacle obstacle;		/* of `stuck_at` */
	int			failures;		/* starts in a row that led to nothing */

	int			pid;			/* 0: none */
	bool		is_dormant;		/* and none is needed */
	int			in_flight;
	int64		sent;			/* attempts that ended, since its start */
	int64		failed;			/* of these: not done */
	TimestampTz started_at;
	TimestampTz paused_until;	/* 0: not paused; DT_NOEND: by a person */
	bool		is_reason_private;	/* it tells of a request */
	char		pause_reason[256];
	char		last_error[512];	/* private, too */
} DwfWorkerStatus;

/*
 * What others keep in shared memory: asks for room, and sets it up, with
 * AddinShmemInitLock held.
 */
typedef struct DwfSharedPart
{
	void		(*request) (void);
	void		(*start) (void);
} DwfSharedPart;

/*
 * Asks for shared memory, for itself and the others, who are to stay where they
 * are; to be called while libraries are preloaded.
 */
extern void dwf_shared_request(const DwfSharedPart *parts, int count);

/* Whether the library was preloaded, so that there can be workers. */
extern bool dwf_shared_exists(void);

/*
 * Tells the worker of a database what was committed: `count` requests more
 * wait (negative: fewer), something is due from `run_at` on (DT_NOEND: nothing
 * is, of itself), a request stands behind another one of its order key, so
 * that the worker looks whether that one is still there.  Wakes it where one
 * of the last two is so.  Cheap and without errors, fit for a commit callback.
 * False where nobody knows that the database has the extension, or nobody is
 * there to hear that it was resumed (DT_NOBEGIN): see dwf_roster_probe().
 */
extern bool dwf_shared_wake(Oid database, TimestampTz run_at, int64 count,
							bool stands_behind);

/*
 * Tells the worker of a database, which is to be woken afterwards.  Without
 * errors as well.
 */
extern void dwf_shared_tell(Oid database, const DwfNews *news);

/*
 * About how many requests of a database wait to be sent.  Each transaction
 * adds to it what it does; the worker counts anew at times (recount.c), and
 * corrects it by the second one.
 */
extern int64 dwf_shared_queue_length(Oid database);
extern void dwf_shared_add_length(Oid database, int64 count);

/*
 * How long it took to count the queue of a database, usec, the last time; the
 * second one for its worker.
 */
extern void dwf_shared_note_count(Oid database, int64 took);
extern int64 dwf_shared_count_took(void);

/*
 * By which error the process that removes old rows of the log failed, 0: it did
 * not; the second one for the worker of its database.
 */
extern void dwf_shared_note_removal(Oid database, int code);
extern int	dwf_shared_removal_failed(void);

/*
 * Copies what is known of a database's worker; false: nothing is.  The same of
 * one place after the other, DWF_MAX_DATABASES in all.
 */
extern bool dwf_shared_status(Oid database, DwfWorkerStatus *status);
extern bool dwf_shared_status_at(int place, Oid *database,
								 DwfWorkerStatus *status);

/* Copies up to DWF_SHOWN_CONNECTIONS; how many. */
extern int	dwf_shared_connections(Oid database, DwfConnectionStatus *rows);

/*
 * For a worker.  Attaches the calling process; false where it was evicted
 * meanwhile and must exit.  It detaches when the process exits, in whatever
 * way; `present` says then whether the database has the extension.
 */
extern bool dwf_shared_attach(Oid database);
extern void dwf_shared_set_presence(DwfPresence presence);

/* Whether this process is one. */
extern bool dwf_shared_is_worker(void);

/* Whether somebody asks this worker to leave its database. */
extern bool dwf_shared_is_evicted(void);

/* Publishes what the worker says of itself. */
extern void dwf_shared_publish(const DwfWorkerStatus *status);

/* The same of its connections, where it has changed. */
extern void dwf_shared_publish_connections(const DwfConnectionStatus *rows,
										   int count);

/*
 * Says since when a task does not get on, 0: all do; which one is begun; by when
 * the worker will be heard of again, 0: nobody knows; and what is in the way of
 * the first.  All but the last cost nothing.
 */
extern void dwf_shared_set_stuck(DwfSteady since, DwfTask task);
extern void dwf_shared_set_doing(DwfTask task);
extern void dwf_shared_expect(DwfSteady when);
extern void dwf_shared_set_obstacle(const DwfObstacle *obstacle);

/* Since when this worker's predecessors have been stuck; 0: they were not. */
extern DwfSteady dwf_shared_stuck_since(void);

/*
 * The earliest run_at that was committed since the last call, DT_NOEND where
 * none was.
 */
extern TimestampTz dwf_shared_take_earliest(void);

/*
 * Whether domowf_pause() or domowf_resume() was committed since the last call of
 * that, which this leaves as it is.
 */
extern bool dwf_shared_is_told(void);

/* Takes what was told since the last call; false: nothing. */
extern bool dwf_shared_take_news(DwfNews *news);

/* Whether something that stands behind was committed since the last call. */
extern bool dwf_shared_take_waiting(void);

#endif							/* DWF_SHARED_H */
