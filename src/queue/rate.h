/*
 * rate.h
 *	  How many requests a minute may be sent.
 *
 * Pure: time and randomness are arguments.  All times are microseconds; `now`
 * counts from any fixed point.
 */
#ifndef DWF_RATE_H
#define DWF_RATE_H

#include <stdint.h>

/* A token bucket: so many requests a minute. */
typedef struct DwfRate
{
	double		tokens;
	int64_t		filled_at;
} DwfRate;

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

#endif							/* DWF_RATE_H */
