/*
 * worker_view.c
 *	  What a worker says of itself, for people to read: the one row, or none,
 *	  of the foreign table domowf.worker_status, and one for each connection of
 *	  domowf.connection_status (connection_view.c).
 *
 * A foreign table, and not a function, because SELECT on a view over a table
 * is all that its reader needs, while a function in a view is called with the
 * reader's own rights: it would have to be granted to PUBLIC, and nothing of
 * domowf is.  The handler has to stay in any case, since a library serves the
 * SQL of 1.0, where domowf.worker is a view over this table.
 *
 * Texts that come from an attempt name what somebody asked for.  They are for
 * those who may see all requests, and for those who watch the server.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/shared.h"
#include "base/sight.h"
#include "base/table.h"
#include "worker/connection_view.h"
#include "worker/stall.h"
#include "worker/worker_view.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(domowf_worker_handler);

/* The columns of domowf.worker_status, in their order. */
typedef enum StatusColumn
{
	STATUS_PID,
	STATUS_STATE,
	STATUS_IN_FLIGHT,
	STATUS_SENT,
	STATUS_FAILED,
	STATUS_STARTED_AT,
	STATUS_PAUSED_UNTIL,
	STATUS_PAUSE_REASON,
	STATUS_LAST_ERROR
} StatusColumn;

#define STATUS_COLUMNS	(STATUS_LAST_ERROR + 1)

/* A scan: what is shown, as it was when it began. */
typedef struct StatusScan
{
	bool		is_of_connections;
	int			count;			/* rows */
	int			next;
	DwfWorkerStatus status;
	DwfConnectionStatus connections[DWF_SHOWN_CONNECTIONS];
} StatusScan;

static void estimate(PlannerInfo *root, RelOptInfo *rel, Oid table);
static void offer_path(PlannerInfo *root, RelOptInfo *rel, Oid table);
static ForeignScan * make_plan(PlannerInfo *root, RelOptInfo *rel, Oid table,
							   ForeignPath * path, List *tlist, List *clauses,
							   Plan *outer_plan);
static void begin(ForeignScanState * scan, int flags);
static TupleTableSlot *next_row(ForeignScanState * scan);
static void rewind_scan(ForeignScanState * scan);
static void end(ForeignScanState * scan);
static bool shows_connections(Oid table);
static void check_columns(TupleDesc desc, const char *table, const Oid *types,
						  int count);
static void fill(TupleTableSlot *slot, const DwfWorkerStatus *status);
static char *find_fault(bool (*is_faulty) (const DwfConnectionStatus *row));
static bool is_of_server(const DwfConnectionStatus *row);
static bool is_of_settings(const DwfConnectionStatus *row);
static bool is_without_polls(const DwfConnectionStatus *row);
static char *describe_fault(const DwfConnectionStatus *row);
static void set_text(TupleTableSlot *slot, int column, const char *text);
static void set_time(TupleTableSlot *slot, int column, TimestampTz time);
static const char *state_name(const DwfWorkerStatus *status);

Datum
domowf_worker_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = estimate;
	routine->GetForeignPaths = offer_path;
	routine->GetForeignPlan = make_plan;
	routine->BeginForeignScan = begin;
	routine->IterateForeignScan = next_row;
	routine->ReScanForeignScan = rewind_scan;
	routine->EndForeignScan = end;
	PG_RETURN_POINTER(routine);
}

static void
estimate(PlannerInfo *root, RelOptInfo *rel, Oid table)
{
	rel->rows = 1;
}

static void
offer_path(PlannerInfo *root, RelOptInfo *rel, Oid table)
{
	add_path(rel, (Path *) dwf_create_foreignscan_path(root, rel));
}

static ForeignScan *
make_plan(PlannerInfo *root, RelOptInfo *rel, Oid table, ForeignPath * path,
		  List *tlist, List *clauses, Plan *outer_plan)
{
	return make_foreignscan(tlist, extract_actual_clauses(clauses, false),
							rel->relid, NIL, NIL, NIL, NIL, outer_plan);
}

