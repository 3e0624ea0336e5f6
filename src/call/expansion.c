/*
 * expansion.c
 *	  The planner support function of everything that calls Domo, now or later.
 *
 * PostgreSQL expands (f(x)).* into (f(x)).a, (f(x)).b and so on, and calls f
 * once for each column: a workflow would be started 14 times.  Whoever writes
 * this does not mean it, so a query in which a call stands more than once
 * below a field selection is refused while it is planned.
 *
 * The support function is asked to simplify each call and looks at the whole
 * query that the call is part of.  Calls are compared with equal(), which
 * ignores where they stand in the text: the text is no longer known for views
 * and rules.  A query that names two fields of the same call, (f(x)).a and
 * (f(x)).b, is refused as well: it would start twice, too.
 */
#include "postgres.h"

#include "call/evaluation.h"

#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(domowf_call_support);

typedef struct Search
{
	Oid			function;
	List	   *found;			/* calls below a field selection */
	bool		repeated;
} Search;

static bool find_repeated(Node *node, Search *search);

/*
 * domowf_call_support(internal) returns internal.  Raises 0A000 where a
 * call's result is expanded more than once, or where it is evaluated more or
 * less than once for a row (evaluation.h); else leaves the call as it is.
 */
Datum
domowf_call_support(PG_FUNCTION_ARGS)
{
	Node	   *node = (Node *) PG_GETARG_POINTER(0);
	SupportRequestSimplify *request;
	Search		search = {0};

	if (!IsA(node, SupportRequestSimplify))
		PG_RETURN_POINTER(NULL);
	request = (SupportRequestSimplify *) node;
	if (request->root == NULL)	/* an expression by itself, of no query */
		PG_RETURN_POINTER(NULL);

	search.function = request->fcall->funcid;
	query_tree_walker(request->root->parse, find_repeated, &search,
					  QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_CTE_SUBQUERIES);
	if (search.repeated)
	{
		char	   *name = get_func_name(search.function);

		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the result of %s() is expanded more than once", name),
				 errdetail("Domo would be called once for each column."),
				 errhint("Call it in FROM, as in SELECT i.* FROM %s(...) i.",
						 name)));
	}
	dwf_evaluation_check(request->root, search.function);
	PG_RETURN_POINTER(NULL);
}

/* Looks for the same call below two field selections of one query. */
static bool
find_repeated(Node *node, Search *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))		/* planned by itself */
		return false;
	if (IsA(node, FieldSelect))
	{
		Node	   *arg = (Node *) ((FieldSelect *) node)->arg;

		if (IsA(arg, FuncExpr) &&
			((FuncExpr *) arg)->funcid == search->function)
		{
			if (list_member(search->found, arg))
			{
				search->repeated = true;
				return true;
			}
			search->found = lappend(search->found, arg);
		}
	}
	return expression_tree_walker(node, find_repeated, search);
}
