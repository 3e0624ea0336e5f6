/*
 * firing.h
 *	  Triggers that fire for a row which is written below SQL.
 *
 * Which.  Those that ALTER TABLE ... ENABLE ALWAYS or REPLICA has made so, and
 * no ordinary ones, in every process and whatever session_replication_role is:
 * as for the statements that domowf runs on its tables, all of which it runs as
 * a replica.  So one rule holds for every row, whether the worker, a session or
 * a person's command writes it; and since it takes the table's ownership to make
 * a trigger such a one, nobody who was only granted TRIGGER can run anything
 * here, or have the table refused by hanging his own code on it.
 *
 * With whose rights.  The table owner's, in a restricted operation and with
 * pg_catalog as search_path, again as domowf's own statements.  Not the caller's:
 * he has no right on the table, so that a trigger which copies the row would
 * fail for him, and one of somebody else's would run with his.  It gives nobody
 * anything, since all of a trigger's code belongs to whoever has the rights of
 * the table's owner anyway (hung.h), and nothing of the caller's is found by
 * that search_path.
 *
 * A trigger does more only where it may: one that suppresses the row, or
 * changes what domowf has written into it, is an error (27000), since what
 * follows rests on the row.  Columns that somebody has added it may fill.
 */
#ifndef DWF_FIRING_H
#define DWF_FIRING_H

#include "commands/trigger.h"
#include "nodes/execnodes.h"

/* One row that is written, from dwf_firing_begin() to dwf_firing_end(). */
typedef struct DwfFiring
{
	EState	   *estate;
	ResultRelInfo *target;
	CmdType		command;
	TransitionCaptureState *capture;	/* for transition tables; NULL: none */
} DwfFiring;

/*
 * Makes `target` ready to be written with its triggers: leaves those that fire.
 * `target` is to have been made with the range table that this gives `estate`,
 * by dwf_firing_init().
 */
extern void dwf_firing_init(EState *estate, Relation rel);
extern void dwf_firing_choose(EState *estate, ResultRelInfo * target);

/*
 * Each row is a statement of its own to triggers FOR EACH STATEMENT.  All of
 * these do nothing, and cost nothing, where `target` has no triggers.  They set
 * es_output_cid, with which the row is to be written.
 */
extern void dwf_firing_begin(DwfFiring *firing, EState *estate,
							 ResultRelInfo * target, CmdType command);
extern void dwf_firing_end(DwfFiring *firing);

/*
 * Before and after the row is written.  `row` may be changed by triggers, and
 * then points to per-tuple memory.  `tid` is of the row that was there, which
 * this transaction has locked; `changed` are the columns to be changed, by
 * attribute number less FirstLowInvalidHeapAttributeNumber.
 */
extern void dwf_firing_before_insert(DwfFiring *firing, TupleTableSlot *row);
extern void dwf_firing_after_insert(DwfFiring *firing, TupleTableSlot *row,
									List *recheck);
extern void dwf_firing_before_update(DwfFiring *firing, ItemPointer tid,
									 Bitmapset *changed, TupleTableSlot *row);
extern void dwf_firing_after_update(DwfFiring *firing, ItemPointer tid,
									TupleTableSlot *row);
extern void dwf_firing_before_delete(DwfFiring *firing, ItemPointer tid);
extern void dwf_firing_after_delete(DwfFiring *firing, ItemPointer tid);

#endif							/* DWF_FIRING_H */
