/*
 * redate.c
 *	  When what waits in the queue is due, after somebody has set the clock.
 *
 * Three cases.  The waits after failures are moved by as much as the clock was:
 * only this worker makes them, and dates them by the clock that it has seen
 * (dwf_clock_shown()), so that those are of before whose rows were written before
 * it saw the step, as their xmin tells.  Where no worker saw it, the time of the
 * last attempt tells, by the same clock as the wait, if it is still to come; what is
 * no wait (of a worker that died, say) is sent at once; and what Domo cannot have
 * told to wait, as it has not answered, waits no longer than domowf.retry_cap.
 * What is to be sent at once, and lies in the future all the same, was enqueued
 * before the clock was set back; so may be what somebody commits later, up to
 * the end of the transactions that are open now, prepared ones included: where a
 * step was seen, that is looked for at the polls, in a share of the time.
 *
 * Rows that others have locked are skipped, and seen to just so.  Statements as
 * in upkeep.c.
 */
#include "postgres.h"

#include "base/guc.h"
#include "base/testpoint.h"
#include "queue/redate.h"
#include "queue/tracked.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Rows that are looked at in one transaction. */
#define BATCH	10000

/* To look again takes at most 1/100 of the time. */
#define LOOK_SHARE	100

#define MAX_PARAMS	3

/* $1 by how much, $2 what was due by then is, $3 what is written since is right */
static const char move_waits[] =
"WITH w AS (SELECT id FROM domowf.queue WHERE state = 'queued' "
"AND NOT waiting AND failures > 0 AND due > $2 AND due < 'infinity' "
"AND age(xmin) > age($3) FOR UPDATE SKIP LOCKED) "
"UPDATE domowf.queue q SET due = q.due + $1, "
"run_at = CASE WHEN q.run_at = q.due THEN q.run_at + $1 ELSE q.run_at END "
"FROM w WHERE q.id = w.id";

/* $1 the time, $2 domowf.retry_cap */
static const char shorten_waits[] =
"WITH w AS (SELECT id, due = run_at AS is_wait, "
"CASE WHEN due <> run_at THEN $1 "
"WHEN sent_at > $1 THEN $1 + greatest(due - sent_at, '0') "
"ELSE $1 + $2 END AS again FROM domowf.queue WHERE state = 'queued' "
"AND NOT waiting AND failures > 0 AND due > $1 AND due < 'infinity' "
"AND (due <> run_at OR sent_at > $1 "
"OR (http_status IS NULL AND due > $1 + $2)) "
"FOR UPDATE SKIP LOCKED) "
"UPDATE domowf.queue q SET due = again, "
"run_at = CASE WHEN is_wait THEN again ELSE q.run_at END, "
"sent_at = least(q.sent_at, $1) FROM w WHERE q.id = w.id";

/* $1 the time, $2 the id behind which to look, $3 up to which one */
static const char let_go[] =
"WITH w AS (SELECT id FROM domowf.queue WHERE id > $2 AND id <= $3 "
"AND state = 'queued' AND NOT waiting AND failures = 0 "
"AND due > $1 AND due < 'infinity' "
"AND (run_at <= enqueued_at OR due <> run_at) FOR UPDATE SKIP LOCKED) "
"UPDATE domowf.queue q SET due = $1 FROM w WHERE q.id = w.id";

/* $1 the id behind which to look, $2 so many; the last of them, if any */
static const char find_batch[] =
"SELECT max(id) FROM (SELECT id FROM domowf.queue WHERE id > $1 "
"ORDER BY id LIMIT $2) b";

static int64 step;				/* not yet seen to, microseconds */
static TransactionId seen;		/* the next one when it was seen last */
static bool looks;				/* for what is to be sent at once */
static int64 looked_behind;		/* this id, where that is under way */
static TransactionId open_then; /* older ones may commit what was of before */
static DwfSteady next_look;		/* for that, not before */
static int64 look_took;			/* so far, microseconds of CPU */

/* The transaction under way. */
static int64 start;				/* by the same */
static int64 next_behind;		/* where it ended */
static bool takes_step;			/* it moves waits */
static uint64 changed;			/* so many rows */
static bool are_ended;			/* those that were open then */

