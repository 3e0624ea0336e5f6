/*
 * worker.c
 *	  The background worker of a database: sends what was enqueued, settles it.
 *
 * One turn of the loop:
 *
 *		take interrupts			reload, shutdown, eviction
 *		see to the clock		where somebody has set it
 *		write					ONE transaction: settle what has ended, claim
 *								what there is room for; committed to disk
 *		send					what was claimed
 *		harvest					drive the engine, turn replies into results
 *		look after				at times: expiry, retention, lost rows, returns
 *		follow					instances that were started, between what is sent
 *		leave					where nothing is to be done until somebody acts
 *		wait					network, latch, or the next time that matters
 *
 * A claim is on disk before its first byte leaves, and no transaction is open
 * while the network is waited for.  Each attempt is settled in the turn in
 * which it ended.
 *
 * When the writing fails, its results are kept and written one by one, each in
 * a transaction of its own, so that one that cannot be written holds up nobody
 * else and is tried again, at growing intervals.
 *
 * Two lifetimes: a Worker's is the process; what belongs to one attempt lives in
 * an Attempt's own memory context, from claim to settlement.
 *
 * A step of test/model/domowf.pml: what changes here has to change there.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/dormancy.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/ids.h"
#include "base/news.h"
#include "base/refusal.h"
#include "base/shared.h"
#include "base/testpoint.h"
#include "queue/hold.h"
#include "queue/pause.h"
#include "queue/recount.h"
#include "queue/redate.h"
#include "queue/upkeep.h"
#include "queue/watch.h"
#include "worker/care.h"
#include "worker/drain.h"
#include "worker/progress.h"
#include "worker/returns.h"
#include "worker/sender.h"
#include "worker/serving.h"
#include "worker/tracker.h"
#include "worker/worker.h"
#include "worker/worker_start.h"
#include "worker/worker_status.h"
#include "worker/writing.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Order keys are looked at in this part of the time at most, 1/4. */
#define WATCH_SHARE		4

/* Where a wait for a standby has ended early, no claim for so long, ms. */
#define HELD_BACK_WAIT	100

/* Results in a row that are waited for in vain before a worker leaves. */
#define LAST_FAILURES	5

/* How long tables may be wrong before no process is kept for them, ms. */
#define FAULT_PATIENCE	60000

typedef struct Worker
{
	int64		owner;			/* random: guards settlements */
	DwfSender  *sender;			/* engine, connection, attempts in flight */
	DwfWriting	writing;		/* its transactions */
	bool		has_orphans;	/* of dead workers, not yet recovered */
	bool		read_state;		/* look into domowf.state again */
	bool		told;			/* by domowf_pause() or domowf_resume() */
	bool		leaves;			/* when nothing is in flight any more */
	bool		drains;			/* it claims no more, and will end */
	bool		paused;			/* by a person, or as a copy */
	bool		is_copy;		/* of another database */
	char		pause_reason[256];
	DwfSteady	fault_until;	/* not patient with it any longer; 0: none */
	DwfSteady	redate_again;	/* not before, where it did not work */
	DwfSteady	next_care;
	bool		is_cared;		/* all that there was to do, once */
	bool		may_strand;		/* a request may stand behind nobody */
	DwfSteady	next_watch;		/* no look at that before */
	DwfCare		care;			/* what is done then, at its own intervals */
	DwfSteady	claim_again;	/* no claim before, after a failure */
	bool		has_free_ids;	/* new ones are nobody's */
	bool		has_news;		/* the network, or it may */
} Worker;

/* What is done in one transaction. */
typedef struct Job
{
	void		(*work) (Worker *worker);
	Worker	   *worker;
} Job;

static void recover(Worker *worker);
static void recover_orphans(Worker *worker);
static void take_interrupts(Worker *worker);
static void leave(Worker *worker);
static void take_wakeup(Worker *worker);
static void see_to_clock(Worker *worker);
static void redate(Worker *worker);
static bool has_to_write(const Worker *worker, DwfSteady now);
static bool wants_to_write(const Worker *worker, DwfSteady now);
static bool has_to_settle(const Worker *worker);
static void write_turn(Worker *worker);
static bool write_results(Worker *worker, DwfTask task,
						  void (*work) (Worker *));
static bool in_transaction(DwfTask task, void (*work) (Worker *),
						   Worker *worker);
