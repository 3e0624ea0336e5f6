/*
 * table_scan.c
 *	  How rows of domowf's own tables are found: by their indexes, and by
 *	  nothing else.
 *
 * Whoever looks says which columns an index has to begin with, since somebody
 * may have added one that begins likewise and is in another order.
 */
#include "postgres.h"

#include "compat.h"
#include "table.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define SCHEMA	"domowf"

static void start_reading(DwfTable *table);
static void start_scan(DwfTable *table, const int *columns, int ncolumns,
					   int nkeys);
static bool begins_with(const DwfTable *table, Relation index,
						const IndexInfo * info, const int *columns,
						int ncolumns);
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

/* Sees to a scan, with `nkeys` keys, of an index that begins with columns. */
static void
start_scan(DwfTable *table, const int *columns, int ncolumns, int nkeys)
{
	Relation	index = NULL;

	start_reading(table);
	if (table->scan != NULL && table->scanned == columns[0] &&
		table->scan->numberOfKeys == nkeys)
		return;
	for (int i = 0; i < table->target->ri_NumIndices && index == NULL; i++)
	{
		Relation	candidate = table->target->ri_IndexRelationDescs[i];

		if (begins_with(table, candidate,
						table->target->ri_IndexRelationInfo[i], columns,
						ncolumns))
			index = candidate;
	}
	if (index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s.%s has lost an index", SCHEMA,
						RelationGetRelationName(table->rel)),
				 errhint("Create the extension anew, or the index as its script does.")));
	if (table->scan != NULL)
		index_endscan(table->scan);
	table->scan = dwf_index_beginscan(table->rel, index, table->snapshot,
									  nkeys);
	table->scanned = columns[0];
}

/* Whether an index can be read, and begins with these columns. */
static bool
begins_with(const DwfTable *table, Relation index, const IndexInfo * info,
			const int *columns, int ncolumns)
{
	if (!index->rd_index->indisvalid || info->ii_Am != BTREE_AM_OID ||
		info->ii_Predicate != NIL || info->ii_NumIndexKeyAttrs < ncolumns)
		return false;
	for (int i = 0; i < ncolumns; i++)
	{
		if (!dwf_table_has(table, columns[i]) ||
			info->ii_IndexAttrNumbers[i] != table->places[columns[i]] + 1)
			return false;
	}
	return true;
}
