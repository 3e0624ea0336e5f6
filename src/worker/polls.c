/*
 * polls.c
 *	  Polls of tracked instances that are under way.
 *
 * They share engine, connections and limits with what is sent, and nothing of it
 * waits for them: a request that needs a place gets that of a poll, which is
 * given up and made again.  So nothing of a poll is written before it has ended.
 *
 * It must not know when an instance is due, nor what its status means.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/columns.h"
#include "base/guc.h"
#include "base/testpoint.h"
#include "base/text.h"
#include "call/argument.h"
#include "call/report.h"
#include "queue/backoff.h"
#include "queue/verdict.h"
#include "worker/agenda.h"
#include "worker/polls.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

DwfPoll		dwf_polls[DWF_MAX_POLLED];

static int	counts[DWF_POLL_ENDED + 1]; /* but for those that are free */
static bool gave_way;

/* What is to be given up: one poll, of a connection or of any. */
typedef struct Search
{
	const DwfLink *link;		/* NULL: any */
	const DwfExchange *found;
} Search;

static void set_state(DwfPoll *poll, DwfPollState state);
static void free_poll(DwfPoll *poll);
static void leave_link(DwfPoll *poll);
static void describe_failure(DwfPoll *poll, const DwfExchange *exchange);
static void note_outcome(const DwfPoll *poll, int64 retry_after);
static bool give_up(DwfEngine *engine, const DwfLink *link);
static void find_poll(const DwfExchange *exchange, void *arg);

int
dwf_polls_count(DwfPollState state)
{
	return counts[state];
}

static void
set_state(DwfPoll *poll, DwfPollState state)
{
	counts[poll->state]--;
	counts[state]++;
	poll->state = state;
}

bool
dwf_polls_have(int64 request)
{
	for (int i = 0; i < DWF_MAX_POLLED; i++)
	{
		if (dwf_polls[i].state != DWF_POLL_FREE &&
			dwf_polls[i].row.request == request)
			return true;
	}
	return false;
}

DwfPoll *
dwf_polls_choose(const DwfTable *tracked, DwfLink *link, DwfFault *fault)
{
	DwfPoll    *poll = dwf_polls;
	MemoryContext old;
	bool		ok;

	memset(fault, 0, sizeof(*fault));
	while (poll < &dwf_polls[DWF_MAX_POLLED] && poll->state != DWF_POLL_FREE)
		poll++;
	if (poll == &dwf_polls[DWF_MAX_POLLED])
		return NULL;
	memset(poll, 0, sizeof(*poll));
	poll->context = AllocSetContextCreate(TopMemoryContext, "domowf poll",
										  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(poll->context);
	ok = dwf_argument_read_id(DWF_READ_INSTANCE,
							  TextDatumGetCString(tracked->values[TRACKED_INSTANCE_ID]),
							  NULL, &poll->request, fault);
	MemoryContextSwitchTo(old);
	dwf_tracked_read(tracked, &poll->row);
	if (!ok)
	{
		free_poll(poll);
		return NULL;
	}
	poll->link = link;
	set_state(poll, DWF_POLL_CHOSEN);
	dwf_link_take_poll(link);
	return poll;
}

static void
free_poll(DwfPoll *poll)
{
	leave_link(poll);
	dwf_domo_free_reply(&poll->reply);
	if (poll->context != NULL)
		MemoryContextDelete(poll->context);
	poll->context = NULL;
	set_state(poll, DWF_POLL_FREE);
}

/* Its connection may be gone once nothing is under way there. */
static void
leave_link(DwfPoll *poll)
{
	if (poll->link == NULL)
		return;
	poll->link->polled--;
	dwf_link_free_retired(poll->link);
	poll->link = NULL;
}

void
dwf_polls_free(DwfPoll *poll)
{
	free_poll(poll);
}

void
dwf_polls_send(DwfEngine *engine)
{
	bool		is_sent = false;

	for (int i = 0; i < DWF_MAX_POLLED; i++)
	{
		DwfPoll    *poll = &dwf_polls[i];

		if (poll->state != DWF_POLL_CHOSEN)
			continue;
		poll->connection = poll->link->connection;
		if (poll->link->is_open &&
			dwf_connection_submit(poll->connection, engine, &poll->request,
								  poll))
		{
			poll->sent_at = dwf_clock_now();
			set_state(poll, DWF_POLL_IN_FLIGHT);
			is_sent = true;
			continue;
		}
		gave_way = true;
		free_poll(poll);
	}
	if (is_sent)
		DWF_TESTPOINT("after-poll");
}

void
dwf_polls_drop_chosen(void)
{
	for (int i = 0; i < DWF_MAX_POLLED; i++)
	{
		if (dwf_polls[i].state == DWF_POLL_CHOSEN)
			free_poll(&dwf_polls[i]);
	}
	gave_way = true;
}

bool
dwf_polls_own(const void *owner)
{
	return (const char *) owner >= (const char *) dwf_polls &&
		(const char *) owner < (const char *) &dwf_polls[DWF_MAX_POLLED];
}

/* An answer about another instance is none. */
bool
dwf_polls_finish(DwfEngine *engine, const DwfExchange *exchange)
{
	DwfPoll    *poll = exchange->owner;
	MemoryContext old = MemoryContextSwitchTo(poll->context);
	int64		unix_now = dwf_clock_wall(dwf_clock_now()) +
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY);

	dwf_connection_read_reply(poll->connection, DWF_READ_INSTANCE, exchange,
							  &poll->reply);
	poll->http_status = exchange->http_status;
	if (poll->reply.outcome != DWF_DONE)
		describe_failure(poll, exchange);
	else if (strcmp(poll->reply.instance.id, poll->request.id) != 0)
		strlcpy(poll->failure, "the reply is about another instance",
				sizeof(poll->failure));
	note_outcome(poll, dwf_backoff_retry_after(exchange->retry_after, unix_now));
	dwf_http_release(engine, exchange);
	leave_link(poll);
	set_state(poll, DWF_POLL_ENDED);
	poll->write_at = 0;
	MemoryContextSwitchTo(old);
	DWF_TESTPOINT("after-poll-reply");
	return poll->reply.outcome == DWF_UNAUTHORIZED;
}

