/*
 * launcher.c
 *	  The background worker that starts one worker for each database that has
 *	  the extension.
 *
 * Which databases have it cannot be seen from outside, so each connectable
 * database is probed once, by a worker that stays where it finds the extension
 * and ends where it does not (shared.h has the states).  After that CREATE
 * EXTENSION itself tells, at its commit, that there is something to start.
 * A worker that has attached says by itself how it ended; of one that dies
 * before, for want of memory, descriptors or the library, only the postmaster
 * knows, whom the launcher asks.
 * Shared memory has room for the databases that have the extension; the others,
 * of which there may be more, are remembered here.  So are copies of databases
 * and their like, which are dormant (dormancy.c), where others need the room.
 *
 * The launcher is connected to no database, so it keeps none from being
 * dropped.  On a standby it starts nothing.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/dormancy.h"
#include "base/guc.h"
#include "base/roster.h"
#include "base/shared.h"
#include "base/testpoint.h"
#include "base/transaction.h"
#include "worker/launcher.h"
#include "worker/stall.h"
#include "worker/worker_settings.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/*
 * How long to wait for a free worker slot, milliseconds: briefly at first, for
 * the probes that went before give theirs back soon.
 */
#define NO_SLOT_WAIT	60000
#define NO_SLOT_SHORT_WAIT	200
#define NO_SLOT_SHORT_WAITS	10

/* How often new databases are looked for, and a promotion, milliseconds. */
#define LOOK_INTERVAL	10000
#define STANDBY_INTERVAL	500

/* How long to wait for a visit to end before the next one, milliseconds. */
#define VISIT_PATIENCE	10000

/*
 * Databases in which no extension was found, and dormant ones, as long as they
 * have no entry; in TopMemoryContext.
 */
static List *absent;
static List *dormant;

/*
 * For whom there is no room, as it was said: of those that cannot be looked at,
 * and of those that have told of themselves; and who has told last.
 */
static List *not_looked_at;
static List *left_out;
static Oid	told_of_itself;

/* A process that was started and may not have attached yet. */
typedef struct Start
{
	Oid			database;
	BackgroundWorkerHandle *handle;
} Start;

static List *starts;			/* of Start *, in TopMemoryContext */

static void take_interrupts(void);
static long look_again(void);
static void wait_for_promotion(void);
static int	list_databases(Oid **databases);
static void start_workers(void);
static void remember_absent(const Oid *databases, int count);
static bool is_absent(Oid database);
static void remember_dormant(const Oid *databases, int count);
static void remember_left_out(List **list, const Oid *databases, int count);
static void visit_next(void);
static bool begin_start(Oid database, DwfSteady now);
static void say_no_room(Oid database);
static bool start_worker(Oid database);
static void remember_start(Oid database, BackgroundWorkerHandle *handle);
static void look_at_starts(void);

void
dwf_launcher_register(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "domowf", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "domowf_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "domowf launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "domowf launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

void
domowf_launcher_main(Datum arg)
{
	MemoryContext turn;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	dwf_worker_settings_connect_launcher();
	dwf_roster_open();

	/* what a turn of the loop leaves */
	turn = AllocSetContextCreate(TopMemoryContext, "domowf launcher",
								 ALLOCSET_DEFAULT_SIZES);
	if (RecoveryInProgress())
		wait_for_promotion();
	for (;;)
	{
		MemoryContextSwitchTo(turn);
		MemoryContextReset(turn);
		take_interrupts();
		if (dwf_worker_enabled)
			start_workers();
		look_at_starts();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 look_again(), dwf_wait_event_launcher());
	}
}

/* Milliseconds until something is to be looked at again. */
static long
look_again(void)
{
	DwfSteady	now = dwf_clock_now();
	DwfSteady	next = dwf_roster_next_start(now);
	long		interval = DWF_TESTNUMBER("look-interval", LOOK_INTERVAL);
	long		stalls = dwf_stall_say_all();

	interval = Min(interval, stalls);
	if (!dwf_worker_enabled || next == DT_NOEND)
		return interval;
	return Min(interval, TimestampDifferenceMilliseconds(now, next) + 1);
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
}

