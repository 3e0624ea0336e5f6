/*
 * care.h
 *	  What the worker does for the tables at times.
 */
#ifndef DWF_CARE_H
#define DWF_CARE_H

#include "base/clock.h"
#include "worker/writing.h"

/* All zero at first. */
typedef struct DwfCare
{
	DwfSteady	next_count;		/* of the queue */
	DwfSteady	next_fold;		/* of what was counted */
	DwfSteady	next_removal;	/* from the log */
	DwfSteady	failing_since;	/* the process that removes them; 0: it does
								 * not */
	bool		more;			/* of what was done last */
	bool		has_failed;		/* some of it */
} DwfCare;

/*
 * Ends requests whose time is over, removes old rows of the log, counts the
 * queue: some, in a transaction each, so that what keeps one keeps no other.
 * care->more: there may be more of it now; care->has_failed: not all could be done.
 */
extern void dwf_care_take(DwfCare *care, DwfWriting *writing, DwfSteady now);

/*
 * Folds what was counted, where it is time to: in a transaction of its own, so
 * that what refuses a row of domowf.counter keeps nothing from being looked after.
 */
extern void dwf_care_fold(DwfCare *care, DwfWriting *writing, DwfSteady now);

#endif							/* DWF_CARE_H */
