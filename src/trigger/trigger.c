/*
 * trigger.c
 *	  domowf_trigger: a row, or the rows of a statement, start a workflow.
 *
 * Each firing finds the workflow and the mapping (both are kept between
 * firings), makes the request of the values, and enqueues it below the level
 * of SQL: whoever changes the row needs no right on anything of domowf's.  What
 * may be started is what the table's owner may start; the request is recorded
 * as that of the role that changes the row.
 *
 * Every fault of the data is found before one error tells all of them.
 */
#include "postgres.h"

#include "base/command.h"
#include "base/guc.h"
#include "call/argument.h"
#include "call/report.h"
#include "queue/enqueue.h"
#include "registry/workflow.h"
#include "trigger/encode.h"
#include "trigger/mapping.h"
#include "trigger/mapping_cache.h"

#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(domowf_trigger);

static void check_event(FunctionCallInfo fcinfo);
static void refuse_event(const TriggerData *data, const char *what,
						 const char *hint) pg_attribute_noreturn();
static void tell_trigger(void *arg);
static void enqueue_start(const TriggerData *data);
static const DwfWorkflow *find_workflow(const char *name);
static void check_grant(const DwfWorkflow *workflow,
						const DwfMapping *mapping);
static Jsonb *make_request(const TriggerData *data,
						   const DwfWorkflow *workflow,
						   const DwfMapping *mapping, DwfEnqueue *enqueue);
static DwfOrigin origin_of(const TriggerData *data, const DwfMapping *mapping,
						   const DwfMappingItem *item);
static void push_item(DwfEncoding *encoding, const TriggerData *data,
					  const DwfMappingItem *item);
static void push_rows(DwfEncoding *encoding, const TriggerData *data,
					  const DwfMappingItem *item);
static TupleTableSlot *slot_of(const TriggerData *data, DwfAssignmentRow row);
static Tuplestorestate *rows_of(const TriggerData *data, DwfAssignmentRow row);
static bool has_rows(const TriggerData *data);
static TupleTableSlot *begin_rows(const TriggerData *data,
								  Tuplestorestate *rows);
static const char *key_of(const TriggerData *data, const DwfMappingItem *item,
						  DwfInputFaults *faults);
static void check_least_size(const DwfEncoding *encoding);
static void check_size(const DwfEncoding *encoding, Jsonb *request);

/*
 * domowf_trigger() returns trigger; its arguments are told in mapping.c.
 */
Datum
domowf_trigger(PG_FUNCTION_ARGS)
{
	ErrorContextCallback context;

	check_event(fcinfo);
	if (!dwf_triggers)
		return PointerGetDatum(NULL);

	/* who fires triggers for a million rows does not look */
	CHECK_FOR_INTERRUPTS();
	/* a temporary table can be changed in a read-only transaction */
	dwf_command_begin("domowf_trigger()");
	context.callback = tell_trigger;
	context.arg = fcinfo->context;
	context.previous = error_context_stack;
	error_context_stack = &context;
	enqueue_start((TriggerData *) fcinfo->context);
	error_context_stack = context.previous;
	return PointerGetDatum(NULL);
}

/* Refuses what cannot be known to happen, or has no rows. */
static void
check_event(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("domowf_trigger() was not called by a trigger")));
	if (TRIGGER_FIRED_BEFORE(data->tg_event))
		refuse_event(data, "fires before the event",
					 "Use AFTER: only then is it known what the row is.");
	if (TRIGGER_FIRED_INSTEAD(data->tg_event))
		refuse_event(data, "fires instead of the event",
					 "Use an AFTER trigger on the table that is changed.");
	if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		refuse_event(data, "fires for TRUNCATE",
					 "TRUNCATE has no rows; use INSERT, UPDATE or DELETE.");
}

static void
refuse_event(const TriggerData *data, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("trigger \"%s\" on table %s %s, which domowf_trigger() cannot use",
					data->tg_trigger->tgname, dwf_mapping_table(data), what),
			 errhint("%s", hint)));
}

/* Error context callback: which trigger it is. */
static void
tell_trigger(void *arg)
{
	const TriggerData *data = arg;

	errcontext("trigger \"%s\" on table %s", data->tg_trigger->tgname,
			   RelationGetRelationName(data->tg_relation));
}

/*
 * The grant is checked at each firing, the mapping when it is made.  A
 * statement that changed no row starts nothing, not even with empty lists.
 */
