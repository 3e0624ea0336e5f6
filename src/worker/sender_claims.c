/*
 * sender_claims.c
 *	  What there is to send, room for it, and what is claimed.
 *
 * Attempts begin here: the agenda names what is due, as much as the rate and the
 * connection have room for, and of what the queue lets go each claim becomes an
 * attempt that waits for its transaction's commit.
 */
#include "postgres.h"

#include "base/guc.h"
#include "call/argument.h"
#include "worker/sender.h"
#include "worker/sender_state.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

static int	room_in_flight(const DwfSender *sender, TimestampTz now);
static void take(DwfSender *sender, const DwfClaim *claims, int count);
static void free_reply(void *arg);

void
dwf_sender_look_again(DwfSender *sender, bool now)
{
	dwf_agenda_look_again(&sender->agenda, now);
}

void
dwf_sender_take_news(DwfSender *sender, const DwfNews *news, TimestampTz now)
{
	dwf_agenda_take_news(&sender->agenda, news, now);
}

TimestampTz
dwf_sender_due_at(const DwfSender *sender, TimestampTz now)
{
	return dwf_agenda_next(&sender->agenda, now);
}

void
dwf_sender_resume(DwfSender *sender, TimestampTz now)
{
	dwf_agenda_resume(&sender->agenda, now);
}

/*
 * Room beside the rows in `sending`: what is in flight, and what has ended and
 * is not yet settled.
 */
static int
room_in_flight(const DwfSender *sender, TimestampTz now)
{
	int			room = dwf_rest_room(&sender->agenda.connection.pause, now,
									 dwf_max_connections) -
	sender->in_flight - list_length(sender->claimed);
	ListCell   *cell;

	foreach(cell, sender->ended)
		room -= !((DwfAttempt *) lfirst(cell))->written;
	return room;
}

int
dwf_sender_room(DwfSender *sender, TimestampTz now)
{
	int			room;

	if (!sender->is_open || dwf_sender_must_reopen(sender))
		return 0;
	room = room_in_flight(sender, now);
	return room <= 0 ? 0 :
		dwf_rate_room(&sender->rate, dwf_rate_limit, now, room);
}

TimestampTz
dwf_sender_room_at(const DwfSender *sender, TimestampTz now)
{
	const DwfRest *pause = &sender->agenda.connection.pause;

	if (!sender->is_open)
		return DT_NOEND;
	if (pause->pauses > 0 && now < pause->until)
		return pause->until;
	if (room_in_flight(sender, now) <= 0)
		return DT_NOEND;
	return now + dwf_rate_wait(&sender->rate, dwf_rate_limit);
}

void
dwf_sender_claim(DwfSender *sender, int64 owner, TimestampTz now)
{
	DwfAgenda  *agenda = &sender->agenda;
	int			room = dwf_sender_room(sender, now);
	DwfClaim   *claims;
	int			count;

	if (room <= 0)
		return;
	dwf_agenda_take(agenda, now, room);
	if (agenda->npicks == 0)
		return;
	count = dwf_claim_requests(agenda->picks, agenda->npicks, owner, now,
							   &claims);
	take(sender, claims, count);
}

int
dwf_sender_claimed(const DwfSender *sender)
{
	return list_length(sender->claimed);
}

/*
 * In the transaction of the claim.  Whoever cannot be sent at all ends at
 * once, when the claim has committed.
 */
static void
take(DwfSender *sender, const DwfClaim *claims, int count)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	for (int i = 0; i < count; i++)
	{
		MemoryContext context = AllocSetContextCreate(TopMemoryContext,
													  "domowf attempt",
													  ALLOCSET_SMALL_SIZES);
		DwfAttempt *attempt = MemoryContextAllocZero(context,
													 sizeof(DwfAttempt));
		Jsonb	   *request = claims[i].request;
		MemoryContextCallback *callback =
		MemoryContextAlloc(context, sizeof(MemoryContextCallback));

		attempt->context = context;
		attempt->claim = claims[i];
		attempt->claim.request = MemoryContextAlloc(context, VARSIZE(request));
		memcpy(attempt->claim.request, request, VARSIZE(request));
		attempt->claim.lane_name = MemoryContextStrdup(context,
													   claims[i].lane_name);

		/* here and not later: encodings are converted in transactions only */
		MemoryContextSwitchTo(context);
		attempt->is_readable =
			dwf_argument_read(attempt->claim.operation, attempt->claim.request,
							  &attempt->request, &attempt->fault);
		MemoryContextSwitchTo(TopMemoryContext);
		attempt->result.id = claims[i].id;
		attempt->result.claim = claims[i].claim;
		attempt->result.operation = claims[i].operation;
		callback->func = free_reply;
		callback->arg = &attempt->reply;
		MemoryContextRegisterResetCallback(context, callback);
		sender->claimed = lappend(sender->claimed, attempt);
	}
	MemoryContextSwitchTo(old);
	dwf_rate_take(&sender->rate, dwf_rate_limit, count);
}

static void
free_reply(void *arg)
{
	dwf_domo_free_reply(arg);
}
