/*
 * moment.c
 *	  Points in time that are worked out from what people give.
 *
 * Who says 300000 years means never, and his INSERT is not to fail for it.
 */
#include "postgres.h"

#include <math.h>

#include "base/compat.h"
#include "base/moment.h"

#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

static double direction(const Interval *span);

TimestampTz
dwf_moment_add(TimestampTz from, const Interval *span)
{
	double		most;

	/* at most, whatever signs its parts have and how long the months are */
	most = 31.0 * USECS_PER_DAY * fabs((double) span->month) +
		(double) USECS_PER_DAY * fabs((double) span->day) +
		fabs((double) span->time);
	if (dwf_interval_is_infinite(span) ||
		(double) from + most >= (double) (END_TIMESTAMP - USECS_PER_DAY) ||
		(double) from - most <= (double) (MIN_TIMESTAMP + USECS_PER_DAY))
		return direction(span) > 0 ? DT_NOEND : DT_NOBEGIN;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(from),
												   IntervalPGetDatum(unconstify(Interval *, span))));
}

static double
direction(const Interval *span)
{
	return 30.0 * USECS_PER_DAY * span->month +
		(double) USECS_PER_DAY * span->day + (double) span->time;
}
