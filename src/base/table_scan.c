/*
 * table_scan.c
 *	  How rows of domowf's own tables are found: by their indexes, and by
 *	  nothing else.
 *
 * Whoever looks says which columns an index has to begin with; index.c says
 * which index does, for there may be others that only seem to.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/index.h"
#include "base/table.h"

#include "access/htup_details.h"
#include "access/subtrans.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define SCHEMA	"domowf"

/* Columns that a scan may ask an index to begin with. */
#define MAX_SCANNED	4

/* Values for which the highest one is looked at once. */
#define SAME_HIGHEST	1000

static Relation find_index(const DwfTable *table, const int *columns,
						   int ncolumns);
static bool look_dirty(DwfTable *table, int column, const int64 *value,
					   int64 *found);
static void start_reading(DwfTable *table);
static void start_scan(DwfTable *table, const int *columns, int ncolumns,
					   int nkeys);
static void equal_key(const DwfTable *table, ScanKey key, int attno,
					  int column, Datum value);
static void rows_key(DwfTable *table, ScanKey key, int attno);

bool
dwf_table_find(DwfTable *table, int column, Datum value)
{
	ScanKeyData key;

	start_scan(table, &column, 1, 1);
	equal_key(table, &key, 1, column, value);
	index_rescan(table->scan, &key, 1, NULL, 0);
	return dwf_table_next(table);
}

bool
dwf_table_find_at(DwfTable *table, ItemPointerData place, int column,
				  int64 value)
{
	start_reading(table);

	/* a table that is locked does not get shorter */
	if (table->blocks == 0)
		table->blocks = RelationGetNumberOfBlocks(table->rel);
	if (ItemPointerIsValid(&place) &&
		ItemPointerGetBlockNumber(&place) < table->blocks &&
		table_tuple_fetch_row_version(table->rel, &place, table->snapshot,
									  table->found))
	{
		dwf_table_take_found(table);
		if (DatumGetInt64(table->values[column]) == value)
			return true;
	}
	return dwf_table_find(table, column, Int64GetDatum(value));
}

/*
 * With a dirty snapshot: whoever has put in a row and not yet committed has it,
 * and a serializable transaction that only looks for an id does not depend on
 * all others which write one.
 */
static bool
look_dirty(DwfTable *table, int column, const int64 *value, int64 *found)
{
	int			place = column;
	SnapshotData dirty;
	ScanKeyData key;
	TupleTableSlot *slot = table_slot_create(table->rel, NULL);
	IndexScanDesc scan;
	bool		is_there;
	bool		isnull;

	InitDirtySnapshot(dirty);
	scan = dwf_index_beginscan(table->rel, find_index(table, &place, 1), &dirty,
							   value != NULL ? 1 : 0);
	if (value != NULL)
		equal_key(table, &key, 1, column, Int64GetDatum(*value));
	index_rescan(scan, value != NULL ? &key : NULL, value != NULL ? 1 : 0, NULL,
				 0);
	is_there = index_getnext_slot(scan, value != NULL ? ForwardScanDirection :
								  BackwardScanDirection, slot);
	if (is_there)
		*found = DatumGetInt64(slot_getattr(slot, table->places[column] + 1,
											&isnull));
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return is_there;
}

bool
dwf_table_holds(DwfTable *table, int column, int64 value)
{
	int64		found;

	return look_dirty(table, column, &value, &found);
}

bool
dwf_table_highest(DwfTable *table, int column, int64 *value)
{
	return look_dirty(table, column, NULL, value);
}

/*
 * With any snapshot: what is gone stays in the index while somebody holds an old
 * one, and to read past all of it would take longer each time.
 */
bool
dwf_table_last(DwfTable *table, const int *columns, int ncolumns,
			   const Datum *values, int nvalues, int column, int64 *value)
{
	TupleTableSlot *slot = table_slot_create(table->rel, NULL);
	ScanKeyData keys[MAX_SCANNED];
	IndexScanDesc scan;
	bool		is_there;
	bool		isnull;

	scan = dwf_index_beginscan(table->rel, find_index(table, columns, ncolumns),
							   SnapshotAny, nvalues);
	for (int i = 0; i < nvalues; i++)
		equal_key(table, &keys[i], i + 1, columns[i], values[i]);
	index_rescan(scan, nvalues > 0 ? keys : NULL, nvalues, NULL, 0);
	is_there = index_getnext_slot(scan, BackwardScanDirection, slot);
	if (is_there)
		*value = DatumGetInt64(slot_getattr(slot, table->places[column] + 1,
											&isnull));
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return is_there;
}

bool
dwf_table_may_hold(DwfTable *table, int column, int64 value)
{
	if (value >= table->highest_until)
	{
		if (!dwf_table_highest(table, column, &table->highest))
			table->highest = 0;
		table->highest_until = value + SAME_HIGHEST;
	}
	return value <= table->highest && dwf_table_holds(table, column, value);
}

bool
dwf_table_find_first(DwfTable *table, const int *columns, int ncolumns,
					 Datum first, Datum second)
{
	ScanKeyData keys[2];

	start_scan(table, columns, ncolumns, 2);
	equal_key(table, &keys[0], 1, columns[0], first);
	equal_key(table, &keys[1], 2, columns[1], second);
	index_rescan(table->scan, keys, 2, NULL, 0);
	return dwf_table_next(table);
}

/* A key that a column, the index's number `attno`, is equal to a value. */
static void
equal_key(const DwfTable *table, ScanKey key, int attno, int column,
		  Datum value)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(table->rel),
												table->places[column]);

	ScanKeyEntryInitialize(key, 0, attno, BTEqualStrategyNumber, InvalidOid,
						   attribute->attcollation,
						   attribute->atttypid == INT8OID ? F_INT8EQ : F_TEXTEQ,
						   value);
}

