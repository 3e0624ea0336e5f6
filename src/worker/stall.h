/*
 * stall.h
 *	  Whether a worker does not get on, and why: judged by whoever reads it.
 */
#ifndef DWF_STALL_H
#define DWF_STALL_H

#include "base/shared.h"

typedef struct DwfStall
{
	DwfSteady	since;
	int64		seconds;		/* the same: for so long */
	const char *task;			/* what is not done */
	const char *reason;			/* palloc'd */
	const char *hint;			/* what to do, a sentence */
} DwfStall;

/*
 * Whether something that a worker has to do is kept from being done for longer
 * than domowf.stall_after.  `is_private`: also in words that may tell of a
 * request.
 */
extern bool dwf_stall_find(const DwfWorkerStatus *status, bool is_private,
						   DwfStall *stall);

/*
 * For the launcher: says in the server's log who does not get on, once a minute.
 * Returns in how many milliseconds to look again.
 */
extern long dwf_stall_say_all(void);

#endif							/* DWF_STALL_H */
