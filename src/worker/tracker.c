/*
 * tracker.c
 *	  What becomes of instances after their start.
 *
 * The lanes of domowf.tracked, one for each destination, are known with the time
 * at which the first of each is due; the rest is read when that comes.  So a
 * hundred thousand instances cost their polls, and those of a server that does
 * not answer cost nothing.  New rows are told by the settlement that made them;
 * all lanes are looked at every poll_interval, too, one descent of the index
 * each.
 *
 * Polls are made on connections that have nothing to send, in places that are
 * free (polls.h), and written in transactions that wait for no disk, no row and
 * no table that somebody has locked.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/guc.h"
#include "base/objects.h"
#include "base/refusal.h"
#include "base/testpoint.h"
#include "base/text.h"
#include "call/instance.h"
#include "queue/tracked.h"
#include "queue/verdict.h"
#include "worker/given_up.h"
#include "worker/polls.h"
#include "worker/progress.h"
#include "worker/sender_state.h"
#include "worker/tracker.h"
#include "worker/unpolled.h"
#include "worker/worker_status.h"

#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* One that is not found, each time, is followed so long. */
#define MISSED		(INT64CONST(10) * USECS_PER_MINUTE)

/* What could not be done is tried again, milliseconds; what is refused. */
#define TRY_AGAIN		1000
#define REFUSED_AGAIN	60000

/* So long it is tried whether what keeps it passes, the same. */
#define MOMENT			5000

/* Rows that are read of a lane, and brought forward, at a time. */
#define MAX_READ		1000

/* Of those that nobody can poll, so many end at a time. */
#define MAX_ENDED		100

/* A lane that has something. */
typedef struct Way
{
	int64		lane;
	DwfRoute   *route;
	DwfSteady	next;			/* when its first is due */
	bool		is_found;		/* by the look under way */
	DwfUnpolled unpolled;		/* what of it cannot be polled */
} Way;

/* What a poll has told, on its way into the tables. */
typedef struct Telling
{
	DwfPoll    *poll;
	TimestampTz now;
	int			tries;			/* with this one */
	TimestampTz due;			/* if it goes on */
	bool		only_wait;		/* nothing but that it is polled again */
	bool		is_held;		/* somebody holds a row */
} Telling;

static Way *ways;
static int	nways;
static int	turn;				/* of these, the next one */
static DwfSteady look_at;		/* at all lanes */
static DwfSteady again_at;		/* nothing before, after a failure */
static DwfSteady held_since;	/* what is to be written; 0: nothing is */
static const DwfPoll *held;		/* the one that waits for so long, if known */

static void work(void *arg);
static bool lock_tables(void);
static void write_ended(DwfSteady now);
static void write_poll(DwfPoll *poll, DwfSteady now);
static void tell(void *arg);
static bool tell_status(const Telling *telling);
static bool tell_failure(const Telling *telling);
static void note_due(int64 lane, DwfSteady due);
static void look(DwfSender *sender, DwfSteady now);
static void note_poll_times(const DwfSender *sender);
static Way *get_way(int64 lane);
static void end_unpolled(Way *way, DwfSteady now);
static void choose(DwfSender *sender, DwfSteady now);
static int	room_of_all(const DwfSender *sender);
static bool is_free(const Way *way, DwfSteady now);
static void choose_of(DwfSender *sender, Way *way, DwfSteady now);
static bool poll_row(DwfSender *sender, const DwfTable *tracked,
					 TimestampTz wall);
static void say_refused(int64 request, const ErrorData *error);
static bool end_if_may(const DwfTracked *row, const char *why,
					   TimestampTz wall);
static void end_written(bool committed);

