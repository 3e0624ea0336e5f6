/*
 * return_row.c
 *	  An outcome is written back into its row.
 *
 * By statements of the table's owner, so that all that is his takes part:
 * triggers, constraints, row security.  They are made from the catalogs as they
 * are now, with every name qualified.
 *
 *		look		is there such a key, row security aside?  Else it is done
 *		compare		which columns have another value?  None: it is done
 *		update		these; no row: something keeps it from being written
 *
 * The table is locked first, and is its owner's until the end: what hangs on it
 * runs with his rights, where those are not too great for that (return_guard.h).
 * Of a partitioned table all of it is looked at, of any other it alone, since
 * those that inherit from it may have the same key.  A row whose partition was
 * detached meanwhile is written there, where that is the same owner's.
 */
#include "postgres.h"

#include "base/testpoint.h"
#include "worker/return_guard.h"
#include "worker/return_row.h"

#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

/* A row that is written: parameters are the key's values, then the fields'. */
typedef struct Writing
{
	Relation	rel;
	Relation	root;			/* whose columns the numbers mean */
	const char *table;			/* as FROM and UPDATE name it */
	StringInfoData key;			/* the condition */
	int			nkeys;
	int			ntargets;
	AttrNumber *targets;
	bool	   *is_other;		/* a target has another value */
	int			nparams;
	Oid		   *types;
	Datum	   *values;
	char	   *nulls;
} Writing;

static void begin(Writing *writing, const DwfReturn *entry);
static void add_key(Writing *writing, AttrNumber number, const char *text);
static void add_target(Writing *writing, AttrNumber number,
					   const char *field, const Jsonb *outcome);
static void set_param(Writing *writing, int param, Oid type,
					  const char *text, int32 typmod);
static char *spell_as(Form_pg_attribute attribute, Oid base);
static Form_pg_attribute find_attribute(const Writing *writing,
										AttrNumber number);
static bool is_there(Writing *writing);
static bool is_detached(Writing *writing, const DwfReturn *entry, Oid owner);
static bool compare(Writing *writing);
static void update(Writing *writing);
static uint64 run(Writing *writing, const char *sql, int nparams,
				  bool read_only);
static void raise_unreadable(const char *what);
static List *list_texts(const Jsonb *jsonb, const char *member);
static char *get_text(const Jsonb *jsonb, const char *member);

void
dwf_return_row_write(const DwfReturn *entry, Oid owner)
{
	Writing		writing = {0};
	const char *relation = get_text(entry->returns_to, "relation");

	if (relation == NULL)
		raise_unreadable("relation");
	writing.root = try_table_open(atooid(relation), RowExclusiveLock);
	if (writing.root == NULL)
		return;
	if (writing.root->rd_rel->relowner != owner)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the owner of table \"%s\" has changed meanwhile",
						RelationGetRelationName(writing.root))));
	writing.rel = writing.root;
	dwf_return_guard(writing.rel);
	begin(&writing, entry);
	if ((is_there(&writing) || is_detached(&writing, entry, owner)) &&
		compare(&writing))
		update(&writing);
	if (writing.rel != writing.root)
		table_close(writing.rel, NoLock);
	table_close(writing.root, NoLock);
}

/* Makes what all statements share. */
static void
begin(Writing *writing, const DwfReturn *entry)
{
	List	   *keys = list_texts(entry->returns_to, "key");
	List	   *values = list_texts(entry->returns_to, "values");
	List	   *columns = list_texts(entry->returns_to, "columns");
	List	   *fields = list_texts(entry->returns_to, "fields");
	int			count = list_length(keys) + list_length(columns);
	const char *name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(writing->rel)),
												  RelationGetRelationName(writing->rel));
	ListCell   *number;
	ListCell   *text;

	writing->table =
		psprintf("%s%s AS t",
				 writing->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
				 "" : "ONLY ", name);
	writing->nkeys = writing->ntargets = writing->nparams = 0;
	initStringInfo(&writing->key);
	writing->types = palloc(sizeof(Oid) * count);
	writing->values = palloc0(sizeof(Datum) * count);
	writing->nulls = palloc(count + 1);
	memset(writing->nulls, ' ', count);
	writing->targets = palloc(sizeof(AttrNumber) * count);
	writing->is_other = palloc0(sizeof(bool) * count);
	forboth(number, keys, text, values)
		add_key(writing, pg_strtoint16(lfirst(number)), lfirst(text));
	forboth(number, columns, text, fields)
		add_target(writing, pg_strtoint16(lfirst(number)), lfirst(text),
				   entry->outcome);
}

