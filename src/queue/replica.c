/*
 * replica.c
 *	  Keeps logical replication out of the queue.
 *
 * A subscriber of FOR ALL TABLES must not send what the publisher sends, so
 * what an apply worker does to domowf.queue is dropped.  The trigger is one
 * that fires ALWAYS: an apply worker runs as a replica.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "replication/logicalworker.h"

PG_FUNCTION_INFO_V1(domowf_refuse_replication);

/*
 * domowf.refuse_replication() returns trigger: BEFORE, for each row
 */
Datum
domowf_refuse_replication(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by a trigger")));
	if (IsLogicalWorker())
		return PointerGetDatum(NULL);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
						   trigger->tg_newtuple : trigger->tg_trigtuple);
}
