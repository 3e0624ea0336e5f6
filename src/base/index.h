/*
 * index.h
 *	  The indexes by which C code finds rows of domowf's own tables.
 *
 * Anybody who may may add others, and README welcomes that: with the same
 * columns in another order, of another operator class or collation, or for some
 * rows only.  To read one of these as if it were the extension's own finds too
 * little, or one row in place of another.  So an index is known by what makes
 * it serve and not by its name, which REINDEX CONCURRENTLY and people change.
 */
#ifndef DWF_INDEX_H
#define DWF_INDEX_H

#include "base/columns.h"

#include "utils/relcache.h"

/*
 * Whether an index, which is open, can be read, has every row that is not null
 * in the first of them, and begins with these columns of the table, counted from 0 as they stand in it, each ascending
 * in the usual order of its type; -1: a column that is not there.
 */
extern bool dwf_index_serves(Relation index, Relation table,
							 const int *columns, int ncolumns);

/*
 * Of an index's predicate (a list, as RelationGetIndexPredicate() returns it):
 * the number of the column of which it is that it is not null, as it stands in
 * the table; 0: it is another one, or there is none.
 */
extern AttrNumber dwf_index_not_null(List *predicate);

/*
 * The same of a text that it is not this constant, palloc'd with its length,
 * which is to be compared byte by byte.
 */
extern AttrNumber dwf_index_not_text(List *predicate, const char **text,
									 int *length);

/*
 * Whether a table of domowf, with columns that are right, lacks an index that
 * C code needs; then what is wrong and what to do, palloc'd, no sentences.
 * From the catalogs alone: nothing is opened.
 */
extern bool dwf_index_find_fault(Oid table, const char *name,
								 const DwfColumn *columns, char **message,
								 char **hint);

#endif							/* DWF_INDEX_H */
