/*
 * xact.c
 *	  The calls that succeeded in this transaction.
 *
 * A call is outside of PostgreSQL's transactions: when one rolls back after
 * it, the instance runs all the same.  Nobody can undo that, so it is said: a
 * WARNING names what stands.  And a transaction with such calls cannot be
 * prepared, because whoever ends it later would be told nothing.
 *
 * State: one Level for each nesting level at which calls were made, innermost
 * first.  A released savepoint gives its level to the one around it; one that
 * rolls back warns and drops it.  Levels live in TopTransactionContext, which
 * outlasts the callbacks.  What runs after a success or within an abort must
 * not fail: entries have a fixed size, the message has a buffer of its own.
 */
#include "postgres.h"

#include "base/domowf.h"
#include "base/news.h"
#include "base/quota.h"
#include "base/roster.h"
#include "base/shared.h"
#include "base/tally.h"
#include "base/text.h"
#include "base/waiters.h"
#include "base/xact.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Ids are UUIDs today; a longer one is cut in the warning. */
#define MAX_ID_SHOWN	80

typedef struct Entry
{
	DwfOperation operation;
	char		id[MAX_ID_SHOWN];
} Entry;

typedef struct Level
{
	struct Level *outer;
	int			nesting;
	int64		total;			/* calls, the first of which are in entries */
	Entry		entries[DWF_MAX_NAMED];
} Level;

static Level *innermost;

/* What is to be told to other processes at COMMIT. */
static bool has_enqueued;
static TimestampTz earliest;
static bool has_waiting;
static bool has_created;
static DwfNews news;

static void at_xact_event(XactEvent event, void *arg);
static void at_subxact_event(SubXactEvent event, SubTransactionId my_subid,
							 SubTransactionId parent_subid, void *arg);
static void register_callbacks(void);
static void tell_others(void);
static void release_level(Level *level);
static int	shown(const Level *level);
static void warn(const Level *level, const char *what);

void
dwf_xact_prepare(void)
{
	int			nesting = GetCurrentTransactionNestLevel();
	Level	   *level;

	register_callbacks();
	if (innermost != NULL && innermost->nesting == nesting)
		return;
	level = MemoryContextAlloc(TopTransactionContext, sizeof(Level));
	level->nesting = nesting;
	level->total = 0;
	level->outer = innermost;
	innermost = level;
}

void
dwf_xact_note(DwfOperation operation, const char *id)
{
	Level	   *level = innermost;

	if (level->total < DWF_MAX_NAMED)
	{
		Entry	   *entry = &level->entries[level->total];

		entry->operation = operation;
		dwf_text_show(entry->id, sizeof(entry->id), id);
	}
	level->total++;
}

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
dwf_xact_note_enqueued(TimestampTz run_at, int count)
{
	register_callbacks();
	if (!has_enqueued || run_at < earliest)
		earliest = run_at;
	has_enqueued = true;
	dwf_tally_add(InvalidOid, count);
}

void
dwf_xact_note_count(Oid role, int count)
{
	register_callbacks();
	dwf_tally_add(role, count);
}

void
dwf_xact_note_due(int64 lane, TimestampTz due)
{
	dwf_xact_note_enqueued(due, 0);
	dwf_news_add_lane(&news, lane, due);
}

void
dwf_xact_note_left(int64 id)
{
	dwf_news_add_id(&news, id);
	dwf_xact_note_enqueued(DT_NOEND, 0);
	dwf_xact_note_waiting();
}

void
dwf_xact_note_waiting(void)
{
	register_callbacks();
	has_waiting = true;
}

void
dwf_xact_note_settled(int64 request)
{
	register_callbacks();
	dwf_waiters_mark(request);
}

void
dwf_xact_note_created(void)
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
	dwf_news_tell(MyDatabaseId, &news);

	/* a CREATE EXTENSION that was prepared has told nobody */
	if (has_enqueued &&
		!dwf_shared_wake(MyDatabaseId, earliest, dwf_tally_count(InvalidOid),
						 has_waiting))
		has_created = true;
	dwf_waiters_wake();
	if (has_created)
		dwf_roster_probe(MyDatabaseId);
}

static void
at_xact_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			for (Level *level = innermost; level; level = level->outer)
			{
				if (level->total > 0)
					ereport(ERROR,
							(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							 errmsg("cannot PREPARE a transaction that has called Domo"),
							 errhint("Whoever rolled it back later could not be told what Domo has executed.")));
			}
			return;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			while (innermost != NULL)
			{
				Level	   *level = innermost;

				innermost = level->outer;
				warn(level, "transaction");
			}
			break;
		case XACT_EVENT_COMMIT:
			tell_others();
			innermost = NULL;
			break;
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
			innermost = NULL;
			break;
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			return;
	}
	has_enqueued = has_waiting = has_created = false;
	dwf_tally_end();
	dwf_waiters_forget();
	dwf_news_clear(&news);
}

static void
at_subxact_event(SubXactEvent event, SubTransactionId my_subid,
				 SubTransactionId parent_subid, void *arg)
{
	Level	   *level = innermost;
	int			nesting = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_COMMIT_SUB || event == SUBXACT_EVENT_ABORT_SUB)
		dwf_tally_end_level(nesting, event == SUBXACT_EVENT_COMMIT_SUB);
	if (level == NULL || level->nesting != nesting)
		return;
	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			release_level(level);
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			innermost = level->outer;
			warn(level, "subtransaction");
			pfree(level);
			break;
		case SUBXACT_EVENT_START_SUB:
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

/* Gives a level's calls to the level around it. */
static void
release_level(Level *level)
{
	Level	   *outer = level->outer;

	if (outer == NULL || outer->nesting < level->nesting - 1)
	{
		level->nesting--;
		return;
	}
	for (int i = 0; i < shown(level); i++)
	{
		if (shown(outer) + i < DWF_MAX_NAMED)
			outer->entries[shown(outer) + i] = level->entries[i];
	}
	outer->total += level->total;
	innermost = outer;
	pfree(level);
}

/* How many calls a level can name. */
static int
shown(const Level *level)
{
	return (int) Min(level->total, DWF_MAX_NAMED);
}

/*
 * Says what stands although it was rolled back.  Runs while a transaction
 * aborts: no memory is asked for but ereport's own.
 */
static void
warn(const Level *level, const char *what)
{
	static const char *const done[] = {
		[DWF_START] = "started",
		[DWF_CANCEL] = "canceled",
		[DWF_SET_PERMISSIONS] = "changed permissions of",
	};
	static char list[DWF_MAX_NAMED * (MAX_ID_SHOWN + 30)];
	size_t		used = 0;

	if (level->total == 0)
		return;
	for (int i = 0; i < shown(level); i++)
	{
		const Entry *entry = &level->entries[i];

		used += snprintf(list + used, sizeof(list) - used, "%s%s %s",
						 i == 0 ? "" : ", ", done[entry->operation],
						 entry->id);
	}
	if (level->total > DWF_MAX_NAMED)
		snprintf(list + used, sizeof(list) - used, " and " INT64_FORMAT " more",
				 level->total - DWF_MAX_NAMED);
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("the %s was rolled back, but Domo has executed its calls: %s",
					what, list),
			 errhint("A call takes effect at once and cannot be undone.")));
}
