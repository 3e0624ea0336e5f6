/*
 * tracked.h
 *	  Instances that are polled until they end, as domowf.tracked has them.  In a
 *	  transaction.
 */
#ifndef DWF_TRACKED_H
#define DWF_TRACKED_H

#include "base/clock.h"
#include "base/table.h"
#include "queue/lane.h"

/* The shortest and the longest wait between two polls, microseconds. */
#define DWF_MIN_POLL_WAIT	(INT64CONST(5) * USECS_PER_SEC)
#define DWF_MAX_POLL_WAIT	(INT64CONST(15) * USECS_PER_MINUTE)

/* An instance is followed so long. */
#define DWF_FOLLOWED		(INT64CONST(7) * USECS_PER_DAY)

/* How an instance is found, and how far it has been followed. */
typedef struct DwfTracked
{
	int64		request;
	int64		lane;
	TimestampTz due;
	DwfDestination to;
	int			tries;			/* polls, which decide the wait */
	DwfSteady	started_at;		/* its start, which no step of the clock moves */
	DwfSteady	missing_since;	/* the first 404 in a row; 0: there is none */
} DwfTracked;

/* A place in a lane: behind this one; all zero: before the first. */
typedef struct DwfTrackedPlace
{
	TimestampTz due;
	int64		request;
} DwfTrackedPlace;

/*
 * Begins to track an instance that the request of the queue at hand has
 * started, if that is to be; a text that the database holds.  Nothing where the
 * request has one already.
 */
extern void dwf_tracked_add(const DwfTable *queue, Datum instance_id);

/*
 * When the first of those is due that were added by this process since the last
 * call, committed or not; DT_NOEND: none was.
 */
extern TimestampTz dwf_tracked_take_added(void);

/* The first lane behind *lane, and when its first is due.  False: none. */
extern bool dwf_tracked_next_lane(DwfTable *tracked, int64 *lane,
								  DwfDestination *to, TimestampTz *due);

/*
 * Goes to the first of a lane that is due after a time; dwf_table_next() takes
 * one after the other.  And what the row at hand says.
 */
extern void dwf_tracked_seek(DwfTable *tracked, int64 lane, TimestampTz after);
extern void dwf_tracked_read(const DwfTable *tracked, DwfTracked *row);

/*
 * Reads on in a lane, behind *place, among what was due before `now`, a thousand
 * rows at most: those whose start lies before `since`, up to `max` of them.  How
 * many; *place is zeroed once the end was reached.
 */
extern int	dwf_tracked_find_old(int64 lane, DwfTrackedPlace *place,
								 TimestampTz now, DwfSteady since,
								 DwfTracked *rows, int max);

/* When the first of all is due; false: there is none. */
extern bool dwf_tracked_first_due(TimestampTz *due);

/*
 * Writes into the log what a poll has told of an instance that goes on: its
 * status, NULL for none, in the database's encoding; and that it is polled again
 * `due`, having been missing since the time that `row` has.  False: somebody holds one of the rows, and nothing is written that
 * would have to be known.
 */
extern bool dwf_tracked_go_on(const DwfTracked *row, int tries,
							  bool has_status, const char *status,
							  const char *error, TimestampTz due);

/*
 * Writes the end of a tracked instance, the one place for it: with the status
 * that it came to; or, where tracking gives it up, with a note why and the
 * status as it was told last, unless `forgets`.  False as above.
 */
extern bool dwf_tracked_end(const DwfTracked *row, bool forgets,
							const char *status, const char *note,
							TimestampTz now);

/*
 * Brings forward, to now, up to `limit` of a lane that are due later than any
 * poll is put off, since somebody has set the clock back.  How many; none of them
 * where one is refused, which the server's log says.
 */
extern int	dwf_tracked_bring_forward(int64 lane, TimestampTz now, int limit);

/*
 * Somebody has set the clock, by so many microseconds: what was written by then is
 * moved by as much, in the next transaction that has locked the table, and told
 * how that, or one without it, has ended.
 */
extern void dwf_tracked_note_step(int64 by);
extern void dwf_tracked_move(void);
extern void dwf_tracked_end_move(bool committed);

/*
 * How long to wait after so many polls: microseconds; `random` is in [0, 1).
 */
extern int64 dwf_tracked_wait(int tries, double random);

#endif							/* DWF_TRACKED_H */
