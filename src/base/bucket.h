/*
 * bucket.h
 *	  Buckets of the histograms of domowf.counter.  Pure.
 */
#ifndef DWF_BUCKET_H
#define DWF_BUCKET_H

#include <stdint.h>

#define DWF_EACH_BUCKET(X) \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) \
	X(14) X(15) X(16) X(17) X(18)
#define DWF_BUCKETS		19

/*
 * The bucket of a time, microseconds: the first one that reaches so far.  What
 * is as long as a bucket reaches belongs to it, as Prometheus has it (`le`).
 */
extern int	dwf_bucket_find(int64_t usec);

#endif							/* DWF_BUCKET_H */
