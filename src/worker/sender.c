/*
 * sender.c
 *	  The worker's attempts.
 *
 * What an outcome makes of a request is verdict.c's; how long its lane or the
 * connection as a whole then rests is rest.c's.  It must not know how results
 * are written.
 *
 * A step of test/model/domowf.pml: what changes here has to change there.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/descriptors.h"
#include "base/domowf.h"
#include "base/guc.h"
#include "base/shared.h"
#include "base/testpoint.h"
#include "base/text.h"
#include "call/report.h"
#include "queue/verdict.h"
#include "worker/polls.h"
#include "worker/sender.h"
#include "worker/sender_state.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static bool is_way_open(const DwfAttempt *attempt);
static void tell_failed(const DwfAttempt *attempt);
static void end_unsent(DwfSender *sender, DwfAttempt *attempt,
					   DwfVerdict verdict, const char *error);
static void add_doubt(DwfAttempt *attempt);
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
	return dwf_routes_are_stale(&sender->agenda.routes);
}

void
dwf_sender_reopen(DwfSender *sender)
{
	dwf_http_keep(sender->engine, dwf_max_connections);
	dwf_routes_look(&sender->agenda.routes);
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

		dwf_polls_give_way(sender->engine, sender->in_flight, attempt->link);
		if (attempt->claim.is_logged)
			end_unsent(sender, attempt, DWF_HOLD,
					   "domowf.log has another request of this id, so that its outcome could not be written");
		else if (!attempt->claim.role_exists)
			end_unsent(sender, attempt, dwf_verdict_refuse(&attempt->claim),
					   "the role that asked for it was dropped");
		else if (!attempt->is_readable)
			end_unsent(sender, attempt, dwf_verdict_refuse(&attempt->claim),
					   attempt->fault.message);
		else if (!is_way_open(attempt))
			end_unsent(sender, attempt, DWF_REQUEUE,
					   "its server cannot be used");
		else if (!dwf_connection_submit(attempt->link->connection,
										sender->engine, &attempt->request,
										attempt))
			end_unsent(sender, attempt, DWF_REQUEUE, "out of memory");
		else
		{
			attempt->connection = attempt->link->connection;
			attempt->sent_at = dwf_clock_now();
			attempt->link->in_flight++;
			sender->in_flight++;
		}
		if (attempt->ended_at != 0)
			tell_failed(attempt);
		MemoryContextSwitchTo(old);
	}
	if (claimed != NIL)
		DWF_TESTPOINT("after-claim");
	list_free(claimed);
}

/*
 * Whether an attempt goes where its request says.  It does, unless two of a
 * role's lanes have met in one number (lane.h): then it waits for its own.
 */
static bool
is_way_open(const DwfAttempt *attempt)
{
	return attempt->has_link && attempt->link->is_open &&
		OidIsValid(attempt->link->server) ==
		(NameStr(attempt->claim.to.server)[0] != '\0');
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
		attempt->result.class = NULL;
		attempt->result.is_put_back = true;
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
	result->class = attempt->is_readable && attempt->claim.role_exists ?
		dwf_report_class(DWF_UNSENT) : NULL;
	result->took = -1;
	result->error = pstrdup(error);
	result->errors = dwf_report_attempt(GetCurrentTimestamp(), "not sent", 0,
										error, NULL);
	if (verdict == DWF_HOLD && !attempt->claim.is_logged)
		add_doubt(attempt);
	dwf_agenda_drop(attempt->way, attempt->claim.lane, dwf_clock_now());
	attempt->ended_at = dwf_clock_now();
	attempt->link->held--;
	old = MemoryContextSwitchTo(TopMemoryContext);
	sender->ended = lappend(sender->ended, attempt);
	MemoryContextSwitchTo(old);
}

/* Why a request that is refused is in doubt all the same (dwf_verdict_refuse()). */
static void
add_doubt(DwfAttempt *attempt)
{
	DwfResult  *result = &attempt->result;

	result->error = psprintf("An earlier attempt may have been executed; then: %s",
							 result->error);
}

