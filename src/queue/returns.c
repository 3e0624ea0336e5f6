/*
 * returns.c
 *	  Outcomes that are still to be written back into rows, or told to functions.
 *
 * A row of domowf.return_entry is made in the transaction that makes the
 * outcome, so that none is lost, and removed in the one that writes it back
 * (worker/returns.c), so that it is done once.  It has all that is to be
 * written, as it was then.
 *
 * Its target is the table (by its oid) or the function (by its signature); its
 * owner is looked up each time, by whoever needs it.  Those of one request and
 * one target go in their order: while one is tried again, later ones wait.
 *
 * Waits go by the wall clock, since they are kept over restarts: one that was
 * set back is seen by what was tried, or noted, later than now.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/columns.h"
#include "base/command.h"
#include "base/commit.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/ids.h"
#include "base/owner.h"
#include "base/statement.h"
#include "call/argument.h"
#include "queue/returns.h"
#include "queue/return_sql.h"
#include "registry/workflow.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(domowf_retry_return);

/* The fields by which a column names what it gets, but for `response`. */
#define FIELDS \
	"'request_id', o.id, 'state', o.state, 'id', o.instance_id, " \
	"'status', o.instance_status, 'error', o.error, " \
	"'model_version', o.model_version, 'created_on', o.created_on, " \
	"'settled_at', o.settled_at, 'finished_at', o.finished_at"

/*
 * $1 the request, $2 its state, $3 whether that is what has changed, $4 and $5
 * ids for what is written back and for what is called
 */
static DwfStatement note = {
	"WITH o AS (SELECT id, workflow, state, NULL::text AS instance_id, "
	"NULL::text AS instance_status, error, NULL::text AS model_version, "
	"NULL::timestamptz AS created_on, NULL::timestamptz AS settled_at, "
	"NULL::timestamptz AS finished_at, NULL::jsonb AS response, returns_to, "
	"depth, requested_by, requested_by_oid "
	"FROM domowf.queue WHERE id = $1 AND state = $2 "
	"UNION ALL SELECT id, workflow, outcome, instance_id, instance_status, "
	"error, model_version, created_on, settled_at, instance_finished_at, "
	"response, returns_to, depth, requested_by, requested_by_oid "
	"FROM domowf.log WHERE id = $1 AND outcome = $2 AND origin = 'request'), "
	"t AS (SELECT 'table:' || (returns_to->>'relation') AS target, returns_to, "
	"jsonb_build_object(" FIELDS ", 'response', "
	"CASE WHEN returns_to->'fields' ? 'response' THEN o.response END) AS outcome "
	"FROM o WHERE returns_to IS NOT NULL "
	"UNION ALL SELECT 'function:' || w.on_settled, NULL, "
	"(SELECT to_jsonb(r) FROM domowf.request r "
	"WHERE r.id = $1 AND r.state = $2 LIMIT 1) "
	"FROM o JOIN domowf.workflow w ON w.name = o.workflow "
	"WHERE w.on_settled IS NOT NULL AND $3) "
	"INSERT INTO domowf.return_entry (id, request_id, target, state, "
	"returns_to, outcome, depth, requested_by, requested_by_oid, since, due, "
	"tries) "
	"SELECT CASE WHEN t.returns_to IS NOT NULL THEN $4 ELSE $5 END, $1, t.target, $2, t.returns_to, "
	"t.outcome, o.depth, o.requested_by, o.requested_by_oid, "
	"clock_timestamp(), coalesce((SELECT max(b.due) "
	"FROM domowf.return_entry b WHERE b.request_id = $1 "
	DWF_RETURN_ONLY("b.target = t.target AND b.due < 'infinity'") "), "
	"clock_timestamp()), 0 "
	"FROM o, t",
	{INT8OID, TEXTOID, BOOLOID, INT8OID, INT8OID},
	.one_plan = true
};

static DwfStatement find_targets = {
	DWF_RETURN_TARGETS "SELECT target, due, owner FROM s WHERE due < 'infinity'",
	{InvalidOid},
	.one_plan = true
};

/* what was given up before is not to come behind it */
static DwfStatement remove_done = {
	"WITH d AS (DELETE FROM domowf.return_entry WHERE id = $1 "
	"RETURNING request_id, target), "
	"o AS (DELETE FROM domowf.return_entry e "
	"WHERE e.request_id = (SELECT request_id FROM d) "
	DWF_RETURN_ONLY("e.target = (SELECT target FROM d) AND e.id < $1") "), "
	"u AS (UPDATE domowf.return_entry e SET due = clock_timestamp() "
	"WHERE e.request_id = (SELECT request_id FROM d) "
	DWF_RETURN_ONLY("e.target = (SELECT target FROM d) AND e.id > $1")
	DWF_RETURN_ONLY("e.tries = 0 AND e.due > clock_timestamp()")
	") SELECT FROM d",
	{INT8OID},
	.one_plan = true
};

