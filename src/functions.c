/*
 * functions.c
 *	  The SQL entry points: arguments, what may be called when, and results.
 *
 * Each one reads its arguments into a request, runs it (call.c) and turns what
 * came of it into rows (instance.c) or an error (report.c).  No HTTP here and
 * no judgement of outcomes.
 */
#include "postgres.h"

#include "argument.h"
#include "call.h"
#include "connection.h"
#include "domowf.h"
#include "guc.h"
#include "instance.h"
#include "queue.h"
#include "report.h"
#include "workflow.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(domowf_start_jsonb);
PG_FUNCTION_INFO_V1(domowf_start_workflow);
PG_FUNCTION_INFO_V1(domowf_start_all);
PG_FUNCTION_INFO_V1(domowf_cancel_jsonb);
PG_FUNCTION_INFO_V1(domowf_cancel_text);
PG_FUNCTION_INFO_V1(domowf_set_permissions_jsonb);
PG_FUNCTION_INFO_V1(domowf_set_permissions_text);

/* One call whose result is an instance. */
typedef struct InstanceCall
{
	const DwfRequest *request;
	Jsonb	   *jsonb;			/* as it is logged */
	TupleDesc	desc;
	HeapTuple	tuple;
} InstanceCall;

/* One permission change. */
typedef struct PermissionCall
{
	const DwfRequest *request;
	Jsonb	   *jsonb;
} PermissionCall;

/* A row of domowf_start_all, from its request to its result. */
typedef struct StartRow
{
	bool		done;
	HeapTuple	instance;
	const char *sqlstate;
	const char *error;
} StartRow;

typedef struct StartAll
{
	DwfRequest *requests;		/* those that are well formed ... */
	Jsonb	  **jsonbs;			/* ... as they are logged ... */
	int		   *numbers;		/* ... and their rows, counted from 1 */
	int			count;
	StartRow   *rows;
	int			nrows;
	int			emitted;
	TupleDesc	instance_desc;
	ReturnSetInfo *result;
} StartAll;

static Datum call_for_instance(FunctionCallInfo fcinfo,
							   const DwfRequest *request, Jsonb *jsonb);
static void resolve_workflow(DwfRequest *request, Jsonb **jsonb,
							 JsonbContainer *data);
static void log_call(const DwfRequest *request, Jsonb *jsonb,
					 const DwfExchange *exchange, const DwfReply *reply,
					 NullableDatum response);
static void log_failure(const DwfFailure *failure);
static TupleDesc instance_desc(FunctionCallInfo fcinfo);
static void settle_instance(void *arg, int index, const DwfExchange *exchange,
							const DwfReply *reply);
static void call_for_permissions(FunctionCallInfo fcinfo,
								 const DwfRequest *request, Jsonb *jsonb,
								 JsonbContainer *entries);
static void settle_permissions(void *arg, int index,
							   const DwfExchange *exchange,
							   const DwfReply *reply);
static void emit_permission(ReturnSetInfo *result, JsonbContainer *entry);
static Datum text_member(JsonbContainer *object, const char *key,
						 bool *isnull);
static Datum text_array_member(JsonbContainer *object, const char *key);
static void read_starts(StartAll *all, Datum *elements, bool *nulls);
static void read_start(StartAll *all, int row, Jsonb *jsonb);
static void settle_start(void *arg, int index, const DwfExchange *exchange,
						 const DwfReply *reply);
static void fail_row(StartRow *row, const char *sqlstate,
					 const char *error);
static void emit_rows(StartAll *all);

/*
 * domowf_start(request jsonb) returns domowf_instance
 */
Datum
domowf_start_jsonb(PG_FUNCTION_ARGS)
{
	DwfRequest	request;
	DwfFault	fault;
	Jsonb	   *jsonb;
	JsonbValue	data;

	PreventCommandIfReadOnly("domowf_start()");
	dwf_argument_not_null(fcinfo, 0, "request");
	jsonb = PG_GETARG_JSONB_P(0);
	if (!dwf_argument_read(DWF_START, jsonb, &request, &fault))
		dwf_report_fault(&fault);
	if (request.workflow != NULL)
	{
		getKeyJsonValueFromContainer(&jsonb->root, "data", 4, &data);
		resolve_workflow(&request, &jsonb, data.val.binary.data);
	}
	return call_for_instance(fcinfo, &request, jsonb);
}

/*
 * domowf_start(workflow text, data jsonb) returns domowf_instance
 */
