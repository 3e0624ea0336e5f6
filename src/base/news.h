/*
 * news.h
 *	  What a commit tells the worker: where something is due, and which
 *	  requests were taken out of the queue by hand.
 */
#ifndef DWF_NEWS_H
#define DWF_NEWS_H

#include "datatype/timestamp.h"

/* So many are told one by one; of more, only that there are more. */
#define DWF_NEWS_LANES	256
#define DWF_NEWS_IDS	64

/* Something of a lane (lanes.h) is due from this time on. */
typedef struct DwfLaneNews
{
	int64		lane;
	TimestampTz due;
} DwfLaneNews;

typedef struct DwfNews
{
	int			nlanes;
	int			nids;
	bool		more_lanes;		/* any lane may have something due */
	bool		more_ids;		/* any order key may stand behind nobody */
	DwfLaneNews lanes[DWF_NEWS_LANES];
	int64		ids[DWF_NEWS_IDS];	/* settled by hand, with an order key */
} DwfNews;

/*
 * To put news together.  These, and all that follow, are without errors, fit
 * for a commit callback.
 */
extern void dwf_news_clear(DwfNews *news);
extern void dwf_news_add_lane(DwfNews *news, int64 lane, TimestampTz due);
extern void dwf_news_add_id(DwfNews *news, int64 id);

/* Adds some news to others; of a long list only that there is more. */
extern void dwf_news_merge(DwfNews *to, const DwfNews *from);

#endif							/* DWF_NEWS_H */
