/*
 * mapping.c
 *	  The arguments of a trigger, worked out.
 *
 *	'input=column', 'input'		the column's value; alone: of the same name
 *	'input=OLD.column', NEW.	the old row's, the new row's
 *	'input:=literal'			a constant
 *	'@key=column', '@order_key=column'	and with := as well
 *	'column<-field'				written back, see way_back.c
 *
 * How an argument is taken apart, assignment.c says.  A literal is the value
 * itself where the input is declared as a type whose values are strings, or not
 * declared; else it is read as JSON, numbers digit for digit.
 *
 * It must not know how a trigger is fired, nor keep anything (trigger.c does).
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/guc.h"
#include "domo/domo.h"
#include "domo/domo_type.h"
#include "domo/json.h"
#include "trigger/json_text.h"
#include "trigger/mapping.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* The longest argument, and the longest list of columns, that are shown. */
#define MAX_SHOWN			100
#define MAX_COLUMNS_SHOWN	1000

/* What is being worked out. */
typedef struct Reading
{
	const TriggerData *data;
	const DwfWorkflow *workflow;
	DwfMapping *mapping;
	const char *argument;		/* the one that is read; NULL: none is */
	const char *hint;			/* NULL: what an argument looks like */
} Reading;

static void read_argument(Reading *reading, const char *argument);
static void read_way_back(Reading *reading, const DwfAssignment *assignment);
static void read_key(Reading *reading, char *name,
					 const DwfAssignment *assignment);
static void read_input(Reading *reading, const char *name,
					   const DwfAssignment *assignment);
static void add_all_columns(Reading *reading);
static void set_column(Reading *reading, DwfMappingItem *item,
					   const DwfInput *declared, const char *column);
static void check_row(const Reading *reading, DwfAssignmentRow row);
static void set_constant(Reading *reading, DwfMappingItem *item,
						 const DwfInput *declared, const char *literal);
static const char *read_literal(const DwfInput *declared, const char *literal,
								JsonbValue *value);
static void add_missing(Reading *reading);
static const DwfMappingItem *find_item(const DwfMapping *mapping,
									   const char *name);
static int	find_column(TupleDesc desc, const char *name);
static bool is_for_rows(const Reading *reading);
static void find_source(Reading *reading);
static Oid	find_parent(Oid trigger, Oid *table);
static char *name_of(Oid table);
static char *columns_of(const Reading *reading);
static void refuse(const Reading *reading, const char *why,
				   const char *detail) pg_attribute_noreturn();

const char *
dwf_mapping_workflow(const TriggerData *data)
{
	if (data->tg_trigger->tgnargs == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" on table %s names no workflow",
						data->tg_trigger->tgname, dwf_mapping_table(data)),
				 errhint("The first argument is its name, as in EXECUTE FUNCTION domowf_trigger('workflow', 'input=column').")));
	return data->tg_trigger->tgargs[0];
}

char *
dwf_mapping_table(const TriggerData *data)
{
	return name_of(RelationGetRelid(data->tg_relation));
}

static char *
name_of(Oid table)
{
	int			level = dwf_guc_quote_as_needed();
	char	   *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
												  get_rel_name(table));

	AtEOXact_GUC(false, level);
	return name;
}

DwfMapping *
dwf_mapping_read(const TriggerData *data, const DwfWorkflow *workflow)
{
	Trigger    *trigger = data->tg_trigger;
	Reading		reading = {data, workflow, palloc0(sizeof(DwfMapping))};
	DwfMapping *mapping = reading.mapping;
	int			size = Max(trigger->tgnargs,
						   RelationGetDescr(data->tg_relation)->natts);

	mapping->serial = workflow->serial;
	mapping->items = palloc0(sizeof(DwfMappingItem) * size);
	find_source(&reading);
	for (int i = 1; i < trigger->tgnargs; i++)
		read_argument(&reading, trigger->tgargs[i]);
	reading.argument = NULL;
	if (mapping->nitems == 0)
		add_all_columns(&reading);
	add_missing(&reading);
	return mapping;
}