Datum
domowf_start_workflow(PG_FUNCTION_ARGS)
{
	DwfRequest	request;
	DwfFault	fault;
	Jsonb	   *data;
	Jsonb	   *jsonb;

	PreventCommandIfReadOnly("domowf_start()");
	dwf_argument_not_null(fcinfo, 0, "workflow");
	dwf_argument_not_null(fcinfo, 1, "data");
	data = PG_GETARG_JSONB_P(1);
	if (!dwf_argument_read_start(text_to_cstring(PG_GETARG_TEXT_PP(0)), data,
								 &request, &fault))
		dwf_report_fault(&fault);
	resolve_workflow(&request, &jsonb, &data->root);
	return call_for_instance(fcinfo, &request, jsonb);
}

/*
 * Fills in what a registered workflow says, and makes the request as Domo
 * gets it, which is what is logged.
 */
static void
resolve_workflow(DwfRequest *request, Jsonb **jsonb, JsonbContainer *data)
{
	DwfWorkflow workflow;
	DwfFault	fault = {0};
	int			code = dwf_workflow_resolve(request, GetUserId(), &workflow,
											&fault);

	if (code != 0)
		dwf_report_fault_as(code, &fault);
	*jsonb = dwf_workflow_request(&workflow, data);
}

/*
 * domowf_cancel(request jsonb) returns domowf_instance
 */
Datum
domowf_cancel_jsonb(PG_FUNCTION_ARGS)
{
	DwfRequest	request;
	DwfFault	fault;

	PreventCommandIfReadOnly("domowf_cancel()");
	dwf_argument_not_null(fcinfo, 0, "request");
	if (!dwf_argument_read(DWF_CANCEL, PG_GETARG_JSONB_P(0), &request, &fault))
		dwf_report_fault(&fault);
	return call_for_instance(fcinfo, &request,
							 dwf_argument_cancel(request.id));
}

/*
 * domowf_cancel(instance_id text) returns domowf_instance
 */
Datum
domowf_cancel_text(PG_FUNCTION_ARGS)
{
	DwfRequest	request;
	DwfFault	fault;

	PreventCommandIfReadOnly("domowf_cancel()");
	dwf_argument_not_null(fcinfo, 0, "instance_id");
	if (!dwf_argument_read_cancel(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								  &request, &fault))
		dwf_report_fault(&fault);
	return call_for_instance(fcinfo, &request,
							 dwf_argument_cancel(request.id));
}

static Datum
call_for_instance(FunctionCallInfo fcinfo, const DwfRequest *request,
				  Jsonb *jsonb)
{
	DwfConnection connection;
	InstanceCall call = {request, jsonb};

	dwf_connection_open(&connection);
	call.desc = instance_desc(fcinfo);
	dwf_call_run(&connection, request, NULL, 1, 1, settle_instance, &call);
	return HeapTupleGetDatum(call.tuple);
}

/* The result's row type, looked up once for each use of the function. */
static TupleDesc
instance_desc(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	TupleDesc	desc = flinfo->fn_extra;
	MemoryContext old;

	if (desc != NULL)
		return desc;
	old = MemoryContextSwitchTo(flinfo->fn_mcxt);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	flinfo->fn_extra = desc = BlessTupleDesc(CreateTupleDescCopy(desc));
	MemoryContextSwitchTo(old);
	return desc;
}

static void
settle_instance(void *arg, int index, const DwfExchange *exchange,
				const DwfReply *reply)
{
	InstanceCall *call = arg;
	NullableDatum response;
	DwfFailure	failure;

	if (reply->outcome == DWF_DONE)
	{
		response = dwf_instance_response(exchange->body, exchange->body_len);
		call->tuple = dwf_instance_form(call->desc, &reply->instance,
										response);
		log_call(call->request, call->jsonb, exchange, reply, response);
		return;
	}
	dwf_report_describe(call->request, exchange, reply, &failure);
	log_failure(&failure);
	dwf_report_raise(&failure);
}

/* Logs a call that succeeded, with domowf.log_calls. */
static void
log_call(const DwfRequest *request, Jsonb *jsonb, const DwfExchange *exchange,
		 const DwfReply *reply, NullableDatum response)
{
	if (dwf_log_calls)
		dwf_queue_log_call(request, jsonb, &reply->instance,
						   exchange->http_status, response);
}

/*
 * One line in the server's log for a call that failed: the transaction may
 * catch the error, and what it writes may be rolled back.
 */
static void
log_failure(const DwfFailure *failure)
{
	if (dwf_log_calls)
		ereport(LOG,
				(errmsg_internal("domowf: %s: %s", failure->sqlstate,
								 failure->message),
				 errhidestmt(true), errhidecontext(true)));
}

/*
 * domowf_set_permissions(request jsonb) returns setof domowf_permission
 */
