/*
 * owner.c
 *	  Whose rights domowf's own tables are touched with: their owner's.
 *
 * Who calls domowf's functions needs no right on its tables, so that what
 * touches them runs as who owns them, and nothing of the caller's may run with
 * it: no function of his search_path, no trigger that he may have hung there.
 * It must not know what is done meanwhile.
 */
#include "postgres.h"

#include "base/objects.h"
#include "base/owner.h"

#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/inval.h"

static void become_owner_of(DwfOwnerScope *scope, const char *table);
static void enter(DwfOwnerScope *scope);
static void enter_registry(DwfOwnerScope *scope);
static Oid	lock(const char *table);
static void fix_settings(DwfOwnerScope *scope, bool sets_role);

void
dwf_owner_enter(DwfOwnerScope *scope)
{
	enter(scope);
	fix_settings(scope, true);
}

void
dwf_owner_enter_to_read(DwfOwnerScope *scope)
{
	enter(scope);
	fix_settings(scope, false);
}

void
dwf_owner_enter_to_write(DwfOwnerScope *scope, const char *table)
{
	Oid			oid;

	enter(scope);
	/* whoever hangs something there has to wait from now on */
	do
	{
		oid = lock(table);
	} while (dwf_object_require(table, NULL) != oid);
	fix_settings(scope, dwf_object_hung(table)->differs);
}

static void
enter(DwfOwnerScope *scope)
{
	/* what others committed meanwhile applies to what follows */
	AcceptInvalidationMessages();
	dwf_objects_require();
	dwf_owner_become(scope);
}

static Oid
lock(const char *table)
{
	Oid			oid = dwf_object_require(table, NULL);

	LockRelationOid(oid, RowExclusiveLock);
	return oid;
}

void
dwf_owner_enter_registry(DwfOwnerScope *scope)
{
	enter_registry(scope);
	fix_settings(scope, true);
}

void
dwf_owner_enter_registry_to_read(DwfOwnerScope *scope)
{
	enter_registry(scope);
	fix_settings(scope, false);
}

static void
enter_registry(DwfOwnerScope *scope)
{
	AcceptInvalidationMessages();
	dwf_owner_stay_registry();
	become_owner_of(scope, "workflow");
}

void
dwf_owner_stay(void)
{
	dwf_objects_require();
}

void
dwf_owner_stay_registry(void)
{
	(void) dwf_object_require("workflow", NULL);
	(void) dwf_object_require("workflow_input", NULL);
}

void
dwf_owner_become(DwfOwnerScope *scope)
{
	become_owner_of(scope, "queue");
}

/*
 * Not with more rights than it takes, and in a restricted operation: should
 * code of somebody's run all the same, it cannot leave anything behind that
 * runs later with other rights.
 */
static void
become_owner_of(DwfOwnerScope *scope, const char *table)
{
	Oid			owner;

	(void) dwf_object_require(table, &owner);
	GetUserIdAndSecContext(&scope->user, &scope->security);
	SetUserIdAndSecContext(owner, scope->security |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = 0;
}

static void
fix_settings(DwfOwnerScope *scope, bool sets_role)
{
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	if (!sets_role)
		return;
	(void) set_config_option("session_replication_role", "replica",
							 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

void
dwf_owner_leave(const DwfOwnerScope *scope)
{
	if (scope->guc_level > 0)
		AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->user, scope->security);
}
