/*
 * test_retry.c
 *	  Unit tests of backoff.c, rest.c and rate.c: backoff, Retry-After, the pauses of lanes and of a
 *	  connection, and the rate limit.
 *
 * Time and dice are arguments, so that an outage of a minute, or a day of
 * retries, is played through here in microseconds.
 */
#include "../../src/queue/backoff.c"
#include "../../src/queue/rate.c"
#include "../../src/queue/rest.c"

#include "tap.h"

#define SEC		USECS_PER_SEC
#define MINUTE	USECS_PER_MINUTE

/* The defaults of the settings. */
static const DwfBackoff defaults = {.base = 5 * SEC,.cap = 15 * MINUTE};

static const double dice[] = {0.0, 0.25, 0.5, 0.75, 0.999999};

#define DICE	((int) (sizeof(dice) / sizeof(dice[0])))

static void
test_backoff(void)
{
	static const int64_t most[] = {5, 10, 20, 40, 80, 160, 320, 640, 900, 900};
	int			bad = 0;

	for (int n = 0; n < 10; n++)
	{
		is_int(dwf_backoff_wait(&defaults, n, 0.0), 0, "n = %d: may be 0", n);
		is_int(dwf_backoff_wait(&defaults, n, 0.5), most[n] * SEC / 2,
			   "n = %d: half of base * 2^n at most retry_cap", n);
	}
	for (int n = 0; n < 5000; n++)
	{
		for (int d = 0; d < DICE; d++)
		{
			int64_t		wait = dwf_backoff_wait(&defaults, n, dice[d]);

			if (wait < 0 || wait >= defaults.cap)
				bad++;
		}
	}
	is_int(bad, 0, "never negative, never retry_cap or more, for any n");
	is_int(dwf_backoff_wait(&defaults, INT32_MAX, 0.5), 450 * SEC,
		   "n may be huge");

	{
		DwfBackoff	small = {.base = 10000,.cap = 5000};
		DwfBackoff	none = {0};
		DwfBackoff	huge = {.base = INT64_C(1) << 61,.cap = INT64_C(1) << 62};

		ok(dwf_backoff_wait(&small, 0, 0.999) < 5000,
		   "a cap below the base is the cap");
		is_int(dwf_backoff_wait(&none, 9, 0.9), 0, "no base, no wait");
		ok(dwf_backoff_wait(&huge, 100, 0.999) > 0 &&
		   dwf_backoff_wait(&huge, 100, 0.999) <= huge.cap,
		   "huge settings do not overflow");
	}
}

typedef struct AfterCase
{
	const char *header;
	int64_t		want;			/* seconds; -1: ignored */
} AfterCase;

/* 2026-01-01 00:00:00 UTC */
#define NOW	(INT64_C(1767225600) * SEC)

static const AfterCase after_cases[] = {
	{"1", 1}, {"120", 120}, {"86399", 86399}, {"007", 7},

	/* clamped */
	{"0", 1}, {"86400", 86400}, {"86401", 86400}, {"9999999999", 86400},
	{"99999999999999999999999999999999999999999999", 86400},

	/* the three forms of a date that RFC 9110 has */
	{"Thu, 01 Jan 2026 00:02:00 GMT", 120},
	{"Thursday, 01-Jan-26 00:02:00 GMT", 120},
	{"Thu Jan  1 00:02:00 2026", 120},
	{"Thu, 01 Jan 2026 00:00:00 GMT", 1},
	{"Wed, 21 Oct 2015 07:28:00 GMT", 1},
	{"Fri, 31 Dec 2027 23:59:59 GMT", 86400},

	/* nonsense */
	{"", -1}, {"soon", -1}, {"-5", -1}, {"+5", -1}, {"1.5", -1}, {"1e3", -1},
	{"0x10", -1}, {"5s", -1}, {"5 6", -1}, {"5,6", -1}, {"5;", -1},
	{"NaN", -1}, {"inf", -1}, {"null", -1}, {".", -1}, {"\xFF\xFE", -1},
	{"Thu, 99 Foo 2026 99:99:99 GMT", -1}, {"Thu,", -1},
	{"2026-01-01T00:02:00Z", -1}, {"-1 Jan 2026", -1}
};

