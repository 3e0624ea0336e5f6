/*
 * requests.c
 *	  SQL entry points that enqueue a request, and those that wait for it.
 *
 * A request is checked when it is enqueued, with the same errors as a call:
 * what stands in the queue can be sent.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/columns.h"
#include "base/command.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/moment.h"
#include "base/owner.h"
#include "base/table.h"
#include "base/waiters.h"
#include "call/argument.h"
#include "call/cursor.h"
#include "call/report.h"
#include "queue/enqueue.h"
#include "registry/workflow.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(domowf_enqueue);
PG_FUNCTION_INFO_V1(domowf_enqueue_call);
PG_FUNCTION_INFO_V1(domowf_wait);
PG_FUNCTION_INFO_V1(domowf_wait_finished);

/* A request, %s, that the caller, $2, may see. */
static const char request_query[] =
"SELECT %s, r.state NOT IN ('queued', 'sending'), "
"coalesce(r.batch = pg_current_xact_id_if_assigned(), false) "
"FROM domowf.request r WHERE r.id = $1 AND EXISTS ("
"SELECT FROM (SELECT requested_by_oid AS o FROM domowf.queue WHERE id = $1 "
"UNION ALL SELECT requested_by_oid FROM domowf.log WHERE id = $1) s "
"WHERE domowf.may_see($2, s.o))";

/* since 1.1: an id that the caller may not see is not told */
static const char request_row[] =
"CASE WHEN r.waits_for IS NULL OR EXISTS ("
"SELECT FROM domowf.queue f WHERE f.id = r.waits_for "
"AND domowf.may_see($2, f.requested_by_oid)) THEN r "
"ELSE jsonb_populate_record(r, '{\"waits_for\": null}') END";

/*
 * Whether the instance of a request is tracked, or was: nothing where the
 * request is settled in another way than done, or in doubt.
 */
static const char tracked_query[] =
"SELECT l.instance_finished_at IS NOT NULL, "
"l.instance_finished_at IS NOT NULL OR EXISTS ("
"SELECT FROM domowf.tracked t WHERE t.request_id = l.id) "
"FROM domowf.log l WHERE l.id = $1 AND l.outcome = 'done' "
"UNION ALL SELECT false, coalesce(q.track, false) FROM domowf.queue q "
"WHERE q.id = $1 AND q.state <> 'in_doubt'";

static DwfOperation read_operation(const char *name);
static void read_options(FunctionCallInfo fcinfo, int first,
						 DwfEnqueue *enqueue);
static char *text_option(FunctionCallInfo fcinfo, int arg, const char *name);
static void read_request(DwfEnqueue *enqueue, Jsonb *jsonb,
						 DwfRequest *request);
static void order_by_model(DwfEnqueue *enqueue, const DwfRequest *request);
static void resolve(DwfEnqueue *enqueue, DwfRequest *request,
					JsonbContainer *data);
static Datum wait(FunctionCallInfo fcinfo, const char *function,
				  bool (*is_over) (int64 id));
static bool look_at_request(int64 id, Datum *row, bool *is_own);
static bool is_changed_here(int64 id);
static bool is_finished(int64 id);
static void refuse_untracked(int64 id) pg_attribute_noreturn();

/*
 * domowf_enqueue(workflow text, data jsonb, key text, order_key text, run_at
 * timestamptz, expires_at timestamptz) returns bigint
 */
Datum
domowf_enqueue(PG_FUNCTION_ARGS)
{
	DwfEnqueue	enqueue;
	DwfRequest	request = {.operation = DWF_START};
	DwfFault	fault;
	Jsonb	   *data;

	dwf_command_begin("domowf_enqueue()");
	dwf_cursor_check();
	dwf_argument_not_null(fcinfo, 0, "workflow");
	dwf_argument_not_null(fcinfo, 1, "data");
	data = PG_GETARG_JSONB_P(1);
	if (!dwf_argument_read_start(text_to_cstring(PG_GETARG_TEXT_PP(0)), data,
								 &request, &fault))
		dwf_report_fault(&fault);
	dwf_enqueue_begin(&enqueue, DWF_START);
	read_options(fcinfo, 2, &enqueue);
	resolve(&enqueue, &request, &data->root);
	PG_RETURN_INT64(dwf_enqueue_put(&enqueue));
}

/*
 * domowf_enqueue_call(operation text, request jsonb, key text, order_key text,
 * run_at timestamptz, expires_at timestamptz) returns bigint
 */
