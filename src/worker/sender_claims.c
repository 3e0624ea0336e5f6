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
#include "base/shared.h"
#include "base/text.h"
#include "call/argument.h"
#include "queue/refused.h"
#include "worker/sender.h"
#include "worker/sender_state.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

static int	room_in_flight(const DwfSender *sender);
static int	claim_each(DwfSender *sender, int64 owner, TimestampTz now,
					   DwfClaim **claims);
static void take(DwfSender *sender, const DwfClaim *claims, int count);
static DwfRoute *way_of(const DwfAgenda *agenda, int64 id);
static void free_reply(void *arg);

void
dwf_sender_look_again(DwfSender *sender, bool now)
{
	dwf_agenda_look_again(&sender->agenda, now);
}

void
dwf_sender_take_news(DwfSender *sender, const DwfNews *news, DwfSteady now)
{
	dwf_agenda_take_news(&sender->agenda, news, now);
}

DwfSteady
dwf_sender_due_at(const DwfSender *sender, DwfSteady now)
{
	return dwf_agenda_next(&sender->agenda, now, room_in_flight(sender));
}

void
dwf_sender_resume(DwfSender *sender, DwfSteady now)
{
	dwf_agenda_resume(&sender->agenda, now);
	dwf_refused_wake_all();
	dwf_sender_write_at_once(sender);
}

/*
 * Room beside the rows in `sending`: what is in flight, and what has ended, is
 * not yet settled and not set aside.
 */
static int
room_in_flight(const DwfSender *sender)
{
	int			places = dwf_max_connections;

	return places - sender->in_flight - list_length(sender->claimed) -
		dwf_sender_waiting(sender, places);
}

int
dwf_sender_room(DwfSender *sender, DwfSteady now)
{
	if (dwf_sender_must_reopen(sender))
		return 0;
	return Max(0, room_in_flight(sender));
}

/* What each connection has room for, the agenda knows. */
DwfSteady
dwf_sender_room_at(const DwfSender *sender, DwfSteady now)
{
	return room_in_flight(sender) <= 0 ? DT_NOEND : now;
}

void
dwf_sender_claim(DwfSender *sender, int64 owner, DwfSteady now)
{
	DwfAgenda  *agenda = &sender->agenda;
	int			room = dwf_sender_room(sender, now);
	DwfClaim   *claims;
	int			count;

	/* what was asked for after a domowf_pause() may be seen here already */
	if (room <= 0 || dwf_shared_is_told())
		return;
	dwf_agenda_take(agenda, now, room);
	if (agenda->npicks == 0)
		return;
	if (sender->claims_each)
		count = claim_each(sender, owner, GetCurrentTimestamp(), &claims);
	else
		count = dwf_claim_requests(agenda->picks, agenda->npicks, owner,
								   GetCurrentTimestamp(), &claims);
	for (int i = 0; i < agenda->npicks; i++)
		agenda->ways[i]->link->picked = 0;
	take(sender, claims, count);
}

/* Until none is refused any more, nor rests. */
static int
claim_each(DwfSender *sender, int64 owner, TimestampTz now, DwfClaim **claims)
{
	char	   *refusal;
	ErrorData  *failure;
	int			count = dwf_claim_each(sender->agenda.picks,
									   sender->agenda.npicks, owner, now,
									   claims, &refusal, &failure);

	sender->claims_each = refusal != NULL || dwf_claim_is_careful();
	if (refusal == NULL)
		return count;
	dwf_text_cut(sender->refusal, sizeof(sender->refusal), refusal);
	dwf_text_cut(sender->last_error, sizeof(sender->last_error), refusal);
	if (failure != NULL)
		ReThrowError(failure);
	return count;
}

bool
dwf_sender_claims_each(const DwfSender *sender)
{
	return sender->claims_each;
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
	DwfSteady	now = dwf_clock_now();

	for (int i = 0; i < count; i++)
	{
		MemoryContext context = AllocSetContextCreate(CurTransactionContext,
													  "domowf attempt",
													  ALLOCSET_SMALL_SIZES);
		DwfAttempt *attempt = MemoryContextAllocZero(context,
													 sizeof(DwfAttempt));
		Jsonb	   *request = claims[i].request;
		DwfRoute   *route;
		MemoryContextCallback *callback =
		MemoryContextAlloc(context, sizeof(MemoryContextCallback));

		attempt->context = context;
		attempt->claim = claims[i];
		attempt->claim.request = MemoryContextAlloc(context, VARSIZE(request));
		memcpy(attempt->claim.request, request, VARSIZE(request));
		attempt->claim.lane_name = MemoryContextStrdup(context,
													   claims[i].lane_name);

		attempt->way = way_of(&sender->agenda, claims[i].id);
		route = dwf_lane_same_destination(&attempt->way->to, &claims[i].to) ?
			attempt->way : dwf_routes_get(&sender->agenda.routes, &claims[i].to);
		attempt->has_link = route->link != NULL && !route->has_lost_role;
		attempt->link = route->link != NULL ? route->link : attempt->way->link;

		/* here and not later: encodings are converted in transactions only */
		MemoryContextSwitchTo(context);
		attempt->is_readable =
			dwf_argument_read(attempt->claim.operation, attempt->claim.request,
							  &attempt->request, &attempt->fault);
		MemoryContextSwitchTo(TopMemoryContext);
		attempt->result.id = claims[i].id;
		attempt->result.claim = claims[i].claim;
		attempt->result.place = claims[i].place;
		attempt->result.operation = claims[i].operation;
		callback->func = free_reply;
		callback->arg = &attempt->reply;
		MemoryContextRegisterResetCallback(context, callback);
		sender->claimed = lappend(sender->claimed, attempt);
		MemoryContextSetParent(context, TopMemoryContext);
		attempt->link->held++;
		dwf_link_take_send(attempt->link, now);
	}
	MemoryContextSwitchTo(old);
}

/* Of a request that was taken: the route that its lane is on. */
static DwfRoute *
way_of(const DwfAgenda *agenda, int64 id)
{
	int			i = 0;

	while (agenda->picks[i].id != id)
		i++;
	return agenda->ways[i];
}

static void
free_reply(void *arg)
{
	dwf_domo_free_reply(arg);
}
