/*
 * counter.c
 *	  What has happened to requests, counted as it happens (domowf.counter).
 *
 * Exact: what is counted is written by the transaction that does it, so that a
 * crash or a rollback takes back both, and what log_retention removes, or a
 * person, is still counted.
 *
 * Nobody waits for anybody: who settles appends a row with what is to be added,
 * and never changes one that is there, whether that is the worker, once a turn,
 * or a person who discards.  The worker, which there is one of, makes few rows of
 * them at times (dwf_counter_fold()); whoever reads, adds up.  An UPDATE of one
 * row for each label would have people wait for each other's transactions, and
 * would leave a dead version of a wide row for each turn.
 *
 * Enqueueing and calls write nothing here, and so cost what they did.  What was
 * enqueued is what was settled, less what was opened again, and what is in the
 * queue: all of that changes hands within a transaction.  A request that is
 * sent again to another server than before is counted as moved from the one,
 * and as opened again by the other, so that it was enqueued there, and once.
 * Nothing else that domowf does changes the labels of a request, or takes it
 * out of the queue without an outcome.
 * A watermark in the log (what id was counted last) would cost settlements
 * nothing, too, but ids are not given in the order of commits.
 *
 * Labels are names of workflows, servers and roles, which people make with
 * rights of their own, never what a request holds.  Still they may make many,
 * so that all but the most used count together (MAX_LABELS).
 *
 * A histogram's buckets are columns of their own: in a row that is appended all
 * but two are null, which takes no room, and sum() is all that they need.  Times
 * are whole microseconds, whose sum does not depend on the order of rows.  Of the
 * last hour rows are kept by the slot of five minutes in which they came, for the
 * percentiles of domowf.stats.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/bucket.h"
#include "base/clock.h"
#include "base/extension.h"
#include "base/statement.h"
#include "base/table.h"
#include "queue/counter.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* Loose rows may be as many as those that were folded, and so many more. */
#define MAX_LOOSE_ROWS	"300"

/* Sets of labels that have rows of their own. */
#define MAX_LABELS	"1000"

#define SLOT	(5 * USECS_PER_MINUTE)

typedef struct DwfCounted
{
	DwfCount	what;			/* of the labels */
	int64		count;
	int64		reopened;
	int64		attempts;
	int64		waited;
	int64		took;
	int64		waited_in[DWF_BUCKETS];
	int64		took_in[DWF_BUCKETS];
} DwfCounted;

#define SUM_BUCKET(i) \
	"sum(waited_" #i ")::bigint, sum(took_" #i ")::bigint, "
#define NAME_BUCKET(i)	"waited_" #i ", took_" #i ", "

#define LABELS	"operation, workflow, server, requested_by, requested_by_oid"
#define KEY		LABELS ", class, outcome, slot"

/*
 * Whether to fold.  What decides is in the rows themselves, so that a worker
 * that begins does not write all of them anew; each is written once more, on
 * average, for one that is added.
 */
static const char find_loose[] =
"SELECT count(*) FILTER (WHERE folded IS NULL) > "
MAX_LOOSE_ROWS " + count(folded) FROM domowf.counter";

/*
 * Ranks labels by what they count.  What is not among the first ones goes to a
 * workflow of no name, of no role's; but not what was opened again and is still
 * in the queue, by its own labels, since what was enqueued must not fall.
 */
static const char fold[] =
"WITH o AS (SELECT ctid FROM domowf.counter FOR UPDATE SKIP LOCKED), "
"d AS (DELETE FROM domowf.counter c USING o WHERE c.ctid = o.ctid "
"RETURNING c.*), "
"t AS (SELECT d.*, sum(n + coalesce(reopened, 0)) OVER (PARTITION BY "
LABELS ") AS total, sum(n - coalesce(reopened, 0)) "
"FILTER (WHERE outcome <> 'in_doubt') OVER (PARTITION BY " LABELS
") AS net FROM d), "
"f AS (SELECT t.*, dense_rank() OVER (ORDER BY total DESC, " LABELS ") > "
MAX_LABELS " AND coalesce(net, 0) >= 0 AS is_rare FROM t) "
"INSERT INTO domowf.counter (" KEY ", " DWF_EACH_BUCKET(NAME_BUCKET)
"n, reopened, attempts, waited, took, folded) "
"SELECT operation, CASE WHEN is_rare THEN '' ELSE workflow END, "
"CASE WHEN NOT is_rare THEN server END, "
"CASE WHEN is_rare THEN '' ELSE requested_by END, "
"CASE WHEN is_rare THEN 0 ELSE requested_by_oid END, class, outcome, "
"CASE WHEN slot > now() - interval '1 hour' THEN slot END, "
DWF_EACH_BUCKET(SUM_BUCKET) "sum(n)::bigint, sum(reopened)::bigint, "
"sum(attempts)::bigint, sum(waited)::bigint, sum(took)::bigint, "
"true FROM f "
"GROUP BY 1, 2, 3, 4, 5, 6, 7, 8";

