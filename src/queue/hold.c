/*
 * hold.c
 *	  Starts that may have been sent elsewhere are put into doubt: by a person
 *	  (domowf_hold()), or by the worker of a server that took over.
 *
 * It is for whoever does not know what the old primary, or the time after a
 * recovery target, has sent.  What is harmless to repeat goes on, and so does
 * what its owner said may be repeated.  A request that is held is in doubt as
 * any other: those behind it in its order key wait, held or not, until somebody
 * has settled it.
 *
 * One that a trigger or check refuses to have held after a takeover, or that
 * another transaction has locked, is not sent either: this worker keeps it, and
 * tries again, and until all are held domowf.state does not say that the queue is
 * served here, so that the next worker takes over once more.  All others go on: a
 * lock may be that of a prepared transaction, which no server's end ends, on rows
 * of whom it belongs to.  A person is told of a refusal by an error, and waits for
 * a lock.
 *
 * A row that is being claimed is looked at again when the claim is committed,
 * and no longer waits then.
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/command.h"
#include "base/commit.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/halves.h"
#include "base/quota.h"
#include "base/sight.h"
#include "base/table.h"
#include "base/timeline.h"
#include "call/argument.h"
#include "call/report.h"
#include "domo/operation.h"
#include "queue/archive.h"
#include "queue/counter.h"
#include "queue/hold.h"
#include "queue/notice.h"
#include "queue/pause.h"
#include "queue/refused.h"
#include "queue/returns.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(domowf_hold);

/* Requests that are looked for at a time. */
#define HOLD_BATCH	1000

/* So many may not be held before nothing is sent at all: 800 kB of ids. */
#define MAX_KEPT	100000

/* Which requests are held, and why. */
typedef struct Choice
{
	bool		takes_over;		/* what was not enqueued here, and is locked
								 * by nobody; else */
	TimestampTz before;			/* ... what was enqueued before this */
	bool		sees_all;		/* of everybody; else */
	Oid			role;			/* ... of this role */
	const char *why;
	Datum		error;			/* the same, an object for `errors` */
	int64		held;
	int64		passed;			/* those that refuse, or are locked */
} Choice;

/* Requests that could not be held yet, in the order of their ids. */
static int64 *kept = NULL;
static int	nkept = 0;
static int	max_kept = 0;		/* for which there is room */
static int	next_again = 0;		/* the first that is tried next */
static bool is_taking_over = false; /* until that is written down */

static void hold_chosen(void *arg);
static void hold_all(Choice *choice);
static void hold_some(void *arg, const int64 *ids, int count);
static bool pass_by(void *arg, int64 id, const ErrorData *error);
static void keep_all(const Choice *choice);
static void keep(int64 id);
static int	forget_held(const Choice *choice, int from, int count);
static int	compare_ids(const void *a, const void *b);
static int	find_some(const Choice *choice, int64 after, int64 *ids);
static bool is_chosen(const Choice *choice, const DwfTable *queue);
static bool hold_one(Choice *choice, DwfTable *queue, DwfCounter *counter,
					 int64 id);
static Choice begin_takeover(void);
static void take_over(const DwfTimeline *here);

/*
 * domowf_hold(enqueued_before timestamptz) returns bigint
 */
Datum
domowf_hold(PG_FUNCTION_ARGS)
{
	Choice		choice = {.role = GetUserId(),
	.why = "It was held by domowf_hold(): it may have been sent elsewhere."};

	dwf_command_begin("domowf_hold()");
	dwf_argument_not_null(fcinfo, 0, "enqueued_before");
	dwf_extension_require_update();
	choice.before = PG_GETARG_TIMESTAMPTZ(0);
	choice.sees_all = dwf_sight_of_all(choice.role);
	dwf_quota_without(hold_chosen, &choice);
	PG_RETURN_INT64(choice.held);
}

static void
hold_chosen(void *arg)
{
	hold_all(arg);
}

/* Holds what is chosen. */
static void
hold_all(Choice *choice)
{
	DwfHalves	halves = {hold_some, pass_by, choice};
	MemoryContext old = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(old, "domowf hold",
												  ALLOCSET_DEFAULT_SIZES);
	int64	   *ids = palloc(sizeof(int64) * HOLD_BATCH);
	int64		after = PG_INT64_MIN;
	int			count;

	choice->error = dwf_report_attempt(GetCurrentTimestamp(), "held", 0,
									   choice->why, NULL);
	MemoryContextSwitchTo(context);
	do
	{
		count = find_some(choice, after, ids);
		if (count > 0)
			after = ids[count - 1];
		if (choice->takes_over)
			(void) dwf_halves_do(&halves, ids, count);
		else
			hold_some(choice, ids, count);
		MemoryContextReset(context);
	} while (count == HOLD_BATCH);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	pfree(ids);
}