static void
enqueue_start(const TriggerData *data)
{
	const DwfWorkflow *workflow = find_workflow(dwf_mapping_workflow(data));
	const DwfMapping *mapping = dwf_mapping_cache_find(data, workflow);
	DwfEnqueue	enqueue;

	check_grant(workflow, mapping);
	if (TRIGGER_FIRED_FOR_STATEMENT(data->tg_event) && !has_rows(data))
		return;
	dwf_enqueue_begin(&enqueue, DWF_START);
	enqueue.source = mapping->source;
	enqueue.source_oid = mapping->source_oid;
	enqueue.key_owner = enqueue.server_role = mapping->owner;
	enqueue.request = make_request(data, workflow, mapping, &enqueue);
	if (mapping->way_back != NULL)
		enqueue.returns_to = dwf_way_back_of(mapping->way_back,
											 slot_of(data, DWF_ROW_CURRENT));
	dwf_enqueue_set_workflow(&enqueue, workflow);
	dwf_enqueue_put(&enqueue);
}

static const DwfWorkflow *
find_workflow(const char *name)
{
	const DwfWorkflow *workflow = dwf_workflow_find(name);
	DwfFault	fault;

	if (workflow == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("workflow \"%s\" is not registered", name),
				 errhint("Insert it into domowf.workflow.")));
	if (!dwf_workflow_check_lengths(workflow, &fault))
		dwf_report_fault(&fault);
	return workflow;
}

static void
check_grant(const DwfWorkflow *workflow, const DwfMapping *mapping)
{
	if (dwf_workflow_is_granted(workflow, mapping->owner))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for workflow \"%s\"", workflow->name),
			 errdetail("A trigger may start what the owner of its table may; \"%s\", the owner of %s, may not start it.",
					   GetUserNameFromId(mapping->owner, false),
					   mapping->source)));
}

/*
 * Makes the request as Domo gets it, and the keys that go with it.  Raises
 * 22023 with every fault of the data.
 */
static Jsonb *
make_request(const TriggerData *data, const DwfWorkflow *workflow,
			 const DwfMapping *mapping, DwfEnqueue *enqueue)
{
	DwfEncoding encoding = {0};
	DwfFault	fault;
	Jsonb	   *request;

	dwf_workflow_begin_request(&encoding.json, workflow);
	pushJsonbValue(&encoding.json, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < mapping->nitems; i++)
	{
		encoding.faults.origin = origin_of(data, mapping, &mapping->items[i]);
		push_item(&encoding, data, &mapping->items[i]);
	}
	pushJsonbValue(&encoding.json, WJB_END_OBJECT, NULL);
	for (int i = 0; i < mapping->nmissing; i++)
		dwf_input_check_value(&encoding.faults, mapping->missing[i], 0, NULL);
	encoding.faults.origin = enqueue->key_origin =
		origin_of(data, mapping, mapping->key);
	enqueue->key = key_of(data, mapping->key, &encoding.faults);
	encoding.faults.origin = origin_of(data, mapping, mapping->order_key);
	enqueue->order_key = key_of(data, mapping->order_key, &encoding.faults);
	if (encoding.faults.count > 0)
	{
		dwf_input_describe(&encoding.faults, &workflow->inputs,
						   workflow->name, &fault);
		dwf_report_fault(&fault);
	}
	dwf_enqueue_check_key("key", enqueue->key);
	dwf_enqueue_check_key("order_key", enqueue->order_key);
	check_least_size(&encoding);
	request = JsonbValueToJsonb(dwf_end_jsonb(&encoding.json, WJB_END_OBJECT));
	check_size(&encoding, request);
	return request;
}

/* Of what a value is; a constant, and NULL, of no column. */
static DwfOrigin
origin_of(const TriggerData *data, const DwfMapping *mapping,
		  const DwfMappingItem *item)
{
	return (DwfOrigin)
	{
		.table = RelationGetRelid(data->tg_relation),
			.parent = mapping->source_oid,
			.column = item == NULL ? 0 : item->attnum
	};
}

/* Pushes an input's name and value. */
static void
push_item(DwfEncoding *encoding, const TriggerData *data,
		  const DwfMappingItem *item)
{
	TupleTableSlot *slot;
	Datum		value = (Datum) 0;
	bool		isnull = true;

	dwf_encode_push_key(encoding, item->name);
	if (item->attnum == 0)
		dwf_encode_push_constant(encoding, &item->constant,
								 item->constant_len);
	else if (TRIGGER_FIRED_FOR_STATEMENT(data->tg_event))
		push_rows(encoding, data, item);
	else
	{
		slot = slot_of(data, item->row);
		if (slot != NULL)
			value = slot_getattr(slot, item->attnum, &isnull);
		dwf_encode_push(item->encoder, encoding, WJB_VALUE, 0, value, isnull);
	}
}

