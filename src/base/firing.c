/*
 * firing.c
 *	  Triggers that fire for a row which is written below SQL.
 *
 * As the executor fires them for a statement: a level of its own for events,
 * BEFORE triggers with the row that is locked, AFTER triggers when the level
 * ends.  All of it is undone by the end of the (sub)transaction after an error.
 *
 * It must not know which table it is, nor what the row means.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/firing.h"
#include "base/hung.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "utils/rel.h"

#define SCHEMA	"domowf"

static void refuse_suppressed(const DwfFiring *firing);

/*
 * UPDATE OF looks for the columns that a statement sets in the range table, in
 * which the table has number 1.
 */
void
dwf_firing_init(EState *estate, Relation rel)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);

	entry->rtekind = RTE_RELATION;
	entry->relid = RelationGetRelid(rel);
	entry->relkind = rel->rd_rel->relkind;
	entry->rellockmode = AccessShareLock;
	dwf_init_range_table(estate, entry);
}

/*
 * In the copy that `target` has of them.  None is left to fire at commit, when
 * the owner's rights are laid down again: one that somebody's SET CONSTRAINTS
 * could defer fires as if it could not.
 */
void
dwf_firing_choose(EState *estate, ResultRelInfo * target)
{
	TriggerDesc *triggers = target->ri_TrigDesc;

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		trigger->tgenabled =
			dwf_hung_fires(trigger->tgenabled, trigger->tgisinternal,
						   trigger->tgfoid) ?
			TRIGGER_FIRES_ALWAYS : TRIGGER_DISABLED;
		trigger->tgdeferrable = trigger->tginitdeferred = false;
	}
	/* where events find this copy again */
	estate->es_opened_result_relations =
		lappend(estate->es_opened_result_relations, target);
}

void
dwf_firing_begin(DwfFiring *firing, EState *estate, ResultRelInfo * target,
				 CmdType command)
{
	firing->estate = estate;
	firing->target = target;
	firing->command = command;
	firing->capture = NULL;
	estate->es_output_cid = GetCurrentCommandId(true);
	if (target->ri_TrigDesc == NULL)
		return;
	AfterTriggerBeginQuery();
	firing->capture =
		MakeTransitionCaptureState(target->ri_TrigDesc,
								   RelationGetRelid(target->ri_RelationDesc),
								   command);
	if (command == CMD_INSERT)
		ExecBSInsertTriggers(estate, target);
	else if (command == CMD_UPDATE)
		ExecBSUpdateTriggers(estate, target);
	else
		ExecBSDeleteTriggers(estate, target);
}

void
dwf_firing_end(DwfFiring *firing)
{
	EState	   *estate = firing->estate;
	ResultRelInfo *target = firing->target;

	if (target->ri_TrigDesc == NULL)
		return;
	if (firing->command == CMD_INSERT)
		ExecASInsertTriggers(estate, target, firing->capture);
	else if (firing->command == CMD_UPDATE)
		ExecASUpdateTriggers(estate, target, firing->capture);
	else
		ExecASDeleteTriggers(estate, target, firing->capture);
	AfterTriggerEndQuery(estate);
}

void
dwf_firing_before_insert(DwfFiring *firing, TupleTableSlot *row)
{
	TriggerDesc *triggers = firing->target->ri_TrigDesc;

	if (triggers != NULL && triggers->trig_insert_before_row &&
		!ExecBRInsertTriggers(firing->estate, firing->target, row))
		refuse_suppressed(firing);
}

void
dwf_firing_after_insert(DwfFiring *firing, TupleTableSlot *row,
						List *recheck)
{
	if (firing->target->ri_TrigDesc != NULL)
		ExecARInsertTriggers(firing->estate, firing->target, row, recheck,
							 firing->capture);
}

void
dwf_firing_before_update(DwfFiring *firing, ItemPointer tid,
						 Bitmapset *changed, TupleTableSlot *row)
{
	TriggerDesc *triggers = firing->target->ri_TrigDesc;
	EPQState	epq;

	if (triggers == NULL)
		return;
	dwf_set_updated_columns(firing->estate, changed);
	if (!triggers->trig_update_before_row)
		return;
	dwf_init_epq(&epq, firing->estate);
	if (!dwf_before_update_triggers(firing->estate, &epq, firing->target, tid,
									row))
		refuse_suppressed(firing);
	EvalPlanQualEnd(&epq);
}

void
dwf_firing_after_update(DwfFiring *firing, ItemPointer tid,
						TupleTableSlot *row)
{
	if (firing->target->ri_TrigDesc != NULL)
		ExecARUpdateTriggers(firing->estate, firing->target, NULL, NULL, tid,
							 NULL, row, NIL, firing->capture, false);
}

void
dwf_firing_before_delete(DwfFiring *firing, ItemPointer tid)
{
	TriggerDesc *triggers = firing->target->ri_TrigDesc;
	EPQState	epq;

	if (triggers == NULL || !triggers->trig_delete_before_row)
		return;
	dwf_init_epq(&epq, firing->estate);
	if (!dwf_before_delete_triggers(firing->estate, &epq, firing->target, tid))
		refuse_suppressed(firing);
	EvalPlanQualEnd(&epq);
}

void
dwf_firing_after_delete(DwfFiring *firing, ItemPointer tid)
{
	if (firing->target->ri_TrigDesc != NULL)
		ExecARDeleteTriggers(firing->estate, firing->target, tid, NULL,
							 firing->capture, false);
}

/* What domowf writes is not a wish. */
static void
refuse_suppressed(const DwfFiring *firing)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a trigger on %s.%s suppresses what domowf writes", SCHEMA,
					RelationGetRelationName(firing->target->ri_RelationDesc)),
			 errhint("Have it return the row, or drop it.")));
}