/* All of these, or an error. */
static void
hold_some(void *arg, const int64 *ids, int count)
{
	Choice	   *choice = arg;
	DwfTable	queue;
	DwfCounter	counter;
	int			held = 0;

	dwf_counter_begin(&counter);
	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	for (int i = 0; i < count; i++)
		held += hold_one(choice, &queue, &counter, ids[i]);
	dwf_table_close(&queue);
	dwf_counter_end(&counter);
	choice->held += held;
}

/* One that refuses is not sent. */
static bool
pass_by(void *arg, int64 id, const ErrorData *error)
{
	Choice	   *choice = arg;

	choice->passed++;
	dwf_refused_note(DWF_REFUSED_HOLD, id, error);
	return true;
}

/* Keeps what was to be held and is not; of too many it is not known which they are. */
static void
keep_all(const Choice *choice)
{
	int64	   *ids = palloc(sizeof(int64) * HOLD_BATCH);
	int64		after = PG_INT64_MIN;
	int			count;

	do
	{
		count = find_some(choice, after, ids);
		if (nkept + count > MAX_KEPT)
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("more than %d requests cannot be put in doubt",
							MAX_KEPT)));
		for (int i = 0; i < count; i++)
			keep(ids[i]);
		if (count > 0)
			after = ids[count - 1];
	} while (count == HOLD_BATCH);
	pfree(ids);
}

static void
keep(int64 id)
{
	if (nkept == max_kept)
	{
		int			more = Max(2 * max_kept, HOLD_BATCH);

		kept = kept == NULL ?
			MemoryContextAlloc(TopMemoryContext, sizeof(int64) * more) :
			repalloc(kept, sizeof(int64) * more);
		max_kept = more;
	}
	kept[nkept++] = id;
}

bool
dwf_hold_keeps_any(void)
{
	return nkept > 0;
}

bool
dwf_hold_keeps(int64 id)
{
	return nkept > 0 &&
		bsearch(&id, kept, nkept, sizeof(int64), compare_ids) != NULL;
}

static int
compare_ids(const void *a, const void *b)
{
	int64		one = *(const int64 *) a;
	int64		other = *(const int64 *) b;

	return (one > other) - (one < other);
}

/*
 * What was held is kept until that is seen the next time: before, this
 * transaction may not commit.  Some at a time, in turn, so that many which are
 * locked for long take little of the worker's time.
 */
void
dwf_hold_try_again(void)
{
	Choice		choice;
	DwfHalves	halves = {hold_some, pass_by, &choice};
	DwfTimeline here;
	DwfTimeline served;
	int			from;
	int			count;

	if (!is_taking_over)
		return;
	choice = begin_takeover();
	choice.error = dwf_report_attempt(GetCurrentTimestamp(), "held", 0,
									  choice.why, NULL);
	from = next_again < nkept ? next_again : 0;
	count = forget_held(&choice, from, Min(nkept - from, HOLD_BATCH));
	next_again = from + count;
	if (nkept > 0)
	{
		(void) dwf_halves_do(&halves, kept + from, count);
		return;
	}
	dwf_refused_begin(DWF_REFUSED_HOLD);
	here = dwf_timeline_here();
	dwf_pause_read_served(&served);
	if (!dwf_timeline_is_same(&served, &here))
		dwf_pause_write_served(&here);
	else
		is_taking_over = false;
}

/*
 * Of so many that are kept, from one on, leaves those alone that are still to be
 * held, and returns how many these are.
 */
static int
forget_held(const Choice *choice, int from, int count)
{
	DwfTable	queue;
	int			end = from + count;
	int			left = 0;

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	for (int i = from; i < end; i++)
	{
		if (dwf_table_find(&queue, QUEUE_ID, Int64GetDatum(kept[i])) &&
			is_chosen(choice, &queue))
			kept[from + left++] = kept[i];
	}
	dwf_table_close(&queue);
	memmove(kept + from + left, kept + end, sizeof(int64) * (nkept - end));
	nkept -= count - left;
	return left;
}

/* The next ids of what is chosen, behind one. */
static int
find_some(const Choice *choice, int64 after, int64 *ids)
{
	static const int by_id[] = {QUEUE_ID};
	DwfTable	queue;
	int			count = 0;

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	dwf_table_seek_next(&queue, by_id, lengthof(by_id), after);
	while (count < HOLD_BATCH && dwf_table_next(&queue))
	{
		CHECK_FOR_INTERRUPTS();
		if (is_chosen(choice, &queue))
			ids[count++] = DatumGetInt64(queue.values[QUEUE_ID]);
	}
	dwf_table_close(&queue);
	return count;
}

