/*
 * archive.c
 *	  The one move from the queue to the log, and the one back: the part of it
 *	  that is done to a row at hand.
 *
 * It must not know why a request is settled.
 */
#include "postgres.h"

#include "base/columns.h"
#include "queue/archive.h"
#include "queue/scope.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#define PAIR(column, name)	{QUEUE_##column, LOG_##column},
#define COUNT(column, name)	+ 1

/*
 * Columns of the log that the queue has not, or that are not taken over as they
 * are: outcome, origin, request, error, settled_at, and what a reply tells.
 */
#define OWN_COLUMNS 20

/* Whoever adds a column to the log has to say which it is. */
StaticAssertDecl(LOG_COLUMNS == OWN_COLUMNS DWF_KEPT_COLUMNS(COUNT)
				 DWF_LEFT_COLUMNS(COUNT),
				 "each column of domowf.log is moved, or one of its own");

void
dwf_archive_copy(const DwfTable *queue, DwfTable *log)
{
	static const struct
	{
		DwfQueueColumn from;
		DwfLogColumn to;
	}			columns[] =
	{
		DWF_KEPT_COLUMNS(PAIR)
		DWF_LEFT_COLUMNS(PAIR)
		{QUEUE_REQUEST, LOG_REQUEST},
	};

	for (int i = 0; i < lengthof(columns); i++)
	{
		log->values[columns[i].to] = queue->values[columns[i].from];
		log->nulls[columns[i].to] = queue->nulls[columns[i].from];
	}
	dwf_table_set_text(log, LOG_ORIGIN, "request");
}

Datum
dwf_archive_scope(const DwfTable *queue)
{
	const char *operation =
	TextDatumGetCString(queue->values[QUEUE_OPERATION]);
	const char *workflow = queue->nulls[QUEUE_WORKFLOW] ? NULL :
	TextDatumGetCString(queue->values[QUEUE_WORKFLOW]);

	return CStringGetTextDatum(dwf_scope_of(operation, workflow));
}

void
dwf_archive_add_error(DwfTable *queue, Datum error)
{
	Datum		errors;

	if (error == (Datum) 0)
		return;
	errors = queue->nulls[QUEUE_ERRORS] ?
		DirectFunctionCall1(jsonb_in, CStringGetDatum("[]")) :
		queue->values[QUEUE_ERRORS];
	if (JB_ROOT_COUNT(DatumGetJsonbP(errors)) >= DWF_MAX_ERRORS)
		errors = DirectFunctionCall2(jsonb_delete_idx, errors,
									 Int32GetDatum(0));
	dwf_table_set(queue, QUEUE_ERRORS,
				  DirectFunctionCall2(jsonb_concat, errors, error));
}
