/*
 * control.c
 *	  What a person does with requests: retry, discard, resolve, pause, resume.
 *
 * Each acts only on what its caller may see (domowf.may_see()), and only on a
 * state in which nobody is sending: a row in `sending` belongs to the worker.
 * Statements run as the extension's owner (dwf_queue_enter()).
 */
#include "postgres.h"

#include "argument.h"
#include "guc.h"
#include "notice.h"
#include "queue.h"
#include "settlement.h"
#include "xact.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(domowf_retry);
PG_FUNCTION_INFO_V1(domowf_discard);
PG_FUNCTION_INFO_V1(domowf_resolve);
PG_FUNCTION_INFO_V1(domowf_pause);
PG_FUNCTION_INFO_V1(domowf_resume);
PG_FUNCTION_INFO_V1(domowf_created);

#define MAX_PARAMS	5

/* $1 the id, $2 the caller, as in all statements here */
static const char retry_queued[] =
"WITH o AS (SELECT id, state FROM domowf.queue WHERE id = $1 "
"AND state IN ('queued', 'in_doubt') "
"AND domowf.may_see($2, requested_by_oid) FOR UPDATE) "
"UPDATE domowf.queue q SET state = 'queued', attempts = 0, failures = 0, "
"owner = NULL, run_at = now(), "
"due = CASE WHEN waiting THEN 'infinity' ELSE now() END, "
"expires_at = CASE WHEN expires_at > now() THEN expires_at END "
"FROM o WHERE q.id = o.id "
"RETURNING NULL::text, CASE o.state WHEN 'in_doubt' THEN 1 ELSE 0 END";

/* what can be retried of the log */
#define RETRIABLE \
	"id = $1 AND origin = 'request' AND outcome IN ('rejected', 'expired') " \
	"AND request IS NOT NULL AND domowf.may_see($2, requested_by_oid)"

static const char find_settled[] =
"SELECT order_key FROM domowf.log WHERE " RETRIABLE;

/* $5 whether it stands behind another one of its order key */
static const char retry_settled[] =
"WITH d AS (DELETE FROM domowf.log WHERE " RETRIABLE " RETURNING *), "
"k AS (INSERT INTO domowf.key SELECT coalesce(workflow, operation), key, "
"id FROM d WHERE key IS NOT NULL) "
"INSERT INTO domowf.queue SELECT id, 'queued', $5, operation, "
"workflow, request, on_doubt, max_attempts, 0, 0, 0, NULL, key, "
"order_key, source, requested_by, requested_by_oid, batch, enqueued_at, "
"now(), CASE WHEN $5 THEN 'infinity' ELSE now() END, NULL, sent_at, "
"http_status, error, errors FROM d RETURNING NULL::text, 1";

/* $3 the outcome, $4 an instance id or NULL, $5 whether to keep the request */
static const char settle_queued[] =
"WITH d AS (DELETE FROM domowf.queue WHERE id = $1 "
"AND state IN ('queued', 'in_doubt') "
"AND domowf.may_see($2, requested_by_oid) RETURNING *), "
"k AS (DELETE FROM domowf.key USING d WHERE $3 <> 'done' "
"AND key.scope = coalesce(d.workflow, d.operation) AND key.key = d.key "
"AND key.request_id = d.id) "
"INSERT INTO domowf.log (id, operation, workflow, outcome, origin, key, "
"order_key, source, attempts, http_status, instance_id, request, error, "
"errors, requested_by, requested_by_oid, enqueued_at, sent_at, "
"settled_at, batch, on_doubt, max_attempts, expires_at) "
"SELECT id, operation, workflow, $3, 'request', key, order_key, source, "
"attempts, http_status, $4, CASE WHEN $5 THEN request END, error, errors, "
"requested_by, requested_by_oid, enqueued_at, sent_at, "
"clock_timestamp(), batch, on_doubt, max_attempts, expires_at FROM d "
"RETURNING order_key, "
"(SELECT CASE state WHEN 'in_doubt' THEN 0 ELSE -1 END FROM d)";

static const char settle_settled[] =
"WITH u AS (UPDATE domowf.log SET outcome = $3, "
"instance_id = coalesce($4, instance_id), settled_at = clock_timestamp() "
"WHERE id = $1 AND origin = 'request' "
"AND outcome IN ('rejected', 'expired') AND $5 IS NOT NULL "
"AND domowf.may_see($2, requested_by_oid) RETURNING *), "
"k AS (INSERT INTO domowf.key SELECT coalesce(workflow, operation), key, "
"id FROM u WHERE key IS NOT NULL AND $3 = 'done') "
"SELECT NULL::text, 0 FROM u";

static Oid	param_types[MAX_PARAMS] = {INT8OID, OIDOID, TEXTOID, TEXTOID, BOOLOID};

static bool stands_behind(Datum *values);
static bool change(const char *sql, int nparams, Datum *values,
				   const char *nulls);
static bool settle_by_hand(int64 id, const char *outcome, Datum instance_id,
						   bool no_instance);
static int64 get_id(FunctionCallInfo fcinfo);
static void set_paused(bool paused, Datum reason, bool no_reason);

/*
 * domowf_retry(request_id bigint) returns boolean
 */
Datum
domowf_retry(PG_FUNCTION_ARGS)
{
	Datum		values[MAX_PARAMS] = {0};
	bool		done;

	PreventCommandIfReadOnly("domowf_retry()");
	values[0] = Int64GetDatum(get_id(fcinfo));
	values[1] = ObjectIdGetDatum(GetUserId());
	done = change(retry_queued, 2, values, NULL);
	if (!done)
	{
		values[4] = BoolGetDatum(stands_behind(values));
		done = change(retry_settled, MAX_PARAMS, values, "  nn ");
	}
	if (done)
	{
		dwf_xact_note_enqueued(GetCurrentTransactionStartTimestamp(), 0);
		dwf_xact_note_waiting();
	}
	PG_RETURN_BOOL(done);
}

