/*
 * upkeep.c
 *	  What the worker does to many requests at once: those whose time is over, and
 *	  those that a dead worker left behind.
 *
 * By statements that are prepared once in a process and kept.  They are written
 * for the search_path that the worker sets, pg_catalog only, and for its
 * planner, which is told to use indexes (worker_start.c).  Rows that others
 * have locked are skipped, never waited for.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/clock.h"
#include "base/columns.h"
#include "base/commit.h"
#include "base/guc.h"
#include "base/refusal.h"
#include "base/statement.h"
#include "base/table.h"
#include "call/report.h"
#include "queue/archive.h"
#include "queue/counter.h"
#include "queue/hold.h"
#include "queue/notice.h"
#include "queue/overdue.h"
#include "queue/refused.h"
#include "queue/returns.h"
#include "queue/upkeep.h"
#include "queue/watch.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* One that is to be run. */
typedef struct Work
{
	DwfStatement *statement;
	Datum	   *values;
	void		(*tell) (void); /* of what it has done, NULL: nobody */
} Work;

/* What `recover` is told. */
typedef struct Recovery
{
	Datum		values[6];
	TimestampTz now;
	int			doubt;			/* what came of it: in doubt, */
	int			again;			/* and to be sent again */
} Recovery;

/* What tells whether something is to be returned (note_return()). */
#define RETURNS "returns_to IS NOT NULL, workflow"

/*
 * $1 the time, $3 whether to keep requests; the ids come from `which`, and what
 * is harmless to repeat from `harmless`.  All else that used an attempt may have
 * been executed (dwf_verdict_refuse()): in doubt, and its keys stay its own.
 */
#define EXPIRE(which, harmless) \
	"WITH e AS (" which "FOR UPDATE SKIP LOCKED), " \
	"d AS (DELETE FROM domowf.queue USING e WHERE queue.id = e.id " \
	"AND (attempts = 0 OR operation = ANY(" harmless ")) RETURNING queue.*), " \
	"k AS (" DWF_SQL_GIVE_BACK_KEY "), " \
	"l AS (" \
	DWF_SQL_TO_LOG("'expired'", "NULL", "CASE WHEN $3 THEN request END", \
				   "coalesce(error, 'it was not sent before it expired')", \
				   "$1") \
	"RETURNING *), " \
	"h AS (SELECT queue.* FROM domowf.queue, e WHERE queue.id = e.id " \
	"AND attempts > 0 AND operation <> ALL(" harmless ")) " \
	"SELECT 'expired', id, order_space, order_key, requested_by_oid, " \
	RETURNS ", " DWF_SQL_COUNTED("") " FROM l UNION ALL " \
	"SELECT 'in_doubt', id, NULL, NULL, requested_by_oid, " \
	RETURNS ", " DWF_SQL_COUNTED("") " FROM h"

#define EXPIRED \
	"SELECT id FROM domowf.queue WHERE expires_at <= $1 AND state = 'queued' "
#define FIRST_EXPIRED(offset) \
	EXPIRED "ORDER BY expires_at LIMIT $2 OFFSET " offset " "

static DwfStatement expire = {
	EXPIRE(FIRST_EXPIRED("$4"), "$5"),
	{TIMESTAMPTZOID, INT4OID, BOOLOID, INT4OID, TEXTARRAYOID}
};

static DwfStatement find_expired = {
	FIRST_EXPIRED("$3") "FOR UPDATE SKIP LOCKED",
	{TIMESTAMPTZOID, INT4OID, INT4OID}
};

static DwfStatement expire_one = {
	EXPIRE(EXPIRED "AND id = $2 ", "$4"),
	{TIMESTAMPTZOID, INT8OID, BOOLOID, TEXTARRAYOID}
};

static DwfStatement hold_one = {
	"UPDATE domowf.queue SET state = 'in_doubt', due = 'infinity', "
	"error = $2, errors = " DWF_SQL_ADD_ERROR("$3") " WHERE id = $1 "
	"RETURNING requested_by_oid, " RETURNS ", " DWF_SQL_COUNTED(""),
	{INT8OID, TEXTOID, JSONBOID}
};

