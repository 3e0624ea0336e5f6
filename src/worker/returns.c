/*
 * returns.c
 *	  The process that writes outcomes back, and calls functions with them.
 *
 * What runs here is somebody's code: triggers, checks, policies and functions of
 * whoever owns the table, or the function.  So it is a process of its own, which
 * serves one owner in its life, and holds up nothing but his returns.
 *
 * Whose rights.  Session authorization and current user are the owner, and all
 * of his code runs in a security-restricted operation, from its first statement
 * to the end of the transaction, deferred triggers included.  PostgreSQL lets
 * nobody connect who may not log in, as owners often may not; so the process
 * connects as the bootstrap superuser and becomes the owner before anything of
 * his runs.  RESET SESSION AUTHORIZATION leads to the owner, since that is where
 * the setting begins; SET SESSION AUTHORIZATION and SET ROLE are refused in a
 * restricted operation, which nothing that runs in it can leave; a temporary
 * table, LISTEN, PREPARE or a cursor that outlives it are, too.
 *
 * Settings are those of a new session of the owner, but for those that what is
 * done here rests on (worker_settings.c).
 *
 * One entry is a turn:
 *
 *		take		a transaction: it counts as tried, whatever comes
 *		do			a transaction: constraints immediate; the row, or the
 *					function; what was deferred all the same; the entry removed
 *		fail		where it failed, a transaction: why
 *
 * So what is done is done once, together with the removal; and what ends the
 * process, or the server, is tried again later, as any failure.  That is also why
 * no commit waits for the disk or a standby, as none of logical replication's
 * apply workers does: what a crash forgets of it, it forgets with the removal.
 * Who acts on it in this database commits behind it.  But a crash that the owner's
 * code has made forgets the try, too, and would come again at once, for ever: so
 * shortly after a crash, and of what was tried before, a try is on disk before that
 * code runs.  Between turns
 * nothing of the owner's is left: settings are undone, advisory locks given
 * back.  No lock on a table of domowf's is held while the owner's code runs, but
 * what that code asks for itself.
 *
 * domowf.return_timeout ends a turn as statement_timeout would.  Code that
 * catches even that is ended with the process a second later.  PostgreSQL's
 * timeouts are by the wall clock, so that one that is set back while a turn waits
 * keeps both from coming: a timer of the kernel's, by the steady clock, does the
 * same a little later.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/crash.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/returners.h"
#include "base/returning.h"
#include "base/testpoint.h"
#include "base/transaction.h"
#include "queue/returns.h"
#include "worker/return_call.h"
#include "worker/return_row.h"
#include "worker/returns.h"
#include "worker/worker_settings.h"

#include <signal.h>
#include <time.h>

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

/* How long one process lives where others may wait for its place, ms. */
#define LIFE			30000

/*
 * How long it stays when nothing is due, milliseconds: to begin takes longer than
 * most returns do.  And how often it looks meanwhile, though it is not told.
 */
#define PATIENCE		1000
#define LOOK_INTERVAL	100

/* The same where an entry refuses to be taken, which the next process tries anew. */
#define LONG_PATIENCE	10000

/* How long a lock is waited for where an entry is taken, which is no owner's code. */
#define TAKE_WAIT		"100ms"

/* How long code may go on that was told to end, ms. */
#define GRACE			1000

/* The timer comes behind all timeouts, ms. */
#define LATER			(2 * GRACE)

static TimeoutId last_timeout;
static timer_t timer;
static volatile sig_atomic_t rings; /* how often it has, in this turn; -1: off */
static DwfSteady turn_end;
static Oid	owner;

static void become(Oid database);
static void make_timer(void);
static void set_timer(int64 milliseconds);
static void take_timer(SIGNAL_ARGS);
static void end_process(void);
static void take_interrupts(void);
static void wait_for_more(DwfSteady until);
static bool take(bool at_all, DwfReturn *entry);
static bool do_entry(const DwfReturn *entry, char **error);
static void do_in_transaction(const DwfReturn *entry);
static void run_owners_code(const DwfReturn *entry);
static void set_immediate(void);
static void begin_restricted(void);
static void start_timeouts(void);
static void stop_timeouts(void);
static void write_failure(const DwfReturn *entry, const char *error);
static void say(const DwfReturn *entry, const char *error);

