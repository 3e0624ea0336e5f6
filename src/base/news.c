/*
 * news.c
 *	  What a commit tells the worker.
 *
 * The worker must not read the whole queue to find what has come in, and a
 * commit must not wait.  So each entry of a database in shared memory (shared.c)
 * has a short list of lanes, and one of requests, behind a spinlock, which is
 * held for as long as it takes to go through these; where a list is full, a flag
 * stands for whatever else there is, and the worker looks for itself.
 */
#include "postgres.h"

#include "base/news.h"

/* A transaction's list that is longer is not merged one by one. */
#define MAX_MERGED	32

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
dwf_news_merge(DwfNews *to, const DwfNews *from)
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
