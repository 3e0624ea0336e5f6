/*
 * notice.c
 *	  NOTIFY domowf: what a session that listens is told of a request.
 *
 * Whoever is connected may listen, so that no more is told than ids and the
 * state.
 */
#include "postgres.h"

#include "base/guc.h"
#include "queue/notice.h"

#include "commands/async.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"

/* A longer instance id is cut: a payload has less than 8000 bytes. */
#define MAX_ID	500

void
dwf_notice_settled(int64 id, const char *state, const char *instance_id)
{
	StringInfoData payload;

	if (!dwf_notify)
		return;
	initStringInfo(&payload);
	appendStringInfo(&payload, "{\"id\": " INT64_FORMAT ", \"state\": \"%s\", \"instance_id\": ",
					 id, state);
	if (instance_id == NULL)
		appendStringInfoString(&payload, "null");
	else
		escape_json(&payload,
					pnstrdup(instance_id,
							 pg_mbcliplen(instance_id, strlen(instance_id),
										  MAX_ID)));
	appendStringInfoChar(&payload, '}');
	Async_Notify("domowf", payload.data);
}