void
domowf_returns_main(Datum arg)
{
	MemoryContext turn;
	DwfSteady	until;
	DwfSteady	idle_until = 0;
	int			refused = 0;

	memcpy(&owner, MyBgworkerEntry->bgw_extra, sizeof(owner));
	become(DatumGetObjectId(arg));
	turn = AllocSetContextCreate(TopMemoryContext, "domowf return",
								 ALLOCSET_DEFAULT_SIZES);
	until = TimestampTzPlusMilliseconds(dwf_clock_now(), LIFE);
	for (;;)
	{
		DwfReturn	entry;
		char	   *error;
		bool		is_last;

		MemoryContextSwitchTo(turn);
		take_interrupts();
		if (!dwf_returns || dwf_clock_now() >= until)
			proc_exit(0);
		is_last = dwf_clock_now() >= idle_until;
		if (take(is_last, &entry))
		{
			dwf_returner_note_done();
			if (!do_entry(&entry, &error))
				write_failure(&entry, error);
			idle_until = TimestampTzPlusMilliseconds(dwf_clock_now(), PATIENCE);
		}
		else if (refused < dwf_return_refused())
		{
			refused = dwf_return_refused();
			idle_until = TimestampTzPlusMilliseconds(dwf_clock_now(), LONG_PATIENCE);
		}
		else if (is_last)
			proc_exit(0);
		else
			wait_for_more(idle_until);
		MemoryContextReset(turn);
		pgstat_report_stat(false);
	}
}

/* Connects, and becomes the owner. */
static void
become(Oid database)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	BackgroundWorkerUnblockSignals();
	if (!dwf_returner_attach(database, owner))
		proc_exit(0);
	if (!dwf_worker_settings_connect_as(database, owner))
		proc_exit(0);			/* the role is gone */
	last_timeout = RegisterTimeout(USER_TIMEOUT, end_process);
	make_timer();
}

static void
make_timer(void)
{
	struct sigevent event = {0};

	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = SIGUSR2;
	pqsignal(SIGUSR2, take_timer);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
		ereport(FATAL,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not make a timer: %m")));
}

/* After so long, and then every GRACE; 0: never. */
static void
set_timer(int64 milliseconds)
{
	struct itimerspec when = {0};

	when.it_value.tv_sec = milliseconds / 1000;
	when.it_value.tv_nsec = (milliseconds % 1000) * 1000000;
	if (milliseconds > 0)
		when.it_interval.tv_sec = GRACE / 1000;
	(void) timer_settime(timer, 0, &when, NULL);
}

/* As a statement's timeout; the second time as end_process(). */
static void
take_timer(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (rings >= 0)
	{
		if (rings++ > 0)
			ProcDiePending = true;
		QueryCancelPending = InterruptPending = true;
		SetLatch(MyLatch);
	}
	errno = save_errno;
}

/* Signal handler: somebody's code does not end.  As die(). */
static void
end_process(void)
{
	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

static void
take_interrupts(void)
{
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (dwf_returner_is_evicted())
		proc_exit(0);
}

/* For a moment, or until it is told of something. */
static void
wait_for_more(DwfSteady until)
{
	static uint32 event = 0;
	int64		left = (until - dwf_clock_now()) / 1000;

	if (event == 0)
		event = dwf_wait_event_main();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 Max(1, Min(left, LOOK_INTERVAL)), event);
}

/*
 * False: nothing is due (returns.h).  Ends where nothing can be looked at, but not
 * for an entry that refuses to be taken.
 */
static bool
take(bool at_all, DwfReturn *entry)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool found = false;
	volatile bool failed = false;
	volatile bool tries_again = false;

	PG_TRY();
	{
		dwf_transaction_start();
		start_timeouts();
		(void) set_config_option("lock_timeout", TAKE_WAIT, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
		PushActiveSnapshot(GetTransactionSnapshot());
		if (dwf_extension_find() != NULL && dwf_extension_can_send())
		{
			MemoryContextSwitchTo(context);
			found = dwf_return_take(owner, at_all, entry);
		}
		PopActiveSnapshot();
		if (found && (entry->was_tried || dwf_crash_is_recent()))
			dwf_transaction_commit_to_disk();
		else
			dwf_transaction_commit_at_ease();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		tries_again = geterrcode() != ERRCODE_QUERY_CANCELED &&
			dwf_return_take_apart();
		if (!tries_again)
			EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
		failed = true;
	}
	PG_END_TRY();
	stop_timeouts();
	MemoryContextSwitchTo(context);
	if (tries_again)
		return take(at_all, entry);
	if (failed)
		proc_exit(0);
	DWF_TESTPOINT("return-taken");
	return found;
}

/* False: it failed, and why, palloc'd. */
static bool
do_entry(const DwfReturn *entry, char **error)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		do_in_transaction(entry);
	}
	PG_CATCH();
	{
		ErrorData  *data;

		HOLD_INTERRUPTS();
		stop_timeouts();
		dwf_returning_end();
		MemoryContextSwitchTo(context);
		data = CopyErrorData();
		*error = pstrdup(data->sqlerrcode == ERRCODE_QUERY_CANCELED &&
						 dwf_clock_now() >= turn_end ?
						 "it took longer than domowf.return_timeout" :
						 data->message);
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
		ok = false;
	}
	PG_END_TRY();
	LockReleaseSession(USER_LOCKMETHOD);
	MemoryContextSwitchTo(context);
	return ok;
}

