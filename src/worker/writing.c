/*
 * writing.c
 *	  The transactions of a worker: how each begins, ends and fails.
 *
 * It must not know what is written.
 */
#include "postgres.h"

#include "base/owner.h"
#include "base/refusal.h"
#include "base/testpoint.h"
#include "base/transaction.h"
#include "queue/notice.h"
#include "worker/progress.h"
#include "worker/serving.h"
#include "worker/writing.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* How often the same error is said, milliseconds, and of how many. */
#define SAY_INTERVAL	60000
#define SAID			16

/* An error that was said. */
typedef struct Said
{
	uint32		hash;			/* of its message */
	DwfSteady	again;			/* not said before */
} Said;

/* In the words of pg_stat_activity. */
static const char *const doing[DWF_TASKS] = {
	[DWF_TASK_START] = "domowf: looks at what the worker before has left",
	[DWF_TASK_STATE] = "domowf: settles",
	[DWF_TASK_CLAIM] = "domowf: settles and claims",
	[DWF_TASK_SETTLE] = "domowf: settles one by itself",
	[DWF_TASK_REDATE] = "domowf: dates requests anew",
	[DWF_TASK_ORDER] = "domowf: looks at order keys",
	[DWF_TASK_IDS] = "domowf: looks at ids",
	[DWF_TASK_LEFT] = "domowf: recovers what the worker before was sending",
	[DWF_TASK_HOLD] = "domowf: looks at requests that are to be held",
	[DWF_TASK_CARE] = "domowf: looks at what has expired or is old",
	[DWF_TASK_RECOUNT] = "domowf: counts the queue",
	[DWF_TASK_REMOVE] = "domowf: removes old rows of the log",
	[DWF_TASK_COUNT] = "domowf: folds what was counted",
	[DWF_TASK_TRACK] = "domowf: writes what polls have told",
	[DWF_TASK_RETURNS] = "domowf: looks at what is to be written back",
	[DWF_TASK_ORPHANS] = "domowf: recovers what the worker before was sending",
	[DWF_TASK_KEPT] = "domowf: looks at requests that are kept",
	[DWF_TASK_REFUSED] = "domowf: looks at rows that are refused",
};

static void note_failure(DwfWriting *writing);
static bool may_say(void);

bool
dwf_writing_do(DwfWriting *writing, DwfTask task, void (*work) (void *arg),
			   void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	writing->began = writing->is_ending = false;
	pgstat_report_activity(STATE_RUNNING, doing[task]);
	dwf_progress_begin(task);
	PG_TRY();
	{
		DwfOwnerScope scope;
		int			settings;

		dwf_transaction_start();
		dwf_progress_name_locks();
		dwf_serving_look(writing->queue, writing->sender, writing->fault,
						 sizeof(writing->fault));
		dwf_owner_become(&scope);
		settings = NewGUCNestLevel();
		SPI_connect();
		PushActiveSnapshot(GetTransactionSnapshot());
		writing->began = true;
		dwf_progress_begun();
		work(arg);
		SPI_finish();
		PopActiveSnapshot();
		/* what code on the tables has SET would stay, in what comes then */
		AtEOXact_GUC(false, settings);
		if (task == DWF_TASK_TRACK)
			dwf_transaction_commit_at_ease();
		else
			dwf_serving_commit_safely(!writing->is_last);
		DWF_TESTPOINT("before-commit");
		writing->is_ending = true;
		CommitTransactionCommand();
		dwf_owner_leave(&scope);
		dwf_progress_set(task, 0);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		dwf_sender_note_error(writing->sender);
		dwf_progress_note_error(task, writing->began);
		note_failure(writing);
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
		ok = false;

		/* no result has been tried, so that none would wait by itself */
		if (!writing->began)
			writing->again_at =
				TimestampTzPlusMilliseconds(dwf_clock_now(), 500);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	pgstat_report_stat(false);
	return ok;
}

/*
 * Says in the server's log why a transaction failed: once a minute where it is
 * the same again.  That NOTIFY's queue is full, which a commit says by a code that
 * rows have, too, is no row's fault: it is written again without, at once.
 */
static void
note_failure(DwfWriting *writing)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *error = CopyErrorData();

	writing->failure = dwf_refusal_code(error);
	if (writing->is_ending &&
		ERRCODE_TO_CATEGORY(writing->failure) == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
	{
		writing->failure = ERRCODE_INSUFFICIENT_RESOURCES;
		dwf_notice_note_error(error);
	}
	FreeErrorData(error);
	MemoryContextSwitchTo(old);
	if (may_say())
		EmitErrorReport();
}

/*
 * Whether the error being handled is not one of those that were said a short
 * while ago.
 */
static bool
may_say(void)
{
	static Said said[SAID];
	static int	next = 0;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *error = CopyErrorData();
	uint32		hash = string_hash(error->message, strlen(error->message) + 1);
	DwfSteady	now = dwf_clock_now();
	int			i;

	FreeErrorData(error);
	MemoryContextSwitchTo(old);
	for (i = 0; i < SAID && said[i].hash != hash; i++)
		;
	if (i < SAID && now < said[i].again)
		return false;
	if (i == SAID)
	{
		i = next;
		next = (next + 1) % SAID;
	}
	said[i].hash = hash;
	said[i].again = TimestampTzPlusMilliseconds(now, SAY_INTERVAL);
	return true;
}
