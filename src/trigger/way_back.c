/*
 * way_back.c
 *	  'column<-field': what came of a request is written back into its row.
 *
 * Worked out when a trigger fires first, and kept with its mapping.  What cannot
 * work is found here, since whoever changes the row can be told; what changes
 * afterwards is a failed return (worker/return_row.c).
 *
 * Of a partition's trigger everything is that of the table that it was made on:
 * the row may have moved to another partition when it is written.  Columns have
 * numbers of their own there, and the same names.  A table and its columns are
 * kept by number, so that they may be renamed.
 *
 * It must not know what a field is worth, nor how a row is written.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/extension.h"
#include "queue/returns.h"
#include "trigger/sqltype.h"
#include "trigger/way_back.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* A column of the primary key. */
typedef struct KeyColumn
{
	AttrNumber	number;			/* in the table that is written */
	AttrNumber	here;			/* in the one that fired */
	DwfSqlType	type;
} KeyColumn;

/* A column that gets a field. */
typedef struct Target
{
	AttrNumber	number;
	const char *field;
} Target;

struct DwfWayBack
{
	Oid			table;
	Oid			partition;		/* of it, that fired; InvalidOid: it did
								 * itself */
	int			nkeys;
	KeyColumn	keys[INDEX_MAX_KEYS];
	int			ntargets;
	Target		targets[FLEXIBLE_ARRAY_MEMBER];
};

static DwfWayBack *begin(const TriggerData *data, Oid table, const char **why,
						 const char **hint);
static const char *find_wrong_trigger(const TriggerData *data, Oid table,
									  const char **hint);
static bool read_keys(DwfWayBack *way_back, const TriggerData *data);
static const char *find_wrong_column(const DwfWayBack *way_back,
									 const TriggerData *data,
									 const char *column, const char *field,
									 const char **detail, const char **hint);
static const char *find_wrong_attribute(Form_pg_attribute attribute,
										const char *field,
										const char **detail);
static bool fires_for(const TriggerData *data, const char *column);
static bool is_made_of(Relation rel, AttrNumber generated, AttrNumber column);
static bool is_key(const DwfWayBack *way_back, AttrNumber number);
static bool is_target(const DwfWayBack *way_back, AttrNumber number);
static AttrNumber find_here(const TriggerData *data, const char *column);
static char *show_key(const KeyColumn *key, Datum value);
static void push_word(DwfJsonbState *state, JsonbIteratorToken token,
					  const char *word);
static void push_number(DwfJsonbState *state, JsonbIteratorToken token,
						int64 number);

DwfWayBack *
dwf_way_back_add(DwfWayBack *way_back, const TriggerData *data, Oid table,
				 const DwfAssignment *assignment, const char **why,
				 const char **detail, const char **hint)
{
	char	   *column = pnstrdup(assignment->target, assignment->target_len);
	const char *field = pstrdup(assignment->source);

	*why = *detail = *hint = NULL;
	dwf_extension_require_update();
	if (way_back == NULL)
		way_back = begin(data, table, why, hint);
	if (*why == NULL)
		*why = find_wrong_column(way_back, data, column, field, detail, hint);
	if (*why != NULL)
		return NULL;
	way_back->targets[way_back->ntargets++] = (Target)
	{
		get_attnum(table, column), field
	};
	return way_back;
}

/* Room for one column for each argument. */
static DwfWayBack *
begin(const TriggerData *data, Oid table, const char **why,
	  const char **hint)
{
	DwfWayBack *way_back = palloc0(offsetof(DwfWayBack, targets) +
								   sizeof(Target) * data->tg_trigger->tgnargs);

	way_back->table = table;
	if (RelationGetRelid(data->tg_relation) != table)
		way_back->partition = RelationGetRelid(data->tg_relation);
	*why = find_wrong_trigger(data, table, hint);
	if (*why == NULL && !read_keys(way_back, data))
	{
		*why = "the table has no primary key, by which its row could be found again";
		*hint = "See ALTER TABLE ... ADD PRIMARY KEY.";
	}
	return way_back;
}