/* One of each kind. */
static void
read_argument(Reading *reading, const char *argument)
{
	DwfAssignment assignment = dwf_assignment_read(argument);
	char	   *target = pnstrdup(assignment.target, assignment.target_len);

	reading->argument = argument;
	if (assignment.kind == DWF_ASSIGN_BACK)
		read_way_back(reading, &assignment);
	else if (*target == '@')
		read_key(reading, target, &assignment);
	else
		read_input(reading, target, &assignment);
}

/* Refuses, as all that is wrong with an argument. */
static void
read_way_back(Reading *reading, const DwfAssignment *assignment)
{
	DwfMapping *mapping = reading->mapping;
	const char *why;
	const char *detail;

	mapping->way_back = dwf_way_back_add(mapping->way_back, reading->data,
										 mapping->source_oid, assignment,
										 &why, &detail, &reading->hint);
	if (mapping->way_back == NULL)
		refuse(reading, why, detail);
}

/*
 * Refuses, with 22023, what would give a request no key of its own without a
 * word: a key that is given twice, or of a statement's many rows.
 */
static void
read_key(Reading *reading, char *name, const DwfAssignment *assignment)
{
	DwfMapping *mapping = reading->mapping;
	bool		is_key = strcmp(name, "@key") == 0;
	DwfMappingItem **item = is_key ? &mapping->key : &mapping->order_key;
	DwfInput	text = {name, DWF_INPUT_TEXT};

	if (!is_key && strcmp(name, "@order_key") != 0)
		refuse(reading, "it is neither @key nor @order_key", NULL);
	if (assignment->kind == DWF_ASSIGN_NAME)
		refuse(reading, "it names no column", columns_of(reading));
	if (*item != NULL)
		refuse(reading, psprintf("%s is given twice", name), NULL);
	*item = palloc0(sizeof(DwfMappingItem));
	(*item)->name = name;
	if (assignment->kind == DWF_ASSIGN_LITERAL)
		set_constant(reading, *item, &text, assignment->source);
	else if (is_for_rows(reading))
		set_column(reading, *item, &text, assignment->source);
	else
		refuse(reading, "a statement has no one row to take it from", NULL);
}

/*
 * Refuses an input that Domo would ignore, where the workflow declares any,
 * and names those that it has.
 */
static void
read_input(Reading *reading, const char *name, const DwfAssignment *assignment)
{
	DwfMapping *mapping = reading->mapping;
	const DwfInput *declared = dwf_input_find(&reading->workflow->inputs,
											  name);
	DwfMappingItem *item;

	if (*name == '\0')
		refuse(reading, "it names no input", NULL);
	if (find_item(mapping, name) != NULL)
		refuse(reading, psprintf("input \"%s\" is given twice", name), NULL);
	if (declared == NULL && reading->workflow->inputs.count > 0)
	{
		char		inputs[512];

		dwf_input_list(&reading->workflow->inputs, inputs, sizeof(inputs));
		refuse(reading, psprintf("workflow \"%s\" has no input \"%s\"",
								 reading->workflow->name, name), inputs);
	}
	item = &mapping->items[mapping->nitems++];
	item->name = name;
	if (assignment->kind == DWF_ASSIGN_LITERAL)
		set_constant(reading, item, declared, assignment->source);
	else
		set_column(reading, item, declared, assignment->source);
}

/*
 * Without a mapping: every column whose name is a declared input, or simply
 * every column where none are declared.  A virtual column has no value in a
 * trigger.
 */
static void
add_all_columns(Reading *reading)
{
	DwfMapping *mapping = reading->mapping;
	TupleDesc	desc = RelationGetDescr(reading->data->tg_relation);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		char	   *name = NameStr(attribute->attname);
		const DwfInput *declared = dwf_input_find(&reading->workflow->inputs,
												  name);
		DwfMappingItem *item = &mapping->items[mapping->nitems];

		if (attribute->attisdropped ||
			(declared == NULL &&
			 (reading->workflow->inputs.count > 0 || dwf_is_virtual(attribute))))
			continue;
		item->name = pstrdup(name);
		mapping->nitems++;
		set_column(reading, item, declared, NULL);
	}
}

