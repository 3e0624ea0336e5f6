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
#include "instance.h"
#include "report.h"

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
PG_FUNCTION_INFO_V1(domowf_start_all);
PG_FUNCTION_INFO_V1(domowf_cancel_jsonb);
PG_FUNCTION_INFO_V1(domowf_cancel_text);
PG_FUNCTION_INFO_V1(domowf_set_permissions_jsonb);
PG_FUNCTION_INFO_V1(domowf_set_permissions_text);

/* One call whose result is an instance. */
typedef struct InstanceCall
{
	const DwfRequest *request;
	TupleDesc	desc;
	HeapTuple	tuple;
} InstanceCall;

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
	int		   *ordinals;		/* ... and their rows */
	int			count;
	StartRow   *rows;
	int			nrows;
	int			emitted;
	TupleDesc	instance_desc;
	ReturnSetInfo *result;
} StartAll;

static void check_not_null(FunctionCallInfo fcinfo, int arg,
						   const char *name);
static Datum call_for_instance(FunctionCallInfo fcinfo,
							   const DwfRequest *request);
static TupleDesc instance_desc(FunctionCallInfo fcinfo);
static void settle_instance(void *arg, int index, const DwfExchange *exchange,
							const DwfReply *reply);
static void call_for_permissions(FunctionCallInfo fcinfo,
								 const DwfRequest *request,
								 JsonbContainer *entries);
static void settle_permissions(void *arg, int index,
							   const DwfExchange *exchange,
							   const DwfReply *reply);
static void emit_permission(ReturnSetInfo *result, JsonbContainer *entry);
static Datum text_member(JsonbContainer *object, const char *key,
						 bool *isnull);
static Datum text_array_member(JsonbContainer *object, const char *key);
static void read_starts(StartAll *all, Datum *elements, bool *nulls);
static void settle_start(void *arg, int index, const DwfExchange *exchange,
						 const DwfReply *reply);
static void fail_row(StartRow *row, const char *sqlstate,
					 const char *error);
static void emit_rows(StartAll *all);

/* The functions are not STRICT, so that a NULL is said and not swallowed. */
static void
check_not_null(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
}

/*
 * domowf_start(request jsonb) returns domowf_instance
 */
Datum
domowf_start_jsonb(PG_FUNCTION_ARGS)
{
	DwfRequest	request;
	DwfFault	fault;

	PreventCommandIfReadOnly("domowf_start()");
	check_not_null(fcinfo, 0, "request");
	if (!dwf_argument_read(DWF_START, PG_GETARG_JSONB_P(0), &request, &fault))
		dwf_report_fault(&fault);
	return call_for_instance(fcinfo, &request);
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
	check_not_null(fcinfo, 0, "request");
	if (!dwf_argument_read(DWF_CANCEL, PG_GETARG_JSONB_P(0), &request, &fault))
		dwf_report_fault(&fault);
	return call_for_instance(fcinfo, &request);
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
	check_not_null(fcinfo, 0, "instance_id");
	if (!dwf_argument_read_cancel(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								  &request, &fault))
		dwf_report_fault(&fault);
	return call_for_instance(fcinfo, &request);
}

static Datum
call_for_instance(FunctionCallInfo fcinfo, const DwfRequest *request)
{
	DwfConnection connection;
	InstanceCall call = {request};

	dwf_connection_open(&connection);
	call.desc = instance_desc(fcinfo);
	dwf_call_run(&connection, request, 1, 1, settle_instance, &call);
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
	DwfFailure	failure;

	if (reply->outcome == DWF_DONE)
	{
		call->tuple = dwf_instance_form(call->desc, &reply->instance,
										exchange->body, exchange->body_len);
		return;
	}
	dwf_report_describe(call->request, exchange, reply, &failure);
	dwf_report_raise(&failure);
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
	check_not_null(fcinfo, 0, "request");
	jsonb = PG_GETARG_JSONB_P(0);
	if (!dwf_argument_read(DWF_SET_PERMISSIONS, jsonb, &request, &fault))
		dwf_report_fault(&fault);
	getKeyJsonValueFromContainer(&jsonb->root, "permissions",
								 strlen("permissions"), &entries);
	call_for_permissions(fcinfo, &request, entries.val.binary.data);
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
	check_not_null(fcinfo, 0, "model_id");
	check_not_null(fcinfo, 1, "permissions");
	permissions = PG_GETARG_JSONB_P(1);
	if (!dwf_argument_read_permissions(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									   permissions, &request, &fault))
		dwf_report_fault(&fault);
	call_for_permissions(fcinfo, &request, &permissions->root);
	return (Datum) 0;
}

/*
 * Makes the call and returns the entries of the request: Domo documents no
 * body for its reply (API.md), and a 2xx accepts them.
 */
static void
call_for_permissions(FunctionCallInfo fcinfo, const DwfRequest *request,
					 JsonbContainer *entries)
{
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
	dwf_call_run(&connection, request, 1, 1, settle_permissions,
				 (void *) request);
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
	DwfFailure	failure;

	if (reply->outcome == DWF_DONE)
		return;
	dwf_report_describe(arg, exchange, reply, &failure);
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
	check_not_null(fcinfo, 0, "requests");
	check_not_null(fcinfo, 1, "max_parallel");
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
		dwf_call_run(&connection, all.requests, all.count, max_parallel,
					 settle_start, &all);
	return (Datum) 0;
}

/* Reads each element; one that is not well formed has its result at once. */
static void
read_starts(StartAll *all, Datum *elements, bool *nulls)
{
	DwfFault	fault;
	char		message[sizeof(fault.message)];

	all->rows = palloc0(sizeof(StartRow) * Max(all->nrows, 1));
	all->ordinals = palloc(sizeof(int) * Max(all->nrows, 1));
	all->requests = palloc(sizeof(DwfRequest) * Max(all->nrows, 1));
	for (int i = 0; i < all->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			fail_row(&all->rows[i], "22004", "a request must not be null");
		else if (dwf_argument_read(DWF_START, DatumGetJsonbP(elements[i]),
								   &all->requests[all->count], &fault))
			all->ordinals[all->count++] = i;
		else
		{
			dwf_report_show(message, sizeof(message), fault.message);
			fail_row(&all->rows[i], "22023", pstrdup(message));
		}
	}
}

static void
settle_start(void *arg, int index, const DwfExchange *exchange,
			 const DwfReply *reply)
{
	StartAll   *all = arg;
	StartRow   *row = &all->rows[all->ordinals[index]];
	DwfFailure	failure;

	if (reply->outcome == DWF_DONE)
	{
		row->instance = dwf_instance_form(all->instance_desc,
										  &reply->instance, exchange->body,
										  exchange->body_len);
		row->done = true;
	}
	else
	{
		dwf_report_describe(&all->requests[index], exchange, reply, &failure);
		fail_row(row, pstrdup(failure.sqlstate),
				 psprintf("%s. %s", failure.message, failure.detail));
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
