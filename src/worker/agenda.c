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
 */
#include "postgres.h"

#include "base/columns.h"
#include "worker/agenda.h"

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
static void note_due(DwfAgenda *agenda, int64 id, TimestampTz due,
					 TimestampTz now);
static void begin_look(DwfAgenda *agenda);
static void look(DwfAgenda *agenda, DwfTable *queue, TimestampTz now);
static void read_lane(DwfAgenda *agenda, DwfLane *lane, DwfTable *queue,
					  TimestampTz now);
static void pick(DwfAgenda *agenda, DwfLane *lane);

void
dwf_agenda_open(DwfAgenda *agenda)
{
	memory = AllocSetContextCreate(TopMemoryContext, "domowf lanes",
								   ALLOCSET_DEFAULT_SIZES);
	agenda->lanes.alloc = allocate;
	agenda->lanes.release = release;
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
	agenda->look_twice = false;
	agenda->looked_behind = PG_INT64_MIN;
	agenda->look_took = 0;
}

void
dwf_agenda_take_news(DwfAgenda *agenda, const DwfNews *news, TimestampTz now)
{
	if (news->more_lanes)
		dwf_agenda_look_again(agenda, false);
	for (int i = 0; i < news->nlanes; i++)
		note_due(agenda, news->lanes[i].lane, news->lanes[i].due, now);
}

/* Something of a lane is due from this time on. */
static void
note_due(DwfAgenda *agenda, int64 id, TimestampTz due, TimestampTz now)
{
	DwfLane    *lane = dwf_lanes_get(&agenda->lanes, id);

	if (due <= lane->cursor_due)
	{
		/* rows came in behind the cursor: back to before them */
		lane->cursor_due = due == DT_NOBEGIN ? due : due - 1;
		lane->cursor_id = PG_INT64_MAX;
	}
	if (due < lane->next_due)
		lane->next_due = due;
	(void) dwf_lanes_place(&agenda->lanes, lane, now);
}

TimestampTz
dwf_agenda_next(const DwfAgenda *agenda, TimestampTz now)
{
	TimestampTz next = dwf_lanes_next(&agenda->lanes, now);

	return agenda->must_look ? Min(next, agenda->next_look) : next;
}

void
dwf_agenda_take(DwfAgenda *agenda, TimestampTz now, int room)
{
	DwfLane    *lane;
	DwfTable	queue;
	int			reads = 0;

	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	if (agenda->must_look && now >= agenda->next_look)
		look(agenda, &queue, now);
	while (agenda->npicks < room && reads < MAX_READS &&
		   (lane = dwf_lanes_take_turn(&agenda->lanes, now)) != NULL)
	{
		if (lane->taken == lane->count)
		{
			read_lane(agenda, lane, &queue, now);
			reads++;
		}
		if (lane->taken < lane->count)
			pick(agenda, lane);
		(void) dwf_lanes_place(&agenda->lanes, lane, now);
	}
	dwf_table_close(&queue);
}

/*
 * Looks at the first row of some lanes.  One that may have been read before is
 * read again from there, once.
 */
static void
look(DwfAgenda *agenda, DwfTable *queue, TimestampTz now)
{
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz due;
	int			looks = 0;

	while (looks++ < MAX_LOOKS &&
		   dwf_claim_next_lane(queue, &agenda->looked_behind, &due))
	{
		if (due == DT_NOEND)
			continue;
		note_due(agenda, agenda->looked_behind, due, now);
		dwf_lanes_get(&agenda->lanes, agenda->looked_behind)->is_reread = true;
	}
	agenda->look_took += GetCurrentTimestamp() - start;
	if (looks > MAX_LOOKS)
		return;					/* goes on in the next transaction */
	agenda->must_look = false;
	agenda->next_look = now + LOOK_SHARE * agenda->look_took;
	if (agenda->look_twice)
		begin_look(agenda);
}