/* $6 one alone, or 0 */
static const char recover[] =
"WITH s AS (SELECT id, attempts + 1 < max_attempts AND "
"(operation = ANY($5) OR on_doubt = 'retry') AS again "
"FROM domowf.queue WHERE state = 'sending' "
"AND owner IS DISTINCT FROM $4 AND $6 IN (id, 0) "
"FOR UPDATE SKIP LOCKED) "
"UPDATE domowf.queue q SET owner = NULL, attempts = attempts + 1, "
"failures = failures + 1, error = $2, errors = " DWF_SQL_ADD_ERROR("$3") ", "
"state = CASE WHEN again THEN 'queued' ELSE 'in_doubt' END, "
"due = CASE WHEN again THEN $1 ELSE 'infinity' END "
"FROM s WHERE q.id = s.id RETURNING state, lane, q.id, requested_by_oid, "
RETURNS ", " DWF_SQL_COUNTED("");

static const char find_orphans[] =
"SELECT id FROM domowf.queue WHERE state = 'sending' "
"AND owner IS DISTINCT FROM $1";

static int	told;				/* of how many the last one has told */
static int	refused;			/* what is passed by, of what has expired */
static int64 held;				/* which one is put in doubt */
static bool is_each;			/* each expires by itself */
static Datum ended_space;		/* the order key of the last one that did so */
static Datum ended_key;			/* 0: it has none; these two in memory that
								 * the transaction keeps */

static void run_work(void *arg);
static ErrorData *run_apart(DwfStatement *statement, Datum *values,
							void (*tell) (void));
static void count_all(int first, const char *class, const char *outcome);
static const char *read_outcome(uint64 row);
static void note_expired(void);
static void note_held(void);
static void note_return(uint64 row, int number, int64 id,
						const char *state);
static bool expire_each(TimestampTz now, int limit, int *found, int *changed);
static bool expire_alone(int64 id, TimestampTz now, DwfPass *pass);
static bool hold_expired(int64 id, TimestampTz now, DwfPass *pass, const char *why);
static void release_expired(int count);
static void recover_some(void *arg);
static void recover_each(Recovery *recovery);

static void note_recovered(Recovery *recovery);
static bool is_doubt(uint64 row);
static int	find_left(int64 owner, int64 **ids);
static void run_over_all(const char *sql, int ntypes, Oid *types,
						 Datum *values);
static Datum list_repeatable(void);

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

/*
 * One that the log refuses for what it holds keeps no other from it: then each
 * goes by itself, and that one is held in doubt, never sent.  What cannot be held
 * either, or fails for the moment (a lock), is passed by the next time, until all
 * others had their turn, and rests then; so is what a takeover has still to hold,
 * which another server may have sent.
 */
bool
dwf_upkeep_expire(TimestampTz now, int limit)
{
	Datum		values[] = {TimestampTzGetDatum(now), Int32GetDatum(limit),
	BoolGetDatum(dwf_log_payload), Int32GetDatum(refused), list_repeatable()};
	int			found;
	int			changed;
	bool		more;

	is_each = false;
	dwf_refused_begin(DWF_REFUSED_EXPIRY);
	dwf_table_lock_whole("queue");
	dwf_table_lock_whole("log");
	dwf_table_lock_whole("key");
	if (!dwf_hold_keeps_any() && !dwf_refused_any(DWF_REFUSED_EXPIRY) &&
		run_apart(&expire, values, note_expired) == NULL)
	{
		found = changed = told;
		more = found == limit;
	}
	else
		more = expire_each(now, limit, &found, &changed);
	refused = more ? refused + found - changed : 0;
	return more;
}

/*
 * Each by itself: how many were looked at, and in `changed` how many ended;
 * whether there may be more.
 */
