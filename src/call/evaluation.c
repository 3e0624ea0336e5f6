/*
 * evaluation.c
 *	  Queries in which PostgreSQL would call a function more often, or less
 *	  often, than there are rows.
 *
 * VOLATILE promises that a function is not left out or called ahead, but not
 * that it is called once for a row.  What the executor may evaluate again:
 *
 * - In READ COMMITTED, UPDATE, DELETE, MERGE and SELECT ... FOR UPDATE evaluate
 *   their expressions and conditions a second time for a row that another
 *   session has changed meanwhile (EvalPlanQual in PostgreSQL's sources).  Not
 *   again: RETURNING, what WITH and FROM have delivered, and a sub-select of
 *   its own that needs nothing of the row.
 * - A sub-select in FROM beside other relations is run once for each of their
 *   rows where the planner thinks that this is cheaper, and with LATERAL once
 *   for several rows with equal values (Memoize): a start would be left out.
 *   The function itself, in FROM, is run once and its result kept, or with
 *   LATERAL once for each row (lateral.c); so is what stands in WITH.
 * - OFFSET, WITH TIES and DISTINCT ON compute rows that are not returned.
 * - Arguments of an aggregate are evaluated once for each sort that GROUPING
 *   SETS need, and again for rows that a hashed GROUP BY has put aside on disk.
 * - Arguments of a window function are evaluated for each frame that a row is
 *   in, and for each row that lag() and the like look at.
 *
 * A cursor that goes back computes its rows again: cursor.c.
 *
 * The planner's support function (expansion.c) is asked about each call, with
 * the query that the call is a part of.  Where exactly the call stands it is
 * not told; so the query is searched for calls of that function.  If there is
 * none, it is in a function of language SQL that has just been inlined, and
 * those are taken for it.  A function that PostgreSQL does not inline hides
 * what it calls: README says so.
 */
#include "postgres.h"

#include "base/compat.h"
#include "call/evaluation.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

typedef struct Search
{
	Oid			function;
	bool		inlined;		/* functions of language SQL stand for it */
} Search;

/* Aggregates or window functions of a query that have the call in them. */
typedef struct Repeating
{
	Search	   *search;
	NodeTag		tag;			/* T_Aggref or T_WindowFunc */
	int			depth;			/* of the query that is walked, below that one */
} Repeating;

/* A hint: what is to be done with what the call has returned. */
#define ABOVE(what) \
	"Call it first, as in WITH called AS MATERIALIZED (SELECT t.id, i.* FROM t CROSS JOIN LATERAL f(...) i), and " what " over what that returns."

static bool is_evaluated_again(Query *query, Search *search);
static bool is_joined(Query *query, Search *search);
static bool is_computed_in_vain(Query *query, Search *search);
static bool find_repeating(Node *node, Repeating *repeating);
static bool find_call(Node *node, Search *search);
static bool find_in_actions(List *actions, Search *search);
static bool is_call(FuncExpr *expr, Search *search);
static bool is_kept(SubLink * link);
static bool is_repeated(Query *query, NodeTag tag, Search *search);
static Bitmapset *collect_relations(Bitmapset *relations, Node *jointree);
static void refuse(Oid function, const char *problem, const char *hint)
			pg_attribute_noreturn();

void
dwf_evaluation_check(PlannerInfo *root, Oid function)
{
	Search		search = {.function = function};
	PlannerInfo *at;

	search.inlined = !query_tree_walker(root->parse, find_call, &search, 0);
	if (is_computed_in_vain(root->parse, &search))
		refuse(function,
			   "It would be called for rows that OFFSET, WITH TIES or DISTINCT ON leaves out.",
			   "Choose the rows in a sub-select, and call it for what that returns.");
	for (at = root; at != NULL; at = at->parent_root)
	{
		if (is_evaluated_again(at->parse, &search))
			refuse(function,
				   "Where another session has changed a row meanwhile, PostgreSQL evaluates this statement again for it.",
				   "Call it first, as in WITH called AS MATERIALIZED (SELECT t.id, i.* FROM t CROSS JOIN LATERAL f(...) i) UPDATE ... FROM called, and choose rows FOR UPDATE in a WITH of their own.");
		if (is_joined(at->parse, &search))
			refuse(function,
				   "PostgreSQL may run a sub-select that is joined once for each row of the others, or once for several.",
				   "Call it in FROM itself, as in FROM t CROSS JOIN LATERAL f(...) i, or in WITH called AS MATERIALIZED (...).");
		if ((at->parse->groupClause != NIL || at->parse->groupingSets != NIL) &&
			is_repeated(at->parse, T_Aggref, &search))
			refuse(function,
				   "PostgreSQL may evaluate arguments of an aggregate more than once for a row where there is GROUP BY.",
				   ABOVE("aggregate"));
		if (is_repeated(at->parse, T_WindowFunc, &search))
			refuse(function,
				   "PostgreSQL evaluates arguments of a window function again for each frame that a row is in.",
				   ABOVE("use the window function"));
	}
}

/*
 * Whether a query evaluates the call again for a row that was changed
 * meanwhile.  MERGE inserts what it did not find, which nobody can change.
 */
