/*
 * sender.c
 *	  The worker's attempts.
 *
 * What an outcome makes of a request is verdict.c's; how long its lane or the
 * connection as a whole then rests is rest.c's.  It must not know how results
 * are written.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/domowf.h"
#include "base/guc.h"
#include "base/shared.h"
#include "base/testpoint.h"
#include "base/text.h"
#include "call/report.h"
#include "queue/verdict.h"
#include "worker/sender.h"
#include "worker/sender_state.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static void free_retired(DwfSender *sender);
static void end_unsent(DwfSender *sender, DwfAttempt *attempt,
					   DwfVerdict verdict, const char *error);
static void finish(DwfSender *sender, DwfAttempt *attempt,
				   const DwfExchange *exchange);
static void note_outcome(DwfSender *sender, const DwfAttempt *attempt,
						 int64 retry_after);
static void tell_rest(DwfSender *sender, const DwfAttempt *attempt);
static void report_lost(const DwfExchange *exchange, void *arg);
static int64 unix_now(void);

DwfSender *
dwf_sender_open(void)
{
	DwfSender  *sender = MemoryContextAllocZero(TopMemoryContext,
												sizeof(DwfSender));
	const char *why;

	sender->reopen = true;
	dwf_agenda_open(&sender->agenda);
	sender->engine = dwf_http_create(DWF_MAX_CONNECTIONS, &why);
	if (sender->engine == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start libcurl: %s", why)));
	sender->wait_set = dwf_create_wait_set(3);
	AddWaitEventToSet(sender->wait_set, WL_LATCH_SET, PGINVALID_SOCKET,
					  MyLatch, NULL);
	AddWaitEventToSet(sender->wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET,
					  NULL, NULL);
	AddWaitEventToSet(sender->wait_set, WL_SOCKET_READABLE,
					  dwf_http_fd(sender->engine), NULL, NULL);
	return sender;
}

bool
dwf_sender_must_reopen(const DwfSender *sender)
{
	return sender->reopen || sender->opened_for != PgReloadTime;
}

/*
 * A connection lives until the last attempt that was sent on it has ended: its
 * reply is read with the token that was sent.
 */