static void do_job(void *arg);
static void write_all(Worker *worker);
static void write_one(Worker *worker);
static void read_state(Worker *worker);
static void look_after(Worker *worker);
static void look_at_order_keys(Worker *worker, DwfSteady now);
static void watch(Worker *worker);
static void free_ids(Worker *worker);
static void look_after_all(Worker *worker);
static void publish(Worker *worker);
static void leave_dormant(Worker *worker);
static void wait_for_work(Worker *worker);
static long find_timeout(const Worker *worker, DwfSteady now);

void
domowf_worker_main(Datum arg)
{
	Worker	   *worker = MemoryContextAllocZero(TopMemoryContext,
												sizeof(Worker));

	worker->writing.queue = dwf_worker_become(DatumGetObjectId(arg));
	pg_strong_random(&worker->owner, sizeof(worker->owner));
	worker->read_state = worker->has_news = true;
	dwf_watch_begin();
	worker->writing.sender = worker->sender = dwf_sender_open();
	dwf_progress_open();
	if (!in_transaction(DWF_TASK_START, recover, worker))
		proc_exit(1);			/* the launcher starts another one */
	dwf_shared_set_presence(DWF_RUNNING);
	dwf_drain_prepare();
	for (;;)
	{
		dwf_shared_expect(dwf_clock_now());
		take_interrupts(worker);
		see_to_clock(worker);
		write_turn(worker);
		dwf_sender_send(worker->sender);
		dwf_sender_harvest(worker->sender, worker->has_news);
		look_after(worker);
		if (!worker->drains)
			dwf_tracker_turn(&worker->writing, worker->paused);
		dwf_return_see_to(&worker->writing, worker->read_state ||
						  worker->is_copy || worker->drains);
		publish(worker);
		leave_dormant(worker);
		wait_for_work(worker);
	}
}

static void
recover(Worker *worker)
{
	recover_orphans(worker);
	dwf_hold_take_over();
	dwf_recount(true);
	dwf_redate_begin();
}

/* What dead workers were sending, but for what somebody has locked. */
static void
recover_orphans(Worker *worker)
{
	worker->has_orphans = dwf_upkeep_recover(worker->owner,
											 dwf_clock_shown(dwf_clock_now()));
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
	if (worker->drains && (dwf_sender_is_drained(worker->sender) || dwf_drain_is_over()))
		leave(worker);
	take_wakeup(worker);
}

/*
 * Writes what has ended, and says what has not.  What could not be written until
 * now is tried once more, for whoever held it has been told to end, too; but after
 * some in a row that still cannot be that is all, since nobody waits for long.  One
 * that is refused for what it holds is none of these.
 */
static void
leave(Worker *worker)
{
	int			failures = 0;

	dwf_drain_begin_last();
	worker->writing.is_last = true;
	if (dwf_sender_has_fresh(worker->sender))
		(void) write_results(worker, DWF_TASK_CLAIM, write_all);
	dwf_sender_write_at_once(worker->sender);
	while (failures < LAST_FAILURES &&
		   dwf_sender_has_failed(worker->sender, dwf_clock_now(), true))
	{
		if (write_results(worker, DWF_TASK_SETTLE, write_one))
			failures = 0;
		else if (!dwf_refusal_is_rows(worker->writing.failure))
			failures++;
	}
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
		dwf_sender_take_news(worker->sender, &news, dwf_clock_now());
		dwf_watch_take_news(&news);
	}
}

/*
 * What waits by wall time is due at other times where somebody has set it; before
 * anything is claimed, so that a wait is neither longer nor shorter for it.
 */
static void
see_to_clock(Worker *worker)
{
	DwfSteady	now = dwf_clock_now();
	int64		step = dwf_clock_take_step();

	if (step != 0)
	{
		ereport(LOG,
				(errmsg("domowf: the clock was set %s by %.3f seconds",
						step < 0 ? "back" : "forward",
						Max(step, -step) / (double) USECS_PER_SEC)));
		dwf_redate_note_step(step);
		dwf_sender_look_again(worker->sender, true);
	}
	if (worker->drains || now < worker->redate_again ||
		!dwf_redate_is_due(now >= worker->next_care))
		return;
	if (!in_transaction(DWF_TASK_REDATE, redate, worker))
		worker->redate_again = TimestampTzPlusMilliseconds(now, 500);
	else if (dwf_redate_taken())
		dwf_sender_look_again(worker->sender, true);
}

static void
redate(Worker *worker)
{
	dwf_redate_take();
}

