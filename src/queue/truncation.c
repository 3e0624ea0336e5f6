/*
 * truncation.c
 *	  A publisher's TRUNCATE of one of domowf's tables, which takes nothing.
 *
 * A trigger cannot leave a TRUNCATE out, as it can a row that is removed, and
 * an error would end the subscription, with all other tables in it, until
 * somebody skips the transaction.  So what is there is copied before, and put in
 * again behind it, in the same transaction and under the lock that the TRUNCATE
 * has anyway: nobody sees the table without its rows.
 *
 * They are put in frozen, as COPY FREEZE does: a snapshot of before sees them,
 * too.  Nothing else has been written into the new file of the table, which is
 * thrown away where the transaction rolls back.  To triggers, checks and policies
 * nothing has happened.
 */
#include "postgres.h"

#include "base/objects.h"
#include "base/table.h"
#include "queue/truncation.h"

#include "access/genam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

/* Rows of a table, in the transaction's memory. */
typedef struct Kept
{
	Oid			table;
	Tuplestorestate *rows;
	struct Kept *next;
} Kept;

static Kept *kept = NULL;

static Kept *add(Oid table);
static void forget(void *arg);
static Tuplestorestate *take(Oid table);

void
dwf_truncation_keep(Relation rel)
{
	Kept	   *item = add(RelationGetRelid(rel));
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0,
										  NULL);
	HeapTuple	row;

	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		HeapTuple	whole;

		CHECK_FOR_INTERRUPTS();

		/* what stands aside (TOAST) is emptied, too */
		whole = toast_flatten_tuple(row, RelationGetDescr(rel));
		tuplestore_puttuple(item->rows, whole);
		heap_freetuple(whole);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
}

void
dwf_truncation_undo(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	Tuplestorestate *rows = take(RelationGetRelid(rel));
	DwfTable	table;
	TupleTableSlot *row;
	int			ncolumns;

	if (rows == NULL)
		return;
	(void) dwf_object_columns(name, &ncolumns);
	dwf_table_open(&table, name, ncolumns, false);
	row = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(rows, true, false, row))
	{
		CHECK_FOR_INTERRUPTS();
		dwf_table_bring_back(&table, row);
	}
	ExecDropSingleTupleTableSlot(row);
	dwf_table_close(&table);
	tuplestore_end(rows);
}

/* What is kept of a table, so far nothing. */
static Kept *
add(Oid table)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Kept	   *item = palloc(sizeof(*item));

	if (kept == NULL)
	{
		MemoryContextCallback *callback = palloc0(sizeof(*callback));

		callback->func = forget;
		MemoryContextRegisterResetCallback(TopTransactionContext, callback);
	}
	item->table = table;
	item->rows = tuplestore_begin_heap(false, false, work_mem);
	item->next = kept;
	kept = item;
	MemoryContextSwitchTo(old);
	return item;
}

/* The transaction has ended, and its memory goes. */
static void
forget(void *arg)
{
	kept = NULL;
}

/* Hands over what is kept of a table; NULL: nothing is. */
static Tuplestorestate *
take(Oid table)
{
	for (Kept **link = &kept; *link != NULL; link = &(*link)->next)
	{
		if ((*link)->table == table)
		{
			Tuplestorestate *rows = (*link)->rows;

			*link = (*link)->next;
			return rows;
		}
	}
	return NULL;
}
