/*
 * cursor.c
 *	  Cursors that go back over rows for which they have called.
 *
 * One that may scroll computes its rows again when it has gone back, by FETCH
 * or MOVE, in PL/pgSQL, or WITH HOLD when its transaction commits.  PostgreSQL
 * tells nobody that it goes back.  But a portal counts the rows that it has
 * returned: where it only goes on, whoever fetches later stands behind every
 * row that has called.  So for each cursor that has called the furthest such
 * row is kept, for as long as there is the cursor, and a call of a later fetch
 * that does not stand behind it is refused.  Within one fetch rows are computed
 * in their order, and a row may call several times.
 */
#include "postgres.h"

#include "base/compat.h"
#include "call/cursor.h"

#include "executor/executor.h"
#include "lib/ilist.h"
#include "tcop/pquery.h"
#include "utils/memutils.h"
#include "utils/portal.h"

/* A cursor that may scroll and has called; in its portal's memory. */
typedef struct Cursor
{
	slist_node	node;
	Portal		portal;
	uint64		called;			/* how many rows stood before the last call */
	bool		fetches_anew;	/* has begun to since then */
	MemoryContextCallback forget;
} Cursor;

static slist_head cursors = SLIST_STATIC_INIT(cursors);
static ExecutorRun_hook_type next_hook = NULL;

static void note_fetch(DWF_RUN_PARAMETERS);
static Cursor *find_cursor(QueryDesc *query);
static Cursor *add_cursor(Portal portal);
static void forget_cursor(void *arg);
static uint64 count_rows_before(Portal portal);

void
dwf_cursor_install(void)
{
	next_hook = ExecutorRun_hook;
	ExecutorRun_hook = note_fetch;
}

/* The hook, of whatever is run. */
static void
note_fetch(DWF_RUN_PARAMETERS)
{
	Cursor	   *cursor = find_cursor(query);

	if (cursor != NULL)
		cursor->fetches_anew = true;
	if (next_hook != NULL)
		next_hook(DWF_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(DWF_RUN_ARGUMENTS);
}

void
dwf_cursor_check(void)
{
	Portal		portal = ActivePortal;
	Cursor	   *cursor;
	uint64		before;

	if (portal == NULL || portal->strategy != PORTAL_ONE_SELECT ||
		portal->queryDesc == NULL || portal->queryDesc->estate == NULL ||
		(portal->cursorOptions & CURSOR_OPT_SCROLL) == 0)
		return;
	before = count_rows_before(portal);
	cursor = find_cursor(portal->queryDesc);
	if (ScanDirectionIsBackward(portal->queryDesc->estate->es_direction) ||
		(cursor != NULL && cursor->fetches_anew && before <= cursor->called))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cursor \"%s\" would call domowf again for rows that it has fetched",
						portal->name),
				 errhint("Declare it with NO SCROLL.")));
	if (cursor == NULL)
		cursor = add_cursor(portal);
	cursor->called = before;
	cursor->fetches_anew = false;
}

/*
 * How many rows a cursor has returned before the one that it computes.  What
 * is to be held is computed from the beginning, whatever was fetched.
 */
static uint64
count_rows_before(Portal portal)
{
	return (portal->holdStore != NULL ? 0 : portal->portalPos) +
		portal->queryDesc->estate->es_processed;
}

static Cursor *
find_cursor(QueryDesc *query)
{
	slist_iter	iter;

	slist_foreach(iter, &cursors)
	{
		Cursor	   *cursor = slist_container(Cursor, node, iter.cur);

		if (cursor->portal->queryDesc == query)
			return cursor;
	}
	return NULL;
}

static Cursor *
add_cursor(Portal portal)
{
	Cursor	   *cursor = MemoryContextAllocZero(portal->portalContext,
												sizeof(Cursor));

	cursor->portal = portal;
	cursor->forget.func = forget_cursor;
	cursor->forget.arg = cursor;
	MemoryContextRegisterResetCallback(portal->portalContext, &cursor->forget);
	slist_push_head(&cursors, &cursor->node);
	return cursor;
}

static void
forget_cursor(void *arg)
{
	slist_delete(&cursors, &((Cursor *) arg)->node);
}
