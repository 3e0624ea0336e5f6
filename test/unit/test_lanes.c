/*
 * test_lanes.c
 *	  Unit tests of lanes.c: whose turn it is.
 *
 * Fairness and the cost of what rests or waits are counted here, which a
 * server could only time.
 */
#include "../../src/queue/backoff.c"
#include "../../src/queue/rest.c"
#include "../../src/worker/lanes.c"

#include <setjmp.h>

#include "tap.h"

#define NOW		INT64_C(1000000)

/* Lane `number` of a role. */
#define LANE(role, number)	((int64_t) (role) << 32 | (number))

static size_t allocated;

/* So many times there is memory to grow, then once there is not; -1: always. */
static int	grants = -1;
static jmp_buf no_memory;

static void *
allocate(size_t size)
{
	if (size > sizeof(DwfLane) && grants >= 0 && grants-- == 0)
		longjmp(no_memory, 1);
	allocated++;
	return calloc(1, size);
}

static void
release(void *pointer)
{
	allocated--;
	free(pointer);
}

static void
open_lanes(DwfLanes *lanes)
{
	memset(lanes, 0, sizeof(*lanes));
	lanes->alloc = allocate;
	lanes->release = release;
}

/* What a lane has: something due from this time on, for ever. */
static DwfLane *
set_due(DwfLanes *lanes, int64_t id, int64_t due)
{
	DwfLane    *lane = dwf_lanes_get(lanes, id);

	lane->next_due = due;
	return dwf_lanes_place(lanes, lane, NOW) ? lane : NULL;
}

/* Takes a turn and puts the lane back, which has more. */
static int64_t
turn(DwfLanes *lanes, int64_t now)
{
	DwfLane    *lane = dwf_lanes_take_turn(lanes, now);
	int64_t		id;

	if (lane == NULL)
		return 0;
	id = lane->id;
	dwf_lanes_place(lanes, lane, now);
	return id;
}

/* Ends what open_lanes() began: all is forgotten. */
static void
close_lanes(DwfLanes *lanes)
{
	for (size_t i = 0; i < lanes->lanes.nslots; i++)
	{
		DwfLane    *lane;

		while ((lane = (DwfLane *) lanes->lanes.slots[i]) != NULL)
		{
			lane->next_due = DWF_NEVER;
			lane->taken = lane->count = lane->in_flight = 0;
			lane->keep_until = INT64_MIN;
			dwf_lanes_place(lanes, lane, NOW);
		}
	}
	is_int(lanes->lanes.count, 0, "all lanes can be forgotten");
	is_int(lanes->roles.count, 0, "... and their roles");
	is_int(lanes->nheap + lanes->nready, 0, "... nothing is left of them");
	free(lanes->lanes.slots);
	free(lanes->roles.slots);
	free(lanes->heap);
}

static void
test_turns_nest(void)
{
	DwfLanes	lanes;
	int			of_role[4] = {0};
	int			of_lane[20] = {0};
	int			twice = 0;
	int64_t		last = 0;

	open_lanes(&lanes);
	is_int(turn(&lanes, NOW), 0, "nobody's turn where there is nobody");
	is_int(dwf_lanes_next(&lanes, NOW), DWF_NEVER, "... nor ever");

	/* one role with many lanes, one with two, one with one */
	for (int i = 0; i < 17; i++)
		set_due(&lanes, LANE(1, i), NOW);
	set_due(&lanes, LANE(2, 17), NOW);
	set_due(&lanes, LANE(2, 18), NOW - 1000);
	set_due(&lanes, LANE(3, 19), NOW);
	is_int(dwf_lanes_next(&lanes, NOW), NOW, "there is something to send");
	for (int i = 0; i < 3 * 17 * 2; i++)
	{
		int64_t		id = turn(&lanes, NOW);

		twice += id == last;
		last = id;
		of_role[id >> 32]++;
		of_lane[id & 31]++;
	}
	is_int(of_role[1], 34, "each role has a third of the turns");
	is_int(of_role[2], 34, "... whatever it has");
	is_int(of_role[3], 34, "... and one lane gets what others share");
	is_int(of_lane[0], 2, "lanes of a role have equal turns");
	is_int(of_lane[16], 2, "... all of them");
	is_int(of_lane[18], 17, "... also one that was due before");
	is_int(twice, 0, "none has two turns running");

	/* nor does anybody lose or win a turn by being told of more */
	for (int i = 0; i < 30; i++)
	{
		for (int j = 0; j < 17; j++)
			set_due(&lanes, LANE(1, j), NOW);
		of_lane[turn(&lanes, NOW) & 31]++;
	}
	is_int(of_lane[0], 3, "who is told of more does not lose his place");
	is_int(of_lane[9], 3, "... whichever it is");
	is_int(of_lane[10], 2, "... nor has it before others");

	/* one that comes in has its turn before all have had another */
	set_due(&lanes, LANE(9, 1), NOW);
	for (int i = 0; i < 4; i++)
		last = turn(&lanes, NOW) == LANE(9, 1) ? -1 : last;
	is_int(last, -1, "a new role's turn comes in the first round");
	close_lanes(&lanes);
}

