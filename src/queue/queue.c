/*
 * queue.c
 *	  The queue as backends use it: a row is put in.  Its key is key.c's, its
 *	  order key order.c's, its lane lane.c's.
 *
 * Nothing here goes through SQL (table.c says why).
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/commit.h"
#include "base/domowf.h"
#include "base/ids.h"
#include "base/quota.h"
#include "base/returning.h"
#include "base/table.h"
#include "base/timeline.h"
#include "queue/key.h"
#include "queue/lane.h"
#include "queue/order.h"
#include "queue/queue.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

static void insert_request(DwfTable *queue, const DwfEnqueue *request,
						   int64 id, const char *space, bool waiting);

int64
dwf_queue_enqueue(const DwfEnqueue *request)
{
	char	   *space = NULL;
	int64		id;
	bool		waiting = false;
	DwfTable	queue;

	/* from here on no update changes what it is */
	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	/* the lock first: within one order key, ids follow the commits */
	if (request->order_key != NULL)
	{
		space = dwf_table_has(&queue, QUEUE_ORDER_SPACE) ?
			dwf_order_space(request) : NULL;
		dwf_order_lock(space, request->order_key);
	}
	if (request->order_key != NULL)
		waiting = dwf_order_is_taken(&queue, space, request->order_key);
	id = !waiting ? dwf_ids_next(NULL) :
		dwf_ids_next_behind(dwf_order_last(&queue, space, request->order_key));
	if (request->key != NULL)
	{
		int64		holder = dwf_key_take(request, id);

		if (holder != id)
		{
			dwf_table_close(&queue);
			return holder;
		}
	}
	/* now, since who asks again for what is there needs no room */
	dwf_quota_check(request->requested_by);
	insert_request(&queue, request, id, space, waiting);
	dwf_table_close(&queue);
	if (waiting)
		dwf_commit_note_waiting();
	dwf_commit_note_enqueued(DT_NOEND, 1);
	dwf_commit_note_count(request->requested_by, 1);
	return id;
}

/*
 * `waiting`: an earlier request of its order key goes first.  A time that was
 * over when it was enqueued is no priority: it is due like any other.
 */
static void
insert_request(DwfTable *queue, const DwfEnqueue *request, int64 id,
			   const char *space, bool waiting)
{
	NameData	role;
	FullTransactionId batch = GetTopFullTransactionId();
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz run_at = request->run_at == DT_NOBEGIN ? now : request->run_at;
	TimestampTz due = waiting ? DT_NOEND : Max(run_at, now);
	int64		lane = dwf_lane_id(request->requested_by,
								   dwf_operation_name(request->operation),
								   request->workflow, &request->to);

	namestrcpy(&role, GetUserNameFromId(request->requested_by, false));
	dwf_table_clear(queue);
	dwf_table_set(queue, QUEUE_ID, Int64GetDatum(id));
	dwf_table_set_text(queue, QUEUE_STATE, "queued");
	dwf_table_set(queue, QUEUE_WAITING, BoolGetDatum(waiting));
	dwf_table_set_text(queue, QUEUE_OPERATION,
					   dwf_operation_name(request->operation));
	dwf_table_set_text(queue, QUEUE_WORKFLOW, request->workflow);
	dwf_table_set(queue, QUEUE_REQUEST, JsonbPGetDatum(request->request));
	dwf_table_set_text(queue, QUEUE_ON_DOUBT,
					   request->retry_on_doubt ? "retry" : "hold");
	dwf_table_set(queue, QUEUE_MAX_ATTEMPTS,
				  Int32GetDatum(request->max_attempts));
	dwf_table_set(queue, QUEUE_ATTEMPTS, Int32GetDatum(0));
	dwf_table_set(queue, QUEUE_FAILURES, Int32GetDatum(0));
	dwf_table_set(queue, QUEUE_CLAIM, Int32GetDatum(0));
	dwf_table_set_text(queue, QUEUE_KEY, request->key);
	dwf_table_set_text(queue, QUEUE_ORDER_KEY, request->order_key);
	dwf_table_set_text(queue, QUEUE_SOURCE, request->source);
	if (OidIsValid(request->source_oid))
		dwf_table_set(queue, QUEUE_SOURCE_OID,
					  ObjectIdGetDatum(request->source_oid));
	dwf_table_set(queue, QUEUE_REQUESTED_BY, NameGetDatum(&role));
	dwf_table_set(queue, QUEUE_REQUESTED_BY_OID,
				  ObjectIdGetDatum(request->requested_by));
	dwf_table_set(queue, QUEUE_BATCH,
				  FullTransactionIdGetDatum(batch));
	dwf_table_set(queue, QUEUE_ENQUEUED_AT,
				  TimestampTzGetDatum(now));
	dwf_table_set(queue, QUEUE_RUN_AT, TimestampTzGetDatum(run_at));
	dwf_table_set(queue, QUEUE_DUE, TimestampTzGetDatum(due));
	dwf_table_set_text(queue, QUEUE_ORDER_SPACE, space);
	dwf_table_set(queue, QUEUE_LANE, Int64GetDatum(lane));
	if (NameStr(request->to.server)[0] != '\0')
	{
		dwf_table_set(queue, QUEUE_SERVER, NameGetDatum(&request->to.server));
		dwf_table_set(queue, QUEUE_SERVER_OWNER,
					  ObjectIdGetDatum(request->to.owner));
		dwf_table_set(queue, QUEUE_SERVER_ROLE,
					  ObjectIdGetDatum(request->to.role));
	}
	if (request->track)
		dwf_table_set(queue, QUEUE_TRACK, BoolGetDatum(true));
	if (request->returns_to != NULL)
		dwf_table_set(queue, QUEUE_RETURNS_TO,
					  JsonbPGetDatum(request->returns_to));
	if (dwf_returning_depth() > 0)
		dwf_table_set(queue, QUEUE_DEPTH,
					  Int32GetDatum(dwf_returning_depth()));
	if (request->has_expires_at)
		dwf_table_set(queue, QUEUE_EXPIRES_AT,
					  TimestampTzGetDatum(request->expires_at));
	dwf_timeline_note_enqueued(U64FromFullTransactionId(batch));
	dwf_table_insert(queue, false);
	if (!waiting)
		dwf_commit_note_due(lane, due);
}
