/*
 * upkeep_process.c
 *	  A process for what takes long and can be done beside the sending.
 *
 * To count a queue of 100,000 requests takes 0.2 seconds, and to remove a day's
 * rows from the log takes minutes.  While the worker does that itself nothing is
 * sent, and nothing that has come is written.  What takes no longer than a
 * request does it goes on doing, since a process is not had for nothing
 * (care.c).
 *
 * It has a place among those that do returns (base/returners.h), so that whoever
 * wants the database for himself has it ended.  Whatever fails ends it: the
 * worker starts another one when it is time to look again, and tells that old rows
 * of the log cannot be removed, where that failed.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/objects.h"
#include "base/owner.h"
#include "base/quota.h"
#include "base/returners.h"
#include "base/shared.h"
#include "base/table.h"
#include "base/testpoint.h"
#include "base/transaction.h"
#include "queue/recount.h"
#include "queue/retention.h"
#include "worker/upkeep_process.h"
#include "worker/worker_settings.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* Rows of the log that are removed in one transaction. */
#define REMOVAL_BATCH	1000

/* How much longer than it removes it rests, so that others have the disk. */
#define REMOVAL_REST	3

/* The longest rest, ms. */
#define MAX_REST		1000

static bool is_removing;		/* old rows of the log */

static void remove_all(void);
static bool in_transaction(bool (*work) (void), const char *table,
						   LOCKMODE mode);
static bool count_queue(void);
static bool remove_old(void);
static void take_interrupts(void);
static void rest(long timeout);

void
domowf_upkeep_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	BackgroundWorkerUnblockSignals();
	if (!dwf_returner_attach(database, DWF_UPKEEP_PLACE))
		proc_exit(0);
	dwf_worker_settings_connect(database);
	dwf_quota_lift();
	SetConfigOption("application_name", "domowf upkeep", PGC_SUSET,
					PGC_S_OVERRIDE);
	DWF_TESTPOINT("upkeep");
	PG_TRY();
	{
		(void) in_transaction(count_queue, "queue", AccessShareLock);
		remove_all();
	}
	PG_CATCH();
	{
		if (is_removing)
			dwf_shared_note_removal(database, geterrcode());

		/* what somebody has locked will be there the next time */
		if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
	}
	PG_END_TRY();
	proc_exit(0);
}

/* By one transaction after the other; what fails there is told by the worker. */
static void
remove_all(void)
{
	bool		more = true;

	is_removing = true;
	while (more)
	{
		DwfSteady	start = dwf_clock_now();

		take_interrupts();
		more = dwf_log_retention > 0 &&
			in_transaction(remove_old, "log", RowExclusiveLock);
		dwf_shared_note_removal(MyDatabaseId, 0);
		if (more)
			rest(Min(MAX_REST, REMOVAL_REST * (dwf_clock_now() - start) / 1000));
	}
}

/*
 * Does `work` with the rights of the owner of the tables, connected to SPI; what
 * it returns.  Not where somebody has locked the table, or things are not as
 * they should be: false.
 */
static bool
in_transaction(bool (*work) (void), const char *table, LOCKMODE mode)
{
	DwfObjectFault fault;
	bool		result = false;

	dwf_transaction_start();
	if (dwf_extension_find() != NULL && dwf_extension_can_send() &&
		dwf_objects_are_right(&fault) &&
		ConditionalLockRelationOid(dwf_table_oid(table), mode))
	{
		DwfOwnerScope scope;
		int			settings = NewGUCNestLevel();

		dwf_owner_become(&scope);
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		result = work();
		PopActiveSnapshot();
		SPI_finish();
		AtEOXact_GUC(false, settings);

		/* what is removed and comes back with a crash is removed again */
		dwf_transaction_commit_at_ease();
		CommitTransactionCommand();
		dwf_owner_leave(&scope);
	}
	else
		CommitTransactionCommand();
	pgstat_report_stat(false);
	return result;
}

static bool
count_queue(void)
{
	pgstat_report_activity(STATE_RUNNING, "domowf: counts the queue");
	dwf_recount(false);			/* the worker has said what there is to say */
	return true;
}

/* Whether there may be more. */
static bool
remove_old(void)
{
	int64		retention = dwf_log_retention * USECS_PER_MINUTE;
	TimestampTz before = dwf_clock_wall(dwf_clock_now()) - retention;
	bool		more;

	pgstat_report_activity(STATE_RUNNING, "domowf: removes old rows of the log");
	more = dwf_retention_remove(before, REMOVAL_BATCH);
	DWF_TESTPOINT("upkeep-remove");
	return more;
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

/* Milliseconds. */
static void
rest(long timeout)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 timeout, PG_WAIT_EXTENSION);
}

bool
dwf_upkeep_process_start(void)
{
	BackgroundWorker worker = {0};

	/* there is one already */
	if (!dwf_returner_reserve(DWF_UPKEEP_PLACE))
		return true;
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION | DWF_BGWORKER_INTERRUPTIBLE;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "domowf", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "domowf_upkeep_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "domowf upkeep", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "domowf upkeep", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	if (RegisterDynamicBackgroundWorker(&worker, NULL))
		return true;
	dwf_returner_give_back(DWF_UPKEEP_PLACE);
	return false;
}