static bool
expire_each(TimestampTz now, int limit, int *found, int *changed)
{
	Datum		find[] = {TimestampTzGetDatum(now), Int32GetDatum(limit),
	Int32GetDatum(refused)};
	DwfPass		pass = {0};
	int64	   *ids;
	int			count;

	dwf_statement_run(&find_expired, find);
	count = dwf_statement_read_ids(&ids);
	*changed = 0;
	is_each = true;
	dwf_watch_begin_apart();
	for (*found = 0; *found < count;)
	{
		int64		id = ids[(*found)++];
		int			code;
		bool		goes_on;

		if (dwf_hold_keeps(id) ||
			dwf_refused_until(DWF_REFUSED_EXPIRY, id, &code) != 0)
			continue;
		told = 0;
		goes_on = expire_alone(id, now, &pass);
		*changed += told;
		if (!goes_on)
			return true;
	}
	return count == limit;
}

/* In `told` whether it ended; returns whether to go on. */
static bool
expire_alone(int64 id, TimestampTz now, DwfPass *pass)
{
	Datum		values[] = {TimestampTzGetDatum(now), Int64GetDatum(id),
	BoolGetDatum(dwf_log_payload), list_repeatable()};
	ErrorData  *error;

	ended_key = 0;
	error = run_apart(&expire_one, values, note_expired);
	if (error == NULL)
	{
		if (ended_key != 0)
			dwf_watch_release_apart(ended_space, ended_key);
		pass->done++;
		dwf_refused_forget(DWF_REFUSED_EXPIRY, id);
		return true;
	}
	if (dwf_refusal_is_rows(error->sqlerrcode))
		return hold_expired(id, now, pass, error->message);
	dwf_refused_rest(DWF_REFUSED_EXPIRY, id, error);
	return dwf_apart_goes_on(pass, error);
}

static void
run_work(void *arg)
{
	const Work *work = arg;

	dwf_statement_run(work->statement, work->values);
	if (work->tell != NULL)
		work->tell();
}

/*
 * As dwf_statement_run(), and tells others what it has done, in a
 * subtransaction.  NULL, or, with nothing done, why it failed.
 */
static ErrorData *
run_apart(DwfStatement *statement, Datum *values, void (*tell) (void))
{
	Work		work = {statement, values, tell};

	return dwf_apart_try_any(run_work, &work);
}

/*
 * Tells of what the last statement has expired, first what may be refused; in
 * `told` how many.
 */
static void
note_expired(void)
{
	int			count = (int) SPI_processed;
	int			doubt = dwf_overdue_doubt();
	bool		isnull;

	count_all(8, NULL, NULL);
	for (int i = 0; i < count; i++)
		note_return(i, 6, DatumGetInt64(dwf_statement_column(i, 2, &isnull)),
					read_outcome(i));
	for (int i = 0; i < count; i++)
	{
		int64		id = DatumGetInt64(dwf_statement_column(i, 2, &isnull));

		dwf_notice_settled(id, read_outcome(i), NULL);
		dwf_commit_note_settled(id);
		dwf_commit_note_count(DatumGetObjectId(dwf_statement_column(i, 5, &isnull)), -1);
	}
	if (doubt > 0)
		ereport(LOG,
				(errmsg("domowf: %d requests that have expired are in doubt, because an earlier attempt may have been executed",
						doubt)));
	if (count > 0)
	{
		dwf_commit_note_enqueued(DT_NOEND, -count);
		release_expired(count);
	}
	told = count;
}

/* The columns of RETURNS begin with this one. */
static void
note_return(uint64 row, int number, int64 id, const char *state)
{
	bool		isnull;
	bool		has_row = DatumGetBool(dwf_statement_column(row, number, &isnull));
	Datum		workflow = dwf_statement_column(row, number + 1, &isnull);

	if (dwf_return_is_wanted(has_row,
							 isnull ? NULL : TextDatumGetCString(workflow)))
		dwf_return_note(id, state);
}

/*
 * Counts what the last statement has done, of a row's columns from `first` on;
 * `outcome` NULL: as their states say.
 */