Datum
domowf_enqueue_call(PG_FUNCTION_ARGS)
{
	DwfEnqueue	enqueue;
	DwfRequest	request;

	dwf_command_begin("domowf_enqueue_call()");
	dwf_cursor_check();
	dwf_argument_not_null(fcinfo, 0, "operation");
	dwf_argument_not_null(fcinfo, 1, "request");
	dwf_enqueue_begin(&enqueue,
					  read_operation(text_to_cstring(PG_GETARG_TEXT_PP(0))));
	read_options(fcinfo, 2, &enqueue);
	read_request(&enqueue, PG_GETARG_JSONB_P(1), &request);
	PG_RETURN_INT64(dwf_enqueue_put(&enqueue));
}

static DwfOperation
read_operation(const char *name)
{
	DwfOperation operation;

	if (dwf_operation_find_queued(name, &operation))
		return operation;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid operation: found \"%s\", expected \"start\", \"cancel\" or \"set_permissions\"",
					name)));
}

/* Reads key, order_key, run_at and expires_at, which may all be NULL. */
static void
read_options(FunctionCallInfo fcinfo, int first, DwfEnqueue *enqueue)
{
	enqueue->key = text_option(fcinfo, first, "key");
	enqueue->order_key = text_option(fcinfo, first + 1, "order_key");
	if (!PG_ARGISNULL(first + 2))
		enqueue->run_at = PG_GETARG_TIMESTAMPTZ(first + 2);
	if (!PG_ARGISNULL(first + 2) && TIMESTAMP_NOT_FINITE(enqueue->run_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid run_at: found an infinite time, expected a finite one")));
	enqueue->has_expires_at = !PG_ARGISNULL(first + 3);
	if (enqueue->has_expires_at)
		enqueue->expires_at = PG_GETARG_TIMESTAMPTZ(first + 3);
}

static char *
text_option(FunctionCallInfo fcinfo, int arg, const char *name)
{
	char	   *value;

	if (PG_ARGISNULL(arg))
		return NULL;
	value = text_to_cstring(PG_GETARG_TEXT_PP(arg));
	dwf_enqueue_check_key(name, value);
	return value;
}

/* Checks a request, and fills in what it asks the queue for. */
static void
read_request(DwfEnqueue *enqueue, Jsonb *jsonb, DwfRequest *request)
{
	DwfFault	fault;
	JsonbValue	data;

	if (!dwf_argument_read(enqueue->operation, jsonb, request, &fault))
		dwf_report_fault(&fault);
	if (request->workflow != NULL)
	{
		getKeyJsonValueFromContainer(&jsonb->root, "data", 4, &data);
		resolve(enqueue, request, data.val.binary.data);
		return;
	}
	enqueue->server = request->server;
	enqueue->request = jsonb;
	if (dwf_operation(enqueue->operation)->asks == DWF_ASKS_ID)
		enqueue->request = dwf_argument_cancel(request->id);

	if (dwf_operation(enqueue->operation)->by_model)
		order_by_model(enqueue, request);
}

/*
 * Two changes of one model must not overtake each other (src/domo/README.md),
 * whoever asks for them.
 */
static void
order_by_model(DwfEnqueue *enqueue, const DwfRequest *request)
{
	if (enqueue->order_key != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid order_key: found one for set_permissions, expected none"),
				 errdetail("Changes of permissions go one after the other for each model.")));
	enqueue->order_key = pg_any_to_server(request->id, strlen(request->id),
										  PG_UTF8);
}

/* Fills in what a registered workflow says. */
static void
resolve(DwfEnqueue *enqueue, DwfRequest *request, JsonbContainer *data)
{
	const DwfWorkflow *workflow;
	DwfFault	fault = {0};
	int			code = dwf_workflow_resolve(request, data,
											enqueue->requested_by, true,
											&workflow, &fault);

	if (code != 0)
		dwf_report_fault_as(code, &fault);
	dwf_enqueue_set_workflow(enqueue, workflow);
	enqueue->request = dwf_workflow_request(workflow, data);
}

/*
 * domowf_wait(request_id bigint, timeout interval) returns domowf.request
 */
Datum
domowf_wait(PG_FUNCTION_ARGS)
{
	return wait(fcinfo, "domowf_wait()", NULL);
}

/*
 * domowf_wait_finished(request_id bigint, timeout interval) returns
 * domowf.request
 */
Datum
domowf_wait_finished(PG_FUNCTION_ARGS)
{
	return wait(fcinfo, "domowf_wait_finished()", is_finished);
}

/*
 * Waits until a request is settled, or until something else of it is over.  That
 * is looked at first, so that the row which is returned shows it.
 */
static Datum
wait(FunctionCallInfo fcinfo, const char *function,
	 bool (*is_over) (int64 id))
{
	int64		id;
	DwfSteady	until;
	Datum		row;
	bool		is_own;
	bool		is_settled;

	/* of what this transaction has done only the leader knows */
	PreventCommandIfParallelMode(function);
	dwf_argument_not_null(fcinfo, 0, "request_id");
	dwf_argument_not_null(fcinfo, 1, "timeout");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot be used above isolation level READ COMMITTED",
						function),
				 errdetail("The transaction would never see the request settled.")));
	id = PG_GETARG_INT64(0);
	until = dwf_clock_steady(dwf_moment_add(GetCurrentTimestamp(),
											PG_GETARG_INTERVAL_P(1)));
	for (;;)
	{
		long		left;
		bool		over;

		dwf_waiters_prepare(id);
		over = is_over == NULL || is_over(id);
		is_settled = look_at_request(id, &row, &is_own);
		if (is_own || (!is_settled && is_changed_here(id)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg(is_own ?
							"request " INT64_FORMAT " was enqueued by this same transaction" :
							"request " INT64_FORMAT " was changed by this same transaction",
							id),
					 errdetail("It is sent only after COMMIT.")));
		left = TimestampDifferenceMilliseconds(dwf_clock_now(), until);
		if ((is_settled && over) || left == 0)
			break;

		/* a floor for what tells nobody: COMMIT PREPARED, a change by hand */
		dwf_waiters_sleep(id, Min(left, dwf_poll_interval));
		CHECK_FOR_INTERRUPTS();
	}
	dwf_waiters_cancel();
	PG_RETURN_DATUM(row);
}

