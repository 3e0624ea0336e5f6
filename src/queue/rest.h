/*
 * rest.h
 *	  When a lane or the connection rests, and for how long.
 *
 * Pure: time and randomness are arguments.  All times are microseconds; `now`
 * counts from any fixed point.
 */
#ifndef DWF_REST_H
#define DWF_REST_H

#include <stdbool.h>
#include <stdint.h>

#include "domo/domo.h"
#include "queue/backoff.h"

/* Outcomes in a row, not sent or in doubt, after which a lane pauses. */
#define DWF_FAILURES_TO_PAUSE	3

/*
 * Whether and since when a lane or a connection rests.  All zero: open.
 *
 *		open --401, 429, some failures--> paused --time--> probing
 *		  ^												   |   |
 *		  +------------- probe was answered ---------------+   |
 *					 paused <--------- probe failed -----------+
 */
typedef struct DwfRest
{
	int			failures;		/* in a row, not sent or in doubt */
	int			pauses;			/* in a row: the exponent of the backoff */
	int64_t		since;			/* the last of these began */
	int64_t		until;			/* paused or probing while pauses > 0 */
	int64_t		last_probe;		/* id of the request last used as a probe */
} DwfRest;

/*
 * The pause of a connection, and what is known of the failures in a row: of
 * one lane they are that lane's, of several the connection's.
 */
typedef struct DwfConnectionRest
{
	DwfRest		pause;
	int64_t		began;			/* the first pause in a row */
	int64_t		failing_lane;	/* of the first failure in a row */
	bool		has_others;		/* another lane has failed since */
} DwfConnectionRest;

/* The outcome of an attempt, as far as it decides about pauses. */
typedef struct DwfEvidence
{
	DwfOutcome	outcome;
	int64_t		lane;			/* id of its lane */
	int64_t		sent_at;
	int64_t		now;
	int64_t		retry_after;	/* as of dwf_backoff_retry_after() */
} DwfEvidence;

/*
 * Takes the outcome of an attempt into account, for its lane and for the
 * connection.
 */
extern void dwf_rest_note(DwfConnectionRest *connection, DwfRest *lane,
						  const DwfEvidence *evidence,
						  const DwfBackoff *backoff, double random);

/*
 * How many requests may be in flight at this time: 0 while it pauses, 1 for
 * the probe after that, else `max`.
 */
extern int	dwf_rest_room(const DwfRest *pause, int64_t now, int max);

#endif							/* DWF_REST_H */
