/*
 * verdict.h
 *	  What becomes of a request, by the outcome of its attempt.
 */
#ifndef DWF_VERDICT_H
#define DWF_VERDICT_H

#include "queue/request.h"
#include "queue/rest.h"

/*
 * Fills in the verdict, the counts and the next time.  `retry_after` is as of
 * dwf_backoff_retry_after().
 */
extern void dwf_verdict_decide(const DwfClaim *claim, DwfOutcome outcome,
							   int64 retry_after, DwfResult *result);

/*
 * What becomes of a request that is refused, by Domo or before it is sent:
 * rejected, or in doubt, where an earlier attempt may have been executed.
 */
extern DwfVerdict dwf_verdict_refuse(const DwfClaim *claim);

/* The waits that the settings ask for. */
extern DwfBackoff dwf_verdict_backoff(void);

/* A random number in [0, 1). */
extern double dwf_verdict_dice(void);

#endif							/* DWF_VERDICT_H */
