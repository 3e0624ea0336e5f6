/*
 * table_write.c
 *	  How rows of domowf's own tables are written.
 *
 * What an ordinary statement would see to is seen to here: indexes, the checks
 * that somebody has added, and the triggers that fire (firing.h).  objects.c
 * has refused what cannot be: foreign keys, rules, constraints that are checked
 * when all is over.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/firing.h"
#include "base/table.h"
#include "base/testpoint.h"

#include "access/detoast.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define SCHEMA	"domowf"

/* So many rows are appended in one go. */
#define MAX_APPENDED	32

/*
 * Bytes of values that a B-tree takes in any case: what it holds of an entry is
 * a third of a page.
 */
#define SHORT_ENTRY	(BLCKSZ / 8)

static void store_row(DwfTable *table, TupleTableSlot *others);
static bool is_checked(const DwfTable *table);
static bool fires(const DwfTable *table);
static void keep_own_columns(const DwfTable *table);
static Bitmapset *find_changed(const DwfTable *table);
static List *insert_entries(DwfTable *table, TupleTableSlot *row,
							bool *conflict);
static void insert_appended(DwfTable *table);
static bool holds_long(const DwfTable *table, const IndexInfo * index);
static bool try_new(DwfTable *table);
static bool take_conflicting(DwfTable *table, ItemPointer tid);
static bool is_free(const DwfTable *table);
static void lock_for_triggers(DwfTable *table, LockTupleMode mode);
static TM_Result lock_found(DwfTable *table, LockTupleMode mode,
							LockWaitPolicy policy);
static void refuse_changed(const DwfTable *table, TM_Result result);

/*
 * Makes the row at hand a tuple; per-row memory begins anew.  Columns that are
 * not the extension's are as in `others`, or null.
 */
static void
store_row(DwfTable *table, TupleTableSlot *others)
{
	TupleTableSlot *row = table->row;
	int			natts = RelationGetDescr(table->rel)->natts;

	ResetPerTupleExprContext(table->estate);
	ExecClearTuple(row);
	memset(row->tts_isnull, true, natts * sizeof(bool));
	if (others != NULL)
	{
		slot_getallattrs(others);
		memcpy(row->tts_values, others->tts_values, natts * sizeof(Datum));
		memcpy(row->tts_isnull, others->tts_isnull, natts * sizeof(bool));
	}
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (table->places[i] < 0)
			continue;
		row->tts_values[table->places[i]] = table->values[i];
		row->tts_isnull[table->places[i]] = table->nulls[i];
	}
	ExecStoreVirtualTuple(row);
}

/* Whether somebody has added a check. */
static bool
is_checked(const DwfTable *table)
{
	const		TupleConstr *constr = RelationGetDescr(table->rel)->constr;

	return constr != NULL && constr->num_check > 0;
}

static bool
fires(const DwfTable *table)
{
	return table->target->ri_TrigDesc != NULL;
}

/* Triggers may have changed what is not the extension's, and nothing else. */
static void
keep_own_columns(const DwfTable *table)
{
	TupleDesc	desc = RelationGetDescr(table->rel);

	if (!fires(table))
		return;
	slot_getallattrs(table->row);
	for (int i = 0; i < table->ncolumns; i++)
	{
		int			place = table->places[i];
		Form_pg_attribute column;

		if (place < 0)
			continue;
		column = TupleDescAttr(desc, place);
		if (table->row->tts_isnull[place] == table->nulls[i] &&
			(table->nulls[i] ||
			 datum_image_eq(table->row->tts_values[place], table->values[i],
							column->attbyval, column->attlen)))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("a trigger on %s.%s changes column \"%s\", which is domowf's",
						SCHEMA, RelationGetRelationName(table->rel),
						NameStr(column->attname)),
				 errhint("It may fill columns that you have added.")));
	}
}

/*
 * The columns in which the row at hand is another than the one that was found,
 * in per-tuple memory: what an UPDATE would have set.
 */
static Bitmapset *
find_changed(const DwfTable *table)
{
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(table->estate));
	TupleDesc	desc = RelationGetDescr(table->rel);
	const TupleTableSlot *found = table->found;
	Bitmapset  *changed = NULL;

	for (int i = 0; i < table->ncolumns; i++)
	{
		int			place = table->places[i];

		if (place < 0 ||
			(found->tts_isnull[place] == table->nulls[i] &&
			 (table->nulls[i] ||
			  datum_image_eq(found->tts_values[place], table->values[i],
							 TupleDescAttr(desc, place)->attbyval,
							 TupleDescAttr(desc, place)->attlen))))
			continue;
		changed = bms_add_member(changed,
								 place + 1 - FirstLowInvalidHeapAttributeNumber);
	}
	MemoryContextSwitchTo(old);
	return changed;
}