static DwfCounted *find(DwfCounter *counter, const DwfCount *count);
static bool is_same(const DwfCount *a, const DwfCount *b);
static bool is_same_text(const char *a, const char *b);
static void write_rows(DwfTable *table, const DwfCounter *counter);
static void write_apart(DwfCounter *counter);
static void open_and_write(void *arg);
static void write_row(DwfTable *table, const DwfCounted *item);
static void set_number(DwfTable *table, int column, int64 number);
static void set_name(DwfTable *table, int column, const char *name);
static char *text_or_null(HeapTuple row, TupleDesc desc, int number);
static int64 waited_since(TimestampTz since, TimestampTz now);

void
dwf_counter_begin(DwfCounter *counter)
{
	memset(counter, 0, sizeof(*counter));
	counter->context = CurrentMemoryContext;
}

void
dwf_counter_add(DwfCounter *counter, const DwfCount *count)
{
	DwfCounted *item = find(counter, count);

	if (count->is_reopened)
		item->reopened++;
	else
		item->count++;
	item->attempts += count->attempts;
	if (count->waited >= 0)
	{
		item->waited += count->waited;
		item->waited_in[dwf_bucket_find(count->waited)]++;
	}
	if (count->took >= 0)
	{
		item->took += count->took;
		item->took_in[dwf_bucket_find(count->took)]++;
	}
}

/* What is counted with it, or a new one. */
static DwfCounted *
find(DwfCounter *counter, const DwfCount *count)
{
	DwfCounted *item;

	for (int i = 0; i < counter->nitems; i++)
	{
		if (is_same(&counter->items[i].what, count))
			return &counter->items[i];
	}
	if (counter->nitems == counter->capacity)
	{
		int			more = Max(4, 2 * counter->capacity);

		counter->items = counter->items == NULL ?
			MemoryContextAlloc(counter->context, more * sizeof(DwfCounted)) :
			repalloc(counter->items, more * sizeof(DwfCounted));
		counter->capacity = more;
	}
	item = &counter->items[counter->nitems++];
	memset(item, 0, sizeof(*item));
	item->what = *count;
	return item;
}

static bool
is_same(const DwfCount *a, const DwfCount *b)
{
	return a->requested_by_oid == b->requested_by_oid &&
		is_same_text(a->requested_by, b->requested_by) &&
		is_same_text(a->outcome, b->outcome) &&
		is_same_text(a->class, b->class) &&
		is_same_text(a->workflow, b->workflow) &&
		is_same_text(a->operation, b->operation) &&
		is_same_text(a->server, b->server);
}

static bool
is_same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

void
dwf_counter_end(DwfCounter *counter)
{
	DwfTable	table;
	bool		may_refuse;

	/* before 1.1 nothing was counted */
	if (counter->nitems == 0 || !dwf_extension_is_since("1.1"))
		return;
	dwf_table_open(&table, "counter", COUNTER_COLUMNS, false);
	may_refuse = dwf_counter_find_refuser(table.rel) != NULL;
	if (!may_refuse)
		write_rows(&table, counter);
	dwf_table_close(&table);
	if (may_refuse)
		write_apart(counter);
	counter->nitems = 0;
}

static void
write_rows(DwfTable *table, const DwfCounter *counter)
{
	for (int i = 0; i < counter->nitems; i++)
		write_row(table, &counter->items[i]);
}

/* All or none: a part of it would tell of attempts without their outcomes. */
static void
write_apart(DwfCounter *counter)
{
	static DwfSteady again = 0;
	ErrorData  *error = dwf_apart_try(open_and_write, counter);

	if (error != NULL && dwf_clock_once_a_minute(&again))
		ereport(LOG,
				(errmsg("domowf: what has happened to requests cannot be counted: %s",
						error->message),
				 errhint("See domowf_check(), row \"tables\".")));
}

static void
open_and_write(void *arg)
{
	DwfTable	table;

	dwf_table_open(&table, "counter", COUNTER_COLUMNS, false);
	write_rows(&table, arg);
	dwf_table_close(&table);
}

char *
dwf_counter_find_refuser(Relation rel)
{
	const		TupleConstr *constr = RelationGetDescr(rel)->constr;
	List	   *indexes = rel->rd_rel->relhasindex ?
	RelationGetIndexList(rel) : NIL;

	if (indexes != NIL)
		return psprintf("index %s", get_rel_name(linitial_oid(indexes)));
	if (constr != NULL && constr->num_check > 0)
		return psprintf("constraint %s", constr->check[0].ccname);
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (strcmp(trigger->tgname, "refuse_replication") != 0 &&
			strcmp(trigger->tgname, "refuse_truncation") != 0 &&
			strcmp(trigger->tgname, "undo_truncation") != 0)
			return psprintf("trigger %s", trigger->tgname);
	}
	return NULL;
}

