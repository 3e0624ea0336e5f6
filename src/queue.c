/*
 * queue.c
 *	  The queue as backends use it: enqueue, keys, the order of order keys.
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
 * Keys.  (scope, key) is inserted unless it is there, as by ON CONFLICT DO
 * NOTHING: that waits for a concurrent transaction that holds it, and raises
 * 40001 above READ COMMITTED, where the winner cannot be seen.
 *
 * Nothing here goes through SQL (table.c says why).
 */
#include "postgres.h"

#include "columns.h"
#include "compat.h"
#include "domowf.h"
#include "extension.h"
#include "queue.h"
#include "table.h"
#include "xact.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* Order keys that one transaction may lock. */
#define MAX_ORDER_KEYS	1000

/* What a worker's transactions need. */
static const char *const worker_tables[] = {"queue", "key", "log", "state"};

static void become_owner_of(DwfQueueScope *scope, const char *table);
static void fix_settings(DwfQueueScope *scope);
static int64 take_key(const DwfEnqueue *request, int64 id);
static void insert_request(DwfTable *queue, const DwfEnqueue *request,
						   int64 id, bool waiting);

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
	int64		id;
	bool		waiting = false;
	DwfTable	queue;

	/* the lock first: within one order key, ids follow the commits */
	if (request->order_key != NULL)
		dwf_queue_lock_order_key(request->order_key);
	id = nextval_internal(sequence, false);
	if (request->key != NULL)
	{
		int64		holder = take_key(request, id);

		if (holder != id)
			return holder;
	}

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	if (request->order_key != NULL)
		waiting = dwf_table_find(&queue, QUEUE_ORDER_KEY,
								 CStringGetTextDatum(request->order_key));
	insert_request(&queue, request, id, waiting);
	dwf_table_close(&queue);
	if (waiting)
		dwf_xact_note_waiting();
	dwf_xact_note_enqueued(waiting ? DT_NOEND : request->run_at, 1);
	return id;
}

/*
 * Takes a key for a request.  Returns its id, or that of the request that has
 * the key already.
 */
static int64
take_key(const DwfEnqueue *request, int64 id)
{
	int64		holder = id;
	DwfTable	key;

	dwf_table_open(&key, "key", KEY_COLUMNS, true);
	dwf_table_set_text(&key, KEY_SCOPE,
					   request->workflow != NULL ? request->workflow :
					   dwf_domo_operation_name(request->operation));
	dwf_table_set_text(&key, KEY_KEY, request->key);
	dwf_table_set(&key, KEY_REQUEST_ID, Int64GetDatum(id));
	if (!dwf_table_insert_new(&key))
		holder = DatumGetInt64(key.values[KEY_REQUEST_ID]);
	dwf_table_close(&key);
	return holder;
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
