/*
 * tracked.c
 *	  Instances that are polled until they end, as domowf.tracked has them.
 *
 * A row comes with the settlement of the start, in its transaction, and goes
 * with the end of the instance, in the one that writes that into the log.  In
 * between, `due` is all that changes: an index on (lane, due, request_id) finds
 * what is due of a lane whatever the table holds.  A lane is a server and a
 * role, or the settings.
 *
 * What is lost with a crash between a poll and its writing is the poll, which is
 * made again.  It must not know how one is made.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/columns.h"
#include "base/commit.h"
#include "base/objects.h"
#include "base/statement.h"
#include "base/testpoint.h"
#include "queue/returns.h"
#include "queue/tracked.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "domo/operation.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Rows that are read at a time of those that nobody polls. */
#define MAX_READ		1000

/* The index by which what is due of a lane is found. */
static const int by_lane[] = {TRACKED_LANE, TRACKED_DUE, TRACKED_REQUEST_ID};

/* $1 by how much, $2 what is written since is right */
static DwfStatement move = {
	"UPDATE domowf.tracked SET due = due + $1, started_at = started_at + $1, "
	"missing_since = missing_since + $1 "
	"WHERE age(xmin) > age($2)",
	{INTERVALOID, XIDOID}
};

static TimestampTz added = DT_NOEND;
static int64 step;				/* not yet seen to, microseconds */
static bool is_moving;			/* it is, in the transaction under way */
static TransactionId stepped_at;	/* the next one when it was seen last */

/* What of a lane is due later than any poll is put off. */
typedef struct Late
{
	int64		lane;
	TimestampTz now;
	int			limit;
	int			count;			/* that were brought forward */
} Late;

static DwfSteady read_time(const DwfTable *tracked, int column);
static void read_destination(const DwfTable *tracked, DwfDestination *to);
static void seek_late(DwfTable *tracked, const Late *late);
static void bring_forward(void *arg);
static void move_all(void *arg);
static bool find_log(DwfTable *log, const DwfTracked *row);

void
dwf_tracked_add(const DwfTable *queue, Datum instance_id)
{
	DwfTable	tracked;
	DwfDestination to;

	/* in the worker the clock that it has seen, as in all that is moved */
	TimestampTz now = dwf_clock_shown(dwf_clock_now());
	TimestampTz due = now + dwf_tracked_wait(0, 0);
	int64		lane;

	if (queue->nulls[QUEUE_TRACK] ||
		!DatumGetBool(queue->values[QUEUE_TRACK]))
		return;
	dwf_lane_read_destination(queue, &to);
	lane = dwf_lane_id(InvalidOid, dwf_operation_name(DWF_READ_INSTANCE), NULL,
					   &to);
	dwf_table_open(&tracked, "tracked", TRACKED_COLUMNS, true);
	dwf_table_set(&tracked, TRACKED_REQUEST_ID, queue->values[QUEUE_ID]);
	dwf_table_set(&tracked, TRACKED_INSTANCE_ID, instance_id);
	dwf_table_set(&tracked, TRACKED_LANE, Int64GetDatum(lane));
	dwf_table_set(&tracked, TRACKED_DUE, TimestampTzGetDatum(due));
	dwf_table_set(&tracked, TRACKED_TRIES, Int32GetDatum(0));
	dwf_table_set(&tracked, TRACKED_STARTED_AT, TimestampTzGetDatum(now));
	if (NameStr(to.server)[0] != '\0')
	{
		dwf_table_set(&tracked, TRACKED_SERVER, NameGetDatum(&to.server));
		dwf_table_set(&tracked, TRACKED_SERVER_OWNER,
					  ObjectIdGetDatum(to.owner));
		dwf_table_set(&tracked, TRACKED_SERVER_ROLE,
					  ObjectIdGetDatum(to.role));
	}
	(void) dwf_table_insert_new(&tracked);
	dwf_table_close(&tracked);
	added = Min(added, due);
}

TimestampTz
dwf_tracked_take_added(void)
{
	TimestampTz due = added;

	added = DT_NOEND;
	return due;
}

bool
dwf_tracked_next_lane(DwfTable *tracked, int64 *lane, DwfDestination *to,
					  TimestampTz *due)
{
	dwf_table_seek_next(tracked, by_lane, lengthof(by_lane), *lane);
	if (!dwf_table_next(tracked))
		return false;
	*lane = DatumGetInt64(tracked->values[TRACKED_LANE]);
	*due = DatumGetTimestampTz(tracked->values[TRACKED_DUE]);
	read_destination(tracked, to);
	return true;
}

void
dwf_tracked_seek(DwfTable *tracked, int64 lane, TimestampTz after)
{
	dwf_table_seek_within(tracked, by_lane, lane, after, PG_INT64_MAX);
}