/* Whether the request at hand is to be held. */
static bool
is_chosen(const Choice *choice, const DwfTable *queue)
{
	uint64		batch = U64FromFullTransactionId(DatumGetFullTransactionId(queue->values[QUEUE_BATCH]));

	if (!dwf_table_is_text(queue, QUEUE_STATE, "queued") ||
		!dwf_table_is_text(queue, QUEUE_OPERATION,
						   dwf_operation_name(DWF_START)) ||
		dwf_table_is_text(queue, QUEUE_ON_DOUBT, "retry"))
		return false;
	if (choice->takes_over)
		return !dwf_timeline_is_enqueued_here(batch);
	return DatumGetTimestampTz(queue->values[QUEUE_ENQUEUED_AT]) < choice->before &&
		(choice->sees_all ||
		 DatumGetObjectId(queue->values[QUEUE_REQUESTED_BY_OID]) == choice->role);
}

/*
 * Holds a request, unless it has become another one's meanwhile, or, in a takeover,
 * another transaction has locked it.
 */
static bool
hold_one(Choice *choice, DwfTable *queue, DwfCounter *counter, int64 id)
{
	bool		held = false;
	DwfCount	what;

	while (!held && dwf_table_find(queue, QUEUE_ID, Int64GetDatum(id)) &&
		   is_chosen(choice, queue))
	{
		held = choice->takes_over || dwf_table_lock(queue);
		if (!held)
			dwf_table_refresh(queue);
	}
	if (!held)
		return false;
	dwf_commit_note_held(DatumGetInt64(queue->values[QUEUE_LANE]),
						 DatumGetTimestampTz(queue->values[QUEUE_DUE]));
	dwf_table_set_text(queue, QUEUE_STATE, "in_doubt");
	dwf_table_set(queue, QUEUE_DUE, TimestampTzGetDatum(DT_NOEND));
	dwf_table_set_text(queue, QUEUE_ERROR, choice->why);
	dwf_archive_add_error(queue, choice->error);
	dwf_counter_read_queue(queue, 0, &what);
	what.outcome = "in_doubt";
	what.attempts = 0;
	what.waited = -1;
	if (!dwf_table_update(queue, !choice->takes_over))
	{
		choice->passed++;
		dwf_refused_note_locked(DWF_REFUSED_HOLD, id, dwf_table_holder(queue));
		return false;
	}
	dwf_counter_add(counter, &what);
	if (dwf_return_is_asked(queue))
		dwf_return_note(id, "in_doubt");
	dwf_commit_note_settled(id);
	dwf_commit_note_enqueued(DT_NOEND, -1);
	dwf_commit_note_count(DatumGetObjectId(queue->values[QUEUE_REQUESTED_BY_OID]),
						  -1);
	dwf_notice_settled(id, "in_doubt", NULL);
	return true;
}

void
dwf_hold_take_over(void)
{
	DwfTimeline here = dwf_timeline_here();
	DwfTimeline served;

	/* an earlier try of this may have been taken back */
	nkept = next_again = 0;
	dwf_pause_read_served(&served);
	if (dwf_timeline_is_copy(&served))
		return;
	if (dwf_timeline_is_new(&served))
		take_over(&here);
	is_taking_over = nkept > 0;
	if (!is_taking_over)
		dwf_refused_begin(DWF_REFUSED_HOLD);
	if (!is_taking_over && !dwf_timeline_is_same(&served, &here))
		dwf_pause_write_served(&here);
}

/* What is held when this server takes over. */
static Choice
begin_takeover(void)
{
	return (Choice)
	{
		.takes_over = true,
			.why = "It was held when this server took over: it may have been sent before, by another server or after the time to which this one was recovered."
	};
}

/* What the setting says. */
static void
take_over(const DwfTimeline *here)
{
	Choice		choice = begin_takeover();

	switch ((DwfAfterPromotion) dwf_after_promotion)
	{
		case DWF_GO_ON:
			break;
		case DWF_PAUSE_AFTER_PROMOTION:
			dwf_pause_promoted();
			break;
		case DWF_HOLD_AFTER_PROMOTION:
			hold_all(&choice);
			if (choice.passed > 0)
				keep_all(&choice);
			ereport(LOG,
					(errmsg("domowf: this server took over, on timeline %u: %lld requests are in doubt, because they may have been sent before",
							(unsigned) here->number, (long long) choice.held)));
			break;
	}
}