/*
 * Locks the order key of a settled request, if there is one, and tells whether
 * another one of it is in the queue.
 */
static bool
stands_behind(Datum *values)
{
	DwfQueueScope scope;
	bool		behind = false;

	dwf_queue_enter(&scope);
	SPI_connect();
	if (SPI_execute_with_args(find_settled, 2, param_types, values, NULL, true,
							  1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.log");
	if (SPI_processed > 0)
	{
		char	   *order_key = SPI_getvalue(SPI_tuptable->vals[0],
											 SPI_tuptable->tupdesc, 1);

		if (order_key != NULL)
		{
			dwf_queue_lock_order_key(order_key);
			behind = dwf_queue_must_wait(order_key);
		}
	}
	SPI_finish();
	dwf_queue_leave(&scope);
	return behind;
}

/*
 * domowf_discard(request_id bigint) returns boolean
 */
Datum
domowf_discard(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("domowf_discard()");
	PG_RETURN_BOOL(settle_by_hand(get_id(fcinfo), "discarded", (Datum) 0,
								  true));
}

/*
 * domowf_resolve(request_id bigint, instance_id text) returns boolean
 */
Datum
domowf_resolve(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("domowf_resolve()");
	dwf_argument_not_null(fcinfo, 1, "instance_id");
	PG_RETURN_BOOL(settle_by_hand(get_id(fcinfo), "done", PG_GETARG_DATUM(1),
								  false));
}

static int64
get_id(FunctionCallInfo fcinfo)
{
	dwf_argument_not_null(fcinfo, 0, "request_id");
	return PG_GETARG_INT64(0);
}

static bool
settle_by_hand(int64 id, const char *outcome, Datum instance_id,
			   bool no_instance)
{
	Datum		values[MAX_PARAMS] = {Int64GetDatum(id),
		ObjectIdGetDatum(GetUserId()), CStringGetTextDatum(outcome),
	instance_id, BoolGetDatum(dwf_log_payload)};
	char		nulls[MAX_PARAMS] = {' ', ' ', ' ', no_instance ? 'n' : ' ', ' '};
	bool		done = change(settle_queued, MAX_PARAMS, values, nulls) ||
	change(settle_settled, MAX_PARAMS, values, nulls);

	if (done)
	{
		dwf_xact_note_settled();
		dwf_notice_settled(id, outcome, no_instance ? NULL :
						   TextDatumGetCString(instance_id));
	}
	return done;
}

/*
 * Runs a statement that changes at most one request and returns an order_key
 * that it held, or NULL, and by how much the queue got longer.  Whether it
 * changed one.
 */
static bool
change(const char *sql, int nparams, Datum *values, const char *nulls)
{
	DwfQueueScope scope;
	bool		done;

	dwf_queue_enter(&scope);
	SPI_connect();
	if (SPI_execute_with_args(sql, nparams, param_types, values, nulls, false,
							  0) < 0)
		elog(ERROR, "could not execute \"%s\"", sql);
	dwf_queue_stay();
	done = SPI_processed > 0;
	if (done)
	{
		bool		isnull;
		Datum		order_key;
		int			more = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0],
													   SPI_tuptable->tupdesc,
													   2, &isnull));

		dwf_xact_note_enqueued(DT_NOEND, more);
		order_key = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
								  1, &isnull);
		if (!isnull)
		{
			dwf_settlement_release_next(order_key);
			dwf_xact_note_waiting();
		}
	}
	SPI_finish();
	dwf_queue_leave(&scope);
	return done;
}

/*
 * domowf_pause(reason text) returns void
 */
Datum
domowf_pause(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("domowf_pause()");
	set_paused(true, PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0),
			   PG_ARGISNULL(0));
	PG_RETURN_VOID();
}

/*
 * domowf_resume() returns void.  It also makes this database the queue's own,
 * where it is a copy of another one.
 */
Datum
domowf_resume(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("domowf_resume()");
	set_paused(false, (Datum) 0, true);
	PG_RETURN_VOID();
}

static void
set_paused(bool paused, Datum reason, bool no_reason)
{
	Oid			types[] = {BOOLOID, TEXTOID, OIDOID};
	Datum		values[] = {BoolGetDatum(paused), reason,
	ObjectIdGetDatum(MyDatabaseId)};
	char		nulls[] = {' ', no_reason ? 'n' : ' ', ' '};
	DwfQueueScope scope;

	dwf_queue_enter(&scope);
	SPI_connect();
	if (SPI_execute_with_args("UPDATE domowf.state SET paused = $1, "
							  "pause_reason = $2, "
							  "paused_at = CASE WHEN $1 THEN now() END, "
							  "database = CASE WHEN $1 THEN database "
							  "ELSE $3 END", 3, types, values, nulls, false,
							  0) < 0)
		elog(ERROR, "could not update domowf.state");
	SPI_finish();
	dwf_queue_leave(&scope);
	dwf_xact_note_enqueued(DT_NOBEGIN, 0);
}

/*
 * domowf.created() returns void: called by the installation script, so that
 * the launcher starts a worker when CREATE EXTENSION commits.
 */
Datum
domowf_created(PG_FUNCTION_ARGS)
{
	dwf_xact_note_created();
	PG_RETURN_VOID();
}
