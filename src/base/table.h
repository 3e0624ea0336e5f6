/*
 * table.h
 *	  Rows of domowf's own tables, read and written without going through SQL.
 */
#ifndef DWF_TABLE_H
#define DWF_TABLE_H

#include "access/genam.h"
#include "access/skey.h"
#include "datatype/timestamp.h"
#include "nodes/execnodes.h"

/* An index that has no entry of rows with a null, or this text, in a column. */
typedef struct DwfSparse
{
	AttrNumber	column;			/* 0: it has entries of all rows */
	const char *text;			/* NULL: it has those of any text */
	int			length;
} DwfSparse;

/*
 * A table of schema domowf, open with its indexes, and the row at hand: one
 * that was found, or one to be written.  `values` and `nulls` are in the order
 * of columns.h, wherever in the table a column stands; what they point to must
 * last until the row is written.  A column that the table of an earlier version
 * lacks is null in what is found, and not written.  Lives
 * in the memory context in which it was opened; closed in the same
 * transaction, or by its end after an error.
 */
typedef struct DwfTable
{
	Relation	rel;
	Datum	   *values;
	bool	   *nulls;

	/* table*.c's own */
	bool		runs_code;		/* somebody's, where a row is written */
	int			ncolumns;		/* of columns.h */
	int		   *places;			/* of each in the table; -1: it has none */
	MemoryContext context;
	MemoryContext indexes;		/* what these keep, of one that rests */
	TupleDesc	appended_desc;	/* NULL: no row was ever ... */
	TupleTableSlot **appended;	/* ... that is to be written with others */
	int			nappended;
	EState	   *estate;
	ResultRelInfo *target;
	struct DwfSparse *sparse;	/* of each index; NULL: of all, all rows have
								 * entries */
	TupleTableSlot *row;		/* a copy of values and nulls, to be written */
	TupleTableSlot *found;		/* as it was read; NULL: nothing yet */
	TupleTableSlot *locked;		/* what a lock brings along; NULL: no lock yet */
	ItemPointerData written;	/* where the row that was updated last stands */
	BlockNumber blocks;			/* that the table has at least; 0: not known */
	Snapshot	snapshot;		/* for all that is read; NULL: none yet */
	IndexScanDesc scan;			/* of an index that begins with ... */
	int			scanned;		/* ... this column; NULL: none yet */
	int64		highest;		/* of dwf_table_may_hold(), for values up to
								 * ... */
	int64		highest_until;	/* 0: for none */
	ScanKeyData place[2];		/* members of a comparison of rows */
} DwfTable;

/*
 * Opens a table for reading and writing, with a row at hand that is all nulls.
 * `takes_new`: dwf_table_insert_new() may be called.  Raises 55000 where the
 * table is not right (objects.h).
 */
extern void dwf_table_open(DwfTable *table, const char *name, int ncolumns,
						   bool takes_new);
extern void dwf_table_close(DwfTable *table);

/* The same to read alone, beside who lets nobody write (CREATE INDEX). */
extern void dwf_table_open_to_read(DwfTable *table, const char *name,
								   int ncolumns);

/* Whether the table has a column, which one of an earlier version may lack. */
extern bool dwf_table_has(const DwfTable *table, int column);

/* For table_*.c: makes what was found the row at hand. */
extern void dwf_table_take_found(DwfTable *table);

/* Who has called, while something is done as a table's owner. */
typedef struct DwfTableCaller
{
	Oid			user;
	int			security;
	int			guc_level;		/* 0: no setting was changed */
} DwfTableCaller;

/* For the same: around all that may run code which hangs on the table. */
extern void dwf_table_act_as_owner(const DwfTable *table,
								   DwfTableCaller *caller);
extern void dwf_table_act_as_caller(const DwfTableCaller *caller);

/*
 * For the same: finds the indexes that have entries of some rows alone; and has
 * the executor pass by those that have none of this row, from the one call to the
 * other.
 */
extern void dwf_table_find_sparse(DwfTable *table);
extern Relation *dwf_table_leave_out(DwfTable *table, TupleTableSlot *row);
extern void dwf_table_take_in(DwfTable *table, Relation *indexes);

/* For table.c: inserts what was appended, and appends no more. */
extern void dwf_table_end_append(DwfTable *table);

/* Makes the row at hand all nulls. */
extern void dwf_table_clear(DwfTable *table);

/* Sets a column of the row at hand; a text that is NULL: null. */
extern void dwf_table_set(DwfTable *table, int column, Datum value);
extern void dwf_table_set_text(DwfTable *table, int column, const char *text);

/* Whether a text column of the row at hand has this value. */
extern bool dwf_table_is_text(const DwfTable *table, int column,
							  const char *expected);

/*
 * Inserts the row at hand; afterwards it is all nulls.  NOT NULL constraints
 * are the caller's to keep unless `checked`.  No privilege is asked for and no
 * rule or policy applies; checks that somebody has added do, and triggers
 * (firing.h).  As a statement, it raises whatever these do.
 */
extern void dwf_table_insert(DwfTable *table, bool checked);

/*
 * The same, unchecked, but with others in one go, which is cheaper, and at the
 * latest when the table is closed or rests.  Copies what the row at hand points
 * to.  Not where dwf_table_may_refuse().
 */