static bool
is_evaluated_again(Query *query, Search *search)
{
	ListCell   *lc;

	if (query->commandType != CMD_UPDATE && query->commandType != CMD_DELETE &&
		query->commandType != CMD_MERGE && query->rowMarks == NIL)
		return false;
	if (find_call((Node *) query->targetList, search) ||
		find_call((Node *) query->jointree, search) ||
		find_call(dwf_merge_condition(query), search) ||
		find_in_actions(query->mergeActionList, search))
		return true;
	foreach(lc, query->rtable)
	{
		if (find_call((Node *) ((RangeTblEntry *) lfirst(lc))->securityQuals,
					  search))
			return true;
	}
	return false;
}

static bool
find_in_actions(List *actions, Search *search)
{
	ListCell   *lc;

	foreach(lc, actions)
	{
		MergeAction *action = lfirst(lc);

		if (action->commandType != CMD_INSERT &&
			(find_call(action->qual, search) ||
			 find_call((Node *) action->targetList, search)))
			return true;
	}
	return false;
}

/*
 * Whether the call stands in a sub-select or in VALUES that are joined.  What
 * one that needs nothing of the others has in its own WITH is kept.
 */
static bool
is_joined(Query *query, Search *search)
{
	Bitmapset  *relations = collect_relations(NULL, (Node *) query->jointree);
	int			index = -1;

	if (bms_membership(relations) != BMS_MULTIPLE)
		return false;
	while ((index = bms_next_member(relations, index)) >= 0)
	{
		RangeTblEntry *entry = rt_fetch(index, query->rtable);

		if (entry->rtekind == RTE_VALUES &&
			find_call((Node *) entry->values_lists, search))
			return true;
		if (entry->rtekind == RTE_SUBQUERY &&
			query_tree_walker(entry->subquery, find_call, search,
							  contain_vars_of_level((Node *) entry->subquery, 1) ?
							  0 : QTW_IGNORE_CTE_SUBQUERIES))
			return true;
	}
	return false;
}

/* The places of all relations of a join tree. */
static Bitmapset *
collect_relations(Bitmapset *relations, Node *jointree)
{
	ListCell   *lc;

	if (jointree == NULL)
		return relations;
	if (IsA(jointree, RangeTblRef))
		return bms_add_member(relations, ((RangeTblRef *) jointree)->rtindex);
	if (IsA(jointree, JoinExpr))
	{
		relations = collect_relations(relations, ((JoinExpr *) jointree)->larg);
		return collect_relations(relations, ((JoinExpr *) jointree)->rarg);
	}
	foreach(lc, castNode(FromExpr, jointree)->fromlist)
		relations = collect_relations(relations, lfirst(lc));
	return relations;
}

/* Whether a query calls for rows that it then leaves out. */
static bool
is_computed_in_vain(Query *query, Search *search)
{
	Node	   *offset = eval_const_expressions(NULL, query->limitOffset);

	if (query->limitOption != LIMIT_OPTION_WITH_TIES &&
		!query->hasDistinctOn &&
		(offset == NULL ||
		 (IsA(offset, Const) && (((Const *) offset)->constisnull ||
								 DatumGetInt64(((Const *) offset)->constvalue) == 0))))
		return false;
	return find_call((Node *) query->targetList, search);
}

/*
 * Whether an aggregate or window function of a query has the call in it.  An
 * aggregate may stand in a sub-select and be the query's all the same.
 */
static bool
is_repeated(Query *query, NodeTag tag, Search *search)
{
	Repeating	repeating = {.search = search,.tag = tag};

	if (tag == T_Aggref ? !query->hasAggs : !query->hasWindowFuncs)
		return false;
	return query_tree_walker(query, find_repeating, &repeating, 0);
}

/* Sub-selects are walked for aggregates that are of a query above them. */
static bool
find_repeating(Node *node, Repeating *repeating)
{
	bool		found;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		repeating->depth++;
		found = query_tree_walker((Query *) node, find_repeating, repeating, 0);
		repeating->depth--;
		return found;
	}
	if (nodeTag(node) == repeating->tag &&
		(IsA(node, Aggref) ? (int) ((Aggref *) node)->agglevelsup : 0) ==
		repeating->depth &&
		expression_tree_walker(node, find_call, repeating->search))
		return true;
	return expression_tree_walker(node, find_repeating, repeating);
}

/* Looks for the call, but not in what is evaluated once and kept. */
static bool
find_call(Node *node, Search *search)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) && is_call((FuncExpr *) node, search))
		return true;
	if (IsA(node, SubLink) && is_kept((SubLink *) node))
		return find_call(((SubLink *) node)->testexpr, search);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_call, search, 0);
	return expression_tree_walker(node, find_call, search);
}

/* Whether it is the call, or may have been the function that was inlined. */
static bool
is_call(FuncExpr *expr, Search *search)
{
	HeapTuple	tuple;
	Form_pg_proc form;
	bool		found;

	if (expr->funcid == search->function)
		return true;
	if (!search->inlined)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(expr->funcid));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	found = form->prolang == SQLlanguageId &&
		form->provolatile == PROVOLATILE_VOLATILE;
	ReleaseSysCache(tuple);
	return found;
}

/* Whether a sub-select is run once, and its result kept (an InitPlan). */
static bool
is_kept(SubLink * link)
{
	return link->subLinkType != ANY_SUBLINK &&
		link->subLinkType != ALL_SUBLINK &&
		!contain_vars_of_level(link->subselect, 1);
}

static void
refuse(Oid function, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s() cannot be called here, where it may be called more or less than once for a row",
					get_func_name(function)),
			 errdetail("%s", problem),
			 errhint("%s", hint)));
}