/* Nothing tells a process that recovery has ended: it has to look. */
static void
wait_for_promotion(void)
{
	while (RecoveryInProgress())
	{
		take_interrupts();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 STANDBY_INTERVAL, dwf_wait_event_launcher());
	}
}

bool
dwf_launcher_serves(Form_pg_database database)
{
	return database->datallowconn && !database->datistemplate &&
		dwf_database_is_valid(database);
}

/*
 * The databases that can have a worker.  Returns how many; *databases is
 * palloc'd in the context current at the call.
 */
static int
list_databases(Oid **databases)
{
	MemoryContext context = CurrentMemoryContext;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	int			count = 0;
	int			size = 64;

	*databases = palloc(sizeof(Oid) * size);
	dwf_transaction_start();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (!dwf_launcher_serves(database))
			continue;
		if (count == size)
		{
			size *= 2;
			*databases = repalloc(*databases, sizeof(Oid) * size);
		}
		(*databases)[count++] = database->oid;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return count;
}

/* Starts a worker where one is missing. */
static void
start_workers(void)
{
	static DwfSteady no_slot_until = 0;
	static int	refusals = 0;
	Oid		   *databases;
	int			count;
	bool		refused = false;

	if (dwf_clock_now() < no_slot_until)
		return;
	count = list_databases(&databases);
	dwf_roster_forget(databases, count);
	remember_absent(databases, count);
	remember_dormant(databases, count);
	remember_left_out(&not_looked_at, databases, count);
	remember_left_out(&left_out, databases, count);
	for (int i = 0; i < count && !refused; i++)
	{
		DwfSteady	now = dwf_clock_now();

		if (is_absent(databases[i]) || !begin_start(databases[i], now))
			continue;
		if (start_worker(databases[i]))
		{
			refusals = 0;
			continue;
		}
		no_slot_until =
			TimestampTzPlusMilliseconds(now,
										refusals < NO_SLOT_SHORT_WAITS ?
										NO_SLOT_SHORT_WAIT :
										DWF_TESTNUMBER("no-slot-wait",
													   NO_SLOT_WAIT));
		dwf_roster_fail_start(databases[i], no_slot_until);
		if (refusals++ == NO_SLOT_SHORT_WAITS)
			ereport(LOG,
					(errmsg("domowf: no background worker is free for database %u",
							databases[i]),
					 errhint("Increase max_worker_processes. It is tried again each minute.")));
		refused = true;
	}
	pfree(databases);
	if (!refused)
		visit_next();
}

/*
 * Takes over from shared memory which databases lack the extension, and forgets
 * those that are not among `databases`.
 */
static void
remember_absent(const Oid *databases, int count)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	List	   *known = NIL;
	bool		probe_all = false;
	Oid			overflow;
	Oid			database;

	do
	{
		database = dwf_roster_take_absent(&overflow);
		if (OidIsValid(database))
			absent = list_append_unique_oid(absent, database);
		if (OidIsValid(overflow))
			told_of_itself = overflow;
		probe_all |= OidIsValid(overflow);
	} while (OidIsValid(database));
	for (int i = 0; i < count && !probe_all; i++)
	{
		if (list_member_oid(absent, databases[i]))
			known = lappend_oid(known, databases[i]);
	}
	list_free(absent);
	absent = known;
	MemoryContextSwitchTo(old);
}

/* An entry in shared memory is news of a database: CREATE EXTENSION. */
static bool
is_absent(Oid database)
{
	if (!list_member_oid(absent, database))
		return false;
	if (!dwf_roster_knows(database))
		return true;
	absent = list_delete_oid(absent, database);
	return false;
}

/*
 * Takes over which databases are dormant: another one may need their entries,
 * and they are not to need them back by themselves.
 */
static void
remember_dormant(const Oid *databases, int count)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	List	   *known = NIL;

	for (int i = 0; i < count; i++)
	{
		if (dwf_roster_knows(databases[i]) ? dwf_dormancy_holds(databases[i]) :
			list_member_oid(dormant, databases[i]))
			known = lappend_oid(known, databases[i]);
	}
	list_free(dormant);
	dormant = known;
	MemoryContextSwitchTo(old);
}

