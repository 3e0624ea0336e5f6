/*
 * verdict.c
 *	  What becomes of a request, by the outcome of its attempt: one case for
 *	  each row of src/domo/README.md, "Evidence".
 *
 * A step of test/model/domowf.pml: what changes here has to change there.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/guc.h"
#include "queue/verdict.h"

#include "common/pg_prng.h"

void
dwf_verdict_decide(const DwfClaim *claim, DwfOutcome outcome,
				   int64 retry_after, DwfResult *result)
{
	DwfBackoff	backoff = dwf_verdict_backoff();
	bool		may_repeat = dwf_operation(claim->operation)->repeatable ||
	claim->retry_on_doubt;

	result->attempts = claim->attempts;
	result->failures = claim->failures + 1;
	result->again_at = dwf_clock_now() +
		Max(dwf_backoff_wait(&backoff, claim->failures, dwf_verdict_dice()), retry_after);

	switch (outcome)
	{
		case DWF_DONE:
			result->verdict = DWF_SETTLE_DONE;
			result->attempts++;
			break;
		case DWF_REJECTED:
			result->verdict = dwf_verdict_refuse(claim);
			result->attempts++;
			break;
		case DWF_UNSENT:
		case DWF_THROTTLED:
		case DWF_UNAUTHORIZED:
			result->verdict = DWF_REQUEUE;
			break;
		case DWF_IN_DOUBT:
			result->attempts++;
			result->verdict =
				may_repeat && result->attempts < claim->max_attempts ?
				DWF_REQUEUE : DWF_HOLD;
			break;
	}
}

/*
 * An attempt that was used and led back to the queue was in doubt: all else that
 * leads there uses none, and a person's retry, who says that it may be started
 * again, begins anew.  (upkeep.c knows it, too.)
 */
DwfVerdict
dwf_verdict_refuse(const DwfClaim *claim)
{
	return claim->attempts > 0 && !dwf_operation(claim->operation)->repeatable ?
		DWF_HOLD : DWF_SETTLE_REJECTED;
}

DwfBackoff
dwf_verdict_backoff(void)
{
	DwfBackoff	backoff = {
		.base = (int64) dwf_retry_base * 1000,
		.cap = (int64) dwf_retry_cap * 1000,
	};

	return backoff;
}

double
dwf_verdict_dice(void)
{
	return pg_prng_double(&pg_global_prng_state);
}
