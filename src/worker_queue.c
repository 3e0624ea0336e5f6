/*
 * worker_queue.c
 *	  The queue as the worker uses it.
 *
 * A claim is committed before its first byte is sent, and a settlement applies
 * only while the row is what was claimed: same claim number, same owner, a
 * random number of the worker's own.  So a late reply never settles a row of a
 * request that somebody has sent again, or of a queue made anew.
 *
 * Rows that others have locked are skipped, never waited for.
 *
 * Statements are written for the search_path that the worker sets: pg_catalog
 * only.  They are prepared once in a process and kept.
 */
#include "postgres.h"

#include "guc.h"
#include "instance.h"
#include "notice.h"
#include "report.h"
#include "worker_queue.h"
#include "xact.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define MAX_PARAMS	25

/* A statement and its parameters' types, ended by InvalidOid. */
typedef struct Statement
{
	const char *sql;
	Oid			types[MAX_PARAMS];
	SPIPlanPtr	plan;
} Statement;

/* The errors of the attempts so far and this one, the last 100 of them. */
#define KEEP_ERRORS(param) \
	"CASE WHEN " param " IS NULL THEN errors " \
	"WHEN pg_catalog.jsonb_array_length(errors) >= 100 " \
	"THEN (errors - 0) || " param " " \
	"ELSE coalesce(errors, '[]') || " param " END"

/* The request of an order key that is not waiting, or else the next one. */
#define FIRST_OF(order_key) \
	"(SELECT id FROM domowf.queue WHERE order_key = " order_key " " \
	"ORDER BY waiting, id LIMIT 1)"

static Statement find_due = {
	"SELECT due, id FROM domowf.queue "
	"WHERE (due, id) > ($1, $2) AND due <= $3 AND state = 'queued' "
	"ORDER BY due, id LIMIT $4",
	{TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT4OID}
};

static Statement next_due = {
	"SELECT due FROM domowf.queue WHERE (due, id) > ($1, $2) "
	"AND due < 'infinity' AND state = 'queued' ORDER BY due, id LIMIT 1",
	{TIMESTAMPTZOID, INT8OID}
};

static Statement claim = {
	"WITH c AS (SELECT id FROM domowf.queue WHERE id = ANY ($1) "
	"AND state = 'queued' AND due <= $2 "
	"AND (expires_at IS NULL OR expires_at > $2) FOR UPDATE SKIP LOCKED) "
	"UPDATE domowf.queue q SET state = 'sending', claim = q.claim + 1, "
	"owner = $3, sent_at = $2 FROM c WHERE q.id = c.id "
	"RETURNING q.id, q.claim, q.operation, q.request, q.on_doubt = 'retry', "
	"q.attempts, q.max_attempts, q.failures, "
	"EXISTS (SELECT FROM pg_authid a WHERE a.oid = q.requested_by_oid)",
	{INT8ARRAYOID, TIMESTAMPTZOID, INT8OID}
};

/* log's columns between key and batch come from the parameters */
static Statement settle = {
	"WITH d AS (DELETE FROM domowf.queue WHERE id = $1 AND claim = $2 "
	"AND state = 'sending' AND owner = $3 RETURNING *) "
	"INSERT INTO domowf.log SELECT id, operation, workflow, $4, 'request', "
	"key, order_key, source, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, "
	"$15, $16, $17, $18, $19, CASE WHEN $20 THEN request END, $21, $22, "
	KEEP_ERRORS("$23") ", requested_by, requested_by_oid, enqueued_at, sent_at, "
	"$24, batch, on_doubt, max_attempts, expires_at FROM d "
	"RETURNING key, order_key, workflow",
	{INT8OID, INT4OID, INT8OID, TEXTOID, INT4OID, INT4OID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID,
		TEXTOID, TIMESTAMPTZOID, TEXTOID, BOOLOID, BOOLOID, JSONBOID, TEXTOID,
	JSONBOID, TIMESTAMPTZOID}
};

static Statement requeue = {
	"UPDATE domowf.queue SET state = $4, owner = NULL, attempts = $5, "
	"failures = $6, run_at = coalesce($7, run_at), "
	"due = coalesce($7, 'infinity'), "
	"http_status = $8, error = $9, errors = " KEEP_ERRORS("$10") " "
	"WHERE id = $1 AND claim = $2 AND state = 'sending' AND owner = $3",
	{INT8OID, INT4OID, INT8OID, TEXTOID, INT4OID, INT4OID, TIMESTAMPTZOID,
	INT4OID, TEXTOID, JSONBOID}
};

