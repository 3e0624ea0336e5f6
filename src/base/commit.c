/*
 * commit.c
 *	  What a transaction tells other processes when it commits.
 *
 * What it did is gathered while it runs, and told at once at its commit, when
 * nothing may fail any more; a rollback, or PREPARE TRANSACTION, forgets it, but
 * for what it had locked, which a rollback gives back.
 * Who hears it: the worker of the database (shared.c), who waits for a request
 * (waiters.c), and the launcher (roster.c).
 */
#include "postgres.h"

#include "base/commit.h"
#include "base/news.h"
#include "base/quota.h"
#include "base/returners.h"
#include "base/roster.h"
#include "base/shared.h"
#include "base/tally.h"
#include "base/waiters.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

static bool has_enqueued;
static TimestampTz earliest;
static bool has_waiting;
static bool has_created;
static bool has_held;
static bool has_return;
static DwfNews news;

static void at_xact_event(XactEvent event, void *arg);
static void at_subxact_event(SubXactEvent event, SubTransactionId my_subid,
							 SubTransactionId parent_subid, void *arg);
static void register_callbacks(void);
static void tell_others(void);
static void give_back(void);

/* Once in a backend: a list that grows would slow down every commit. */
static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_xact_event, NULL);
	RegisterSubXactCallback(at_subxact_event, NULL);
	registered = true;
}

void
dwf_commit_note_enqueued(TimestampTz run_at, int count)
{
	register_callbacks();
	if (!has_enqueued || run_at < earliest)
		earliest = run_at;
	has_enqueued = true;
	dwf_tally_add(InvalidOid, count);
}

void
dwf_commit_note_count(Oid role, int count)
{
	register_callbacks();
	dwf_tally_add(role, count);
}

void
dwf_commit_note_due(int64 lane, TimestampTz due)
{
	dwf_commit_note_enqueued(due, 0);
	dwf_news_add_lane(&news, lane, due);
}

void
dwf_commit_note_held(int64 lane, TimestampTz due)
{
	if (due == DT_NOEND)
		return;
	dwf_commit_note_due(lane, due);
	has_held = true;
}

void
dwf_commit_note_left(int64 id)
{
	dwf_news_add_id(&news, id);
	dwf_commit_note_enqueued(DT_NOEND, 0);
	dwf_commit_note_waiting();
}

void
dwf_commit_note_waiting(void)
{
	register_callbacks();
	has_waiting = true;
}

void
dwf_commit_note_settled(int64 request)
{
	register_callbacks();
	dwf_waiters_mark(request);
}

void
dwf_commit_note_return(void)
{
	register_callbacks();
	has_return = true;
}

void
dwf_commit_note_created(void)
{
	register_callbacks();
	has_created = true;
}

/* At COMMIT: must not fail. */
static void
tell_others(void)
{
	Oid			role;
	int64		count;

	/* first, so that the worker cannot take off what was not yet added */
	for (int i = 0; dwf_tally_entry(i, &role, &count); i++)
	{
		if (OidIsValid(role))
			(void) dwf_quota_add(role, count);
	}
	dwf_shared_tell(MyDatabaseId, &news);

	/* a CREATE EXTENSION that was prepared has told nobody; a resumed copy */
	if (has_enqueued &&
		!dwf_shared_wake(MyDatabaseId, earliest, dwf_tally_count(InvalidOid),
						 has_waiting))
		has_created = true;
	dwf_waiters_wake();
	if (has_return)
		dwf_returner_tell(MyDatabaseId);
	if (has_created)
		dwf_roster_probe(MyDatabaseId);
}

/*
 * At ROLLBACK, when the locks are gone already: must not fail.  What was changed
 * in these lanes has not happened, so that the worker may look for nothing.
 */
static void
give_back(void)
{
	if (!has_held)
		return;
	dwf_shared_tell(MyDatabaseId, &news);
	(void) dwf_shared_wake(MyDatabaseId, GetCurrentTimestamp(), 0, false);
}

/* A prepared transaction tells nobody: whoever ends it is another process. */
static void
at_xact_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			tell_others();
			break;
		case XACT_EVENT_ABORT:
			give_back();
			break;
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
			break;
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			return;
	}
	has_enqueued = has_waiting = has_created = has_held = has_return = false;
	dwf_tally_end();
	dwf_waiters_forget();
	dwf_news_clear(&news);
}

static void
at_subxact_event(SubXactEvent event, SubTransactionId my_subid,
				 SubTransactionId parent_subid, void *arg)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB || event == SUBXACT_EVENT_ABORT_SUB)
		dwf_tally_end_level(GetCurrentTransactionNestLevel(),
							event == SUBXACT_EVENT_COMMIT_SUB);
}
