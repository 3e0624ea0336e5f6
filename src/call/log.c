/*
 * log.c
 *	  The rows of domowf.log that calls make, and what those that settled
 *	  requests make have in common with them: the instance.
 *
 * It has happened in Domo already, so nothing that a reply holds may make the
 * row fail; what can be known of the log itself is found out before the call.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/client.h"
#include "base/columns.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/ids.h"
#include "base/kept.h"
#include "base/quota.h"
#include "call/instance.h"
#include "call/log.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

static void insert_row(void *arg);
static void insert_copy(void *arg);
static void insert_apart(DwfTable *table);
static void set_utf8(DwfTable *log, int column, const char *text);
static void set_server(DwfTable *log, const char *name);
static void set_time(DwfTable *log, int column, bool present,
					 int64 unix_usec);

void
dwf_log_open(DwfCallLog *log, int count)
{
	if (!dwf_log_calls)
		return;
	if (dwf_extension_find() == NULL)
		return;
	log->table = dwf_kept_open("log", LOG_COLUMNS);
	namestrcpy(&log->role, GetUserNameFromId(GetUserId(), false));
	log->batch = GetTopFullTransactionId();
	log->ids = MemoryContextAllocHuge(CurrentMemoryContext,
									  sizeof(int64) * count);
	for (int i = 0; i < count; i++)
		log->ids[i] = dwf_ids_next(log->table);
	log->is_open = true;
}

void
dwf_log_call(DwfCallLog *log, int index, const DwfRequest *request,
			 Jsonb *request_jsonb, const DwfInstance *instance,
			 int http_status, NullableDatum response)
{
	DwfTable   *table = log->table;

	if (!log->is_open)
		return;
	dwf_table_set(table, LOG_ID, Int64GetDatum(log->ids[index]));
	dwf_table_set_text(table, LOG_OPERATION,
					   dwf_operation_name(request->operation));
	set_utf8(table, LOG_WORKFLOW, request->workflow);
	dwf_table_set_text(table, LOG_OUTCOME, "done");
	dwf_table_set_text(table, LOG_ORIGIN, "call");
	dwf_table_set(table, LOG_ATTEMPTS, Int32GetDatum(1));
	dwf_table_set(table, LOG_HTTP_STATUS, Int32GetDatum(http_status));
	dwf_table_set(table, LOG_REQUESTED_BY, NameGetDatum(&log->role));
	dwf_table_set(table, LOG_REQUESTED_BY_OID, ObjectIdGetDatum(GetUserId()));
	if (request->server != NULL)
		set_server(table, request->server);
	dwf_table_set(table, LOG_SETTLED_AT,
				  TimestampTzGetDatum(GetCurrentTimestamp()));
	dwf_table_set(table, LOG_BATCH,
				  FullTransactionIdGetDatum(log->batch));
	dwf_log_set_instance(table, instance);
	if (dwf_log_payload && request_jsonb != NULL)
		dwf_table_set(table, LOG_REQUEST, JsonbPGetDatum(request_jsonb));
	if (dwf_log_payload && !response.isnull)
		dwf_table_set(table, LOG_RESPONSE, response.value);
	if (dwf_table_may_refuse(table))
		insert_apart(table);
	else
		dwf_table_append(table);
}

static void
insert_row(void *arg)
{
	dwf_table_insert(arg, false);
}

/* Inserts the row at hand, in a table that is open a second time. */
static void
insert_copy(void *arg)
{
	const DwfTable *table = arg;
	DwfTable	apart;

	dwf_table_open(&apart, "log", LOG_COLUMNS, false);
	memcpy(apart.values, table->values, LOG_COLUMNS * sizeof(Datum));
	memcpy(apart.nulls, table->nulls, LOG_COLUMNS * sizeof(bool));
	dwf_quota_without(insert_row, &apart);
	dwf_table_close(&apart);
}

/*
 * Inserts the row at hand so that it can be done without: in a subtransaction,
 * which is not for every row of every log.
 */
static void
insert_apart(DwfTable *table)
{
	ErrorData  *error = dwf_apart_try(insert_copy, table);

	dwf_table_clear(table);
	if (error == NULL)
		return;
	dwf_client_tell(WARNING, error->sqlerrcode,
					psprintf("the call has succeeded, but is not in domowf.log: %s",
							 error->message),
					error->detail, NULL);
	FreeErrorData(error);
}

void
dwf_log_close(DwfCallLog *log)
{
	if (log->is_open)
		dwf_kept_release(log->table);
	log->is_open = false;
}

static void
set_utf8(DwfTable *log, int column, const char *text)
{
	if (text != NULL)
		log->nulls[column] = !dwf_instance_text(text, &log->values[column]);
}

/* A name that PostgreSQL has found: it can be converted. */
static void
set_server(DwfTable *log, const char *name)
{
	Name		server = palloc(sizeof(NameData));

	namestrcpy(server, pg_any_to_server(name, strlen(name), PG_UTF8));
	dwf_table_set(log, LOG_SERVER, NameGetDatum(server));
}

static void
set_time(DwfTable *log, int column, bool present, int64 unix_usec)
{
	log->values[column] = TimestampTzGetDatum(dwf_instance_time(unix_usec));
	log->nulls[column] = !present;
}

void
dwf_log_set_instance(DwfTable *log, const DwfInstance *instance)
{
	set_utf8(log, LOG_INSTANCE_ID, instance->id);
	set_utf8(log, LOG_MODEL_ID, instance->model_id);
	set_utf8(log, LOG_MODEL_NAME, instance->model_name);
	set_utf8(log, LOG_MODEL_VERSION, instance->model_version);
	set_utf8(log, LOG_DEPLOYMENT_ID, instance->deployment_id);
	set_utf8(log, LOG_BPMN_PROCESS_ID, instance->bpmn_process_id);
	set_utf8(log, LOG_BPMN_PROCESS_NAME, instance->bpmn_process_name);
	set_utf8(log, LOG_CREATED_BY, instance->created_by);
	set_utf8(log, LOG_UPDATED_BY, instance->updated_by);
	set_utf8(log, LOG_INSTANCE_STATUS, instance->status);
	set_time(log, LOG_CREATED_ON, instance->has_created_on,
			 instance->created_on);
	set_time(log, LOG_UPDATED_ON, instance->has_updated_on,
			 instance->updated_on);
	log->values[LOG_IS_TEST_RUN] = BoolGetDatum(instance->is_test_run);
	log->nulls[LOG_IS_TEST_RUN] = !instance->has_is_test_run;
}
