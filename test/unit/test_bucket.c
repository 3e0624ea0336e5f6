/*
 * test_bucket.c
 *	  Unit tests of bucket.c: up to which time a bucket reaches.
 *
 * t/425_update and t/531_metrics have the same list for the scripts: a log of
 * 1.0 is counted by SQL, and what comes later by C.
 */
#include "../../src/base/bucket.c"

#include "tap.h"

#define DAY		(86400 * SEC)

static const struct
{
	int64_t		usec;
	int			bucket;
}			times[] = {
	{0, 0}, {1, 0}, {999, 0},
	{1000, 0}, {1001, 1},
	{2000, 1}, {2001, 2},
	{5000, 2}, {5001, 3},
	{10000, 3}, {10001, 4},
	{20000, 4}, {20001, 5},
	{50000, 5}, {50001, 6},
	{100000, 6}, {100001, 7},
	{200000, 7}, {200001, 8},
	{500000, 8}, {500001, 9},
	{SEC, 9}, {SEC + 1, 10},
	{2 * SEC, 10}, {2 * SEC + 1, 11},
	{5 * SEC, 11}, {5 * SEC + 1, 12},
	{10 * SEC, 12}, {10 * SEC + 1, 13},
	{30 * SEC, 13}, {30 * SEC + 1, 14},
	{60 * SEC, 14}, {60 * SEC + 1, 15},
	{300 * SEC, 15}, {300 * SEC + 1, 16},
	{3600 * SEC, 16}, {3600 * SEC + 1, 17},
	{DAY, 17}, {DAY + 1, 18}, {1000 * DAY, 18}, {INT64_MAX, 18},
	{-1, 0}
};

int
main(void)
{
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		is_int(dwf_bucket_find(times[i].usec), times[i].bucket,
			   "%lld microseconds", (long long) times[i].usec);
	return done_testing();
}
