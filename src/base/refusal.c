/*
 * refusal.c
 *	  Whether a row that could not be written can be written later.
 */
#include "postgres.h"

#include "base/refusal.h"

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
		ERRCODE_INTERNAL_ERROR,
	};

	for (int i = 0; i < lengthof(of_the_moment); i++)
	{
		if (ERRCODE_TO_CATEGORY(code) == ERRCODE_TO_CATEGORY(of_the_moment[i]))
			return false;
	}
	return true;
}
