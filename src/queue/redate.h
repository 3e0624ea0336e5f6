/*
 * redate.h
 *	  When what waits in the queue is due, after somebody has set the clock.
 *
 * `due` is wall time, whoever made it.  A run_at that somebody gave is meant so
 * and stays.  What nobody gave does not wait for it:
 *
 *		failures = 0, and run_at is not after enqueued_at, or not `due`
 *									to be sent when it was enqueued or let go
 *		failures > 0				the wait after a failure
 */
#ifndef DWF_REDATE_H
#define DWF_REDATE_H

#include "base/clock.h"

/*
 * When a worker starts, since nobody knows what was done to the clock before;
 * in a transaction, with SPI connected.  What begins here is to be gone on with.
 */
extern void dwf_redate_begin(void);

/* Notes that the clock was set by `step` microseconds. */
extern void dwf_redate_note_step(int64 step);

/*
 * Whether there is something to do: now, or at times, for as long as somebody
 * may commit what he has enqueued before.
 */
extern bool dwf_redate_is_due(bool is_poll);

/*
 * Takes a part of it; in a transaction, with SPI connected, of whose commit it is
 * to be told.  Then: whether anything is due at another time than before.
 */
extern void dwf_redate_take(void);
extern bool dwf_redate_taken(void);

#endif							/* DWF_REDATE_H */