/*
 * Reads a request as it stands, for whoever may see it.  True where there is
 * nothing to wait for any more; 42704 where there is none.
 */
static bool
look_at_request(int64 id, Datum *row, bool *is_own)
{
	static SPIPlanPtr plans[2] = {NULL};
	bool		is_first;
	MemoryContext context = CurrentMemoryContext;
	Datum		values[] = {Int64GetDatum(id),
	ObjectIdGetDatum(GetUserId())};
	DwfOwnerScope scope;
	bool		isnull;
	bool		is_settled;
	HeapTuple	tuple;

	dwf_owner_enter_to_read(&scope);
	SPI_connect();
	is_first = !dwf_extension_is_since("1.1");
	if (plans[is_first] == NULL)
	{
		Oid			types[] = {INT8OID, OIDOID};

		plans[is_first] = SPI_prepare(psprintf(request_query, is_first ?
											   "r" : request_row), 2, types);
		SPI_keepplan(plans[is_first]);
	}
	if (SPI_execute_plan(plans[is_first], values, NULL, false,
						 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.request");
	dwf_owner_stay();
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("request " INT64_FORMAT " does not exist", id)));
	tuple = SPI_tuptable->vals[0];
	is_settled = DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2,
											&isnull));
	*is_own = DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 3,
										 &isnull)) && !is_settled;
	*row = SPI_datumTransfer(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1,
										   &isnull), false, -1);
	SPI_finish();
	dwf_owner_leave(&scope);
	MemoryContextSwitchTo(context);
	return is_settled;
}

/* Whether this transaction has written a request that waits in the queue. */
static bool
is_changed_here(int64 id)
{
	DwfTable	queue;
	bool		is_own;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	is_own = dwf_table_find(&queue, QUEUE_ID, Int64GetDatum(id)) &&
		dwf_table_is_written_here(&queue);
	dwf_table_close(&queue);
	return is_own;
}

/*
 * Whether the instance that a request has started has ended, or there is none to
 * wait for.  55000 where it is not tracked.
 */
static bool
is_finished(int64 id)
{
	static SPIPlanPtr plan = NULL;
	Datum		value = Int64GetDatum(id);
	DwfOwnerScope scope;
	bool		is_over = true;
	bool		is_tracked = true;
	bool		isnull;

	dwf_extension_require_update();
	dwf_owner_enter_to_read(&scope);
	SPI_connect();
	if (plan == NULL)
	{
		Oid			types[] = {INT8OID};

		plan = SPI_prepare(tracked_query, 1, types);
		SPI_keepplan(plan);
	}
	if (SPI_execute_plan(plan, &value, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.tracked");
	dwf_owner_stay();
	if (SPI_processed > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		is_over = DatumGetBool(SPI_getbinval(row, desc, 1, &isnull));
		is_tracked = DatumGetBool(SPI_getbinval(row, desc, 2, &isnull));
	}
	SPI_finish();
	dwf_owner_leave(&scope);
	if (!is_tracked)
		refuse_untracked(id);
	return is_over;
}

/* To whoever may see the request; others are told that there is none. */
static void
refuse_untracked(int64 id)
{
	Datum		row;
	bool		is_own;

	(void) look_at_request(id, &row, &is_own);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the instance of request " INT64_FORMAT " is not tracked", id),
			 errhint("Set track of its workflow in domowf.workflow before it is enqueued.")));
}