void
dwf_sender_reopen(DwfSender *sender)
{
	MemoryContext old;
	MemoryContext context;

	if (!dwf_sender_must_reopen(sender))
		return;
	sender->is_open = false;
	sender->reopen = false;
	sender->opened_for = PgReloadTime;

	old = MemoryContextSwitchTo(TopMemoryContext);
	if (sender->connection_context != NULL)
		sender->retired = lappend(sender->retired, sender->connection_context);
	context = AllocSetContextCreate(TopMemoryContext, "domowf connection",
									ALLOCSET_SMALL_SIZES);
	sender->connection_context = context;
	MemoryContextSwitchTo(context);

	/* only reads files and settings: nothing that an abort would have to undo */
	PG_TRY();
	{
		sender->connection = palloc(sizeof(DwfConnection));
		dwf_connection_open(sender->connection);
		sender->is_open = true;
		sender->pause_reason[0] = '\0';
	}
	PG_CATCH();
	{
		char		reason[sizeof(sender->pause_reason)];
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		dwf_text_cut(reason, sizeof(reason), error->message);
		if (strcmp(sender->pause_reason, reason) != 0)
			ereport(LOG,
					(errmsg("domowf: nothing is sent from this database: %s",
							error->message),
					 error->hint ? errhint("%s", error->hint) : 0));
		strlcpy(sender->pause_reason, reason, sizeof(reason));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	free_retired(sender);
}

/* Frees the connections on which nothing is in flight any more. */
static void
free_retired(DwfSender *sender)
{
	ListCell   *cell;

	if (sender->in_flight > 0)
		return;
	foreach(cell, sender->retired)
		MemoryContextDelete(lfirst(cell));
	list_free(sender->retired);
	sender->retired = NIL;
}

void
dwf_sender_send(DwfSender *sender)
{
	ListCell   *cell;
	List	   *claimed = sender->claimed;

	sender->claimed = NIL;
	foreach(cell, claimed)
	{
		DwfAttempt *attempt = lfirst(cell);
		MemoryContext old = MemoryContextSwitchTo(attempt->context);

		if (!attempt->claim.role_exists)
			end_unsent(sender, attempt, DWF_SETTLE_REJECTED,
					   "the role that asked for it was dropped");
		else if (!attempt->is_readable)
			end_unsent(sender, attempt, DWF_SETTLE_REJECTED,
					   attempt->fault.message);
		else if (!dwf_connection_submit(sender->connection, sender->engine,
										&attempt->request, attempt))
			end_unsent(sender, attempt, DWF_REQUEUE, "out of memory");
		else
		{
			attempt->connection = sender->connection;
			attempt->sent_at = GetCurrentTimestamp();
			sender->in_flight++;
		}
		MemoryContextSwitchTo(old);
	}
	if (claimed != NIL)
		DWF_TESTPOINT("after-claim");
	list_free(claimed);
}

void
dwf_sender_hold_back(DwfSender *sender, const char *reason)
{
	ListCell   *cell;
	List	   *claimed = sender->claimed;

	sender->claimed = NIL;
	foreach(cell, claimed)
	{
		DwfAttempt *attempt = lfirst(cell);
		MemoryContext old = MemoryContextSwitchTo(attempt->context);

		end_unsent(sender, attempt, DWF_REQUEUE, reason);
		attempt->result.errors = (Datum) 0;
		attempt->result.failures = attempt->claim.failures;
		attempt->result.run_at = GetCurrentTimestamp();
		MemoryContextSwitchTo(old);
	}
	list_free(claimed);
}

/* Ends an attempt of which nothing was given to the network. */
static void
end_unsent(DwfSender *sender, DwfAttempt *attempt, DwfVerdict verdict,
		   const char *error)
{
	DwfResult  *result = &attempt->result;
	MemoryContext old;

	dwf_verdict_decide(&attempt->claim, DWF_UNSENT, 0, result);
	result->verdict = verdict;
	result->error = pstrdup(error);
	result->errors = dwf_report_attempt(GetCurrentTimestamp(), "not sent", 0,
										error, NULL);
	dwf_agenda_drop(&sender->agenda, attempt->claim.lane,
					GetCurrentTimestamp());
	old = MemoryContextSwitchTo(TopMemoryContext);
	sender->ended = lappend(sender->ended, attempt);
	MemoryContextSwitchTo(old);
}

void
dwf_sender_harvest(DwfSender *sender, bool has_news)
{
	const DwfExchange *exchange;

	dwf_http_drive(sender->engine, has_news);
	while ((exchange = dwf_http_harvest(sender->engine)) != NULL)
	{
		DwfAttempt *attempt = exchange->owner;
		MemoryContext old;

		DWF_TESTPOINT("after-reply");
		old = MemoryContextSwitchTo(attempt->context);
		finish(sender, attempt, exchange);
		dwf_http_release(sender->engine, exchange);
		sender->in_flight--;
		MemoryContextSwitchTo(TopMemoryContext);
		sender->ended = lappend(sender->ended, attempt);
		MemoryContextSwitchTo(old);
	}
}

/* Turns an exchange into a result.  In the attempt's memory context. */
static void
finish(DwfSender *sender, DwfAttempt *attempt, const DwfExchange *exchange)
{
	DwfResult  *result = &attempt->result;
	DwfReply   *reply = &attempt->reply;
	DwfFailure	failure;
	int64		retry_after;

	dwf_connection_read_reply(attempt->connection, attempt->claim.operation,
							  exchange, reply);
	retry_after = dwf_backoff_retry_after(exchange->retry_after, unix_now());
	if (reply->outcome == DWF_UNAUTHORIZED)
		sender->reopen = true;
	dwf_verdict_decide(&attempt->claim, reply->outcome, retry_after, result);

	result->http_status = exchange->http_status;
	if (exchange->phase == DWF_PHASE_COMPLETE && reply->root != NULL)
	{
		result->root = reply->root;
		result->response = pnstrdup(exchange->body, exchange->body_len);
		result->response_len = exchange->body_len;
	}
	if (reply->outcome == DWF_DONE)
		result->instance = &reply->instance;
	else
	{
		dwf_report_describe(&attempt->request, exchange, reply, &failure);
		result->error = psprintf("%s. %s", failure.message, failure.detail);
		result->errors = dwf_report_attempt(GetCurrentTimestamp(),
											dwf_report_class(reply->outcome),
											exchange->http_status,
											result->error, reply->toe);
	}

	sender->sent++;
	if (reply->outcome != DWF_DONE)
	{
		sender->failed++;
		dwf_text_cut(sender->last_error, sizeof(sender->last_error), result->error);
	}
	note_outcome(sender, attempt, retry_after);
}

/* Lets the lane, or the connection, rest where the outcome asks for it. */
static void
note_outcome(DwfSender *sender, const DwfAttempt *attempt, int64 retry_after)
{
	DwfBackoff	backoff = dwf_verdict_backoff();
	DwfEvidence evidence = {
		.outcome = attempt->reply.outcome,
		.lane = attempt->claim.lane,
		.sent_at = attempt->sent_at,
		.now = GetCurrentTimestamp(),
		.retry_after = retry_after,
	};
	const char *error = attempt->result.error;
	bool		rests = dwf_agenda_note(&sender->agenda, &evidence, &backoff,
										dwf_verdict_dice());

	if (sender->agenda.connection.pause.pauses == 0)
		sender->pause_reason[0] = '\0';
	else if (error != NULL)
		dwf_text_cut(sender->pause_reason, sizeof(sender->pause_reason), error);
	if (rests && error != NULL)
		tell_rest(sender, attempt);
}

/* Who rests is told by what has failed last. */
static void
tell_rest(DwfSender *sender, const DwfAttempt *attempt)
{
	char	   *text = psprintf("%s rests after failures in a row: %s",
								attempt->claim.lane_name,
								attempt->result.error);

	dwf_text_cut(sender->rest_reason, sizeof(sender->rest_reason), text);
	dwf_text_cut(sender->last_error, sizeof(sender->last_error), text);
}

void
dwf_sender_note_error(DwfSender *sender)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ErrorData  *error = CopyErrorData();

	dwf_text_cut(sender->last_error, sizeof(sender->last_error), error->message);
	FreeErrorData(error);
	MemoryContextSwitchTo(old);
}

