/*
 * given_up.h
 *	  Instances that are followed no longer, without a poll that says so: how
 *	  their end is written.
 *
 * What a sender's own files and the tracker share; nobody else knows.
 */
#ifndef DWF_GIVEN_UP_H
#define DWF_GIVEN_UP_H

#include "queue/tracked.h"

/* Each transaction that ends some begins so. */
extern void dwf_given_up_begin(void);

/*
 * Whether more are to be ended in this transaction: not where many had to be
 * waited for.
 */
extern bool dwf_given_up_goes_on(void);

/*
 * Ends one, with `why` for its row of the log; where that is refused, or kept
 * waiting, it rests and is a stall (refused.h), and is due again in a while.  Raises nothing for one row.  False: it rests still, and nothing was
 * done.  Not where dwf_given_up_goes_on() says no.
 */
extern bool dwf_given_up_end(const DwfTracked *row, const char *why,
							 TimestampTz wall);

/* As there is no more to be ended, or that is seen anew: no stall by these. */
extern void dwf_given_up_look(void);
extern void dwf_given_up_drop(void);

#endif							/* DWF_GIVEN_UP_H */
