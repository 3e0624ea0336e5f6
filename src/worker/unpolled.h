/*
 * unpolled.h
 *	  Instances that are due and that nobody can poll.
 *
 * What a sender's own files and the tracker share; nobody else knows.
 */
#ifndef DWF_UNPOLLED_H
#define DWF_UNPOLLED_H

#include "queue/tracked.h"
#include "worker/route.h"

/* What is known of a lane; all zero: nothing. */
typedef struct DwfUnpolled
{
	DwfSteady	since;			/* something is due, and nothing is polled; 0:
								 * it is */
	DwfSteady	look_at;		/* at what is too old, not before */
	DwfTrackedPlace place;		/* up to which that look has come */
} DwfUnpolled;

/*
 * Those of a lane on a route, of which something is due now or not, whose start
 * lies too long back, and that cannot be polled: up to `max`, the next ones with
 * the next call; and in *why, why not.  How many.  In a transaction, at times.
 */
extern int	dwf_unpolled_find_old(DwfUnpolled *unpolled, int64 lane,
								  const DwfRoute *route, bool is_due,
								  DwfSteady now, DwfTracked *rows, int max,
								  const char **why);

#endif							/* DWF_UNPOLLED_H */