void
dwf_tracked_read(const DwfTable *tracked, DwfTracked *row)
{
	row->request = DatumGetInt64(tracked->values[TRACKED_REQUEST_ID]);
	row->lane = DatumGetInt64(tracked->values[TRACKED_LANE]);
	row->due = DatumGetTimestampTz(tracked->values[TRACKED_DUE]);
	row->tries = DatumGetInt32(tracked->values[TRACKED_TRIES]);
	row->started_at = read_time(tracked, TRACKED_STARTED_AT);
	row->missing_since = tracked->nulls[TRACKED_MISSING_SINCE] ? 0 :
		read_time(tracked, TRACKED_MISSING_SINCE);
	read_destination(tracked, &row->to);
}

/* By the clock that the worker has seen, as what is moved is judged. */
static DwfSteady
read_time(const DwfTable *tracked, int column)
{
	DwfSteady	now = dwf_clock_now();

	return now - (dwf_clock_shown(now) -
				  DatumGetTimestampTz(tracked->values[column]));
}

static void
read_destination(const DwfTable *tracked, DwfDestination *to)
{
	memset(to, 0, sizeof(*to));
	if (tracked->nulls[TRACKED_SERVER])
		return;
	namestrcpy(&to->server,
			   NameStr(*DatumGetName(tracked->values[TRACKED_SERVER])));
	if (!tracked->nulls[TRACKED_SERVER_OWNER])
		to->owner = DatumGetObjectId(tracked->values[TRACKED_SERVER_OWNER]);
	if (!tracked->nulls[TRACKED_SERVER_ROLE])
		to->role = DatumGetObjectId(tracked->values[TRACKED_SERVER_ROLE]);
}

int
dwf_tracked_find_old(int64 lane, DwfTrackedPlace *place, TimestampTz now,
					 DwfSteady since, DwfTracked *rows, int max)
{
	DwfTable	tracked;
	int			count = 0;
	int			left = MAX_READ;
	bool		is_more;

	dwf_table_open(&tracked, "tracked", TRACKED_COLUMNS, false);
	dwf_table_seek_within(&tracked, by_lane, lane,
						  place->request == 0 ? DT_NOBEGIN : place->due,
						  place->request);
	while ((is_more = dwf_table_next(&tracked)) && left-- > 0 && count < max)
	{
		place->due = DatumGetTimestampTz(tracked.values[TRACKED_DUE]);
		dwf_tracked_read(&tracked, &rows[count]);
		place->request = rows[count].request;
		if (place->due > now)
		{
			is_more = false;
			break;
		}
		count += rows[count].started_at < since;
	}
	if (!is_more)
		memset(place, 0, sizeof(*place));
	dwf_table_close(&tracked);
	return count;
}

bool
dwf_tracked_first_due(TimestampTz *due)
{
	DwfTable	tracked;
	DwfDestination to;
	int64		lane = PG_INT64_MIN;
	TimestampTz first;

	*due = DT_NOEND;
	dwf_table_open_to_read(&tracked, "tracked", TRACKED_COLUMNS);
	while (dwf_tracked_next_lane(&tracked, &lane, &to, &first))
		*due = Min(*due, first);
	dwf_table_close(&tracked);
	return *due != DT_NOEND;
}

/* The log's row of a request, if it is still there. */
static bool
find_log(DwfTable *log, const DwfTracked *row)
{
	return dwf_table_find(log, LOG_ID, Int64GetDatum(row->request)) &&
		dwf_table_is_text(log, LOG_OUTCOME, "done");
}

bool
dwf_tracked_go_on(const DwfTracked *row, int tries, bool has_status,
				  const char *status, const char *error, TimestampTz due)
{
	DwfTable	tracked;
	DwfTable	log;
	bool		ok = true;
	bool		is_logged = true;

	dwf_table_open(&log, "log", LOG_COLUMNS, false);
	if (has_status)
	{
		is_logged = find_log(&log, row);
		if (is_logged && (log.nulls[LOG_INSTANCE_STATUS] ? status != NULL :
						  status == NULL ||
						  !dwf_table_is_text(&log, LOG_INSTANCE_STATUS, status)))
		{
			dwf_table_set_text(&log, LOG_INSTANCE_STATUS, status);
			ok = dwf_table_update(&log, false);
		}
	}
	dwf_table_close(&log);

	dwf_table_open(&tracked, "tracked", TRACKED_COLUMNS, false);
	if (ok && dwf_table_find(&tracked, TRACKED_REQUEST_ID,
							 Int64GetDatum(row->request)))
	{
		dwf_table_set(&tracked, TRACKED_DUE, TimestampTzGetDatum(due));
		dwf_table_set(&tracked, TRACKED_TRIES, Int32GetDatum(tries));
		dwf_table_set_text(&tracked, TRACKED_ERROR, error);
		dwf_table_set(&tracked, TRACKED_MISSING_SINCE,
					  TimestampTzGetDatum(dwf_clock_shown(row->missing_since)));
		tracked.nulls[TRACKED_MISSING_SINCE] = row->missing_since == 0;
		ok = dwf_table_update(&tracked, false);
	}
	dwf_table_close(&tracked);

	/* what nobody remembers the start of is followed no longer */
	return ok && !is_logged ? dwf_tracked_end(row, false, NULL, NULL, due) : ok;
}

