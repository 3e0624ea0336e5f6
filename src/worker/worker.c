/*
 * worker.c
 *	  The background worker of a database: sends what was enqueued, settles it.
 *
 * One turn of the loop:
 *
 *		take interrupts			reload, shutdown, eviction
 *		write					ONE transaction: settle what has ended, claim
 *								what there is room for; committed to disk
 *		send					what was claimed
 *		harvest					drive the engine, turn replies into results
 *		look after				at times: expiry, retention, lost rows
 *		leave					where nothing is to be done until somebody acts
 *		wait					network, latch, or the next time that matters
 *
 * A claim is on disk before its first byte leaves, and no transaction is open
 * while the network is waited for.  Each attempt is settled in the turn in
 * which it ended.
 *
 * When the writing fails, its results are kept and written one by one, each in
 * a transaction of its own, so that the one that cannot be written holds up
 * nobody else; that one is tried again, at growing intervals, until it can.
 *
 * Two lifetimes: a Worker lives as long as the process; what belongs to one
 * attempt lives in an Attempt's own memory context, from claim to settlement.
 */
#include "postgres.h"

#include "base/commit.h"
#include "base/compat.h"
#include "base/dormancy.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/news.h"
#include "base/owner.h"
#include "base/roster.h"
#include "base/shared.h"
#include "base/testpoint.h"
#include "queue/pause.h"
#include "queue/recount.h"
#include "queue/upkeep.h"
#include "queue/watch.h"
#include "worker/care.h"
#include "worker/drain.h"
#include "worker/sender.h"
#include "worker/serving.h"
#include "worker/worker.h"
#include "worker/worker_start.h"
#include "worker/worker_status.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Order keys are looked at in this part of the time at most, 1/4. */
#define WATCH_SHARE		4

/* Where a wait for a standby has ended early, no claim for so long, ms. */
#define HELD_BACK_WAIT	100

/* How long tables may be wrong before no process is kept for them, ms. */
#define FAULT_PATIENCE	60000

typedef struct Worker
{
	int64		owner;			/* random: guards settlements */
	Oid			queue;			/* the table that it serves */
	bool		has_orphans;	/* of dead workers, not yet recovered */
	DwfSender  *sender;			/* engine, connection, attempts in flight */

	bool		read_state;		/* look into domowf.state again */
	bool		told;			/* by domowf_pause() or domowf_resume() */
	bool		leaves;			/* when nothing is in flight any more */
	bool		drains;			/* it claims no more, and will end */
	bool		is_last;		/* what is written now is its last */
	bool		paused;			/* by a person, or as a copy */
	bool		is_copy;		/* of another database */
	char		pause_reason[256];
	char		fault[256];		/* of the tables; '': none */
	TimestampTz fault_until;	/* not patient with it any longer; 0: none */
	bool		began;			/* the last transaction came to its work */
	TimestampTz write_again;	/* no transaction before, where it did not */

	TimestampTz next_care;
	bool		is_cared;		/* all that there was to do, once */
	bool		may_strand;		/* a request may stand behind nobody */
	TimestampTz next_watch;		/* no look at that before */
	DwfCare		care;			/* what is done then, at its own intervals */
	TimestampTz claim_again;	/* no claim before, after a failure */
	bool		locked_out;		/* it failed because somebody has a lock */
	TimestampTz tell_lock;		/* in the server's log not before this */
	bool		has_news;		/* the network, or it may */
} Worker;

static void recover(Worker *worker);
static void recover_orphans(Worker *worker);
static void take_interrupts(Worker *worker);
static void leave(Worker *worker);
static void take_wakeup(Worker *worker);
static bool has_to_write(Worker *worker, TimestampTz now);
static void write_turn(Worker *worker);
static bool in_transaction(void (*work) (Worker *), Worker *worker);
static void note_failure(Worker *worker);
static void write_all(Worker *worker);
static void write_one(Worker *worker);
static void read_state(Worker *worker);
static void look_after(Worker *worker);
static void look_at_order_keys(Worker *worker, TimestampTz now);
static void watch(Worker *worker);
static void look_after_all(Worker *worker);
static void publish(Worker *worker);
static void leave_dormant(Worker *worker);
static void wait_for_work(Worker *worker);
static long find_timeout(const Worker *worker, TimestampTz now);
static void sooner(long *timeout, TimestampTz now, TimestampTz when);

