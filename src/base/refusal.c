/*
 * refusal.c
 *	  Whether a row that could not be written can be written later.
 */
#include "postgres.h"

#include "base/refusal.h"

/* Of a class that PostgreSQL 17 has no more: an old snapshot. */
#define SNAPSHOT_FAILURE	MAKE_SQLSTATE('7', '2', '0', '0', '0')

static bool is_of(int code, const int *classes, int count);

bool
dwf_refusal_is_rows(int code)
{
	static const int of_the_moment[] = {
		ERRCODE_CONNECTION_EXCEPTION,
		ERRCODE_INVALID_TRANSACTION_STATE,
		ERRCODE_TRANSACTION_ROLLBACK,
		ERRCODE_INSUFFICIENT_RESOURCES,
		ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
		ERRCODE_OPERATOR_INTERVENTION,
		ERRCODE_SYSTEM_ERROR,
		SNAPSHOT_FAILURE,
		ERRCODE_INTERNAL_ERROR,
	};

	return !is_of(code, of_the_moment, lengthof(of_the_moment));
}

bool
dwf_refusal_may_be_servers(int code)
{
	static const int of_the_server[] = {
		ERRCODE_INSUFFICIENT_RESOURCES,
		ERRCODE_OPERATOR_INTERVENTION,
		ERRCODE_SYSTEM_ERROR,
		ERRCODE_INTERNAL_ERROR,
	};

	return is_of(code, of_the_server, lengthof(of_the_server));
}

static bool
is_of(int code, const int *classes, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (ERRCODE_TO_CATEGORY(code) == ERRCODE_TO_CATEGORY(classes[i]))
			return true;
	}
	return false;
}

/*
 * A server that is about to run out of transaction ids says so by the code of a
 * value that is too long for an index.
 */
int
dwf_refusal_code(const ErrorData *error)
{
	static const char *const assigns[] = {
		"GetNewTransactionId", "GetNewMultiXactId"
	};

	for (int i = 0; i < lengthof(assigns); i++)
	{
		if (error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED &&
			error->funcname != NULL && strcmp(error->funcname, assigns[i]) == 0)
			return ERRCODE_INSUFFICIENT_RESOURCES;
	}
	return error->sqlerrcode;
}
