/*
 * agenda.c
 *	  What is due, as far as the worker has read the queue.
 *
 * Each lane is read in the order of (due, id), some rows at a time, and each
 * row once: behind the place that was reached lie no rows of the past, which
 * may be dead and many.  It is read when it has its turn (lanes.c), so that a
 * lane which rests, or waits for next year, costs nothing whatever it holds.
 *
 * The worker learns of new rows by news.h.  Where that is not enough, and at
 * times for what nobody tells (COMMIT PREPARED), it looks at all lanes: at the
 * first row of each, by one descent of the index, some lanes in one transaction
 * and in a share of the time.  An id that was taken and could not be claimed
 * (somebody had locked the row) is found again by that, too.
 *
 * Rows are due, and are read, by the wall clock; everything that waits here does
 * so by the steady one.  Where the wall clock is set, all is looked at again.
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/guc.h"
#include "base/testpoint.h"
#include "worker/agenda.h"

#include "access/transam.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The most ids that are read at a time, and of all lanes that are ready. */
#define MAX_READ		1000
#define MIN_READ		8
#define READ_AHEAD		16000

/* Lanes that are read, and that are looked at, in one transaction. */
#define MAX_READS		1000
#define MAX_LOOKS		2000

/* To look at all takes at most this part of the time: 1/20. */
#define LOOK_SHARE		20

static MemoryContext memory;

static void *allocate(size_t size);
static void release(void *pointer);
static void note_lane(DwfAgenda *agenda, int64 id, TimestampTz due,
					  DwfSteady now);
static void note_due(const DwfAgenda *agenda, DwfRoute *route, int64 id,
					 TimestampTz due, DwfSteady now);
static void look_up_unknown(DwfAgenda *agenda, DwfTable *queue,
							DwfSteady now);
static int	share_of_link(const DwfAgenda *agenda, int room);
static bool is_due(const DwfLink *link, DwfSteady now);
static DwfRoute *next_route(DwfAgenda *agenda, DwfSteady now, int room);
static DwfRoute *next_of_link(DwfLink *link, DwfSteady now);
static void begin_look(DwfAgenda *agenda);
static void look(DwfAgenda *agenda, DwfTable *queue, DwfSteady now);
static void forget_unseen(DwfAgenda *agenda);
static void read_lane(DwfAgenda *agenda, const DwfRoute *route, DwfLane *lane,
					  DwfTable *queue);
static void pick(DwfAgenda *agenda, DwfRoute *route, DwfLane *lane);
static void wake_lanes(DwfLink *link, DwfSteady now);
static void note_kept(DwfAgenda *agenda, const DwfPick *pick, DwfSteady now);

void
dwf_agenda_open(DwfAgenda *agenda)
{
	memory = AllocSetContextCreate(TopMemoryContext, "domowf lanes",
								   ALLOCSET_DEFAULT_SIZES);
	dwf_routes_open(&agenda->routes, allocate, release);
	dwf_agenda_look_again(agenda, true);
}