/* Why nothing can be written back for a trigger; NULL: nothing is wrong. */
static const char *
find_wrong_trigger(const TriggerData *data, Oid table, const char **hint)
{
	int			type = data->tg_trigger->tgtype;
	char		kind = get_rel_relkind(table);

	if (!TRIGGER_FOR_ROW(type))
	{
		*hint = "Use FOR EACH ROW.";
		return "a statement has no one row to write it into";
	}
	if (TRIGGER_FOR_DELETE(type))
	{
		*hint = "Make a trigger of its own for DELETE, without it.";
		return "a row that is deleted cannot be written";
	}
	if (get_rel_persistence(table) == RELPERSISTENCE_TEMP)
	{
		*hint = "Use a table that is not temporary.";
		return "a temporary table can be written by its own session only";
	}
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
	{
		*hint = "Use an ordinary or a partitioned table.";
		return "it is not a table of this database";
	}
	return NULL;
}

/* False: there is no primary key. */
static bool
read_keys(DwfWayBack *way_back, const TriggerData *data)
{
	Oid			constraint;
	Bitmapset  *columns = get_primary_key_attnos(way_back->table, true,
												 &constraint);
	int			member = -1;

	while ((member = bms_next_member(columns, member)) >= 0)
	{
		KeyColumn  *key = &way_back->keys[way_back->nkeys++];
		Oid			type;
		int32		typmod;
		Oid			collation;

		key->number = member + FirstLowInvalidHeapAttributeNumber;
		key->here = find_here(data, get_attname(way_back->table, key->number,
												false));
		get_atttypetypmodcoll(way_back->table, key->number, &type, &typmod,
							  &collation);
		dwf_sqltype_find(type, typmod, &key->type);
	}
	return way_back->nkeys > 0;
}

/* Why a column cannot get a field; NULL: it can. */
static const char *
find_wrong_column(const DwfWayBack *way_back, const TriggerData *data,
				  const char *column, const char *field, const char **detail,
				  const char **hint)
{
	HeapTuple	tuple;
	AttrNumber	number;
	const char *wrong;

	if (!OidIsValid(dwf_return_field_type(field)))
	{
		*detail = psprintf("The fields are %s.", dwf_return_list_fields());
		return psprintf("there is no field \"%s\"", field);
	}
	tuple = SearchSysCacheAttName(way_back->table, column);
	if (!HeapTupleIsValid(tuple) ||
		((Form_pg_attribute) GETSTRUCT(tuple))->attnum <= 0)
	{
		if (HeapTupleIsValid(tuple))
			ReleaseSysCache(tuple);
		return psprintf("there is no column \"%s\"", column);
	}
	number = ((Form_pg_attribute) GETSTRUCT(tuple))->attnum;
	wrong = find_wrong_attribute((Form_pg_attribute) GETSTRUCT(tuple), field,
								 detail);
	ReleaseSysCache(tuple);
	if (wrong != NULL)
		return wrong;
	if (is_key(way_back, number))
		return psprintf("column \"%s\" is of the primary key, by which the row is found",
						column);
	if (is_target(way_back, number))
		return psprintf("column \"%s\" is given twice", column);
	if (fires_for(data, column))
	{
		*detail = "To write the column would fire the trigger again, and so for ever.";
		*hint = "Have it fire AFTER INSERT, or AFTER UPDATE OF columns that it does not write.";
		return "it would fire itself";
	}
	return NULL;
}

