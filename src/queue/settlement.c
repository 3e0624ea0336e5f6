/*
 * settlement.c
 *	  What became of attempts, written into domowf's tables.
 *
 * A settlement applies only while the row is what was claimed: same claim
 * number, same owner, a random number of the worker's own.  So a late reply
 * never settles a row of a request that somebody has sent again, or of a queue
 * made anew.
 *
 * Settlements are as durable as claims.  A crash would take back one that was
 * not: the request would be in doubt although somebody was told that it is
 * done, and sent again where its owner allows that.  It would gain little,
 * since in a busy queue they travel with the next claims.
 *
 * A row that somebody has locked is waited for (lock_timeout), since it has to
 * be settled in the end.
 *
 * A step of test/model/domowf.pml: what changes here has to change there.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/columns.h"
#include "base/commit.h"
#include "base/guc.h"
#include "base/text.h"
#include "call/instance.h"
#include "call/log.h"
#include "call/report.h"
#include "queue/archive.h"
#include "queue/notice.h"
#include "queue/returns.h"
#include "queue/settlement.h"
#include "queue/tracked.h"
#include "queue/watch.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/timestamp.h"

static const char *name_verdict(DwfVerdict verdict);
static Datum describe_refused(const DwfSettlement *settlement,
							  const DwfResult *result, const char *error);
static void tell_settled(const DwfResult *result);
static void note_gone(const DwfTable *queue, int64 id);
static bool find_claimed(DwfSettlement *settlement, const DwfResult *result);
static void count(DwfSettlement *settlement, const DwfResult *result,
				  DwfVerdict verdict);
static void settle_final(DwfSettlement *settlement, const DwfResult *result);
static void settle_open(DwfSettlement *settlement, const DwfResult *result);
static void give_back_key(const DwfTable *queue, int64 id);
static void release_next(DwfSettlement *settlement);

void
dwf_settlement_begin(DwfSettlement *settlement, int64 owner, TimestampTz now,
					 bool is_again)
{
	dwf_table_open(&settlement->queue, "queue", QUEUE_COLUMNS, false);
	dwf_table_open(&settlement->log, "log", LOG_COLUMNS, false);
	dwf_counter_begin(&settlement->counter);
	settlement->has_order = false;
	settlement->is_again = is_again;
	if (is_again)
		dwf_watch_begin_apart();
	settlement->owner = owner;
	settlement->now = now;
}

void
dwf_settlement_end(DwfSettlement *settlement)
{
	if (settlement->has_order)
		dwf_table_close(&settlement->order);
	dwf_table_close(&settlement->log);
	dwf_table_close(&settlement->queue);
	dwf_counter_end(&settlement->counter);
}

static const char *
name_verdict(DwfVerdict verdict)
{
	switch (verdict)
	{
		case DWF_SETTLE_DONE:
			return "done";
		case DWF_SETTLE_REJECTED:
			return "rejected";
		case DWF_REQUEUE:
			return "queued";
		case DWF_HOLD:
			return "in_doubt";
	}
	return "unknown";
}

bool
dwf_settlement_write(DwfSettlement *settlement, const DwfResult *result)
{
	bool		returns;

	if (!find_claimed(settlement, result))
		return false;
	returns = dwf_return_is_asked(&settlement->queue);
	count(settlement, result, result->verdict);
	dwf_archive_add_error(&settlement->queue, result->errors);
	switch (result->verdict)
	{
		case DWF_SETTLE_DONE:
		case DWF_SETTLE_REJECTED:
			settle_final(settlement, result);
			break;
		case DWF_REQUEUE:
		case DWF_HOLD:
			settle_open(settlement, result);
			break;
	}
	if (result->verdict != DWF_REQUEUE)
	{
		if (returns)
			dwf_return_note(result->id, name_verdict(result->verdict));
		tell_settled(result);
		note_gone(&settlement->queue, result->id);
	}
	return true;
}

bool
dwf_settlement_hold(DwfSettlement *settlement, const DwfResult *result,
					const char *why)
{
	DwfResult	held = *result;
	bool		returns;

	if (!find_claimed(settlement, result))
		return false;
	returns = dwf_return_is_asked(&settlement->queue);
	held.verdict = DWF_HOLD;
	count(settlement, result, DWF_HOLD);
	held.error = psprintf("Its outcome (%s) cannot be written: %s. Mend what refuses it, then settle it by domowf_resolve() or domowf_discard().",
						  name_verdict(result->verdict), why);
	dwf_archive_add_error(&settlement->queue, result->errors);
	dwf_archive_add_error(&settlement->queue,
						  describe_refused(settlement, result, held.error));
	settle_open(settlement, &held);
	if (returns)
		dwf_return_note(result->id, name_verdict(held.verdict));
	tell_settled(&held);
	note_gone(&settlement->queue, result->id);
	ereport(LOG,
			(errmsg("domowf: request " INT64_FORMAT " is in doubt: %s",
					result->id, held.error)));
	return true;
}

/* What a person needs to settle it himself, as an attempt of `errors`. */
static Datum
describe_refused(const DwfSettlement *settlement, const DwfResult *result,
				 const char *error)
{
	Datum		attempt = dwf_report_attempt(settlement->now, "not written",
											 result->http_status, error, NULL);
	StringInfoData text;
	char		id[DWF_MAX_ID];

	initStringInfo(&text);
	appendStringInfo(&text, "{\"outcome\": \"%s\"",
					 name_verdict(result->verdict));
	if (result->instance != NULL && result->instance->id != NULL)
	{
		dwf_text_show(id, sizeof(id), result->instance->id);
		appendStringInfoString(&text, ", \"instance_id\": ");
		escape_json(&text, id);
	}
	appendStringInfoChar(&text, '}');
	return DirectFunctionCall2(jsonb_concat, attempt,
							   DirectFunctionCall1(jsonb_in,
												   CStringGetDatum(text.data)));
}

