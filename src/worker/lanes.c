/*
 * lanes.c
 *	  Whose turn it is.
 *
 * Turns nest: each role with something to send has its turn, and each of its
 * lanes within it, so that a role with many workflows gets no more than one
 * with a single one, nor a lane with a million requests more than one with two.
 * Ready lanes are in rings, so that a turn costs the same however many there
 * are; those that are not, since nothing is due before some time or since they
 * rest, are in a heap by the time at which they may be, and cost nothing until
 * then.  A lane that nobody needs to know is forgotten, so that memory depends
 * on what is due or will be.
 *
 * It must not know how lanes are read, nor what is sent.
 */
#include "worker/lanes.h"

#include <string.h>

#define FIRST_SLOTS	64
#define FIRST_HEAP	64

static int64_t *index_find(const DwfIndex *index, int64_t id);
static size_t slot_of(const DwfIndex *index, int64_t id);
static void index_add(DwfIndex *index, int64_t *element);
static void index_make_room(DwfLanes *lanes, DwfIndex *index);
static void index_remove(DwfIndex *index, int64_t id);
static bool has_work(const DwfLane *lane, int64_t now);
static bool may_go(const DwfLane *lane, int64_t now);
static void forget(DwfLanes *lanes, DwfLane *lane);
static void take_out(DwfLanes *lanes, DwfLane *lane);
static void make_ready(DwfLanes *lanes, DwfLane *lane);
static void end_ready(DwfLanes *lanes, DwfLane *lane);
static void list_resting(DwfLanes *lanes, DwfLane *lane, bool rests);
static void heap_add(DwfLanes *lanes, DwfLane *lane, int64_t wake_at);
static void heap_grow(DwfLanes *lanes);
static void heap_remove(DwfLanes *lanes, DwfLane *lane);
static void heap_put(DwfLanes *lanes, int place, DwfLane *lane);
static void heap_settle(DwfLanes *lanes, int place);

/* ---- by number: open addressing, at most half full */

static int64_t *
index_find(const DwfIndex *index, int64_t id)
{
	if (index->nslots == 0)
		return NULL;
	for (size_t i = slot_of(index, id);; i = (i + 1) & (index->nslots - 1))
	{
		if (index->slots[i] == NULL || *index->slots[i] == id)
			return index->slots[i];
	}
}

static size_t
slot_of(const DwfIndex *index, int64_t id)
{
	uint64_t	hash = (uint64_t) id * UINT64_C(0x9E3779B97F4A7C15);

	return (size_t) (hash >> 32) & (index->nslots - 1);
}

/* Where index_make_room() has been called. */
static void
index_add(DwfIndex *index, int64_t *element)
{
	size_t		i = slot_of(index, *element);

	while (index->slots[i] != NULL)
		i = (i + 1) & (index->nslots - 1);
	index->slots[i] = element;
	index->count++;
}

/* Has changed nothing where there is no memory, so that alloc() raises. */
static void
index_make_room(DwfLanes *lanes, DwfIndex *index)
{
	DwfIndex	old = *index;
	size_t		nslots = old.nslots == 0 ? FIRST_SLOTS : old.nslots * 2;

	if (old.count * 2 < old.nslots)
		return;
	index->slots = lanes->alloc(nslots * sizeof(*index->slots));
	index->nslots = nslots;
	index->count = 0;
	for (size_t i = 0; i < old.nslots; i++)
	{
		if (old.slots[i] != NULL)
			index_add(index, old.slots[i]);
	}
	if (old.slots != NULL)
		lanes->release(old.slots);
}

/* Those behind it move up, unless they would come before their own place. */
static void
index_remove(DwfIndex *index, int64_t id)
{
	size_t		mask = index->nslots - 1;
	size_t		hole = slot_of(index, id);

	while (*index->slots[hole] != id)
		hole = (hole + 1) & mask;
	for (size_t i = (hole + 1) & mask; index->slots[i] != NULL;
		 i = (i + 1) & mask)
	{
		size_t		own = slot_of(index, *index->slots[i]);

		if (((i - own) & mask) < ((i - hole) & mask))
			continue;
		index->slots[hole] = index->slots[i];
		hole = i;
	}
	index->slots[hole] = NULL;
	index->count--;
}

/* ---- lanes */

DwfLane *
dwf_lanes_find(const DwfLanes *lanes, int64_t id)
{
	return (DwfLane *) index_find(&lanes->lanes, id);
}

