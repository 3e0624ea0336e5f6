/*
 * news.c
 *	  What a commit tells the worker.
 *
 * The worker must not read the whole queue to find what has come in, and a
 * commit must not wait.  So each entry of a database in shared memory has a
 * short list of lanes, and one of requests, behind a spinlock, which is held
 * for as long as it takes to go through these; where a list is full, a flag
 * stands for whatever else there is, and the worker looks for itself.
 */
#include "postgres.h"

#include "base/news.h"
#include "base/shared_entry.h"

/* A transaction's list that is longer is not merged one by one. */
#define MAX_MERGED	32

static void merge(DwfNews *to, const DwfNews *from);

void
dwf_news_clear(DwfNews *news)
{
	news->nlanes = news->nids = 0;
	news->more_lanes = news->more_ids = false;
}

void
dwf_news_add_lane(DwfNews *news, int64 lane, TimestampTz due)
{
	/* backwards: who enqueues many does so into one lane, mostly */
	for (int i = news->nlanes - 1; i >= 0; i--)
	{
		if (news->lanes[i].lane != lane)
			continue;
		if (due < news->lanes[i].due)
			news->lanes[i].due = due;
		return;
	}
	if (news->nlanes == DWF_NEWS_LANES)
		news->more_lanes = true;
	else
	{
		news->lanes[news->nlanes].lane = lane;
		news->lanes[news->nlanes++].due = due;
	}
}

void
dwf_news_add_id(DwfNews *news, int64 id)
{
	if (news->nids == DWF_NEWS_IDS)
		news->more_ids = true;
	else
		news->ids[news->nids++] = id;
}

void
dwf_news_tell(Oid database, const DwfNews *news)
{
	DwfSharedEntry *entry;

	if (dwf_shared == NULL || (news->nlanes == 0 && news->nids == 0))
		return;
	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	entry = dwf_shared_find(database, false);
	if (entry != NULL)
	{
		SpinLockAcquire(&entry->news_lock);
		merge(&entry->news, news);
		SpinLockRelease(&entry->news_lock);
		pg_atomic_write_u32(&entry->has_news, 1);
	}
	LWLockRelease(dwf_shared->lock);
}

static void
merge(DwfNews *to, const DwfNews *from)
{
	if (to->nlanes > 0 && from->nlanes > MAX_MERGED)
		to->more_lanes = true;
	else
	{
		for (int i = 0; i < from->nlanes; i++)
			dwf_news_add_lane(to, from->lanes[i].lane, from->lanes[i].due);
	}
	for (int i = 0; i < from->nids; i++)
		dwf_news_add_id(to, from->ids[i]);
	to->more_lanes |= from->more_lanes;
	to->more_ids |= from->more_ids;
}

bool
dwf_news_take(DwfNews *news)
{
	DwfSharedEntry *entry = dwf_shared_mine;

	/* told before the flag is set, and the flag before the latch */
	if (pg_atomic_read_u32(&entry->has_news) == 0 ||
		pg_atomic_exchange_u32(&entry->has_news, 0) == 0)
		return false;
	SpinLockAcquire(&entry->news_lock);
	memcpy(news, &entry->news, sizeof(DwfNews));
	dwf_news_clear(&entry->news);
	SpinLockRelease(&entry->news_lock);
	return true;
}