/* The request at hand no longer waits. */
static void
note_gone(const DwfTable *queue, int64 id)
{
	dwf_commit_note_settled(id);
	dwf_commit_note_enqueued(DT_NOEND, -1);
	dwf_commit_note_count(DatumGetObjectId(queue->values[QUEUE_REQUESTED_BY_OID]),
						  -1);
}

/* NOTIFY, with an id that the database can hold. */
static void
tell_settled(const DwfResult *result)
{
	char		id[DWF_MAX_ID];
	bool		has_id = result->instance != NULL &&
	result->instance->id != NULL;

	if (has_id)
		dwf_text_show(id, sizeof(id), result->instance->id);
	dwf_notice_settled(result->id, name_verdict(result->verdict),
					   has_id ? id : NULL);
}

/* Takes the request at hand; false: it is no longer what was claimed. */
static bool
find_claimed(DwfSettlement *settlement, const DwfResult *result)
{
	DwfTable   *queue = &settlement->queue;

	return dwf_table_find_at(queue, result->place, QUEUE_ID, result->id) &&
		dwf_table_is_text(queue, QUEUE_STATE, "sending") &&
		DatumGetInt32(queue->values[QUEUE_CLAIM]) == result->claim &&
		!queue->nulls[QUEUE_OWNER] &&
		DatumGetInt64(queue->values[QUEUE_OWNER]) == settlement->owner;
}

/* The attempt, and what becomes of the request at hand. */
static void
count(DwfSettlement *settlement, const DwfResult *result, DwfVerdict verdict)
{
	DwfCount	what;

	if (result->class == NULL && verdict == DWF_REQUEUE)
		return;
	dwf_counter_read_queue(&settlement->queue, settlement->now, &what);
	what.class = result->class;
	what.took = result->took;
	what.attempts = result->attempts;
	what.outcome = verdict == DWF_REQUEUE ? NULL : name_verdict(verdict);
	if (verdict == DWF_REQUEUE || verdict == DWF_HOLD)
	{
		what.attempts = 0;		/* of what is settled alone */
		what.waited = -1;
	}
	dwf_counter_add(&settlement->counter, &what);
}

/*
 * Moves the request at hand to the log.  Not with others of its turn in one go:
 * who follows the tables would hear of a row that goes before the one it becomes.
 */
