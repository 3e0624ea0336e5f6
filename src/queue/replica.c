/*
 * replica.c
 *	  What logical replication may do to domowf's tables: a publication FOR ALL
 *	  TABLES has them, and the first copy as well as each change comes with a
 *	  subscriber's own rows in place.
 *
 * The queue, its keys, whether it is paused, and what is known of triggers
 * belong to one database: of these nothing is taken, so that a subscriber does
 * not send what its publisher sends, nor lose what it was asked for.  Nothing
 * is said, since an error would end the subscription.
 *
 * A TRUNCATE, which nobody but a person does, is taken of no table: it would
 * remove a subscriber's own rows of the log, without which a key is nobody's
 * (key.c) and what holds it is sent twice, and its own workflows.  What it
 * removes is put in again (truncation.c).  It is no statement here, and empties
 * nothing that is open: so the first trigger of each table closes what is kept
 * (kept.h).
 *
 * The log is history, and the registry configuration: of these what comes is
 * taken, but for what meets a row that is here already, by which PostgreSQL
 * would end the subscription, too.  That row stays.
 *
 * - A row of the log is the publisher's own where it tells of the same request;
 *   then the newer one replaces it.  Which row a removal means cannot be seen,
 *   as it tells an id and no more: a subscriber removes by its own retention.
 *   Ids of this side's move behind those that come.  Oids in it mean nothing
 *   here: who asked is the role of that name, and it points at no table.  Its
 *   batch, a transaction of elsewhere, is told from this side's.
 * - A registered workflow, and an input, stays as it is until the publisher
 *   changes or removes the one of that name.  Where it comes from is not kept, so
 *   that this holds for one that was registered here, too.
 *
 * The triggers are ones that fire ALWAYS: an apply worker runs as a replica.  Those
 * of queue and log also see what anybody puts in by SQL, as a log that is brought
 * back by COPY: new ids are behind it (ids.c).
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/ids.h"
#include "base/kept.h"
#include "base/table.h"
#include "base/timeline.h"
#include "queue/truncation.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

PG_FUNCTION_INFO_V1(domowf_refuse_replication);
PG_FUNCTION_INFO_V1(domowf_keep_own);

static bool is_published(void);
static bool is_undone(Relation rel);
static void pass_id(const TriggerData *trigger, const char *table,
					const DwfColumn *id);
static TriggerData *get_trigger(FunctionCallInfo fcinfo);
static HeapTuple changed_row(const TriggerData *trigger);
static Datum column(const TriggerData *trigger, HeapTuple row,
					const DwfColumn *column, bool *isnull);
static HeapTuple as_elsewhere(const TriggerData *trigger, HeapTuple row);
static uint64 batch_elsewhere(Datum batch);
static bool takes_log(const TriggerData *trigger);
static bool is_newer(const TriggerData *trigger, HeapTuple row,
					 const Datum *values, const bool *nulls);
static bool takes_workflow(const TriggerData *trigger);
static bool takes_input(const TriggerData *trigger);
static bool keeps_name(const TriggerData *trigger, const DwfColumn *name);

/*
 * domowf.refuse_replication() returns trigger: BEFORE, for each row, or BEFORE
 * and AFTER TRUNCATE
 */
Datum
domowf_refuse_replication(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = get_trigger(fcinfo);

	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event) && !is_published())
	{
		pass_id(trigger, "queue", &dwf_queue_columns[QUEUE_ID]);
		return PointerGetDatum(changed_row(trigger));
	}
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
		dwf_kept_end();
	if (!is_published())
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_AFTER(trigger->tg_event))
		dwf_truncation_undo(trigger->tg_relation);
	else if (is_undone(trigger->tg_relation))
		dwf_truncation_keep(trigger->tg_relation);
	else
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a TRUNCATE of table domowf.%s is not taken from a publisher",
						RelationGetRelationName(trigger->tg_relation)),
				 errdetail("Its rows would be gone, as trigger undo_truncation does not fire always."),
				 errhint("See domowf_check(), row \"triggers\".")));
	return PointerGetDatum(NULL);
}

