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
 * Rows that others have locked are skipped, and seen to just so.  One that a
 * trigger or check of somebody's refuses stays as it is, which is told, and keeps
 * no other.  Statements as in upkeep.c.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/guc.h"
#include "base/halves.h"
#include "base/table.h"
#include "base/testpoint.h"
#include "queue/redate.h"
#include "queue/refused.h"
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

/* So many are refused before that is no row's fault: the rest stays as it is. */
#define MAX_REFUSED	1000

#define MAX_PARAMS	5

/* Rows of the queue are changed from one id to another one. */
typedef struct Change
{
	const char *find;			/* the ids of those that are to be */
	const char *make;
	int			count;			/* of parameters; the last two are the ids */
	Oid			types[MAX_PARAMS];
	Datum		values[MAX_PARAMS];
	bool		scans;			/* to make it all of the queue is read */
	uint64		changed;
	int			refused;
} Change;

#define WAITING	"state = 'queued' AND NOT waiting "
#define FIND(which)	"SELECT id FROM domowf.queue WHERE " which " ORDER BY id"

/* $1 by how much, $2 what was due by then is, $3 what is written since is right */
#define TO_MOVE \
	WAITING "AND failures > 0 AND due > $2 AND due < 'infinity' " \
	"AND age(xmin) > age($3) AND id BETWEEN $4 AND $5 "

static const char move_waits[] =
"WITH w AS (SELECT id FROM domowf.queue WHERE " TO_MOVE
"FOR UPDATE SKIP LOCKED) "
"UPDATE domowf.queue q SET due = q.due + $1, "
"run_at = CASE WHEN q.run_at = q.due THEN q.run_at + $1 ELSE q.run_at END "
"FROM w WHERE q.id = w.id";

/* $1 the time, $2 domowf.retry_cap */
#define TO_SHORTEN \
	WAITING "AND failures > 0 AND due > $1 AND due < 'infinity' " \
	"AND (due <> run_at OR sent_at > $1 " \
	"OR (http_status IS NULL AND due > $1 + $2)) AND id BETWEEN $3 AND $4 "

static const char shorten_waits[] =
"WITH w AS (SELECT id, due = run_at AS is_wait, "
"CASE WHEN due <> run_at THEN $1 "
"WHEN sent_at > $1 THEN $1 + greatest(due - sent_at, '0') "
"ELSE $1 + $2 END AS again FROM domowf.queue WHERE " TO_SHORTEN
"FOR UPDATE SKIP LOCKED) "
"UPDATE domowf.queue q SET due = again, "
"run_at = CASE WHEN is_wait THEN again ELSE q.run_at END, "
"sent_at = least(q.sent_at, $1) FROM w WHERE q.id = w.id";

/* $1 the time */
#define TO_LET_GO \
	"id BETWEEN $2 AND $3 AND " WAITING "AND failures = 0 " \
	"AND due > $1 AND due < 'infinity' " \
	"AND (run_at <= enqueued_at OR due <> run_at) "

static const char let_go[] =
"WITH w AS (SELECT id FROM domowf.queue WHERE " TO_LET_GO
"FOR UPDATE SKIP LOCKED) "
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
static uint64 make(Change *change, int64 first, int64 last);
static void make_part(void *arg, const int64 *ids, int count);
static void make_all(void *arg);
static int	find(Change *change, int64 **ids);
static bool note_refused(void *arg, int64 id, const ErrorData *error);
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
	Change		change = {.find = FIND(TO_SHORTEN),.make = shorten_waits,
		.count = 4,.types = {TIMESTAMPTZOID, INTERVALOID, INT8OID, INT8OID},
		.values = {TimestampTzGetDatum(GetCurrentTimestamp()),
	IntervalPGetDatum(&cap)},.scans = true};

	(void) make(&change, PG_INT64_MIN, PG_INT64_MAX);
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
	Change		change = {.find = FIND(TO_LET_GO),.make = let_go,.count = 3,
		.types = {TIMESTAMPTZOID, INT8OID, INT8OID},
	.values = {TimestampTzGetDatum(now)}};
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
	let = make(&change, looked_behind == PG_INT64_MIN ? PG_INT64_MIN :
			   looked_behind + 1, next_behind);
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
	Change		change = {.find = FIND(TO_MOVE),.make = move_waits,.count = 5,
		.types = {INTERVALOID, TIMESTAMPTZOID, XIDOID, INT8OID, INT8OID},
		.values = {IntervalPGetDatum(&by),
			TimestampTzGetDatum(Min(now, now - step)),
	TransactionIdGetDatum(seen)},.scans = true};

	return make(&change, PG_INT64_MIN, PG_INT64_MAX);
}

/*
 * Makes a change to the rows between two ids, those included, but for what is
 * refused.  Returns how many were changed.
 */
static uint64
make(Change *change, int64 first, int64 last)
{
	DwfHalves	halves = {make_part, note_refused, change};
	int64	   *ids;
	int			count;

	change->values[change->count - 2] = Int64GetDatum(first);
	change->values[change->count - 1] = Int64GetDatum(last);
	dwf_table_lock_whole("queue");
	if (dwf_apart_try_any(make_all, change) == NULL)
		return change->changed;
	count = find(change, &ids);
	change->scans = false;
	(void) dwf_halves_do(&halves, ids, count);
	pfree(ids);
	return change->changed;
}

/* The rows between two of those that are to be changed are no others. */
static void
make_part(void *arg, const int64 *ids, int count)
{
	Change	   *change = arg;

	change->values[change->count - 2] = Int64GetDatum(ids[0]);
	change->values[change->count - 1] = Int64GetDatum(ids[count - 1]);
	make_all(change);
}

static void
make_all(void *arg)
{
	Change	   *change = arg;

	change->changed += run(change->make, change->count, change->types,
						   change->values, change->scans);
}

/* The ids of those that are to be changed, palloc'd; returns how many. */
static int
find(Change *change, int64 **ids)
{
	int			count = (int) run(change->find, change->count, change->types,
								  change->values, change->scans);
	bool		isnull;

	*ids = MemoryContextAllocHuge(CurrentMemoryContext,
								  sizeof(int64) * Max(count, 1));
	for (int i = 0; i < count; i++)
		(*ids)[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i],
												SPI_tuptable->tupdesc, 1,
												&isnull));
	return count;
}

static bool
note_refused(void *arg, int64 id, const ErrorData *error)
{
	Change	   *change = arg;

	dwf_refused_note(DWF_REFUSED_DATE, id, error);
	return ++change->refused < MAX_REFUSED;
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
