/*
 * recount.c
 *	  Counts the queue, so that what is kept of its length stays right.
 *
 * The counts in shared memory (quota.c) miss what nobody tells: COMMIT
 * PREPARED, rows that are changed by hand, the queue that a server starts with.
 * The worker, or a process of its own where that takes long (care.c), puts them
 * right by the difference to what it has counted, since others add to them while
 * it counts.  They are read together with the
 * snapshot that is counted by; who commits just between these two is counted
 * twice, or not at all, until the next time.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/quota.h"
#include "base/shared.h"
#include "base/tally.h"
#include "queue/recount.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

static void count_queue(void);
static int	collect(DwfQuotaCount **all, const DwfQuotaCount *shared,
					int nshared);
static void put(DwfQuotaCount **end, Oid role, int64 count);
static int	compare_roles(const void *a, const void *b);
static void correct(const DwfQuotaCount *count, bool says);

void
dwf_recount(bool says)
{
	DwfQuotaCount *shared;
	DwfQuotaCount *all;
	int			nshared;
	int			nall;
	DwfSteady	start = dwf_clock_now();

	/* what this transaction has written belongs to it */
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	nshared = dwf_quota_read(&shared);
	count_queue();
	PopActiveSnapshot();

	nall = collect(&all, shared, nshared);
	qsort(all, nall, sizeof(DwfQuotaCount), compare_roles);
	for (int i = 0; i < nall; i++)
	{
		if (i + 1 < nall && all[i + 1].role == all[i].role)
			all[i + 1].count += all[i].count;
		else
			correct(&all[i], says);
	}
	dwf_quota_tidy();
	dwf_shared_note_count(MyDatabaseId, dwf_clock_now() - start);
}

/* By the snapshot at hand, from one end of the table to the other. */
static void
count_queue(void)
{
	static const char sql[] =
	"SELECT requested_by_oid, count(*) FROM domowf.queue "
	"WHERE state <> 'in_doubt' GROUP BY 1";
	int			level = NewGUCNestLevel();

	(void) set_config_option("enable_seqscan", "on", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (SPI_execute(sql, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", sql);
	AtEOXact_GUC(true, level);
}

/*
 * What was counted, less what shared memory has and what this transaction will
 * add to that when it commits.
 */
static int
collect(DwfQuotaCount **all, const DwfQuotaCount *shared, int nshared)
{
	int			ntally = 0;
	DwfQuotaCount *end;
	int64		total = 0;
	Oid			role;
	int64		count;

	while (dwf_tally_entry(ntally, &role, &count))
		ntally++;
	*all = end = palloc(sizeof(DwfQuotaCount) *
						(SPI_processed + nshared + ntally + 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		role = DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull));
		count = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
		total += count;
		put(&end, role, count);
	}
	put(&end, InvalidOid, total);
	for (int i = 0; i < nshared; i++)
		put(&end, shared[i].role, -shared[i].count);
	for (int i = 0; dwf_tally_entry(i, &role, &count); i++)
		put(&end, role, -count);
	return end - *all;
}

static void
put(DwfQuotaCount **end, Oid role, int64 count)
{
	(*end)->role = role;
	(*end)->count = count;
	(*end)++;
}

static int
compare_roles(const void *a, const void *b)
{
	Oid			one = ((const DwfQuotaCount *) a)->role;
	Oid			other = ((const DwfQuotaCount *) b)->role;

	return (one > other) - (one < other);
}

/*
 * No room for a role is no error, and said once: its requests still count in
 * the whole.
 */
static void
correct(const DwfQuotaCount *count, bool says)
{
	static bool told = false;

	if (!OidIsValid(count->role))
		dwf_shared_add_length(MyDatabaseId, count->count);
	else if (dwf_quota_add(count->role, count->count))
		return;
	else if (says && !told)
	{
		told = true;
		ereport(LOG,
				(errmsg("domowf: there is no room to count the requests of every role"),
				 errdetail("Roles that are not counted are held to domowf.max_queue_length alone.")));
	}
}