static void
test_later(void)
{
	DwfLanes	lanes;
	size_t		before = allocated;

	open_lanes(&lanes);
	set_due(&lanes, LANE(1, 1), NOW + 30);
	set_due(&lanes, LANE(1, 2), NOW + 10);
	set_due(&lanes, LANE(2, 3), NOW + 20);
	is_int(turn(&lanes, NOW), 0, "nothing is due yet");
	is_int(dwf_lanes_next(&lanes, NOW), NOW + 10, "... it is known when");
	is_int(turn(&lanes, NOW + 10), LANE(1, 2), "then the one that is due");
	is_int(turn(&lanes, NOW + 10), LANE(1, 2), "... and no other");
	set_due(&lanes, LANE(1, 2), DWF_NEVER);
	is_int(dwf_lanes_next(&lanes, NOW + 10), NOW + 20, "... then the next");
	set_due(&lanes, LANE(1, 1), NOW + 5);
	is_int(dwf_lanes_next(&lanes, NOW), NOW + 5, "one may become due sooner");
	ok(dwf_lanes_find(&lanes, LANE(1, 2)) == NULL,
	   "one without anything is forgotten");
	ok(dwf_lanes_find(&lanes, LANE(2, 3)) != NULL, "... others are not");

	/* in flight: not to be forgotten */
	{
		DwfLane    *lane = dwf_lanes_get(&lanes, LANE(7, 7));

		lane->in_flight = 1;
		ok(dwf_lanes_place(&lanes, lane, NOW), "one in flight is kept");
		lane->in_flight = 0;
		lane->keep_until = NOW + 7;
		ok(dwf_lanes_place(&lanes, lane, NOW), "... so is one that failed");
		is_int(turn(&lanes, NOW + 4), 0, "... for a while");
		ok(dwf_lanes_find(&lanes, LANE(7, 7)) != NULL, "... and no longer");
		(void) turn(&lanes, NOW + 7);
		ok(dwf_lanes_find(&lanes, LANE(7, 7)) == NULL, "... than that");
	}
	close_lanes(&lanes);
	ok(allocated <= before + 3, "no memory is kept but for the tables");
}

/* Whether nothing is sent because lanes rest, with so many attempts in flight. */
static bool
all_rest(const DwfLanes *lanes, int in_flight, int64_t now, int64_t *until)
{
	DwfResting	resting = {.until = DWF_NEVER};

	dwf_lanes_add_resting(lanes, now, &resting);
	*until = resting.until;
	return resting.until != DWF_NEVER && resting.ready == 0 &&
		resting.in_flight == in_flight;
}