/* Pushes a column of all rows as a list, in the order of the rows. */
static void
push_rows(DwfEncoding *encoding, const TriggerData *data,
		  const DwfMappingItem *item)
{
	Tuplestorestate *rows = rows_of(data, item->row);
	TupleTableSlot *slot = begin_rows(data, rows);
	Form_pg_attribute attribute =
	TupleDescAttr(RelationGetDescr(data->tg_relation), item->attnum - 1);
	int			number = 0;

	pushJsonbValue(&encoding->json, WJB_BEGIN_ARRAY, NULL);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, item->attnum, &isnull);

		CHECK_FOR_INTERRUPTS();
		/* the slot keeps a row until the next one only */
		if (!isnull)
			value = datumCopy(value, attribute->attbyval, attribute->attlen);
		dwf_encode_push(item->encoder, encoding, WJB_ELEM, ++number, value,
						isnull);
		if (encoding->at_least > DWF_MAX_DATA)
			break;
	}
	pushJsonbValue(&encoding->json, WJB_END_ARRAY, NULL);
	ExecDropSingleTupleTableSlot(slot);
}

/* The row of an event; NULL where it has none, as an INSERT has no old one. */
static TupleTableSlot *
slot_of(const TriggerData *data, DwfAssignmentRow row)
{
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		return row == DWF_ROW_OLD ? NULL : data->tg_trigslot;
	if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		return row == DWF_ROW_NEW ? NULL : data->tg_trigslot;
	return row == DWF_ROW_OLD ? data->tg_trigslot : data->tg_newslot;
}

/* The same for a statement: its transition table, which has to be there. */
static Tuplestorestate *
rows_of(const TriggerData *data, DwfAssignmentRow row)
{
	bool		is_old = row == DWF_ROW_OLD ||
	(row == DWF_ROW_CURRENT && TRIGGER_FIRED_BY_DELETE(data->tg_event));
	Tuplestorestate *rows = is_old ? data->tg_oldtable : data->tg_newtable;

	if (rows == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" on table %s has no transition table for %s rows",
						data->tg_trigger->tgname, dwf_mapping_table(data),
						is_old ? "old" : "new"),
				 errhint("Add REFERENCING %s TABLE AS a_name to CREATE TRIGGER, or use FOR EACH ROW.",
						 is_old ? "OLD" : "NEW")));
	return rows;
}

/* Whether a statement has changed any row. */
static bool
has_rows(const TriggerData *data)
{
	Tuplestorestate *rows = data->tg_newtable != NULL ? data->tg_newtable :
	rows_of(data, data->tg_oldtable != NULL ? DWF_ROW_OLD : DWF_ROW_CURRENT);
	TupleTableSlot *slot = begin_rows(data, rows);
	bool		found = tuplestore_gettupleslot(rows, true, false, slot);

	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/* Begins to read a transition table, which others read as well. */
static TupleTableSlot *
begin_rows(const TriggerData *data, Tuplestorestate *rows)
{
	int			pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(rows, pointer);
	tuplestore_rescan(rows);
	return MakeSingleTupleTableSlot(RelationGetDescr(data->tg_relation),
									&TTSOpsMinimalTuple);
}

/* A key; NULL where there is none. */
static const char *
key_of(const TriggerData *data, const DwfMappingItem *item,
	   DwfInputFaults *faults)
{
	TupleTableSlot *slot;
	Datum		value = (Datum) 0;
	bool		isnull = true;
	char	   *key;

	if (item == NULL)
		return NULL;
	if (item->attnum == 0)
		key = pnstrdup(item->constant.val.string.val,
					   item->constant.val.string.len);
	else
	{
		slot = slot_of(data, item->row);
		if (slot != NULL)
			value = slot_getattr(slot, item->attnum, &isnull);
		key = dwf_encode_text(item->encoder, faults, value, isnull);
	}
	return key;
}

/* Refuses what is too long whatever the rest of it is, before it is made. */
static void
check_least_size(const DwfEncoding *encoding)
{
	if (encoding->at_least > DWF_MAX_DATA)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid data: found over %d bytes of JSON, expected at most that",
						DWF_MAX_DATA)));
}

/*
 * Has a request checked as one that a function was given, where its size or
 * encoding is in doubt.
 */
static void
check_size(const DwfEncoding *encoding, Jsonb *request)
{
	DwfRequest	read;
	DwfFault	fault;

	if (encoding->at_most <= DWF_MAX_DATA && GetDatabaseEncoding() == PG_UTF8)
		return;
	if (!dwf_argument_read(DWF_START, request, &read, &fault))
		dwf_report_fault(&fault);
}
