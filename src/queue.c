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
 * Keys.  (scope, key) is inserted with ON CONFLICT DO NOTHING, which waits for
 * a concurrent transaction that holds it; above READ COMMITTED, where the
 * winner cannot be seen, PostgreSQL itself raises 40001.
 */
#include "postgres.h"

#include "compat.h"
#include "domowf.h"
#include "guc.h"
#include "instance.h"
#include "queue.h"
#include "table.h"
#include "xact.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* Order keys that one transaction may lock. */
#define MAX_ORDER_KEYS	1000

/* The columns of domowf.queue, in their order. */
typedef enum QueueColumn
{
	QUEUE_ID,
	QUEUE_STATE,
	QUEUE_WAITING,
	QUEUE_OPERATION,
	QUEUE_WORKFLOW,
	QUEUE_REQUEST,
	QUEUE_ON_DOUBT,
	QUEUE_MAX_ATTEMPTS,
	QUEUE_ATTEMPTS,
	QUEUE_FAILURES,
	QUEUE_CLAIM,
	QUEUE_OWNER,
	QUEUE_KEY,
	QUEUE_ORDER_KEY,
	QUEUE_SOURCE,
	QUEUE_REQUESTED_BY,
	QUEUE_REQUESTED_BY_OID,
	QUEUE_BATCH,
	QUEUE_ENQUEUED_AT,
	QUEUE_RUN_AT,
	QUEUE_DUE,
	QUEUE_EXPIRES_AT,
	QUEUE_SENT_AT,
	QUEUE_HTTP_STATUS,
	QUEUE_ERROR,
	QUEUE_ERRORS
} QueueColumn;

#define QUEUE_COLUMNS	(QUEUE_ERRORS + 1)

/* The columns of domowf.log, in their order. */
typedef enum LogColumn
{
	LOG_ID,
	LOG_OPERATION,
	LOG_WORKFLOW,
	LOG_OUTCOME,
	LOG_ORIGIN,
	LOG_KEY,
	LOG_ORDER_KEY,
	LOG_SOURCE,
	LOG_ATTEMPTS,
	LOG_HTTP_STATUS,
	LOG_INSTANCE_ID,
	LOG_MODEL_ID,
	LOG_MODEL_NAME,
	LOG_MODEL_VERSION,
	LOG_DEPLOYMENT_ID,
	LOG_BPMN_PROCESS_ID,
	LOG_BPMN_PROCESS_NAME,
	LOG_CREATED_BY,
	LOG_CREATED_ON,
	LOG_UPDATED_BY,
	LOG_UPDATED_ON,
	LOG_INSTANCE_STATUS,
	LOG_IS_TEST_RUN,
	LOG_REQUEST,
	LOG_RESPONSE,
	LOG_ERROR,
	LOG_ERRORS,
	LOG_REQUESTED_BY,
	LOG_REQUESTED_BY_OID,
	LOG_ENQUEUED_AT,
	LOG_SENT_AT,
	LOG_SETTLED_AT,
	LOG_BATCH,
	LOG_ON_DOUBT,
	LOG_MAX_ATTEMPTS,
	LOG_EXPIRES_AT,
	LOG_INSTANCE_FINISHED_AT
} LogColumn;

#define LOG_COLUMNS	(LOG_INSTANCE_FINISHED_AT + 1)

static int64 take_key(const char *scope, const char *key, int64 id);
static int64 find_key_holder(const char *scope, const char *key);
static void insert_request(const DwfEnqueue *request, int64 id, bool waiting);
static void set_text(Datum *values, bool *nulls, int column,
					 const char *text);
static void set_utf8(Datum *values, bool *nulls, int column,
					 const char *text);
static void set_time(Datum *values, bool *nulls, int column, bool present,
					 int64 unix_usec);

