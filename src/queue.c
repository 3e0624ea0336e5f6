/*
 * queue.c
 *	  The queue as backends use it: enqueue, the order of order keys.
 *
 * Order keys.  Requests of one order_key go one after the other, in the order
 * in which their transactions commit.  Whoever enqueues locks the key until
 * its transaction ends, so ids of one key are taken in commit order; a request
 * that finds another one in the queue is `waiting` and is let go by whoever
 * settles the one before (worker_queue.c).  So one request of a key at most is
 * not waiting; it need not have the lowest id, since one that is retried comes
 * back with the id that it had.  An earlier one that is settled
 * between our look and our commit would leave us waiting for nobody: the
 * worker is told at our commit, and looks for such rows.
 *
 * The lock is of LOCKTAG_USERLOCK, which no SQL function can take, and is kept
 * by a prepared transaction as any other.
 *
 * Nothing here goes through SQL (table.c says why).
 */
#include "postgres.h"

#include "columns.h"
#include "compat.h"
#include "domowf.h"
#include "key.h"
#include "queue.h"
#include "quota.h"
#include "table.h"
#include "xact.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* Order keys that one transaction may lock. */
#define MAX_ORDER_KEYS	1000

static void insert_request(DwfTable *queue, const DwfEnqueue *request,
						   int64 id, bool waiting);

bool
dwf_queue_exists(void)
{
	return OidIsValid(dwf_table_oid("queue")) &&
		OidIsValid(dwf_table_oid("key")) &&
		OidIsValid(dwf_table_oid("log")) &&
		OidIsValid(dwf_table_oid("state"));
}

char *
dwf_queue_find_fault(void)
{
	char	   *fault = dwf_table_find_fault("queue", QUEUE_COLUMNS);

	if (fault == NULL)
		fault = dwf_table_find_fault("key", KEY_COLUMNS);
	if (fault == NULL)
		fault = dwf_table_find_fault("log", LOG_COLUMNS);
	return fault;
}

void
dwf_queue_enter(DwfQueueScope *scope)
{
	HeapTuple	tuple;
	Oid			owner;

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(dwf_table_oid("queue")));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table domowf.queue does not exist")));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	GetUserIdAndSecContext(&scope->user, &scope->security);
	SetUserIdAndSecContext(owner, scope->security |
						   SECURITY_LOCAL_USERID_CHANGE);
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
	AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->user, scope->security);
}

int64
dwf_queue_enqueue(const DwfEnqueue *request)
{
	Oid			sequence = dwf_table_oid("request_id");
	int64		id;
	bool		waiting = false;
	DwfTable	queue;

	if (!OidIsValid(sequence))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("sequence domowf.request_id does not exist")));

	/* the lock first: within one order key, ids follow the commits */
	if (request->order_key != NULL)
		dwf_queue_lock_order_key(request->order_key);
	id = nextval_internal(sequence, false);
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
		waiting = dwf_table_find(&queue, QUEUE_ORDER_KEY,
								 CStringGetTextDatum(request->order_key));
	insert_request(&queue, request, id, waiting);
	dwf_table_close(&queue);
	if (waiting)
		dwf_xact_note_waiting();
	dwf_xact_note_enqueued(waiting ? DT_NOEND : request->run_at, 1);
	dwf_xact_note_count(request->requested_by, 1);
	return id;
}

/*
 * With the latest snapshot, whatever the isolation level: the answer is about
 * the order of commits.
 */
bool
dwf_queue_must_wait(const char *order_key)
{
	DwfTable	queue;
	bool		found;

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	found = dwf_table_find(&queue, QUEUE_ORDER_KEY,
						   CStringGetTextDatum(order_key));
	dwf_table_close(&queue);
	return found;
}

void
dwf_queue_lock_order_key(const char *order_key)
{
	static LocalTransactionId counted_for = InvalidLocalTransactionId;
	static int	count = 0;
	uint64		hash = DatumGetUInt64(hash_any_extended((const unsigned char *) order_key,
														strlen(order_key), 0));
	LOCKTAG		tag;

	tag.locktag_field1 = MyDatabaseId;
	tag.locktag_field2 = (uint32) (hash >> 32);
	tag.locktag_field3 = (uint32) hash;
	tag.locktag_field4 = 0;
	tag.locktag_type = LOCKTAG_USERLOCK;
	tag.locktag_lockmethodid = USER_LOCKMETHOD;

	if (counted_for != dwf_my_lxid())
	{
		counted_for = dwf_my_lxid();
		count = 0;
	}
	if (LockAcquire(&tag, ExclusiveLock, false, false) ==
		LOCKACQUIRE_ALREADY_HELD)
		return;
	if (++count > MAX_ORDER_KEYS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("one transaction can use at most %d order keys",
						MAX_ORDER_KEYS)));
}

/* `waiting`: an earlier request of its order key goes first. */
static void
insert_request(DwfTable *queue, const DwfEnqueue *request, int64 id,
			   bool waiting)
{
	NameData	role;

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
				  TimestampTzGetDatum(GetCurrentTimestamp()));
	dwf_table_set(queue, QUEUE_RUN_AT, TimestampTzGetDatum(request->run_at));
	dwf_table_set(queue, QUEUE_DUE,
				  TimestampTzGetDatum(waiting ? DT_NOEND : request->run_at));
	if (request->has_expires_at)
		dwf_table_set(queue, QUEUE_EXPIRES_AT,
					  TimestampTzGetDatum(request->expires_at));
	dwf_table_insert(queue, false);
}