static void
test_rest(void)
{
	DwfLanes	lanes;
	DwfLane    *bad;
	int64_t		until;

	open_lanes(&lanes);
	bad = set_due(&lanes, LANE(1, 1), NOW);
	set_due(&lanes, LANE(2, 2), NOW);
	bad->pause.pauses = 1;
	bad->pause.since = NOW;
	bad->pause.until = NOW + 100;
	dwf_lanes_place(&lanes, bad, NOW);
	for (int i = 0; i < 10; i++)
		is_int(turn(&lanes, NOW + i), LANE(2, 2), "one rests, the other goes");
	ok(!all_rest(&lanes, 0, NOW, &until), "not all rest");
	set_due(&lanes, LANE(2, 2), DWF_NEVER);
	ok(all_rest(&lanes, 0, NOW, &until), "all with work rest");
	is_int(until, NOW + 100, "... until then");
	ok(!all_rest(&lanes, 1, NOW, &until),
	   "... but not while another one is in flight");

	/* the probe: one, until it is known what came of it */
	is_int(dwf_lanes_next(&lanes, NOW), NOW + 100, "it probes when that ends");
	ok(dwf_lanes_take_turn(&lanes, NOW + 100) == bad, "... once");
	bad->in_flight = 1;
	dwf_lanes_place(&lanes, bad, NOW + 100);
	is_int(turn(&lanes, NOW + 1000), 0, "... and no more");
	is_int(dwf_lanes_next(&lanes, NOW + 1000), DWF_NEVER, "... whenever");
	ok(all_rest(&lanes, 1, NOW + 100, &until),
	   "it rests while its probe is in flight");
	bad->in_flight = 0;
	bad->pause.pauses = 0;
	dwf_lanes_place(&lanes, bad, NOW + 100);
	ok(lanes.resting == NULL, "one that was answered rests no longer");
	is_int(turn(&lanes, NOW + 101), LANE(1, 1), "... and goes");

	/* waking */
	for (int i = 0; i < 5; i++)
	{
		DwfLane    *lane = set_due(&lanes, LANE(3, i), NOW);

		lane->pause.pauses = 1;
		lane->pause.since = NOW + i;
		lane->pause.until = NOW + 1000;
		dwf_lanes_place(&lanes, lane, NOW);
	}
	set_due(&lanes, LANE(1, 1), DWF_NEVER);
	dwf_lanes_wake(&lanes, NOW + 3, false, NOW + 10);
	is_int(lanes.nready, 2, "who rests since a time goes with a probe");
	dwf_lanes_wake(&lanes, INT64_MIN, true, NOW + 10);
	is_int(lanes.nready, 5, "... or all do");
	ok(lanes.resting == NULL, "... and rest no longer");
	close_lanes(&lanes);
}

/* A small generator, so that a failure can be repeated. */
static uint32_t
dice(uint32_t sides)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) (state >> 11) % sides;
}

/* Anything happens; whoever may go has a turn, and nobody else. */
static void
test_by_chance(void)
{
	enum
	{
		MANY = 400
	};
	DwfLanes	lanes;
	int			wrong = 0;
	int			late = 0;
	int64_t		now = NOW;

	open_lanes(&lanes);
	for (int step = 0; step < 40000; step++)
	{
		int			i = dice(MANY);
		DwfLane    *lane = dwf_lanes_get(&lanes, LANE(1 + i % 13, i));

		now += dice(3);
		switch (dice(5))
		{
			case 0:
				lane->next_due = now + dice(2000);
				break;
			case 1:
				lane->next_due = DWF_NEVER;
				break;
			case 2:
				lane->pause.pauses = dice(2);
				lane->pause.until = now + dice(500);
				break;
			case 3:
				lane->in_flight = dice(2);
				break;
			case 4:
				lane->keep_until = now + dice(100);
				break;
		}
		dwf_lanes_place(&lanes, lane, now);
		if (dwf_lanes_next(&lanes, now) <= now)
			late++;
		lane = dwf_lanes_take_turn(&lanes, now);
		if (lane == NULL)
			continue;
		wrong += !has_work(lane, now) || !may_go(lane, now);
		if (dice(2) == 0)
			lane->next_due = DWF_NEVER;
		dwf_lanes_place(&lanes, lane, now);
	}
	is_int(wrong, 0, "nobody goes who may not");
	ok(late > 1000, "... many do");

	/* and nobody is left out */
	for (size_t i = 0; i < lanes.lanes.nslots; i++)
	{
		const DwfLane *lane = (DwfLane *) lanes.lanes.slots[i];

		if (lane == NULL)
			continue;
		wrong += has_work(lane, now) && may_go(lane, now) &&
			!lane->is_ready && lane->heap_place == 0;
		wrong += lane->heap_place > 0 &&
			lanes.heap[lane->heap_place - 1] != lane;
	}
	for (int i = 1; i < lanes.nheap; i++)
		wrong += lanes.heap[i]->wake_at < lanes.heap[(i - 1) / 2]->wake_at;
	is_int(wrong, 0, "nobody is left out, and the heap is one");
	close_lanes(&lanes);
}

