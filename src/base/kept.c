/*
 * kept.c
 *	  One of domowf's own tables, open from one use of it to the next in a
 *	  transaction.
 *
 * To open a table with its indexes, and to find its columns, takes as long as to
 * write a row of it.  Who writes one row in each of many calls of a function
 * opens it once in a transaction, as PostgreSQL does it for large objects
 * (inv_api.c).  The lock is held to the end of the transaction either way.
 *
 * What is open belongs to a resource owner of its own, below that of the whole
 * transaction: so it outlasts statements and savepoints, can be let go in any
 * state, and an abort of the transaction needs no help.  That of a part of it
 * takes back what was made there, a table, an index or the whole extension, which
 * must not be open by then: what is not in use outside of that part is closed.
 *
 * A table that is open cannot be changed by its own session; so it is closed
 * before every statement that might, and what an event trigger writes within one
 * keeps nothing.  The TRUNCATE of an apply worker is no statement, so that the
 * trigger closes it which fires before (replica.c), and nothing is kept from then
 * on: a trigger of the next table may write, before the first one is emptied.
 */
#include "postgres.h"

#include "base/changes.h"
#include "base/kept.h"
#include "base/objects.h"
#include "base/utility.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"

/* The one that is kept. */
static struct
{
	ResourceOwner owner;		/* NULL: none */
	MemoryContext context;
	DwfTable   *table;			/* in the context, as all that belongs to it */
	uint64		generation;		/* of what was known when it was opened */
	int			used_at;		/* nesting level of who uses it; 0: nobody */
	bool		is_spoiled;		/* an error has ended a use of it */
}			kept;

static ProcessUtility_hook_type next_hook = NULL;
static int	changing;			/* statements under way that may change tables */
static bool is_ended;			/* nothing is kept until the transaction ends */

static bool is_same(const char *name);
static void open_anew(const char *name, int ncolumns);
static void release_owner(void);
static void register_callbacks(void);
static void at_xact_event(XactEvent event, void *arg);
static void at_subxact_event(SubXactEvent event, SubTransactionId my_subid,
							 SubTransactionId parent_subid, void *arg);
static void close_before(DWF_UTILITY_PARAMETERS);
static bool may_change_tables(const Node *statement);

void
dwf_kept_install(void)
{
	next_hook = ProcessUtility_hook;
	ProcessUtility_hook = close_before;
}

DwfTable *
dwf_kept_open(const char *name, int ncolumns)
{
	DwfTable   *table;

	if (kept.used_at != 0 || changing > 0 || is_ended)
	{
		table = palloc(sizeof(DwfTable));
		dwf_table_open(table, name, ncolumns, false);
		return table;
	}
	if (!is_same(name))
	{
		dwf_kept_close();
		open_anew(name, ncolumns);
	}
	kept.used_at = GetCurrentTransactionNestLevel();
	return kept.table;
}

/* Whether what is kept is the table of this name, and nothing has changed since. */
static bool
is_same(const char *name)
{
	return kept.owner != NULL && !kept.is_spoiled &&
		dwf_object_require(name, NULL) == RelationGetRelid(kept.table->rel) &&
		dwf_changes_generation() == kept.generation;
}

/* What fails to open is spoiled, and let go of by who opens next. */
static void
open_anew(const char *name, int ncolumns)
{
	ResourceOwner caller = CurrentResourceOwner;
	MemoryContext old;

	register_callbacks();
	kept.context = AllocSetContextCreate(TopTransactionContext,
										 "domowf kept table",
										 ALLOCSET_DEFAULT_SIZES);
	kept.owner = ResourceOwnerCreate(TopTransactionResourceOwner,
									 "domowf kept table");
	kept.is_spoiled = true;
	old = MemoryContextSwitchTo(kept.context);
	CurrentResourceOwner = kept.owner;
	PG_TRY();
	{
		kept.table = palloc0(sizeof(DwfTable));
		dwf_table_open(kept.table, name, ncolumns, false);
		dwf_table_will_rest(kept.table);
		kept.generation = dwf_changes_generation();
		kept.is_spoiled = false;
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = caller;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

void
dwf_kept_release(DwfTable *table)
{
	if (table != kept.table)
	{
		dwf_table_close(table);
		pfree(table);
		return;
	}
	dwf_table_rest(table);
	kept.used_at = 0;
}

void
dwf_kept_close(void)
{
	if (kept.owner == NULL || kept.used_at != 0)
		return;
	release_owner();
	MemoryContextDelete(kept.context);
	memset(&kept, 0, sizeof(kept));
}

void
dwf_kept_end(void)
{
	dwf_kept_close();
	if (changing > 0)
		return;
	register_callbacks();
	is_ended = true;
}

/* Lets go, as an abort does, of all but the locks, which become the transaction's. */
static void
release_owner(void)
{
	ResourceOwnerRelease(kept.owner, RESOURCE_RELEASE_BEFORE_LOCKS, false, false);
	ResourceOwnerRelease(kept.owner, RESOURCE_RELEASE_LOCKS, true, false);
	ResourceOwnerRelease(kept.owner, RESOURCE_RELEASE_AFTER_LOCKS, false, false);
	ResourceOwnerDelete(kept.owner);
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

/* What is still open after the transaction is gone with all that was its own. */
static void
at_xact_event(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		dwf_kept_close();
	else
	{
		memset(&kept, 0, sizeof(kept));
		is_ended = false;
	}
}

/* Comes before PostgreSQL forgets the tables and indexes that were made in it. */
static void
at_subxact_event(SubXactEvent event, SubTransactionId my_subid,
				 SubTransactionId parent_subid, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	if (kept.used_at >= GetCurrentTransactionNestLevel())
		kept.used_at = 0;
	dwf_kept_close();
}

/* The hook, of whatever is not run by the executor. */
static void
close_before(DWF_UTILITY_PARAMETERS)
{
	if (!may_change_tables(pstmt->utilityStmt))
	{
		dwf_utility_run(next_hook, DWF_UTILITY_ARGUMENTS);
		return;
	}
	dwf_kept_close();
	PG_TRY();
	{
		changing++;
		dwf_utility_run(next_hook, DWF_UTILITY_ARGUMENTS);
	}
	PG_FINALLY();
	{
		changing--;
	}
	PG_END_TRY();
}

/* What runs queries does not, or only by what comes here by itself. */
static bool
may_change_tables(const Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CallStmt:
		case T_CopyStmt:
		case T_CreateTableAsStmt:
		case T_DoStmt:
		case T_ExecuteStmt:
		case T_ExplainStmt:
		case T_FetchStmt:
		case T_RefreshMatViewStmt:
		case T_TransactionStmt:
		case T_VariableSetStmt:
			return false;
		default:
			return true;
	}
}
