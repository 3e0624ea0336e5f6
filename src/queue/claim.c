/*
 * claim.c
 *	  How the worker finds and claims what is due.
 *
 * A claim is committed before its first byte is sent; settlement.c has what
 * comes after that.  Rows that others have locked are skipped, never waited
 * for.  Everything goes below SQL (table.c).
 *
 * A step of test/model/domowf.pml: what changes here has to change there.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/clock.h"
#include "base/columns.h"
#include "base/commit.h"
#include "base/refusal.h"
#include "base/table.h"
#include "queue/claim.h"
#include "queue/hold.h"
#include "queue/refused.h"
#include "queue/verdict.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* The index by which the requests of a lane are found. */
static const int by_lane[] = {QUEUE_LANE, QUEUE_DUE, QUEUE_ID};

/*
 * So many of a lane fail for the moment in one go: then the rest of it is for the
 * next look at the queue, as they may all wait for the same, and others wait
 * meanwhile.
 */
#define MAX_FAILED	3

/* A request that is claimed by itself. */
typedef struct One
{
	DwfPick    *pick;
	int64		owner;
	TimestampTz now;
	DwfClaim   *claim;			/* NULL: it was not */
	char	   *error;
} One;

static bool claim(DwfTable *queue, DwfTable *log, DwfPick *pick, int64 owner,
				  TimestampTz now, DwfClaim *claimed);
static bool rests(DwfPick *pick);
static bool has_failed_enough(const DwfPick *picks, const DwfPick *pick);
static void note_failed(One *one, const ErrorData *error);
static void claim_one(void *arg);
static void put_off(void *arg);
static bool can_be_sent(const DwfTable *queue, TimestampTz now);
static bool find_operation(const DwfTable *queue, DwfOperation *operation);
static void fill_claim(const DwfTable *queue, DwfClaim *claim);
static bool role_exists(Oid role);
static char *name_lane(const DwfTable *queue);

bool
dwf_claim_next_lane(DwfTable *queue, int64 *lane, TimestampTz *due)
{
	dwf_table_seek_next(queue, by_lane, lengthof(by_lane), *lane);
	if (!dwf_table_next(queue))
		return false;
	*lane = DatumGetInt64(queue->values[QUEUE_LANE]);
	*due = DatumGetTimestampTz(queue->values[QUEUE_DUE]);
	return true;
}

bool
dwf_claim_find_destination(DwfTable *queue, int64 lane, DwfDestination *to)
{
	dwf_table_seek_within(queue, by_lane, lane, DT_NOBEGIN, PG_INT64_MIN);
	if (!dwf_table_next(queue))
		return false;
	dwf_lane_read_destination(queue, to);
	return true;
}

int
dwf_claim_find_due(DwfTable *queue, int64 lane, DwfCursor *cursor,
				   TimestampTz now, int limit, int64 *ids, TimestampTz *next)
{
	int			count = 0;

	*next = DT_NOEND;
	dwf_table_seek_within(queue, by_lane, lane, cursor->due, cursor->id);
	while (dwf_table_next(queue))
	{
		TimestampTz due = DatumGetTimestampTz(queue->values[QUEUE_DUE]);

		if (!dwf_table_is_text(queue, QUEUE_STATE, "queued"))
			continue;
		if (due > now || count == limit)
		{
			*next = due;
			break;
		}
		cursor->due = due;
		cursor->id = ids[count++] = DatumGetInt64(queue->values[QUEUE_ID]);
	}
	return count;
}

int
dwf_claim_requests(DwfPick *picks, int count, int64 owner, TimestampTz now,
				   DwfClaim **claims)
{
	DwfTable	queue;
	DwfTable	log;
	int			claimed = 0;

	/* what could not be settled is not sent */
	dwf_table_open_to_read(&log, "log", LOG_COLUMNS);

	*claims = palloc(sizeof(DwfClaim) * count);
	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	for (int i = 0; i < count; i++)
	{
		if (claim(&queue, &log, &picks[i], owner, now, &(*claims)[claimed]))
			claimed++;
	}
	dwf_table_close(&queue);
	dwf_table_close(&log);
	return claimed;
}

