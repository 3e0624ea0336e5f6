/*
 * lateral.c
 *	  Calls in FROM that need something of another relation.
 *
 * PostgreSQL keeps what a relation with LATERAL has delivered, and takes it
 * again for equal values (Memoize), unless it finds a volatile function.  It
 * looks for one in the columns that the relation delivers, in its conditions
 * and in what it needs of others, but not in the function that it is
 * (get_memoize_path() in PostgreSQL's joinpath.c): calls would be left out.
 *
 * So the call is made one of the things that it needs of others.  These are
 * read for Memoize alone by the time that paths are made.  To take them away
 * would not do: conditions of the join make keys, too, and what is kept would
 * then be found by those alone.
 */
#include "postgres.h"

#include "call/lateral.h"

#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/paths.h"
#include "utils/lsyscache.h"

extern Datum domowf_call_support(PG_FUNCTION_ARGS);

static set_rel_pathlist_hook_type next_hook = NULL;

static void keep_from_memoize(PlannerInfo *root, RelOptInfo *rel, Index index,
							  RangeTblEntry *entry);
static bool find_call(Node *node, void *context);
static bool is_call(Oid function, void *context);

void
dwf_lateral_install(void)
{
	next_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = keep_from_memoize;
}

/* The hook, of each relation that is scanned. */
static void
keep_from_memoize(PlannerInfo *root, RelOptInfo *rel, Index index,
				  RangeTblEntry *entry)
{
	ListCell   *lc;

	if (next_hook != NULL)
		next_hook(root, rel, index, entry);
	if (bms_is_empty(rel->lateral_relids))
		return;
	if (entry->rtekind == RTE_TABLEFUNC &&
		find_call((Node *) entry->tablefunc, NULL))
		rel->lateral_vars = lappend(rel->lateral_vars, entry->tablefunc);
	if (entry->rtekind != RTE_FUNCTION)
		return;
	foreach(lc, entry->functions)
	{
		Node	   *function = ((RangeTblFunction *) lfirst(lc))->funcexpr;

		if (find_call(function, NULL))
			rel->lateral_vars = lappend(rel->lateral_vars, function);
	}
}

static bool
find_call(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_call, context))
		return true;
	return expression_tree_walker(node, find_call, context);
}

/* Whether a function calls Domo, now or later: its support function tells. */
static bool
is_call(Oid function, void *context)
{
	Oid			support = get_func_support(function);
	FmgrInfo	info;

	if (!OidIsValid(support))
		return false;
	fmgr_info(support, &info);
	return info.fn_addr == domowf_call_support;
}
