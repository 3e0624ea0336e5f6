/*
 * evict.c
 *	  Keeps workers out of the way of statements that need a database without
 *	  connections: DROP, RENAME and SET TABLESPACE of it, its use as a TEMPLATE.
 *
 * PostgreSQL waits a few seconds for other sessions and then refuses.  Before
 * such a statement runs, the worker of its database is asked to leave (what it
 * is sending will be in doubt), and let in again afterwards.  That is done by
 * the pid of who runs the statement, which stands in the entry of the database
 * meanwhile (shared.h) and keeps the launcher away as well; a worker that does
 * not hear is terminated.
 *
 * Since 19 PostgreSQL ends by itself a worker that allows it, as launcher.c
 * does: that is for what comes by no statement, as an extension that calls
 * dropdb().  It keeps no worker from coming back while the statement still
 * runs, and asks none first, so that here everything is done all the same.
 */
#include "postgres.h"

#include <signal.h>

#include "base/clock.h"
#include "base/compat.h"
#include "base/shared_entry.h"
#include "base/testpoint.h"
#include "base/utility.h"
#include "worker/evict.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* How often an evictor looks again, and when it uses force, milliseconds. */
#define EVICTION_POLL	100
#define EVICTION_PATIENCE	1000

static ProcessUtility_hook_type next_hook;
static Oid	evicted = InvalidOid;	/* by this process */

static void evict_before(DWF_UTILITY_PARAMETERS);
static void evict(Oid database);
static void terminate_worker(Oid database);
static void end_returners(DwfSharedEntry *entry);
static bool has_left(Oid database, bool is_patient);
static void readmit(void);
static bool may_take(Node *statement, Oid database);
static bool may_create_databases(void);
static const char *database_of(Node *statement);
static const char *template_of(CreatedbStmt *statement);
static bool sets_tablespace(AlterDatabaseStmt *statement);

void
dwf_evict_install(void)
{
	next_hook = ProcessUtility_hook;
	ProcessUtility_hook = evict_before;
}

/* The hook: whatever the statement ends with, the worker is let in again. */
static void
evict_before(DWF_UTILITY_PARAMETERS)
{
	const char *name = database_of(pstmt->utilityStmt);
	Oid			database = name == NULL ? InvalidOid :
	get_database_oid(name, true);

	if (!OidIsValid(database) || !may_take(pstmt->utilityStmt, database) ||
		DWF_TESTNUMBER("evict", 1) == 0)
	{
		dwf_utility_run(next_hook, DWF_UTILITY_ARGUMENTS);
		return;
	}
	PG_TRY();
	{
		evict(database);
		dwf_utility_run(next_hook, DWF_UTILITY_ARGUMENTS);
	}
	PG_FINALLY();
	{
		readmit();
	}
	PG_END_TRY();
}

/*
 * Asks the worker of a database to leave and waits until it has, interruptible;
 * keeps the launcher from starting another one until readmit(), or until this
 * process is gone.
 */
static void
evict(Oid database)
{
	DwfSharedEntry *entry;
	DwfSteady	patient_until;
	bool		is_patient = true;

	if (dwf_shared == NULL)
		return;
	patient_until = TimestampTzPlusMilliseconds(dwf_clock_now(),
												EVICTION_PATIENCE);
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	entry = dwf_shared_find(database, true);
	if (entry != NULL)
	{
		entry->evictor = MyProcPid;
		evicted = database;
		if (entry->latch != NULL)
			SetLatch(entry->latch);
		end_returners(entry);
	}
	LWLockRelease(dwf_shared->lock);

	ConditionVariablePrepareToSleep(&dwf_shared->left);
	while (entry != NULL && !has_left(database, is_patient))
	{
		(void) ConditionVariableTimedSleep(&dwf_shared->left, EVICTION_POLL,
										   PG_WAIT_EXTENSION);
		is_patient = dwf_clock_now() < patient_until;
		if (!is_patient)
			terminate_worker(database);
	}
	ConditionVariableCancelSleep();
}