static void
begin(ForeignScanState * scan, int flags)
{
	StatusScan *state = palloc0(sizeof(StatusScan));

	state->is_of_connections =
		shows_connections(RelationGetRelid(scan->ss.ss_currentRelation));
	scan->fdw_state = state;
	rewind_scan(scan);
}

/* By the table's option `shows`, which that of 1.0 has not. */
static bool
shows_connections(Oid table)
{
	ListCell   *cell;

	foreach(cell, GetForeignTable(table)->options)
	{
		if (strcmp(((DefElem *) lfirst(cell))->defname, "shows") == 0)
			return strcmp(defGetString(lfirst(cell)), "connections") == 0;
	}
	return false;
}

/* An empty slot behind the last row. */
static TupleTableSlot *
next_row(ForeignScanState * scan)
{
	StatusScan *state = scan->fdw_state;
	TupleTableSlot *slot = scan->ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	if (state->next == state->count)
		return slot;
	if (state->is_of_connections)
	{
		check_columns(slot->tts_tupleDescriptor, "connection_status",
					  dwf_connection_view_types, CONNECTION_COLUMNS);
		dwf_connection_view_fill(slot, &state->connections[state->next],
								 dwf_worker_view_is_open());
	}
	else
		fill(slot, &state->status);
	state->next++;
	ExecStoreVirtualTuple(slot);
	return slot;
}

static void
rewind_scan(ForeignScanState * scan)
{
	StatusScan *state = scan->fdw_state;

	state->next = 0;
	if (state->is_of_connections)
		state->count = dwf_shared_connections(MyDatabaseId,
											  state->connections);
	else
		state->count = dwf_shared_status(MyDatabaseId, &state->status);
}

static void
end(ForeignScanState * scan)
{
}

/* Whoever may use the server can make a foreign table of it, with any columns. */
static void
check_columns(TupleDesc desc, const char *table, const Oid *types, int count)
{
	if (desc->natts != count)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table domowf.%s has %d columns, expected %d",
						table, desc->natts, count)));
	for (int i = 0; i < count; i++)
	{
		if (TupleDescAttr(desc, i)->atttypid != types[i])
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("column \"%s\" has type %s, expected %s",
							NameStr(TupleDescAttr(desc, i)->attname),
							format_type_be(TupleDescAttr(desc, i)->atttypid),
							format_type_be(types[i]))));
	}
}

/*
 * A pid, a time or a text that is none is NULL.  The texts are for those who
 * may see requests.
 */
static void
fill(TupleTableSlot *slot, const DwfWorkerStatus *status)
{
	static const Oid types[STATUS_COLUMNS] = {
		[STATUS_PID] = INT4OID,
		[STATUS_STATE] = TEXTOID,
		[STATUS_IN_FLIGHT] = INT4OID,
		[STATUS_SENT] = INT8OID,
		[STATUS_FAILED] = INT8OID,
		[STATUS_STARTED_AT] = TIMESTAMPTZOID,
		[STATUS_PAUSED_UNTIL] = TIMESTAMPTZOID,
		[STATUS_PAUSE_REASON] = TEXTOID,
		[STATUS_LAST_ERROR] = TEXTOID,
	};

	check_columns(slot->tts_tupleDescriptor, "worker_status", types,
				  STATUS_COLUMNS);
	memset(slot->tts_isnull, false, sizeof(bool) * STATUS_COLUMNS);
	slot->tts_values[STATUS_PID] = Int32GetDatum(status->pid);
	slot->tts_isnull[STATUS_PID] = status->pid == 0;
	set_text(slot, STATUS_STATE, state_name(status));
	slot->tts_values[STATUS_IN_FLIGHT] = Int32GetDatum(status->in_flight);
	slot->tts_values[STATUS_SENT] = Int64GetDatum(status->sent);
	slot->tts_values[STATUS_FAILED] = Int64GetDatum(status->failed);
	set_time(slot, STATUS_STARTED_AT, status->started_at);
	set_time(slot, STATUS_PAUSED_UNTIL, status->paused_until);
	set_text(slot, STATUS_PAUSE_REASON, dwf_worker_view_reason(status));
	set_text(slot, STATUS_LAST_ERROR,
			 dwf_worker_view_is_open() ? status->last_error : "");
}