/* Claims a request if it still can be sent. */
static bool
claim(DwfTable *queue, DwfTable *log, DwfPick *pick, int64 owner,
	  TimestampTz now, DwfClaim *claimed)
{
	int			number;

	if (dwf_hold_keeps(pick->id) ||
		!dwf_table_find(queue, QUEUE_ID, Int64GetDatum(pick->id)) ||
		!can_be_sent(queue, now))
		return false;
	number = DatumGetInt32(queue->values[QUEUE_CLAIM]) + 1;
	dwf_table_set_text(queue, QUEUE_STATE, "sending");
	dwf_table_set(queue, QUEUE_CLAIM, Int32GetDatum(number));
	dwf_table_set(queue, QUEUE_OWNER, Int64GetDatum(owner));
	dwf_table_set(queue, QUEUE_SENT_AT, TimestampTzGetDatum(now));
	if (!dwf_table_update(queue, false))
	{
		/* it may have been picked twice, and be claimed */
		pick->holder = dwf_table_holder(queue);
		pick->is_locked = !TransactionIdIsCurrentTransactionId(pick->holder);
		return false;
	}
	claimed->lane = pick->lane;
	claimed->place = queue->written;
	claimed->is_logged = dwf_table_may_hold(log, LOG_ID, pick->id);
	fill_claim(queue, claimed);
	pick->is_claimed = true;
	return true;
}

int
dwf_claim_each(DwfPick *picks, int count, int64 owner, TimestampTz now,
			   DwfClaim **claims, char **refusal, ErrorData **failure)
{
	DwfPass		pass = {0};
	bool		goes_on = true;

	*refusal = NULL;
	*failure = NULL;
	*claims = palloc(sizeof(DwfClaim) * count);
	dwf_table_lock_whole("queue");
	dwf_table_lock_whole("log");
	if (dwf_refused_any(DWF_REFUSED_CLAIM))
		dwf_apart_wait_shortly();
	for (int i = 0; i < count; i++)
	{
		One			one = {.pick = &picks[i],.owner = owner,.now = now};
		ErrorData  *error;

		if (rests(&picks[i]) || !goes_on ||
			has_failed_enough(picks, &picks[i]))
			continue;
		error = dwf_apart_try_any(claim_one, &one);
		if (error == NULL)
		{
			/* what was undone is no claim, however far it came */
			if (one.claim != NULL)
				(*claims)[pass.done++] = *one.claim;
			dwf_refused_forget(DWF_REFUSED_CLAIM, picks[i].id);
			continue;
		}
		note_failed(&one, error);
		*refusal = one.error;
		*failure = error;
		goes_on = dwf_apart_goes_on(&pass, error);
	}
	if (pass.done > 0 ||
		(*failure != NULL && !dwf_refusal_may_be_servers((*failure)->sqlerrcode)))
		*failure = NULL;
	return pass.done;
}

bool
dwf_claim_is_careful(void)
{
	return dwf_refused_any(DWF_REFUSED_CLAIM);
}

/* Whether one could not be claimed a short while ago. */
static bool
rests(DwfPick *pick)
{
	DwfSteady	until = dwf_refused_until(DWF_REFUSED_CLAIM, pick->id,
										  &pick->refusal);

	if (until != 0)
		pick->again_at = dwf_clock_wall(until);
	return until != 0;
}

/* Of the lane of one, among those before it. */
static bool
has_failed_enough(const DwfPick *picks, const DwfPick *pick)
{
	int			failed = 0;

	for (const DwfPick *other = picks; other < pick; other++)
		failed += other->has_failed && other->lane == pick->lane;
	return failed >= MAX_FAILED;
}

/*
 * It waits in its row, which says why; but where that may be refused, too, or undone
 * with the rest, as is known here.
 */