/* One more column that the row has to have this value in. */
static void
add_key(Writing *writing, AttrNumber number, const char *text)
{
	Form_pg_attribute attribute = find_attribute(writing, number);
	TypeCacheEntry *type = lookup_type_cache(attribute->atttypid,
											 TYPECACHE_EQ_OPR);
	Oid			base = getBaseType(attribute->atttypid);

	if (!OidIsValid(type->eq_opr))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("could not identify an equality operator for type %s",
						format_type_be(attribute->atttypid))));
	appendStringInfoString(&writing->key,
						   writing->nkeys++ == 0 ? "" : " AND ");
	generate_operator_clause(&writing->key, spell_as(attribute, base), base,
							 type->eq_opr,
							 psprintf("$%d", writing->nparams + 1), base);
	set_param(writing, writing->nparams++, base, text, attribute->atttypmod);
}

/*
 * A column as a value of its base type, palloc'd.  The operator of a domain over
 * an enum is anyenum's, to which only an enum can be cast.
 */
static char *
spell_as(Form_pg_attribute attribute, Oid base)
{
	const char *name = quote_identifier(NameStr(attribute->attname));

	if (attribute->atttypid == base)
		return psprintf("t.%s", name);
	/* that its typmod is told keeps bpchar from being char(1) */
	return psprintf("CAST(t.%s AS %s)", name,
					format_type_extended(base, -1, FORMAT_TYPE_TYPEMOD_GIVEN |
										 FORMAT_TYPE_FORCE_QUALIFY));
}

/* One more column that gets a field. */
static void
add_target(Writing *writing, AttrNumber number, const char *field,
		   const Jsonb *outcome)
{
	(void) find_attribute(writing, number);
	writing->targets[writing->ntargets++] = number;
	set_param(writing, writing->nparams++, dwf_return_field_type(field),
			  get_text(outcome, field), -1);
}

/* A parameter from its text; NULL: null. */
static void
set_param(Writing *writing, int param, Oid type, const char *text,
		  int32 typmod)
{
	Oid			input;
	Oid			io_param;

	writing->types[param] = type;
	if (text == NULL)
	{
		writing->nulls[param] = 'n';
		return;
	}
	getTypeInputInfo(type, &input, &io_param);
	writing->values[param] = OidInputFunctionCall(input,
												  unconstify(char *, text),
												  io_param, typmod);
}

/*
 * Raises 42703 where the column was dropped; or where the partition, which has
 * numbers of its own and was detached, has none of its name.
 */
static Form_pg_attribute
find_attribute(const Writing *writing, AttrNumber number)
{
	TupleDesc	desc = RelationGetDescr(writing->root);
	bool		is_found;

	if (number < 1)
		raise_unreadable("key or columns");
	is_found = number <= desc->natts &&
		!TupleDescAttr(desc, number - 1)->attisdropped;
	if (is_found && writing->rel != writing->root)
	{
		const char *name = NameStr(TupleDescAttr(desc, number - 1)->attname);

		desc = RelationGetDescr(writing->rel);
		number = get_attnum(RelationGetRelid(writing->rel), name);
		is_found = number > 0;
	}
	if (!is_found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("a column of table \"%s\" that is to be written, or of its key, was dropped",
						RelationGetRelationName(writing->rel))));
	return TupleDescAttr(desc, number - 1);
}

/* Whether there is a row with this key, whether the owner may see it or not. */
static bool
is_there(Writing *writing)
{
	Oid			user;
	int			security;
	uint64		count;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(user, security | SECURITY_NOFORCE_RLS);
	count = run(writing, psprintf("SELECT FROM %s WHERE %s", writing->table,
								  writing->key.data),
				writing->nkeys, false);
	SetUserIdAndSecContext(user, security);
	if (count > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("table \"%s\" has more than one row of the key",
						RelationGetRelationName(writing->rel))));
	return count == 1;
}

/*
 * Whether the row is in what was its partition and has been detached, which then
 * is what is written.  Raises where that is somebody else's by now: with whose
 * rights it is written is not to be chosen here, and what came of it is not lost.
 */
static bool
is_detached(Writing *writing, const DwfReturn *entry, Oid owner)
{
	const char *partition = get_text(entry->returns_to, "partition");
	Relation	rel;

	if (partition == NULL ||
		list_member_oid(get_partition_ancestors(atooid(partition)),
						RelationGetRelid(writing->root)))
		return false;
	rel = try_table_open(atooid(partition), RowExclusiveLock);
	if (rel == NULL)
		return false;
	if (rel->rd_rel->relowner != owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table \"%s\" was detached from \"%s\" and has another owner",
						RelationGetRelationName(rel),
						RelationGetRelationName(writing->root))));
	writing->rel = rel;
	dwf_return_guard(rel);
	begin(writing, entry);
	return is_there(writing);
}

