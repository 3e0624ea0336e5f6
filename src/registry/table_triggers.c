/*
 * table_triggers.c
 *	  Triggers of the registry's tables.
 *
 * One tells every session of a change (workflow.c says how).  The other is the
 * half of a foreign key that a parallel pg_restore cannot live with: it loads
 * both tables at once, since the tables of an extension, with their keys, are
 * there before any data is.  So PostgreSQL's own check of domowf.workflow_input
 * is switched off by the extension's script, and its place is taken here, where
 * a dump that is restored is let through; the actions on domowf.workflow are
 * PostgreSQL's.
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/guc.h"
#include "base/owner.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(domowf_registry_changed);
PG_FUNCTION_INFO_V1(domowf_workflow_exists);

static TriggerData *called_as_trigger(FunctionCallInfo fcinfo);
static bool workflow_exists(Datum name);
static void warn_untracked(const TriggerData *trigger);
static bool is_tracked(const TriggerData *trigger, HeapTuple row);

/*
 * domowf.registry_changed() returns trigger: BEFORE, for each row, and before
 * TRUNCATE
 */
Datum
domowf_registry_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = called_as_trigger(fcinfo);

	CacheInvalidateRelcache(trigger->tg_relation);
	if (!dwf_track_instances && TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		warn_untracked(trigger);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
						   trigger->tg_newtuple : trigger->tg_trigtuple);
}

/* Says of a workflow that is to be tracked what it waits for. */
static void
warn_untracked(const TriggerData *trigger)
{
	HeapTuple	row = trigger->tg_trigtuple;

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ||
		(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && is_tracked(trigger, row)))
		return;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		row = trigger->tg_newtuple;
	if (is_tracked(trigger, row))
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("instances are tracked only once domowf.track_instances is on"),
				 errdetail("They are read by a call that Domo does not document.")));
}

/* Whether a row is a workflow's that is to be tracked. */
static bool
is_tracked(const TriggerData *trigger, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	const DwfColumn *column = &dwf_workflow_columns[WORKFLOW_TRACK];
	bool		isnull = true;
	Datum		value = (Datum) 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute found = TupleDescAttr(desc, i);

		if (!found->attisdropped && found->atttypid == column->type &&
			strcmp(NameStr(found->attname), column->name) == 0)
			value = heap_getattr(row, i + 1, desc, &isnull);
	}
	return !isnull && DatumGetBool(value);
}

/*
 * domowf.workflow_exists() returns trigger: AFTER, for each row that has its
 * workflow's name first
 *
 * check_function_bodies is off where a dump is restored (pg_dump and pg_restore
 * see to it): what is referred to may come later.
 */
Datum
domowf_workflow_exists(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = called_as_trigger(fcinfo);
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
	trigger->tg_newtuple : trigger->tg_trigtuple;
	Datum		name;
	bool		isnull;

	/* somebody's own trigger may be on any table, and for each statement */
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TupleDescAttr(RelationGetDescr(trigger->tg_relation), 0)->atttypid != TEXTOID)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by domowf's own trigger")));
	if (!check_function_bodies)
		return PointerGetDatum(NULL);
	name = heap_getattr(row, 1, RelationGetDescr(trigger->tg_relation),
						&isnull);
	if (!workflow_exists(name))
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("workflow \"%s\" is not registered",
						TextDatumGetCString(name)),
				 errhint("Insert it into domowf.workflow first."),
				 errtable(trigger->tg_relation)));
	return PointerGetDatum(NULL);
}

/*
 * Whether a workflow is registered, which it then is until the transaction
 * ends.  What counts is the latest state, in any isolation level.
 */
static bool
workflow_exists(Datum name)
{
	static SPIPlanPtr plan = NULL;
	DwfOwnerScope scope;
	bool		found;

	dwf_owner_enter_registry_to_read(&scope);
	SPI_connect();
	if (plan == NULL)
	{
		Oid			types[] = {TEXTOID};

		plan = SPI_prepare("SELECT FROM domowf.workflow WHERE name = $1 "
						   "FOR KEY SHARE", 1, types);
		SPI_keepplan(plan);
	}
	if (SPI_execute_snapshot(plan, &name, NULL, GetLatestSnapshot(),
							 InvalidSnapshot, false, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.workflow");
	found = SPI_processed > 0;
	SPI_finish();
	dwf_owner_leave(&scope);
	return found;
}

static TriggerData *
called_as_trigger(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by a trigger")));
	return (TriggerData *) fcinfo->context;
}