/* Who is not among `databases`, or has an entry by now, is told of anew. */
static void
remember_left_out(List **list, const Oid *databases, int count)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	List	   *known = NIL;

	for (int i = 0; i < count && *list != NIL; i++)
	{
		if (list_member_oid(*list, databases[i]) &&
			!dwf_roster_knows(databases[i]))
			known = lappend_oid(known, databases[i]);
	}
	list_free(*list);
	*list = known;
	MemoryContextSwitchTo(old);
}

/*
 * Starts a worker for a look at a dormant database, one after the other; where
 * there is no slot it does not matter.
 */
static void
visit_next(void)
{
	static Oid	visited = InvalidOid;
	static DwfSteady patient_until = 0;
	DwfSteady	now = dwf_clock_now();

	if (OidIsValid(visited) && now < patient_until &&
		dwf_dormancy_is_visited(visited))
		return;
	visited = dwf_dormancy_take_visit(now);
	patient_until = TimestampTzPlusMilliseconds(now, VISIT_PATIENCE);
	if (OidIsValid(visited) && !start_worker(visited))
		dwf_roster_fail_start(visited, patient_until);
}

/* Whether to start a worker for a database, which then counts as starting. */
static bool
begin_start(Oid database, DwfSteady now)
{
	bool		is_dormant = list_member_oid(dormant, database);

	if (dwf_roster_begin_start(database, now, !is_dormant))
		return true;
	if (!is_dormant && dwf_roster_has_no_room(database))
		say_no_room(database);
	return false;
}

/*
 * Once of each database; and again once it has told of itself, as it does with
 * each request, for whether another one has the extension is not known without
 * room to look.
 */
static void
say_no_room(Oid database)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	if (database == told_of_itself)
	{
		told_of_itself = InvalidOid;
		if (!list_member_oid(left_out, database))
			ereport(LOG,
					(errmsg("domowf: there is no room for the worker of database %u",
							database),
					 errdetail("At most %d databases can have a worker.",
							   DWF_MAX_DATABASES)));
		left_out = list_append_unique_oid(left_out, database);
	}
	else if (!list_member_oid(not_looked_at, database) &&
			 !list_member_oid(left_out, database))
		ereport(LOG,
				(errmsg("domowf: whether database %u has the extension cannot be looked at",
						database),
				 errdetail("%d databases have a worker, or are to have one: as many as can.",
						   DWF_MAX_DATABASES)));
	not_looked_at = list_append_unique_oid(not_looked_at, database);
	MemoryContextSwitchTo(old);
}

/* Registers a worker.  False: there is no free slot. */
static bool
start_worker(Oid database)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;
	bool		is_registered;
	pid_t		pid;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION | DWF_BGWORKER_INTERRUPTIBLE;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "domowf", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "domowf_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "domowf worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "domowf worker", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;
	is_registered = RegisterDynamicBackgroundWorker(&worker, &handle);
	if (is_registered)
	{
		remember_start(database, handle);
		(void) WaitForBackgroundWorkerStartup(handle, &pid);
	}
	MemoryContextSwitchTo(old);
	return is_registered;
}

/* In TopMemoryContext. */
static void
remember_start(Oid database, BackgroundWorkerHandle *handle)
{
	Start	   *start = NULL;
	ListCell   *cell;

	/* the one before has ended, or this one would not have been started */
	foreach(cell, starts)
	{
		if (((Start *) lfirst(cell))->database == database)
			start = lfirst(cell);
	}
	if (start == NULL)
	{
		start = palloc0(sizeof(Start));
		start->database = database;
		starts = lappend(starts, start);
	}
	else
		pfree(start->handle);
	start->handle = handle;
}

/*
 * Looks whether somebody has died before he attached: the postmaster sets this
 * process's latch then.
 */
static void
look_at_starts(void)
{
	ListCell   *cell;

	foreach(cell, starts)
	{
		Start	   *start = lfirst(cell);
		pid_t		pid;

		if (GetBackgroundWorkerPid(start->handle, &pid) == BGWH_STOPPED)
			dwf_roster_lose_start(start->database);
		if (dwf_roster_is_starting(start->database))
			continue;
		starts = foreach_delete_current(starts, cell);
		pfree(start->handle);
		pfree(start);
	}
}