void
dwf_sender_harvest(DwfSender *sender, bool has_news)
{
	const DwfExchange *exchange;

	dwf_descriptors_tell(dwf_http_descriptors(sender->engine));
	dwf_http_drive(sender->engine, has_news);
	while ((exchange = dwf_http_harvest(sender->engine)) != NULL)
	{
		DwfAttempt *attempt = exchange->owner;
		MemoryContext old;

		if (dwf_polls_own(exchange->owner))
		{
			sender->agenda.routes.reopen |=
				dwf_polls_finish(sender->engine, exchange);
			continue;
		}
		DWF_TESTPOINT("after-reply");
		old = MemoryContextSwitchTo(attempt->context);
		finish(sender, attempt, exchange);
		dwf_http_release(sender->engine, exchange);
		sender->in_flight--;
		attempt->link->in_flight--;
		attempt->link->held--;
		dwf_link_free_retired(attempt->link);
		/* nobody names it any more */
		if (attempt->link->held == 0 && !attempt->link->is_found &&
			OidIsValid(attempt->link->server))
			sender->agenda.routes.reopen = true;
		attempt->ended_at = dwf_clock_now();
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
		sender->agenda.routes.reopen = true;
	dwf_verdict_decide(&attempt->claim, reply->outcome, retry_after, result);

	result->class = dwf_report_class(reply->outcome);
	result->sent_at = attempt->sent_at;
	result->took = reply->outcome == DWF_UNSENT ? -1 :
		dwf_clock_now() - attempt->sent_at;
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
		if (reply->outcome == DWF_REJECTED && result->verdict == DWF_HOLD)
			add_doubt(attempt);
	}

	sender->sent++;
	attempt->link->sent++;
	if (reply->outcome != DWF_DONE)
	{
		tell_failed(attempt);
		sender->failed++;
		attempt->link->failed++;
		dwf_text_cut(sender->last_error, sizeof(sender->last_error), result->error);
	}
	note_outcome(sender, attempt, retry_after);
}

/*
 * One line in the server's log, in a form that can be searched.  An outage does
 * not flood it: who fails rests (rest.h), and then one goes at a time.
 */
static void
tell_failed(const DwfAttempt *attempt)
{
	const DwfResult *result = &attempt->result;
	char		class[32];

	strlcpy(class, result->class != NULL ? result->class : "not sent",
			sizeof(class));
	for (char *at = class; *at != '\0'; at++)
	{
		if (*at == ' ')
			*at = '_';
	}
	ereport(LOG,
			(errmsg_internal("domowf: attempt %d failed: class=%s status=%d request=" INT64_FORMAT " (%s): %s",
							 attempt->claim.attempts + 1, class,
							 result->http_status, result->id,
							 attempt->claim.lane_name, result->error)));
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
		.now = dwf_clock_now(),
		.retry_after = retry_after,
	};
	const char *error = attempt->result.error;
	DwfLink    *link = attempt->link;
	bool		rests = dwf_agenda_note(attempt->way, link, &evidence, &backoff,
										dwf_verdict_dice());

	if (link->rest.pause.pauses == 0)
		link->reason[0] = '\0';
	else if (error != NULL)
		dwf_text_cut(link->reason, sizeof(link->reason), error);
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

	dwf_text_cut(attempt->link->rest_reason,
				 sizeof(attempt->link->rest_reason), text);
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

/*
 * Of the settings' connection; but not while another one has something to send,
 * nor where servers alone are used.
 */
DwfSteady
dwf_sender_paused_until(const DwfSender *sender, const char **reason,
						bool *is_private)
{
	const DwfRoutes *routes = &sender->agenda.routes;
	const DwfLink *link = routes->links[0];
	DwfSteady	now = dwf_clock_now();
	DwfSteady	until;

	*reason = link->reason;
	*is_private = link->is_open;
	if (dwf_agenda_has_other(&sender->agenda, now) ||
		dwf_routes_need_no_settings(routes))
		until = 0;
	else if (!link->is_open)
		return DT_NOEND;
	else if (dwf_routes_is_paused(link, now))
		return link->rest.pause.until;
	else
		until = dwf_routes_rest_until(link, now);
	*reason = until == 0 ? "" : link->rest_reason;
	*is_private = until != 0;
	return until;
}

int
dwf_sender_show_connections(const DwfSender *sender,
							DwfConnectionStatus *rows, int max)
{
	return dwf_routes_show(&sender->agenda.routes, rows, max);
}

bool
dwf_sender_is_idle(const DwfSender *sender)
{
	return sender->in_flight == 0 && sender->ended == NIL;
}

void
dwf_sender_try_again(DwfSender *sender)
{
	DwfRoutes  *routes = &sender->agenda.routes;

	for (int i = 0; i < routes->nlinks; i++)
		routes->reopen |= !routes->links[i]->is_open;
}

static void
report_lost(const DwfExchange *exchange, void *arg)
{
	const DwfAttempt *attempt = exchange->owner;

	if (dwf_polls_own(exchange->owner))
		return;
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