bool
dwf_tracked_end(const DwfTracked *row, bool forgets, const char *status,
				const char *note, TimestampTz now)
{
	Datum		id = Int64GetDatum(row->request);
	DwfTable	tracked;
	DwfTable	log;
	bool		is_logged;
	bool		returns;
	bool		ok = true;

	dwf_table_open(&log, "log", LOG_COLUMNS, false);
	dwf_table_open(&tracked, "tracked", TRACKED_COLUMNS, false);
	if (dwf_table_find(&tracked, TRACKED_REQUEST_ID, id))
	{
		/* to delete it would wait for whoever holds it */
		ok = dwf_table_update(&tracked, false);
		is_logged = ok && find_log(&log, row);
		returns = is_logged && !log.nulls[LOG_RETURNS_TO];
		if (returns)
			ok = ConditionalLockRelationOid(dwf_object_require("return_entry", NULL),
											RowExclusiveLock);
		if (ok && is_logged)
		{
			if (forgets || status != NULL)
				dwf_table_set_text(&log, LOG_INSTANCE_STATUS, status);
			if (note != NULL)
				dwf_table_set_text(&log, LOG_ERROR, note);
			dwf_table_set(&log, LOG_INSTANCE_FINISHED_AT,
						  TimestampTzGetDatum(now));
			ok = dwf_table_update(&log, false);
		}
		dwf_table_refresh(&tracked);
		if (ok && dwf_table_find(&tracked, TRACKED_REQUEST_ID, id))
		{
			dwf_table_delete(&tracked);
			if (returns)
				dwf_return_note_end(row->request);
			dwf_commit_note_settled(row->request);
		}
	}
	dwf_table_close(&tracked);
	dwf_table_close(&log);
	return ok;
}

int
dwf_tracked_bring_forward(int64 lane, TimestampTz now, int limit)
{
	static DwfSteady say = 0;
	Late		late = {.lane = lane,.now = now,.limit = limit};
	ErrorData  *error;
	DwfTable	tracked;
	bool		is_found;

	dwf_table_open(&tracked, "tracked", TRACKED_COLUMNS, false);
	seek_late(&tracked, &late);
	is_found = dwf_table_next(&tracked);
	dwf_table_close(&tracked);
	if (!is_found)
		return 0;
	error = dwf_apart_try_any(bring_forward, &late);
	if (error == NULL)
		return late.count;
	if (dwf_clock_once_a_minute(&say))
		ereport(LOG,
				(errmsg("domowf: instances that are due too late, as the clock was set, cannot be brought forward: %s",
						error->message)));
	return 0;
}

/* what is due later than any poll may lie ahead, and a minute to spare */
static void
seek_late(DwfTable *tracked, const Late *late)
{
	dwf_tracked_seek(tracked, late->lane,
					 late->now + DWF_MAX_POLL_WAIT + USECS_PER_MINUTE);
}

/* apart: what is refused here (a lock, a full disk) undoes no more than this */
static void
bring_forward(void *arg)
{
	Late	   *late = arg;
	DwfTable	tracked;
	int			count = 0;

	dwf_table_open(&tracked, "tracked", TRACKED_COLUMNS, false);
	seek_late(&tracked, late);
	for (int left = late->limit; left > 0 && dwf_table_next(&tracked); left--)
	{
		dwf_table_set(&tracked, TRACKED_DUE, TimestampTzGetDatum(late->now));
		count += dwf_table_update(&tracked, false);
	}
	dwf_table_close(&tracked);
	late->count = count;
}

void
dwf_tracked_note_step(int64 by)
{
	step += by;
	stepped_at = ReadNextTransactionId();
}

/*
 * Where one is refused all stay as they are: what is due too late is brought
 * forward then.  So is what a session has written (domowf_resolve()) after the
 * step and before the worker saw it, which is moved as well.
 */
void
dwf_tracked_move(void)
{
	ErrorData  *error;

	is_moving = true;
	if (step == 0)
		return;
	error = dwf_apart_try_any(move_all, NULL);
	if (error != NULL)
		ereport(LOG,
				(errmsg("domowf: what is tracked cannot be moved as the clock was: %s",
						error->message)));
}

void
dwf_tracked_end_move(bool committed)
{
	if (committed && is_moving)
		step = 0;
	is_moving = false;
}

static void
move_all(void *arg)
{
	Interval	by = {.time = step};
	Datum		values[] = {IntervalPGetDatum(&by),
	TransactionIdGetDatum(stepped_at)};

	dwf_statement_run(&move, values);
}

/* Doubles, a little less each time than twice, so that many spread. */
int64
dwf_tracked_wait(int tries, double random)
{
	int64		shortest = DWF_TESTNUMBER("poll-wait",
										  DWF_MIN_POLL_WAIT / 1000) * INT64CONST(1000);
	int64		wait = Min(DWF_MAX_POLL_WAIT, shortest << Min(tries, 20));

	return Max(shortest, wait - (int64) (random * wait / 8));
}