static void
test_retry_after(void)
{
	for (size_t i = 0; i < sizeof(after_cases) / sizeof(after_cases[0]); i++)
	{
		const AfterCase *c = &after_cases[i];

		is_int(dwf_backoff_retry_after(c->header, NOW), c->want < 0 ? -1 : c->want * SEC,
			   "Retry-After \"%s\"", c->header);
	}
	is_int(dwf_backoff_retry_after("Thu, 01 Jan 2026 00:02:00 GMT", NOW + SEC / 2),
		   119 * SEC + SEC / 2, "a date counts from now, to the microsecond");
	{
		static char digits[10001];

		memset(digits, '9', sizeof(digits) - 1);
		is_int(dwf_backoff_retry_after(digits, NOW), 86400 * SEC, "10,000 digits");
	}
}

/* A connection with some lanes, whose ids are their places. */
#define LANES	4

typedef struct Way
{
	DwfConnectionRest connection;
	DwfRest		lanes[LANES];
	double		random;
} Way;

static void
note_as(Way *way, int lane, DwfOutcome outcome, int64_t sent_at, int64_t now,
		int64_t retry_after)
{
	DwfEvidence evidence = {
		.outcome = outcome,.lane = lane,.sent_at = sent_at,.now = now,
		.retry_after = retry_after
	};

	dwf_rest_note(&way->connection, &way->lanes[lane], &evidence, &defaults,
				  way->random);
}

static void
note(Way *way, int lane, DwfOutcome outcome, int64_t now)
{
	note_as(way, lane, outcome, now, now, -1);
}

/* How many may be in flight. */
static int
room(const Way *way, int64_t now)
{
	return dwf_rest_room(&way->connection.pause, now, 8);
}

static int
lane_room(const Way *way, int lane, int64_t now)
{
	return dwf_rest_room(&way->lanes[lane], now, 8);
}

static void
test_one_answer_pauses(void)
{
	static const DwfOutcome at_once[] = {DWF_THROTTLED, DWF_UNAUTHORIZED};

	for (int i = 0; i < 2; i++)
	{
		Way			way = {.random = 0.5};
		int64_t		until;

		is_int(room(&way, NOW), 8, "open at first");
		note(&way, 0, at_once[i], NOW);
		until = way.connection.pause.until;
		is_int(room(&way, NOW), 0, "one 429 or 401 pauses the connection");
		ok(until >= NOW + defaults.base / 2 && until <= NOW + defaults.base,
		   "for about retry_base");
		is_int(room(&way, until - 1), 0, "until then");
		is_int(room(&way, until), 1, "then one probe");
		is_int(lane_room(&way, 0, NOW), 8, "its lane is as good as any");
	}
}

static void
test_a_lane_pauses(void)
{
	static const DwfOutcome bad[] = {DWF_UNSENT, DWF_IN_DOUBT};
	static const DwfOutcome good[] = {DWF_DONE, DWF_REJECTED};

	for (int i = 0; i < 2; i++)
	{
		Way			way = {.random = 0.5};

		note(&way, 0, bad[i], NOW);
		note(&way, 0, bad[1 - i], NOW);
		is_int(lane_room(&way, 0, NOW), 8, "two failures do not pause a lane");
		note(&way, 0, bad[i], NOW);
		is_int(lane_room(&way, 0, NOW), 0, "the third one does");
		is_int(lane_room(&way, 0, way.lanes[0].until), 1, "then one probe");
		is_int(lane_room(&way, 1, NOW), 8, "another lane goes on");
		for (int j = 0; j < 100; j++)
			note(&way, 0, bad[i], way.lanes[0].until);
		is_int(room(&way, NOW), 8, "nor does the connection pause, ever");
	}
	for (int i = 0; i < 2; i++)
	{
		Way			way = {.random = 0.5};

		for (int j = 0; j < 100; j++)
		{
			note(&way, 0, DWF_IN_DOUBT, NOW);
			note(&way, 0, DWF_UNSENT, NOW);
			note(&way, 0, good[i], NOW);
		}
		is_int(lane_room(&way, 0, NOW), 8, "an answer in between: not in a row");
	}
}

