/*
 * retry.h
 *	  When the next attempt may be made.
 *
 * Pure: time and randomness are arguments.  All times are microseconds; `now`
 * counts from any fixed point.
 */
#ifndef DWF_RETRY_H
#define DWF_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "domo/domo.h"

/* Retry-After is believed between these, microseconds. */
#define DWF_MIN_RETRY_AFTER		INT64_C(1000000)
#define DWF_MAX_RETRY_AFTER		(INT64_C(86400) * 1000000)

/* Outcomes in a row, not sent or in doubt, after which a lane pauses. */
#define DWF_FAILURES_TO_PAUSE	3

/* How the waits of a queue are to be reckoned. */
typedef struct DwfBackoff
{
	int64_t		base;			/* domowf.retry_base */
	int64_t		cap;			/* domowf.retry_cap */
} DwfBackoff;

/*
 * Whether and since when a lane or a connection rests.  All zero: open.
 *
 *		open --401, 429, some failures--> paused --time--> probing
 *		  ^												   |   |
 *		  +------------- probe was answered ---------------+   |
 *					 paused <--------- probe failed -----------+
 */
typedef struct DwfPause
{
	int			failures;		/* in a row, not sent or in doubt */
	int			pauses;			/* in a row: the exponent of the backoff */
	int64_t		since;			/* the last of these began */
	int64_t		until;			/* paused or probing while pauses > 0 */
	int64_t		last_probe;		/* id of the request last used as a probe */
} DwfPause;

/*
 * The pause of a connection, and what is known of the failures in a row: of
 * one lane they are that lane's, of several the connection's.
 */
typedef struct DwfConnectionPause
{
	DwfPause	pause;
	int64_t		began;			/* the first pause in a row */
	int64_t		failing_lane;	/* of the first failure in a row */
	bool		has_others;		/* another lane has failed since */
} DwfConnectionPause;

/* The outcome of an attempt, as far as it decides about pauses. */
typedef struct DwfEvidence
{
	DwfOutcome	outcome;
	int64_t		lane;			/* id of its lane */
	int64_t		sent_at;
	int64_t		now;
	int64_t		retry_after;	/* as of dwf_retry_after() */
} DwfEvidence;

/* A token bucket: so many requests a minute. */
typedef struct DwfRate
{
	double		tokens;
	int64_t		filled_at;
} DwfRate;

/*
 * Full jitter: random in [0, min(cap, base * 2^n)).  `random` is in [0, 1).
 */
extern int64_t dwf_retry_backoff(const DwfBackoff *backoff, int n,
								 double random);

/*
 * Reads a Retry-After header, seconds or an HTTP date (RFC 9110, 10.2.3), as
 * a duration, clamped to DWF_MIN_RETRY_AFTER … DWF_MAX_RETRY_AFTER.  -1 where
 * it is empty or nonsense.  `unix_now` is in microseconds since 1970.
 */
extern int64_t dwf_retry_after(const char *header, int64_t unix_now);

/*
 * Takes the outcome of an attempt into account, for its lane and for the
 * connection.
 */
extern void dwf_pause_note(DwfConnectionPause *connection, DwfPause *lane,
						   const DwfEvidence *evidence,
						   const DwfBackoff *backoff, double random);

/*
 * How many requests may be in flight at this time: 0 while it pauses, 1 for
 * the probe after that, else `max`.
 */
extern int	dwf_pause_room(const DwfPause *pause, int64_t now, int max);

/*
 * Fills the bucket up to `now` for `per_minute` (0: no limit) and returns how
 * many requests may go now, at most `max`.
 */
extern int	dwf_rate_room(DwfRate *rate, int per_minute, int64_t now,
						  int max);

/* Takes `count` requests out of the bucket. */
extern void dwf_rate_take(DwfRate *rate, int per_minute, int count);

/*
 * Microseconds until the bucket holds a request; 0 where it does now.
 */
extern int64_t dwf_rate_wait(const DwfRate *rate, int per_minute);

#endif							/* DWF_RETRY_H */