static Statement give_back_key = {
	"DELETE FROM domowf.key WHERE scope = $1 AND key = $2 "
	"AND request_id = $3",
	{TEXTOID, TEXTOID, INT8OID}
};

static Statement release_next = {
	"WITH n AS (SELECT id FROM domowf.queue WHERE waiting AND id = "
	FIRST_OF("$1") " FOR UPDATE SKIP LOCKED) "
	"UPDATE domowf.queue q SET waiting = false, due = q.run_at FROM n "
	"WHERE q.id = n.id RETURNING q.run_at",
	{TEXTOID}
};

/* walks from key to key along queue_order, not from row to row */
static Statement release_waiting = {
	"WITH RECURSIVE k AS ((SELECT min(order_key) AS k FROM domowf.queue) "
	"UNION ALL SELECT (SELECT min(order_key) FROM domowf.queue "
	"WHERE order_key > k.k) FROM k WHERE k.k IS NOT NULL), "
	"n AS (SELECT id FROM domowf.queue WHERE waiting AND id IN "
	"(SELECT " FIRST_OF("k.k") " FROM k) "
	"FOR UPDATE SKIP LOCKED) "
	"UPDATE domowf.queue q SET waiting = false, due = q.run_at FROM n "
	"WHERE q.id = n.id RETURNING q.run_at",
	{InvalidOid}
};

static Statement expire = {
	"WITH e AS (SELECT id FROM domowf.queue WHERE expires_at <= $1 "
	"AND state = 'queued' ORDER BY expires_at LIMIT $2 "
	"FOR UPDATE SKIP LOCKED), "
	"d AS (DELETE FROM domowf.queue USING e WHERE queue.id = e.id "
	"RETURNING queue.*), "
	"k AS (DELETE FROM domowf.key USING d WHERE "
	"key.scope = coalesce(d.workflow, d.operation) AND key.key = d.key "
	"AND key.request_id = d.id) "
	"INSERT INTO domowf.log (id, operation, workflow, outcome, origin, key, "
	"order_key, source, attempts, http_status, request, error, errors, "
	"requested_by, requested_by_oid, enqueued_at, sent_at, settled_at, "
	"batch, on_doubt, max_attempts, expires_at) "
	"SELECT id, operation, workflow, 'expired', 'request', key, order_key, "
	"source, attempts, http_status, CASE WHEN $3 THEN request END, "
	"coalesce(error, 'it was not sent before it expired'), errors, "
	"requested_by, requested_by_oid, enqueued_at, sent_at, $1, batch, "
	"on_doubt, max_attempts, expires_at FROM d RETURNING id",
	{TIMESTAMPTZOID, INT4OID, BOOLOID}
};

static Statement recover = {
	"WITH s AS (SELECT id FROM domowf.queue WHERE state = 'sending' "
	"AND owner IS DISTINCT FROM $4 FOR UPDATE SKIP LOCKED) "
	"UPDATE domowf.queue q SET owner = NULL, attempts = attempts + 1, "
	"failures = failures + 1, error = $2, errors = " KEEP_ERRORS("$3") ", "
	"state = CASE WHEN attempts + 1 < max_attempts AND "
	"(operation <> 'start' OR on_doubt = 'retry') "
	"THEN 'queued' ELSE 'in_doubt' END, "
	"due = CASE WHEN attempts + 1 < max_attempts AND "
	"(operation <> 'start' OR on_doubt = 'retry') "
	"THEN $1 ELSE 'infinity' END "
	"FROM s WHERE q.id = s.id RETURNING state",
	{TIMESTAMPTZOID, TEXTOID, JSONBOID, INT8OID}
};

static Statement has_orphans = {
	"SELECT FROM domowf.queue WHERE state = 'sending' "
	"AND owner IS DISTINCT FROM $1",
	{INT8OID}
};

static Statement remove_old = {
	"WITH o AS (SELECT id FROM domowf.log WHERE settled_at < $1 LIMIT $2 "
	"FOR UPDATE SKIP LOCKED), "
	"d AS (DELETE FROM domowf.log USING o WHERE log.id = o.id "
	"RETURNING log.*) "
	"DELETE FROM domowf.key USING d WHERE "
	"key.scope = coalesce(d.workflow, d.operation) AND key.key = d.key "
	"AND key.request_id = d.id",
	{TIMESTAMPTZOID, INT4OID}
};