extern void dwf_table_append(DwfTable *table);

/*
 * For a table that is to outlast statements which write to it.  The first when it
 * is opened; the other after each of them: it holds nothing more that is the
 * statement's, and nothing is at hand.
 */
extern void dwf_table_will_rest(DwfTable *table);
extern void dwf_table_rest(DwfTable *table);

/*
 * Puts a whole row in that was there before this transaction has emptied the
 * table: no check and no trigger applies, and all see it who see the table.
 */
extern void dwf_table_bring_back(DwfTable *table, TupleTableSlot *row);

/*
 * Whether an index, a check or a trigger could refuse the row at hand for what
 * it holds, its first column aside: one that somebody has added.
 */
extern bool dwf_table_may_refuse(const DwfTable *table);

/*
 * As dwf_table_insert() unless a unique index has a row like it: then returns
 * false with that one at hand.  Waits for whoever has inserted it and has not
 * ended.  Raises 40001 where the transaction's snapshot cannot see it.
 */
extern bool dwf_table_insert_new(DwfTable *table);

/*
 * Looks for a row with this value (a bigint or a text) in a column that an
 * index begins with, and takes it at hand.  Sees what was committed, and done
 * by this transaction, before the first look since the table was opened.
 */
extern bool dwf_table_find(DwfTable *table, int column, Datum value);

/*
 * The same of a column that is unique, for a row that stood at `place` when it
 * was seen last: nothing is read twice where it still does.
 */
extern bool dwf_table_find_at(DwfTable *table, ItemPointerData place,
							  int column, int64 value);

/*
 * Whether some row has this bigint in a column that an index begins with, and
 * the highest that one has (false: none); rows count that somebody has not yet
 * committed, and what is at hand stays.
 */
extern bool dwf_table_holds(DwfTable *table, int column, int64 value);
extern bool dwf_table_highest(DwfTable *table, int column, int64 *value);

/*
 * The bigint in a column of the last row in the order of an index that begins
 * with `columns`, of those that have `values` in the first ones; false: there is
 * none.  Rows count that somebody has not yet committed, and some that are gone:
 * nothing that is there has a higher one.  What is at hand stays.
 */
extern bool dwf_table_last(DwfTable *table, const int *columns, int ncolumns,
						   const Datum *values, int nvalues, int column,
						   int64 *value);

/*
 * As dwf_table_holds(), of one column and values that are positive and grow, but
 * for what somebody puts in meanwhile: where the value is higher than any that
 * there was, nothing is looked for.  What was is looked at anew for each thousand
 * values, and when the table is opened.
 */
extern bool dwf_table_may_hold(DwfTable *table, int column, int64 value);

/*
 * The same for two columns, both texts or bigints: takes the first row in the
 * order of the index, which has to begin with all `columns`.
 */
extern bool dwf_table_find_first(DwfTable *table, const int *columns,
								 int ncolumns, Datum first, Datum second);

/*
 * Each goes to a place in the order of an index that begins with `columns`;
 * dwf_table_next() then takes row after row at hand, and returns false behind
 * the last one.  They see what dwf_table_find() does.
 *
 * To behind all that have this bigint in the first column, or this pair of
 * texts in the first two; and among those that have this bigint in the first
 * of three columns, behind (time, number) and before infinity.
 */
extern void dwf_table_seek_next(DwfTable *table, const int *columns,
								int ncolumns, int64 value);
extern void dwf_table_seek_next_pair(DwfTable *table, const int *columns,
									 int ncolumns, Datum first, Datum second);
extern void dwf_table_seek_within(DwfTable *table, const int *columns,
								  int64 value, TimestampTz time,
								  int64 number);
extern bool dwf_table_next(DwfTable *table);

/* From here on what was committed meanwhile is seen, too. */
extern void dwf_table_refresh(DwfTable *table);

/*
 * Writes the row at hand in place of the one that was found.  Returns false
 * where somebody holds or has changed it (but waits for who takes hold of it in
 * the instant between); with `wait`, waits for whoever holds it, and raises 40001
 * where it was changed.  Checks and triggers apply.
 */
extern bool dwf_table_update(DwfTable *table, bool wait);

/* Whether this transaction, or a part of it, has written the row that was found. */
extern bool dwf_table_is_written_here(const DwfTable *table);

/* Who holds the row that was found; InvalidTransactionId: none, or several. */
extern TransactionId dwf_table_holder(const DwfTable *table);

/*
 * Locks the row that was found until the transaction ends; waits for whoever
 * holds it.  Returns false, with nothing locked, where it was changed or
 * deleted meanwhile: to be looked for again, after dwf_table_refresh().  SQL
 * locks the newer version before it sees that a condition holds no more.
 */
extern bool dwf_table_lock(DwfTable *table);

/* Deletes the row that was found, as dwf_table_update() with `wait`. */
extern void dwf_table_delete(DwfTable *table);

/* The oid of one of domowf's relations (dwf_object_oid()). */
extern Oid	dwf_table_oid(const char *table);

/*
 * Locks one of them as a write does, to the end of the transaction: so that one
 * that somebody has locked is told as that, and not as the fault of a row.
 */
extern void dwf_table_lock_whole(const char *table);

#endif							/* DWF_TABLE_H */