static void *
allocate(size_t size)
{
	return MemoryContextAllocExtended(memory, size,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static void
release(void *pointer)
{
	pfree(pointer);
}

void
dwf_agenda_look_again(DwfAgenda *agenda, bool now)
{
	if (now)
		agenda->next_look = DT_NOBEGIN;
	if (agenda->must_look)
		agenda->look_twice |= agenda->looked_behind != PG_INT64_MIN;
	else
		begin_look(agenda);
}

static void
begin_look(DwfAgenda *agenda)
{
	agenda->must_look = true;
	agenda->looks++;
	agenda->look_twice = false;
	agenda->looked_behind = PG_INT64_MIN;
	agenda->look_took = 0;
}

void
dwf_agenda_take_news(DwfAgenda *agenda, const DwfNews *news, DwfSteady now)
{
	if (news->more_lanes)
		dwf_agenda_look_again(agenda, false);
	for (int i = 0; i < news->nlanes; i++)
		note_lane(agenda, news->lanes[i].lane, news->lanes[i].due, now);
}

/* Where a lane goes that is new is to be read of the queue. */
static void
note_lane(DwfAgenda *agenda, int64 id, TimestampTz due, DwfSteady now)
{
	DwfRoute   *route = dwf_routes_of_lane(&agenda->routes, id);

	if (route != NULL)
		note_due(agenda, route, id, due, now);
	else if (agenda->nunknown < DWF_MAX_UNKNOWN)
	{
		agenda->unknown[agenda->nunknown].lane = id;
		agenda->unknown[agenda->nunknown++].due = due;
	}
	else
		dwf_agenda_look_again(agenda, true);
}

/* In a transaction. */
static void
look_up_unknown(DwfAgenda *agenda, DwfTable *queue, DwfSteady now)
{
	while (agenda->nunknown > 0)
	{
		DwfLaneNews *news = &agenda->unknown[agenda->nunknown - 1];
		DwfDestination to;

		if (dwf_claim_find_destination(queue, news->lane, &to))
		{
			DwfRoute   *route = dwf_routes_get(&agenda->routes, &to);

			dwf_routes_set_lane(&agenda->routes, news->lane, route);
			note_due(agenda, route, news->lane, news->due, now);
		}
		agenda->nunknown--;
	}
}

/* Something of a lane is due from this time on. */
static void
note_due(const DwfAgenda *agenda, DwfRoute *route, int64 id, TimestampTz due,
		 DwfSteady now)
{
	DwfLane    *lane = dwf_lanes_get(&route->lanes, id);

	lane->look = agenda->looks;
	if (due <= lane->cursor_due)
	{
		/* rows came in behind the cursor: back to before them */
		lane->cursor_due = due == DT_NOBEGIN ? due : due - 1;
		lane->cursor_id = PG_INT64_MAX;
	}
	lane->next_due = Min(lane->next_due, dwf_clock_steady(due));
	(void) dwf_lanes_place(&route->lanes, lane, now);
}

DwfSteady
dwf_agenda_next(const DwfAgenda *agenda, DwfSteady now, int room)
{
	const DwfRoutes *routes = &agenda->routes;
	int			share = share_of_link(agenda, room);
	DwfSteady	next = agenda->nunknown > 0 ? DT_NOBEGIN : DT_NOEND;

	for (int i = 0; i < routes->count; i++)
	{
		const DwfRoute *route = routes->items[i];
		DwfSteady	due;

		if (route->link == NULL)
			continue;
		due = dwf_lanes_next(&route->lanes, now);
		if (due < next)
			next = Min(next, Max(due, dwf_link_room_at(route->link, now, share)));
	}
	return agenda->must_look ? Min(next, agenda->next_look) : next;
}

void
dwf_agenda_take(DwfAgenda *agenda, DwfSteady now, int room)
{
	DwfRoute   *route;
	DwfTable	queue;
	int			reads = 0;

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	look_up_unknown(agenda, &queue, now);
	if (agenda->must_look && now >= agenda->next_look)
		look(agenda, &queue, now);
	while (agenda->npicks < room && reads < MAX_READS &&
		   (route = next_route(agenda, now, room - agenda->npicks)) != NULL)
	{
		DwfLane    *lane = dwf_lanes_take_turn(&route->lanes, now);

		/* what was to come now may have been forgotten */
		if (lane == NULL)
			continue;
		if (lane->taken == lane->count)
		{
			read_lane(agenda, route, lane, &queue);
			reads++;
		}
		if (lane->taken < lane->count)
			pick(agenda, route, lane);
		(void) dwf_lanes_place(&route->lanes, lane, now);
	}
	dwf_table_close(&queue);
}

/*
 * What one connection may have in flight, where `room` is left for all: half of
 * all that may be, where there could be another one; that nothing is due for it
 * now is no matter, since it must not have to wait until one that is slow has
 * answered.  Of more than two, two that hang would leave nothing, so that one
 * may then have three times of what it leaves at most (the dynamic threshold of
 * shared buffers: Choudhury and Hahne, 1998), and always a first one.
 */
static int
share_of_link(const DwfAgenda *agenda, int room)
{
	int			half = (dwf_max_connections + 1) / 2;

	if (agenda->routes.known < 2)
		return dwf_max_connections;
	return agenda->routes.known == 2 ? half : Min(half, Max(1, 3 * room));
}

/* Whether it has something to send, or in flight, and is not at rest. */
static bool
is_due(const DwfLink *link, DwfSteady now)
{
	if (!link->is_open || dwf_rest_room(&link->rest.pause, now, 1) == 0)
		return false;
	return link->held > 0 || dwf_agenda_wants(link, now);
}

bool
dwf_agenda_wants(const DwfLink *link, DwfSteady now)
{
	ListCell   *cell;

	foreach(cell, link->routes)
	{
		if (dwf_lanes_next(&((DwfRoute *) lfirst(cell))->lanes, now) <= now)
			return true;
	}
	return false;
}

/* Whose turn it is: of a connection that has room, and something to send. */
static DwfRoute *
next_route(DwfAgenda *agenda, DwfSteady now, int room)
{
	DwfRoutes  *routes = &agenda->routes;
	int			share = share_of_link(agenda, room);

	for (int i = 0; i < routes->nlinks; i++)
	{
		DwfLink    *link = routes->links[routes->turn++ % routes->nlinks];
		DwfRoute   *route = NULL;

		routes->turn %= routes->nlinks;
		if (dwf_link_room(link, now, share) > 0)
			route = next_of_link(link, now);
		if (route != NULL)
			return route;
	}
	return NULL;
}

/* The next of its routes that has something to send; NULL: none has. */
static DwfRoute *
next_of_link(DwfLink *link, DwfSteady now)
{
	int			count = list_length(link->routes);

	for (int i = 0; i < count; i++)
	{
		DwfRoute   *route;

		link->turn = (link->turn + 1) % count;
		route = list_nth(link->routes, link->turn);
		if (dwf_lanes_next(&route->lanes, now) <= now)
			return route;
	}
	return NULL;
}

/*
 * Looks at the first row of some lanes.  One that may have been read before is
 * read again from there, once.
 */
static void
look(DwfAgenda *agenda, DwfTable *queue, DwfSteady now)
{
	int64		start = dwf_clock_cpu();
	TimestampTz due;
	DwfRoute   *route;
	int			looks = 0;

	while (looks++ < MAX_LOOKS &&
		   dwf_claim_next_lane(queue, &agenda->looked_behind, &due))
	{
		if (due == DT_NOEND)
			continue;
		route = dwf_routes_of_lane(&agenda->routes, agenda->looked_behind);
		if (route == NULL)
		{
			DwfDestination to;

			dwf_lane_read_destination(queue, &to);
			route = dwf_routes_get(&agenda->routes, &to);
			dwf_routes_set_lane(&agenda->routes, agenda->looked_behind, route);
		}
		note_due(agenda, route, agenda->looked_behind, due, now);
		dwf_lanes_get(&route->lanes, agenda->looked_behind)->is_reread = true;
	}
	agenda->look_took += dwf_clock_cpu() - start;
	if (looks > MAX_LOOKS)
		return;					/* goes on in the next transaction */
	forget_unseen(agenda);
	agenda->must_look = false;
	agenda->next_look = now + LOOK_SHARE * agenda->look_took;
	if (agenda->look_twice)
		begin_look(agenda);
}

/*
 * At the end of a look: lanes that nothing can be sent of have no turn, in which
 * it would be seen that what waited there was discarded, or has expired.
 */
static void
forget_unseen(DwfAgenda *agenda)
{
	const DwfRoutes *routes = &agenda->routes;

	for (int i = 0; i < routes->count; i++)
	{
		DwfRoute   *route = routes->items[i];

		if (route->link == NULL || !route->link->is_open)
			dwf_lanes_forget_unseen(&route->lanes, agenda->looks);
	}
}

/*
 * Reads on, in memory that is there for as long as there are ids.  Where there is
 * none nothing has changed: the lane outlives the transaction.
 */
static void
read_lane(DwfAgenda *agenda, const DwfRoute *route, DwfLane *lane,
		  DwfTable *queue)
{
	static int64 ids[MAX_READ];
	DwfCursor	cursor = {lane->cursor_due, lane->cursor_id};
	int			limit = READ_AHEAD / (route->lanes.nready + 1);
	bool		is_reread = lane->is_reread;
	int64	   *kept = NULL;
	TimestampTz next;
	int			count;
	int64		start = is_reread ? dwf_clock_cpu() : 0;

	limit = Max(MIN_READ, Min(MAX_READ, limit));
	count = dwf_claim_find_due(queue, lane->id, &cursor, GetCurrentTimestamp(),
							   limit, ids, &next);
	DWF_TESTPOINT("read-lane");
	if (count > 0)
	{
		kept = allocate(count * sizeof(int64));
		memcpy(kept, ids, count * sizeof(int64));
	}
	if (lane->ids != NULL)
		release(lane->ids);
	lane->ids = kept;
	lane->count = count;
	lane->next_due = dwf_clock_steady(next);
	lane->taken = 0;
	lane->cursor_due = cursor.due;
	lane->cursor_id = cursor.id;
	lane->is_reread = false;

	/* what has been read before counts for the look that asked for it */
	if (is_reread && !agenda->must_look)
		agenda->next_look += LOOK_SHARE * (dwf_clock_cpu() - start);
}

/*
 * Takes the next id of a lane.  A probe is not the request that was the last
 * one, where there is another.
 */
static void
pick(DwfAgenda *agenda, DwfRoute *route, DwfLane *lane)
{
	DwfRest    *whole = &route->link->rest.pause;
	int64	   *next = &lane->ids[lane->taken];
	DwfPick    *taken = &agenda->picks[agenda->npicks];
	int64		last = lane->pause.pauses > 0 ? lane->pause.last_probe :
	whole->pauses > 0 ? whole->last_probe : 0;

	if (*next == last && lane->count - lane->taken > 1)
	{
		next[0] = next[1];
		next[1] = last;
	}
	taken->id = *next;
	taken->lane = lane->id;
	taken->is_claimed = taken->is_locked = false;
	taken->refusal = 0;
	taken->has_failed = false;
	if (lane->pause.pauses > 0)
		lane->pause.last_probe = taken->id;
	if (whole->pauses > 0)
		whole->last_probe = taken->id;
	lane->taken++;
	lane->in_flight++;
	route->link->picked++;
	agenda->ways[agenda->npicks++] = route;
}

void
dwf_agenda_committed(DwfAgenda *agenda, DwfSteady now)
{
	for (int i = 0; i < agenda->npicks; i++)
	{
		note_kept(agenda, &agenda->picks[i], now);
		if (!agenda->picks[i].is_claimed)
			dwf_agenda_drop(agenda->ways[i], agenda->picks[i].lane, now);
	}
	agenda->npicks = 0;
}

/* Whom somebody holds, one of them, is found again at each look. */
static void
note_kept(DwfAgenda *agenda, const DwfPick *pick, DwfSteady now)
{
	bool		is_kept = pick->is_locked || pick->refusal != 0;

	if (is_kept && agenda->kept_since == 0)
	{
		agenda->kept_id = pick->id;
		agenda->kept_since = now;
	}
	if (pick->id != agenda->kept_id)
		return;
	agenda->kept_seen = pick->refusal != 0 ?
		Max(now, dwf_clock_steady(pick->again_at)) : now;
	agenda->kept_by = pick->is_locked ? pick->holder : InvalidTransactionId;
	agenda->kept_code = pick->refusal;
	if (!is_kept)
		agenda->kept_since = agenda->kept_id = 0;
}

DwfSteady
dwf_agenda_kept_since(DwfAgenda *agenda, DwfSteady now, int64 interval)
{
	/* whoever held it may have settled it, so that it is not found any more */
	if (now > agenda->kept_seen + 3 * interval +
		LOOK_SHARE * agenda->look_took)
		agenda->kept_since = agenda->kept_id = 0;
	return agenda->kept_since;
}

/* What was taken is still in the queue: its lanes are read anew. */
void
dwf_agenda_aborted(DwfAgenda *agenda, DwfSteady now)
{
	for (int i = 0; i < agenda->npicks; i++)
	{
		DwfRoute   *route = agenda->ways[i];
		DwfLane    *lane = dwf_lanes_find(&route->lanes,
										  agenda->picks[i].lane);

		if (agenda->picks[i].refusal != 0)
			note_kept(agenda, &agenda->picks[i], now);
		lane->cursor_due = lane->next_due = DT_NOBEGIN;
		lane->taken = lane->count;
		if (route->link != NULL)
			route->link->picked = 0;
		dwf_agenda_drop(route, lane->id, now);
	}
	agenda->npicks = 0;
}

bool
dwf_agenda_note(DwfRoute *route, DwfLink *link, const DwfEvidence *evidence,
				const DwfBackoff *backoff, double random)
{
	DwfLane    *lane = dwf_lanes_find(&route->lanes, evidence->lane);
	bool		was_resting = link->rest.pause.pauses > 0;
	bool		rests;

	dwf_rest_note(&link->rest, &lane->pause, evidence, backoff, random);
	rests = lane->pause.pauses > 0;
	if (rests || lane->pause.failures > 0)
		lane->keep_until = Max(lane->pause.until, evidence->now) +
			backoff->cap;

	if (was_resting && link->rest.pause.pauses == 0)
		wake_lanes(link, evidence->now);
	dwf_agenda_drop(route, evidence->lane, evidence->now);
	return rests;
}

void
dwf_agenda_note_poll(DwfLink *link, const DwfEvidence *evidence,
					 const DwfBackoff *backoff, double random)
{
	DwfRest    *whole = &link->rest.pause;
	DwfRest		lane = {0};
	bool		is_answered = evidence->outcome == DWF_DONE ||
	evidence->outcome == DWF_REJECTED;

	dwf_rest_note(&link->polls, &lane, evidence, backoff, random);
	if (evidence->outcome != DWF_THROTTLED &&
		!(is_answered && whole->pauses > 0 &&
		  whole->since == link->throttled_poll))
		return;
	dwf_rest_note(&link->rest, &lane, evidence, backoff, random);
	if (evidence->outcome == DWF_THROTTLED)
		link->throttled_poll = whole->since;
	else if (whole->pauses == 0)
		wake_lanes(link, evidence->now);
}

/* The way is open again: what failed with it need not wait any longer. */
static void
wake_lanes(DwfLink *link, DwfSteady now)
{
	ListCell   *cell;

	foreach(cell, link->routes)
		dwf_lanes_wake(&((DwfRoute *) lfirst(cell))->lanes,
					   link->rest.began, false, now);
}

void
dwf_agenda_drop(DwfRoute *route, int64 id, DwfSteady now)
{
	DwfLane    *lane = dwf_lanes_find(&route->lanes, id);

	lane->in_flight--;
	(void) dwf_lanes_place(&route->lanes, lane, now);
}

bool
dwf_agenda_has_other(const DwfAgenda *agenda, DwfSteady now)
{
	for (int i = 1; i < agenda->routes.nlinks; i++)
	{
		if (is_due(agenda->routes.links[i], now))
			return true;
	}
	return false;
}

void
dwf_agenda_resume(DwfAgenda *agenda, DwfSteady now)
{
	DwfRoutes  *routes = &agenda->routes;

	for (int i = 0; i < routes->nlinks; i++)
	{
		memset(&routes->links[i]->rest, 0, sizeof(routes->links[i]->rest));
		memset(&routes->links[i]->polls, 0, sizeof(routes->links[i]->polls));
	}
	for (int i = 0; i < routes->count; i++)
		dwf_lanes_wake(&routes->items[i]->lanes, PG_INT64_MIN, true, now);
}
