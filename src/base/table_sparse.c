/*
 * table_sparse.c
 *	  Indexes of domowf's own tables that have entries of some rows alone.
 *
 * It must not know which indexes there are, nor what the rows mean.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/index.h"
#include "base/table.h"

#include "executor/executor.h"

static bool is_left_out(const DwfSparse *sparse, TupleTableSlot *row);

/*
 * A predicate that a column is not null, or is no certain text, is looked at
 * here: to have the executor do so costs more than the entry.
 */
void
dwf_table_find_sparse(DwfTable *table)
{
	int			count = table->target->ri_NumIndices;

	for (int i = 0; i < count; i++)
	{
		IndexInfo  *index = table->target->ri_IndexRelationInfo[i];
		DwfSparse	sparse = {0};

		if (index->ii_Predicate == NIL || index->ii_Unique ||
			index->ii_ExclusionOps != NULL)
			continue;
		sparse.column = dwf_index_not_null(index->ii_Predicate);
		if (sparse.column == 0)
			sparse.column = dwf_index_not_text(index->ii_Predicate,
											   &sparse.text, &sparse.length);
		if (sparse.column <= 0)
			continue;
		if (table->sparse == NULL)
			table->sparse = palloc0(sizeof(DwfSparse) * count);
		table->sparse[i] = sparse;
		index->ii_Predicate = NIL;
	}
}

/*
 * Has the executor pass by the indexes that a row has no entry in, as it does by
 * those that are null.  Returns what they all are, per-tuple memory; NULL: it
 * passes by none.
 */
Relation *
dwf_table_leave_out(DwfTable *table, TupleTableSlot *row)
{
	Relation   *indexes = table->target->ri_IndexRelationDescs;
	Relation   *left;
	int			count = table->target->ri_NumIndices;

	if (table->sparse == NULL)
		return NULL;
	left = MemoryContextAlloc(GetPerTupleMemoryContext(table->estate),
							  sizeof(Relation) * count);
	for (int i = 0; i < count; i++)
		left[i] = is_left_out(&table->sparse[i], row) ? NULL : indexes[i];
	table->target->ri_IndexRelationDescs = left;
	return indexes;
}

static bool
is_left_out(const DwfSparse *sparse, TupleTableSlot *row)
{
	Datum		value;
	struct varlena *text;
	bool		isnull;

	if (sparse->column == 0)
		return false;
	value = slot_getattr(row, sparse->column, &isnull);
	if (isnull || sparse->text == NULL)
		return isnull;
	text = PG_DETOAST_DATUM_PACKED(value);
	return VARSIZE_ANY_EXHDR(text) == sparse->length &&
		memcmp(VARDATA_ANY(text), sparse->text, sparse->length) == 0;
}

void
dwf_table_take_in(DwfTable *table, Relation *indexes)
{
	if (indexes != NULL)
		table->target->ri_IndexRelationDescs = indexes;
}
