/*
 * table.c
 *	  Rows of domowf's own tables, read and written without going through SQL.
 *
 * Whoever starts a workflow needs no right on domowf's tables, and a trigger
 * or a rule that somebody put on them must not run with the rights that the
 * writing needs.  Below the level of SQL both come by themselves.  It costs a
 * third of a prepared statement, no plan can turn bad when a table grows
 * thousandfold in a transaction, and no setting has to be changed for it: to
 * set session_replication_role throws away every plan of the session.
 *
 * Rows are found by table_scan.c.  Neither must know what the rows mean.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/objects.h"
#include "base/table.h"
#include "base/testpoint.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define SCHEMA	"domowf"

/* So many rows are appended in one go. */
#define MAX_APPENDED	32

/* Who has called, while something is done as a table's owner. */
typedef struct Caller
{
	Oid			user;
	int			security;
} Caller;

static void find_places(DwfTable *table, const char *name);
static int	find_place(TupleDesc desc, const char *column, int guess);
static bool is_at(TupleDesc desc, int place, const char *column);
static void act_as_owner(const DwfTable *table, Caller *caller);
static void act_as_caller(const Caller *caller);
static void store_row(DwfTable *table, TupleTableSlot *others);
static void insert_appended(DwfTable *table);
static bool holds_long(const DwfTable *table, const IndexInfo * index);
static bool take_conflicting(DwfTable *table, ItemPointer tid);
static TM_Result lock_found(DwfTable *table, LockTupleMode mode,
							LockWaitPolicy policy);
static void refuse_changed(const DwfTable *table);

Oid
dwf_table_oid(const char *table)
{
	return dwf_object_oid(table);
}

/*
 * A table is only known not to have changed since it was found right once it
 * is locked, which is when this process is told of changes.
 */
void
dwf_table_open(DwfTable *table, const char *name, int ncolumns,
			   bool takes_new)
{
	Caller		caller;

	memset(table, 0, sizeof(*table));
	table->context = CurrentMemoryContext;
	for (;;)
	{
		Oid			oid = dwf_object_require(name, NULL);

		table->rel = try_table_open(oid, RowExclusiveLock);
		if (dwf_object_require(name, NULL) == oid && table->rel != NULL)
			break;
		if (table->rel != NULL)
			table_close(table->rel, RowExclusiveLock);
	}

	act_as_owner(table, &caller);
	table->estate = CreateExecutorState();
	table->target = makeNode(ResultRelInfo);
	InitResultRelInfo(table->target, table->rel, 0, NULL, 0);
	ExecOpenIndices(table->target, takes_new);
	act_as_caller(&caller);
	table->row = MakeSingleTupleTableSlot(RelationGetDescr(table->rel),
										  &TTSOpsVirtual);
	find_places(table, name);
	Assert(table->ncolumns == ncolumns);
	dwf_table_clear(table);
}

/* Each column by its name, mostly where the script has put it. */
static void
find_places(DwfTable *table, const char *name)
{
	const DwfColumn *columns = dwf_object_columns(name, &table->ncolumns);
	TupleDesc	desc = RelationGetDescr(table->rel);

	table->values = palloc0(sizeof(Datum) * table->ncolumns);
	table->nulls = palloc(sizeof(bool) * table->ncolumns);
	table->places = palloc(sizeof(int) * table->ncolumns);
	for (int i = 0; i < table->ncolumns; i++)
		table->places[i] = dwf_columns_has(&columns[i]) ?
			find_place(desc, columns[i].name, i) : -1;
}

static int
find_place(TupleDesc desc, const char *column, int guess)
{
	if (is_at(desc, guess, column))
		return guess;
	for (int i = 0; i < desc->natts; i++)
	{
		if (is_at(desc, i, column))
			return i;
	}
	return -1;
}

static bool
is_at(TupleDesc desc, int place, const char *column)
{
	return place < desc->natts && !TupleDescAttr(desc, place)->attisdropped &&
		strcmp(NameStr(TupleDescAttr(desc, place)->attname), column) == 0;
}

bool
dwf_table_has(const DwfTable *table, int column)
{
	return table->places[column] >= 0;
}

