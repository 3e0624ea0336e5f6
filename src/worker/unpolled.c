/*
 * unpolled.c
 *	  Instances that are due and that nobody can poll.
 *
 * Who has no connection, or one that rests, or that has to send all the time, has
 * no poll that would tell that the time is over in which an instance is followed.
 * So that is looked at here, of all that is due in such a lane, a part at a time.
 *
 * It must not know how an end is written.
 */
#include "postgres.h"

#include "base/testpoint.h"
#include "worker/agenda.h"
#include "worker/unpolled.h"

#include "utils/timestamp.h"

/* What took several looks to read is read anew so much later, ms. */
#define READ_AGAIN	60000

static const char *find_reason(const DwfRoute *route, DwfSteady now);
static bool is_kept(const DwfUnpolled *unpolled, const DwfRoute *route,
					DwfSteady now);

int
dwf_unpolled_find_old(DwfUnpolled *unpolled, int64 lane,
					  const DwfRoute *route, bool is_due, DwfSteady now,
					  DwfTracked *rows, int max, const char **why)
{
	bool		is_first = unpolled->place.request == 0;
	int			count;

	*why = is_due ? find_reason(route, now) : NULL;
	if (*why == NULL)
		memset(unpolled, 0, sizeof(*unpolled));
	else if (unpolled->since == 0)
		unpolled->since = now;
	if (*why == NULL || now < unpolled->look_at ||
		!is_kept(unpolled, route, now))
		return 0;
	count = dwf_tracked_find_old(lane, &unpolled->place, dwf_clock_shown(now),
								 now - DWF_FOLLOWED, rows, max);
	if (unpolled->place.request == 0 && !is_first)
		unpolled->look_at = TimestampTzPlusMilliseconds(now, READ_AGAIN);
	return count;
}

/*
 * Why nothing is polled; NULL: it is, or will be soon.  For the log's row, so
 * that what an attempt of somebody else's has told is not for it.
 */
static const char *
find_reason(const DwfRoute *route, DwfSteady now)
{
	const DwfLink *link = route->link;

	if (link == NULL)
		return route->reason;
	if (!link->is_open)
		return link->reason;
	if (link->polls.pause.pauses > 0 || link->rest.pause.pauses > 0)
		return "its connection rests";
	return dwf_agenda_wants(link, now) ?
		"its connection had other things to send" : NULL;
}

/*
 * Whether nothing has been polled for long enough: where there is a connection, a
 * last poll of each may still be made.
 */
static bool
is_kept(const DwfUnpolled *unpolled, const DwfRoute *route, DwfSteady now)
{
	int			wait = DWF_TESTNUMBER("kept-polls", DWF_MAX_POLL_WAIT / 1000);

	return route->link == NULL || !route->link->is_open ||
		now >= TimestampTzPlusMilliseconds(unpolled->since, wait);
}
