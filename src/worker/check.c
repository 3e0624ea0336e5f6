/*
 * check.c
 *	  domowf_check(): is everything set up?
 */
#include "postgres.h"

#include "base/domowf.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/privileges.h"
#include "base/shared.h"
#include "base/table.h"
#include "call/connection.h"
#include "registry/makers.h"
#include "worker/serving.h"
#include "worker/worker_view.h"

#include "access/table.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(domowf_check);

/* What the extension's script makes ENABLE ALWAYS. */
static const struct
{
	const char *table;
	const char *name;
}			always_triggers[] = {
	{"queue", "refuse_replication"},
	{"workflow", "registry_changed"},
	{"workflow", "registry_truncated"},
	{"workflow", "set_granted_oid"},
	{"workflow_input", "registry_changed"},
	{"workflow_input", "registry_truncated"},
};

static void emit_check(ReturnSetInfo *result, const char *name, bool ok,
					   const char *detail);
static void check_connection(ReturnSetInfo *result);
static void check_objects(ReturnSetInfo *result);
static void check_privileges(ReturnSetInfo *result);
static void check_tables(ReturnSetInfo *result);
static void check_triggers(ReturnSetInfo *result);
static bool fires_always(const char *table, const char *name);
static void check_version(ReturnSetInfo *result);
static void check_worker(ReturnSetInfo *result);

/*
 * domowf_check() returns table (check_name text, ok boolean, detail text)
 */
Datum
domowf_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	dwf_extension_look_again();
	check_connection(result);
	emit_check(result, "preload", dwf_shared_exists(),
			   dwf_shared_exists() ? "the library is preloaded" :
			   "add domowf to shared_preload_libraries and restart: calls work, requests are not sent");
	check_objects(result);
	check_privileges(result);
	check_tables(result);
	check_triggers(result);
	check_version(result);
	check_worker(result);
	return (Datum) 0;
}

static void
emit_check(ReturnSetInfo *result, const char *name, bool ok,
		   const char *detail)
{
	Datum		values[] = {CStringGetTextDatum(name), BoolGetDatum(ok),
	CStringGetTextDatum(detail)};
	bool		nulls[] = {false, false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Whether all that C code uses is what the extension made. */
static void
check_objects(ReturnSetInfo *result)
{
	DwfObjectFault fault;
	bool		ok = dwf_objects_are_right(&fault);

	emit_check(result, "objects", ok, ok ?
			   "what domowf uses is the extension's, and nobody else's code hangs on it" :
			   psprintf("%s: %s", fault.message, fault.hint));
}

/* Whether nobody has given everybody what the extension has not. */
static void
check_privileges(ReturnSetInfo *result)
{
	const char *granted = dwf_privileges_of_public();

	emit_check(result, "privileges", granted == NULL, granted == NULL ?
			   "nothing of the extension is granted to PUBLIC" :
			   psprintf("PUBLIC has %s: see REVOKE", granted));
}

/* The part of it without which nothing is sent. */
static void
check_tables(ReturnSetInfo *result)
{
	DwfObjectFault fault;
	bool		ok = dwf_serving_finds_tables(&fault);

	emit_check(result, "tables", ok, ok ?
			   "the tables of schema domowf are there" : fault.message);
}

/* Whether this session could call Domo: nothing is sent. */
static void
check_connection(ReturnSetInfo *result)
{
	MemoryContext context = CurrentMemoryContext;
	DwfConnection connection;
	bool		ok;
	char	   *detail = NULL;

	PG_TRY();
	{
		dwf_connection_open(&connection);
		detail = psprintf("requests go to %s", connection.base_url);
		ok = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ok = false;
		detail = error->hint ? psprintf("%s: %s", error->message, error->hint) :
			pstrdup(error->message);
	}
	PG_END_TRY();
	emit_check(result, "connection", ok, detail);
}

/*
 * Whether the triggers that have to fire whatever session_replication_role is
 * do: pg_restore --disable-triggers makes them ordinary ones.
 */
static void
check_triggers(ReturnSetInfo *result)
{
	const char *wrong = NULL;

	for (int i = 0; i < lengthof(always_triggers) && wrong == NULL; i++)
	{
		if (!fires_always(always_triggers[i].table, always_triggers[i].name))
			wrong = psprintf("trigger %s of domowf.%s does not fire always: UPDATE domowf.workflow SET granted_oid = NULL, then see ALTER TABLE ... ENABLE ALWAYS TRIGGER",
							 always_triggers[i].name,
							 always_triggers[i].table);
	}
	if (wrong == NULL)
		wrong = dwf_makers_find_fault();
	else if (!dwf_extension_can_send())
		wrong = dwf_extension_describe_skew();
	emit_check(result, "triggers", wrong == NULL, wrong == NULL ?
			   "the triggers of the tables fire always" : wrong);
}

/*
 * Else what the worker writes, as a replica, would pass it by.  A table that
 * is gone is a fault of another check.
 */
static bool
fires_always(const char *table, const char *name)
{
	Oid			oid = dwf_table_oid(table);
	Relation	rel;
	bool		found = false;

	if (!OidIsValid(oid))
		return false;
	rel = table_open(oid, AccessShareLock);
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		found |= strcmp(trigger->tgname, name) == 0 &&
			trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	}
	table_close(rel, AccessShareLock);
	return found;
}

/* Whether this server's library is one for the extension's SQL. */
static void
check_version(ReturnSetInfo *result)
{
	const DwfExtension *extension = dwf_extension_find();

	if (extension == NULL)
		emit_check(result, "version", false, "the extension is not installed");
	else if (!dwf_extension_can_send())
		emit_check(result, "version", false, dwf_extension_describe_skew());
	else
		emit_check(result, "version", true,
				   psprintf("the extension is version %s, the library %s",
							extension->version, DWF_VERSION));
}

/*
 * The first reason for which nothing is sent is the one that is told; that of
 * a pause only to who may read it.
 */
static void
check_worker(ReturnSetInfo *result)
{
	DwfWorkerStatus status;
	const char *reason;
	const char *detail;
	const char *who;
	bool		ok = false;

	if (RecoveryInProgress())
		detail = "a standby sends nothing";
	else if (!dwf_worker_enabled)
		detail = "domowf.worker is off";
	else if (!dwf_shared_status(MyDatabaseId, &status) ||
			 (status.pid == 0 && !status.is_dormant))
		detail = "no worker runs: see the server's log, and max_worker_processes";
	else if (status.paused_until != 0)
	{
		reason = dwf_worker_view_reason(&status);
		who = status.pid == 0 ? "the worker" :
			psprintf("process %d", status.pid);
		detail = *reason == '\0' ? psprintf("%s is paused", who) :
			psprintf("%s is paused: %s", who, reason);
	}
	else
	{
		detail = psprintf("process %d", status.pid);
		ok = true;
	}
	emit_check(result, "worker", ok, detail);
}
