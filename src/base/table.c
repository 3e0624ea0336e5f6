/*
 * table.c
 *	  Domowf's own tables, open to be read and written without going through SQL.
 *
 * Whoever starts a workflow needs no right on domowf's tables, and a trigger
 * or a rule that somebody put on them must not run with the rights that the
 * writing needs.  Below the level of SQL both come by themselves, and what has
 * to be seen of it is seen to (table_write.c).  It costs a
 * third of a prepared statement, no plan can turn bad when a table grows
 * thousandfold in a transaction, and no setting has to be changed for it: to
 * set session_replication_role throws away every plan of the session.
 *
 * Rows are found by table_scan.c and written by table_write.c.  None of them must
 * know what the rows mean.
 */
#include "postgres.h"

#include "base/firing.h"
#include "base/objects.h"
#include "base/table.h"

#include "access/table.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define SCHEMA	"domowf"

static void open_locked(DwfTable *table, const char *name, int ncolumns,
						bool takes_new, LOCKMODE mode);
static void find_places(DwfTable *table, const char *name);
static int	find_place(TupleDesc desc, const char *column, int guess);
static bool is_at(TupleDesc desc, int place, const char *column);
static void prepare_triggers(DwfTable *table, bool fires);

Oid
dwf_table_oid(const char *table)
{
	return dwf_object_oid(table);
}

void
dwf_table_lock_whole(const char *table)
{
	LockRelationOid(dwf_table_oid(table), RowExclusiveLock);
}

void
dwf_table_open(DwfTable *table, const char *name, int ncolumns,
			   bool takes_new)
{
	open_locked(table, name, ncolumns, takes_new, RowExclusiveLock);
}

void
dwf_table_open_to_read(DwfTable *table, const char *name, int ncolumns)
{
	open_locked(table, name, ncolumns, false, AccessShareLock);
}

/*
 * A table is only known not to have changed since it was found right once it
 * is locked, which is when this process is told of changes.
 */
static void
open_locked(DwfTable *table, const char *name, int ncolumns, bool takes_new,
			LOCKMODE mode)
{
	DwfHung		hung;
	DwfTableCaller caller;

	memset(table, 0, sizeof(*table));
	table->context = CurrentMemoryContext;
	for (;;)
	{
		Oid			oid = dwf_object_require(name, NULL);

		table->rel = try_table_open(oid, mode);
		if (dwf_object_require(name, NULL) == oid && table->rel != NULL)
			break;
		if (table->rel != NULL)
			table_close(table->rel, mode);
	}

	hung = *dwf_object_hung(name);
	table->runs_code = hung.runs;
	dwf_table_act_as_owner(table, &caller);
	table->estate = CreateExecutorState();
	table->target = makeNode(ResultRelInfo);
	prepare_triggers(table, hung.fires && mode == RowExclusiveLock);
	if (mode == RowExclusiveLock)
	{
		/* as who changes rows that are published must */
		CheckCmdReplicaIdentity(table->rel, CMD_UPDATE);
		CheckCmdReplicaIdentity(table->rel, CMD_DELETE);
	}
	ExecOpenIndices(table->target, takes_new);
	dwf_table_find_sparse(table);
	dwf_table_act_as_caller(&caller);
	table->row = MakeSingleTupleTableSlot(RelationGetDescr(table->rel),
										  &TTSOpsVirtual);
	find_places(table, name);
	Assert(table->ncolumns == ncolumns);
	dwf_table_clear(table);
}

/* Those that fire, where there are any; for what is only read there are none. */
static void
prepare_triggers(DwfTable *table, bool fires)
{
	if (fires)
		dwf_firing_init(table->estate, table->rel);
	InitResultRelInfo(table->target, table->rel, fires ? 1 : 0, NULL, 0);
	if (fires)
		dwf_firing_choose(table->estate, table->target);
	else
		table->target->ri_TrigDesc = NULL;
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
 * What somebody has put on a table (an index on an expression, a constraint, a
 * trigger) runs with the rights of the table's owner, and not with those of
 * whoever happens to write a row: objects.c sees to it that who wrote it has
 * them anyway.  Where there is code, its search_path is not the caller's either:
 * it would find the caller's functions, and run them as the owner.
 */
void
dwf_table_act_as_owner(const DwfTable *table, DwfTableCaller *caller)
{
	GetUserIdAndSecContext(&caller->user, &caller->security);
	caller->guc_level = 0;
	SetUserIdAndSecContext(table->rel->rd_rel->relowner,
						   caller->security | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	if (!table->runs_code)
		return;
	caller->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

/* After an error the end of the (sub)transaction does so. */
void
dwf_table_act_as_caller(const DwfTableCaller *caller)
{
	if (caller->guc_level > 0)
		AtEOXact_GUC(false, caller->guc_level);
	SetUserIdAndSecContext(caller->user, caller->security);
}

void
dwf_table_close(DwfTable *table)
{
	dwf_table_end_append(table);
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
	if (table->sparse != NULL)
		pfree(table->sparse);
	ExecCloseIndices(table->target);
	/* triggers' own slots hold pages */
	ExecResetTupleTable(table->estate->es_tupleTable, false);
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
