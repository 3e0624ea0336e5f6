/*
 * retry.c
 *	  When the next attempt may be made.
 *
 * Pure, so that hours of waiting are tested in microseconds: whoever calls
 * brings the time and the dice.  It must not read a clock.
 */
#include "retry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#define USECS_PER_SEC		INT64_C(1000000)
#define USECS_PER_MINUTE	(60 * USECS_PER_SEC)

static int64_t clamp_retry_after(double usec);

int64_t
dwf_retry_backoff(const DwfBackoff *backoff, int n, double random)
{
	double		most = ldexp((double) backoff->base, n < 62 ? n : 62);

	if (most > (double) backoff->cap)
		most = (double) backoff->cap;
	return (int64_t) (random * most);
}

int64_t
dwf_retry_after(const char *header, int64_t unix_now)
{
	size_t		digits = strspn(header, "0123456789");
	time_t		date;

	if (*header == '\0')
		return -1;
	if (header[digits] == '\0')
		return clamp_retry_after(strtod(header, NULL) * USECS_PER_SEC);

	/* a date starts with the name of a day; libcurl reads all three forms */
	if (digits > 0 || strchr("+-.", *header) != NULL)
		return -1;
	date = curl_getdate(header, NULL);
	if (date < 0)
		return -1;
	return clamp_retry_after((double) date * USECS_PER_SEC - unix_now);
}

static int64_t
clamp_retry_after(double usec)
{
	if (usec < DWF_MIN_RETRY_AFTER)
		return DWF_MIN_RETRY_AFTER;
	if (usec > DWF_MAX_RETRY_AFTER)
		return DWF_MAX_RETRY_AFTER;
	return (int64_t) usec;
}

void
dwf_pause_note(DwfPause *pause, DwfOutcome outcome, int64_t sent_at,
			   int64_t now, int64_t retry_after, const DwfBackoff *backoff,
			   double random)
{
	bool		is_late = pause->pauses > 0 && sent_at <= pause->since;
	int64_t		wait;

	switch (outcome)
	{
		case DWF_DONE:
		case DWF_REJECTED:
			/* what was sent before a pause tells nothing of its reason */
			if (is_late)
				return;

			/* Domo answers; what it says is about that request only */
			pause->failures = 0;
			pause->pauses = 0;
			return;
		case DWF_THROTTLED:
		case DWF_UNAUTHORIZED:
			pause->failures = 0;
			break;
		case DWF_UNSENT:
		case DWF_IN_DOUBT:
			pause->failures++;
			if (pause->pauses == 0 && pause->failures < DWF_FAILURES_TO_PAUSE)
				return;
			break;
	}

	/*
	 * What else was in flight when the pause began adds nothing to it, but
	 * may ask for a later time.
	 */
	if (is_late)
		wait = retry_after;
	else
	{
		/* half of the wait is certain, so that a probe is no second try */
		wait = dwf_retry_backoff(backoff, pause->pauses, random) / 2 +
			dwf_retry_backoff(backoff, pause->pauses, 1.0) / 2;
		if (wait < retry_after)
			wait = retry_after;
		pause->pauses++;
		pause->since = now;
		pause->until = 0;
	}
	if (wait > 0 && now + wait > pause->until)
		pause->until = now + wait;
}

int
dwf_pause_room(const DwfPause *pause, int64_t now, int max)
{
	if (pause->pauses == 0)
		return max;
	return now < pause->until ? 0 : 1;
}

int
dwf_rate_room(DwfRate *rate, int per_minute, int64_t now, int max)
{
	double		burst;

	if (per_minute <= 0)
		return max;

	/* what a second allows may go at once, but at least one request */
	burst = per_minute / 60.0 < 1.0 ? 1.0 : per_minute / 60.0;
	if (rate->filled_at == 0)
		rate->tokens = burst;
	else if (now > rate->filled_at)
		rate->tokens += (double) (now - rate->filled_at) * per_minute /
			USECS_PER_MINUTE;
	rate->filled_at = now;
	if (rate->tokens > burst)
		rate->tokens = burst;
	return rate->tokens < max ? (int) (rate->tokens + 1e-6) : max;
}

void
dwf_rate_take(DwfRate *rate, int per_minute, int count)
{
	if (per_minute > 0)
		rate->tokens -= count;
}

int64_t
dwf_rate_wait(const DwfRate *rate, int per_minute)
{
	if (per_minute <= 0 || rate->tokens >= 1.0 - 1e-6)
		return 0;
	return (int64_t) ceil((1.0 - rate->tokens) * USECS_PER_MINUTE /
						  per_minute);
}
