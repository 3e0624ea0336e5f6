/*
 * index.c
 *	  The indexes by which C code finds rows of domowf's own tables.
 *
 * It must not know what the rows mean.
 */
#include "postgres.h"

#include "base/index.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define SCHEMA	"domowf"

#define MAX_COLUMNS	4

/* What C code needs, as the extension's script makes it. */
typedef struct Wanted
{
	const char *table;
	bool		is_unique;		/* no two rows have the same in these columns */
	int			ncolumns;
	int			columns[MAX_COLUMNS];
} Wanted;

static const Wanted wanted[] = {
	{"queue", true, 1, {QUEUE_ID}},
	{"queue", false, 3, {QUEUE_LANE, QUEUE_DUE, QUEUE_ID}},
	{"queue", false, 4,
	{QUEUE_ORDER_SPACE, QUEUE_ORDER_KEY, QUEUE_WAITING, QUEUE_ID}},
	{"key", true, 2, {KEY_SCOPE, KEY_KEY}},
	{"log", true, 1, {LOG_ID}},
	{"tracked", true, 1, {TRACKED_REQUEST_ID}},
	{"tracked", false, 3, {TRACKED_LANE, TRACKED_DUE, TRACKED_REQUEST_ID}},
	{"return_entry", true, 1, {RETURN_ID}},
};

static Oid	usual_order(Oid type);
static bool is_usual(Form_pg_index form, int i, int column, Oid type,
					 int16 option, Oid family, Oid input, Oid collation);
static bool is_whole(Form_pg_index form, Oid method, List *predicate,
					 int ncolumns);
static List *predicate_of(HeapTuple tuple);
static bool has_columns(const Wanted *want, const DwfColumn *columns);
static bool has_index(Oid table, const Wanted *want,
					  const DwfColumn *columns);
static bool fits(HeapTuple tuple, const Wanted *want,
				 const DwfColumn *columns);
static Oid	method_of(Oid index);
static char *list_columns(const Wanted *want, const DwfColumn *columns);

bool
dwf_index_serves(Relation index, Relation table, const int *columns,
				 int ncolumns)
{
	if (!is_whole(index->rd_index, index->rd_rel->relam,
				  RelationGetIndexPredicate(index), ncolumns))
		return false;
	for (int i = 0; i < ncolumns; i++)
	{
		Form_pg_attribute column = columns[i] < 0 ? NULL :
		TupleDescAttr(RelationGetDescr(table), columns[i]);

		if (column == NULL || !is_usual(index->rd_index, i, columns[i], column->atttypid,
										index->rd_indoption[i], index->rd_opfamily[i],
										index->rd_opcintype[i], index->rd_indcollation[i]))
			return false;
	}
	return true;
}

/*
 * Whether the index's column `i` is this column of the table in the usual
 * order of its type; 0 is ascending with nulls last.
 */
static bool
is_usual(Form_pg_index form, int i, int column, Oid type, int16 option,
		 Oid family, Oid input, Oid collation)
{
	return form->indkey.values[i] == column + 1 && option == 0 &&
		input == type && collation == get_typcollation(type) &&
		family == usual_order(type);
}

/* The operator family of a type that such an index has. */
static Oid
usual_order(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return BOOL_BTREE_FAM_OID;
		case INT8OID:
			return INTEGER_BTREE_FAM_OID;
		case TEXTOID:
			return TEXT_BTREE_FAM_OID;
		case TIMESTAMPTZOID:
			return get_opclass_family(TIMESTAMPTZ_BTREE_OPS_OID);
		default:
			return InvalidOid;
	}
}

/*
 * Whether an index has all rows that anybody looks for by its first column, in an
 * order, and can be read.
 */
static bool
is_whole(Form_pg_index form, Oid method, List *predicate, int ncolumns)
{
	return form->indisvalid && form->indisready && form->indislive &&
		method == BTREE_AM_OID && form->indnkeyatts >= ncolumns &&
		(predicate == NIL ||
		 dwf_index_not_null(predicate) == form->indkey.values[0]);
}

AttrNumber
dwf_index_not_null(List *predicate)
{
	const		NullTest *test;

	if (list_length(predicate) != 1 || !IsA(linitial(predicate), NullTest))
		return 0;
	test = linitial(predicate);
	return test->nulltesttype == IS_NOT_NULL && !test->argisrow &&
		IsA(test->arg, Var) ? ((const Var *) test->arg)->varattno : 0;
}

