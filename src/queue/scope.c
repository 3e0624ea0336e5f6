/*
 * scope.c
 *	  Whose a key is: the scope of domowf.key, which is the name of a registered
 *	  workflow, or of an operation.
 *
 * Workflows are called as their owners like, as an operation perhaps; whoever
 * may start that one must not hold the keys of what others ask for by
 * domowf_enqueue_call().  So a workflow whose name is an operation's, or could
 * be the scope of one so called, has a PREFIX more in its scope.  All others
 * have their own name, as in 1.0.  This is the only place that knows: statements
 * call domowf.key_scope(), and so does the update script, for 1.0's keys.
 *
 * A new operation needs that conversion, too (operation.c).
 */
#include "postgres.h"

#include "domo/domo.h"
#include "queue/scope.h"

#include "fmgr.h"
#include "utils/builtins.h"

#define PREFIX "workflow "

PG_FUNCTION_INFO_V1(domowf_key_scope);

static bool is_operation(const char *name);

const char *
dwf_scope_of(const char *operation, const char *workflow)
{
	const char *rest = workflow;

	if (workflow == NULL)
		return operation;
	while (strncmp(rest, PREFIX, strlen(PREFIX)) == 0)
		rest += strlen(PREFIX);
	return is_operation(rest) ? psprintf(PREFIX "%s", workflow) : workflow;
}

/* Those that the worker may not be asked for yet as well. */
static bool
is_operation(const char *name)
{
	for (int i = 0; i < DWF_OPERATIONS; i++)
	{
		if (strcmp(dwf_operation_name((DwfOperation) i), name) == 0)
			return true;
	}
	return false;
}

/*
 * domowf.key_scope(operation text, workflow text) returns text
 */
Datum
domowf_key_scope(PG_FUNCTION_ARGS)
{
	const char *operation = PG_ARGISNULL(0) ? NULL :
	text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *workflow = PG_ARGISNULL(1) ? NULL :
	text_to_cstring(PG_GETARG_TEXT_PP(1));
	const char *scope = dwf_scope_of(operation, workflow);

	if (scope == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(scope));
}