/* Reads on, in memory that is there for as long as there are ids. */
static void
read_lane(DwfAgenda *agenda, DwfLane *lane, DwfTable *queue, TimestampTz now)
{
	static int64 ids[MAX_READ];
	DwfCursor	cursor = {lane->cursor_due, lane->cursor_id};
	int			limit = READ_AHEAD / (agenda->lanes.nready + 1);
	bool		is_reread = lane->is_reread;
	TimestampTz start = is_reread ? GetCurrentTimestamp() : 0;

	limit = Max(MIN_READ, Min(MAX_READ, limit));
	lane->count = dwf_claim_find_due(queue, lane->id, &cursor, now, limit, ids,
									 &lane->next_due);
	lane->taken = 0;
	lane->cursor_due = cursor.due;
	lane->cursor_id = cursor.id;
	lane->is_reread = false;
	if (lane->ids != NULL)
		release(lane->ids);
	lane->ids = NULL;
	if (lane->count > 0)
	{
		lane->ids = allocate(lane->count * sizeof(int64));
		memcpy(lane->ids, ids, lane->count * sizeof(int64));
	}

	/* what has been read before counts for the look that asked for it */
	if (is_reread && !agenda->must_look)
		agenda->next_look += LOOK_SHARE * (GetCurrentTimestamp() - start);
}

/*
 * Takes the next id of a lane.  A probe is not the request that was the last
 * one, where there is another.
 */
static void
pick(DwfAgenda *agenda, DwfLane *lane)
{
	DwfRest    *whole = &agenda->connection.pause;
	int64	   *next = &lane->ids[lane->taken];
	DwfPick    *taken = &agenda->picks[agenda->npicks++];
	int64		last = lane->pause.pauses > 0 ? lane->pause.last_probe :
	whole->pauses > 0 ? whole->last_probe : 0;

	if (*next == last && lane->count - lane->taken > 1)
	{
		next[0] = next[1];
		next[1] = last;
	}
	taken->id = *next;
	taken->lane = lane->id;
	taken->is_claimed = false;
	if (lane->pause.pauses > 0)
		lane->pause.last_probe = taken->id;
	if (whole->pauses > 0)
		whole->last_probe = taken->id;
	lane->taken++;
	lane->in_flight++;
}

void
dwf_agenda_committed(DwfAgenda *agenda, TimestampTz now)
{
	for (int i = 0; i < agenda->npicks; i++)
	{
		if (!agenda->picks[i].is_claimed)
			dwf_agenda_drop(agenda, agenda->picks[i].lane, now);
	}
	agenda->npicks = 0;
}

/* What was taken is still in the queue: its lanes are read anew. */
void
dwf_agenda_aborted(DwfAgenda *agenda, TimestampTz now)
{
	for (int i = 0; i < agenda->npicks; i++)
	{
		DwfLane    *lane = dwf_lanes_find(&agenda->lanes,
										  agenda->picks[i].lane);

		lane->cursor_due = lane->next_due = DT_NOBEGIN;
		lane->taken = lane->count;
		dwf_agenda_drop(agenda, lane->id, now);
	}
	agenda->npicks = 0;
}

bool
dwf_agenda_note(DwfAgenda *agenda, const DwfEvidence *evidence,
				const DwfBackoff *backoff, double random)
{
	DwfLane    *lane = dwf_lanes_find(&agenda->lanes, evidence->lane);
	bool		was_resting = agenda->connection.pause.pauses > 0;
	bool		rests;

	dwf_rest_note(&agenda->connection, &lane->pause, evidence, backoff,
				  random);
	rests = lane->pause.pauses > 0;
	if (rests || lane->pause.failures > 0)
		lane->keep_until = Max(lane->pause.until, evidence->now) +
			backoff->cap;

	/* the way is open again: what failed with it need not wait any longer */
	if (was_resting && agenda->connection.pause.pauses == 0)
		dwf_lanes_wake(&agenda->lanes, agenda->connection.began, false,
					   evidence->now);
	dwf_agenda_drop(agenda, evidence->lane, evidence->now);
	return rests;
}

void
dwf_agenda_drop(DwfAgenda *agenda, int64 id, TimestampTz now)
{
	DwfLane    *lane = dwf_lanes_find(&agenda->lanes, id);

	lane->in_flight--;
	(void) dwf_lanes_place(&agenda->lanes, lane, now);
}

void
dwf_agenda_resume(DwfAgenda *agenda, TimestampTz now)
{
	memset(&agenda->connection, 0, sizeof(agenda->connection));
	dwf_lanes_wake(&agenda->lanes, PG_INT64_MIN, true, now);
}
