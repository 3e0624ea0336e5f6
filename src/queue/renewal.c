/*
 * renewal.c
 *	  What domowf_retry() takes anew: rights, and what the registry says.
 *
 * Rights are checked when a request is enqueued, and what it needs of the
 * registry is copied; the worker sends it as often as it has to.  A person who
 * has it sent again asks for it anew.  So it goes by what would apply if it
 * were enqueued now, for the role that asked for it: a person who is allowed to
 * see it lends it no rights of his own, and a role that may no longer start a
 * workflow does not start it by way of what it once asked for.
 *
 * A trigger's request goes by the rights of the owner of its table, which is known
 * by its oid: who owns one that is called so by now may be anybody.  Where the
 * table is gone, or was never known (a request of 1.0), it goes by the rights of
 * who changed the row.
 *
 * EXECUTE on the functions that enqueue is asked for only of who has his own
 * request sent again: a person may send what others asked for who are gone, or
 * whose functions were taken from them, since it is his decision.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/owner.h"
#include "base/sight.h"
#include "call/report.h"
#include "queue/archive.h"
#include "queue/renewal.h"
#include "queue/source.h"
#include "registry/server.h"
#include "registry/workflow.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/syscache.h"

/* A request as it stands. */
typedef struct Asked
{
	int64		id;
	char	   *operation;
	char	   *workflow;		/* NULL: names none */
	char	   *server;			/* NULL: where the settings point */
	Oid			requested_by;
	Jsonb	   *request;
	char	   *source;			/* NULL: no trigger asked for it */
	Oid			role;			/* by whose rights it goes */
	bool		by_table;		/* its table's owner's */
	bool		track;			/* a registered workflow's */
} Asked;

/* Columns of find_asked. */
enum
{
	COLUMN_OPERATION = 1,
	COLUMN_WORKFLOW,
	COLUMN_REQUEST,
	COLUMN_SOURCE,
	COLUMN_SOURCE_OID,
	COLUMN_REQUESTED_BY,
	COLUMN_SERVER
};

#define ASKED \
	"SELECT operation, workflow, request, source, source_oid, " \
	"requested_by_oid, server "

static const char find_asked[] =
ASKED "FROM domowf.queue WHERE " DWF_SQL_OPEN
"UNION ALL " ASKED "FROM domowf.log WHERE " DWF_SQL_RETRIABLE;

static bool read_asked(Asked *asked, Oid caller);
static void fill_asked(Asked *asked, HeapTuple row, TupleDesc desc);
static void check_functions(const Asked *asked, Oid schema);
static bool may_execute(const char *function, Oid schema, Oid role);
static Jsonb *resolve(Asked *asked);
static void find_destination(const Asked *asked, DwfDestination *to);
static void refuse(const Asked *asked, const char *what)
			pg_attribute_noreturn();

bool
dwf_renewal_take(int64 id, Oid caller, Oid schema, DwfRenewal *renewal)
{
	Asked		asked = {.id = id};

	if (!read_asked(&asked, caller))
		return false;

	/* who sends what others asked for need not be able to ask for it */
	if (asked.source == NULL && asked.role == caller)
		check_functions(&asked, schema);
	renewal->request = asked.workflow == NULL ? NULL : resolve(&asked);
	find_destination(&asked, &renewal->to);
	renewal->lane = dwf_lane_id(asked.requested_by, asked.operation,
								asked.workflow, &renewal->to);
	renewal->track = asked.track;
	return true;
}

/*
 * With the owner's rights, but only rows that `caller` may see; false where
 * there is none.  What was read lies in the caller's context.
 */
