/*
 * notice.c
 *	  NOTIFY domowf: what a session that listens is told of a request.
 *
 * Whoever is connected may listen, so that no more is told than ids and the
 * state.
 *
 * Whoever is connected may also fill the queue, for all databases, by listening in a
 * transaction that does not end: a commit with a notice then fails.  To be told is
 * worth less than that it is written, so that nothing is told while the queue is full
 * or nearly so.  Where it has become full since that was looked at, the worker's
 * commit fails once.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/testpoint.h"
#include "queue/notice.h"

#include "commands/async.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* A longer instance id is cut: a payload has less than 8000 bytes. */
#define MAX_ID	500

/* A queue with so much in it counts as full, percent. */
#define FULL	95

/* How often that is looked at, and how long a refusal counts, milliseconds. */
#define LOOK_INTERVAL	100
#define QUIET			60000

static DwfSteady quiet_until = 0;

static bool is_full(void);
static void say_full(void);

void
dwf_notice_settled(int64 id, const char *state, const char *instance_id)
{
	StringInfoData payload;

	if (!dwf_notify)
		return;
	if (is_full())
	{
		say_full();
		return;
	}
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

/* Whether it is, or a commit has failed by it a short while ago. */
static bool
is_full(void)
{
	static DwfSteady look_again = 0;
	static bool full = false;
	DwfSteady	now = dwf_clock_now();

	if (now < quiet_until)
		return true;
	if (now >= look_again)
	{
		double		usage = DatumGetFloat8(DirectFunctionCall1(pg_notification_queue_usage,
															   (Datum) 0));

		full = usage * 100 >= DWF_TESTNUMBER("notify-full", FULL);
		look_again = TimestampTzPlusMilliseconds(now, LOOK_INTERVAL);
	}
	return full;
}

/* The worker's own is no client's to be warned. */
static void
say_full(void)
{
	static DwfSteady again = 0;

	if (dwf_clock_once_a_minute(&again))
		ereport(MyBackendType == B_BG_WORKER ? LOG : WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("domowf: what becomes of requests is not told by NOTIFY: its queue is full"),
				 errhint("See pg_stat_activity for sessions that listen in a transaction which is open for long.")));
}

/* Its code is that of others, too, so that it is told by where it comes from. */
void
dwf_notice_note_error(const ErrorData *error)
{
	if (!dwf_notify || error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		error->filename == NULL ||
		strcmp(error->filename, "async.c") != 0)
		return;
	quiet_until = TimestampTzPlusMilliseconds(dwf_clock_now(), QUIET);
}