/*
 * domowf.keep_own() returns trigger: BEFORE, for each row
 */
Datum
domowf_keep_own(PG_FUNCTION_ARGS)
{
	static const struct
	{
		const char *table;
		bool		(*takes) (const TriggerData *trigger);
	}			tables[] = {
		{"log", takes_log},
		{"workflow", takes_workflow},
		{"workflow_input", takes_input},
	};
	TriggerData *trigger = get_trigger(fcinfo);
	HeapTuple	row = changed_row(trigger);

	if (!is_published())
		pass_id(trigger, "log", &dwf_log_columns[LOG_ID]);
	for (int i = 0; is_published() && i < lengthof(tables); i++)
	{
		if (dwf_table_oid(tables[i].table) !=
			RelationGetRelid(trigger->tg_relation))
			continue;
		if (!tables[i].takes(trigger))
			return PointerGetDatum(NULL);
		if (tables[i].takes == takes_log)
			row = as_elsewhere(trigger, row);
	}
	return PointerGetDatum(row);
}

/*
 * Whether it is an apply worker that writes what came from a publisher.  What
 * domowf writes itself there, since a trigger of somebody's on the subscriber
 * called it, it writes as its owner (owner.c).
 */
static bool
is_published(void)
{
	return IsLogicalWorker() && !InLocalUserIdChange();
}

/*
 * Where it is that table, what it has from now on has no new request's id.  An id
 * that is null is the table's to refuse.
 */
static void
pass_id(const TriggerData *trigger, const char *table, const DwfColumn *id)
{
	bool		isnull;
	Datum		value;

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ||
		dwf_table_oid(table) != RelationGetRelid(trigger->tg_relation))
		return;
	value = column(trigger, changed_row(trigger), id, &isnull);
	if (!isnull)
		dwf_ids_pass(DatumGetInt64(value));
}

/* Whether what is kept of a TRUNCATE is put in again. */
static bool
is_undone(Relation rel)
{
	const TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		if (strcmp(triggers->triggers[i].tgname, "undo_truncation") == 0)
			return triggers->triggers[i].tgenabled == TRIGGER_FIRES_ALWAYS;
	}
	return false;
}

static TriggerData *
get_trigger(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by a trigger")));
	return (TriggerData *) fcinfo->context;
}

/* What a trigger returns that changes nothing. */
static HeapTuple
changed_row(const TriggerData *trigger)
{
	return TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;
}

/* A column of a row, which is there: the table is the extension's. */
static Datum
column(const TriggerData *trigger, HeapTuple row, const DwfColumn *known,
	   bool *isnull)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	return SPI_getbinval(row, desc, SPI_fnumber(desc, known->name), isnull);
}

/*
 * A row of the log whose oids are of this side: a role that is not here is
 * nobody, and what is sent again from here has no row to be written back into;
 * and whose batch is none of this side's transactions.
 */
static HeapTuple
as_elsewhere(const TriggerData *trigger, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	const char *names[] = {"requested_by_oid", "batch", "returns_to", "source_oid"};
	int			columns[lengthof(names)];
	Datum		values[lengthof(names)] = {0};
	bool		nulls[lengthof(names)] = {false, false, true, true};
	bool		isnull;
	Datum		batch = column(trigger, row, &dwf_log_columns[LOG_BATCH],
							   &isnull);
	Datum		role = column(trigger, row, &dwf_log_columns[LOG_REQUESTED_BY],
							  &isnull);
	int			count = 0;

	values[0] = ObjectIdGetDatum(get_role_oid(NameStr(*DatumGetName(role)),
											  true));
	values[1] = FullTransactionIdGetDatum(FullTransactionIdFromU64(batch_elsewhere(batch)));
	/* SQL of 1.0 has no way back */
	while (count < lengthof(names) && SPI_fnumber(desc, names[count]) > 0)
	{
		columns[count] = SPI_fnumber(desc, names[count]);
		count++;
	}
	return heap_modify_tuple_by_cols(row, desc, count, columns, values, nulls);
}

