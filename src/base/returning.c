/*
 * returning.c
 *	  Whether this process is doing a return.
 */
#include "postgres.h"

#include "base/returning.h"

static int	depth = 0;			/* of what is enqueued now */

void
dwf_returning_begin(int of_request)
{
	depth = of_request + 1;
}

void
dwf_returning_end(void)
{
	depth = 0;
}

int
dwf_returning_depth(void)
{
	return depth;
}

void
dwf_returning_check_depth(void)
{
	if (depth > DWF_MAX_DEPTH)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("over %d requests come of each other's returns",
						DWF_MAX_DEPTH),
				 errhint("Look for triggers or functions that start each other for ever.")));
}

void
dwf_returning_refuse_call(void)
{
	if (depth > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot call Domo while an outcome is written back"),
				 errdetail("What is done then may be tried again, and the call would be made again with it."),
				 errhint("Use domowf_enqueue() or domowf_enqueue_call().")));
}