static void
test_lanes_that_fail_together(void)
{
	Way			way = {.random = 0.5};

	note(&way, 0, DWF_IN_DOUBT, NOW);
	note(&way, 1, DWF_UNSENT, NOW);
	is_int(room(&way, NOW), 8, "two failures do not pause the connection");
	note(&way, 0, DWF_IN_DOUBT, NOW);
	is_int(room(&way, NOW), 0, "the third one does, of two lanes");
	is_int(lane_room(&way, 0, NOW), 8, "which themselves do not rest yet");

	memset(&way, 0, sizeof(way));
	note(&way, 0, DWF_IN_DOUBT, NOW);
	note(&way, 1, DWF_IN_DOUBT, NOW);
	note(&way, 2, DWF_REJECTED, NOW);
	note(&way, 0, DWF_IN_DOUBT, NOW);
	note(&way, 1, DWF_IN_DOUBT, NOW);
	is_int(room(&way, NOW), 8, "an answer to any lane: not in a row");

	memset(&way, 0, sizeof(way));
	for (int i = 0; i < 3; i++)
		note(&way, 0, DWF_IN_DOUBT, NOW);
	note(&way, 1, DWF_IN_DOUBT, NOW);
	is_int(room(&way, NOW), 0, "one of another lane after three of one");
}

/* Two workflows that never work must not shut out a third one. */
static void
test_lanes_that_never_work(void)
{
	Way			way = {.random = 0.5};
	int64_t		now = NOW;
	int64_t		wait = 0;

	for (int i = 0; i < 200; i++)
	{
		note(&way, i % 2, DWF_IN_DOUBT, now);
		if (way.connection.pause.until > now)
		{
			wait = way.connection.pause.until - now;
			now = way.connection.pause.until;
		}
		if (way.lanes[(i + 1) % 2].until > now)
			now = way.lanes[(i + 1) % 2].until;
	}
	ok(wait <= 64 * defaults.base,
	   "two lanes that fail for ever: the connection rests for %d s",
	   (int) (wait / SEC));
	ok(way.lanes[0].until - way.lanes[0].since >= defaults.cap / 2,
	   "... they themselves up to retry_cap");
	note(&way, 2, DWF_DONE, now);
	is_int(room(&way, now), 8, "... one that is answered opens it");
	for (int i = 0; i < 50; i++)
		note(&way, i % 2, DWF_IN_DOUBT, now += 60 * MINUTE);
	is_int(room(&way, now), 8, "... which their probes do not pause again");
}

static void
test_pause_goes_on(void)
{
	Way			way = {.random = 0.5};
	const DwfRest *pause = &way.connection.pause;
	int64_t		now = NOW;
	int64_t		longest = 0;
	int			bad = 0;

	note(&way, 0, DWF_UNAUTHORIZED, now);
	is_int(way.connection.began, now, "when the first pause began is known");
	for (int i = 1; i < 200; i++)
	{
		int64_t		wait;

		now = pause->until;
		note(&way, i % LANES, DWF_UNAUTHORIZED, now);
		wait = pause->until - now;
		if (wait < longest || wait > defaults.cap)
			bad++;
		longest = wait;
	}
	is_int(bad, 0, "each failed probe waits at least as long as the one before");
	ok(longest >= defaults.cap / 2, "up to retry_cap");
	is_int(way.connection.began, NOW, "... it is the first one that counts");

	now = pause->until;
	note(&way, 0, DWF_DONE, now);
	is_int(room(&way, now), 8, "a probe that is answered opens");
	note(&way, 0, DWF_THROTTLED, now);
	ok(pause->until <= now + defaults.base, "the next pause is short again");

	now = pause->until;
	note(&way, 0, DWF_REJECTED, now);
	is_int(room(&way, now), 8, "a refusal is an answer, too");

	note(&way, 0, DWF_UNSENT, now);
	note(&way, 1, DWF_UNSENT, now);
	is_int(room(&way, now), 8, "failures count from 0 again");
}