static void
describe_failure(DwfPoll *poll, const DwfExchange *exchange)
{
	DwfFailure	failure;

	dwf_report_describe(&poll->request, exchange, &poll->reply, &failure);
	dwf_text_cut(poll->failure, sizeof(poll->failure),
				 failure.detail == NULL ? failure.message :
				 psprintf("%s. %s", failure.message, failure.detail));
}

/* Lets polls rest where the outcome asks for it; by instance, each a lane. */
static void
note_outcome(const DwfPoll *poll, int64 retry_after)
{
	DwfBackoff	backoff = dwf_verdict_backoff();
	DwfEvidence evidence = {
		.outcome = poll->reply.outcome,
		.lane = poll->row.request,
		.sent_at = poll->sent_at,
		.now = dwf_clock_now(),
		.retry_after = retry_after,
	};

	dwf_agenda_note_poll(poll->link, &evidence, &backoff, dwf_verdict_dice());
	if (poll->reply.outcome == DWF_THROTTLED)
		dwf_text_cut(poll->link->reason, sizeof(poll->link->reason),
					 poll->failure);
	if (poll->failure[0] != '\0')
		dwf_text_cut(poll->link->poll_reason, sizeof(poll->link->poll_reason),
					 psprintf("polls of instances rest: %s", poll->failure));
}

void
dwf_polls_give_way(DwfEngine *engine, int in_flight, const DwfLink *link)
{
	if (counts[DWF_POLL_IN_FLIGHT] == 0)
		return;
	while (in_flight + counts[DWF_POLL_IN_FLIGHT] >=
		   dwf_max_connections && give_up(engine, NULL))
		;
	while (link->in_flight + link->polled >= dwf_link_limit(link) &&
		   give_up(engine, link))
		;
}

/* False: there is none. */
static bool
give_up(DwfEngine *engine, const DwfLink *link)
{
	Search		search = {.link = link};
	DwfPoll    *poll;

	dwf_http_each_pending(engine, find_poll, &search);
	if (search.found == NULL)
		return false;
	poll = search.found->owner;
	dwf_http_release(engine, search.found);
	free_poll(poll);
	gave_way = true;
	return true;
}

static void
find_poll(const DwfExchange *exchange, void *arg)
{
	Search	   *search = arg;

	if (dwf_polls_own(exchange->owner) &&
		(search->link == NULL ||
		 ((const DwfPoll *) exchange->owner)->link == search->link))
		search->found = exchange;
}

bool
dwf_polls_gave_way(void)
{
	bool		some = gave_way;

	gave_way = false;
	return some;
}