static void run(Statement *statement, Datum *values, const char *nulls,
				int limit);
static Datum column(uint64 row, int number, bool *isnull);
static void set_text(Datum *values, char *nulls, int at, const char *text);
static void set_utf8(Datum *values, char *nulls, int at, const char *text);
static void set_time(Datum *values, char *nulls, int at, bool present,
					 int64 unix_usec);
static void tell_settled(const DwfResult *result);
static bool settle_final(const DwfResult *result, int64 owner,
						 TimestampTz now);
static void after_settled(const DwfResult *result);
static bool settle_open(const DwfResult *result, int64 owner);

/* Runs a statement, prepared at its first use; the result is SPI's. */
static void
run(Statement *statement, Datum *values, const char *nulls, int limit)
{
	int			count = 0;

	while (OidIsValid(statement->types[count]))
		count++;
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->sql, count,
									   statement->types);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\"", statement->sql);
		SPI_keepplan(plan);
		statement->plan = plan;
	}
	if (SPI_execute_plan(statement->plan, values, nulls, false, limit) < 0)
		elog(ERROR, "could not execute \"%s\"", statement->sql);
}

/* A column of the last result, counted from 1. */
static Datum
column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 number, isnull);
}

int
dwf_queue_find_due(DwfCursor *cursor, TimestampTz now, int limit, int64 *ids)
{
	Datum		values[] = {TimestampTzGetDatum(cursor->due),
		Int64GetDatum(cursor->id), TimestampTzGetDatum(now),
	Int32GetDatum(limit)};
	bool		isnull;

	run(&find_due, values, NULL, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		cursor->due = DatumGetTimestampTz(column(i, 1, &isnull));
		ids[i] = cursor->id = DatumGetInt64(column(i, 2, &isnull));
	}
	return (int) SPI_processed;
}

TimestampTz
dwf_queue_next_due(const DwfCursor *cursor)
{
	Datum		values[] = {TimestampTzGetDatum(cursor->due),
	Int64GetDatum(cursor->id)};
	bool		isnull;

	run(&next_due, values, NULL, 1);
	return SPI_processed == 0 ? DT_NOEND :
		DatumGetTimestampTz(column(0, 1, &isnull));
}