DwfLane *
dwf_lanes_get(DwfLanes *lanes, int64_t id)
{
	DwfLane    *lane = dwf_lanes_find(lanes, id);
	int64_t		role_id = (int64_t) ((uint64_t) id >> 32);
	DwfRole    *role;

	if (lane != NULL)
		return lane;
	index_make_room(lanes, &lanes->roles);
	index_make_room(lanes, &lanes->lanes);
	role = (DwfRole *) index_find(&lanes->roles, role_id);
	if (role == NULL)
	{
		role = lanes->alloc(sizeof(DwfRole));
		role->id = role_id;
		index_add(&lanes->roles, &role->id);
	}
	lane = lanes->alloc(sizeof(DwfLane));
	lane->id = id;
	lane->role = role;
	lane->next_due = DWF_NEVER;
	lane->cursor_due = lane->cursor_id = INT64_MIN;
	index_add(&lanes->lanes, &lane->id);
	role->nlanes++;
	return lane;
}

static bool
has_work(const DwfLane *lane, int64_t now)
{
	return lane->taken < lane->count || lane->next_due <= now;
}

static bool
may_go(const DwfLane *lane, int64_t now)
{
	return dwf_rest_room(&lane->pause, now, INT_MAX) > lane->in_flight;
}

bool
dwf_lanes_place(DwfLanes *lanes, DwfLane *lane, int64_t now)
{
	bool		works = has_work(lane, now);

	list_resting(lanes, lane, lane->pause.pauses > 0);

	/* who is told of more does not lose his place for it */
	if (lane->is_ready && works && may_go(lane, now))
		return true;
	take_out(lanes, lane);
	if (works && may_go(lane, now))
		make_ready(lanes, lane);
	else if (works)
	{
		/* it rests, or what it probes with is in flight */
		if (lane->pause.until > now)
			heap_add(lanes, lane, lane->pause.until);
	}
	else if (lane->next_due != DWF_NEVER)
		heap_add(lanes, lane, lane->next_due);
	else if (lane->keep_until > now)
		heap_add(lanes, lane, lane->keep_until);
	else if (lane->in_flight == 0)
	{
		forget(lanes, lane);
		return false;
	}
	return true;
}

static void
forget(DwfLanes *lanes, DwfLane *lane)
{
	DwfRole    *role = lane->role;

	list_resting(lanes, lane, false);
	index_remove(&lanes->lanes, lane->id);
	if (lane->ids != NULL)
		lanes->release(lane->ids);
	lanes->release(lane);
	if (--role->nlanes > 0)
		return;
	index_remove(&lanes->roles, role->id);
	lanes->release(role);
}

void
dwf_lanes_forget_unseen(DwfLanes *lanes, int64_t look)
{
	size_t		i = 0;

	while (i < lanes->lanes.nslots)
	{
		DwfLane    *lane = (DwfLane *) lanes->lanes.slots[i];

		if (lane == NULL || lane->look == look || lane->in_flight > 0)
		{
			i++;
			continue;
		}
		/* another one may move to its place in the index: this one again */
		take_out(lanes, lane);
		forget(lanes, lane);
	}
}

/* Out of ring and heap. */
static void
take_out(DwfLanes *lanes, DwfLane *lane)
{
	if (lane->is_ready)
		end_ready(lanes, lane);
	if (lane->heap_place > 0)
		heap_remove(lanes, lane);
}

/* At the end of the ring of its role, and that at the end of the roles'. */
static void
make_ready(DwfLanes *lanes, DwfLane *lane)
{
	DwfRole    *role = lane->role;

	lane->is_ready = true;
	lanes->nready++;
	if (role->turn != NULL)
	{
		lane->next = role->turn;
		lane->previous = role->turn->previous;
		lane->next->previous = lane->previous->next = lane;
		return;
	}
	role->turn = lane->next = lane->previous = lane;
	if (lanes->turn == NULL)
		lanes->turn = role->next = role->previous = role;
	else
	{
		role->next = lanes->turn;
		role->previous = lanes->turn->previous;
		role->next->previous = role->previous->next = role;
	}
}

/*
 * The turn goes on with the next; a role without a ready lane leaves the ring
 * of roles, so that it is no empty turn.
 */
static void
end_ready(DwfLanes *lanes, DwfLane *lane)
{
	DwfRole    *role = lane->role;

	lane->is_ready = false;
	lanes->nready--;
	if (lane->next != lane)
	{
		lane->next->previous = lane->previous;
		lane->previous->next = lane->next;
		if (role->turn == lane)
			role->turn = lane->next;
		return;
	}
	role->turn = NULL;
	role->next->previous = role->previous;
	role->previous->next = role->next;
	if (lanes->turn == role)
		lanes->turn = role->next == role ? NULL : role->next;
}