Datum
domowf_set_permissions_jsonb(PG_FUNCTION_ARGS)
{
	Jsonb	   *jsonb;
	DwfRequest	request;
	DwfFault	fault;
	JsonbValue	entries;

	PreventCommandIfReadOnly("domowf_set_permissions()");
	dwf_argument_not_null(fcinfo, 0, "request");
	jsonb = PG_GETARG_JSONB_P(0);
	if (!dwf_argument_read(DWF_SET_PERMISSIONS, jsonb, &request, &fault))
		dwf_report_fault(&fault);
	getKeyJsonValueFromContainer(&jsonb->root, "permissions",
								 strlen("permissions"), &entries);
	call_for_permissions(fcinfo, &request, jsonb, entries.val.binary.data);
	return (Datum) 0;
}

/*
 * domowf_set_permissions(model_id text, permissions jsonb) returns setof
 * domowf_permission
 */
Datum
domowf_set_permissions_text(PG_FUNCTION_ARGS)
{
	Jsonb	   *permissions;
	DwfRequest	request;
	DwfFault	fault;

	PreventCommandIfReadOnly("domowf_set_permissions()");
	dwf_argument_not_null(fcinfo, 0, "model_id");
	dwf_argument_not_null(fcinfo, 1, "permissions");
	permissions = PG_GETARG_JSONB_P(1);
	if (!dwf_argument_read_permissions(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									   permissions, &request, &fault))
		dwf_report_fault(&fault);
	call_for_permissions(fcinfo, &request,
						 dwf_argument_permissions(request.id, permissions),
						 &permissions->root);
	return (Datum) 0;
}

/*
 * Makes the call and returns the entries of the request: Domo documents no
 * body for its reply (API.md), and a 2xx accepts them.
 */
static void
call_for_permissions(FunctionCallInfo fcinfo, const DwfRequest *request,
					 Jsonb *jsonb, JsonbContainer *entries)
{
	PermissionCall call = {request, jsonb};
	DwfConnection connection;
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	dwf_connection_open(&connection);
	if (*request->unknown_permission != '\0')
	{
		char		name[sizeof(request->unknown_permission)];

		dwf_report_show(name, sizeof(name), request->unknown_permission);
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("permission \"%s\" is none that Domo documents", name),
				 errdetail("It is sent all the same.")));
	}
	dwf_call_run(&connection, request, NULL, 1, 1, settle_permissions,
				 &call);
	for (int i = 0; i < JsonContainerSize(entries); i++)
	{
		JsonbValue *entry = getIthJsonbValueFromContainer(entries, i);

		emit_permission(result, entry->val.binary.data);
	}
}

static void
settle_permissions(void *arg, int index, const DwfExchange *exchange,
				   const DwfReply *reply)
{
	PermissionCall *call = arg;
	DwfFailure	failure;

	if (reply->outcome == DWF_DONE)
	{
		log_call(call->request, call->jsonb, exchange, reply,
				 dwf_instance_response(exchange->body, exchange->body_len));
		return;
	}
	dwf_report_describe(call->request, exchange, reply, &failure);
	log_failure(&failure);
	dwf_report_raise(&failure);
}

static void
emit_permission(ReturnSetInfo *result, JsonbContainer *entry)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = text_member(entry, "id", &nulls[0]);
	values[1] = text_member(entry, "type", &nulls[1]);
	values[2] = text_member(entry, "name", &nulls[2]);
	values[3] = text_array_member(entry, "permissions");
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* A string of an object that has been checked; NULL where it has none. */
static Datum
text_member(JsonbContainer *object, const char *key, bool *isnull)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(object, key, strlen(key), &value) == NULL ||
		value.type != jbvString)
	{
		*isnull = true;
		return (Datum) 0;
	}
	return PointerGetDatum(cstring_to_text_with_len(value.val.string.val,
													value.val.string.len));
}

/* An array of strings of an object that has been checked. */
static Datum
text_array_member(JsonbContainer *object, const char *key)
{
	JsonbValue	array;
	ArrayBuildState *state = initArrayResult(TEXTOID, CurrentMemoryContext,
											 false);

	getKeyJsonValueFromContainer(object, key, strlen(key), &array);
	for (int i = 0; i < JsonContainerSize(array.val.binary.data); i++)
	{
		JsonbValue *v = getIthJsonbValueFromContainer(array.val.binary.data, i);

		accumArrayResult(state,
						 PointerGetDatum(cstring_to_text_with_len(v->val.string.val,
																  v->val.string.len)),
						 false, TEXTOID, CurrentMemoryContext);
	}
	return makeArrayResult(state, CurrentMemoryContext);
}

/*
 * domowf_start_all(requests jsonb[], max_parallel int) returns table
 * (ordinality bigint, instance domowf_instance, sqlstate text, error text)
 */