static void
settle_final(DwfSettlement *settlement, const DwfResult *result)
{
	DwfTable   *queue = &settlement->queue;
	DwfTable   *log = &settlement->log;
	NullableDatum response;

	dwf_archive_copy(queue, log);
	dwf_table_set_text(log, LOG_OUTCOME, name_verdict(result->verdict));
	dwf_table_set(log, LOG_ATTEMPTS, Int32GetDatum(result->attempts));
	dwf_table_set(log, LOG_HTTP_STATUS, Int32GetDatum(result->http_status));
	log->nulls[LOG_HTTP_STATUS] = result->http_status == 0;
	if (result->instance != NULL)
		dwf_log_set_instance(log, result->instance);
	if (!dwf_log_payload)
		log->nulls[LOG_REQUEST] = true;
	else
	{
		response = dwf_instance_response(result->root, result->response,
										 result->response_len);
		log->values[LOG_RESPONSE] = response.value;
		log->nulls[LOG_RESPONSE] = response.isnull;
	}
	dwf_table_set_text(log, LOG_ERROR, result->error);
	dwf_table_set(log, LOG_SETTLED_AT, TimestampTzGetDatum(settlement->now));
	if (result->verdict == DWF_SETTLE_DONE && !log->nulls[LOG_INSTANCE_ID])
		dwf_tracked_add(queue, log->values[LOG_INSTANCE_ID]);
	dwf_table_insert(log, true);
	dwf_table_delete(queue);

	if (!queue->nulls[QUEUE_KEY] && result->verdict != DWF_SETTLE_DONE)
		give_back_key(queue, result->id);
	if (!queue->nulls[QUEUE_ORDER_KEY])
		release_next(settlement);
}

/* Puts the request at hand back, or holds it in doubt. */
static void
settle_open(DwfSettlement *settlement, const DwfResult *result)
{
	DwfTable   *queue = &settlement->queue;
	bool		again = result->verdict == DWF_REQUEUE;
	TimestampTz due = !again ? DT_NOEND :
	dwf_clock_shown(result->is_put_back ? dwf_clock_now() : result->again_at);

	dwf_table_set_text(queue, QUEUE_STATE,
					   name_verdict(result->verdict));
	queue->nulls[QUEUE_OWNER] = true;
	dwf_table_set(queue, QUEUE_ATTEMPTS, Int32GetDatum(result->attempts));
	dwf_table_set(queue, QUEUE_FAILURES, Int32GetDatum(result->failures));
	if (again && !result->is_put_back)
		dwf_table_set(queue, QUEUE_RUN_AT, TimestampTzGetDatum(due));

	/* by the same clock as `due`, which may have been set since (redate.c) */
	if (again && result->sent_at != 0)
		dwf_table_set(queue, QUEUE_SENT_AT,
					  TimestampTzGetDatum(dwf_clock_shown(result->sent_at)));
	dwf_table_set(queue, QUEUE_DUE, TimestampTzGetDatum(due));
	dwf_table_set(queue, QUEUE_HTTP_STATUS, Int32GetDatum(result->http_status));
	queue->nulls[QUEUE_HTTP_STATUS] = result->http_status == 0;
	dwf_table_set_text(queue, QUEUE_ERROR, result->error);
	(void) dwf_table_update(queue, true);
	if (again)
		dwf_commit_note_due(DatumGetInt64(queue->values[QUEUE_LANE]), due);
}

/* What was not done gives its key back. */
static void
give_back_key(const DwfTable *queue, int64 id)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTOID, TEXTOID, INT8OID};
	Datum		values[] = {dwf_archive_scope(queue), queue->values[QUEUE_KEY], Int64GetDatum(id)};

	if (plan == NULL)
	{
		plan = SPI_prepare("DELETE FROM domowf.key WHERE scope = $1 "
						   "AND key = $2 AND request_id = $3", 3, types);
		if (plan == NULL)
			elog(ERROR, "could not prepare the removal of a key");
		SPI_keepplan(plan);
	}
	if (SPI_execute_plan(plan, values, NULL, false, 0) < 0)
		elog(ERROR, "could not give back a key");
}

/*
 * Lets the next request of the order key of the one at hand go.  By a table of
 * its own, which is read as it is now and not as it was at the beginning.  What
 * Domo has done is done, whatever that one's row refuses.
 */
static void
release_next(DwfSettlement *settlement)
{
	DwfTable   *queue = &settlement->queue;

	if (settlement->is_again)
	{
		dwf_watch_release_apart(queue->values[QUEUE_ORDER_SPACE],
								queue->values[QUEUE_ORDER_KEY]);
		return;
	}
	if (!settlement->has_order)
		dwf_table_open(&settlement->order, "queue", QUEUE_COLUMNS, false);
	settlement->has_order = true;
	dwf_watch_release(&settlement->order, queue->values[QUEUE_ORDER_SPACE],
					  queue->values[QUEUE_ORDER_KEY]);
}