void
domowf_worker_main(Datum arg)
{
	Worker	   *worker;

	worker = MemoryContextAllocZero(TopMemoryContext, sizeof(Worker));
	worker->queue = dwf_worker_become(DatumGetObjectId(arg));
	pg_strong_random(&worker->owner, sizeof(worker->owner));
	worker->read_state = worker->has_news = true;
	dwf_watch_begin();
	worker->sender = dwf_sender_open();

	if (!in_transaction(recover, worker))
		proc_exit(1);			/* the launcher starts another one */
	dwf_roster_set_told();
	dwf_shared_set_presence(DWF_RUNNING);
	dwf_drain_prepare();
	for (;;)
	{
		take_interrupts(worker);
		write_turn(worker);
		dwf_sender_send(worker->sender);
		dwf_sender_harvest(worker->sender, worker->has_news);
		look_after(worker);
		publish(worker);
		leave_dormant(worker);
		wait_for_work(worker);
	}
}

static void
recover(Worker *worker)
{
	recover_orphans(worker);
	dwf_recount();
	if (dwf_roster_was_promoted())
		dwf_pause_promoted();
}

/* What dead workers were sending, but for what somebody has locked. */
static void
recover_orphans(Worker *worker)
{
	int			again;
	int			doubt = dwf_upkeep_recover(worker->owner, GetCurrentTimestamp(),
										   &again, &worker->has_orphans);

	if (doubt > 0 || again > 0)
		ereport(LOG,
				(errmsg("domowf: %d requests are in doubt and %d will be sent again, because a worker ended while it was sending",
						doubt, again)));
}

static void
take_interrupts(Worker *worker)
{
	if (dwf_worker_take_interrupts())
	{
		worker->read_state = true;
		worker->next_care = 0;	/* poll_interval may be shorter now */
	}
	worker->drains = dwf_drain_look();
	if (worker->leaves && dwf_sender_is_idle(worker->sender))
		proc_exit(0);
	if (worker->drains && (dwf_sender_is_idle(worker->sender) || dwf_drain_is_over()))
		leave(worker);
	take_wakeup(worker);
}

/*
 * Writes what has ended, and says what has not.  What could not be written until
 * now is tried once more, for whoever held it has been told to end, too; but
 * the first that still cannot be is the last, since nobody waits for long.
 */
static void
leave(Worker *worker)
{
	dwf_drain_begin_last();
	worker->is_last = true;
	if (dwf_sender_has_fresh(worker->sender))
	{
		if (in_transaction(write_all, worker))
			dwf_sender_committed(worker->sender, GetCurrentTimestamp());
		else
			dwf_sender_aborted(worker->sender, GetCurrentTimestamp(),
							   worker->locked_out);
	}
	dwf_sender_write_at_once(worker->sender);
	while (dwf_sender_has_failed(worker->sender, GetCurrentTimestamp()) &&
		   in_transaction(write_one, worker))
		dwf_sender_committed(worker->sender, GetCurrentTimestamp());
	dwf_sender_report_lost(worker->sender, "its worker ended");
	dwf_drain_leave();
}

/* Takes note of what was committed since the last turn. */
static void
take_wakeup(Worker *worker)
{
	static DwfNews news;

	worker->may_strand |= dwf_shared_take_waiting();
	if (dwf_shared_take_earliest() == DT_NOBEGIN)
	{
		worker->read_state = worker->told = true;
		dwf_sender_look_again(worker->sender, true);
	}
	if (dwf_shared_take_news(&news))
	{
		dwf_sender_take_news(worker->sender, &news, GetCurrentTimestamp());
		dwf_watch_take_news(&news);
	}
}

/* Whether there is a reason for a transaction, but for failed results. */
static bool
has_to_write(Worker *worker, TimestampTz now)
{
	if (now < worker->write_again)
		return false;
	if (worker->read_state || dwf_sender_has_fresh(worker->sender) ||
		dwf_sender_must_reopen(worker->sender))
		return true;
	if (worker->paused || worker->drains || now < worker->claim_again ||
		dwf_sender_room(worker->sender, now) <= 0)
		return false;
	return dwf_sender_due_at(worker->sender, now) <= now;
}