static bool
read_asked(Asked *asked, Oid caller)
{
	Oid			types[] = {INT8OID, OIDOID};
	Datum		values[] = {Int64GetDatum(asked->id), ObjectIdGetDatum(caller)};
	MemoryContext context = CurrentMemoryContext;
	MemoryContext spi;
	DwfOwnerScope scope;
	bool		found;

	dwf_owner_enter_to_read(&scope);
	SPI_connect();
	if (SPI_execute_with_args(find_asked, lengthof(types), types, values, NULL,
							  true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.queue");
	dwf_owner_stay();
	found = SPI_processed > 0;
	if (found)
	{
		spi = MemoryContextSwitchTo(context);
		fill_asked(asked, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	dwf_owner_leave(&scope);
	return found;
}

/* Copies a row of find_asked into the current memory context. */
static void
fill_asked(Asked *asked, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		value;
	Oid			owner;

	value = SPI_getbinval(row, desc, COLUMN_OPERATION, &isnull);
	asked->operation = TextDatumGetCString(value);
	value = SPI_getbinval(row, desc, COLUMN_SERVER, &isnull);
	asked->server = isnull ? NULL : pstrdup(NameStr(*DatumGetName(value)));
	value = SPI_getbinval(row, desc, COLUMN_WORKFLOW, &isnull);
	asked->workflow = isnull ? NULL : TextDatumGetCString(value);
	value = SPI_getbinval(row, desc, COLUMN_REQUEST, &isnull);
	asked->request = DatumGetJsonbPCopy(value);
	value = SPI_getbinval(row, desc, COLUMN_REQUESTED_BY, &isnull);
	asked->role = asked->requested_by = DatumGetObjectId(value);
	value = SPI_getbinval(row, desc, COLUMN_SOURCE, &isnull);
	if (isnull)
		return;
	asked->source = TextDatumGetCString(value);
	value = SPI_getbinval(row, desc, COLUMN_SOURCE_OID, &isnull);
	owner = isnull ? InvalidOid : dwf_source_owner(DatumGetObjectId(value));
	asked->by_table = OidIsValid(owner);
	if (asked->by_table)
		asked->role = owner;
}

/* Whether the role may still execute what it must have called. */
static void
check_functions(const Asked *asked, Oid schema)
{
	if (may_execute("domowf_enqueue_call", schema, asked->role) ||
		(asked->workflow != NULL &&
		 may_execute("domowf_enqueue", schema, asked->role)))
		return;
	refuse(asked, asked->workflow != NULL ?
		   "execute domowf_enqueue()" : "execute domowf_enqueue_call()");
}

/*
 * Of any of that name in the schema, since which of its forms was used is not
 * kept.
 */
static bool
may_execute(const char *function, Oid schema, Oid role)
{
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP,
										   CStringGetDatum(function));
	bool		may = false;

	for (int i = 0; i < list->n_members && !may; i++)
	{
		HeapTuple	tuple = &list->members[i]->tuple;
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

		may = form->pronamespace == schema && dwf_may_execute(form->oid, role);
	}
	ReleaseSysCacheList(list);
	return may;
}

/* The request, and its server, as a registered workflow has them now. */
static Jsonb *
resolve(Asked *asked)
{
	DwfRequest	request = {.operation = DWF_START};
	const DwfWorkflow *workflow;
	DwfFault	fault = {0};
	JsonbValue	data;
	int			code;

	if (getKeyJsonValueFromContainer(&asked->request->root, "data", 4,
									 &data) == NULL ||
		data.type != jbvBinary)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("request " INT64_FORMAT " has no data", asked->id)));
	request.workflow = pg_server_to_any(asked->workflow,
										strlen(asked->workflow), PG_UTF8);
	/* a trigger's data is of the row, which who changed it need not see */
	code = dwf_workflow_resolve(&request, data.val.binary.data, asked->role,
								asked->source == NULL ||
								dwf_sight_of_all(GetUserId()), &workflow,
								&fault);
	if (code == ERRCODE_INSUFFICIENT_PRIVILEGE)
		refuse(asked, psprintf("start workflow \"%s\"", asked->workflow));
	if (code != 0)
		dwf_report_fault_as(code, &fault);
	asked->server = workflow->server == NULL ? NULL :
		pg_any_to_server(workflow->server, strlen(workflow->server), PG_UTF8);
	asked->track = workflow->track;
	return dwf_workflow_request(workflow, data.val.binary.data);
}

/* The server as it is now, for the role by whose rights the request goes. */
static void
find_destination(const Asked *asked, DwfDestination *to)
{
	DwfServer	server;
	DwfFault	fault;
	int			code;

	memset(to, 0, sizeof(*to));
	if (asked->server == NULL)
		return;
	code = dwf_server_find(pg_server_to_any(asked->server,
											strlen(asked->server), PG_UTF8),
						   asked->role, &server, &fault);
	if (code == ERRCODE_INSUFFICIENT_PRIVILEGE)
		refuse(asked, psprintf("use server \"%s\"", asked->server));
	if (code != 0)
		dwf_report_fault_as(code, &fault);
	namestrcpy(&to->server, server.name);
	to->owner = server.owner;
	to->role = asked->role;
}

/*
 * Says whose right it is that lacks, since the person who reads it may hold it
 * himself.  Raises 42501.
 */
static void
refuse(const Asked *asked, const char *what)
{
	const char *role = GetUserNameFromId(asked->role, true);

	if (role == NULL)
		role = "a role that is gone";
	else
		role = psprintf("\"%s\"", role);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to send request " INT64_FORMAT " again",
					asked->id),
			 asked->by_table ?
			 errdetail("A trigger may start what the owner of its table may; %s, the owner of %s, may no longer %s.",
					   role, asked->source, what) :
			 errdetail("It goes by the rights of who asked for it; %s may no longer %s.",
					   role, what),
			 errhint("Give it that right again, or give the request up with domowf_discard().")));
}
