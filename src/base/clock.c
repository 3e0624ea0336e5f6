/*
 * clock.c
 *	  Two clocks: the one that people set, and one that nobody sets.
 *
 * What a daemon does to keep the time right (slewing) changes the speed of both,
 * so that their difference changes only where somebody sets the clock, or the
 * machine was asleep.
 */
#include "postgres.h"

#include "base/clock.h"

#include <time.h>

#include "common/int.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

/* What is less is no step: two readings are never made at once. */
#define MIN_STEP	USECS_PER_SEC

/* What lies between the beats of one process and of the next, usec. */
#define BETWEEN_PROCESSES	INT64CONST(77777)

static int64 noted;				/* wall less steady */
static bool is_noted = false;

static int64 difference(void);

DwfSteady
dwf_clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (DwfSteady) now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

int64
dwf_clock_cpu(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (int64) used.tv_sec * USECS_PER_SEC + used.tv_nsec / 1000;
}

static int64
difference(void)
{
	return GetCurrentTimestamp() - dwf_clock_now();
}

DwfSteady
dwf_clock_steady(TimestampTz wall)
{
	int64		steady;

	if (TIMESTAMP_NOT_FINITE(wall))
		return wall;
	return pg_sub_s64_overflow(wall, difference(), &steady) ? DT_NOEND : steady;
}

TimestampTz
dwf_clock_wall(DwfSteady steady)
{
	return TIMESTAMP_NOT_FINITE(steady) ? steady : steady + difference();
}

TimestampTz
dwf_clock_shown(DwfSteady steady)
{
	return TIMESTAMP_NOT_FINITE(steady) ? steady :
		steady + (is_noted ? noted : difference());
}

int64
dwf_clock_take_step(void)
{
	int64		now = difference();
	int64		step = now - noted;

	if (is_noted && step > -MIN_STEP && step < MIN_STEP)
		return 0;
	noted = now;
	if (is_noted)
		return step;
	is_noted = true;
	return 0;
}

DwfSteady
dwf_clock_next_beat(DwfSteady now, int interval)
{
	int64		usec = (int64) interval * 1000;

	return now + usec - (now + MyProcPid * BETWEEN_PROCESSES) % usec;
}

bool
dwf_clock_once_a_minute(DwfSteady *again)
{
	DwfSteady	now = dwf_clock_now();

	if (now < *again)
		return false;
	*again = now + USECS_PER_MINUTE;
	return true;
}

void
dwf_clock_sooner(long *timeout, DwfSteady now, DwfSteady when)
{
	long		left = TimestampDifferenceMilliseconds(now, when);

	if (when != DT_NOEND && (*timeout < 0 || left < *timeout))
		*timeout = left;
}