AttrNumber
dwf_index_not_text(List *predicate, const char **text, int *length)
{
	const		OpExpr *test;
	const Const *constant;
	struct varlena *value;

	if (list_length(predicate) != 1 || !IsA(linitial(predicate), OpExpr))
		return 0;
	test = linitial(predicate);
	if (get_opcode(test->opno) != F_TEXTNE || list_length(test->args) != 2 ||
		!IsA(linitial(test->args), Var) || !IsA(lsecond(test->args), Const) ||
		!get_collation_isdeterministic(test->inputcollid))
		return 0;
	constant = lsecond(test->args);
	if (constant->constisnull)
		return 0;
	value = PG_DETOAST_DATUM_PACKED(constant->constvalue);
	*length = VARSIZE_ANY_EXHDR(value);
	*text = pnstrdup(VARDATA_ANY(value), *length);
	return ((const Var *) linitial(test->args))->varattno;
}

/* The same of a row of pg_index: dwf_index_not_null()'s argument. */
static List *
predicate_of(HeapTuple tuple)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(INDEXRELID, tuple,
										Anum_pg_index_indpred, &isnull);

	return isnull ? NIL :
		make_ands_implicit(stringToNode(TextDatumGetCString(value)));
}

bool
dwf_index_find_fault(Oid table, const char *name, const DwfColumn *columns,
					 char **message, char **hint)
{
	for (int i = 0; i < lengthof(wanted); i++)
	{
		const Wanted *want = &wanted[i];
		char	   *list;

		if (strcmp(want->table, name) != 0 || !has_columns(want, columns) ||
			has_index(table, want, columns))
			continue;
		list = list_columns(want, columns);
		*message = psprintf("table %s.%s has lost its %sindex on (%s)", SCHEMA,
							name, want->is_unique ? "unique " : "", list);
		*hint = want->is_unique ?
			psprintf("CREATE UNIQUE INDEX ON %s.%s (%s)", SCHEMA, name, list) :
			psprintf("CREATE INDEX ON %s.%s (%s)", SCHEMA, name, list);
		return true;
	}
	return false;
}

/* Whether the table of the installed version has what is to be indexed. */
static bool
has_columns(const Wanted *want, const DwfColumn *columns)
{
	for (int i = 0; i < want->ncolumns; i++)
	{
		if (!dwf_columns_has(&columns[want->columns[i]]))
			return false;
	}
	return true;
}

/*
 * By the catalog itself, which takes no lock of the table or of its indexes.
 */
static bool
has_index(Oid table, const Wanted *want, const DwfColumn *columns)
{
	Relation	rel = table_open(IndexRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(table));
	scan = systable_beginscan(rel, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = fits(tuple, want, columns);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* As dwf_index_serves(), of an index that is not open. */
static bool
fits(HeapTuple tuple, const Wanted *want, const DwfColumn *columns)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);
	bool		isnull;
	oidvector  *classes;
	oidvector  *collations;
	int2vector *options;

	if (!is_whole(form, method_of(form->indexrelid), predicate_of(tuple),
				  want->ncolumns) ||
		(want->is_unique &&
		 !(form->indisunique && form->indimmediate &&
		   form->indnkeyatts == want->ncolumns)))
		return false;
	classes = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															Anum_pg_index_indclass,
															&isnull));
	collations = (oidvector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID,
															   tuple,
															   Anum_pg_index_indcollation,
															   &isnull));
	options = (int2vector *) DatumGetPointer(SysCacheGetAttr(INDEXRELID, tuple,
															 Anum_pg_index_indoption,
															 &isnull));
	for (int i = 0; i < want->ncolumns; i++)
	{
		AttrNumber	number = get_attnum(form->indrelid,
										columns[want->columns[i]].name);

		if (!is_usual(form, i, number - 1,
					  columns[want->columns[i]].type, options->values[i],
					  get_opclass_family(classes->values[i]),
					  get_opclass_input_type(classes->values[i]),
					  collations->values[i]))
			return false;
	}
	return true;
}

static Oid
method_of(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	Oid			method;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	method = ((Form_pg_class) GETSTRUCT(tuple))->relam;
	ReleaseSysCache(tuple);
	return method;
}

/* The columns as SQL has them. */
static char *
list_columns(const Wanted *want, const DwfColumn *columns)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < want->ncolumns; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(columns[want->columns[i]].name));
	return list.data;
}
