/*
 * shared.h
 *	  Shared memory: which databases have a worker, how to wake it, and what
 *	  it says of itself.
 */
#ifndef DWF_SHARED_H
#define DWF_SHARED_H

#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

/* Databases that can have a worker at a time. */
#define DWF_MAX_DATABASES	128

/*
 * What the launcher knows of a database.
 *
 *		DWF_UNKNOWN   -> STARTING
 *		DWF_STARTING  -> RUNNING (it has the extension), ABSENT, UNKNOWN
 *		DWF_RUNNING   -> UNKNOWN (it ended), ABSENT (extension dropped)
 *		DWF_ABSENT    -> UNKNOWN (CREATE EXTENSION was committed)
 */
typedef enum DwfPresence
{
	DWF_UNKNOWN,				/* to be probed, not before retry_at */
	DWF_STARTING,				/* a worker is registered, not yet there */
	DWF_RUNNING,				/* a worker serves it */
	DWF_ABSENT					/* it does not have the extension */
} DwfPresence;

/* One database, as the `worker` view shows it. */
typedef struct DwfWorkerStatus
{
	int			pid;			/* 0: none */
	int			in_flight;
	int64		sent;			/* attempts that ended, since its start */
	int64		failed;			/* of these: not done */
	TimestampTz started_at;
	TimestampTz paused_until;	/* 0: not paused; DT_NOEND: by a person */
	bool		is_reason_private;	/* it tells of a request */
	char		pause_reason[256];
	char		last_error[512];	/* private, too */
} DwfWorkerStatus;

/* Asks for shared memory; to be called while libraries are preloaded. */
extern void dwf_shared_request(void);

/* Whether the library was preloaded, so that there can be workers. */
extern bool dwf_shared_exists(void);

/*
 * Tells the worker of a database what was committed: `count` requests more
 * wait (negative: fewer), something is due from `run_at` on (DT_NOEND: nothing
 * is, of itself), a request stands behind another one of its order key, so
 * that the worker looks whether that one is still there.  Wakes it where one
 * of the last two is so.  Cheap and without errors, fit for a commit callback.
 */
extern void dwf_shared_wake(Oid database, TimestampTz run_at, int64 count,
							bool stands_behind);

/*
 * About how many requests of a database wait to be sent.  Backends add what
 * they commit, the worker counts anew and takes off what it settles.
 */
extern int64 dwf_shared_queue_length(Oid database);
extern void dwf_shared_add_length(Oid database, int64 count);
extern void dwf_shared_set_length(int64 count);

/* Wakes whoever waits in dwf_shared_wait_settled(); no errors. */
extern void dwf_shared_settled(void);

/*
 * Waits until something was settled anywhere, or for `timeout` milliseconds.
 * Prepared with dwf_shared_prepare_wait() before the state is looked at.
 */
extern void dwf_shared_prepare_wait(void);
extern void dwf_shared_wait_settled(long timeout);
extern void dwf_shared_cancel_wait(void);

/* Copies what is known of a database's worker; false: nothing is. */
extern bool dwf_shared_status(Oid database, DwfWorkerStatus *status);

/*
 * For the launcher.  dwf_shared_launcher() makes the calling process the one
 * that is woken by the others.
 */
extern void dwf_shared_launcher(void);

/* Notes that this server was promoted since it started. */
extern void dwf_shared_set_promoted(void);

/* The same for a worker: once for each database, until it says that it knows. */
extern bool dwf_shared_was_promoted(void);

/* Says that this database's queue has been paused for it. */
extern void dwf_shared_set_told(void);

/* Wakes the launcher: a database is new, or has the extension now. */
extern void dwf_shared_probe(Oid database);

/*
 * Marks a database as starting where it is unknown, due and not evicted.
 * Returns false where there is nothing to start.
 */
extern bool dwf_shared_begin_start(Oid database, TimestampTz now);

/* When a worker that ended may be started again; DT_NOEND: there is none. */
extern TimestampTz dwf_shared_next_start(TimestampTz now);

/* Takes that back: no worker could be registered; again at `retry_at`. */
extern void dwf_shared_fail_start(Oid database, TimestampTz retry_at);

/* Frees the entries of databases that are not among `databases`. */
extern void dwf_shared_forget(const Oid *databases, int count);

/*
 * For a worker.  Attaches the calling process; false where it was evicted
 * meanwhile and must exit.  It detaches when the process exits, in whatever
 * way; `present` says then whether the database has the extension.
 */
extern bool dwf_shared_attach(Oid database);
extern void dwf_shared_set_presence(DwfPresence presence);

/* Whether somebody asks this worker to leave its database. */
extern bool dwf_shared_is_evicted(void);

/* Publishes what the worker says of itself. */
extern void dwf_shared_publish(const DwfWorkerStatus *status);

/*
 * The earliest run_at that was committed since the last call, DT_NOEND where
 * none was.
 */
extern TimestampTz dwf_shared_take_earliest(void);

/* Whether something that stands behind was committed since the last call. */
extern bool dwf_shared_take_waiting(void);

/*
 * For whoever needs a database without connections.  Asks its worker to leave
 * and waits until it has, interruptible; keeps the launcher from starting
 * another one until dwf_shared_readmit(), or until this process is gone.
 */
extern void dwf_shared_evict(Oid database);
extern void dwf_shared_readmit(void);

#endif							/* DWF_SHARED_H */