/* Takes a value from a column; NULL: from that with the name of the item. */
static void
set_column(Reading *reading, DwfMappingItem *item, const DwfInput *declared,
		   const char *column)
{
	bool		is_for_row = is_for_rows(reading);
	TupleDesc	desc = RelationGetDescr(reading->data->tg_relation);
	Form_pg_attribute attribute;

	item->row = DWF_ROW_CURRENT;
	if (column == NULL)
		column = item->name;
	else
		column = dwf_assignment_skip_row(column, &item->row);
	check_row(reading, item->row);
	if (*column == '\0')
		refuse(reading, "it names no column", columns_of(reading));
	item->attnum = find_column(desc, column);
	if (item->attnum == 0)
		refuse(reading, psprintf("there is no column \"%s\"", column),
			   columns_of(reading));
	attribute = TupleDescAttr(desc, item->attnum - 1);
	if (dwf_is_virtual(attribute))
		refuse(reading, psprintf("column \"%s\" is a virtual generated column, which has no value in a trigger",
								 column), NULL);
	if (!is_for_row && declared != NULL && !declared->is_list)
		refuse(reading, psprintf("input \"%s\" takes one value, but a trigger for each statement sends lists",
								 item->name), NULL);
	item->encoder = dwf_encode_prepare(attribute->atttypid,
									   attribute->atttypmod, item->name,
									   declared, !is_for_row);
}

/* There must be such a row. */
static void
check_row(const Reading *reading, DwfAssignmentRow row)
{
	int			type = reading->data->tg_trigger->tgtype;

	if (row == DWF_ROW_NEW && !TRIGGER_FOR_INSERT(type) &&
		!TRIGGER_FOR_UPDATE(type))
		refuse(reading, "a DELETE has no NEW row", NULL);
	if (row == DWF_ROW_OLD && !TRIGGER_FOR_DELETE(type) &&
		!TRIGGER_FOR_UPDATE(type))
		refuse(reading, "an INSERT has no OLD row", NULL);
}

/* Sets a constant, which must be what is declared. */
static void
set_constant(Reading *reading, DwfMappingItem *item,
			 const DwfInput *declared, const char *literal)
{
	DwfInput	undeclared = {.name = unconstify(char *, item->name),.type = DWF_INPUT_TEXT};
	DwfInputFaults faults = {0};
	StringInfoData text;
	Jsonb	   *jsonb;
	const char *why = read_literal(declared, literal, &item->constant);

	if (why != NULL)
		dwf_input_note_fault(&faults, declared != NULL ? declared : &undeclared,
							 0, literal, strlen(literal), false, why);
	else if (declared != NULL)
		dwf_input_check_value(&faults, declared, 0, &item->constant);
	if (faults.count > 0)
		refuse(reading, "the constant does not fit", faults.lines->data);

	/* only to know how long it is */
	jsonb = JsonbValueToJsonb(&item->constant);
	initStringInfo(&text);
	JsonbToCString(&text, &jsonb->root, VARSIZE(jsonb));
	item->constant_len = text.len;
	pfree(text.data);
}

/*
 * NULL, or why a literal that was to be JSON is none.  In SQL_ASCII it may be
 * text that is none of UTF-8.
 */
static const char *
read_literal(const DwfInput *declared, const char *literal,
			 JsonbValue *value)
{
	char	   *utf8;
	const char *fault;
	DwfJsonNode *json;

	value->type = jbvString;
	value->val.string.val = pstrdup(literal);
	value->val.string.len = strlen(literal);
	if (!dwf_json_text_is_utf8(value))
		return DWF_NOT_UTF8;
	if (declared == NULL ||
		(!declared->is_list && dwf_domo_type_is_string(declared->type)))
		return NULL;
	/* what Domo's own reader may not take, as a key that stands twice */
	utf8 = pg_server_to_any(literal, strlen(literal), PG_UTF8);
	json = dwf_json_parse(utf8, strlen(utf8), &fault);
	if (json == NULL)
		return "it is not JSON";
	dwf_json_free(json);
	return dwf_json_text_read(value->val.string.val, value);
}