/* Whether there is a reason for a transaction, but for failed results. */
static bool
has_to_write(const Worker *worker, DwfSteady now)
{
	return now >= worker->writing.again_at && wants_to_write(worker, now) &&
		(now >= worker->claim_again || has_to_settle(worker));
}

/* The same, whatever keeps it from being done at once. */
static bool
wants_to_write(const Worker *worker, DwfSteady now)
{
	if (has_to_settle(worker))
		return true;
	if (worker->paused || worker->drains ||
		dwf_sender_room(worker->sender, now) <= 0)
		return false;
	return dwf_sender_due_at(worker->sender, now) <= now;
}

/* Not to send, but to write or to know something. */
static bool
has_to_settle(const Worker *worker)
{
	return worker->read_state || dwf_sender_has_fresh(worker->sender) ||
		dwf_sender_must_reopen(worker->sender);
}

/*
 * First what could not be written before, one by one, and of what is set aside
 * one at most; then all that is new, and the claims, in one transaction.
 */
static void
write_turn(Worker *worker)
{
	DwfSteady	now = dwf_clock_now();
	bool		aside = true;

	while (now >= worker->writing.again_at &&
		   dwf_sender_has_failed(worker->sender, now, aside))
	{
		(void) write_results(worker, DWF_TASK_SETTLE, write_one);
		take_interrupts(worker);
		aside = false;
	}
	if (!has_to_write(worker, now))
		return;
	if (!worker->read_state)
		DWF_TESTPOINT("before-turn");
	if (in_transaction(now >= worker->claim_again ? DWF_TASK_CLAIM :
					   DWF_TASK_STATE, write_all, worker))
	{
		dwf_sender_committed(worker->sender, now);
		if (dwf_serving_hold_back(worker->sender))
			worker->claim_again = TimestampTzPlusMilliseconds(now,
															  HELD_BACK_WAIT);
	}
	else
	{
		bool		claimed_each = dwf_sender_claims_each(worker->sender);

		dwf_sender_aborted(worker->sender, now, worker->writing.failure);
		if (claimed_each || !dwf_sender_claims_each(worker->sender))
			worker->claim_again = TimestampTzPlusMilliseconds(now, 1000);
		if (dwf_sender_must_reopen(worker->sender)) /* that may be it */
			worker->writing.again_at = TimestampTzPlusMilliseconds(now, 500);
	}
}

static bool
write_results(Worker *worker, DwfTask task, void (*work) (Worker *))
{
	if (in_transaction(task, work, worker))
	{
		dwf_sender_committed(worker->sender, dwf_clock_now());
		return true;
	}
	dwf_sender_aborted(worker->sender, dwf_clock_now(),
					   worker->writing.failure);
	return false;
}

/* As dwf_writing_do(); and takes note of what it says of new ids. */
static bool
in_transaction(DwfTask task, void (*work) (Worker *), Worker *worker)
{
	Job			job = {work, worker};
	bool		ok = dwf_writing_do(&worker->writing, task, do_job, &job);

	if (!ok && worker->writing.failure == ERRCODE_UNIQUE_VIOLATION)
		worker->has_free_ids = false;
	return ok;
}

static void
do_job(void *arg)
{
	((Job *) arg)->work(((Job *) arg)->worker);
}

/* Every fresh result, first, to be tried alone where the rest fails; then claims. */
static void
write_all(Worker *worker)
{
	DwfSteady	now = dwf_clock_now();

	dwf_sender_reopen(worker->sender);
	if (dwf_sender_has_fresh(worker->sender))
		dwf_sender_write_fresh(worker->sender, worker->owner);
	if (worker->read_state)
		read_state(worker);
	if (!worker->paused && !worker->drains && now >= worker->claim_again)
		dwf_sender_claim(worker->sender, worker->owner, now);
}

/* The writing after a failure: one result, and nothing else. */
static void
write_one(Worker *worker)
{
	dwf_sender_write_failed(worker->sender, worker->owner, dwf_clock_now());
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
		dwf_sender_resume(worker->sender, dwf_clock_now());
	worker->told = false;
}

/*
 * At every poll_interval, what no wake-up tells: times that are over, old rows of
 * the log, rows that came in some other way (COMMIT PREPARED), how long the queue
 * is.  What may take long, past dead rows that an old snapshot keeps, takes a
 * share of the time only.
 */