void
dwf_table_seek_next(DwfTable *table, const int *columns, int ncolumns,
					int64 value)
{
	ScanKeyData key;

	start_scan(table, columns, ncolumns, 1);
	ScanKeyEntryInitialize(&key, 0, 1, BTGreaterStrategyNumber, InvalidOid,
						   InvalidOid, F_INT8GT, Int64GetDatum(value));
	index_rescan(table->scan, &key, 1, NULL, 0);
}

void
dwf_table_seek_next_pair(DwfTable *table, const int *columns, int ncolumns,
						 Datum first, Datum second)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	ScanKeyData key;

	start_scan(table, columns, ncolumns, 1);
	ScanKeyEntryInitialize(&table->place[0], SK_ROW_MEMBER, 1,
						   BTGreaterStrategyNumber, InvalidOid,
						   TupleDescAttr(desc, table->places[columns[0]])->attcollation,
						   F_BTTEXTCMP, first);
	ScanKeyEntryInitialize(&table->place[1], SK_ROW_MEMBER | SK_ROW_END, 2,
						   BTGreaterStrategyNumber, InvalidOid,
						   TupleDescAttr(desc, table->places[columns[1]])->attcollation,
						   F_BTTEXTCMP, second);
	rows_key(table, &key, 1);
	index_rescan(table->scan, &key, 1, NULL, 0);
}

void
dwf_table_seek_within(DwfTable *table, const int *columns, int64 value,
					  TimestampTz time, int64 number)
{
	ScanKeyData keys[3];

	start_scan(table, columns, 3, 3);
	equal_key(table, &keys[0], 1, columns[0], Int64GetDatum(value));
	ScanKeyEntryInitialize(&table->place[0], SK_ROW_MEMBER, 2,
						   BTGreaterStrategyNumber, InvalidOid, InvalidOid,
						   F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(time));
	ScanKeyEntryInitialize(&table->place[1], SK_ROW_MEMBER | SK_ROW_END, 3,
						   BTGreaterStrategyNumber, InvalidOid, InvalidOid,
						   F_BTINT8CMP, Int64GetDatum(number));
	rows_key(table, &keys[1], 2);
	ScanKeyEntryInitialize(&keys[2], 0, 2, BTLessStrategyNumber, InvalidOid,
						   InvalidOid, F_TIMESTAMPTZ_LT,
						   TimestampTzGetDatum(DT_NOEND));
	index_rescan(table->scan, keys, 3, NULL, 0);
}

/* A key that the row from `attno` on is behind `place`, which has to last. */
static void
rows_key(DwfTable *table, ScanKey key, int attno)
{
	memset(key, 0, sizeof(*key));
	key->sk_flags = SK_ROW_HEADER;
	key->sk_attno = attno;
	key->sk_strategy = BTGreaterStrategyNumber;
	key->sk_argument = PointerGetDatum(table->place);
}

bool
dwf_table_next(DwfTable *table)
{
	if (!index_getnext_slot(table->scan, ForwardScanDirection, table->found))
		return false;
	dwf_table_take_found(table);
	return true;
}

/*
 * The latest snapshot, whatever the isolation level: what is looked for is how
 * things are.  It sees what this very statement has written so far.
 */
static void
start_reading(DwfTable *table)
{
	if (table->snapshot == NULL)
	{
		CommandCounterIncrement();
		table->snapshot = RegisterSnapshot(GetLatestSnapshot());
	}
	if (table->found == NULL)
		table->found = table_slot_create(table->rel, NULL);
}

void
dwf_table_refresh(DwfTable *table)
{
	if (table->scan != NULL)
		index_endscan(table->scan);
	table->scan = NULL;
	if (table->snapshot != NULL)
		UnregisterSnapshot(table->snapshot);
	table->snapshot = NULL;
}

/* An index that begins with columns. */
static Relation
find_index(const DwfTable *table, const int *columns, int ncolumns)
{
	Relation	index = NULL;
	int			places[MAX_SCANNED];

	for (int i = 0; i < ncolumns; i++)
		places[i] = table->places[columns[i]];
	for (int i = 0; i < table->target->ri_NumIndices && index == NULL; i++)
	{
		Relation	candidate = table->target->ri_IndexRelationDescs[i];

		if (dwf_index_serves(candidate, table->rel, places, ncolumns))
			index = candidate;
	}
	if (index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s.%s has lost an index", SCHEMA,
						RelationGetRelationName(table->rel)),
				 errhint("See domowf_check(), which tells what to do.")));
	return index;
}

/* Sees to a scan, with `nkeys` keys, of an index that begins with columns. */
static void
start_scan(DwfTable *table, const int *columns, int ncolumns, int nkeys)
{
	Relation	index;

	start_reading(table);
	if (table->scan != NULL && table->scanned == columns[0] &&
		table->scan->numberOfKeys == nkeys)
		return;
	index = find_index(table, columns, ncolumns);
	if (table->scan != NULL)
		index_endscan(table->scan);
	table->scan = dwf_index_beginscan(table->rel, index, table->snapshot,
									  nkeys);
	table->scanned = columns[0];
}

TransactionId
dwf_table_holder(const DwfTable *table)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(table->found, false, NULL);
	HeapTupleHeader header = tuple->t_data;
	TransactionId holder;

	if ((header->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI)) != 0)
		return InvalidTransactionId;
	holder = HeapTupleHeaderGetRawXmax(header);

	/* a part of it that is over has no lock by which it could be found */
	return TransactionIdIsInProgress(holder) ?
		SubTransGetTopmostTransaction(holder) : holder;
}
