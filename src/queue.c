/*
 * queue.c
 *	  The queue as backends use it: enqueue.  Keys are key.c's, order keys order.c's.
 *
 * Nothing here goes through SQL (table.c says why).
 */
#include "postgres.h"

#include "columns.h"
#include "domowf.h"
#include "extension.h"
#include "key.h"
#include "lane.h"
#include "order.h"
#include "queue.h"
#include "quota.h"
#include "sequence.h"
#include "table.h"
#include "xact.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* What a worker's transactions need. */
static const char *const worker_tables[] = {"queue", "key", "log", "state"};

static void become_owner_of(DwfQueueScope *scope, const char *table);
static void fix_settings(DwfQueueScope *scope);
static void insert_request(DwfTable *queue, const DwfEnqueue *request,
						   int64 id, const char *space, bool waiting);

bool
dwf_queue_exists(void)
{
	return dwf_extension_find() != NULL;
}

bool
dwf_queue_is_right(DwfObjectFault *fault)
{
	for (int i = 0; i < lengthof(worker_tables); i++)
	{
		if (!dwf_object_is_right(worker_tables[i], fault))
			return false;
	}
	return true;
}

void
dwf_queue_require(void)
{
	for (int i = 0; i < lengthof(worker_tables); i++)
		(void) dwf_object_require(worker_tables[i], NULL);
}

void
dwf_queue_enter(DwfQueueScope *scope)
{
	/* what others committed meanwhile applies to what follows */
	AcceptInvalidationMessages();
	dwf_objects_require();
	dwf_queue_become_owner(scope);
	fix_settings(scope);
}

void
dwf_queue_enter_registry(DwfQueueScope *scope)
{
	AcceptInvalidationMessages();
	dwf_queue_stay_registry();
	become_owner_of(scope, "workflow");
	fix_settings(scope);
}

void
dwf_queue_stay(void)
{
	dwf_objects_require();
}

void
dwf_queue_stay_registry(void)
{
	(void) dwf_object_require("workflow", NULL);
	(void) dwf_object_require("workflow_input", NULL);
}

void
dwf_queue_become_owner(DwfQueueScope *scope)
{
	become_owner_of(scope, "queue");
}

/*
 * Not with more rights than it takes, and in a restricted operation: should
 * code of somebody's run all the same, it cannot leave anything behind that
 * runs later with other rights.
 */
static void
become_owner_of(DwfQueueScope *scope, const char *table)
{
	Oid			owner;

	(void) dwf_object_require(table, &owner);
	GetUserIdAndSecContext(&scope->user, &scope->security);
	SetUserIdAndSecContext(owner, scope->security |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = 0;
}

static void
fix_settings(DwfQueueScope *scope)
{
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	(void) set_config_option("session_replication_role", "replica",
							 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

void
dwf_queue_leave(const DwfQueueScope *scope)
{
	if (scope->guc_level > 0)
		AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->user, scope->security);
}

int64
dwf_queue_enqueue(const DwfEnqueue *request)
{
	Oid			sequence = dwf_object_require("request_id", NULL);
	char	   *space = NULL;
	int64		id;
	bool		waiting = false;
	DwfTable	queue;

	/* the lock first: within one order key, ids follow the commits */
	if (request->order_key != NULL)
	{
		space = dwf_order_space(request);
		dwf_order_lock(space, request->order_key);
	}
	id = dwf_sequence_next(sequence);
	if (request->key != NULL)
	{
		int64		holder = dwf_key_take(request, id);

		if (holder != id)
			return holder;
	}
	/* now, since who asks again for what is there needs no room */
	dwf_quota_check(request->requested_by);

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	if (request->order_key != NULL)
		waiting = dwf_order_is_taken(&queue, space, request->order_key);
	insert_request(&queue, request, id, space, waiting);
	dwf_table_close(&queue);
	if (waiting)
		dwf_xact_note_waiting();
	dwf_xact_note_enqueued(DT_NOEND, 1);
	dwf_xact_note_count(request->requested_by, 1);
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
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = waiting ? DT_NOEND : Max(request->run_at, now);
	int64		lane = dwf_lane_id(request->requested_by,
								   dwf_domo_operation_name(request->operation),
								   request->workflow);

	namestrcpy(&role, GetUserNameFromId(request->requested_by, false));
	dwf_table_clear(queue);
	dwf_table_set(queue, QUEUE_ID, Int64GetDatum(id));
	dwf_table_set_text(queue, QUEUE_STATE, "queued");
	dwf_table_set(queue, QUEUE_WAITING, BoolGetDatum(waiting));
	dwf_table_set_text(queue, QUEUE_OPERATION,
					   dwf_domo_operation_name(request->operation));
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
	dwf_table_set(queue, QUEUE_REQUESTED_BY, NameGetDatum(&role));
	dwf_table_set(queue, QUEUE_REQUESTED_BY_OID,
				  ObjectIdGetDatum(request->requested_by));
	dwf_table_set(queue, QUEUE_BATCH,
				  FullTransactionIdGetDatum(GetTopFullTransactionId()));
	dwf_table_set(queue, QUEUE_ENQUEUED_AT,
				  TimestampTzGetDatum(now));
	dwf_table_set(queue, QUEUE_RUN_AT, TimestampTzGetDatum(request->run_at));
	dwf_table_set(queue, QUEUE_DUE, TimestampTzGetDatum(due));
	dwf_table_set_text(queue, QUEUE_ORDER_SPACE, space);
	dwf_table_set(queue, QUEUE_LANE, Int64GetDatum(lane));
	if (request->has_expires_at)
		dwf_table_set(queue, QUEUE_EXPIRES_AT,
					  TimestampTzGetDatum(request->expires_at));
	dwf_table_insert(queue, false);
	if (!waiting)
		dwf_xact_note_due(lane, due);
}