/* Notes the required inputs that get no value. */
static void
add_missing(Reading *reading)
{
	const DwfWorkflow *workflow = reading->workflow;
	DwfMapping *mapping = reading->mapping;

	mapping->missing = palloc(sizeof(DwfInput *) * (workflow->inputs.count + 1));
	for (int i = 0; i < workflow->inputs.count; i++)
	{
		DwfInput   *input;

		if (!workflow->inputs.items[i].required ||
			find_item(mapping, workflow->inputs.items[i].name) != NULL)
			continue;
		input = palloc(sizeof(DwfInput));
		*input = workflow->inputs.items[i];
		input->name = pstrdup(input->name);
		mapping->missing[mapping->nmissing++] = input;
	}
}

static const DwfMappingItem *
find_item(const DwfMapping *mapping, const char *name)
{
	for (int i = 0; i < mapping->nitems; i++)
	{
		if (strcmp(mapping->items[i].name, name) == 0)
			return &mapping->items[i];
	}
	return NULL;
}

/* A column's number; 0 where there is none of this name. */
static int
find_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped &&
			strcmp(NameStr(attribute->attname), name) == 0)
			return attribute->attnum;
	}
	return 0;
}

static bool
is_for_rows(const Reading *reading)
{
	return TRIGGER_FOR_ROW(reading->data->tg_trigger->tgtype) != 0;
}

/*
 * Finds the table that the trigger was made on, and its owner: a partition's
 * trigger is a copy of that of the table that it is a partition of.
 */
static void
find_source(Reading *reading)
{
	DwfMapping *mapping = reading->mapping;
	Oid			table = RelationGetRelid(reading->data->tg_relation);
	Oid			trigger = reading->data->tg_trigger->tgoid;
	HeapTuple	tuple;

	if (reading->data->tg_trigger->tgisclone)
	{
		while (OidIsValid(trigger))
			trigger = find_parent(trigger, &table);
	}
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", table);
	mapping->source_oid = table;
	mapping->owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	mapping->source = name_of(table);
}

/* The trigger that one is a copy of, or InvalidOid, and the one's table. */
static Oid
find_parent(Oid trigger, Oid *table)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			parent = InvalidOid;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(catalog, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		parent = ((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid;
		*table = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return parent;
}

/* A sentence with as many columns of the table as it has room for. */
static char *
columns_of(const Reading *reading)
{
	TupleDesc	desc = RelationGetDescr(reading->data->tg_relation);
	StringInfoData list;
	const char *before = "";

	initStringInfo(&list);
	appendStringInfo(&list, "The columns of %s are ",
					 dwf_mapping_table(reading->data));
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		if (list.len > MAX_COLUMNS_SHOWN)
		{
			appendStringInfoString(&list, ", ...");
			break;
		}
		appendStringInfo(&list, "%s\"%s\"", before,
						 NameStr(TupleDescAttr(desc, i)->attname));
		before = ", ";
	}
	appendStringInfoChar(&list, '.');
	return list.data;
}

/* Raises 22023 for the argument that is read, or for the mapping as a whole. */
static void
refuse(const Reading *reading, const char *why, const char *detail)
{
	const char *argument = reading->argument;
	const char *trigger = reading->data->tg_trigger->tgname;
	char	   *table = dwf_mapping_table(reading->data);
	int			len;

	if (argument == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" on table %s cannot do without arguments: %s",
						trigger, table, why),
				 detail ? errdetail_internal("%s", detail) : 0));
	len = pg_mbcliplen(argument, strlen(argument), MAX_SHOWN);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid argument \"%.*s%s\" of trigger \"%s\" on table %s: %s",
					len, argument, argument[len] == '\0' ? "" : "...",
					trigger, table, why),
			 detail ? errdetail_internal("%s", detail) : 0,
			 reading->hint ? errhint("%s", reading->hint) :
			 errhint("An argument is 'input=column', 'input', 'input=OLD.column', 'input:=literal', '@key=column', '@order_key=column' or 'column<-field'.")));
}
