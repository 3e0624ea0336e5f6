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
 * (f(x)).b, is refused as well: it would start twice, too.  Whoever writes the
 * same field of it at two places means two calls, as in VALUES ((f(x)).a),
 * ((f(x)).a); copies of an expansion are at one.
 *
 * The parser itself copies an operand: f(x) BETWEEN 1 AND 9 becomes f(x) >= 1
 * AND f(x) <= 9, and f(x) IN (a, b), with columns in the list, f(x) = a OR
 * f(x) = b.  The copies are equal() and stand at the same place of the text, in
 * different arguments of AND or OR.  In views and rules, where the place is no
 * longer known, equal ones that somebody has written are taken for copies.
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
	List	   *found;			/* calls; of find_repeated() selections of
								 * them */
	bool		repeated;
} Search;

static void refuse_expanded(PlannerInfo *root, Oid function);
static void refuse_copied(PlannerInfo *root, Oid function);
static bool find_repeated(Node *node, Search *search);
static bool is_same_call(const FieldSelect * one, const FieldSelect * other);
static bool find_copied(Node *node, Search *search);
static bool collect_calls(Node *node, Search *search);
static bool has_copy(List *calls, List *others);

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

	if (!IsA(node, SupportRequestSimplify))
		PG_RETURN_POINTER(NULL);
	request = (SupportRequestSimplify *) node;
	if (request->root == NULL)	/* an expression by itself, of no query */
		PG_RETURN_POINTER(NULL);
	refuse_expanded(request->root, request->fcall->funcid);
	refuse_copied(request->root, request->fcall->funcid);
	dwf_evaluation_check(request->root, request->fcall->funcid);
	PG_RETURN_POINTER(NULL);
}

/* Refuses what selects fields of one call more than once. */
static void
refuse_expanded(PlannerInfo *root, Oid function)
{
	Search		search = {.function = function};
	char	   *name;

	query_tree_walker(root->parse, find_repeated, &search,
					  QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_CTE_SUBQUERIES);
	if (!search.repeated)
		return;
	name = get_func_name(function);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the result of %s() is expanded more than once", name),
			 errdetail("Domo would be called once for each column."),
			 errhint("Call it in FROM, as in SELECT i.* FROM %s(...) i.",
					 name)));
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
			ListCell   *lc;

			foreach(lc, search->found)
			{
				if (is_same_call(lfirst(lc), (FieldSelect *) node))
				{
					search->repeated = true;
					return true;
				}
			}
			search->found = lappend(search->found, node);
		}
	}
	return expression_tree_walker(node, find_repeated, search);
}

/* Whether two fields are meant to be of one call; -1 is a place not known. */
static bool
is_same_call(const FieldSelect * one, const FieldSelect * other)
{
	int			place = ((FuncExpr *) one->arg)->location;
	int			place_of_other = ((FuncExpr *) other->arg)->location;

	if (one->fieldnum == other->fieldnum && place >= 0 &&
		place_of_other >= 0 && place != place_of_other)
		return false;
	return equal(one->arg, other->arg);
}

/*
 * Refuses a call that the parser has copied.  The copies may be sub-selects
 * that have it, in a query above the one in which it is planned.
 */
static void
refuse_copied(PlannerInfo *root, Oid function)
{
	Search		search = {.function = function};
	char	   *name;

	for (PlannerInfo *at = root; at != NULL && !search.repeated;
		 at = at->parent_root)
		query_tree_walker(at->parse, find_copied, &search,
						  QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_CTE_SUBQUERIES);
	if (!search.repeated)
		return;
	name = get_func_name(function);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s() would be called more than once for what is written once",
					name),
			 errdetail("PostgreSQL makes two comparisons of BETWEEN, and one for each value of IN."),
			 errhint("Call it in FROM, as in SELECT i BETWEEN 1 AND 9 FROM t CROSS JOIN LATERAL %s(...) i.",
					 name)));
}

/* Looks for copies of a call in what AND or OR put together. */
static bool
find_copied(Node *node, Search *search)
{
	List	   *before = NIL;
	ListCell   *lc;

	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, BoolExpr))
	{
		foreach(lc, ((BoolExpr *) node)->args)
		{
			search->found = NIL;
			collect_calls(lfirst(lc), search);
			if (has_copy(search->found, before))
			{
				search->repeated = true;
				return true;
			}
			before = list_concat(before, search->found);
		}
	}
	return expression_tree_walker(node, find_copied, search);
}

static bool
collect_calls(Node *node, Search *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == search->function)
		search->found = lappend(search->found, node);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, collect_calls, search, 0);
	return expression_tree_walker(node, collect_calls, search);
}

/* Whether one of the calls is another one's copy. */
static bool
has_copy(List *calls, List *others)
{
	ListCell   *lc;
	ListCell   *lo;

	foreach(lc, calls)
	{
		foreach(lo, others)
		{
			if (((FuncExpr *) lfirst(lc))->location ==
				((FuncExpr *) lfirst(lo))->location &&
				equal(lfirst(lc), lfirst(lo)))
				return true;
		}
	}
	return false;
}