/*
 * The entries of a row that was put in, for a try where `conflict` is to be set.
 * Which are to be looked at again.
 */
static List *
insert_entries(DwfTable *table, TupleTableSlot *row, bool *conflict)
{
	Relation   *indexes;
	List	   *recheck;

	if (table->target->ri_NumIndices == 0)
		return NIL;
	indexes = dwf_table_leave_out(table, row);
	recheck = dwf_insert_index_tuples(table->target, row, table->estate,
									  conflict != NULL, conflict);
	dwf_table_take_in(table, indexes);
	return recheck;
}

void
dwf_table_insert(DwfTable *table, bool checked)
{
	DwfTableCaller caller;
	DwfFiring	firing;
	List	   *recheck;

	store_row(table, NULL);
	dwf_table_act_as_owner(table, &caller);
	dwf_firing_begin(&firing, table->estate, table->target, CMD_INSERT);
	dwf_firing_before_insert(&firing, table->row);
	keep_own_columns(table);
	if ((checked && RelationGetDescr(table->rel)->constr != NULL) ||
		is_checked(table))
		ExecConstraints(table->target, table->row, table->estate);
	table_tuple_insert(table->rel, table->row, table->estate->es_output_cid, 0,
					   NULL);
	recheck = insert_entries(table, table->row, NULL);
	dwf_firing_after_insert(&firing, table->row, recheck);
	list_free(recheck);
	dwf_firing_end(&firing);
	dwf_table_act_as_caller(&caller);
	dwf_table_clear(table);
}

void
dwf_table_bring_back(DwfTable *table, TupleTableSlot *row)
{
	DwfTableCaller caller;

	ResetPerTupleExprContext(table->estate);
	dwf_table_act_as_owner(table, &caller);
	table_tuple_insert(table->rel, row, GetCurrentCommandId(true),
					   TABLE_INSERT_FROZEN, NULL);
	list_free(insert_entries(table, row, NULL));
	dwf_table_act_as_caller(&caller);
}

bool
dwf_table_may_refuse(const DwfTable *table)
{
	if (fires(table) || is_checked(table))
		return true;
	for (int i = 0; i < table->target->ri_NumIndices; i++)
	{
		const		IndexInfo *index = table->target->ri_IndexRelationInfo[i];

		if (index->ii_Expressions != NIL || index->ii_Predicate != NIL ||
			index->ii_ExclusionOps != NULL)
			return true;
		if (index->ii_NumIndexKeyAttrs == 1 &&
			index->ii_IndexAttrNumbers[0] == table->places[0] + 1)
			continue;
		if (index->ii_Unique || holds_long(table, index))
			return true;
	}
	return false;
}

/*
 * Whether an index could refuse the row at hand for the length of its values: a
 * B-tree none whose values are short.
 */
static bool
holds_long(const DwfTable *table, const IndexInfo * index)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	Size		most = index->ii_Am == BTREE_AM_OID ? SHORT_ENTRY : 0;
	Size		size = 0;

	for (int i = 0; i < table->ncolumns; i++)
	{
		if (table->nulls[i] || table->places[i] < 0 ||
			TupleDescAttr(desc, table->places[i])->attlen != -1)
			continue;
		for (int j = 0; j < index->ii_NumIndexAttrs; j++)
		{
			if (index->ii_IndexAttrNumbers[j] == table->places[i] + 1)
				size += toast_raw_datum_size(table->values[i]);
		}
	}
	return size > most;
}

void
dwf_table_append(DwfTable *table)
{
	MemoryContext old = MemoryContextSwitchTo(table->context);
	TupleTableSlot **slot;

	Assert(!fires(table) && !is_checked(table));
	if (table->appended_desc == NULL)
	{
		/* a copy is nobody's who ends before the table is closed (kept.h) */
		table->appended_desc = CreateTupleDescCopy(RelationGetDescr(table->rel));
		table->appended = palloc0(MAX_APPENDED * sizeof(*table->appended));
	}
	slot = &table->appended[table->nappended];
	if (*slot == NULL)
		*slot = MakeSingleTupleTableSlot(table->appended_desc, &TTSOpsHeapTuple);
	store_row(table, NULL);
	ExecStoreHeapTuple(ExecCopySlotHeapTuple(table->row), *slot, true);
	MemoryContextSwitchTo(old);
	dwf_table_clear(table);
	if (++table->nappended == MAX_APPENDED)
		insert_appended(table);
}