bool
dwf_queue_exists(void)
{
	return OidIsValid(dwf_table_oid("queue")) &&
		OidIsValid(dwf_table_oid("log")) &&
		OidIsValid(dwf_table_oid("state"));
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
	const char *scope_name = request->workflow != NULL ? request->workflow :
	dwf_domo_operation_name(request->operation);
	Oid			sequence = dwf_table_oid("request_id");
	int64		id;
	bool		waiting = false;
	DwfQueueScope scope;

	if (!OidIsValid(sequence))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("sequence domowf.request_id does not exist")));

	/* the lock first: within one order key, ids follow the commits */
	if (request->order_key != NULL)
		dwf_queue_lock_order_key(request->order_key);
	id = nextval_internal(sequence, false);

	if (request->key != NULL || request->order_key != NULL)
	{
		int64		holder = id;

		dwf_queue_enter(&scope);
		if (request->key != NULL)
			holder = take_key(scope_name, request->key, id);
		if (holder == id && request->order_key != NULL)
			waiting = dwf_queue_must_wait(request->order_key);
		dwf_queue_leave(&scope);
		if (holder != id)
			return holder;
	}

	insert_request(request, id, waiting);
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
take_key(const char *scope, const char *key, int64 id)
{
	static SPIPlanPtr insert = NULL;
	Datum		values[] = {CStringGetTextDatum(scope),
	CStringGetTextDatum(key), Int64GetDatum(id)};
	int64		holder = id;

	SPI_connect();
	if (insert == NULL)
	{
		Oid			types[] = {TEXTOID, TEXTOID, INT8OID};

		insert = SPI_prepare("INSERT INTO domowf.key VALUES ($1, $2, $3) "
							 "ON CONFLICT DO NOTHING", 3, types);
		SPI_keepplan(insert);
	}

	/* the holder may go away between the two statements: then again */
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (SPI_execute_plan(insert, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not take a key");
		if (SPI_processed == 0)
			holder = find_key_holder(scope, key);
	} while (holder == 0);
	SPI_finish();
	return holder;
}

/* The request that holds a key; 0: none does.  SPI connected. */
static int64
find_key_holder(const char *scope, const char *key)
{
	static SPIPlanPtr select = NULL;
	Datum		values[] = {CStringGetTextDatum(scope),
	CStringGetTextDatum(key)};
	bool		isnull;

	if (select == NULL)
	{
		Oid			types[] = {TEXTOID, TEXTOID};

		select = SPI_prepare("SELECT request_id FROM domowf.key "
							 "WHERE scope = $1 AND key = $2", 2, types);
		SPI_keepplan(select);
	}
	if (SPI_execute_plan(select, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read a key");
	if (SPI_processed == 0)
		return 0;
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, 1, &isnull));
}

/*
 * With the latest snapshot, whatever the isolation level: the answer is about
 * the order of commits.
 */
bool
dwf_queue_must_wait(const char *order_key)
{
	static SPIPlanPtr select = NULL;
	Datum		values[] = {CStringGetTextDatum(order_key)};
	bool		found;

	SPI_connect();
	if (select == NULL)
	{
		Oid			types[] = {TEXTOID};

		select = SPI_prepare("SELECT FROM domowf.queue WHERE order_key = $1 "
							 "LIMIT 1", 1, types);
		SPI_keepplan(select);
	}
	if (SPI_execute_snapshot(select, values, NULL, GetLatestSnapshot(),
							 InvalidSnapshot, true, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the queue");
	found = SPI_processed > 0;
	SPI_finish();
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

static void
insert_request(const DwfEnqueue *request, int64 id, bool waiting)
{
	Datum		values[QUEUE_COLUMNS] = {0};
	bool		nulls[QUEUE_COLUMNS] = {0};
	NameData	role;
	TimestampTz due = waiting ? DT_NOEND : request->run_at;

	namestrcpy(&role, GetUserNameFromId(request->requested_by, false));

	values[QUEUE_ID] = Int64GetDatum(id);
	values[QUEUE_STATE] = CStringGetTextDatum("queued");
	values[QUEUE_WAITING] = BoolGetDatum(waiting);
	values[QUEUE_OPERATION] =
		CStringGetTextDatum(dwf_domo_operation_name(request->operation));
	set_text(values, nulls, QUEUE_WORKFLOW, request->workflow);
	values[QUEUE_REQUEST] = JsonbPGetDatum(request->request);
	values[QUEUE_ON_DOUBT] =
		CStringGetTextDatum(request->retry_on_doubt ? "retry" : "hold");
	values[QUEUE_MAX_ATTEMPTS] = Int32GetDatum(request->max_attempts);
	values[QUEUE_ATTEMPTS] = Int32GetDatum(0);
	values[QUEUE_FAILURES] = Int32GetDatum(0);
	values[QUEUE_CLAIM] = Int32GetDatum(0);
	nulls[QUEUE_OWNER] = true;
	set_text(values, nulls, QUEUE_KEY, request->key);
	set_text(values, nulls, QUEUE_ORDER_KEY, request->order_key);
	set_text(values, nulls, QUEUE_SOURCE, request->source);
	values[QUEUE_REQUESTED_BY] = NameGetDatum(&role);
	values[QUEUE_REQUESTED_BY_OID] = ObjectIdGetDatum(request->requested_by);
	values[QUEUE_BATCH] =
		FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[QUEUE_ENQUEUED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[QUEUE_RUN_AT] = TimestampTzGetDatum(request->run_at);
	values[QUEUE_DUE] = TimestampTzGetDatum(due);
	values[QUEUE_EXPIRES_AT] = TimestampTzGetDatum(request->expires_at);
	nulls[QUEUE_EXPIRES_AT] = !request->has_expires_at;
	nulls[QUEUE_SENT_AT] = true;
	nulls[QUEUE_HTTP_STATUS] = true;
	nulls[QUEUE_ERROR] = true;
	nulls[QUEUE_ERRORS] = true;
	dwf_table_insert("queue", values, nulls, QUEUE_COLUMNS);
}

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	if (text != NULL)
		values[column] = CStringGetTextDatum(text);
}

/* Sets a text from UTF-8; what the database cannot hold stays NULL. */
static void
set_utf8(Datum *values, bool *nulls, int column, const char *text)
{
	if (text != NULL)
		nulls[column] = !dwf_instance_to_database(text, strlen(text), false,
												  &values[column]);
}

static void
set_time(Datum *values, bool *nulls, int column, bool present,
		 int64 unix_usec)
{
	values[column] = TimestampTzGetDatum(dwf_instance_time(unix_usec));
	nulls[column] = !present;
}

void
dwf_queue_log_call(const DwfRequest *request, Jsonb *jsonb,
				   const DwfInstance *instance, int http_status,
				   NullableDatum response)
{
	Datum		values[LOG_COLUMNS] = {0};
	bool		nulls[LOG_COLUMNS];
	Oid			sequence;
	NameData	role;

	if (!dwf_log_calls)
		return;
	sequence = dwf_table_oid("request_id");
	if (!OidIsValid(sequence))
		return;
	namestrcpy(&role, GetUserNameFromId(GetUserId(), false));
	memset(nulls, true, sizeof(nulls));
	values[LOG_ID] = Int64GetDatum(nextval_internal(sequence, false));
	values[LOG_OPERATION] =
		CStringGetTextDatum(dwf_domo_operation_name(request->operation));
	set_utf8(values, nulls, LOG_WORKFLOW, request->workflow);
	values[LOG_OUTCOME] = CStringGetTextDatum("done");
	values[LOG_ORIGIN] = CStringGetTextDatum("call");
	values[LOG_ATTEMPTS] = Int32GetDatum(1);
	values[LOG_HTTP_STATUS] = Int32GetDatum(http_status);
	values[LOG_REQUESTED_BY] = NameGetDatum(&role);
	values[LOG_REQUESTED_BY_OID] = ObjectIdGetDatum(GetUserId());
	values[LOG_SETTLED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[LOG_BATCH] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	nulls[LOG_ID] = nulls[LOG_OPERATION] = nulls[LOG_OUTCOME] =
		nulls[LOG_ORIGIN] = nulls[LOG_ATTEMPTS] = nulls[LOG_HTTP_STATUS] =
		nulls[LOG_REQUESTED_BY] = nulls[LOG_REQUESTED_BY_OID] =
		nulls[LOG_SETTLED_AT] = nulls[LOG_BATCH] = false;
	set_utf8(values, nulls, LOG_INSTANCE_ID, instance->id);
	set_utf8(values, nulls, LOG_MODEL_ID, instance->model_id);
	set_utf8(values, nulls, LOG_MODEL_NAME, instance->model_name);
	set_utf8(values, nulls, LOG_MODEL_VERSION, instance->model_version);
	set_utf8(values, nulls, LOG_DEPLOYMENT_ID, instance->deployment_id);
	set_utf8(values, nulls, LOG_BPMN_PROCESS_ID, instance->bpmn_process_id);
	set_utf8(values, nulls, LOG_BPMN_PROCESS_NAME,
			 instance->bpmn_process_name);
	set_utf8(values, nulls, LOG_CREATED_BY, instance->created_by);
	set_utf8(values, nulls, LOG_UPDATED_BY, instance->updated_by);
	set_utf8(values, nulls, LOG_INSTANCE_STATUS, instance->status);
	set_time(values, nulls, LOG_CREATED_ON, instance->has_created_on,
			 instance->created_on);
	set_time(values, nulls, LOG_UPDATED_ON, instance->has_updated_on,
			 instance->updated_on);
	values[LOG_IS_TEST_RUN] = BoolGetDatum(instance->is_test_run);
	nulls[LOG_IS_TEST_RUN] = !instance->has_is_test_run;
	if (dwf_log_payload)
	{
		values[LOG_REQUEST] = JsonbPGetDatum(jsonb);
		nulls[LOG_REQUEST] = jsonb == NULL;
		values[LOG_RESPONSE] = response.value;
		nulls[LOG_RESPONSE] = response.isnull;
	}
	dwf_table_insert("log", values, nulls, LOG_COLUMNS);
}