void
dwf_tracker_turn(DwfWriting *writing, bool is_paused)
{
	DwfSender  *sender = writing->sender;
	DwfSteady	now = dwf_clock_now();

	if (dwf_polls_gave_way())
		look_at = 0;			/* they are due still */
	if (!dwf_track_instances)
		nways = 0;				/* nobody waits for a poll */
	note_poll_times(sender);
	if (is_paused ||
		(!dwf_track_instances && dwf_polls_count(DWF_POLL_ENDED) == 0))
	{
		held_since = 0;
		dwf_progress_drop(DWF_TASK_TRACK);
		dwf_given_up_drop();
	}
	if (is_paused || dwf_tracker_at(sender, now) > now)
		return;
	if (dwf_writing_do(writing, DWF_TASK_TRACK, work, sender))
	{
		dwf_tracked_end_move(true);
		end_written(true);
		dwf_polls_send(sender->engine);
		dwf_progress_set(DWF_TASK_TRACK, held_since);
		if (held != NULL && held->refused != 0)
			dwf_progress_note_refusal(DWF_TASK_TRACK, held->refused,
									  held->refusal);
	}
	else
	{
		dwf_tracked_end_move(false);
		end_written(false);
		dwf_polls_drop_chosen();
		again_at = TimestampTzPlusMilliseconds(now, TRY_AGAIN);
	}
}

DwfSteady
dwf_tracker_at(const DwfSender *sender, DwfSteady now)
{
	DwfSteady	next = DT_NOEND;
	TimestampTz added = dwf_tracked_take_added();

	look_at = Min(look_at, dwf_clock_steady(added));
	for (int i = 0; dwf_polls_count(DWF_POLL_ENDED) > 0 && i < DWF_MAX_POLLED;
		 i++)
	{
		if (dwf_polls[i].state == DWF_POLL_ENDED)
			next = Min(next, dwf_polls[i].write_at);
	}
	/* while the routes are stale nothing is chosen: to look would be in vain */
	if (!dwf_track_instances || dwf_routes_are_stale(&sender->agenda.routes))
		return next == DT_NOEND ? next : Max(next, again_at);
	next = Min(next, look_at);
	for (int i = 0; i < nways && room_of_all(sender) > 0; i++)
	{
		if (ways[i].next < next && is_free(&ways[i], now))
			next = Min(next, Max(ways[i].next,
								 dwf_link_poll_at(ways[i].route->link, now)));
	}
	return next == DT_NOEND ? next : Max(next, again_at);
}

/* In the transaction of a turn. */
static void
work(void *arg)
{
	DwfSender  *sender = arg;
	DwfSteady	now = dwf_clock_now();

	if (!lock_tables())
	{
		again_at = TimestampTzPlusMilliseconds(now, TRY_AGAIN);
		if (held_since == 0)
			held_since = now;
		held = NULL;
		return;
	}
	dwf_given_up_begin();
	dwf_tracked_move();
	write_ended(now);
	if (!dwf_track_instances || dwf_routes_are_stale(&sender->agenda.routes))
		return;
	if (now >= look_at)
		look(sender, now);
	choose(sender, now);
}

/* Whoever has locked a table is not waited for. */
static bool
lock_tables(void)
{
	return ConditionalLockRelationOid(dwf_object_require("tracked", NULL),
									  RowExclusiveLock) &&
		ConditionalLockRelationOid(dwf_object_require("log", NULL),
								   RowExclusiveLock);
}

/* Since when the oldest that cannot be written waits is kept from turn to turn. */
static void
write_ended(DwfSteady now)
{
	held_since = 0;
	held = NULL;
	for (int i = 0; dwf_polls_count(DWF_POLL_ENDED) > 0 && i < DWF_MAX_POLLED;
		 i++)
	{
		DwfPoll    *poll = &dwf_polls[i];

		if (poll->state != DWF_POLL_ENDED)
			continue;
		if (poll->write_at <= now)
			write_poll(poll, now);
		if (!poll->written && poll->held_since != 0 &&
			(held_since == 0 || poll->held_since < held_since))
		{
			held = poll;
			held_since = poll->held_since;
		}
	}
}

/*
 * Writes what a poll has told, apart from the others: what the log refuses is told
 * to people, and the poll is made again later; so is what it keeps waiting, or
 * fails otherwise, for longer than a moment.  Locks are waited for but shortly
 * after the first.
 */
