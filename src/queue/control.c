/*
 * control.c
 *	  What a person does with requests: retry, discard, resolve.
 *
 * Each acts only on what its caller may see (domowf.may_see()), and only on a
 * state in which nobody is sending: a row in `sending` belongs to the worker,
 * which has to write down what comes of it, so that nobody else may keep it
 * locked until his transaction ends.  Hence hold_open() before each statement
 * on the queue.
 * Statements run as the extension's owner (dwf_owner_enter()).
 *
 * What resolve records is its caller's word, which takes more than that at times
 * (record.h).
 *
 * A step of test/model/domowf.pml: what changes here has to change there.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/columns.h"
#include "base/command.h"
#include "base/commit.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/owner.h"
#include "base/returning.h"
#include "base/quota.h"
#include "base/sight.h"
#include "call/argument.h"
#include "call/report.h"
#include "queue/archive.h"
#include "queue/counter.h"
#include "queue/lane.h"
#include "queue/notice.h"
#include "queue/order.h"
#include "queue/record.h"
#include "queue/renewal.h"
#include "queue/returns.h"
#include "queue/tracked.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(domowf_retry);
PG_FUNCTION_INFO_V1(domowf_discard);
PG_FUNCTION_INFO_V1(domowf_resolve);
PG_FUNCTION_INFO_V1(domowf_created);

#define MAX_PARAMS	11

/* A statement of change(). */
typedef struct Change
{
	const char *sql;
	int			nparams;
	Datum	   *values;
	const char *nulls;
} Change;

/*
 * What was in doubt begins anew: who sends it again has decided.  One that waits
 * keeps an attempt, by which it is known that it may have been executed
 * (dwf_verdict_refuse()).
 *
 * $1 the id, $2 the caller, as in all statements here; $6 the lane, $7 the
 * request as it is to be sent now, or NULL, $8 to $10 the server, its owner and
 * the role by whose mapping it is sent, or NULL, $11 whether to track, or NULL
 */
static const char retry_queued[] =
"WITH o AS (SELECT id, state, server, attempts AS used FROM domowf.queue WHERE "
DWF_SQL_OPEN "FOR UPDATE) "
"UPDATE domowf.queue q SET state = 'queued', failures = 0, "
"attempts = CASE o.state WHEN 'queued' THEN least(attempts, 1) ELSE 0 END, "
"request = coalesce($7, request), lane = $6, "
"server = $8, server_owner = $9, server_role = $10, track = $11, "
"owner = NULL, run_at = least(run_at, enqueued_at), "
"due = CASE WHEN waiting THEN 'infinity' ELSE now() END, "
"expires_at = CASE WHEN expires_at > now() THEN expires_at END "
"FROM o WHERE q.id = o.id "
"RETURNING CASE o.state WHEN 'in_doubt' THEN 1 ELSE 0 END, q.lane, "
"NULL::text, NULL::text, q.requested_by_oid, "
/* DWF_SQL_COUNTED, of what it was */
"q.operation, q.workflow, o.server, q.requested_by, q.requested_by_oid, "
"o.used - q.attempts, q.enqueued_at, NULL::text, NULL::text, o.server, q.server";

/* what 1.0 settled has no order_space: its workflows shared one */
static const char find_settled[] =
"SELECT order_key, "
"coalesce(order_space, CASE WHEN workflow IS NOT NULL "
"THEN 'scope:domowf 1.0' WHEN operation = 'set_permissions' THEN 'model:' "
"ELSE 'role:' || requested_by_oid END) "
"FROM domowf.log WHERE " DWF_SQL_RETRIABLE;

/*
 * $3 the order_space, $5 whether it stands behind another one of its order
 * key, $6 to $11 as above
 */
