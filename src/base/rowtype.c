/*
 * rowtype.c
 *	  Row types that functions return, as the extension's script made them.
 *
 * Anybody who owns a type can change it, and a newer script may have.  What a
 * function returns has happened in Domo by then, so that all of it that can be
 * known is looked at before: our columns by their names, as in tables, and what
 * the statement was planned for.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/extension.h"
#include "base/rowtype.h"

#include "access/htup_details.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"

static int	find_place(TupleDesc desc, const DwfColumn *column,
					   const char *name);
static void refuse(const char *name, char *what) pg_attribute_noreturn();

void
dwf_rowtype_find(DwfRowType *type, TupleDesc desc, const char *name,
				 const DwfColumn *columns, int ncolumns)
{
	int			living = 0;

	type->desc = desc;
	type->ncolumns = ncolumns;
	for (int i = 0; i < ncolumns; i++)
		type->places[i] = find_place(desc, &columns[i], name);
	for (int i = 0; i < desc->natts; i++)
		living += !TupleDescAttr(desc, i)->attisdropped;
	if (living == ncolumns)
		return;
	/* a script that changes no table is not told of */
	dwf_extension_look_again();
	if (!dwf_extension_is_served())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_internal("%s", dwf_extension_describe_skew()),
				 errdetail("Nothing was sent."),
				 errhint("To mend it: %s.", dwf_extension_mend_skew())));
}

/* By name: somebody's own may stand before it.  Raises 55000. */
static int
find_place(TupleDesc desc, const DwfColumn *column, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute found = TupleDescAttr(desc, i);

		if (found->attisdropped ||
			strcmp(NameStr(found->attname), column->name) != 0)
			continue;
		if (found->atttypid != column->type || found->atttypmod != -1)
			refuse(name, psprintf("Its column \"%s\" is of type %s, expected %s.",
								  column->name,
								  format_type_with_typemod(found->atttypid,
														   found->atttypmod),
								  format_type_be(column->type)));
		return i;
	}
	refuse(name, psprintf("It has no column \"%s\".", column->name));
}

static void
refuse(const char *name, char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s is not what the extension has made of it", name),
			 errdetail_internal("%s Nothing was sent.", what),
			 errhint("Undo the change. Columns of your own may be added.")));
}

/*
 * As the executor compares them afterwards, but strictly: types that only could
 * be taken for each other are a change all the same.
 */
void
dwf_rowtype_require_expected(FunctionCallInfo fcinfo, TupleDesc desc)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TupleDesc	expected;
	bool		same;

	if (result == NULL || !IsA(result, ReturnSetInfo) ||
		result->expectedDesc == NULL)
		return;
	expected = result->expectedDesc;
	same = expected->natts == desc->natts;
	for (int i = 0; same && i < desc->natts; i++)
		same = TupleDescAttr(expected, i)->atttypid ==
			TupleDescAttr(desc, i)->atttypid;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the result is not what the statement was planned for"),
				 errdetail("Its row type was changed meanwhile. Nothing was sent."),
				 errhint("Prepare the statement again (DISCARD PLANS).")));
}

HeapTuple
dwf_rowtype_form(const DwfRowType *type, const Datum *values,
				 const bool *nulls)
{
	int			natts = type->desc->natts;
	Datum	   *all = palloc0(sizeof(Datum) * natts);
	bool	   *all_nulls = palloc(sizeof(bool) * natts);

	memset(all_nulls, true, sizeof(bool) * natts);
	for (int i = 0; i < type->ncolumns; i++)
	{
		all[type->places[i]] = values[i];
		all_nulls[type->places[i]] = nulls[i];
	}
	return heap_form_tuple(type->desc, all, all_nulls);
}