const char *
dwf_worker_view_reason(const DwfWorkerStatus *status)
{
	return status->is_reason_private && !dwf_worker_view_is_open() ? "" :
		status->pause_reason;
}

char *
dwf_worker_view_server_fault(void)
{
	return find_fault(is_of_server);
}

char *
dwf_worker_view_settings_fault(void)
{
	return find_fault(is_of_settings);
}

char *
dwf_worker_view_polls_fault(void)
{
	return find_fault(is_without_polls);
}

/* The first one of a kind, and how many others there are.  NULL: none. */
static char *
find_fault(bool (*is_faulty) (const DwfConnectionStatus *row))
{
	DwfConnectionStatus *rows = palloc(sizeof(*rows) * DWF_SHOWN_CONNECTIONS);
	int			count = dwf_shared_connections(MyDatabaseId, rows);
	char	   *fault = NULL;
	int			others = 0;

	for (int i = 0; i < count; i++)
	{
		if (!is_faulty(&rows[i]))
			continue;
		if (fault == NULL)
			fault = describe_fault(&rows[i]);
		else
			others++;
	}
	return others == 0 ? fault :
		psprintf("%s (and %d more: see domowf.connection)", fault, others);
}

/* Nothing is sent there of what is to be. */
static bool
is_of_server(const DwfConnectionStatus *row)
{
	return row->server[0] != '\0' && !row->is_unneeded &&
		(row->state == DWF_CONNECTION_WAITS ||
		 row->state == DWF_CONNECTION_PAUSED);
}

/* The same. */
static bool
is_of_settings(const DwfConnectionStatus *row)
{
	return row->server[0] == '\0' && !row->is_unneeded &&
		row->state == DWF_CONNECTION_PAUSED;
}

static bool
is_without_polls(const DwfConnectionStatus *row)
{
	return row->polls_wait;
}

static char *
describe_fault(const DwfConnectionStatus *row)
{
	const char *reason = row->is_reason_private && !dwf_worker_view_is_open() ?
	"" : row->reason;
	const char *where = row->server[0] == '\0' ?
	"the connection of the settings" :
	psprintf("the connection to server \"%s\"", row->server);

	if (row->state == DWF_CONNECTION_WAITS)
		return psprintf("%s of \"%s\" wait: %s", row->is_unneeded ?
						"instances" : "requests", row->role, row->reason);
	return psprintf("%s %s%s%s", where, row->state == DWF_CONNECTION_PAUSED ?
					"is paused" : "polls no instance",
					*reason == '\0' ? "" : ": ", reason);
}

/* An empty text is none. */
static void
set_text(TupleTableSlot *slot, int column, const char *text)
{
	slot->tts_isnull[column] = *text == '\0';
	if (*text != '\0')
		slot->tts_values[column] = CStringGetTextDatum(text);
}

static void
set_time(TupleTableSlot *slot, int column, TimestampTz time)
{
	slot->tts_isnull[column] = time == 0;
	slot->tts_values[column] = TimestampTzGetDatum(time);
}

bool
dwf_worker_view_is_open(void)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) ||
		dwf_sight_of_all(GetUserId());
}

static const char *
state_name(const DwfWorkerStatus *status)
{
	DwfStall	stall;

	if (dwf_stall_find(status, dwf_worker_view_is_open(), &stall))
		return psprintf("stalled: %s: %s", stall.task, stall.reason);
	if (status->pid == 0 && !status->is_dormant)
		return "stopped";
	if (status->paused_until != 0)
		return "paused";
	return status->in_flight > 0 ? "sending" : "idle";
}