/* The same of one that has come on from there, or from further. */
static uint64
batch_elsewhere(Datum batch)
{
	return U64FromFullTransactionId(DatumGetFullTransactionId(batch)) |
		DWF_BATCH_ELSEWHERE;
}

/*
 * Whether a row of the log is taken.  One that it replaces is gone then, and
 * its id is no new request's.
 */
static bool
takes_log(const TriggerData *trigger)
{
	HeapTuple	row = changed_row(trigger);
	DwfTable	log;
	DwfTable	queue;
	bool		isnull;
	bool		takes;
	int64		id = DatumGetInt64(column(trigger, row,
										  &dwf_log_columns[LOG_ID], &isnull));

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return false;
	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	dwf_table_open(&log, "log", LOG_COLUMNS, false);
	takes = !dwf_table_holds(&queue, QUEUE_ID, id);
	if (takes && dwf_table_find(&log, LOG_ID, Int64GetDatum(id)))
	{
		takes = is_newer(trigger, row, log.values, log.nulls);
		if (takes && TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
			dwf_table_delete(&log);
	}
	dwf_table_close(&log);
	dwf_table_close(&queue);
	if (takes)
		dwf_ids_pass(id);
	return takes;
}

/*
 * Whether a row tells of the same request as the one that is there, or of the
 * same call, of which there is only the time at which it was settled.  A
 * transaction and a time to the microsecond are not met by chance.  What is
 * there may have come in another way, as by a dump, with its batch as it was.
 */
static bool
is_newer(const TriggerData *trigger, HeapTuple row, const Datum *values,
		 const bool *nulls)
{
	int			time = nulls[LOG_ENQUEUED_AT] ? LOG_SETTLED_AT : LOG_ENQUEUED_AT;
	bool		isnull;
	Datum		batch = column(trigger, row, &dwf_log_columns[LOG_BATCH],
							   &isnull);
	Datum		at = column(trigger, row, &dwf_log_columns[time], &isnull);

	return !isnull && !nulls[time] &&
		DatumGetTimestampTz(at) == DatumGetTimestampTz(values[time]) &&
		batch_elsewhere(batch) == batch_elsewhere(values[LOG_BATCH]);
}

/* Whether a registered workflow is taken: none of that name is there. */
static bool
takes_workflow(const TriggerData *trigger)
{
	const DwfColumn *name = &dwf_workflow_columns[WORKFLOW_NAME];
	DwfTable	workflow;
	bool		isnull;
	bool		found;

	if (keeps_name(trigger, name))
		return true;
	dwf_table_open_to_read(&workflow, "workflow", WORKFLOW_COLUMNS);
	found = dwf_table_find(&workflow, WORKFLOW_NAME,
						   column(trigger, changed_row(trigger), name, &isnull));
	dwf_table_close(&workflow);
	return !found;
}

/* The same for an input of one. */
static bool
takes_input(const TriggerData *trigger)
{
	static const int by_name[] = {INPUT_WORKFLOW, INPUT_NAME};
	const DwfColumn *workflow = &dwf_input_columns[INPUT_WORKFLOW];
	const DwfColumn *name = &dwf_input_columns[INPUT_NAME];
	HeapTuple	row = changed_row(trigger);
	DwfTable	input;
	bool		isnull;
	bool		found;

	if (keeps_name(trigger, workflow) && keeps_name(trigger, name))
		return true;
	dwf_table_open_to_read(&input, "workflow_input", INPUT_COLUMNS);
	found = dwf_table_find_first(&input, by_name, lengthof(by_name),
								 column(trigger, row, workflow, &isnull),
								 column(trigger, row, name, &isnull));
	dwf_table_close(&input);
	return !found;
}

/* Whether a change leaves a row the name that it has, a text. */
static bool
keeps_name(const TriggerData *trigger, const DwfColumn *name)
{
	bool		isnull;

	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return true;
	return TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
		datumIsEqual(column(trigger, trigger->tg_trigtuple, name, &isnull),
					 column(trigger, trigger->tg_newtuple, name, &isnull),
					 false, -1);
}
