/*
 * calls.c
 *	  domowf_start, domowf_cancel and domowf_set_permissions: arguments, what
 *	  may be called when, and results.
 *
 * Each one reads its arguments into a request, runs it (call.c) and turns what
 * came of it into rows (instance.c) or an error (report.c).  No HTTP here and
 * no judgement of outcomes.
 */
#include "postgres.h"

#include "base/client.h"
#include "base/command.h"
#include "base/domowf.h"
#include "base/guc.h"
#include "base/rowtype.h"
#include "base/text.h"
#include "call/argument.h"
#include "call/call.h"
#include "call/connection.h"
#include "call/instance.h"
#include "call/log.h"
#include "call/report.h"
#include "registry/workflow.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(domowf_start_jsonb);
PG_FUNCTION_INFO_V1(domowf_start_workflow);
PG_FUNCTION_INFO_V1(domowf_cancel_jsonb);
PG_FUNCTION_INFO_V1(domowf_cancel_text);
PG_FUNCTION_INFO_V1(domowf_instance);
PG_FUNCTION_INFO_V1(domowf_set_permissions_jsonb);
PG_FUNCTION_INFO_V1(domowf_set_permissions_text);

/* One call whose result is an instance. */
typedef struct InstanceCall
{
	const DwfRequest *request;
	Jsonb	   *jsonb;			/* as it is logged */
	const DwfRowType *type;
	HeapTuple	tuple;
	DwfCallLog	log;
} InstanceCall;

/* An instance call's row type, as it is known from one use of a function to the next. */
typedef struct KnownResult
{
	uint64		identifier;		/* changes with the type */
	DwfRowType	type;
} KnownResult;

/* The columns of domowf_permission. */
static const DwfColumn permission_columns[] = {
	{"id", TEXTOID},
	{"type", TEXTOID},
	{"name", TEXTOID},
	{"permissions", TEXTARRAYOID},
};

StaticAssertDecl(lengthof(permission_columns) <= DWF_MAX_ROWTYPE,
				 "a row type has room for them");

/* One permission change. */
typedef struct PermissionCall
{
	const DwfRequest *request;
	Jsonb	   *jsonb;
	DwfCallLog	log;
} PermissionCall;

static Datum call_for_instance(FunctionCallInfo fcinfo,
							   const DwfRequest *request, Jsonb *jsonb);
static bool changes_domo(const DwfRequest *request);
static const DwfConnection *open_connection(const DwfRequest *request);
static void resolve_workflow(DwfRequest *request, Jsonb **jsonb,
							 JsonbContainer *data);
static const DwfRowType *find_result(FunctionCallInfo fcinfo);
static void settle_instance(void *arg, int index, const DwfExchange *exchange,
							const DwfReply *reply);
static void call_for_permissions(FunctionCallInfo fcinfo,
								 const DwfRequest *request, Jsonb *jsonb,
								 JsonbContainer *entries);
static void put_permissions(FunctionCallInfo fcinfo, JsonbContainer *entries);
static void settle_permissions(void *arg, int index,
							   const DwfExchange *exchange,
							   const DwfReply *reply);
static void emit_permission(ReturnSetInfo *result, const DwfRowType *type,
							JsonbContainer *entry);
static Datum text_member(JsonbContainer *object, const char *key,
						 bool *isnull);
static Datum text_array_member(JsonbContainer *object, const char *key);

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

	dwf_command_begin("domowf_start()");
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

	dwf_command_begin("domowf_start()");
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
	const DwfWorkflow *workflow;
	DwfFault	fault = {0};
	int			code = dwf_workflow_resolve(request, data, GetUserId(), true,
											&workflow, &fault);

	if (code != 0)
		dwf_report_fault_as(code, &fault);
	*jsonb = dwf_workflow_request(workflow, data);
}

/*
 * domowf_cancel(request jsonb) returns domowf_instance
 */
Datum
domowf_cancel_jsonb(PG_FUNCTION_ARGS)
{
	DwfRequest	request;
	DwfFault	fault;

	dwf_command_begin("domowf_cancel()");
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

	dwf_command_begin("domowf_cancel()");
	dwf_argument_not_null(fcinfo, 0, "instance_id");
	if (!dwf_argument_read_cancel(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								  &request, &fault))
		dwf_report_fault(&fault);
	return call_for_instance(fcinfo, &request,
							 dwf_argument_cancel(request.id));
}

/*
 * domowf_instance(instance_id text, server name) returns domowf_instance
 *
 * It changes nothing, here or in Domo: so it is not logged, and a transaction
 * that only reads may use it.
 */
Datum
domowf_instance(PG_FUNCTION_ARGS)
{
	DwfRequest	request;
	DwfFault	fault;

	PreventCommandIfParallelMode("domowf_instance()");
	dwf_argument_not_null(fcinfo, 0, "instance_id");
	if (!dwf_argument_read_id(DWF_READ_INSTANCE,
							  text_to_cstring(PG_GETARG_TEXT_PP(0)),
							  PG_ARGISNULL(1) ? NULL :
							  NameStr(*PG_GETARG_NAME(1)), &request, &fault))
		dwf_report_fault(&fault);
	if (!dwf_track_instances)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("instances are not read: domowf.track_instances is off"),
				 errhint("Set domowf.track_instances to on in the server's configuration. It reads instances by a call that Domo does not document.")));
	return call_for_instance(fcinfo, &request, NULL);
}

