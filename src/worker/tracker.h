/*
 * tracker.h
 *	  What becomes of instances after their start: when they are polled, and what
 *	  is written of it.
 */
#ifndef DWF_TRACKER_H
#define DWF_TRACKER_H

#include "worker/writing.h"

/*
 * One turn: writes what polls have told, and makes those that are due, as far as
 * nothing that is sent wants their places; all in one transaction, where there
 * is something to do.  While all is paused it does nothing.
 */
extern void dwf_tracker_turn(DwfWriting *writing, bool is_paused);

/* When the next turn has something to do; DT_NOEND: when something has ended. */
extern DwfSteady dwf_tracker_at(const DwfSender *sender, DwfSteady now);

#endif							/* DWF_TRACKER_H */