/* A row with what is not nothing. */
static void
write_row(DwfTable *table, const DwfCounted *item)
{
	const DwfCount *what = &item->what;
	TimestampTz now = GetCurrentTransactionStartTimestamp();

	dwf_table_set_text(table, COUNTER_OPERATION, what->operation);
	dwf_table_set_text(table, COUNTER_WORKFLOW, what->workflow);
	if (what->server != NULL)
		set_name(table, COUNTER_SERVER, what->server);
	set_name(table, COUNTER_REQUESTED_BY, what->requested_by);
	dwf_table_set(table, COUNTER_REQUESTED_BY_OID,
				  ObjectIdGetDatum(what->requested_by_oid));
	dwf_table_set_text(table, COUNTER_CLASS, what->class);
	dwf_table_set_text(table, COUNTER_OUTCOME, what->outcome);
	dwf_table_set(table, COUNTER_SLOT, TimestampTzGetDatum(now - now % SLOT));
	dwf_table_set(table, COUNTER_N, Int64GetDatum(item->count));
	set_number(table, COUNTER_REOPENED, item->reopened);
	set_number(table, COUNTER_ATTEMPTS, item->attempts);
	set_number(table, COUNTER_WAITED, item->waited);
	set_number(table, COUNTER_TOOK, item->took);
	for (int i = 0; i < DWF_BUCKETS; i++)
	{
		set_number(table, COUNTER_WAITED_0 + i, item->waited_in[i]);
		set_number(table, COUNTER_TOOK_0 + i, item->took_in[i]);
	}
	if (dwf_table_may_refuse(table))
		dwf_table_insert(table, true);
	else
		dwf_table_append(table);
}

/* Nothing takes no room. */
static void
set_number(DwfTable *table, int column, int64 number)
{
	if (number != 0)
		dwf_table_set(table, column, Int64GetDatum(number));
}

static void
set_name(DwfTable *table, int column, const char *name)
{
	Name		copy = palloc(sizeof(NameData));

	namestrcpy(copy, name);
	dwf_table_set(table, column, NameGetDatum(copy));
}

void
dwf_counter_read_queue(const DwfTable *queue, TimestampTz now,
					   DwfCount *count)
{
	memset(count, 0, sizeof(*count));
	count->operation = TextDatumGetCString(queue->values[QUEUE_OPERATION]);
	if (!queue->nulls[QUEUE_WORKFLOW])
		count->workflow = TextDatumGetCString(queue->values[QUEUE_WORKFLOW]);
	if (!queue->nulls[QUEUE_SERVER])
		count->server = pstrdup(NameStr(*DatumGetName(queue->values[QUEUE_SERVER])));
	count->requested_by =
		pstrdup(NameStr(*DatumGetName(queue->values[QUEUE_REQUESTED_BY])));
	count->requested_by_oid =
		DatumGetObjectId(queue->values[QUEUE_REQUESTED_BY_OID]);
	count->attempts = DatumGetInt32(queue->values[QUEUE_ATTEMPTS]);
	count->waited =
		waited_since(DatumGetTimestampTz(queue->values[QUEUE_ENQUEUED_AT]), now);
	count->took = -1;
}

void
dwf_counter_read_row(HeapTuple row, TupleDesc desc, int first,
					 TimestampTz now, DwfCount *count)
{
	bool		isnull;

	memset(count, 0, sizeof(*count));
	count->operation = text_or_null(row, desc, first);
	count->workflow = text_or_null(row, desc, first + 1);
	count->server = text_or_null(row, desc, first + 2);
	count->requested_by = text_or_null(row, desc, first + 3);
	count->requested_by_oid =
		DatumGetObjectId(SPI_getbinval(row, desc, first + 4, &isnull));
	count->attempts =
		DatumGetInt32(SPI_getbinval(row, desc, first + 5, &isnull));
	count->waited =
		waited_since(DatumGetTimestampTz(SPI_getbinval(row, desc, first + 6,
													   &isnull)), now);
	count->took = -1;
}

static char *
text_or_null(HeapTuple row, TupleDesc desc, int number)
{
	return SPI_getvalue(row, desc, number);
}

/* A clock may have been set back. */
static int64
waited_since(TimestampTz since, TimestampTz now)
{
	return Max(0, now - since);
}

/* The worker's planner is told to use indexes, of which there are none. */
void
dwf_counter_fold(void)
{
	int			level = NewGUCNestLevel();
	bool		isnull;

	(void) set_config_option("enable_seqscan", "on", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_execute(find_loose, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.counter");
	if (DatumGetBool(dwf_statement_column(0, 1, &isnull)) &&
		SPI_execute(fold, false, 0) < 0)
		elog(ERROR, "could not fold domowf.counter");
	AtEOXact_GUC(true, level);
}