/*
 * Notes which columns have another value.  By their images, since not every
 * type has an equality.  Returns whether one has.
 */
static bool
compare(Writing *writing)
{
	StringInfoData sql;
	bool		is_any = false;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 0; i < writing->ntargets; i++)
	{
		Form_pg_attribute attribute = find_attribute(writing,
													 writing->targets[i]);

		appendStringInfo(&sql,
						 "%sROW(t.%s)::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW(CAST($%d AS %s))::pg_catalog.record",
						 i == 0 ? "" : ", ",
						 quote_identifier(NameStr(attribute->attname)),
						 writing->nkeys + i + 1,
						 format_type_extended(attribute->atttypid,
											  attribute->atttypmod,
											  FORMAT_TYPE_TYPEMOD_GIVEN |
											  FORMAT_TYPE_FORCE_QUALIFY));
	}
	appendStringInfo(&sql, " FROM %s WHERE %s FOR NO KEY UPDATE",
					 writing->table, writing->key.data);
	if (run(writing, sql.data, writing->nparams, false) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row security hides the row of table \"%s\" from its owner",
						RelationGetRelationName(writing->rel))));
	for (int i = 0; i < writing->ntargets; i++)
	{
		bool		isnull;

		writing->is_other[i] =
			DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, i + 1, &isnull));
		is_any |= writing->is_other[i];
	}
	return is_any;
}

/* Sets the columns that have another value, and no other. */
static void
update(Writing *writing)
{
	StringInfoData sql;
	bool		is_first = true;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s SET ", writing->table);
	for (int i = 0; i < writing->ntargets; i++)
	{
		Form_pg_attribute attribute = find_attribute(writing,
													 writing->targets[i]);

		if (!writing->is_other[i])
			continue;
		appendStringInfo(&sql, "%s%s = $%d", is_first ? "" : ", ",
						 quote_identifier(NameStr(attribute->attname)),
						 writing->nkeys + i + 1);
		is_first = false;
	}
	appendStringInfo(&sql, " WHERE %s", writing->key.data);
	if (run(writing, sql.data, writing->nparams, false) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("the row of table \"%s\" is there, but was not changed: row security, a BEFORE trigger or a rule keeps it as it is",
						RelationGetRelationName(writing->rel))));
	DWF_TESTPOINT("return-written");
}

/* Runs a statement with the first of the parameters.  Returns how many rows. */
static uint64
run(Writing *writing, const char *sql, int nparams, bool read_only)
{
	if (SPI_execute_with_args(sql, nparams, writing->types, writing->values,
							  writing->nulls, read_only, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", sql);
	return SPI_processed;
}

/* What somebody has changed by hand must not be the end of a process. */
static void
raise_unreadable(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("what is to be written cannot be read: %s of returns_to",
					what)));
}

/* The members of an array, a List of texts; raises XX001 where there is none. */
static List *
list_texts(const Jsonb *jsonb, const char *member)
{
	JsonbValue	array;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	List	   *list = NIL;

	if (getKeyJsonValueFromContainer((JsonbContainer *) &jsonb->root, member,
									 strlen(member), &array) == NULL ||
		array.type != jbvBinary)
		raise_unreadable(member);
	iterator = JsonbIteratorInit(array.val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (value.type != jbvString && value.type != jbvNumeric)
			raise_unreadable(member);
		list = lappend(list, value.type == jbvString ?
					   pnstrdup(value.val.string.val, value.val.string.len) :
					   DatumGetCString(DirectFunctionCall1(numeric_out,
														   NumericGetDatum(value.val.numeric))));
	}
	return list;
}

/* A member as text, palloc'd; NULL where it is null, or not there. */
static char *
get_text(const Jsonb *jsonb, const char *member)
{
	LOCAL_FCINFO(call, 2);
	Datum		result;

	InitFunctionCallInfoData(*call, NULL, 2, InvalidOid, NULL, NULL);
	call->args[0].value = JsonbPGetDatum(jsonb);
	call->args[0].isnull = false;
	call->args[1].value = CStringGetTextDatum(member);
	call->args[1].isnull = false;
	result = jsonb_object_field_text(call);
	return call->isnull ? NULL : TextDatumGetCString(result);
}