static void
test_pause_with_others_in_flight(void)
{
	Way			way = {.random = 0.5};
	const DwfRest *pause = &way.connection.pause;
	int64_t		until;

	for (int i = 0; i < 3; i++)
		note(&way, i, DWF_IN_DOUBT, NOW);
	until = pause->until;
	for (int i = 0; i < 5; i++)
		note_as(&way, i % 3, DWF_IN_DOUBT, NOW, NOW + i, -1);
	is_int(pause->until, until, "what was in flight does not make it longer");
	is_int(pause->pauses, 1, "... nor the next one");
	until = way.lanes[0].until;
	for (int i = 0; i < 5; i++)
		note_as(&way, 0, DWF_IN_DOUBT, NOW, NOW + i, -1);
	is_int(way.lanes[0].pauses, 1, "... nor that of a lane");

	note_as(&way, 0, DWF_THROTTLED, NOW, NOW + 10, 60 * SEC);
	is_int(pause->until, NOW + 10 + 60 * SEC, "but a Retry-After is respected");
	note_as(&way, 0, DWF_THROTTLED, NOW, NOW + 20, SEC);
	is_int(pause->until, NOW + 10 + 60 * SEC,
		   "... and a shorter one changes nothing");

	/* good replies to what was sent before, in the pause and after it */
	until = pause->until;
	note_as(&way, 0, DWF_DONE, NOW - 1, NOW + 30, -1);
	note_as(&way, 0, DWF_REJECTED, NOW - 1, NOW + 30, -1);
	is_int(room(&way, NOW + 30), 0,
		   "an answer to what was sent before does not end the pause");
	ok(way.lanes[0].pauses > 0, "... nor that of its lane");
	note_as(&way, 0, DWF_DONE, NOW - 1, until, -1);
	is_int(room(&way, until), 1, "... nor the wait for the probe");
	note_as(&way, 0, DWF_IN_DOUBT, NOW - 1, until, -1);
	is_int(pause->until, until, "... nor does a failure put that off");
	note_as(&way, 0, DWF_DONE, until, until + 1, -1);
	is_int(room(&way, until + 1), 8, "... which ends it");
	is_int(way.lanes[0].pauses, 0, "... and that of its lane");
}

static void
test_pause_retry_after(void)
{
	for (int d = 0; d < DICE; d++)
	{
		Way			way = {.random = dice[d]};
		const DwfRest *pause = &way.connection.pause;

		note_as(&way, 0, DWF_THROTTLED, NOW, NOW, 3600 * SEC);
		is_int(pause->until, NOW + 3600 * SEC, "never under Retry-After");
		memset(&way.connection, 0, sizeof(way.connection));
		note_as(&way, 0, DWF_THROTTLED, NOW, NOW, SEC);
		ok(pause->until >= NOW + SEC && pause->until <= NOW + defaults.base,
		   "nor under the backoff");
	}
}

/*
 * A gateway answers 502 after 100 ms, for a minute, to a queue that is full:
 * how many are put in doubt?
 */
static int
outage(double random, int nlanes, int in_flight_max, int64_t length,
	   int *good_after)
{
	Way			way = {.random = random};
	int64_t		ends[8];
	int			lane[8];
	int			of_lane[LANES] = {0};
	int			turn = 0;
	int			in_flight = 0;
	int			doubt = 0;

	*good_after = 0;
	for (int64_t now = NOW; now < NOW + length + 5 * MINUTE; now += 10000)
	{
		bool		down = now < NOW + length;

		for (int i = 0; i < in_flight; i++)
		{
			if (ends[i] > now)
				continue;
			note_as(&way, lane[i], down ? DWF_IN_DOUBT : DWF_DONE,
					now - 100000, now, -1);
			of_lane[lane[i]]--;
			ends[i] = ends[--in_flight];
			lane[i--] = lane[in_flight];
			if (down)
				doubt++;
			else
				(*good_after)++;
		}
		for (int tried = 0; tried < nlanes &&
			 in_flight < dwf_rest_room(&way.connection.pause, now,
									   in_flight_max); tried++)
		{
			turn = (turn + 1) % nlanes;
			if (of_lane[turn] >= lane_room(&way, turn, now))
				continue;
			of_lane[turn]++;
			lane[in_flight] = turn;
			ends[in_flight++] = now + 100000;
			tried = -1;
		}
	}
	return doubt;
}

