/*
 * start_all.c
 *	  domowf_start_all: many starts at once.
 *
 * Each element becomes a row, in order, whatever comes of it.  A long array is
 * not to cost more memory than its results: what it takes to read a request or
 * a reply lives in a scratch context, which is emptied after each; a request
 * that is well formed keeps what it sends in one piece (dwf_argument_keep()),
 * and a row is put out as soon as those before it are.
 */
#include "postgres.h"

#include "base/command.h"
#include "base/domowf.h"
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
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(domowf_start_all);

/* A row of domowf_start_all, from its request to its result. */
typedef struct StartRow
{
	bool		done;
	HeapTuple	instance;
	char		sqlstate[6];
	char	   *error;
} StartRow;

/* Where elements go that name one server, or none. */
typedef struct Way
{
	char	   *server;			/* NULL: the settings' */
	DwfConnection connection;
	int			code;			/* 0, or an SQLSTATE: it cannot be gone */
	char	   *error;
} Way;

typedef struct StartAll
{
	List	   *ways;			/* of Way */
	DwfRequest *requests;		/* those that are well formed ... */
	const DwfConnection **connections;	/* ... where they go ... */
	Jsonb	  **jsonbs;			/* ... as they are logged ... */
	int		   *numbers;		/* ... and their rows, counted from 1 */
	int			count;
	StartRow   *rows;
	int			nrows;
	int			emitted;
	DwfRowType	type;
	ReturnSetInfo *result;
	DwfCallLog	log;
	MemoryContext scratch;		/* emptied after each request and each reply */
} StartAll;

static void find_result(FunctionCallInfo fcinfo, StartAll *all);
static void read_starts(StartAll *all, Datum *elements, bool *nulls);
static void read_start(StartAll *all, int row, Jsonb *jsonb);
static const Way *find_way(StartAll *all, const char *server);
static void open_server(Way *way);
static char *fault_text(const DwfFault *fault);
static void settle_start(void *arg, int index, const DwfExchange *exchange,
						 const DwfReply *reply);
static void fail_row(StartRow *row, const char *sqlstate, const char *error);
static void emit_rows(StartAll *all);

/*
 * domowf_start_all(requests jsonb[], max_parallel int) returns table
 * (ordinality bigint, instance domowf_instance, sqlstate text, error text)
 */
Datum
domowf_start_all(PG_FUNCTION_ARGS)
{
	StartAll	all = {0};
	Datum	   *elements;
	bool	   *nulls;
	int			max_parallel;

	dwf_command_begin("domowf_start_all()");
	dwf_argument_not_null(fcinfo, 0, "requests");
	dwf_argument_not_null(fcinfo, 1, "max_parallel");
	max_parallel = PG_GETARG_INT32(1);
	if (max_parallel < 1 || max_parallel > DWF_MAX_PARALLEL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid max_parallel: found %d, expected 1 to %d",
						max_parallel, DWF_MAX_PARALLEL)));

	InitMaterializedSRF(fcinfo, 0);
	all.result = (ReturnSetInfo *) fcinfo->resultinfo;
	all.scratch = AllocSetContextCreate(CurrentMemoryContext,
										"domowf_start_all scratch",
										ALLOCSET_DEFAULT_SIZES);
	find_result(fcinfo, &all);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), JSONBOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &all.nrows);
	read_starts(&all, elements, nulls);
	if (all.ways == NIL)
		(void) find_way(&all, NULL);
	emit_rows(&all);
	if (all.count > 0)
	{
		dwf_log_open(&all.log, all.count);
		dwf_call_run(all.connections, all.requests, all.numbers, all.count,
					 max_parallel, settle_start, &all);
		dwf_log_close(&all.log);
	}
	return (Datum) 0;
}

/* The rows and the instances in them are what can be formed. */
static void
find_result(FunctionCallInfo fcinfo, StartAll *all)
{
	TupleDesc	desc = all->result->setDesc;
	const Oid	types[] = {INT8OID, InvalidOid, TEXTOID, TEXTOID};
	bool		fits = desc->natts == lengthof(types);

	for (int i = 0; fits && i < lengthof(types); i++)
		fits = types[i] == InvalidOid ?
			type_is_rowtype(TupleDescAttr(desc, i)->atttypid) :
			types[i] == TupleDescAttr(desc, i)->atttypid;
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("domowf_start_all() does not return what the extension has made it return"),
				 errdetail("Nothing was sent."),
				 errhint("Restart the server if the extension was updated.")));
	dwf_rowtype_require_expected(fcinfo, desc);
	dwf_instance_find(&all->type,
					  lookup_rowtype_tupdesc_copy(TupleDescAttr(desc, 1)->atttypid,
												  -1));
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
	all->connections = palloc(sizeof(DwfConnection *) * size);
	for (int i = 0; i < all->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			fail_row(&all->rows[i], "22004", "a request must not be null");
		else
			read_start(all, i, DatumGetJsonbP(elements[i]));
	}
}

/*
 * An element that is not right becomes a row with its error and is sent
 * nothing for.  All that reading takes lies in the scratch context; what is
 * sent, the error, and the ways that are found are kept in the caller's.
 */