/* The same, as far as the column itself goes. */
static const char *
find_wrong_attribute(Form_pg_attribute attribute, const char *field,
					 const char **detail)
{
	Oid			type = dwf_return_field_type(field);

	if (attribute->attgenerated != '\0' ||
		attribute->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
		return psprintf("column \"%s\" is generated",
						NameStr(attribute->attname));
	if (!can_coerce_type(1, &type, &attribute->atttypid, COERCION_ASSIGNMENT))
	{
		*detail = psprintf("The field is of type %s, which cannot be assigned to %s.",
						   format_type_be(type),
						   format_type_be(attribute->atttypid));
		return psprintf("column \"%s\" has another type",
						NameStr(attribute->attname));
	}
	return NULL;
}

/*
 * Whether the trigger fires for an UPDATE of a column: of a generated one, too,
 * for what that is made of (PostgreSQL docs, CREATE TRIGGER).
 */
static bool
fires_for(const TriggerData *data, const char *column)
{
	const Trigger *trigger = data->tg_trigger;
	AttrNumber	here = find_here(data, column);

	if (!TRIGGER_FOR_UPDATE(trigger->tgtype))
		return false;
	for (int i = 0; i < trigger->tgnattr; i++)
	{
		if (trigger->tgattr[i] == here ||
			is_made_of(data->tg_relation, trigger->tgattr[i], here))
			return true;
	}
	return trigger->tgnattr == 0;
}

/* Whether a column is generated, and by what has another one in it. */
static bool
is_made_of(Relation rel, AttrNumber generated, AttrNumber column)
{
	Bitmapset  *used = NULL;

	if (TupleDescAttr(RelationGetDescr(rel), generated - 1)->attgenerated == '\0')
		return false;
	pull_varattnos(build_column_default(rel, generated), 1, &used);
	return bms_is_member(column - FirstLowInvalidHeapAttributeNumber, used);
}

static bool
is_key(const DwfWayBack *way_back, AttrNumber number)
{
	for (int i = 0; i < way_back->nkeys; i++)
	{
		if (way_back->keys[i].number == number)
			return true;
	}
	return false;
}

static bool
is_target(const DwfWayBack *way_back, AttrNumber number)
{
	for (int i = 0; i < way_back->ntargets; i++)
	{
		if (way_back->targets[i].number == number)
			return true;
	}
	return false;
}

/* The number of a column in the table that fired, which has it. */
static AttrNumber
find_here(const TriggerData *data, const char *column)
{
	AttrNumber	here = get_attnum(RelationGetRelid(data->tg_relation), column);

	if (here == InvalidAttrNumber)
		elog(ERROR, "partition \"%s\" has no column \"%s\"",
			 RelationGetRelationName(data->tg_relation), column);
	return here;
}

/*
 * {"relation": oid, "partition": oid, "key": [numbers], "values": [texts],
 * "columns": [numbers], "fields": [names]}; the second where there is one.
 */
Jsonb *
dwf_way_back_of(const DwfWayBack *way_back, TupleTableSlot *row)
{
	DwfJsonbState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_word(&state, WJB_KEY, "relation");
	push_number(&state, WJB_VALUE, way_back->table);
	if (OidIsValid(way_back->partition))
	{
		push_word(&state, WJB_KEY, "partition");
		push_number(&state, WJB_VALUE, way_back->partition);
	}
	push_word(&state, WJB_KEY, "key");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < way_back->nkeys; i++)
		push_number(&state, WJB_ELEM, way_back->keys[i].number);
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	push_word(&state, WJB_KEY, "values");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < way_back->nkeys; i++)
	{
		bool		isnull;
		Datum		value = slot_getattr(row, way_back->keys[i].here, &isnull);

		/* which a primary key allows nowhere */
		if (isnull)
			elog(ERROR, "a column of the primary key is null");
		push_word(&state, WJB_ELEM, show_key(&way_back->keys[i], value));
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	push_word(&state, WJB_KEY, "columns");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < way_back->ntargets; i++)
		push_number(&state, WJB_ELEM, way_back->targets[i].number);
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	push_word(&state, WJB_KEY, "fields");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < way_back->ntargets; i++)
		push_word(&state, WJB_ELEM, way_back->targets[i].field);
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return JsonbValueToJsonb(dwf_end_jsonb(&state, WJB_END_OBJECT));
}

/* As its input function reads it; without a look at settings where none count. */
static char *
show_key(const KeyColumn *key, Datum value)
{
	if (key->type.kind == DWF_SQL_INTEGER || key->type.kind == DWF_SQL_TEXT ||
		!key->type.is_pinned)
		return OutputFunctionCall(unconstify(FmgrInfo *, &key->type.output),
								  value);
	return dwf_sqltype_show(&key->type, value);
}

static void
push_word(DwfJsonbState *state, JsonbIteratorToken token, const char *word)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, word);
	value.val.string.len = strlen(word);
	pushJsonbValue(state, token, &value);
}

static void
push_number(DwfJsonbState *state, JsonbIteratorToken token, int64 number)
{
	JsonbValue	value;

	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	pushJsonbValue(state, token, &value);
}