static const char retry_settled[] =
"WITH d AS (DELETE FROM domowf.log WHERE " DWF_SQL_RETRIABLE "RETURNING *), "
"k AS (" DWF_SQL_TAKE_KEY("d") "), "
"q AS (" DWF_SQL_TO_QUEUE("coalesce($7, request)", "$5",
						  "CASE WHEN $5 THEN 'infinity' ELSE now() END",
						  "CASE WHEN order_key IS NOT NULL THEN $3 END", "$6",
						  "$8, $9, $10, $11") "RETURNING id, server) "
"SELECT 1, $6, NULL::text, NULL::text, d.requested_by_oid, "
DWF_SQL_COUNTED("d.") ", NULL::text, d.outcome, d.server, q.server FROM d, q";

/* What is done by $3 has no error any more; `errors` keeps it. */
#define WHY_NOT_DONE	"CASE WHEN $3 <> 'done' THEN error END"

/* $3 the outcome, $4 an instance id or NULL, $5 whether to keep the request */
static const char settle_queued[] =
"WITH d AS (DELETE FROM domowf.queue WHERE " DWF_SQL_OPEN "RETURNING *), "
"k AS (" DWF_SQL_GIVE_BACK_KEY "AND $3 <> 'done') "
DWF_SQL_TO_LOG("$3", "$4", "CASE WHEN $5 THEN request END",
			   WHY_NOT_DONE, "clock_timestamp()")
"RETURNING (SELECT CASE state WHEN 'in_doubt' THEN 0 ELSE -1 END FROM d), "
"NULL::bigint, order_space, order_key, requested_by_oid, "
DWF_SQL_COUNTED("") ", $3, NULL::text, server, server";

static const char settle_settled[] =
"WITH o AS (SELECT id AS oid, outcome AS was FROM domowf.log WHERE "
DWF_SQL_SETTLED "AND $5 IS NOT NULL FOR UPDATE), "
"u AS (UPDATE domowf.log SET outcome = $3, "
"instance_id = coalesce($4, instance_id), error = " WHY_NOT_DONE ", "
"settled_at = clock_timestamp() "
"FROM o WHERE id = o.oid RETURNING *), "
"k AS (" DWF_SQL_TAKE_KEY("u") "AND $3 = 'done') "
"SELECT 0, NULL::bigint, NULL::text, NULL::text, "
"requested_by_oid, " DWF_SQL_COUNTED("") ", $3, was, server, server FROM u";

static Oid	param_types[MAX_PARAMS] = {
	INT8OID, OIDOID, TEXTOID, TEXTOID, BOOLOID, INT8OID, JSONBOID, NAMEOID,
	OIDOID, OIDOID, BOOLOID
};

static bool hold_open(int64 id, DwfRecord *record);
static bool is_open(const DwfTable *queue);
static void set_depth(int64 id);
static void set_renewal(DwfRenewal *renewal, Datum *values, char *nulls);
static void read_settled(Datum *values, char *nulls);
static bool stands_behind(const char *space, const char *order_key);
static bool change(const char *sql, int nparams, Datum *values,
				   const char *nulls);
static void count_change(HeapTuple row, TupleDesc desc);
static void count_move(DwfCounter *counter, DwfCount what, char *from, char *to);
static void tell_change(int64 id, HeapTuple row, TupleDesc desc);
static bool settle_by_hand(int64 id, const char *outcome, DwfRecord *record);
static int64 get_id(FunctionCallInfo fcinfo);
static void run_change(void *arg);

/*
 * domowf_retry(request_id bigint) returns boolean
 */
