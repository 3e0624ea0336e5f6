/*
 * backoff.c
 *	  How long to wait before the next attempt.
 *
 * Pure, so that hours of waiting are tested in microseconds: whoever calls
 * brings the time and the dice.  It must not read a clock.
 */
#include "queue/backoff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#define USECS_PER_SEC		INT64_C(1000000)

static int64_t clamp_retry_after(double usec);

int64_t
dwf_backoff_wait(const DwfBackoff *backoff, int n, double random)
{
	double		most = ldexp((double) backoff->base, n < 62 ? n : 62);

	if (most > (double) backoff->cap)
		most = (double) backoff->cap;
	return (int64_t) (random * most);
}

int64_t
dwf_backoff_retry_after(const char *header, int64_t unix_now)
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