static void
note_failed(One *one, const ErrorData *error)
{
	DwfPick    *pick = one->pick;
	bool		is_rows = dwf_refusal_is_rows(error->sqlerrcode);
	bool		is_put_off = false;
	ErrorData  *again = NULL;

	one->error = psprintf("request " INT64_FORMAT " cannot be claimed: %s",
						  pick->id, error->message);
	pick->is_claimed = false;	/* what comes behind that has failed */
	pick->refusal = error->sqlerrcode;
	pick->has_failed = !is_rows;
	pick->again_at = one->now;
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
	{
		again = dwf_apart_try_any(put_off, one);
		is_put_off = again == NULL;
	}
	if (again != NULL && again->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		dwf_apart_wait_shortly();
	if (is_rows && is_put_off)
		dwf_refused_note(DWF_REFUSED_CLAIM, pick->id, error);
	else
		dwf_refused_rest(DWF_REFUSED_CLAIM, pick->id, error);
}

static void
claim_one(void *arg)
{
	One		   *one = arg;
	DwfClaim   *claim;

	if (dwf_claim_requests(one->pick, 1, one->owner, one->now, &claim) > 0)
		one->claim = claim;
}

/* A request that cannot be claimed waits, as one that was not sent, and says why. */
static void
put_off(void *arg)
{
	const One  *one = arg;
	DwfBackoff	backoff = dwf_verdict_backoff();
	DwfTable	queue;
	int			failures;
	TimestampTz due;

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	if (dwf_table_find(&queue, QUEUE_ID, Int64GetDatum(one->pick->id)) &&
		can_be_sent(&queue, one->now))
	{
		failures = DatumGetInt32(queue.values[QUEUE_FAILURES]);
		due = dwf_clock_shown(dwf_clock_now() +
							  dwf_backoff_wait(&backoff, failures,
											   dwf_verdict_dice()));
		dwf_table_set(&queue, QUEUE_FAILURES, Int32GetDatum(failures + 1));
		dwf_table_set(&queue, QUEUE_RUN_AT, TimestampTzGetDatum(due));
		dwf_table_set(&queue, QUEUE_DUE, TimestampTzGetDatum(due));
		dwf_table_set_text(&queue, QUEUE_ERROR, one->error);
		if (dwf_table_update(&queue, false))
		{
			one->pick->again_at = due;
			dwf_commit_note_due(one->pick->lane, due);
		}
	}
	dwf_table_close(&queue);
}

/* Whether the request at hand still waits, and its time has come. */
static bool
can_be_sent(const DwfTable *queue, TimestampTz now)
{
	DwfOperation operation;

	return dwf_table_is_text(queue, QUEUE_STATE, "queued") &&
		DatumGetTimestampTz(queue->values[QUEUE_DUE]) <= now &&
		find_operation(queue, &operation) &&
		(queue->nulls[QUEUE_EXPIRES_AT] ||
		 DatumGetTimestampTz(queue->values[QUEUE_EXPIRES_AT]) > now);
}

/* The table's constraint keeps out what nobody here knows. */
static bool
find_operation(const DwfTable *queue, DwfOperation *operation)
{
	return dwf_operation_find_queued(TextDatumGetCString(queue->values[QUEUE_OPERATION]),
									 operation);
}

/* From the request at hand; palloc'd in the current context. */
static void
fill_claim(const DwfTable *queue, DwfClaim *claim)
{
	Oid			role;

	claim->id = DatumGetInt64(queue->values[QUEUE_ID]);
	claim->claim = DatumGetInt32(queue->values[QUEUE_CLAIM]);
	(void) find_operation(queue, &claim->operation);
	claim->lane_name = name_lane(queue);
	claim->request = DatumGetJsonbPCopy(queue->values[QUEUE_REQUEST]);
	claim->retry_on_doubt = dwf_table_is_text(queue, QUEUE_ON_DOUBT, "retry");
	claim->attempts = DatumGetInt32(queue->values[QUEUE_ATTEMPTS]);
	claim->max_attempts = DatumGetInt32(queue->values[QUEUE_MAX_ATTEMPTS]);
	claim->failures = DatumGetInt32(queue->values[QUEUE_FAILURES]);
	role = DatumGetObjectId(queue->values[QUEUE_REQUESTED_BY_OID]);
	dwf_lane_read_destination(queue, &claim->to);
	claim->role_exists = role_exists(role) &&
		(NameStr(claim->to.server)[0] == '\0' || role_exists(claim->to.role));
}

static bool
role_exists(Oid role)
{
	return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role));
}

static char *
name_lane(const DwfTable *queue)
{
	char	   *role = NameStr(*DatumGetName(queue->values[QUEUE_REQUESTED_BY]));
	bool		is_workflow = !queue->nulls[QUEUE_WORKFLOW];
	char	   *what =
	TextDatumGetCString(queue->values[is_workflow ? QUEUE_WORKFLOW :
									  QUEUE_OPERATION]);

	return psprintf(is_workflow ? "workflow \"%s\", asked for by \"%s\"" :
					"%s, asked for by \"%s\"", what, role);
}
