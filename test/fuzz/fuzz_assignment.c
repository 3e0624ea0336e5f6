/*
 * fuzz_assignment.c
 *	  Fuzz target: any text as an argument of a trigger.
 *
 * Whatever it is, it is taken apart so that it can be put together again, and
 * at the first place where it can be; a row's name is taken off once.
 */
#include "../../src/trigger/assignment.c"

#include "fuzz.h"

static const char *const separators[] = {
	[DWF_ASSIGN_NAME] = "",
	[DWF_ASSIGN_COLUMN] = "=",
	[DWF_ASSIGN_LITERAL] = ":=",
	[DWF_ASSIGN_BACK] = "<-",
};

static void check_parts(const char *argument, const DwfAssignment *assignment);
static void check_row(const char *column);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *argument = malloc(size + 1);
	DwfAssignment assignment;

	REQUIRE(argument != NULL);
	memcpy(argument, data, size);
	argument[size] = '\0';
	assignment = dwf_assignment_read(argument);
	check_parts(argument, &assignment);
	check_row(assignment.source);
	free(argument);
	return 0;
}

static void
check_parts(const char *argument, const DwfAssignment *assignment)
{
	const char *separator = separators[assignment->kind];
	const char *after = argument + assignment->target_len;

	REQUIRE(assignment->target == argument);
	REQUIRE(assignment->target_len <= strlen(argument));
	if (assignment->kind == DWF_ASSIGN_NAME)
	{
		REQUIRE(assignment->source == argument && *after == '\0');
		REQUIRE(strchr(argument, '=') == NULL && strstr(argument, "<-") == NULL);
		return;
	}
	REQUIRE(strncmp(after, separator, strlen(separator)) == 0);
	REQUIRE(assignment->source == after + strlen(separator));

	/* at the first one: nothing before it is one */
	for (const char *c = argument; c < after; c++)
		REQUIRE(*c != '=' && strncmp(c, "<-", 2) != 0);
	if (assignment->kind == DWF_ASSIGN_COLUMN)
		REQUIRE(after == argument || after[-1] != ':');
}

static void
check_row(const char *column)
{
	DwfAssignmentRow row;
	const char *name = dwf_assignment_skip_row(column, &row);
	char		prefix[5] = "";

	strncpy(prefix, column, 4);
	for (char *c = prefix; *c != '\0'; c++)
		*c |= *c >= 'A' && *c <= 'Z' ? 0x20 : 0;
	REQUIRE((row == DWF_ROW_NEW) == (strcmp(prefix, "new.") == 0));
	REQUIRE((row == DWF_ROW_OLD) == (strcmp(prefix, "old.") == 0));
	REQUIRE(name == column + (row == DWF_ROW_CURRENT ? 0 : 4));
}