Datum
domowf_retry(PG_FUNCTION_ARGS)
{
	Datum		values[MAX_PARAMS] = {0};
	char		nulls[] = "  nn       ";
	DwfRenewal	renewal;
	bool		done;

	dwf_command_begin("domowf_retry()");
	dwf_returning_check_depth();
	values[0] = Int64GetDatum(get_id(fcinfo));
	values[1] = ObjectIdGetDatum(GetUserId());
	if (!dwf_renewal_take(PG_GETARG_INT64(0), GetUserId(),
						  get_func_namespace(fcinfo->flinfo->fn_oid),
						  &renewal))
		PG_RETURN_BOOL(false);
	set_renewal(&renewal, values, nulls);
	done = hold_open(PG_GETARG_INT64(0), NULL) &&
		change(retry_queued, MAX_PARAMS, values, nulls);
	if (!done)
	{
		read_settled(values, nulls);
		done = change(retry_settled, MAX_PARAMS, values, nulls);
	}
	if (done && dwf_returning_depth() > 0)
		set_depth(PG_GETARG_INT64(0));
	if (done)
		dwf_commit_note_waiting();
	PG_RETURN_BOOL(done);
}

/* One that is sent again because of a return comes of that. */
static void
set_depth(int64 id)
{
	DwfTable	queue;

	CommandCounterIncrement();
	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	if (dwf_table_find(&queue, QUEUE_ID, Int64GetDatum(id)))
	{
		dwf_table_set(&queue, QUEUE_DEPTH, Int32GetDatum(dwf_returning_depth()));
		(void) dwf_table_update(&queue, true);
	}
	dwf_table_close(&queue);
}

/* Sets what a request is to be from now on. */
static void
set_renewal(DwfRenewal *renewal, Datum *values, char *nulls)
{
	bool		has_server = NameStr(renewal->to.server)[0] != '\0';

	values[5] = Int64GetDatum(renewal->lane);
	values[6] = JsonbPGetDatum(renewal->request);
	nulls[6] = renewal->request == NULL ? 'n' : ' ';
	values[7] = NameGetDatum(&renewal->to.server);
	values[8] = ObjectIdGetDatum(renewal->to.owner);
	values[9] = ObjectIdGetDatum(renewal->to.role);
	nulls[7] = nulls[8] = nulls[9] = has_server ? ' ' : 'n';
	values[10] = BoolGetDatum(true);
	nulls[10] = renewal->track ? ' ' : 'n';
}

/*
 * Locks a request in the queue that the caller may act on, and waits for
 * whoever holds it.  False: there is none, or no longer; then none is locked.
 * A statement that waits for a claim locks what the claim has made of the row,
 * before it sees that this is in nobody's hands but the worker's.  An instance
 * that is recorded (NULL: none) is tracked from then on, if that is to be.
 */
static bool
hold_open(int64 id, DwfRecord *record)
{
	DwfTable	queue;
	bool		held = false;

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	while (!held && dwf_table_find(&queue, QUEUE_ID, Int64GetDatum(id)) &&
		   is_open(&queue))
	{
		held = dwf_table_lock(&queue);
		if (!held)
			dwf_table_refresh(&queue);
	}
	if (held)
		dwf_commit_note_held(DatumGetInt64(queue.values[QUEUE_LANE]),
							 DatumGetTimestampTz(queue.values[QUEUE_DUE]));
	if (held && record != NULL)
		dwf_record_follow(record, &queue);
	dwf_table_close(&queue);
	return held;
}

/* DWF_SQL_OPEN of the row at hand. */
static bool
is_open(const DwfTable *queue)
{
	return (dwf_table_is_text(queue, QUEUE_STATE, "queued") ||
			dwf_table_is_text(queue, QUEUE_STATE, "in_doubt")) &&
		(DatumGetObjectId(queue->values[QUEUE_REQUESTED_BY_OID]) == GetUserId() ||
		 dwf_sight_of_all(GetUserId()));
}

/*
 * Sets what retry_settled needs of a settled request, and locks its order key,
 * if it has one.
 */