static void begin_look(void);
static uint64 take_step(TimestampTz now);
static int64 find_batch_end(void);
static uint64 run(const char *sql, int count, Oid *types, Datum *values,
				  bool scan);

static void
begin_look(void)
{
	looks = true;
	looked_behind = PG_INT64_MIN;
	look_took = 0;
}

void
dwf_redate_begin(void)
{
	Interval	cap = {.time = (int64) dwf_retry_cap * 1000};
	Oid			types[] = {TIMESTAMPTZOID, INTERVALOID};
	Datum		values[] = {TimestampTzGetDatum(GetCurrentTimestamp()),
	IntervalPGetDatum(&cap)};

	(void) run(shorten_waits, 2, types, values, true);
	begin_look();
}

void
dwf_redate_note_step(int64 by)
{
	dwf_tracked_note_step(by);
	step += by;
	open_then = seen = ReadNextTransactionId();
	begin_look();
}

bool
dwf_redate_is_due(bool is_poll)
{
	return step != 0 || looks ||
		(is_poll && TransactionIdIsValid(open_then) &&
		 dwf_clock_now() >= next_look);
}

void
dwf_redate_take(void)
{
	TimestampTz now = GetCurrentTimestamp();
	Oid			types[] = {TIMESTAMPTZOID, INT8OID, INT8OID};
	Datum		values[MAX_PARAMS];
	uint64		let;

	start = dwf_clock_cpu();
	if (!looks)
		begin_look();
	takes_step = step != 0;
	DWF_TESTPOINT("redate");
	changed = takes_step ? take_step(now) : 0;

	/* first, so that what they have committed is seen below */
	if (looked_behind == PG_INT64_MIN)
		are_ended = !TransactionIdIsValid(open_then) ||
			!TransactionIdPrecedes(GetLatestSnapshot()->xmin, open_then);
	next_behind = find_batch_end();
	if (next_behind == PG_INT64_MAX)
		return;
	values[0] = TimestampTzGetDatum(now);
	values[1] = Int64GetDatum(looked_behind);
	values[2] = Int64GetDatum(next_behind);
	let = run(let_go, 3, types, values, false);
	changed += let;
	if (let == 0 || TransactionIdIsValid(open_then))
		return;

	/* nobody has seen how the clock was set back, but that it was */
	open_then = ReadNextTransactionId();
	are_ended = false;
}

static uint64
take_step(TimestampTz now)
{
	Interval	by = {.time = step};
	Oid			types[] = {INTERVALOID, TIMESTAMPTZOID, XIDOID};
	Datum		values[] = {IntervalPGetDatum(&by),
		TimestampTzGetDatum(Min(now, now - step)),
	TransactionIdGetDatum(seen)};

	return run(move_waits, 3, types, values, true);
}

/* The last id of those to look at; PG_INT64_MAX: there is none. */
static int64
find_batch_end(void)
{
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(looked_behind),
	Int64GetDatum(BATCH)};
	Datum		last;
	bool		isnull;

	(void) run(find_batch, 2, types, values, false);
	last = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						 &isnull);
	return isnull ? PG_INT64_MAX : DatumGetInt64(last);
}

/* The look is over where nothing is behind the last batch. */
bool
dwf_redate_taken(void)
{
	DwfSteady	now = dwf_clock_now();

	if (takes_step)
		step = 0;
	looked_behind = next_behind;
	look_took += dwf_clock_cpu() - start;
	if (next_behind != PG_INT64_MAX)
		return changed > 0;
	looks = false;
	next_look = now + LOOK_SHARE * look_took;
	if (are_ended)
		open_then = InvalidTransactionId;
	return changed > 0;
}

/*
 * Runs a statement; returns how many rows it had.  `scan`: it reads all of the
 * queue, from one end to the other.
 */
static uint64
run(const char *sql, int count, Oid *types, Datum *values, bool scan)
{
	int			level = NewGUCNestLevel();

	if (scan)
		(void) set_config_option("enable_seqscan", "on", PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	if (SPI_execute_with_args(sql, count, types, values, NULL, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", sql);
	AtEOXact_GUC(true, level);
	return SPI_processed;
}
