/*
 * rest.c
 *	  When a lane or the connection rests, and for how long.
 *
 * Pure, so that hours of waiting are tested in microseconds: whoever calls
 * brings the time and the dice.  It must not read a clock.
 *
 * Who is to blame for a failure, the workflow or the way to Domo?  Three in a
 * row of one lane make that lane rest, which harms nobody else.  Where lanes
 * fail side by side and nobody is answered, it is the way, and the connection
 * rests, so that an outage is paid for by one probe at a time and not by each
 * lane.  What a lane does that rests already is no news of the way: its failed
 * probe makes no open connection rest, and a resting one for no longer than the
 * time before, so that two workflows that never work cannot keep a third one
 * waiting for ever longer.  A 401 or 429 is about the token, which all share.
 */
#include "queue/rest.h"

static bool is_late(const DwfRest *pause, const DwfEvidence *evidence);
static void note_failure(DwfConnectionRest *connection, DwfRest *lane,
						 const DwfEvidence *evidence,
						 const DwfBackoff *backoff, double random);
static bool count_failure(DwfConnectionRest *connection, int64_t lane);
static void rest(DwfRest *pause, const DwfEvidence *evidence, bool is_longer,
				 const DwfBackoff *backoff, double random);

void
dwf_rest_note(DwfConnectionRest *connection, DwfRest *lane,
			  const DwfEvidence *evidence, const DwfBackoff *backoff,
			  double random)
{
	DwfRest    *whole = &connection->pause;
	int			pauses = whole->pauses;

	switch (evidence->outcome)
	{
		case DWF_DONE:
		case DWF_REJECTED:
			/* Domo answers; what it says is about that request only */
			if (!is_late(lane, evidence))
				lane->failures = lane->pauses = 0;
			if (!is_late(whole, evidence))
				whole->failures = whole->pauses = 0;
			break;
		case DWF_THROTTLED:
		case DWF_UNAUTHORIZED:
			whole->failures = 0;
			rest(whole, evidence, true, backoff, random);
			break;
		case DWF_UNSENT:
		case DWF_IN_DOUBT:
			note_failure(connection, lane, evidence, backoff, random);
			break;
	}
	if (pauses == 0 && whole->pauses > 0)
		connection->began = evidence->now;
}

/* What was sent before a pause tells nothing of its reason. */
static bool
is_late(const DwfRest *pause, const DwfEvidence *evidence)
{
	return pause->pauses > 0 && evidence->sent_at <= pause->since;
}

/*
 * A failure of what was sent before the rest began is no news, and lengthens
 * none.  A lane that rested already says nothing new of the connection: only
 * others may make that rest.
 */
static void
note_failure(DwfConnectionRest *connection, DwfRest *lane,
			 const DwfEvidence *evidence, const DwfBackoff *backoff,
			 double random)
{
	DwfRest    *whole = &connection->pause;
	bool		was_resting = lane->pauses > 0;

	if (!is_late(lane, evidence))
		lane->failures++;
	if (was_resting || lane->failures >= DWF_FAILURES_TO_PAUSE)
		rest(lane, evidence, true, backoff, random);

	if (whole->pauses > 0)
		rest(whole, evidence, !was_resting, backoff, random);
	else if (!was_resting && count_failure(connection, evidence->lane))
		rest(whole, evidence, true, backoff, random);
}

/* Counts a failure of an open connection.  Whether it is to rest. */
static bool
count_failure(DwfConnectionRest *connection, int64_t lane)
{
	if (connection->pause.failures == 0)
	{
		connection->failing_lane = lane;
		connection->has_others = false;
	}
	connection->has_others |= lane != connection->failing_lane;
	if (connection->pause.failures < DWF_FAILURES_TO_PAUSE)
		connection->pause.failures++;
	return connection->has_others &&
		connection->pause.failures == DWF_FAILURES_TO_PAUSE;
}

/*
 * Makes it rest, for longer than the time before or as long.  What else was in
 * flight when the pause began adds nothing to it, but may ask for a later time.
 */
static void
rest(DwfRest *pause, const DwfEvidence *evidence, bool is_longer,
	 const DwfBackoff *backoff, double random)
{
	int64_t		now = evidence->now;
	int64_t		wait;

	if (is_late(pause, evidence))
		wait = evidence->retry_after;
	else
	{
		int			n = is_longer || pause->pauses == 0 ? pause->pauses :
		pause->pauses - 1;

		/* half of the wait is certain, so that a probe is no second try */
		wait = dwf_backoff_wait(backoff, n, random) / 2 +
			dwf_backoff_wait(backoff, n, 1.0) / 2;
		if (wait < evidence->retry_after)
			wait = evidence->retry_after;
		pause->pauses = n + 1;
		pause->since = now;
		pause->until = 0;
	}
	if (wait > 0 && now + wait > pause->until)
		pause->until = now + wait;
}

int
dwf_rest_room(const DwfRest *pause, int64_t now, int max)
{
	if (pause->pauses == 0)
		return max;
	return now < pause->until ? 0 : 1;
}