static void
count_all(int first, const char *class, const char *outcome)
{
	DwfCounter	counter;
	SPITupleTable *rows = SPI_tuptable;
	uint64		nrows = SPI_processed;

	dwf_counter_begin(&counter);
	for (uint64 i = 0; i < nrows; i++)
	{
		DwfCount	what;

		dwf_counter_read_row(rows->vals[i], rows->tupdesc, first,
							 dwf_clock_wall(dwf_clock_now()), &what);
		what.class = class;
		what.outcome = outcome != NULL ? outcome : read_outcome(i);
		if (what.outcome == NULL || strcmp(what.outcome, "expired") != 0)
		{
			what.attempts = 0;
			what.waited = -1;
		}
		dwf_counter_add(&counter, &what);
	}
	dwf_counter_end(&counter);
}

/* What a row of the last statement has come to; NULL: it is queued again. */
static const char *
read_outcome(uint64 row)
{
	bool		isnull;
	char	   *state = TextDatumGetCString(dwf_statement_column(row, 1, &isnull));

	return strcmp(state, "queued") == 0 ? NULL : state;
}

/* The same of what was put in doubt, `held`, if it is there still. */
static void
note_held(void)
{
	bool		isnull;

	if (SPI_processed == 0)
		return;
	count_all(4, NULL, "in_doubt");
	note_return(0, 2, held, "in_doubt");
	dwf_notice_settled(held, "in_doubt", NULL);
	dwf_commit_note_settled(held);
	dwf_commit_note_count(DatumGetObjectId(dwf_statement_column(0, 1, &isnull)), -1);
	dwf_commit_note_enqueued(DT_NOEND, -1);
	told = 1;
}

/*
 * Holds a request that waits, since its end cannot be written; in `told` whether
 * it did.  Returns whether to go on.
 */
static bool
hold_expired(int64 id, TimestampTz now, DwfPass *pass, const char *why)
{
	char	   *error = psprintf("It expired and was never sent, which cannot be written: %s. Mend what refuses it, then settle it by domowf_discard().",
								 why);
	Datum		values[] = {Int64GetDatum(id), CStringGetTextDatum(error),
	dwf_report_attempt(now, "not written", 0, error, NULL)};
	static DwfSteady again = 0;
	ErrorData  *refusal;

	told = 0;
	held = id;
	refusal = run_apart(&hold_one, values, note_held);
	if (refusal != NULL && dwf_clock_once_a_minute(&again))
		ereport(LOG,
				(errmsg("domowf: request " INT64_FORMAT " cannot be put in doubt: %s",
						id, refusal->message)));
	if (refusal != NULL)
	{
		told = 0;
		dwf_refused_rest(DWF_REFUSED_EXPIRY, id, refusal);
		return dwf_apart_goes_on(pass, refusal);
	}
	pass->done++;
	dwf_refused_forget(DWF_REFUSED_EXPIRY, id);
	if (told > 0)
		ereport(LOG,
				(errmsg("domowf: request " INT64_FORMAT " is in doubt: %s", id,
						error)));
	return true;
}

/*
 * Lets those go that come behind the last result's: what refuses keeps no end, so
 * that behind one that expires by itself that is done later, once its
 * subtransaction is over.  Behind one in doubt none goes: that has no key there.
 */
