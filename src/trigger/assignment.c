/*
 * assignment.c
 *	  An argument of a trigger, taken apart: the language, and not what it
 *	  means for a table or a workflow (mapping.c, way_back.c).
 *
 * An argument is split at the first = or <-, and names are taken as they stand:
 * case and blanks count.  OLD. and NEW. are known in either case and go before
 * a column whose name begins so.
 *
 * It must not know PostgreSQL.
 */
#include "trigger/assignment.h"

#include <string.h>
#include <strings.h>

#define ARROW	"<-"

DwfAssignment
dwf_assignment_read(const char *argument)
{
	const char *arrow = strstr(argument, ARROW);
	const char *equals = strchr(argument, '=');
	DwfAssignment assignment = {
		DWF_ASSIGN_NAME, argument, strlen(argument), argument
	};

	if (arrow != NULL && (equals == NULL || arrow < equals))
	{
		assignment.kind = DWF_ASSIGN_BACK;
		assignment.target_len = arrow - argument;
		assignment.source = arrow + strlen(ARROW);
	}
	else if (equals != NULL)
	{
		assignment.kind = DWF_ASSIGN_COLUMN;
		assignment.target_len = equals - argument;
		assignment.source = equals + 1;
		if (equals > argument && equals[-1] == ':')
		{
			assignment.kind = DWF_ASSIGN_LITERAL;
			assignment.target_len--;
		}
	}
	return assignment;
}

const char *
dwf_assignment_skip_row(const char *column, DwfAssignmentRow *row)
{
	*row = DWF_ROW_CURRENT;
	if (strncasecmp(column, "new.", 4) == 0)
		*row = DWF_ROW_NEW;
	else if (strncasecmp(column, "old.", 4) == 0)
		*row = DWF_ROW_OLD;
	return *row == DWF_ROW_CURRENT ? column : column + 4;
}
