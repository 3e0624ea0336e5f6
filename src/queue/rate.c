/*
 * rate.c
 *	  How many requests a minute may be sent: a token bucket.
 *
 * Pure: it must not read a clock.
 */
#include "queue/rate.h"

#include <math.h>

#define USECS_PER_MINUTE	INT64_C(60000000)

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