static void
release_expired(int count)
{
	DwfTable	queue;

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	for (int i = 0; i < count; i++)
	{
		bool		isnull;
		Datum		space = dwf_statement_column(i, 3, &isnull);
		Datum		key = dwf_statement_column(i, 4, &isnull);

		if (!isnull && is_each)
		{
			ended_space = datumCopy(space, false, -1);
			ended_key = datumCopy(key, false, -1);
		}
		else if (!isnull)
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

bool
dwf_upkeep_recover(int64 owner, TimestampTz now)
{
	static const char error[] = "the worker ended while it was sending";
	Recovery	recovery;
	Datum	   *values = recovery.values;
	int			again;
	int			doubt;

	values[0] = TimestampTzGetDatum(now);
	values[1] = CStringGetTextDatum(error);
	values[2] = dwf_report_attempt(now, "in doubt", 0, error, NULL);
	values[3] = Int64GetDatum(owner);
	values[4] = list_repeatable();
	values[5] = Int64GetDatum(0);
	recovery.now = now;
	recovery.doubt = recovery.again = 0;
	dwf_refused_begin(DWF_REFUSED_LEFT);
	dwf_table_lock_whole("queue");
	if (dwf_refused_any(DWF_REFUSED_LEFT) ||
		dwf_apart_try_any(recover_some, &recovery) != NULL)
		recover_each(&recovery);
	doubt = recovery.doubt;
	again = recovery.again;
	if (doubt > 0)
		dwf_commit_note_enqueued(DT_NOEND, -doubt);
	if (doubt > 0 || again > 0)
		ereport(LOG,
				(errmsg("domowf: %d requests are in doubt and %d will be sent again, because a worker ended while it was sending",
						doubt, again)));
	return find_left(owner, NULL) > 0;
}

static void
recover_some(void *arg)
{
	static Oid	types[] = {TIMESTAMPTZOID, TEXTOID, JSONBOID, INT8OID,
	TEXTARRAYOID, INT8OID};
	Recovery   *recovery = arg;

	run_over_all(recover, lengthof(types), types, recovery->values);
	note_recovered(recovery);
}

/* One that somebody's trigger or check refuses, or keeps, keeps no other. */
static void
recover_each(Recovery *recovery)
{
	DwfPass		pass = {0};
	int64	   *ids;
	int			count = find_left(DatumGetInt64(recovery->values[3]), &ids);
	bool		goes_on = true;

	for (int i = 0; i < count && goes_on; i++)
	{
		ErrorData  *error;
		int			code;

		if (dwf_refused_until(DWF_REFUSED_LEFT, ids[i], &code) != 0)
			continue;
		recovery->values[5] = Int64GetDatum(ids[i]);
		error = dwf_apart_try_any(recover_some, recovery);
		if (error == NULL)
		{
			pass.done++;
			dwf_refused_forget(DWF_REFUSED_LEFT, ids[i]);
			continue;
		}
		dwf_refused_rest(DWF_REFUSED_LEFT, ids[i], error);
		goes_on = dwf_apart_goes_on(&pass, error);
	}
}

/*
 * Tells of what the last statement has recovered, first what may be refused.
 */
static void
note_recovered(Recovery *recovery)
{
	uint64		count = SPI_processed;
	bool		isnull;

	count_all(7, dwf_report_class(DWF_IN_DOUBT), NULL);
	for (uint64 i = 0; i < count; i++)
	{
		if (is_doubt(i))
			note_return(i, 5, DatumGetInt64(dwf_statement_column(i, 3, &isnull)),
						"in_doubt");
	}
	for (uint64 i = 0; i < count; i++)
	{
		if (!is_doubt(i))
		{
			recovery->again++;
			dwf_commit_note_due(DatumGetInt64(dwf_statement_column(i, 2, &isnull)),
								recovery->now);
			continue;
		}
		recovery->doubt++;
		dwf_commit_note_settled(DatumGetInt64(dwf_statement_column(i, 3, &isnull)));
		dwf_commit_note_count(DatumGetObjectId(dwf_statement_column(i, 4, &isnull)), -1);
	}
}

/* Whether a row of that is in doubt, or else to be sent again. */
static bool
is_doubt(uint64 row)
{
	const char *outcome = read_outcome(row);

	return outcome != NULL && strcmp(outcome, "in_doubt") == 0;
}

/* How many others are in `sending` than the owner's; their ids, if wanted. */
static int
find_left(int64 owner, int64 **ids)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(owner);

	run_over_all(find_orphans, 1, &type, &value);
	return ids == NULL ? (int) SPI_processed : dwf_statement_read_ids(ids);
}