/* Lanes that have no turn: those that a look has not seen are forgotten. */
static void
test_unseen(void)
{
	enum
	{
		MANY = 5000
	};
	DwfLanes	lanes;
	int			wrong = 0;

	open_lanes(&lanes);
	for (int i = 0; i < MANY; i++)
	{
		DwfLane    *lane = set_due(&lanes, LANE(1 + i % 70, i), NOW + i % 3);

		lane->look = i % 5 == 0 ? 2 : 1;
		lane->in_flight = i % 7 == 0;
		lane->pause.pauses = i % 2;
		lane->keep_until = NOW + MANY;
		dwf_lanes_place(&lanes, lane, NOW);
	}
	dwf_lanes_forget_unseen(&lanes, 2);
	for (int i = 0; i < MANY; i++)
		wrong += (dwf_lanes_find(&lanes, LANE(1 + i % 70, i)) != NULL) !=
			(i % 5 == 0 || i % 7 == 0);
	is_int(wrong, 0, "those that were not seen are forgotten, but for what is in flight");
	wrong = 0;
	for (int i = 0; i < lanes.nheap; i++)
		wrong += lanes.heap[i]->look != 2 && lanes.heap[i]->in_flight == 0;
	for (DwfLane *lane = lanes.resting; lane != NULL; lane = lane->next_resting)
		wrong += lane->look != 2 && lane->in_flight == 0;
	is_int(wrong, 0, "... wherever they were");
	for (int i = 0; i < MANY; i += 7)
		dwf_lanes_find(&lanes, LANE(1 + i % 70, i))->in_flight = 0;
	dwf_lanes_forget_unseen(&lanes, 3);
	is_int(lanes.lanes.count, 0, "... and all in the end");
	is_int(lanes.roles.count, 0, "... with their roles");
	close_lanes(&lanes);
}

/* A million that rest or wait cost the one that goes nothing. */
static void
test_many(void)
{
	enum
	{
		MANY = 100000
	};
	DwfLanes	lanes;
	DwfLane    *lane;
	int			turns = 0;

	open_lanes(&lanes);
	for (int i = 0; i < MANY; i++)
		set_due(&lanes, LANE(1 + i % 1000, i), NOW + MANY + i);
	lane = set_due(&lanes, LANE(5000, 1), NOW);
	while (turns < 1000 && turn(&lanes, NOW) == lane->id)
		turns++;
	is_int(turns, 1000, "one goes, whatever waits");
	set_due(&lanes, lane->id, DWF_NEVER);
	for (turns = 0; turns < MANY; turns++)
	{
		lane = dwf_lanes_take_turn(&lanes, NOW + 2 * MANY);
		if (lane == NULL)
			break;
		lane->next_due = DWF_NEVER;
		dwf_lanes_place(&lanes, lane, NOW + 2 * MANY);
	}
	is_int(turns, MANY, "all have their turn in the end");
	is_int(lanes.lanes.count, 0, "... and are forgotten");
	close_lanes(&lanes);
}

/*
 * Where there is no memory to grow, the worker's transaction fails, and it goes
 * on with what it has.  A sanitizer sees what is written past the end.
 */
static void
test_no_memory(void)
{
	DwfLanes	lanes;
	volatile int failures = 0;

	open_lanes(&lanes);
	for (volatile int i = 0; i < 1000; i++)
	{
		/* each growth fails once, and is tried again */
		grants = 0;
		if (setjmp(no_memory) != 0)
		{
			failures++;
			grants = 1;
		}
		set_due(&lanes, LANE(1 + i, 1), NOW + 1000 - i);
	}
	grants = -1;
	ok(failures > 15, "to grow fails");
	is_int(lanes.lanes.count, 1000, "... and nothing is lost by it");
	is_int(lanes.nheap, 1000, "... nor waits twice");
	is_int(dwf_lanes_next(&lanes, NOW), NOW + 1, "... nor in the wrong order");
	close_lanes(&lanes);
}

int
main(void)
{
	test_turns_nest();
	test_later();
	test_rest();
	test_by_chance();
	test_unseen();
	test_many();
	test_no_memory();
	return done_testing();
}