/*
 * What the owner's code has SET is undone before the entry is removed, and with
 * the transaction at the latest.
 */
static void
do_in_transaction(const DwfReturn *entry)
{
	Oid			user;
	int			security;
	int			settings;

	dwf_transaction_start();
	GetUserIdAndSecContext(&user, &security);
	begin_restricted();
	settings = NewGUCNestLevel();
	start_timeouts();
	PushActiveSnapshot(GetTransactionSnapshot());
	run_owners_code(entry);
	PopActiveSnapshot();
	AfterTriggerFireDeferred();
	AtEOXact_GUC(false, settings);
	PushActiveSnapshot(GetTransactionSnapshot());
	dwf_return_remove(entry);
	PopActiveSnapshot();
	DWF_TESTPOINT("return-removed");
	dwf_transaction_commit_at_ease();
	CommitTransactionCommand();
	stop_timeouts();
	SetUserIdAndSecContext(user, security);
	DWF_TESTPOINT("return-committed");
}

static void
run_owners_code(const DwfReturn *entry)
{
	set_immediate();
	dwf_returning_begin(entry->depth);
	SPI_connect();
	if (entry->returns_to != NULL)
		dwf_return_row_write(entry, owner);
	else
		dwf_return_call(entry, owner);
	SPI_finish();
	set_immediate();
	dwf_returning_end();
}

/* SET CONSTRAINTS ALL IMMEDIATE */
static void
set_immediate(void)
{
	ConstraintsSetStmt *all = makeNode(ConstraintsSetStmt);

	AfterTriggerSetState(all);
}

/* Until the end of the transaction, whatever that is. */
static void
begin_restricted(void)
{
	SetUserIdAndSecContext(owner, SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
}

/*
 * Again and again, since code may catch the first one.  What domowf does itself
 * may wait for somebody's lock, too.
 */
static void
start_timeouts(void)
{
	turn_end = TimestampTzPlusMilliseconds(dwf_clock_now(),
										   dwf_return_timeout);
	enable_timeout_every(STATEMENT_TIMEOUT, dwf_clock_wall(turn_end),
						 dwf_return_timeout);
	enable_timeout_after(last_timeout, Min((int64) dwf_return_timeout + GRACE,
										   INT_MAX));
	rings = 0;
	set_timer((int64) dwf_return_timeout + LATER);
}

static void
stop_timeouts(void)
{
	rings = -1;
	set_timer(0);
	disable_timeout(last_timeout, false);
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false;
}

/* It is due again when its taking said; later ones of its request wait. */
static void
write_failure(const DwfReturn *entry, const char *error)
{
	PG_TRY();
	{
		dwf_transaction_start();
		start_timeouts();
		PushActiveSnapshot(GetTransactionSnapshot());
		dwf_return_fail(entry, error);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	stop_timeouts();
	say(entry, error);
}

/* The first of its life, and one a minute: the view has all of them. */
static void
say(const DwfReturn *entry, const char *error)
{
	static DwfSteady again = 0;

	if (!dwf_clock_once_a_minute(&again))
		return;
	ereport(LOG,
			(errmsg("domowf: what came of request " INT64_FORMAT " cannot be returned to %s: %s",
					entry->request, entry->target, error)));
}