TimestampTz
dwf_sender_paused_until(const DwfSender *sender, const char **reason,
						bool *is_private)
{
	const DwfRest *pause = &sender->agenda.connection.pause;
	int64		until;

	*reason = sender->pause_reason;
	*is_private = sender->is_open;
	if (!sender->is_open)
		return DT_NOEND;
	if (pause->pauses > 0)
		return pause->until;
	if (sender->agenda.lanes.resting == NULL ||
		!dwf_lanes_all_rest(&sender->agenda.lanes, sender->in_flight,
							GetCurrentTimestamp(), &until))
	{
		*reason = "";
		*is_private = false;
		return 0;
	}
	*reason = sender->rest_reason;
	return until;
}

bool
dwf_sender_is_idle(const DwfSender *sender)
{
	return sender->in_flight == 0 && sender->ended == NIL;
}

void
dwf_sender_try_again(DwfSender *sender)
{
	if (!sender->is_open)
		sender->reopen = true;
}

static void
report_lost(const DwfExchange *exchange, void *arg)
{
	const DwfAttempt *attempt = exchange->owner;

	ereport(LOG,
			(errmsg("domowf: request " INT64_FORMAT " was being sent when %s: %s",
					attempt->result.id, (const char *) arg,
					dwf_report_subject(&attempt->request))));
}

void
dwf_sender_report_lost(DwfSender *sender, const char *event)
{
	for (int pass = 0; pass < 2; pass++)
	{
		ListCell   *cell;

		foreach(cell, pass == 0 ? sender->ended : sender->claimed)
		{
			DwfAttempt *attempt = lfirst(cell);

			ereport(LOG,
					(errmsg("domowf: request " INT64_FORMAT " was %s when %s",
							attempt->result.id,
							pass == 0 ? "answered" : "about to be sent",
							event)));
		}
	}
	dwf_http_each_pending(sender->engine, report_lost, unconstify(char *, event));
}

static int64
unix_now(void)
{
	return GetCurrentTimestamp() +
		((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);
}