/*
 * What somebody has put on a table (an index on an expression, a constraint)
 * runs with the rights of the table's owner, and not with those of whoever
 * happens to write a row: objects.c sees to it that who wrote it has them
 * anyway.
 */
static void
act_as_owner(const DwfTable *table, Caller *caller)
{
	GetUserIdAndSecContext(&caller->user, &caller->security);
	SetUserIdAndSecContext(table->rel->rd_rel->relowner,
						   caller->security | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
}

/* After an error the end of the (sub)transaction does so. */
static void
act_as_caller(const Caller *caller)
{
	SetUserIdAndSecContext(caller->user, caller->security);
}

void
dwf_table_check(const char *name)
{
	Relation	rel = table_open(dwf_object_require(name, NULL),
								 AccessShareLock);

	(void) dwf_object_require(name, NULL);
	table_close(rel, AccessShareLock);
}

void
dwf_table_close(DwfTable *table)
{
	insert_appended(table);
	for (int i = 0; table->appended != NULL && i < MAX_APPENDED; i++)
	{
		if (table->appended[i] != NULL)
			ExecDropSingleTupleTableSlot(table->appended[i]);
	}
	if (table->scan != NULL)
		index_endscan(table->scan);
	if (table->found != NULL)
		ExecDropSingleTupleTableSlot(table->found);
	if (table->locked != NULL)
		ExecDropSingleTupleTableSlot(table->locked);
	if (table->snapshot != NULL)
		UnregisterSnapshot(table->snapshot);
	ExecDropSingleTupleTableSlot(table->row);
	pfree(table->values);
	pfree(table->nulls);
	pfree(table->places);
	ExecCloseIndices(table->target);
	FreeExecutorState(table->estate);
	table_close(table->rel, NoLock);
}

void
dwf_table_set(DwfTable *table, int column, Datum value)
{
	table->values[column] = value;
	table->nulls[column] = false;
}

void
dwf_table_set_text(DwfTable *table, int column, const char *text)
{
	table->nulls[column] = text == NULL;
	if (text != NULL)
		table->values[column] = CStringGetTextDatum(text);
}

bool
dwf_table_is_text(const DwfTable *table, int column, const char *expected)
{
	const		text *value;

	if (table->nulls[column])
		return false;
	value = DatumGetTextPP(table->values[column]);
	return VARSIZE_ANY_EXHDR(value) == strlen(expected) &&
		memcmp(VARDATA_ANY(value), expected, strlen(expected)) == 0;
}

void
dwf_table_clear(DwfTable *table)
{
	ExecClearTuple(table->row);
	memset(table->nulls, true, table->ncolumns * sizeof(bool));
}

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

void
dwf_table_insert(DwfTable *table, bool checked)
{
	Caller		caller;

	store_row(table, NULL);
	act_as_owner(table, &caller);
	if (checked && RelationGetDescr(table->rel)->constr != NULL)
		ExecConstraints(table->target, table->row, table->estate);
	table_tuple_insert(table->rel, table->row, GetCurrentCommandId(true), 0,
					   NULL);
	if (table->target->ri_NumIndices > 0)
		list_free(dwf_insert_index_tuples(table->target, table->row,
										  table->estate, false, NULL));
	act_as_caller(&caller);
	dwf_table_clear(table);
}

bool
dwf_table_may_refuse(const DwfTable *table)
{
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

/* Whether the row at hand has a value of any length for an index. */
static bool
holds_long(const DwfTable *table, const IndexInfo * index)
{
	TupleDesc	desc = RelationGetDescr(table->rel);

	for (int i = 0; i < table->ncolumns; i++)
	{
		if (table->nulls[i] || table->places[i] < 0 ||
			TupleDescAttr(desc, table->places[i])->attlen != -1)
			continue;
		for (int j = 0; j < index->ii_NumIndexAttrs; j++)
		{
			if (index->ii_IndexAttrNumbers[j] == table->places[i] + 1)
				return true;
		}
	}
	return false;
}

void
dwf_table_append(DwfTable *table)
{
	MemoryContext old = MemoryContextSwitchTo(table->context);
	TupleDesc	desc = RelationGetDescr(table->rel);
	TupleTableSlot **slot;

	if (table->appended == NULL)
		table->appended = palloc0(MAX_APPENDED * sizeof(*table->appended));
	slot = &table->appended[table->nappended];
	if (*slot == NULL)
		*slot = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	store_row(table, NULL);
	ExecStoreHeapTuple(ExecCopySlotHeapTuple(table->row), *slot, true);
	MemoryContextSwitchTo(old);
	dwf_table_clear(table);
	if (++table->nappended == MAX_APPENDED)
		insert_appended(table);
}

/* Inserts what was appended. */
static void
insert_appended(DwfTable *table)
{
	Caller		caller;

	if (table->nappended == 0)
		return;
	act_as_owner(table, &caller);
	table_multi_insert(table->rel, table->appended, table->nappended,
					   GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < table->nappended; i++)
	{
		ResetPerTupleExprContext(table->estate);
		if (table->target->ri_NumIndices > 0)
			list_free(dwf_insert_index_tuples(table->target,
											  table->appended[i],
											  table->estate, false, NULL));
		ExecClearTuple(table->appended[i]);
	}
	act_as_caller(&caller);
	table->nappended = 0;
}

/*
 * As the executor does INSERT ... ON CONFLICT DO NOTHING: the row is put in
 * for a try, which others that try the same wait for, and taken back where an
 * index has one like it by then.
 */
bool
dwf_table_insert_new(DwfTable *table)
{
	Caller		caller;

	/* a serializable transaction looks at the row in the way with it */
	table->estate->es_snapshot = GetActiveSnapshot();
	act_as_owner(table, &caller);
	for (;;)
	{
		ItemPointerData tid;
		bool		conflict = false;
		uint32		token;

		CHECK_FOR_INTERRUPTS();

		/* afresh: a try leaves the slot's own copies in it */
		store_row(table, NULL);
		if (!dwf_check_index_constraints(table->target, table->row,
										 table->estate, &tid))
		{
			if (take_conflicting(table, &tid))
			{
				act_as_caller(&caller);
				return false;
			}
			continue;			/* it has gone away meanwhile */
		}
		DWF_TESTPOINT("before-key");
		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
		table_tuple_insert_speculative(table->rel, table->row,
									   GetCurrentCommandId(true), 0, NULL,
									   token);
		list_free(dwf_insert_index_tuples(table->target, table->row,
										  table->estate, true, &conflict));
		table_tuple_complete_speculative(table->rel, table->row, token,
										 !conflict);
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
		if (!conflict)
			break;
	}
	act_as_caller(&caller);
	dwf_table_clear(table);
	return true;
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

void
dwf_table_take_found(DwfTable *table)
{
	slot_getallattrs(table->found);
	dwf_table_clear(table);
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (table->places[i] < 0)
			continue;
		table->values[i] = table->found->tts_values[table->places[i]];
		table->nulls[i] = table->found->tts_isnull[table->places[i]];
	}
}

bool
dwf_table_update(DwfTable *table, bool wait)
{
	TM_FailureData failure;
	LockTupleMode mode;
	DwfUpdatedIndexes updated;
	TM_Result	result;
	Caller		caller;

	if (!wait &&
		lock_found(table, LockTupleNoKeyExclusive, LockWaitSkip) != TM_Ok)
		return false;
	store_row(table, table->found);
	act_as_owner(table, &caller);
	if (RelationGetDescr(table->rel)->constr != NULL)
		ExecConstraints(table->target, table->row, table->estate);
	result = dwf_tuple_update(table->rel, &table->found->tts_tid, table->row,
							  table->snapshot, &failure, &mode, &updated);
	if (result != TM_Ok)
		refuse_changed(table);
	if (table->target->ri_NumIndices > 0)
		dwf_update_index_tuples(table->target, table->row, table->estate,
								updated);
	act_as_caller(&caller);
	return true;
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
	TM_FailureData failure;

	if (dwf_tuple_delete(table->rel, &table->found->tts_tid, table->snapshot,
						 &failure) != TM_Ok)
		refuse_changed(table);
}

static void
refuse_changed(const DwfTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("a row of %s.%s was changed at the same time", SCHEMA,
					RelationGetRelationName(table->rel))));
}
