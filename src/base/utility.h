/*
 * utility.h
 *	  What a hook of ProcessUtility() gets, and how it goes on.
 */
#ifndef DWF_UTILITY_H
#define DWF_UTILITY_H

#include "tcop/utility.h"

#define DWF_UTILITY_PARAMETERS \
	PlannedStmt *pstmt, const char *query_string, bool read_only_tree, \
	ProcessUtilityContext context, ParamListInfo params, \
	QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *completion
#define DWF_UTILITY_ARGUMENTS \
	pstmt, query_string, read_only_tree, context, params, query_env, dest, completion

/* Runs the statement, by the hook that was there before, if any was. */
static inline void
dwf_utility_run(ProcessUtility_hook_type before, DWF_UTILITY_PARAMETERS)
{
	if (before != NULL)
		before(DWF_UTILITY_ARGUMENTS);
	else
		standard_ProcessUtility(DWF_UTILITY_ARGUMENTS);
}

#endif							/* DWF_UTILITY_H */