/*
 * First what could not be written before, one by one; then all that is new,
 * and the claims, in one transaction.
 */
static void
write_turn(Worker *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	while (now >= worker->write_again &&
		   dwf_sender_has_failed(worker->sender, now))
	{
		if (!in_transaction(write_one, worker))
			dwf_sender_aborted(worker->sender, now, worker->locked_out);
		else
			dwf_sender_committed(worker->sender, now);
		take_interrupts(worker);
	}
	if (!has_to_write(worker, now))
		return;
	if (in_transaction(write_all, worker))
	{
		dwf_sender_committed(worker->sender, now);
		if (dwf_serving_hold_back(worker->sender))
			worker->claim_again = TimestampTzPlusMilliseconds(now,
															  HELD_BACK_WAIT);
	}
	else
	{
		dwf_sender_aborted(worker->sender, now, worker->locked_out);
		worker->claim_again = TimestampTzPlusMilliseconds(now, 1000);
	}
}

/*
 * Runs `work` in a transaction, with SPI connected.  Returns false where it
 * failed: everything is rolled back and the error is in the server's log.
 */
static bool
in_transaction(void (*work) (Worker *), Worker *worker)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	worker->began = false;
	PG_TRY();
	{
		DwfOwnerScope scope;
		int			settings;

		StartTransactionCommand();
		dwf_serving_look(worker->queue, worker->sender, worker->fault,
						 sizeof(worker->fault));
		dwf_owner_become(&scope);
		settings = NewGUCNestLevel();
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		worker->began = true;
		work(worker);
		SPI_finish();
		PopActiveSnapshot();
		/* what code on the tables has SET would stay, in what comes then */
		AtEOXact_GUC(false, settings);
		dwf_serving_commit_safely(!worker->is_last);
		DWF_TESTPOINT("before-commit");
		CommitTransactionCommand();
		dwf_owner_leave(&scope);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		dwf_sender_note_error(worker->sender);
		note_failure(worker);
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
		ok = false;

		/* no result has been tried, so that none would wait by itself */
		if (!worker->began)
			worker->write_again =
				TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 500);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	pgstat_report_stat(false);
	return ok;
}

/*
 * Says in the server's log why a transaction failed; but what somebody has
 * locked is his business, and said once a minute, and so is what is not right
 * with the tables.
 */
static void
note_failure(Worker *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	worker->locked_out = geterrcode() == ERRCODE_LOCK_NOT_AVAILABLE;
	if (worker->locked_out && now < worker->tell_lock)
		return;
	if (worker->fault[0] != '\0' && !dwf_worker_status_may_say(worker->fault))
		return;
	EmitErrorReport();
	if (worker->locked_out)
		worker->tell_lock = TimestampTzPlusMilliseconds(now, 60000);
}

/* The writing of a turn: every fresh result, then claims. */
static void
write_all(Worker *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	dwf_sender_reopen(worker->sender);
	if (worker->read_state)
		read_state(worker);
	if (dwf_sender_has_fresh(worker->sender))
		dwf_sender_write_fresh(worker->sender, worker->owner, now);
	if (!worker->paused && !worker->drains && now >= worker->claim_again)
		dwf_sender_claim(worker->sender, worker->owner, now);
}

/* The writing after a failure: one result, and nothing else. */
static void
write_one(Worker *worker)
{
	dwf_sender_write_failed(worker->sender, worker->owner,
							GetCurrentTimestamp());
}

static void
read_state(Worker *worker)
{
	worker->paused = dwf_pause_is_set(worker->pause_reason,
									  sizeof(worker->pause_reason),
									  &worker->is_copy);
	worker->leaves = !dwf_worker_is_wanted(worker->pause_reason,
										   sizeof(worker->pause_reason));
	worker->paused |= worker->leaves;
	worker->read_state = false;

	/* domowf_resume() ends every automatic pause, too */
	if (worker->told && !worker->paused)
		dwf_sender_resume(worker->sender, GetCurrentTimestamp());
	worker->told = false;
}

/*
 * At every poll_interval, what no wake-up tells: times that are over, rows of
 * the log that are old, rows that came in some other way (COMMIT PREPARED), how
 * long the queue is.  What may take long, past rows which are dead and cannot
 * be removed while somebody holds an old snapshot, takes a share of the time
 * only.
 */