/* Of a table that fires nothing and checks nothing. */
static void
insert_appended(DwfTable *table)
{
	DwfTableCaller caller;

	if (table->nappended == 0)
		return;
	dwf_table_act_as_owner(table, &caller);
	table_multi_insert(table->rel, table->appended, table->nappended,
					   GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < table->nappended; i++)
	{
		ResetPerTupleExprContext(table->estate);
		list_free(insert_entries(table, table->appended[i], NULL));
		ExecClearTuple(table->appended[i]);
	}
	dwf_table_act_as_caller(&caller);
	table->nappended = 0;
}

void
dwf_table_will_rest(DwfTable *table)
{
	table->indexes = AllocSetContextCreate(table->context, "domowf indexes",
										   ALLOCSET_SMALL_SIZES);
	for (int i = 0; i < table->target->ri_NumIndices; i++)
		table->target->ri_IndexRelationInfo[i]->ii_Context = table->indexes;
}

void
dwf_table_rest(DwfTable *table)
{
	insert_appended(table);
	for (int i = 0; i < table->target->ri_NumIndices; i++)
		dwf_index_let_go(table->target->ri_IndexRelationDescs[i],
						 table->target->ri_IndexRelationInfo[i]);
	if (DWF_INDEX_KEEPS_PAGES)
		MemoryContextReset(table->indexes);
	dwf_table_clear(table);
}

void
dwf_table_end_append(DwfTable *table)
{
	insert_appended(table);
	for (int i = 0; table->appended_desc != NULL && i < MAX_APPENDED; i++)
	{
		if (table->appended[i] != NULL)
			ExecDropSingleTupleTableSlot(table->appended[i]);
	}
}

/*
 * As the executor does INSERT ... ON CONFLICT DO NOTHING: the row is put in
 * for a try, which others that try the same wait for, and taken back where an
 * index has one like it by then.  BEFORE triggers fire in any case, once.
 */
bool
dwf_table_insert_new(DwfTable *table)
{
	DwfTableCaller caller;
	DwfFiring	firing;
	ItemPointerData tid;
	HeapTuple	kept = NULL;
	bool		is_new;

	/* a serializable transaction looks at the row in the way with it */
	table->estate->es_snapshot = GetActiveSnapshot();
	store_row(table, NULL);
	dwf_table_act_as_owner(table, &caller);
	dwf_firing_begin(&firing, table->estate, table->target, CMD_INSERT);
	dwf_firing_before_insert(&firing, table->row);
	keep_own_columns(table);
	if (is_checked(table))
		ExecConstraints(table->target, table->row, table->estate);
	if (fires(table))
		kept = ExecCopySlotHeapTuple(table->row);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();

		/* afresh: a try leaves the slot's own copies in it */
		if (kept != NULL)
			ExecForceStoreHeapTuple(kept, table->row, false);
		else
			store_row(table, NULL);
		is_new = dwf_check_index_constraints(table->target, table->row,
											 table->estate, &tid);
		if (is_new ? try_new(table) : take_conflicting(table, &tid))
			break;
	}
	if (is_new)
		dwf_firing_after_insert(&firing, table->row, NIL);
	dwf_firing_end(&firing);
	dwf_table_act_as_caller(&caller);
	if (is_new)
		dwf_table_clear(table);
	return is_new;
}

/* Puts a row in; false: it is taken back, for there is one like it by now. */
static bool
try_new(DwfTable *table)
{
	bool		conflict = false;
	uint32		token;

	DWF_TESTPOINT("before-key");
	token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
	table_tuple_insert_speculative(table->rel, table->row,
								   table->estate->es_output_cid, 0, NULL,
								   token);
	list_free(insert_entries(table, table->row, &conflict));
	table_tuple_complete_speculative(table->rel, table->row, token, !conflict);
	SpeculativeInsertionLockRelease(GetCurrentTransactionId());
	return !conflict;
}

/* Takes the row in the way at hand, unless it is there no longer. */
static bool
take_conflicting(DwfTable *table, ItemPointer tid)
{
	bool		is_own;

	if (table->found == NULL)
		table->found = table_slot_create(table->rel, NULL);
	if (!table_tuple_fetch_row_version(table->rel, tid, SnapshotSelf,
									   table->found))
		return false;
	if (IsolationUsesXactSnapshot() &&
		!table_tuple_satisfies_snapshot(table->rel, table->found,
										GetTransactionSnapshot()))
	{
		Datum		xmin = slot_getsysattr(table->found,
										   MinTransactionIdAttributeNumber,
										   &is_own);

		is_own = TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
		if (!is_own)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent update")));
	}
	dwf_table_take_found(table);
	return true;
}