static void
look_after(Worker *worker)
{
	DwfSteady	now = dwf_clock_now();

	if (worker->drains)
		return;
	look_at_order_keys(worker, now);
	if (now < worker->next_care)
		return;
	worker->next_care = dwf_clock_next_beat(now, dwf_poll_interval);
	dwf_extension_look_again();
	if (!worker->has_free_ids)
		(void) in_transaction(DWF_TASK_IDS, free_ids, worker);
	look_after_all(worker);
	dwf_care_fold(&worker->care, &worker->writing, now);
	dwf_sender_try_again(worker->sender);
	dwf_sender_look_again(worker->sender, false);
	dwf_sender_rest(worker->sender);
	worker->read_state = true;
}

/* At every poll_interval, and sooner where there is a reason (watch.h). */
static void
look_at_order_keys(Worker *worker, DwfSteady now)
{
	bool		polls = now >= worker->next_care;
	int64		cpu;

	if (!polls && !((worker->may_strand || dwf_watch_is_urgent()) &&
					now >= worker->next_watch))
		return;
	cpu = dwf_clock_cpu();
	dwf_watch_prepare(polls, worker->may_strand);
	worker->may_strand = false;
	if (in_transaction(DWF_TASK_ORDER, watch, worker))
	{
		dwf_watch_looked();
		worker->next_watch = now + WATCH_SHARE * (dwf_clock_cpu() - cpu);
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

/* New ids are none that a restored log, or a setval(), has brought back. */
static void
free_ids(Worker *worker)
{
	worker->has_free_ids = dwf_ids_make_free();
}

static void
look_after_all(Worker *worker)
{
	DwfSteady	now = dwf_clock_now();
	DwfCare    *care = &worker->care;

	if (worker->has_orphans)
		(void) in_transaction(DWF_TASK_LEFT, recover_orphans, worker);
	dwf_care_take(care, &worker->writing, now);
	worker->is_cared = !care->more && !care->has_failed;

	/* a batch that was full may not have been the last: again in a turn */
	if (care->more)
		worker->next_care = now;
}

/* What the worker view shows. */
static void
publish(Worker *worker)
{
	DwfSteady	now = dwf_clock_now();

	dwf_sender_note_progress(worker->sender, now);
	if (!has_to_settle(worker))
		dwf_progress_set(DWF_TASK_STATE, 0);
	if (!wants_to_write(worker, now))
		dwf_progress_set(DWF_TASK_CLAIM, 0);
	if (worker->has_orphans)
		dwf_progress_begin(DWF_TASK_ORPHANS);
	else
		dwf_progress_set(DWF_TASK_ORPHANS, 0);
	dwf_worker_status_publish(worker->sender,
							  worker->writing.fault[0] != '\0' ? worker->writing.fault :
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
	DwfSteady	now = dwf_clock_now();

	if (worker->writing.fault[0] == '\0')
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

/* Notes whether the network has news, so that nobody asks it for nothing. */
static void
wait_for_work(Worker *worker)
{
	DwfSteady	now = dwf_clock_now();
	long		timeout;

	worker->has_news = true;
	if (has_to_write(worker, now) ||
		(worker->drains && dwf_sender_is_drained(worker->sender)))
		return;
	timeout = find_timeout(worker, now);
	dwf_shared_expect(timeout < 0 ? 0 :
					  TimestampTzPlusMilliseconds(now, timeout));
	worker->has_news = dwf_sender_wait(worker->sender, timeout);
}

/* Milliseconds until something is to be done; -1: nothing is, of itself. */
static long
find_timeout(const Worker *worker, DwfSteady now)
{
	const DwfSender *sender = worker->sender;
	long		timeout = dwf_sender_timeout_ms(sender);

	dwf_clock_sooner(&timeout, now, Max(dwf_sender_write_at(sender),
										worker->writing.again_at));
	if (worker->drains)
		return timeout;			/* a signal tells when it is over */
	if (dwf_redate_is_due(false))
		dwf_clock_sooner(&timeout, now, worker->redate_again);
	dwf_clock_sooner(&timeout, now, worker->next_care);
	dwf_clock_sooner(&timeout, now, dwf_return_at());
	if (worker->may_strand || dwf_watch_is_urgent())
		dwf_clock_sooner(&timeout, now, worker->next_watch);
	if (!worker->paused)
	{
		DwfSteady	due = Max(dwf_sender_due_at(sender, now),
							  Max(worker->claim_again, worker->writing.again_at));

		dwf_clock_sooner(&timeout, now, Max(due, dwf_sender_room_at(sender, now)));
		dwf_clock_sooner(&timeout, now, dwf_tracker_at(sender, now));
	}
	return timeout;
}