int
dwf_queue_claim(const int64 *ids, int count, int64 owner, TimestampTz now,
				DwfClaim **claims)
{
	Datum	   *elements = palloc(sizeof(Datum) * count);
	Datum		values[3];
	bool		isnull;

	for (int i = 0; i < count; i++)
		elements[i] = Int64GetDatum(ids[i]);
	values[0] = PointerGetDatum(construct_array(elements, count, INT8OID,
												sizeof(int64), FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	values[1] = TimestampTzGetDatum(now);
	values[2] = Int64GetDatum(owner);
	run(&claim, values, NULL, 0);

	*claims = SPI_palloc(sizeof(DwfClaim) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		DwfClaim   *c = &(*claims)[i];
		Jsonb	   *request;
		char	   *operation;

		c->id = DatumGetInt64(column(i, 1, &isnull));
		c->claim = DatumGetInt32(column(i, 2, &isnull));
		operation = TextDatumGetCString(column(i, 3, &isnull));
		c->operation = strcmp(operation, "start") == 0 ? DWF_START :
			strcmp(operation, "cancel") == 0 ? DWF_CANCEL :
			DWF_SET_PERMISSIONS;
		request = DatumGetJsonbP(column(i, 4, &isnull));
		c->request = SPI_palloc(VARSIZE(request));
		memcpy(c->request, request, VARSIZE(request));
		c->retry_on_doubt = DatumGetBool(column(i, 5, &isnull));
		c->attempts = DatumGetInt32(column(i, 6, &isnull));
		c->max_attempts = DatumGetInt32(column(i, 7, &isnull));
		c->failures = DatumGetInt32(column(i, 8, &isnull));
		c->role_exists = DatumGetBool(column(i, 9, &isnull));
	}
	return (int) SPI_processed;
}

bool
dwf_queue_settle(const DwfResult *result, int64 owner, TimestampTz now)
{
	bool		written = false;

	switch (result->verdict)
	{
		case DWF_SETTLE_DONE:
		case DWF_SETTLE_REJECTED:
			written = settle_final(result, owner, now);
			break;
		case DWF_REQUEUE:
		case DWF_HOLD:
			written = settle_open(result, owner);
			break;
	}
	if (written && result->verdict != DWF_REQUEUE)
		tell_settled(result);
	return written;
}

/* NOTIFY, with an id that the database can hold. */
static void
tell_settled(const DwfResult *result)
{
	char		id[DWF_MAX_ID];
	bool		has_id = result->instance != NULL &&
	result->instance->id != NULL;

	if (has_id)
		dwf_report_show(id, sizeof(id), result->instance->id);
	dwf_notice_settled(result->id, dwf_queue_verdict_name(result->verdict),
					   has_id ? id : NULL);
}

const char *
dwf_queue_verdict_name(DwfVerdict verdict)
{
	switch (verdict)
	{
		case DWF_SETTLE_DONE:
			return "done";
		case DWF_SETTLE_REJECTED:
			return "rejected";
		case DWF_REQUEUE:
			return "queued";
		case DWF_HOLD:
			return "in_doubt";
	}
	return "unknown";
}

static void
set_text(Datum *values, char *nulls, int at, const char *text)
{
	nulls[at] = text == NULL ? 'n' : ' ';
	values[at] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* A text of Domo's; what the database cannot hold stays NULL. */
static void
set_utf8(Datum *values, char *nulls, int at, const char *text)
{
	nulls[at] = text != NULL &&
		dwf_instance_to_database(text, strlen(text), false, &values[at]) ?
		' ' : 'n';
}

static void
set_time(Datum *values, char *nulls, int at, bool present, int64 unix_usec)
{
	nulls[at] = present ? ' ' : 'n';
	values[at] = TimestampTzGetDatum(dwf_instance_time(unix_usec));
}

/* Moves a request to the log. */
static bool
settle_final(const DwfResult *result, int64 owner, TimestampTz now)
{
	static const DwfInstance none = {0};
	const DwfInstance *instance = result->instance ? result->instance : &none;
	Datum		values[24] = {0};
	char		nulls[24];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(result->id);
	values[1] = Int32GetDatum(result->claim);
	values[2] = Int64GetDatum(owner);
	values[3] = CStringGetTextDatum(dwf_queue_verdict_name(result->verdict));
	values[4] = Int32GetDatum(result->attempts);
	values[5] = Int32GetDatum(result->http_status);
	nulls[5] = result->http_status == 0 ? 'n' : ' ';
	set_utf8(values, nulls, 6, instance->id);
	set_utf8(values, nulls, 7, instance->model_id);
	set_utf8(values, nulls, 8, instance->model_name);
	set_utf8(values, nulls, 9, instance->model_version);
	set_utf8(values, nulls, 10, instance->deployment_id);
	set_utf8(values, nulls, 11, instance->bpmn_process_id);
	set_utf8(values, nulls, 12, instance->bpmn_process_name);
	set_utf8(values, nulls, 13, instance->created_by);
	set_time(values, nulls, 14, instance->has_created_on,
			 instance->created_on);
	set_utf8(values, nulls, 15, instance->updated_by);
	set_time(values, nulls, 16, instance->has_updated_on,
			 instance->updated_on);
	set_utf8(values, nulls, 17, instance->status);
	values[18] = BoolGetDatum(instance->is_test_run);
	nulls[18] = instance->has_is_test_run ? ' ' : 'n';
	values[19] = BoolGetDatum(dwf_log_payload);
	nulls[20] = 'n';
	if (dwf_log_payload && result->response != NULL &&
		dwf_instance_to_database(result->response, result->response_len, true,
								 &values[20]))
		nulls[20] = ' ';
	set_text(values, nulls, 21, result->error);
	values[22] = result->errors;
	nulls[22] = result->errors == (Datum) 0 ? 'n' : ' ';
	values[23] = TimestampTzGetDatum(now);

	run(&settle, values, nulls, 0);
	if (SPI_processed == 0)
		return false;
	after_settled(result);
	return true;
}

/* Gives back the key of what was not done, and lets the next in order go. */
static void
after_settled(const DwfResult *result)
{
	bool		no_key,
				no_order_key,
				no_workflow;
	Datum		key = column(0, 1, &no_key);
	Datum		order_key = column(0, 2, &no_order_key);
	Datum		workflow = column(0, 3, &no_workflow);

	if (!no_key && result->verdict != DWF_SETTLE_DONE)
	{
		Datum		values[] = {workflow, key, Int64GetDatum(result->id)};

		if (no_workflow)
			values[0] = CStringGetTextDatum(dwf_domo_operation_name(result->operation));
		run(&give_back_key, values, NULL, 0);
	}
	if (!no_order_key)
		dwf_queue_release_next(order_key);
}

void
dwf_queue_release_next(Datum order_key)
{
	bool		isnull;

	run(&release_next, &order_key, NULL, 0);
	if (SPI_processed > 0)
		dwf_xact_note_enqueued(DatumGetTimestampTz(column(0, 1, &isnull)),
							   0);
}

/* Puts a request back, or holds it in doubt. */
static bool
settle_open(const DwfResult *result, int64 owner)
{
	Datum		values[10];
	char		nulls[10];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(result->id);
	values[1] = Int32GetDatum(result->claim);
	values[2] = Int64GetDatum(owner);
	values[3] = CStringGetTextDatum(dwf_queue_verdict_name(result->verdict));
	values[4] = Int32GetDatum(result->attempts);
	values[5] = Int32GetDatum(result->failures);
	values[6] = TimestampTzGetDatum(result->run_at);
	nulls[6] = result->verdict == DWF_HOLD ? 'n' : ' ';
	values[7] = Int32GetDatum(result->http_status);
	nulls[7] = result->http_status == 0 ? 'n' : ' ';
	set_text(values, nulls, 8, result->error);
	values[9] = result->errors;
	nulls[9] = result->errors == (Datum) 0 ? 'n' : ' ';
	run(&requeue, values, nulls, 0);
	if (SPI_processed == 0)
		return false;
	if (result->verdict == DWF_REQUEUE)
		dwf_xact_note_enqueued(result->run_at, 0);
	return true;
}

int
dwf_queue_expire(TimestampTz now, int limit)
{
	Datum		values[] = {TimestampTzGetDatum(now), Int32GetDatum(limit),
	BoolGetDatum(dwf_log_payload)};
	int			count;

	run(&expire, values, NULL, 0);
	count = (int) SPI_processed;
	for (int i = 0; i < count; i++)
	{
		bool		isnull;

		dwf_notice_settled(DatumGetInt64(column(i, 1, &isnull)), "expired",
						   NULL);
	}
	if (count > 0)
	{
		dwf_xact_note_settled();
		dwf_xact_note_enqueued(DT_NOEND, -count);
		dwf_queue_release_waiting();
	}
	return count;
}

int
dwf_queue_recover(int64 owner, TimestampTz now, int *again, bool *left)
{
	static const char error[] = "the worker ended while it was sending";
	Datum		owner_datum = Int64GetDatum(owner);
	Datum		values[4];
	bool		isnull;
	int			doubt = 0;

	values[0] = TimestampTzGetDatum(now);
	values[1] = CStringGetTextDatum(error);
	values[2] = dwf_report_attempt(now, "in doubt", 0, error, NULL);
	values[3] = owner_datum;
	run(&recover, values, NULL, 0);
	*again = 0;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *state = TextDatumGetCString(column(i, 1, &isnull));

		if (strcmp(state, "in_doubt") == 0)
			doubt++;
		else
			(*again)++;
	}
	if (*again > 0)
		dwf_xact_note_enqueued(now, 0);
	if (doubt > 0)
		dwf_xact_note_settled();
	run(&has_orphans, &owner_datum, NULL, 1);
	*left = SPI_processed > 0;
	return doubt;
}

void
dwf_queue_release_waiting(void)
{
	bool		isnull;

	run(&release_waiting, NULL, NULL, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
		dwf_xact_note_enqueued(DatumGetTimestampTz(column(i, 1, &isnull)),
							   0);
}

int
dwf_queue_remove_old(TimestampTz before, int limit)
{
	Datum		values[] = {TimestampTzGetDatum(before), Int32GetDatum(limit)};

	run(&remove_old, values, NULL, 0);
	return (int) SPI_processed;
}

int64
dwf_queue_count_waiting(void)
{
	bool		isnull;

	if (SPI_execute("SELECT count(*) FROM domowf.queue "
					"WHERE state <> 'in_doubt'", true, 1) < 0)
		elog(ERROR, "could not count the queue");
	return DatumGetInt64(column(0, 1, &isnull));
}