bool
dwf_table_update(DwfTable *table, bool wait)
{
	ItemPointer tid = &table->found->tts_tid;
	TM_FailureData failure;
	LockTupleMode mode;
	DwfUpdatedIndexes updated;
	Relation   *indexes;
	TM_Result	result;
	DwfTableCaller caller;
	DwfFiring	firing;

	if (!wait && !is_free(table) &&
		lock_found(table, LockTupleNoKeyExclusive, LockWaitSkip) != TM_Ok)
		return false;
	if (wait)
		lock_for_triggers(table, LockTupleNoKeyExclusive);
	store_row(table, table->found);
	dwf_table_act_as_owner(table, &caller);
	dwf_firing_begin(&firing, table->estate, table->target, CMD_UPDATE);
	dwf_firing_before_update(&firing, tid,
							 fires(table) ? find_changed(table) : NULL,
							 table->row);
	keep_own_columns(table);
	if (RelationGetDescr(table->rel)->constr != NULL)
		ExecConstraints(table->target, table->row, table->estate);
	result = dwf_tuple_update(table->rel, tid, table->row,
							  table->estate->es_output_cid, table->snapshot,
							  &failure, &mode, &updated);
	if (result != TM_Ok && (wait || fires(table)))
		refuse_changed(table, result);
	if (result != TM_Ok)
	{
		dwf_table_act_as_caller(&caller);
		return false;
	}
	table->written = table->row->tts_tid;
	if (table->target->ri_NumIndices > 0)
	{
		indexes = dwf_table_leave_out(table, table->row);
		dwf_update_index_tuples(table->target, table->row, table->estate,
								updated);
		dwf_table_take_in(table, indexes);
	}
	dwf_firing_after_update(&firing, tid, table->row);
	dwf_firing_end(&firing);
	dwf_table_act_as_caller(&caller);
	return true;
}

/*
 * Whether nobody has ever locked, changed or deleted the version that was found,
 * by its page as it is now: then an update need not lock it first, which would
 * be a record of WAL more.  Triggers need it locked.
 */
static bool
is_free(const DwfTable *table)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(table->found, false, NULL);

	return !fires(table) &&
		(tuple->t_data->t_infomask & HEAP_XMAX_INVALID) != 0;
}

/*
 * BEFORE triggers get a row that nobody else changes: the executor would follow
 * it to its newest version otherwise.
 */
static void
lock_for_triggers(DwfTable *table, LockTupleMode mode)
{
	TM_Result	result;

	if (!fires(table))
		return;
	result = lock_found(table, mode, LockWaitBlock);
	if (result != TM_Ok)
		refuse_changed(table, result);
}

bool
dwf_table_is_written_here(const DwfTable *table)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(table->found, false, NULL);

	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
}

bool
dwf_table_lock(DwfTable *table)
{
	TM_Result	result = lock_found(table, LockTupleExclusive, LockWaitBlock);

	return result != TM_Updated && result != TM_Deleted;
}

/*
 * The version that was found, not a newer one.  For an update by itself, since
 * heap_update() has no way not to wait.
 */
static TM_Result
lock_found(DwfTable *table, LockTupleMode mode, LockWaitPolicy policy)
{
	ItemPointerData tid = table->found->tts_tid;
	TM_FailureData failure;

	if (table->locked == NULL)
		table->locked = table_slot_create(table->rel, NULL);
	return table_tuple_lock(table->rel, &tid, table->snapshot, table->locked,
							GetCurrentCommandId(true), mode, policy, 0,
							&failure);
}

void
dwf_table_delete(DwfTable *table)
{
	ItemPointer tid = &table->found->tts_tid;
	TM_FailureData failure;
	TM_Result	result;
	DwfTableCaller caller;
	DwfFiring	firing;

	lock_for_triggers(table, LockTupleExclusive);
	dwf_table_act_as_owner(table, &caller);
	dwf_firing_begin(&firing, table->estate, table->target, CMD_DELETE);
	dwf_firing_before_delete(&firing, tid);
	result = dwf_tuple_delete(table->rel, tid, table->estate->es_output_cid,
							  table->snapshot, &failure);
	if (result != TM_Ok)
		refuse_changed(table, result);
	dwf_firing_after_delete(&firing, tid);
	dwf_firing_end(&firing);
	dwf_table_act_as_caller(&caller);
}

/* By somebody else, or by a trigger that is on the row itself. */
static void
refuse_changed(const DwfTable *table, TM_Result result)
{
	if (result == TM_SelfModified)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("a trigger on %s.%s changes the row for which it fires",
						SCHEMA, RelationGetRelationName(table->rel))));
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("a row of %s.%s was changed at the same time", SCHEMA,
					RelationGetRelationName(table->rel))));
}