static void
write_poll(DwfPoll *poll, DwfSteady now)
{
	Telling		telling = {.poll = poll,.now = dwf_clock_shown(now)};
	ErrorData  *error;
	bool		is_moment;

	DWF_TESTPOINT("before-track");
	error = dwf_apart_try_any(tell, &telling);
	if (error != NULL && error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		dwf_apart_wait_shortly();
	is_moment = error != NULL && !dwf_refusal_is_rows(error->sqlerrcode) &&
		(poll->held_since == 0 ||
		 now < TimestampTzPlusMilliseconds(poll->held_since, MOMENT));
	if (error != NULL && !is_moment)
	{
		say_refused(poll->row.request, error);
		telling.only_wait = true;
		error = dwf_apart_try_any(tell, &telling);
	}
	poll->written = error == NULL && !telling.is_held;
	if (poll->written)
		return;
	poll->refused = error == NULL ? 0 : error->sqlerrcode;
	dwf_text_cut(poll->refusal, sizeof(poll->refusal),
				 error == NULL ? "" : error->message);
	poll->write_at = TimestampTzPlusMilliseconds(now, error == NULL || is_moment ?
												 TRY_AGAIN : REFUSED_AGAIN);
	if (poll->held_since == 0)
		poll->held_since = now;
}

/* What did not come to Domo is no try: the connection rests for that. */
static void
tell(void *arg)
{
	Telling    *telling = arg;
	const DwfPoll *poll = telling->poll;
	DwfOutcome	outcome = poll->reply.outcome;

	telling->tries = poll->row.tries + 1;
	if (outcome == DWF_UNSENT || outcome == DWF_THROTTLED ||
		outcome == DWF_UNAUTHORIZED)
		telling->tries--;
	telling->due = telling->now + (telling->only_wait ? DWF_MAX_POLL_WAIT :
								   dwf_tracked_wait(telling->tries, dwf_verdict_dice()));
	if (telling->only_wait)
		telling->is_held = !dwf_tracked_go_on(&poll->row, telling->tries, false,
											  NULL, "what it has told could not be written",
											  telling->due);
	else
		telling->is_held = !(poll->failure[0] == '\0' ? tell_status(telling) :
							 tell_failure(telling));
	if (!telling->is_held)
		note_due(poll->row.lane, dwf_clock_steady(telling->due));
}

/* Of an instance that is there.  False: somebody holds a row. */
static bool
tell_status(const Telling *telling)
{
	const DwfPoll *poll = telling->poll;
	DwfTracked	row = poll->row;
	const char *told = poll->reply.instance.status;
	const char *status = NULL;
	Datum		value;

	if (told != NULL && dwf_instance_text(told, &value))
		status = TextDatumGetCString(value);
	if (dwf_domo_is_final(told))
		return dwf_tracked_end(&poll->row, true, status, NULL, telling->now);
	if (dwf_clock_now() > poll->row.started_at + DWF_FOLLOWED)
		return dwf_tracked_end(&poll->row, true, status,
							   "its instance is followed no longer: it had not ended after 7 days",
							   telling->now);
	row.missing_since = 0;
	return dwf_tracked_go_on(&row, telling->tries, true, status, NULL,
							 telling->due);
}

/*
 * Of a poll that has failed, which changes nothing else.  A gateway may answer
 * 404 as well, and a short outage is not the end of an instance: only one that
 * each poll of a while has missed is not there.
 */
static bool
tell_failure(const Telling *telling)
{
	const DwfPoll *poll = telling->poll;
	DwfTracked	row = poll->row;
	DwfSteady	now = dwf_clock_now();
	bool		is_missing = poll->reply.outcome == DWF_REJECTED &&
	poll->http_status == 404;

	if (!is_missing)
		row.missing_since = 0;
	else if (row.missing_since == 0)
		row.missing_since = now;
	else if (now > row.missing_since + MISSED)
		return dwf_tracked_end(&poll->row, true, NULL,
							   "its instance is followed no longer: Domo does not know it (HTTP status 404)",
							   telling->now);
	if (now > row.started_at + DWF_FOLLOWED)
		return dwf_tracked_end(&row, false, NULL,
							   psprintf("its instance is followed no longer, after 7 days: %s",
										poll->failure), telling->now);
	return dwf_tracked_go_on(&row, telling->tries, false, NULL, poll->failure,
							 telling->due);
}

/* Something of a lane is due then. */
static void
note_due(int64 lane, DwfSteady due)
{
	for (int i = 0; i < nways; i++)
	{
		if (ways[i].lane == lane)
			ways[i].next = Min(ways[i].next, due);
	}
}

/* Looks at the first of each lane, and forgets those that have none. */
static void
look(DwfSender *sender, DwfSteady now)
{
	TimestampTz wall = dwf_clock_shown(now);
	DwfTable	tracked;
	DwfDestination to;
	int64		lane = PG_INT64_MIN;
	TimestampTz due;
	int			kept = 0;

	look_at = dwf_clock_next_beat(now, dwf_poll_interval);
	dwf_given_up_look();
	for (int i = 0; i < nways; i++)
		ways[i].is_found = false;
	dwf_table_open(&tracked, "tracked", TRACKED_COLUMNS, false);
	while (dwf_tracked_next_lane(&tracked, &lane, &to, &due))
	{
		DwfRoute   *route = dwf_routes_get(&sender->agenda.routes, &to);
		Way		   *way = get_way(lane);

		way->is_found = true;
		way->route = route;
		way->next = dwf_clock_steady(due);
	}
	dwf_table_close(&tracked);
	for (int i = 0; i < nways; i++)
	{
		if (!ways[i].is_found)
			continue;
		ways[kept++] = ways[i];
		if (dwf_tracked_bring_forward(ways[i].lane, wall, MAX_READ) > 0)
			ways[kept - 1].next = look_at = 0;
	}
	nways = kept;
	for (int i = 0; i < nways; i++)
		end_unpolled(&ways[i], now);
}

/* When the next instance of each route is polled, for who shows what waits. */
static void
note_poll_times(const DwfSender *sender)
{
	const DwfRoutes *routes = &sender->agenda.routes;

	for (int i = 0; i < routes->count; i++)
		routes->items[i]->poll_at = 0;
	for (int i = 0; i < nways; i++)
	{
		DwfRoute   *route = ways[i].route;

		route->poll_at = route->poll_at == 0 ? ways[i].next :
			Min(route->poll_at, ways[i].next);
	}
}

/*
 * Ends what of a lane was started too long ago, where no poll can tell of it; where
 * too many are waited for, the rest is for the next look.
 */
static void
end_unpolled(Way *way, DwfSteady now)
{
	DwfTracked	old[MAX_ENDED];
	DwfSteady	look_before = way->unpolled.look_at;
	const char *why;
	int			count;

	if (!dwf_given_up_goes_on())
		return;
	count = dwf_unpolled_find_old(&way->unpolled, way->lane, way->route,
								  way->next <= now, now, old, MAX_ENDED, &why);
	for (int i = 0; i < count; i++)
	{
		if (!dwf_given_up_goes_on())
		{
			way->unpolled.place.due = old[i - 1].due;
			way->unpolled.place.request = old[i - 1].request;
			way->unpolled.look_at = look_before;
			break;
		}
		(void) dwf_given_up_end(&old[i], psprintf("its instance is followed no longer, after 7 days: %s",
												  why), dwf_clock_shown(now));
	}
}

static Way *
get_way(int64 lane)
{
	for (int i = 0; i < nways; i++)
	{
		if (ways[i].lane == lane)
			return &ways[i];
	}
	ways = ways == NULL ? MemoryContextAlloc(TopMemoryContext, sizeof(Way)) :
		repalloc(ways, (nways + 1) * sizeof(Way));
	memset(&ways[nways], 0, sizeof(Way));
	ways[nways].lane = lane;
	return &ways[nways++];
}

/* Chooses what is polled now: of the lanes in turn. */
static void
choose(DwfSender *sender, DwfSteady now)
{
	for (int i = 0; i < nways; i++)
	{
		Way		   *way = &ways[turn++ % nways];

		turn %= nways;
		if (way->next <= now && is_free(way, now))
			choose_of(sender, way, now);
	}
}

/* Places for polls: a quarter of all, of those that are free. */
static int
room_of_all(const DwfSender *sender)
{
	int			polled = dwf_polls_count(DWF_POLL_CHOSEN) +
	dwf_polls_count(DWF_POLL_IN_FLIGHT);
	int			room = Max(1, dwf_max_connections / 4) - polled;

	room = Min(room, dwf_max_connections - sender->in_flight -
			   list_length(sender->claimed) - polled);
	return Min(room, DWF_MAX_POLLED - polled -
			   dwf_polls_count(DWF_POLL_ENDED));
}

/* Whether its connection is there and has nothing to send. */
static bool
is_free(const Way *way, DwfSteady now)
{
	const DwfLink *link = way->route->link;

	return link != NULL && link->is_open && !dwf_agenda_wants(link, now);
}

/*
 * Chooses of one lane, as many as there are places for; those that are under way
 * already are still the first.  So many end at a time that are followed no longer,
 * and the rest soon after; or later, where many are waited for, which rest then.
 */
static void
choose_of(DwfSender *sender, Way *way, DwfSteady now)
{
	DwfLink    *link = way->route->link;
	TimestampTz wall = dwf_clock_shown(now);
	DwfTable	tracked;
	int			ended = 0;

	way->next = DT_NOEND;
	dwf_table_open(&tracked, "tracked", TRACKED_COLUMNS, false);
	dwf_tracked_seek(&tracked, way->lane, DT_NOBEGIN);
	while (dwf_table_next(&tracked))
	{
		TimestampTz due = DatumGetTimestampTz(tracked.values[TRACKED_DUE]);

		if (dwf_polls_have(DatumGetInt64(tracked.values[TRACKED_REQUEST_ID])))
			continue;
		way->next = dwf_clock_steady(due);
		if (due > wall || room_of_all(sender) <= 0 ||
			dwf_link_poll_room(link, now) <= 0)
			break;
		if (ended >= MAX_ENDED)
			break;
		ended += poll_row(sender, &tracked, wall);
		way->next = DT_NOEND;
	}
	if (ended > 0 && !dwf_given_up_goes_on())
		way->next = TimestampTzPlusMilliseconds(now, TRY_AGAIN);
	dwf_table_close(&tracked);
}

/*
 * Polls the instance at hand; where two lanes have met in one number, on its
 * own connection.  Returns whether it is one to be ended, and does not rest.
 */
static bool
poll_row(DwfSender *sender, const DwfTable *tracked, TimestampTz wall)
{
	DwfTracked	row;
	DwfRoute   *route;
	DwfFault	fault;

	dwf_tracked_read(tracked, &row);
	route = dwf_routes_get(&sender->agenda.routes, &row.to);
	if (route->has_lost_role)
		return end_if_may(&row,
						  "its instance is followed no longer: the role that asked for it was dropped",
						  wall);
	if (route->link == NULL || !route->link->is_open ||
		dwf_polls_choose(tracked, route->link, &fault) != NULL)
		return false;
	return fault.message[0] != '\0' &&
		end_if_may(&row, psprintf("its instance cannot be followed: %s",
								  fault.message), wall);
}

static void
say_refused(int64 request, const ErrorData *error)
{
	if (dwf_worker_status_may_say("refused of tracking"))
		ereport(LOG,
				(errmsg("domowf: what has become of the instance of request " INT64_FORMAT " cannot be written: %s",
						request, error->message)));
}

/* False: it rests, as it could not be ended a short while ago. */
static bool
end_if_may(const DwfTracked *row, const char *why, TimestampTz wall)
{
	return !dwf_given_up_goes_on() || dwf_given_up_end(row, why, wall);
}

/* What was written is done with, or is to be written again. */
static void
end_written(bool committed)
{
	for (int i = 0; dwf_polls_count(DWF_POLL_ENDED) > 0 && i < DWF_MAX_POLLED;
		 i++)
	{
		DwfPoll    *poll = &dwf_polls[i];

		if (poll->state != DWF_POLL_ENDED || !poll->written)
			continue;
		if (committed)
			dwf_polls_free(poll);
		else
			poll->written = false;
	}
}
