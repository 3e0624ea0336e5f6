/*
 * makers.c
 *	  Who makes triggers with domowf_trigger().
 *
 * It is an event trigger of the extension's script that refuses them.  This
 * tells whether it does, and which triggers were there before it was.
 */
#include "postgres.h"

#include "base/extension.h"
#include "base/objects.h"
#include "base/owner.h"
#include "base/table.h"
#include "registry/makers.h"

#include "access/htup_details.h"
#include "catalog/pg_event_trigger.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#define EVENT_TRIGGER	"domowf_trigger_made"

/* So many triggers are named. */
#define MAX_NAMED		10

static bool fires_always(void);
static char *list_earlier(void);

char *
dwf_makers_find_fault(void)
{
	const char *fires = GetConfigOption("event_triggers", true, false);
	Oid			earlier = dwf_table_oid("earlier_trigger");
	DwfObjectFault fault;

	if (!dwf_extension_is_since("1.1"))
		return NULL;
	if (!fires_always())
		return pstrdup("event trigger " EVENT_TRIGGER " does not fire always: see ALTER EVENT TRIGGER ... ENABLE ALWAYS");
	if (fires != NULL && strcmp(fires, "off") == 0)
		return pstrdup("event_triggers is off: nobody is kept from making triggers with domowf_trigger() on tables of others");

	/* which objects are not right, and are not read, is told elsewhere */
	if (!dwf_objects_are_right(&fault) || !OidIsValid(earlier))
		return NULL;
	if (!ConditionalLockRelationOid(earlier, AccessShareLock))
		return pstrdup("domowf.earlier_trigger is locked, so that it cannot be looked at");
	return list_earlier();
}

static bool
fires_always(void)
{
	HeapTuple	tuple = SearchSysCache1(EVENTTRIGGERNAME,
										CStringGetDatum(EVENT_TRIGGER));
	bool		always;

	if (!HeapTupleIsValid(tuple))
		return false;
	always = ((Form_pg_event_trigger) GETSTRUCT(tuple))->evtenabled ==
		TRIGGER_FIRES_ALWAYS;
	ReleaseSysCache(tuple);
	return always;
}

/* NULL where there is none. */
static char *
list_earlier(void)
{
	MemoryContext context = CurrentMemoryContext;
	DwfOwnerScope scope;
	bool		isnull;
	Datum		names;
	char	   *list = NULL;

	dwf_owner_enter_to_read(&scope);
	SPI_connect();
	if (SPI_execute("SELECT string_agg(CASE WHEN n <= "
					CppAsString2(MAX_NAMED)
					" THEN format('%s on %s', e.name, e.relation) "
					"WHEN n = " CppAsString2(MAX_NAMED) " + 1 THEN '...' END, "
					"', ' ORDER BY n) FROM (SELECT e.name, e.relation, "
					"row_number() OVER (ORDER BY e.relation::text, e.name) n "
					"FROM domowf.earlier_trigger e JOIN pg_trigger t "
					"ON t.tgrelid = e.relation AND t.tgname = e.name) e",
					true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.earlier_trigger");
	dwf_owner_stay();
	names = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						  &isnull);
	if (!isnull)
		list = MemoryContextStrdup(context, TextDatumGetCString(names));
	SPI_finish();
	dwf_owner_leave(&scope);
	return list == NULL ? NULL :
		psprintf("who made these triggers before version 1.1 is not known, who may have been somebody that has not the rights of the table's owner: %s; look at each, then delete its row of domowf.earlier_trigger",
				 list);
}