static void
read_start(StartAll *all, int row, Jsonb *jsonb)
{
	MemoryContext old = MemoryContextSwitchTo(all->scratch);
	DwfRequest *request = &all->requests[all->count];
	int			code = ERRCODE_INVALID_PARAMETER_VALUE;
	DwfFault	fault = {0};
	const DwfWorkflow *workflow = NULL;
	JsonbContainer *inputs = NULL;
	const Way  *way = NULL;
	const char *error = NULL;

	if (dwf_argument_read(DWF_START, jsonb, request, &fault))
	{
		code = 0;
		if (request->workflow != NULL)
		{
			JsonbValue	data;

			getKeyJsonValueFromContainer(&jsonb->root, "data", 4, &data);
			inputs = data.val.binary.data;
			code = dwf_workflow_resolve(request, inputs, GetUserId(), true,
										&workflow, &fault);
		}
	}
	if (code != 0)
		error = fault_text(&fault);
	MemoryContextSwitchTo(old);
	if (code == 0)
	{
		way = find_way(all, request->server);
		code = way->code;
		error = way->error;
	}
	if (code != 0)
		fail_row(&all->rows[row], unpack_sql_state(code), error);
	else
	{
		if (workflow != NULL)
			jsonb = dwf_workflow_request(workflow, inputs);
		dwf_argument_keep(request);
		all->jsonbs[all->count] = jsonb;
		all->connections[all->count] = &way->connection;
		all->numbers[all->count++] = row + 1;
	}
	MemoryContextReset(all->scratch);
}

/*
 * Where a request goes, looked for once in a statement.  What is wrong with the
 * settings is raised; with a server, it is a matter of the elements that name
 * it.
 */
static const Way *
find_way(StartAll *all, const char *server)
{
	ListCell   *cell;
	Way		   *way;

	foreach(cell, all->ways)
	{
		way = lfirst(cell);
		if (server == NULL || way->server == NULL ? server == way->server :
			strcmp(server, way->server) == 0)
			return way;
	}
	way = palloc0(sizeof(Way));
	if (server == NULL)
		dwf_connection_open(&way->connection);
	else
	{
		way->server = pstrdup(server);
		open_server(way);
	}
	all->ways = lappend(all->ways, way);
	return way;
}

/* Only catalogs and a file are read: nothing that an abort would undo. */
static void
open_server(Way *way)
{
	MemoryContext context = CurrentMemoryContext;
	DwfServer	server;
	DwfFault	fault;

	way->code = dwf_server_find(way->server, GetUserId(), &server, &fault);
	if (way->code != 0)
	{
		way->error = fault_text(&fault);
		return;
	}
	PG_TRY();
	{
		dwf_connection_open_server(&way->connection, &server);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
			PG_RE_THROW();
		FlushErrorState();
		way->code = error->sqlerrcode;
		way->error = error->message;
	}
	PG_END_TRY();
}

static char *
fault_text(const DwfFault *fault)
{
	char		message[sizeof(fault->message)];

	dwf_text_show(message, sizeof(message), fault->message);
	return fault->detail == NULL ? pstrdup(message) :
		psprintf("%s. %s", message, fault->detail);
}

/* What a reply becomes is formed in scratch; its row has a copy. */
static void
settle_start(void *arg, int index, const DwfExchange *exchange,
			 const DwfReply *reply)
{
	StartAll   *all = arg;
	StartRow   *row = &all->rows[all->numbers[index] - 1];
	MemoryContext old = MemoryContextSwitchTo(all->scratch);
	NullableDatum response;
	HeapTuple	instance;
	DwfFailure	failure;
	char	   *error;

	if (reply->outcome == DWF_DONE)
	{
		response = dwf_instance_response(reply->root, exchange->body,
										 exchange->body_len);
		instance = dwf_instance_form(&all->type, &reply->instance,
									 response);
		dwf_log_call(&all->log, index, &all->requests[index], all->jsonbs[index],
					 &reply->instance, exchange->http_status, response);
		MemoryContextSwitchTo(old);
		row->instance = heap_copytuple(instance);
		row->done = true;
	}
	else
	{
		dwf_report_describe(&all->requests[index], exchange, reply, &failure);
		dwf_report_log(&failure);
		error = psprintf("%s. %s%s%s", failure.message, failure.detail,
						 failure.hint ? " " : "",
						 failure.hint ? failure.hint : "");
		MemoryContextSwitchTo(old);
		fail_row(row, failure.sqlstate, error);
	}
	emit_rows(all);
}

/* Copies both texts into the current context. */
static void
fail_row(StartRow *row, const char *sqlstate, const char *error)
{
	row->done = true;
	strlcpy(row->sqlstate, sqlstate, sizeof(row->sqlstate));
	row->error = pstrdup(error);
}

/*
 * Puts out, in order, every row whose predecessors are out, and frees it.
 * Empties the scratch context.
 */
static void
emit_rows(StartAll *all)
{
	MemoryContext old = MemoryContextSwitchTo(all->scratch);

	for (; all->emitted < all->nrows && all->rows[all->emitted].done;
		 all->emitted++)
	{
		StartRow   *row = &all->rows[all->emitted];
		Datum		values[4] = {Int64GetDatum(all->emitted + 1)};
		bool		nulls[4] = {false, true, true, true};

		if (row->instance != NULL)
		{
			values[1] = HeapTupleGetDatum(row->instance);
			nulls[1] = false;
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
			heap_freetuple(row->instance);
		else
			pfree(row->error);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(all->scratch);
}