static void
test_outage(void)
{
	for (int nlanes = 1; nlanes <= LANES; nlanes++)
	{
		for (int d = 0; d < DICE; d++)
		{
			int			good;
			int			doubt = outage(dice[d], nlanes, 8, MINUTE, &good);

			ok(doubt >= 3 && doubt <= 22,
			   "502 for a minute to %d lanes: %d in doubt, not thousands",
			   nlanes, doubt);
			ok(good > 10000, "... and after it the queue is sent: %d", good);
		}
		{
			int			good;
			int			doubt = outage(0.5, nlanes, 8, 60 * MINUTE, &good);

			ok(doubt <= 100, "502 for an hour to %d lanes: %d in doubt",
			   nlanes, doubt);
		}
	}
}

static void
test_rate(void)
{
	static const int limits[] = {1, 7, 59, 60, 61, 600, 6000, 100000};
	DwfRate		rate = {0};

	is_int(dwf_rate_room(&rate, 0, NOW, 8), 8, "0: no limit");
	dwf_rate_take(&rate, 0, 1000);
	is_int(dwf_rate_wait(&rate, 0), 0, "... and no wait");
	is_int(dwf_rate_room(&rate, 0, NOW, 8), 8, "... for ever");

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
	{
		int			limit = limits[i];
		int			burst = limit < 60 ? 1 : limit / 60;
		int			sent = 0;
		int			bad = 0;
		int64_t		now = NOW;

		memset(&rate, 0, sizeof(rate));

		/* as the worker does: what there is room for, then wait */
		while (now < NOW + MINUTE)
		{
			int			room = dwf_rate_room(&rate, limit, now, 8);
			int64_t		wait;

			if (room < 0 || room > 8)
				bad++;
			dwf_rate_take(&rate, limit, room);
			sent += room;
			wait = dwf_rate_wait(&rate, limit);
			if (room == 0 && wait <= 0)
				bad++;
			now += wait > 0 ? wait : 1;
		}
		ok(sent <= limit + burst && sent >= limit - 1,
		   "%d a minute: %d were sent", limit, sent);
		is_int(bad, 0, "... never negative, never without a wait");
	}

	memset(&rate, 0, sizeof(rate));
	is_int(dwf_rate_room(&rate, 600, NOW, 100), 10, "a second's worth at once");
	dwf_rate_take(&rate, 600, 10);
	is_int(dwf_rate_room(&rate, 600, NOW, 100), 0, "then none");
	is_int(dwf_rate_wait(&rate, 600), SEC / 10, "the next one after 100 ms");
	is_int(dwf_rate_room(&rate, 600, NOW + 3600 * SEC, 100), 10,
		   "an idle hour saves up no more than a second");
	dwf_rate_take(&rate, 600, 10);
	is_int(dwf_rate_room(&rate, 600, NOW, 100), 0,
		   "a clock that is set back gives nothing");
	is_int(dwf_rate_room(&rate, 60000, NOW + 3601 * SEC, 100), 100,
		   "a new limit applies at once");
}

int
main(void)
{
	test_backoff();
	test_retry_after();
	test_one_answer_pauses();
	test_a_lane_pauses();
	test_lanes_that_fail_together();
	test_lanes_that_never_work();
	test_pause_goes_on();
	test_pause_with_others_in_flight();
	test_pause_retry_after();
	test_outage();
	test_rate();
	return done_testing();
}
