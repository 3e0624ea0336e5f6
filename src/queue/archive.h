/*
 * archive.h
 *	  The one move from the queue to the log, and the one back: what both know
 *	  of a request, from one list of columns, and what goes with it.
 *
 * The worker moves a row at a time below SQL (dwf_archive_copy()); what is done
 * to many, or by a person, are statements that are put together from what
 * stands here.
 */
#ifndef DWF_ARCHIVE_H
#define DWF_ARCHIVE_H

#include "base/table.h"
#include "queue/request.h"

/*
 * Columns that the queue and the log both have, and that are taken over as they
 * are.  A new one is a line here (beside columns.h): nothing else copies any.
 *
 * To the log and back again:
 */
#define DWF_KEPT_COLUMNS(X) \
	X(ID, id) \
	X(OPERATION, operation) \
	X(WORKFLOW, workflow) \
	X(KEY, key) \
	X(ORDER_KEY, order_key) \
	X(SOURCE, source) \
	X(HTTP_STATUS, http_status) \
	X(ERRORS, errors) \
	X(REQUESTED_BY, requested_by) \
	X(REQUESTED_BY_OID, requested_by_oid) \
	X(ENQUEUED_AT, enqueued_at) \
	X(SENT_AT, sent_at) \
	X(BATCH, batch) \
	X(ON_DOUBT, on_doubt) \
	X(MAX_ATTEMPTS, max_attempts) \
	X(RETURNS_TO, returns_to) \
	X(DEPTH, depth) \
	X(SOURCE_OID, source_oid)

/* To the log only: a retry begins anew. */
#define DWF_LEFT_COLUMNS(X) \
	X(ATTEMPTS, attempts) \
	X(EXPIRES_AT, expires_at) \
	X(ORDER_SPACE, order_space) \
	X(SERVER, server)

#define DWF_COLUMN_NAME(column, name)	#name ", "
#define DWF_SQL_KEPT	DWF_KEPT_COLUMNS(DWF_COLUMN_NAME)
#define DWF_SQL_MOVED	DWF_SQL_KEPT DWF_LEFT_COLUMNS(DWF_COLUMN_NAME)

/* Moves the rows of `d`, which were deleted from the queue. */
#define DWF_SQL_TO_LOG(outcome, instance_id, request, error, settled_at) \
	"INSERT INTO domowf.log (" DWF_SQL_MOVED "outcome, origin, instance_id, " \
	"request, error, settled_at) SELECT " DWF_SQL_MOVED outcome ", 'request', " \
	instance_id ", " request ", " error ", " settled_at " FROM d "

/*
 * Moves the rows of `d`, which were deleted from the log, to be sent `due`, and
 * not before another one of their order key where `waiting` says so; `server`
 * is it, its owner and whose mapping counts, and whether to track.  Nobody gave that time (redate.h).
 */
#define DWF_SQL_TO_QUEUE(request, waiting, due, order_space, lane, server) \
	"INSERT INTO domowf.queue (" DWF_SQL_KEPT "error, state, attempts, " \
	"failures, claim, request, waiting, run_at, due, order_space, lane, " \
	"server, server_owner, server_role, track) " \
	"SELECT " DWF_SQL_KEPT "error, 'queued', 0, 0, 0, " request ", " waiting \
	", enqueued_at, " due ", " order_space ", " lane ", " server " FROM d "

/* The scope of a request's key (scope.c). */
#define DWF_SQL_SCOPE(row) \
	"domowf.key_scope(" row ".operation, " row ".workflow)"

/*
 * Gives back the keys of the rows of `d`, and takes them again: for the owner of
 * the table whose trigger had asked, where one had.
 */
#define DWF_SQL_GIVE_BACK_KEY \
	"DELETE FROM domowf.key USING d WHERE key.scope = " DWF_SQL_SCOPE("d") \
	" AND key.key = d.key AND key.request_id = d.id "
#define DWF_SQL_TAKE_KEY(row) \
	"INSERT INTO domowf.key (scope, key, request_id, key_owner, source_oid) " \
	"SELECT " DWF_SQL_SCOPE(row) ", key, id, (SELECT relowner " \
	"FROM pg_catalog.pg_class c WHERE c.oid = source_oid), source_oid " \
	"FROM " row " WHERE key IS NOT NULL "

/* What a person may act on: $1 is the id, $2 the role. */
#define DWF_SQL_OPEN \
	"id = $1 AND state IN ('queued', 'in_doubt') " \
	"AND domowf.may_see($2, requested_by_oid) "
#define DWF_SQL_SETTLED \
	"id = $1 AND origin = 'request' AND outcome IN ('rejected', 'expired') " \
	"AND domowf.may_see($2, requested_by_oid) "
#define DWF_SQL_RETRIABLE	DWF_SQL_SETTLED "AND request IS NOT NULL "

/* Errors of attempts that a request keeps, the last ones. */
#define DWF_MAX_ERRORS	100

/* `errors` with another one, an expression. */
#define DWF_SQL_ADD_ERROR(error) \
	"CASE WHEN jsonb_array_length(errors) >= " CppAsString2(DWF_MAX_ERRORS) \
	" THEN (errors - 0) || " error " ELSE coalesce(errors, '[]') || " error \
	" END"

/* The same for a row at hand; a jsonb object, or 0 for none. */
extern void dwf_archive_add_error(DwfTable *queue, Datum error);

/* Sets what the log's row takes from the queue's, the request included. */
extern void dwf_archive_copy(const DwfTable *queue, DwfTable *log);

/* The scope of the key of a row of the queue, a text. */
extern Datum dwf_archive_scope(const DwfTable *queue);

#endif							/* DWF_ARCHIVE_H */
