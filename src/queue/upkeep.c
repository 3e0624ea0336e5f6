/*
 * upkeep.c
 *	  What the worker does to many requests at once: those whose time is over,
 *	  those that a dead worker left behind, and old rows of the log.
 *
 * By statements that are prepared once in a process and kept.  They are written
 * for the search_path that the worker sets, pg_catalog only, and for its
 * planner, which is told to use indexes (worker_start.c).  Rows that others
 * have locked are skipped, never waited for.
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/commit.h"
#include "base/guc.h"
#include "base/table.h"
#include "call/report.h"
#include "queue/archive.h"
#include "queue/notice.h"
#include "queue/upkeep.h"
#include "queue/watch.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define MAX_PARAMS	5

/* A statement and its parameters' types, ended by InvalidOid. */
typedef struct Statement
{
	const char *sql;
	Oid			types[MAX_PARAMS];
	SPIPlanPtr	plan;
} Statement;

static Statement expire = {
	"WITH e AS (SELECT id FROM domowf.queue WHERE expires_at <= $1 "
	"AND state = 'queued' ORDER BY expires_at LIMIT $2 "
	"FOR UPDATE SKIP LOCKED), "
	"d AS (DELETE FROM domowf.queue USING e WHERE queue.id = e.id "
	"RETURNING queue.*), "
	"k AS (" DWF_SQL_GIVE_BACK_KEY ") "
	DWF_SQL_TO_LOG("'expired'", "NULL", "CASE WHEN $3 THEN request END",
				   "coalesce(error, 'it was not sent before it expired')", "$1")
	"RETURNING id, order_space, order_key, requested_by_oid",
	{TIMESTAMPTZOID, INT4OID, BOOLOID}
};

static const char recover[] =
"WITH s AS (SELECT id, attempts + 1 < max_attempts AND "
"(operation = ANY($5) OR on_doubt = 'retry') AS again "
"FROM domowf.queue WHERE state = 'sending' "
"AND owner IS DISTINCT FROM $4 FOR UPDATE SKIP LOCKED) "
"UPDATE domowf.queue q SET owner = NULL, attempts = attempts + 1, "
"failures = failures + 1, error = $2, errors = " DWF_SQL_ADD_ERROR("$3") ", "
"state = CASE WHEN again THEN 'queued' ELSE 'in_doubt' END, "
"due = CASE WHEN again THEN $1 ELSE 'infinity' END "
"FROM s WHERE q.id = s.id RETURNING state, lane, q.id, requested_by_oid";

static const char has_orphans[] =
"SELECT FROM domowf.queue WHERE state = 'sending' "
"AND owner IS DISTINCT FROM $1 LIMIT 1";

static Statement remove_old = {
	"WITH o AS (SELECT id FROM domowf.log WHERE settled_at < $1 LIMIT $2 "
	"FOR UPDATE SKIP LOCKED), "
	"d AS (DELETE FROM domowf.log USING o WHERE log.id = o.id "
	"RETURNING log.*) "
	DWF_SQL_GIVE_BACK_KEY,
	{TIMESTAMPTZOID, INT4OID}
};

static void run(Statement *statement, Datum *values, const char *nulls,
				int limit);
static void release_expired(int count);
static void run_over_all(const char *sql, int ntypes, Oid *types,
						 Datum *values);
static Datum column(uint64 row, int number, bool *isnull);
static Datum list_repeatable(void);

/* Runs a statement, prepared at its first use; the result is SPI's. */
static void
run(Statement *statement, Datum *values, const char *nulls, int limit)
{
	int			count = 0;

	while (OidIsValid(statement->types[count]))
		count++;
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->sql, count,
									   statement->types);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\"", statement->sql);
		SPI_keepplan(plan);
		statement->plan = plan;
	}
	if (SPI_execute_plan(statement->plan, values, nulls, false, limit) < 0)
		elog(ERROR, "could not execute \"%s\"", statement->sql);
}

/* Runs a statement that reads all of the queue, from one end to the other. */
static void
run_over_all(const char *sql, int ntypes, Oid *types, Datum *values)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("enable_seqscan", "on", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_execute_with_args(sql, ntypes, types, values, NULL, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", sql);
	AtEOXact_GUC(true, level);
}

/* A column of the last result, counted from 1. */
static Datum
column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 number, isnull);
}

int
dwf_upkeep_expire(TimestampTz now, int limit)
{
	Datum		values[] = {TimestampTzGetDatum(now), Int32GetDatum(limit),
	BoolGetDatum(dwf_log_payload)};
	int			count;

	run(&expire, values, NULL, 0);
	count = (int) SPI_processed;
	for (int i = 0; i < count; i++)
	{
		bool		isnull;
		int64		id = DatumGetInt64(column(i, 1, &isnull));

		dwf_notice_settled(id, "expired", NULL);
		dwf_commit_note_settled(id);
		dwf_commit_note_count(DatumGetObjectId(column(i, 4, &isnull)), -1);
	}
	if (count > 0)
	{
		dwf_commit_note_enqueued(DT_NOEND, -count);
		release_expired(count);
	}
	return count;
}

/* Lets those go that come behind the last result's. */
static void
release_expired(int count)
{
	DwfTable	queue;

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	for (int i = 0; i < count; i++)
	{
		bool		isnull;
		Datum		space = column(i, 2, &isnull);
		Datum		key = column(i, 3, &isnull);

		if (!isnull)
			dwf_watch_release(&queue, space, key);
	}
	dwf_table_close(&queue);
}

/* The operations that are harmless if Domo gets them twice, a text[]. */
static Datum
list_repeatable(void)
{
	Datum		names[DWF_OPERATIONS];
	int			count = 0;

	for (int i = 0; i < DWF_OPERATIONS; i++)
	{
		const DwfOperationRow *row = dwf_operation((DwfOperation) i);

		if (row->repeatable)
			names[count++] = CStringGetTextDatum(row->name);
	}
	return PointerGetDatum(construct_array(names, count, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

int
dwf_upkeep_recover(int64 owner, TimestampTz now, int *again, bool *left)
{
	static const char error[] = "the worker ended while it was sending";
	Oid			types[] = {TIMESTAMPTZOID, TEXTOID, JSONBOID, INT8OID,
	TEXTARRAYOID};
	Datum		values[lengthof(types)];
	bool		isnull;
	int			doubt = 0;

	values[0] = TimestampTzGetDatum(now);
	values[1] = CStringGetTextDatum(error);
	values[2] = dwf_report_attempt(now, "in doubt", 0, error, NULL);
	values[3] = Int64GetDatum(owner);
	values[4] = list_repeatable();
	run_over_all(recover, lengthof(types), types, values);
	*again = 0;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *state = TextDatumGetCString(column(i, 1, &isnull));

		if (strcmp(state, "in_doubt") != 0)
		{
			(*again)++;
			dwf_commit_note_due(DatumGetInt64(column(i, 2, &isnull)), now);
			continue;
		}
		doubt++;
		dwf_commit_note_settled(DatumGetInt64(column(i, 3, &isnull)));
		dwf_commit_note_count(DatumGetObjectId(column(i, 4, &isnull)), -1);
	}
	if (doubt > 0)
		dwf_commit_note_enqueued(DT_NOEND, -doubt);
	run_over_all(has_orphans, 1, &types[3], &values[3]);
	*left = SPI_processed > 0;
	return doubt;
}

int
dwf_upkeep_remove_old(TimestampTz before, int limit)
{
	Datum		values[] = {TimestampTzGetDatum(before), Int32GetDatum(limit)};

	run(&remove_old, values, NULL, 0);
	return (int) SPI_processed;
}