static void
read_settled(Datum *values, char *nulls)
{
	DwfOwnerScope scope;

	dwf_owner_enter_to_read(&scope);
	SPI_connect();
	if (SPI_execute_with_args(find_settled, 2, param_types, values, NULL, true,
							  1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.log");
	if (SPI_processed > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *order_key = SPI_getvalue(row, desc, 1);
		char	   *space = SPI_getvalue(row, desc, 2);

		values[4] = BoolGetDatum(order_key != NULL &&
								 stands_behind(space, order_key));
		values[2] = SPI_datumTransfer(CStringGetTextDatum(space), false, -1);
		nulls[2] = ' ';
	}
	SPI_finish();
	dwf_owner_leave(&scope);
}

/*
 * Locks an order key and tells whether a request of it is in the queue.
 */
static bool
stands_behind(const char *space, const char *order_key)
{
	DwfTable	queue;
	bool		found;

	dwf_order_lock(space, order_key);
	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	found = dwf_order_is_taken(&queue, space, order_key);
	dwf_table_close(&queue);
	return found;
}

/*
 * domowf_discard(request_id bigint) returns boolean
 */
Datum
domowf_discard(PG_FUNCTION_ARGS)
{
	dwf_command_begin("domowf_discard()");
	PG_RETURN_BOOL(settle_by_hand(get_id(fcinfo), "discarded", NULL));
}

/*
 * domowf_resolve(request_id bigint, instance_id text) returns boolean
 */
Datum
domowf_resolve(PG_FUNCTION_ARGS)
{
	int64		id;
	DwfRecord	record;
	DwfRequest	cancel;
	DwfFault	fault;

	dwf_command_begin("domowf_resolve()");
	dwf_argument_not_null(fcinfo, 1, "instance_id");
	/* what could be cancelled: an id as everywhere */
	if (!dwf_argument_read_cancel(text_to_cstring(PG_GETARG_TEXT_PP(1)),
								  &cancel, &fault))
		dwf_report_fault(&fault);
	id = get_id(fcinfo);
	record = dwf_record_begin(PG_GETARG_DATUM(1),
							  get_func_namespace(fcinfo->flinfo->fn_oid));
	PG_RETURN_BOOL(settle_by_hand(id, "done", &record));
}

/* Of a request that can be changed: statements here know DWF_OLDEST_SQL. */
static int64
get_id(FunctionCallInfo fcinfo)
{
	dwf_argument_not_null(fcinfo, 0, "request_id");
	dwf_extension_require_update();
	return PG_GETARG_INT64(0);
}

/*
 * In the queue or in the log; false: neither has one that may be settled.
 * `record`: what it has started; NULL: nothing.
 */
static bool
settle_by_hand(int64 id, const char *outcome, DwfRecord *record)
{
	Datum		values[MAX_PARAMS] = {Int64GetDatum(id),
		ObjectIdGetDatum(GetUserId()), CStringGetTextDatum(outcome),
		record == NULL ? (Datum) 0 : record->instance_id,
	BoolGetDatum(dwf_log_payload)};
	char		nulls[MAX_PARAMS] = {' ', ' ', ' ', record == NULL ? 'n' : ' ', ' '};
	bool		done = (hold_open(id, record) &&
						change(settle_queued, 5, values, nulls)) ||
	change(settle_settled, 5, values, nulls);

	if (done && record != NULL)
		dwf_record_finish(record, id);
	if (done)
	{
		dwf_return_note(id, outcome);
		dwf_commit_note_settled(id);
		dwf_notice_settled(id, outcome, record == NULL ? NULL :
						   TextDatumGetCString(record->instance_id));
	}
	return done;
}

/*
 * Runs a statement that changes at most one request and returns by how much the
 * queue got longer, the lane in which something is due now, or NULL, and an
 * order key that was held, in two columns, or NULL, and whose request it is.
 * Whether it changed one; 53400 where it may not get longer.
 */
static bool
change(const char *sql, int nparams, Datum *values, const char *nulls)
{
	Change		statement = {sql, nparams, values, nulls};
	DwfOwnerScope scope;
	bool		done;

	dwf_owner_enter(&scope);
	SPI_connect();
	dwf_quota_without(run_change, &statement);
	dwf_owner_stay();
	done = SPI_processed > 0;
	if (done)
		tell_change(DatumGetInt64(values[0]), SPI_tuptable->vals[0],
					SPI_tuptable->tupdesc);
	SPI_finish();
	dwf_owner_leave(&scope);
	return done;
}

static void
run_change(void *arg)
{
	const Change *change = arg;

	if (SPI_execute_with_args(change->sql, change->nparams, param_types,
							  change->values, change->nulls, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", change->sql);
}

/*
 * What the request came to, and what it no longer is, and the server that it
 * went to, and the one that it goes to now: the columns behind those of
 * DWF_SQL_COUNTED, any of them null.  One that is sent again begins anew, also
 * where it was not settled: what it has used is counted now.
 */
static void
count_change(HeapTuple row, TupleDesc desc)
{
	const int	first = 6;
	const int	server = first + DWF_COUNTED_COLUMNS + 2;
	char	   *is = SPI_getvalue(row, desc, first + DWF_COUNTED_COLUMNS);
	char	   *was = SPI_getvalue(row, desc, first + DWF_COUNTED_COLUMNS + 1);
	DwfCounter	counter;
	DwfCount	what;

	dwf_counter_begin(&counter);
	dwf_counter_read_row(row, desc, first, dwf_clock_wall(dwf_clock_now()), &what);
	if (was != NULL)
	{
		DwfCount	reopened = what;

		what.attempts = 0;		/* counted already */
		what.waited = -1;
		reopened.outcome = was;
		reopened.is_reopened = true;
		reopened.attempts = 0;
		reopened.waited = -1;
		dwf_counter_add(&counter, &reopened);
	}
	what.outcome = is;
	if (is == NULL)
		what.waited = -1;
	if (is != NULL || what.attempts > 0)
		dwf_counter_add(&counter, &what);
	count_move(&counter, what, SPI_getvalue(row, desc, server),
			   SPI_getvalue(row, desc, server + 1));
	dwf_counter_end(&counter);
}

/*
 * A request that goes to another server leaves the queue of the one, and is in
 * that of the other, where nobody has enqueued it.
 */
static void
count_move(DwfCounter *counter, DwfCount what, char *from, char *to)
{
	if (strcmp(from == NULL ? "" : from, to == NULL ? "" : to) == 0)
		return;
	what.attempts = 0;
	what.waited = -1;
	what.outcome = "moved";
	what.server = from;
	dwf_counter_add(counter, &what);
	what.server = to;
	what.is_reopened = true;
	dwf_counter_add(counter, &what);
}

/* Lets the next request of an order key go, and tells the worker. */
static void
tell_change(int64 id, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		lane = SPI_getbinval(row, desc, 2, &isnull);
	Datum		key;
	int			more;
	Oid			role;

	if (!isnull)
		dwf_commit_note_due(DatumGetInt64(lane),
							GetCurrentTransactionStartTimestamp());
	count_change(row, desc);
	more = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
	role = DatumGetObjectId(SPI_getbinval(row, desc, 5, &isnull));
	if (more > 0)
		dwf_quota_check(role);
	dwf_commit_note_enqueued(DT_NOEND, more);
	dwf_commit_note_count(role, more);
	key = SPI_getbinval(row, desc, 4, &isnull);
	if (!isnull)
	{
		int64		next;
		ErrorData  *why;

		/* one that is refused is the worker's to look at again */
		(void) dwf_order_let_go_apart(SPI_getbinval(row, desc, 3, &isnull),
									  key, &next, &why);
		dwf_commit_note_left(id);
	}
}

/*
 * domowf.created() returns void: called by the scripts of a version and of an
 * update to it, so that the launcher starts a worker when they commit.
 */
Datum
domowf_created(PG_FUNCTION_ARGS)
{
	dwf_commit_note_created();
	PG_RETURN_VOID();
}
