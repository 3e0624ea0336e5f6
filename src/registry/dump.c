/*
 * dump.c
 *	  Whether a dump has the registry as it is.
 *
 * pg_dump writes rows of the tables that the script names, and makes none of
 * their columns, which the script does: COPY of a column that is somebody's own
 * fails when it is restored, and with it all rows of the table.
 *
 * Of granted_to and granted_oid the name is what counts in a restore, since the
 * oid may be of another cluster, where it is anybody's.  So the name has to be
 * the role's: a worker sees to that, where one runs (granted.c).
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/extension.h"
#include "base/objects.h"
#include "base/owner.h"
#include "base/table.h"
#include "registry/dump.h"
#include "registry/granted.h"

#include "access/table.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

/* So many workflows are named. */
#define MAX_NAMED		10

/* The tables of pg_extension_config_dump(). */
static const struct
{
	const char *name;
	const DwfColumn *columns;
	int			ncolumns;
}			dumped[] = {
	{"workflow", dwf_workflow_columns, WORKFLOW_COLUMNS},
	{"workflow_input", dwf_input_columns, INPUT_COLUMNS},
	{"earlier_trigger", dwf_earlier_columns, EARLIER_COLUMNS},
};

static void list_own_columns(StringInfo list, Relation rel,
							 const DwfColumn *columns, int ncolumns);
static char *list_renamed(void);

char *
dwf_dump_find_fault(void)
{
	DwfObjectFault fault;
	StringInfoData own;
	const char *renamed;

	/* which objects are not right, and are not read, is told elsewhere */
	if (!dwf_extension_is_since("1.1") || !dwf_objects_are_right(&fault))
		return NULL;
	initStringInfo(&own);
	for (int i = 0; i < lengthof(dumped); i++)
	{
		Oid			table = dwf_table_oid(dumped[i].name);
		Relation	rel;

		if (!OidIsValid(table))
			return NULL;
		if (!ConditionalLockRelationOid(table, AccessShareLock))
			return psprintf("domowf.%s is locked, so that it cannot be looked at",
							dumped[i].name);
		rel = table_open(table, NoLock);
		list_own_columns(&own, rel, dumped[i].columns, dumped[i].ncolumns);
		table_close(rel, NoLock);
	}
	renamed = list_renamed();
	if (own.len == 0 && renamed == NULL)
		return NULL;
	return psprintf("%s%s%s",
					own.len == 0 ? "" :
					psprintf("pg_dump does not make these columns of somebody's own, so that a restore of the table fails: %s; keep them in a table of your own that references domowf.workflow, or make them again before the data is restored",
							 own.data),
					own.len == 0 || renamed == NULL ? "" : ". ",
					renamed == NULL ? "" :
					psprintf("a restore grants these workflows by a name that is not, or no longer, the role's: %s; UPDATE domowf.workflow SET granted_to to the name of the role that is meant",
							 renamed));
}

/* Appends the columns that pg_dump writes and the script does not make. */
static void
list_own_columns(StringInfo list, Relation rel, const DwfColumn *columns,
				 int ncolumns)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool		is_ours = false;

		if (attribute->attisdropped)
			continue;
		for (int j = 0; j < ncolumns && !is_ours; j++)
			is_ours = strcmp(NameStr(attribute->attname),
							 columns[j].name) == 0;
		if (!is_ours)
			appendStringInfo(list, "%sdomowf.%s.%s",
							 list->len == 0 ? "" : ", ",
							 RelationGetRelationName(rel),
							 NameStr(attribute->attname));
	}
}

/*
 * The workflows of which granted_to is not the name of whom they are granted
 * to: of another role, or of one that came after nobody of that name.  NULL
 * where there is none.
 */
static char *
list_renamed(void)
{
	MemoryContext context = CurrentMemoryContext;
	DwfOwnerScope scope;
	bool		isnull;
	Datum		names;
	char	   *list = NULL;

	dwf_owner_enter_registry_to_read(&scope);
	SPI_connect();
	if (SPI_execute("SELECT string_agg(CASE WHEN n <= "
					CppAsString2(MAX_NAMED)
					" THEN format('%s (\"%s\", granted to %s)', w.name, "
					"w.granted_to, coalesce('\"' || w.now || '\"', 'nobody')) "
					"WHEN n = " CppAsString2(MAX_NAMED) " + 1 THEN '...' END, "
					"', ' ORDER BY n) FROM (SELECT w.name, w.granted_to, "
					"is_meant.rolname AS now, row_number() OVER (ORDER BY w.name) n "
					"FROM domowf.workflow w "
					"LEFT JOIN pg_roles is_meant ON is_meant.oid = w.granted_oid "
					"LEFT JOIN pg_roles is_called ON is_called.rolname = w.granted_to "
					"WHERE w.granted_to IS NOT NULL "
					"AND is_meant.oid IS DISTINCT FROM is_called.oid "
					"AND " DWF_GRANTED_IS_KEPT ") w",
					true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.workflow");
	dwf_owner_stay_registry();
	names = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  &isnull);
	if (!isnull)
		list = MemoryContextStrdup(context, TextDatumGetCString(names));
	SPI_finish();
	dwf_owner_leave(&scope);
	return list;
}
