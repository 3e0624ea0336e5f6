/*
 * rollback.c
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
 * not fail: entries have a fixed size, the message has a buffer of its own, and
 * is one that every client's encoding can hold.
 */
#include "postgres.h"

#include "base/client.h"
#include "base/domowf.h"
#include "base/text.h"
#include "call/rollback.h"

#include "access/xact.h"
#include "utils/memutils.h"

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

static void at_xact_event(XactEvent event, void *arg);
static void at_subxact_event(SubXactEvent event, SubTransactionId my_subid,
							 SubTransactionId parent_subid, void *arg);
static void register_callbacks(void);
static void release_level(Level *level);
static int	shown(const Level *level);
static void warn(const Level *level, const char *what);

void
dwf_rollback_prepare(void)
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
dwf_rollback_note(DwfOperation operation, const char *id)
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

/*
 * What is said at an abort must not fail; PREPARE is refused before it
 * begins.
 */
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
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
			innermost = NULL;
			break;
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			return;
	}
}

/*
 * A savepoint that is released hands its calls on, one that rolls back
 * warns.
 */
static void
at_subxact_event(SubXactEvent event, SubTransactionId my_subid,
				 SubTransactionId parent_subid, void *arg)
{
	Level	   *level = innermost;
	int			nesting = GetCurrentTransactionNestLevel();

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
	static char list[DWF_MAX_NAMED * (MAX_ID_SHOWN + 30)];
	ErrorContextCallback *stack = error_context_stack;
	size_t		used = 0;

	if (level->total == 0)
		return;
	for (int i = 0; i < shown(level); i++)
	{
		const Entry *entry = &level->entries[i];

		used += snprintf(list + used, sizeof(list) - used, "%s%s %s",
						 i == 0 ? "" : ", ", dwf_operation(entry->operation)->done,
						 entry->id);
	}
	if (level->total > DWF_MAX_NAMED)
		snprintf(list + used, sizeof(list) - used, " and " INT64_FORMAT " more",
				 level->total - DWF_MAX_NAMED);

	/* nor may it fail for what PostgreSQL adds: statements, functions' names */
	(void) dwf_client_fit_plain(list);
	if (dwf_client_converts())
		error_context_stack = NULL;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("the %s was rolled back, but Domo has executed its calls: %s",
					what, list),
			 errhint("A call takes effect at once and cannot be undone.")));
	error_context_stack = stack;
}
