/*
 * clock.h
 *	  Two clocks: the one that people set, and one that nobody sets.
 *
 * Whatever waits is measured by the second one.  Wall time (TimestampTz) is for
 * times that people gave or read, and for what stands in tables.
 */
#ifndef DWF_CLOCK_H
#define DWF_CLOCK_H

#include "datatype/timestamp.h"

/*
 * Microseconds since some time before the server was started, the same in all
 * processes.  DT_NOBEGIN and DT_NOEND are as of a TimestampTz, 0 is long past,
 * and the macros for milliseconds do.
 */
typedef int64 DwfSteady;

/* What it shows now. */
extern DwfSteady dwf_clock_now(void);

/*
 * Microseconds of CPU that this process has had.  For what is to take a part of
 * its time at most: what goes by a clock counts how long it stood still as well,
 * and then stands still for as many times as long.
 */
extern int64 dwf_clock_cpu(void);

/* The same point in time by the other clock, as that is set now. */
extern DwfSteady dwf_clock_steady(TimestampTz wall);
extern TimestampTz dwf_clock_wall(DwfSteady steady);

/*
 * The same by how the wall clock was set when dwf_clock_take_step() looked, so
 * that it stays what it was: for people to read, and for waits that the next
 * step moves.  Of the worker.
 */
extern TimestampTz dwf_clock_shown(DwfSteady steady);

/*
 * By how much the wall clock was set since the last call, microseconds: 0 where
 * it was not, or by no more than a second, or at the first call.
 */
extern int64 dwf_clock_take_step(void);

/*
 * The next of the points in time that lie so many milliseconds apart, later than
 * `now`.  They are the same for all that a process does at that interval, so
 * that it wakes once for all of it, and others than those of other processes.
 */
extern DwfSteady dwf_clock_next_beat(DwfSteady now, int interval);

/*
 * Whether a minute has passed since it last said so, for what is not to be said
 * at each turn.  `*again` is the caller's, static, 0 at first.
 */
extern bool dwf_clock_once_a_minute(DwfSteady *again);

/*
 * Shortens a timeout, milliseconds or -1, so that it ends at `when`; DT_NOEND: not.
 */
extern void dwf_clock_sooner(long *timeout, DwfSteady now, DwfSteady when);

#endif							/* DWF_CLOCK_H */
