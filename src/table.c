/*
 * table.c
 *	  Rows put into domowf's own tables without going through SQL.
 *
 * Whoever starts a workflow needs no right on domowf's tables, and a trigger
 * that somebody put on them must not run with the rights that the insert
 * would need.  Inserting below the level of SQL gives both, and costs less
 * than a prepared INSERT.
 */
#include "postgres.h"

#include "compat.h"
#include "table.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#define SCHEMA	"domowf"

Oid
dwf_table_oid(const char *table)
{
	Oid			schema = get_namespace_oid(SCHEMA, true);

	return OidIsValid(schema) ? get_relname_relid(table, schema) : InvalidOid;
}

void
dwf_table_insert(const char *table, Datum *values, bool *nulls, int ncolumns)
{
	Oid			oid = dwf_table_oid(table);
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *target;
	TupleTableSlot *slot;

	if (!OidIsValid(oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table %s.%s does not exist", SCHEMA, table)));
	rel = table_open(oid, RowExclusiveLock);
	if (RelationGetDescr(rel)->natts != ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s.%s has %d columns, expected %d", SCHEMA,
						table, RelationGetDescr(rel)->natts, ncolumns),
				 errdetail("The extension's SQL and the library that this server has loaded are of different versions."),
				 errhint("Restart the server after an update of the extension.")));

	estate = CreateExecutorState();
	target = makeNode(ResultRelInfo);
	InitResultRelInfo(target, rel, 0, NULL, 0);
	ExecOpenIndices(target, false);

	slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	ExecForceStoreHeapTuple(heap_form_tuple(RelationGetDescr(rel), values,
											nulls), slot, true);
	table_tuple_insert(rel, slot, GetCurrentCommandId(true), 0, NULL);
	if (target->ri_NumIndices > 0)
		list_free(dwf_insert_index_tuples(target, slot, estate));

	ExecDropSingleTupleTableSlot(slot);
	ExecCloseIndices(target);
	FreeExecutorState(estate);
	table_close(rel, NoLock);
}
