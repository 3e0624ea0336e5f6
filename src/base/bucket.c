/*
 * bucket.c
 *	  Buckets of the histograms of domowf.counter.
 *
 * The scripts have the same bounds: the views domowf.stats and domowf.metric,
 * and the update from 1.0, which counts what the log has.
 */
#include "base/bucket.h"

#define SEC		INT64_C(1000000)

/* Up to which time a bucket reaches, microseconds; the last one: any. */
static const int64_t bounds[DWF_BUCKETS - 1] = {
	1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000,
	SEC, 2 * SEC, 5 * SEC, 10 * SEC, 30 * SEC, 60 * SEC, 300 * SEC,
	3600 * SEC, 86400 * SEC
};

int
dwf_bucket_find(int64_t usec)
{
	int			bucket = 0;

	while (bucket < DWF_BUCKETS - 1 && usec > bounds[bucket])
		bucket++;
	return bucket;
}
