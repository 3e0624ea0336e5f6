/*
 * test_assignment.c
 *	  Unit tests of assignment.c: how an argument of a trigger is taken apart.
 *
 * One that is taken apart in another way than its author meant sends another
 * column to Domo, without a word.
 */
#include "../../src/trigger/assignment.c"

#include "tap.h"

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

typedef struct Case
{
	const char *argument;
	DwfAssignmentKind kind;
	const char *target;
	const char *source;
} Case;

static const Case cases[] = {
	{"input", DWF_ASSIGN_NAME, "input", "input"},
	{"", DWF_ASSIGN_NAME, "", ""},
	{"a:b", DWF_ASSIGN_NAME, "a:b", "a:b"},
	{"a<b-c", DWF_ASSIGN_NAME, "a<b-c", "a<b-c"},
	{"input=column", DWF_ASSIGN_COLUMN, "input", "column"},
	{"input=", DWF_ASSIGN_COLUMN, "input", ""},
	{"=column", DWF_ASSIGN_COLUMN, "", "column"},
	{" in put = Column ", DWF_ASSIGN_COLUMN, " in put ", " Column "},
	{"a=b=c", DWF_ASSIGN_COLUMN, "a", "b=c"},
	{"a=:b", DWF_ASSIGN_COLUMN, "a", ":b"},
	{"a=b:=c", DWF_ASSIGN_COLUMN, "a", "b:=c"},
	{"input=OLD.column", DWF_ASSIGN_COLUMN, "input", "OLD.column"},
	{"@key=id", DWF_ASSIGN_COLUMN, "@key", "id"},
	{"input:=literal", DWF_ASSIGN_LITERAL, "input", "literal"},
	{"input:=", DWF_ASSIGN_LITERAL, "input", ""},
	{":=literal", DWF_ASSIGN_LITERAL, "", "literal"},
	{"a::=b", DWF_ASSIGN_LITERAL, "a:", "b"},
	{"a:=b<-c", DWF_ASSIGN_LITERAL, "a", "b<-c"},
	{"@order_key:=all", DWF_ASSIGN_LITERAL, "@order_key", "all"},
	{"column<-field", DWF_ASSIGN_BACK, "column", "field"},
	{"<-", DWF_ASSIGN_BACK, "", ""},
	{"a<-b<-c", DWF_ASSIGN_BACK, "a", "b<-c"},
	{"a<-b=c", DWF_ASSIGN_BACK, "a", "b=c"},
	{"a:<-=b", DWF_ASSIGN_BACK, "a:", "=b"},

	/* the first of the two makes it */
	{"a=b<-c", DWF_ASSIGN_COLUMN, "a", "b<-c"},
	{"a<=-b", DWF_ASSIGN_COLUMN, "a<", "-b"},
};

typedef struct RowCase
{
	const char *column;
	DwfAssignmentRow row;
	const char *name;
} RowCase;

static const RowCase row_cases[] = {
	{"id", DWF_ROW_CURRENT, "id"},
	{"OLD.id", DWF_ROW_OLD, "id"},
	{"old.id", DWF_ROW_OLD, "id"},
	{"New.id", DWF_ROW_NEW, "id"},
	{"OLD.", DWF_ROW_OLD, ""},
	{"OLD.NEW.id", DWF_ROW_OLD, "NEW.id"},
	{"OLD", DWF_ROW_CURRENT, "OLD"},
	{"OLDid", DWF_ROW_CURRENT, "OLDid"},
	{" OLD.id", DWF_ROW_CURRENT, " OLD.id"},
	{"", DWF_ROW_CURRENT, ""},
};

int
main(void)
{
	for (int i = 0; i < LENGTH(cases); i++)
	{
		const Case *c = &cases[i];
		DwfAssignment got = dwf_assignment_read(c->argument);
		char		target[64];

		snprintf(target, sizeof(target), "%.*s", (int) got.target_len,
				 got.target);
		is_int(got.kind, c->kind, "\"%s\" is of its kind", c->argument);
		is_str(target, c->target, "\"%s\": what gets something", c->argument);
		is_str(got.source, c->source, "\"%s\": what it gets", c->argument);
	}
	for (int i = 0; i < LENGTH(row_cases); i++)
	{
		const RowCase *c = &row_cases[i];
		DwfAssignmentRow row;

		is_str(dwf_assignment_skip_row(c->column, &row), c->name,
			   "\"%s\": the column", c->column);
		is_int(row, c->row, "\"%s\": the row", c->column);
	}
	return done_testing();
}
