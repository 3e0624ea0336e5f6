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

#include "compat.h"
#include "extension.h"
#include "table.h"
#include "testpoint.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
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

static void refuse_fault(Relation rel, int ncolumns);
static char *describe_fault(Relation rel, int ncolumns);
static void store_row(DwfTable *table);
static void insert_appended(DwfTable *table);
static bool take_conflicting(DwfTable *table, ItemPointer tid);
static bool lock_found(DwfTable *table);
static void refuse_changed(const DwfTable *table);

Oid
dwf_table_oid(const char *table)
{
	Oid			schema = get_namespace_oid(SCHEMA, true);

	return OidIsValid(schema) ? get_relname_relid(table, schema) : InvalidOid;
}

void
dwf_table_open(DwfTable *table, const char *name, int ncolumns,
			   bool takes_new)
{
	Oid			oid = dwf_table_oid(name);
	TupleDesc	desc;

	if (!OidIsValid(oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s.%s does not exist", SCHEMA, name)));
	memset(table, 0, sizeof(*table));
	table->context = CurrentMemoryContext;
	table->rel = table_open(oid, RowExclusiveLock);
	desc = RelationGetDescr(table->rel);
	if (desc->natts != ncolumns)
		refuse_fault(table->rel, ncolumns);

	table->estate = CreateExecutorState();
	table->target = makeNode(ResultRelInfo);
	InitResultRelInfo(table->target, table->rel, 0, NULL, 0);
	ExecOpenIndices(table->target, takes_new);
	table->row = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	table->values = table->row->tts_values;
	table->nulls = table->row->tts_isnull;
	dwf_table_clear(table);
}

static void
refuse_fault(Relation rel, int ncolumns)
{
	char	   *fault = describe_fault(rel, ncolumns);

	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_internal("%s", fault),
				 errdetail("All columns of domowf's own must be there; others are left null."),
				 errhint("Restart the server after an update of the extension; otherwise undo the change of the table.")));
}

void
dwf_table_check(const char *name, int ncolumns)
{
	Relation	rel = table_open(dwf_table_oid(name), AccessShareLock);

	refuse_fault(rel, ncolumns);
	table_close(rel, AccessShareLock);
}

/* dwf_table_find_fault(). */
static char *
describe_fault(Relation rel, int ncolumns)
{
	const char *name = RelationGetRelationName(rel);
	TupleDesc	desc = RelationGetDescr(rel);

	if (desc->natts != ncolumns && !dwf_extension_is_served())
		return dwf_extension_describe_skew();
	if (desc->natts < ncolumns)
		return psprintf("table %s.%s has %d columns, expected %d", SCHEMA,
						name, desc->natts, ncolumns);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (i < ncolumns && column->attisdropped)
			return psprintf("table %s.%s has lost its column number %d",
							SCHEMA, name, i + 1);
		if (i >= ncolumns && !column->attisdropped &&
			(column->attnotnull || column->atthasdef))
			return psprintf("column \"%s\" of table %s.%s %s",
							NameStr(column->attname), SCHEMA, name,
							column->attnotnull ? "is NOT NULL" :
							"has a default");
	}
	return NULL;
}

char *
dwf_table_find_fault(const char *name, int ncolumns)
{
	Relation	rel = table_open(dwf_table_oid(name), AccessShareLock);
	char	   *fault = describe_fault(rel, ncolumns);

	table_close(rel, AccessShareLock);
	return fault;
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
	int			natts = RelationGetDescr(table->rel)->natts;

	ExecClearTuple(table->row);
	memset(table->nulls, true, natts * sizeof(bool));
}

/* Makes the row at hand a tuple; per-row memory begins anew. */
static void
store_row(DwfTable *table)
{
	ResetPerTupleExprContext(table->estate);
	ExecClearTuple(table->row);
	ExecStoreVirtualTuple(table->row);
}

void
dwf_table_insert(DwfTable *table, bool checked)
{
	store_row(table);
	if (checked && RelationGetDescr(table->rel)->constr != NULL)
		ExecConstraints(table->target, table->row, table->estate);
	table_tuple_insert(table->rel, table->row, GetCurrentCommandId(true), 0,
					   NULL);
	if (table->target->ri_NumIndices > 0)
		list_free(dwf_insert_index_tuples(table->target, table->row,
										  table->estate, false, NULL));
	dwf_table_clear(table);
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
	ExecStoreHeapTuple(heap_form_tuple(desc, table->values, table->nulls),
					   *slot, true);
	MemoryContextSwitchTo(old);
	dwf_table_clear(table);
	if (++table->nappended == MAX_APPENDED)
		insert_appended(table);
}

/* Inserts what was appended. */
static void
insert_appended(DwfTable *table)
{
	if (table->nappended == 0)
		return;
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
	Size		size = RelationGetDescr(table->rel)->natts * sizeof(Datum);
	Datum	   *values = palloc(size);

	memcpy(values, table->values, size);
	for (;;)
	{
		ItemPointerData tid;
		bool		conflict = false;
		uint32		token;

		CHECK_FOR_INTERRUPTS();

		/* a try has left the slot's own copies there, which go with it */
		ExecClearTuple(table->row);
		memcpy(table->values, values, size);
		store_row(table);
		if (!dwf_check_index_constraints(table->target, table->row,
										 table->estate, &tid))
		{
			if (take_conflicting(table, &tid))
				return false;
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
	int			natts = RelationGetDescr(table->rel)->natts;

	slot_getallattrs(table->found);
	ExecClearTuple(table->row);
	memcpy(table->values, table->found->tts_values, natts * sizeof(Datum));
	memcpy(table->nulls, table->found->tts_isnull, natts * sizeof(bool));
}

bool
dwf_table_update(DwfTable *table, bool wait)
{
	TM_FailureData failure;
	LockTupleMode mode;
	DwfUpdatedIndexes updated;
	TM_Result	result;

	store_row(table);
	if (RelationGetDescr(table->rel)->constr != NULL)
		ExecConstraints(table->target, table->row, table->estate);
	if (!wait && !lock_found(table))
		return false;
	result = table_tuple_update(table->rel, &table->found->tts_tid, table->row,
								GetCurrentCommandId(true), table->snapshot,
								InvalidSnapshot, true, &failure, &mode,
								&updated);
	if (result != TM_Ok)
		refuse_changed(table);
	if (table->target->ri_NumIndices > 0)
		dwf_update_index_tuples(table->target, table->row, table->estate,
								updated);
	return true;
}

/*
 * Locks the row that was found for an update that changes no key, unless
 * somebody holds or has changed it.  By itself, since heap_update() has no way
 * not to wait.
 */
static bool
lock_found(DwfTable *table)
{
	ItemPointerData tid = table->found->tts_tid;
	TM_FailureData failure;

	if (table->locked == NULL)
		table->locked = table_slot_create(table->rel, NULL);
	return table_tuple_lock(table->rel, &tid, table->snapshot, table->locked,
							GetCurrentCommandId(true),
							LockTupleNoKeyExclusive, LockWaitSkip, 0,
							&failure) == TM_Ok;
}

void
dwf_table_delete(DwfTable *table)
{
	TM_FailureData failure;

	if (table_tuple_delete(table->rel, &table->found->tts_tid,
						   GetCurrentCommandId(true), table->snapshot,
						   InvalidSnapshot, true, &failure, false) != TM_Ok)
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
