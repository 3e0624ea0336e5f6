/*
 * care.h
 *	  What the worker does for the tables at times.
 */
#ifndef DWF_CARE_H
#define DWF_CARE_H

#include "datatype/timestamp.h"

/* All zero at first. */
typedef struct DwfCare
{
	TimestampTz next_count;		/* of the queue */
	TimestampTz next_removal;	/* from the log */
} DwfCare;

/*
 * Ends requests whose time is over, removes old rows of the log, counts the
 * queue: some, in the worker's transaction, with SPI connected.  Whether there
 * may be more of it now.
 */
extern bool dwf_care_take(DwfCare *care, TimestampTz now);

#endif							/* DWF_CARE_H */