DwfLane *
dwf_lanes_take_turn(DwfLanes *lanes, int64_t now)
{
	DwfRole    *role;
	DwfLane    *lane;

	while (lanes->nheap > 0 && lanes->heap[0]->wake_at <= now)
		(void) dwf_lanes_place(lanes, lanes->heap[0], now);
	role = lanes->turn;
	if (role == NULL)
		return NULL;
	lanes->turn = role->next;
	lane = role->turn;
	end_ready(lanes, lane);
	return lane;
}

int64_t
dwf_lanes_next(const DwfLanes *lanes, int64_t now)
{
	if (lanes->nready > 0)
		return now;
	return lanes->nheap > 0 ? lanes->heap[0]->wake_at : DWF_NEVER;
}

/* ---- those that rest */

/*
 * A list of their own, since to ask whether all rest must not cost a look at
 * all that wait.
 */
static void
list_resting(DwfLanes *lanes, DwfLane *lane, bool rests)
{
	if (rests == lane->is_listed)
		return;
	lane->is_listed = rests;
	if (rests)
	{
		lane->previous_resting = NULL;
		lane->next_resting = lanes->resting;
		if (lanes->resting != NULL)
			lanes->resting->previous_resting = lane;
		lanes->resting = lane;
		return;
	}
	if (lane->next_resting != NULL)
		lane->next_resting->previous_resting = lane->previous_resting;
	if (lane->previous_resting != NULL)
		lane->previous_resting->next_resting = lane->next_resting;
	else
		lanes->resting = lane->next_resting;
}

void
dwf_lanes_wake(DwfLanes *lanes, int64_t since, bool open, int64_t now)
{
	DwfLane    *lane = lanes->resting;

	while (lane != NULL)
	{
		DwfLane    *next = lane->next_resting;

		if (lane->pause.since >= since)
		{
			lane->pause.until = now;
			if (open)
				lane->pause.failures = lane->pause.pauses = 0;
			(void) dwf_lanes_place(lanes, lane, now);
		}
		lane = next;
	}
}

void
dwf_lanes_add_resting(const DwfLanes *lanes, int64_t now, DwfResting *resting)
{
	resting->ready += lanes->nready;
	for (DwfLane *lane = lanes->resting; lane != NULL;
		 lane = lane->next_resting)
	{
		resting->ready -= lane->is_ready;
		resting->in_flight += lane->in_flight;
		if (has_work(lane, now) && lane->pause.until < resting->until)
			resting->until = lane->pause.until;
	}
}

/* ---- later: a binary heap, the earliest first */

static void
heap_add(DwfLanes *lanes, DwfLane *lane, int64_t wake_at)
{
	if (lanes->nheap == lanes->heap_size)
		heap_grow(lanes);
	lane->wake_at = wake_at;
	heap_put(lanes, lanes->nheap++, lane);
	heap_settle(lanes, lanes->nheap - 1);
}

/* As index_make_room(), where there is none. */
static void
heap_grow(DwfLanes *lanes)
{
	DwfLane   **old = lanes->heap;
	int			size = old == NULL ? FIRST_HEAP : lanes->heap_size * 2;

	lanes->heap = lanes->alloc(size * sizeof(*old));
	lanes->heap_size = size;
	if (old != NULL)
	{
		memcpy(lanes->heap, old, lanes->nheap * sizeof(*old));
		lanes->release(old);
	}
}

static void
heap_remove(DwfLanes *lanes, DwfLane *lane)
{
	int			place = lane->heap_place - 1;
	DwfLane    *last = lanes->heap[--lanes->nheap];

	lane->heap_place = 0;
	if (last == lane)
		return;
	heap_put(lanes, place, last);
	heap_settle(lanes, place);
}

static void
heap_put(DwfLanes *lanes, int place, DwfLane *lane)
{
	lanes->heap[place] = lane;
	lane->heap_place = place + 1;
}

/* Moves the lane at this place up or down to where it belongs. */
static void
heap_settle(DwfLanes *lanes, int place)
{
	DwfLane   **heap = lanes->heap;
	DwfLane    *lane = heap[place];

	while (place > 0 && lane->wake_at < heap[(place - 1) / 2]->wake_at)
	{
		heap_put(lanes, place, heap[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	for (;;)
	{
		int			child = 2 * place + 1;

		if (child + 1 < lanes->nheap &&
			heap[child + 1]->wake_at < heap[child]->wake_at)
			child++;
		if (child >= lanes->nheap || heap[child]->wake_at >= lane->wake_at)
			break;
		heap_put(lanes, place, heap[child]);
		place = child;
	}
	heap_put(lanes, place, lane);
}
