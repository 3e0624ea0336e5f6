/*
 * backoff.h
 *	  How long to wait before the next attempt.
 *
 * Pure: time and randomness are arguments.  All times are microseconds; `now`
 * counts from any fixed point.
 */
#ifndef DWF_BACKOFF_H
#define DWF_BACKOFF_H

#include <stdint.h>

/* Retry-After is believed between these, microseconds. */
#define DWF_MIN_RETRY_AFTER		INT64_C(1000000)
#define DWF_MAX_RETRY_AFTER		(INT64_C(86400) * 1000000)

/* How the waits of a queue are to be reckoned. */
typedef struct DwfBackoff
{
	int64_t		base;			/* domowf.retry_base */
	int64_t		cap;			/* domowf.retry_cap */
} DwfBackoff;

/*
 * Full jitter: random in [0, min(cap, base * 2^n)).  `random` is in [0, 1).
 */
extern int64_t dwf_backoff_wait(const DwfBackoff *backoff, int n,
								double random);

/*
 * Reads a Retry-After header, seconds or an HTTP date (RFC 9110, 10.2.3), as
 * a duration, clamped to DWF_MIN_RETRY_AFTER … DWF_MAX_RETRY_AFTER.  -1 where
 * it is empty or nonsense.  `unix_now` is in microseconds since 1970.
 */
extern int64_t dwf_backoff_retry_after(const char *header, int64_t unix_now);

#endif							/* DWF_BACKOFF_H */