/* Ends a worker that does not hear: it waits for a standby, to commit. */
static void
terminate_worker(Oid database)
{
	DwfSharedEntry *entry;

	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	entry = dwf_shared_find(database, false);

	/* its pid is its own as long as it stands here: see shared.c */
	if (entry != NULL && entry->status.pid != 0)
		(void) kill(entry->status.pid, SIGTERM);
	LWLockRelease(dwf_shared->lock);
}

/* They do not drain; a place that nobody has taken yet is none.  Lock held. */
static void
end_returners(DwfSharedEntry *entry)
{
	for (int i = 0; i < DWF_MAX_RETURNERS; i++)
	{
		if (entry->returners[i].pid != 0)
			(void) kill(entry->returners[i].pid, SIGTERM);
		else
			entry->returners[i].owner = InvalidOid;
	}
}

/*
 * One that is starting may have died, with the launcher that would see it.  It
 * need not be waited for: it is not connected before it attaches, and nobody
 * attaches while an evictor is there.  But what it says where the database is
 * gone by then is nothing that people should have to read.
 */
static bool
has_left(Oid database, bool is_patient)
{
	DwfSharedEntry *entry;
	bool		left;

	LWLockAcquire(dwf_shared->lock, LW_SHARED);
	entry = dwf_shared_find(database, false);
	left = entry == NULL ||
		(entry->status.pid == 0 &&
		 (entry->presence != DWF_STARTING || !is_patient));
	for (int i = 0; left && entry != NULL && i < DWF_MAX_RETURNERS; i++)
		left = entry->returners[i].pid == 0;
	LWLockRelease(dwf_shared->lock);
	return left;
}

static void
readmit(void)
{
	DwfSharedEntry *entry;

	if (dwf_shared == NULL || !OidIsValid(evicted))
		return;
	LWLockAcquire(dwf_shared->lock, LW_EXCLUSIVE);
	entry = dwf_shared_find(evicted, false);
	if (entry != NULL && entry->evictor == MyProcPid)
		entry->evictor = 0;
	if (dwf_shared->launcher != NULL)
		SetLatch(dwf_shared->launcher);
	LWLockRelease(dwf_shared->lock);
	evicted = InvalidOid;
}

/*
 * Whether the statement can succeed, as far as rights go: who may not drop a
 * database must not interrupt what its worker is sending either.
 */
static bool
may_take(Node *statement, Oid database)
{
	HeapTuple	tuple;
	bool		is_template;

	if (!IsA(statement, CreatedbStmt))
		return database != MyDatabaseId &&
			dwf_owns_database(database, GetUserId());
	if (!may_create_databases())
		return false;
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (!HeapTupleIsValid(tuple))
		return false;
	is_template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return is_template || dwf_owns_database(database, GetUserId());
}

/* As PostgreSQL checks it; its own function is not in every minor version. */
static bool
may_create_databases(void)
{
	HeapTuple	tuple;
	bool		may;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (!HeapTupleIsValid(tuple))
		return false;
	may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
	ReleaseSysCache(tuple);
	return may;
}

/* The database that a statement needs for itself; NULL: none. */
static const char *
database_of(Node *statement)
{
	if (IsA(statement, DropdbStmt))
		return ((DropdbStmt *) statement)->dbname;
	if (IsA(statement, RenameStmt) &&
		((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
		return ((RenameStmt *) statement)->subname;
	if (IsA(statement, AlterDatabaseStmt) &&
		sets_tablespace((AlterDatabaseStmt *) statement))
		return ((AlterDatabaseStmt *) statement)->dbname;
	if (IsA(statement, CreatedbStmt))
		return template_of((CreatedbStmt *) statement);
	return NULL;
}

static const char *
template_of(CreatedbStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return "template1";
}

static bool
sets_tablespace(AlterDatabaseStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
			return true;
	}
	return false;
}