Datum
domowf_start_all(PG_FUNCTION_ARGS)
{
	StartAll	all = {0};
	DwfConnection connection;
	Datum	   *elements;
	bool	   *nulls;
	int			max_parallel;

	PreventCommandIfReadOnly("domowf_start_all()");
	dwf_argument_not_null(fcinfo, 0, "requests");
	dwf_argument_not_null(fcinfo, 1, "max_parallel");
	max_parallel = PG_GETARG_INT32(1);
	if (max_parallel < 1 || max_parallel > DWF_MAX_PARALLEL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid max_parallel: found %d, expected 1 to %d",
						max_parallel, DWF_MAX_PARALLEL)));

	InitMaterializedSRF(fcinfo, 0);
	dwf_connection_open(&connection);
	all.result = (ReturnSetInfo *) fcinfo->resultinfo;
	all.instance_desc =
		lookup_rowtype_tupdesc_copy(TupleDescAttr(all.result->setDesc, 1)->atttypid,
									-1);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), JSONBOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &all.nrows);
	read_starts(&all, elements, nulls);
	emit_rows(&all);
	if (all.count > 0)
		dwf_call_run(&connection, all.requests, all.numbers, all.count,
					 max_parallel, settle_start, &all);
	return (Datum) 0;
}

/* Reads each element; one that is not well formed has its result at once. */
static void
read_starts(StartAll *all, Datum *elements, bool *nulls)
{
	int			size = Max(all->nrows, 1);

	all->rows = palloc0(sizeof(StartRow) * size);
	all->numbers = palloc(sizeof(int) * size);
	all->requests = palloc(sizeof(DwfRequest) * size);
	all->jsonbs = palloc(sizeof(Jsonb *) * size);
	for (int i = 0; i < all->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			fail_row(&all->rows[i], "22004", "a request must not be null");
		else
			read_start(all, i, DatumGetJsonbP(elements[i]));
	}
}

static void
read_start(StartAll *all, int row, Jsonb *jsonb)
{
	DwfRequest *request = &all->requests[all->count];
	int			code = ERRCODE_INVALID_PARAMETER_VALUE;
	DwfFault	fault = {0};
	DwfWorkflow workflow;
	JsonbValue	data;
	char		message[sizeof(fault.message)];

	if (dwf_argument_read(DWF_START, jsonb, request, &fault))
	{
		code = 0;
		if (request->workflow != NULL)
			code = dwf_workflow_resolve(request, GetUserId(), &workflow,
										&fault);
	}
	if (code != 0)
	{
		dwf_report_show(message, sizeof(message), fault.message);
		fail_row(&all->rows[row], pstrdup(unpack_sql_state(code)),
				 pstrdup(message));
		return;
	}
	if (request->workflow != NULL)
	{
		getKeyJsonValueFromContainer(&jsonb->root, "data", 4, &data);
		jsonb = dwf_workflow_request(&workflow, data.val.binary.data);
	}
	all->jsonbs[all->count] = jsonb;
	all->numbers[all->count++] = row + 1;
}

static void
settle_start(void *arg, int index, const DwfExchange *exchange,
			 const DwfReply *reply)
{
	StartAll   *all = arg;
	StartRow   *row = &all->rows[all->numbers[index] - 1];
	NullableDatum response;
	DwfFailure	failure;

	if (reply->outcome == DWF_DONE)
	{
		response = dwf_instance_response(exchange->body, exchange->body_len);
		row->instance = dwf_instance_form(all->instance_desc,
										  &reply->instance, response);
		row->done = true;
		log_call(&all->requests[index], all->jsonbs[index], exchange, reply,
				 response);
	}
	else
	{
		dwf_report_describe(&all->requests[index], exchange, reply, &failure);
		log_failure(&failure);
		fail_row(row, pstrdup(failure.sqlstate),
				 psprintf("%s. %s%s%s", failure.message, failure.detail,
						  failure.hint ? " " : "",
						  failure.hint ? failure.hint : ""));
	}
	emit_rows(all);
}

static void
fail_row(StartRow *row, const char *sqlstate, const char *error)
{
	row->done = true;
	row->sqlstate = sqlstate;
	row->error = error;
}

/* Puts out, in order, every row whose predecessors are out, and frees it. */
static void
emit_rows(StartAll *all)
{
	for (; all->emitted < all->nrows && all->rows[all->emitted].done;
		 all->emitted++)
	{
		StartRow   *row = &all->rows[all->emitted];
		Datum		values[4] = {Int64GetDatum(all->emitted + 1)};
		bool		nulls[4] = {false, true, true, true};

		if (row->instance != NULL)
		{
			values[1] = heap_copy_tuple_as_datum(row->instance,
												 all->instance_desc);
			nulls[1] = false;
			heap_freetuple(row->instance);
		}
		else
		{
			values[2] = CStringGetTextDatum(row->sqlstate);
			values[3] = CStringGetTextDatum(row->error);
			nulls[2] = nulls[3] = false;
		}
		tuplestore_putvalues(all->result->setResult, all->result->setDesc,
							 values, nulls);
		if (row->instance != NULL)
			pfree(DatumGetPointer(values[1]));
	}
}