/* One that changes nothing is not logged. */
static Datum
call_for_instance(FunctionCallInfo fcinfo, const DwfRequest *request,
				  Jsonb *jsonb)
{
	InstanceCall call = {request, jsonb};
	const DwfConnection *connection = open_connection(request);

	call.type = find_result(fcinfo);
	if (changes_domo(request))
		dwf_log_open(&call.log, 1);
	dwf_call_run(&connection, request, NULL, 1, 1, settle_instance, &call);
	dwf_log_close(&call.log);
	return HeapTupleGetDatum(call.tuple);
}

static bool
changes_domo(const DwfRequest *request)
{
	return dwf_operation(request->operation)->done != NULL;
}

/* That of the request's server, or of the settings. */
static const DwfConnection *
open_connection(const DwfRequest *request)
{
	DwfConnection *connection = palloc(sizeof(DwfConnection));
	DwfServer	server;
	DwfFault	fault;
	int			code;

	if (request->server == NULL)
	{
		dwf_connection_open(connection);
		return connection;
	}
	code = dwf_server_find(request->server, GetUserId(), &server, &fault);
	if (code != 0)
		dwf_report_fault_as(code, &fault);
	dwf_connection_open_server(connection, &server);
	return connection;
}

/* The result's row type, looked at again where it was changed. */
static const DwfRowType *
find_result(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	KnownResult *known = flinfo->fn_extra;
	TupleDesc	desc;

	if (known == NULL ||
		assign_record_type_identifier(known->type.desc->tdtypeid,
									  known->type.desc->tdtypmod) !=
		known->identifier)
	{
		MemoryContext old = MemoryContextSwitchTo(flinfo->fn_mcxt);

		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		known = palloc(sizeof(KnownResult));
		desc = BlessTupleDesc(CreateTupleDescCopy(desc));
		dwf_instance_find(&known->type, desc);
		known->identifier = assign_record_type_identifier(desc->tdtypeid,
														  desc->tdtypmod);
		flinfo->fn_extra = known;
		MemoryContextSwitchTo(old);
	}
	dwf_rowtype_require_expected(fcinfo, known->type.desc);
	return &known->type;
}

/*
 * Raises what has failed, once the server's log has it: the caller may catch
 * it.
 */
static void
settle_instance(void *arg, int index, const DwfExchange *exchange,
				const DwfReply *reply)
{
	InstanceCall *call = arg;
	NullableDatum response;
	DwfFailure	failure;

	if (reply->outcome == DWF_DONE)
	{
		response = dwf_instance_response(reply->root, exchange->body,
										 exchange->body_len);
		call->tuple = dwf_instance_form(call->type, &reply->instance,
										response);
		dwf_log_call(&call->log, 0, call->request, call->jsonb, &reply->instance,
					 exchange->http_status, response);
		return;
	}
	dwf_report_describe(call->request, exchange, reply, &failure);
	if (changes_domo(call->request))
		dwf_report_log(&failure);
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

	dwf_command_begin("domowf_set_permissions()");
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

	dwf_command_begin("domowf_set_permissions()");
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
 * Returns the entries of the request and makes the call: Domo documents no
 * body for its reply (src/domo/README.md), and a 2xx accepts them.
 */
static void
call_for_permissions(FunctionCallInfo fcinfo, const DwfRequest *request,
					 Jsonb *jsonb, JsonbContainer *entries)
{
	PermissionCall call = {request, jsonb};
	const DwfConnection *connection;

	put_permissions(fcinfo, entries);
	connection = open_connection(request);
	if (*request->unknown_permission != '\0')
	{
		char		name[sizeof(request->unknown_permission)];

		dwf_text_show(name, sizeof(name), request->unknown_permission);
		dwf_client_tell(WARNING, ERRCODE_WARNING,
						psprintf("permission \"%s\" is none that Domo documents",
								 name),
						"It is sent all the same.", NULL);
	}
	dwf_log_open(&call.log, 1);
	dwf_call_run(&connection, request, NULL, 1, 1, settle_permissions,
				 &call);
	dwf_log_close(&call.log);
}

/* The rows, before the call: what may fail here has then sent nothing. */
static void
put_permissions(FunctionCallInfo fcinfo, JsonbContainer *entries)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DwfRowType	type;

	InitMaterializedSRF(fcinfo, 0);
	dwf_rowtype_find(&type, result->setDesc, "type domowf_permission",
					 permission_columns, lengthof(permission_columns));
	dwf_rowtype_require_expected(fcinfo, result->setDesc);
	for (int i = 0; i < JsonContainerSize(entries); i++)
	{
		JsonbValue *entry = getIthJsonbValueFromContainer(entries, i);

		emit_permission(result, &type, entry->val.binary.data);
	}
}

/*
 * As settle_instance(), but that the entries come back from what was asked: no
 * body of Domo's reply is documented.
 */
static void
settle_permissions(void *arg, int index, const DwfExchange *exchange,
				   const DwfReply *reply)
{
	PermissionCall *call = arg;
	DwfFailure	failure;

	if (reply->outcome == DWF_DONE)
	{
		dwf_log_call(&call->log, 0, call->request, call->jsonb, &reply->instance,
					 exchange->http_status,
					 dwf_instance_response(reply->root, exchange->body,
										   exchange->body_len));
		return;
	}
	dwf_report_describe(call->request, exchange, reply, &failure);
	dwf_report_log(&failure);
	dwf_report_raise(&failure);
}

static void
emit_permission(ReturnSetInfo *result, const DwfRowType *type,
				JsonbContainer *entry)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = text_member(entry, "id", &nulls[0]);
	values[1] = text_member(entry, "type", &nulls[1]);
	values[2] = text_member(entry, "name", &nulls[2]);
	values[3] = text_array_member(entry, "permissions");
	tuplestore_puttuple(result->setResult,
						dwf_rowtype_form(type, values, nulls));
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