/* what ended neither the process nor the server waits no longer than others */
static DwfStatement fail = {
	"WITH f AS (UPDATE domowf.return_entry SET error = $2, due = least(due, "
	"tried_at + " DWF_RETURN_WAIT("1", "tries - 1") ") WHERE id = $1 "
	"RETURNING request_id, target, due) "
	"UPDATE domowf.return_entry e SET due = (SELECT due FROM f) "
	"WHERE e.request_id = (SELECT request_id FROM f) "
	DWF_RETURN_ONLY("e.target = (SELECT target FROM f) AND e.id > $1")
	DWF_RETURN_ONLY("e.due < (SELECT due FROM f)"),
	{INT8OID, TEXTOID},
	.one_plan = true
};

/* $1 the request, $2 the caller */
static DwfStatement retry = {
	"UPDATE domowf.return_entry SET due = clock_timestamp(), "
	"since = clock_timestamp() WHERE request_id = $1 "
	"AND domowf.may_see($2, requested_by_oid)",
	{INT8OID, OIDOID},
	.one_plan = true
};

#define FAILED	"FILTER (WHERE " DWF_RETURN_HAS_FAILED ")"

/* $1 after how long one that nobody tries is late, milliseconds */
static DwfStatement count_all = {
	"SELECT count(*), count(*) " FAILED ", "
	"coalesce((array_agg(error ORDER BY tried_at DESC) " FAILED ")[1], ''), "
	"count(*) FILTER (WHERE NOT " DWF_RETURN_HAS_FAILED " AND due < clock_timestamp() "
	"- make_interval(secs => $1 / 1000.0)) FROM domowf.return_entry",
	{INT4OID}
};

/* What `note` puts into `outcome`. */
static const struct
{
	const char *name;
	Oid			type;
}			fields[] =

{
	{
		"request_id", INT8OID
	},
	{
		"state", TEXTOID
	},
	{
		"id", TEXTOID
	},
	{
		"status", TEXTOID
	},
	{
		"error", TEXTOID
	},
	{
		"model_version", TEXTOID
	},
	{
		"created_on", TIMESTAMPTZOID
	},
	{
		"settled_at", TIMESTAMPTZOID
	},
	{
		"finished_at", TIMESTAMPTZOID
	},
	{
		"response", JSONBOID
	},
};

static void note_outcome(int64 id, const char *state, bool is_changed);
static int	add_owner(Oid *owners, int count, int limit, Oid owner);

Oid
dwf_return_field_type(const char *field)
{
	for (int i = 0; i < lengthof(fields); i++)
	{
		if (strcmp(fields[i].name, field) == 0)
			return fields[i].type;
	}
	return InvalidOid;
}

char *
dwf_return_list_fields(void)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(fields); i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : ", ", fields[i].name);
	return list.data;
}

bool
dwf_return_is_asked(const DwfTable *queue)
{
	return dwf_return_is_wanted(!queue->nulls[QUEUE_RETURNS_TO],
								queue->nulls[QUEUE_WORKFLOW] ? NULL :
								TextDatumGetCString(queue->values[QUEUE_WORKFLOW]));
}

bool
dwf_return_is_wanted(bool has_row, const char *name)
{
	const DwfWorkflow *workflow;

	if (has_row || name == NULL)
		return has_row;
	workflow = dwf_workflow_find(name);
	return workflow != NULL && workflow->on_settled != NULL;
}

void
dwf_return_note(int64 id, const char *state)
{
	note_outcome(id, state, true);
}

/* A function is told of a request's states, and no more. */
void
dwf_return_note_end(int64 id)
{
	note_outcome(id, "done", false);
}

/*
 * By ids that are in the order of the outcomes.  Where there is nobody to tell,
 * they are taken for nothing.
 */
static void
note_outcome(int64 id, const char *state, bool is_changed)
{
	Datum		values[] = {Int64GetDatum(id), CStringGetTextDatum(state),
	BoolGetDatum(is_changed), 0, 0};
	int64		ids[2];
	DwfOwnerScope scope;

	dwf_owner_enter_to_write(&scope, DWF_RETURN_TABLE);
	SPI_connect();
	dwf_ids_next_returns(ids);
	values[3] = Int64GetDatum(ids[0]);
	values[4] = Int64GetDatum(ids[1]);
	dwf_statement_run(&note, values);
	if (SPI_processed > 0)
		dwf_commit_note_return();
	SPI_finish();
	dwf_owner_leave(&scope);
}