static void
look_after(Worker *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	if (worker->drains)
		return;
	look_at_order_keys(worker, now);
	if (now < worker->next_care)
		return;
	worker->next_care = TimestampTzPlusMilliseconds(now, dwf_poll_interval);
	dwf_extension_look_again();
	(void) in_transaction(look_after_all, worker);
	dwf_sender_try_again(worker->sender);
	dwf_sender_look_again(worker->sender, false);
	worker->read_state = true;
}

/* At every poll_interval, and sooner where there is a reason (watch.h). */
static void
look_at_order_keys(Worker *worker, TimestampTz now)
{
	bool		polls = now >= worker->next_care;

	if (!polls && !((worker->may_strand || dwf_watch_is_urgent()) &&
					now >= worker->next_watch))
		return;
	dwf_watch_prepare(polls, worker->may_strand);
	worker->may_strand = false;
	if (in_transaction(watch, worker))
	{
		dwf_watch_looked();
		worker->next_watch = now + WATCH_SHARE * (GetCurrentTimestamp() - now);
	}
	else
	{
		worker->may_strand = true;
		worker->next_watch = TimestampTzPlusMilliseconds(now, 1000);
	}
}

static void
watch(Worker *worker)
{
	dwf_watch_look();
}

static void
look_after_all(Worker *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	if (worker->has_orphans)
		recover_orphans(worker);

	/* a batch that was full may not have been the last: again in a turn */
	worker->is_cared = !dwf_care_take(&worker->care, now);
	if (!worker->is_cared)
		worker->next_care = now;
}

/* What the worker view shows. */
static void
publish(Worker *worker)
{
	dwf_worker_status_publish(worker->sender,
							  worker->fault[0] != '\0' ? worker->fault :
							  worker->paused ? worker->pause_reason : NULL);
}

/*
 * Leaves a copy, once what is due there has been done, and tables that have been
 * wrong for long: the next worker of these is told so before it begins.  Rows
 * that dead workers left, and that somebody has locked, are for the next visit.
 */
static void
leave_dormant(Worker *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	if (worker->fault[0] == '\0')
		worker->fault_until = 0;
	else if (worker->fault_until == 0)
		worker->fault_until =
			TimestampTzPlusMilliseconds(now, DWF_TESTNUMBER("fault-patience",
															FAULT_PATIENCE));
	if (!dwf_sender_is_idle(worker->sender))
		return;
	if (worker->fault_until != 0 && now >= worker->fault_until)
		proc_exit(0);
	if (worker->is_copy && worker->is_cared && !worker->read_state &&
		dwf_dormancy_begin())
		proc_exit(0);
}

/*
 * Waits until there is something to do.  Notes whether the network has news,
 * so that nobody asks it for nothing.
 */
static void
wait_for_work(Worker *worker)
{
	TimestampTz now = GetCurrentTimestamp();

	worker->has_news = has_to_write(worker, now) ||
		(worker->drains && dwf_sender_is_idle(worker->sender)) ||
		dwf_sender_wait(worker->sender, find_timeout(worker, now));
}

/* Milliseconds until something is to be done; -1: nothing is, of itself. */
static long
find_timeout(const Worker *worker, TimestampTz now)
{
	const DwfSender *sender = worker->sender;
	long		timeout = dwf_sender_timeout_ms(sender);

	sooner(&timeout, now, Max(dwf_sender_write_at(sender),
							  worker->write_again));
	if (worker->drains)
		return timeout;			/* a signal tells when it is over */
	sooner(&timeout, now, worker->next_care);
	if (worker->may_strand || dwf_watch_is_urgent())
		sooner(&timeout, now, worker->next_watch);
	if (!worker->paused)
	{
		TimestampTz due = Max(dwf_sender_due_at(sender, now),
							  Max(worker->claim_again, worker->write_again));

		sooner(&timeout, now, Max(due, dwf_sender_room_at(sender, now)));
	}
	return timeout;
}

/* Shortens a timeout, milliseconds or -1, so that it ends at `when`. */
static void
sooner(long *timeout, TimestampTz now, TimestampTz when)
{
	long		left;

	if (when == DT_NOEND)
		return;
	left = TimestampDifferenceMilliseconds(now, when);
	if (*timeout < 0 || left < *timeout)
		*timeout = left;
}