void
dwf_return_remove(const DwfReturn *entry)
{
	Datum		values[] = {Int64GetDatum(entry->id)};
	DwfOwnerScope scope;

	dwf_owner_enter_to_write(&scope, DWF_RETURN_TABLE);
	SPI_connect();
	if (dwf_table_oid(DWF_RETURN_TABLE) == entry->table)
		dwf_statement_run(&remove_done, values);
	else
		SPI_processed = 0;
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("what was to be written back has been removed meanwhile")));
	SPI_finish();
	dwf_owner_leave(&scope);
}

void
dwf_return_fail(const DwfReturn *entry, const char *why)
{
	Datum		values[] = {Int64GetDatum(entry->id), CStringGetTextDatum(why)};
	DwfOwnerScope scope;

	dwf_owner_enter_to_write(&scope, DWF_RETURN_TABLE);
	SPI_connect();
	if (dwf_table_oid(DWF_RETURN_TABLE) == entry->table)
		dwf_statement_run(&fail, values);
	SPI_finish();
	dwf_owner_leave(&scope);
}

int
dwf_return_find_owners(Oid *owners, int limit, TimestampTz *next)
{
	TimestampTz now = dwf_clock_wall(dwf_clock_now());
	DwfOwnerScope scope;
	SPITupleTable *targets;
	uint64		rows;
	int			count = 0;

	*next = DT_NOEND;
	dwf_owner_enter_to_read(&scope);
	SPI_connect();
	dwf_statement_run(&find_targets, NULL);
	targets = SPI_tuptable;
	rows = SPI_processed;
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		TimestampTz due = DatumGetTimestampTz(SPI_getbinval(targets->vals[i],
															targets->tupdesc,
															2, &isnull));
		Datum		owner = SPI_getbinval(targets->vals[i], targets->tupdesc,
										  3, &isnull);

		if (due > now)
			*next = Min(*next, due);
		else if (isnull)
			dwf_return_see_to_orphans(SPI_getvalue(targets->vals[i],
												   targets->tupdesc, 1));
		else
			count = add_owner(owners, count, limit, DatumGetObjectId(owner));
	}
	SPI_finish();
	dwf_owner_leave(&scope);
	return count;
}

/* Each once. */
static int
add_owner(Oid *owners, int count, int limit, Oid owner)
{
	for (int i = 0; i < count; i++)
	{
		if (owners[i] == owner)
			return count;
	}
	if (count < limit)
		owners[count++] = owner;
	return count;
}

void
dwf_return_count(DwfReturnCounts *counts)
{
	Datum		late = Int32GetDatum(dwf_stall_after);
	MemoryContext context = CurrentMemoryContext;
	DwfOwnerScope scope;
	bool		isnull;

	dwf_owner_enter_to_read(&scope);
	SPI_connect();
	dwf_statement_run(&count_all, &late);
	counts->waiting = DatumGetInt64(dwf_statement_column(0, 1, &isnull));
	counts->failed = DatumGetInt64(dwf_statement_column(0, 2, &isnull));
	counts->error = MemoryContextStrdup(context,
										TextDatumGetCString(dwf_statement_column(0, 3, &isnull)));
	counts->late = DatumGetInt64(dwf_statement_column(0, 4, &isnull));
	SPI_finish();
	dwf_owner_leave(&scope);
}

/*
 * domowf_retry_return(request_id bigint) returns boolean
 */
Datum
domowf_retry_return(PG_FUNCTION_ARGS)
{
	Datum		values[2];
	DwfOwnerScope scope;
	bool		done;

	dwf_command_begin("domowf_retry_return()");
	dwf_argument_not_null(fcinfo, 0, "request_id");
	dwf_extension_require_update();
	values[0] = PG_GETARG_DATUM(0);
	values[1] = ObjectIdGetDatum(GetUserId());
	dwf_owner_enter_to_write(&scope, DWF_RETURN_TABLE);
	SPI_connect();
	dwf_statement_run(&retry, values);
	done = SPI_processed > 0;
	if (done)
		dwf_commit_note_return();
	SPI_finish();
	dwf_owner_leave(&scope);
	PG_RETURN_BOOL(done);
}
