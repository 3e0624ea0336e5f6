/*
 * check.c
 *	  domowf_check(): is everything set up?
 */
#include "postgres.h"

#include "base/domowf.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/privileges.h"
#include "base/returners.h"
#include "base/shared.h"
#include "base/sight.h"
#include "base/stored.h"
#include "base/table.h"
#include "call/connection.h"
#include "queue/counter.h"
#include "queue/pause.h"
#include "queue/returns.h"
#include "registry/dump.h"
#include "registry/makers.h"
#include "registry/server.h"
#include "worker/check_tracking.h"
#include "worker/serving.h"
#include "worker/stall.h"
#include "worker/worker_view.h"

#include "access/table.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteDefine.h"
#include "storage/lmgr.h"
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
	{"queue", "refuse_truncation"},
	{"queue", "undo_truncation"},
	{"return_entry", "refuse_replication"},
	{"return_entry", "refuse_truncation"},
	{"return_entry", "undo_truncation"},
	{"key", "refuse_replication"},
	{"key", "refuse_truncation"},
	{"key", "undo_truncation"},
	{"tracked", "refuse_replication"},
	{"tracked", "refuse_truncation"},
	{"tracked", "undo_truncation"},
	{"counter", "refuse_replication"},
	{"counter", "refuse_truncation"},
	{"counter", "undo_truncation"},
	{"state", "refuse_replication"},
	{"state", "refuse_truncation"},
	{"state", "undo_truncation"},
	{"earlier_trigger", "refuse_replication"},
	{"earlier_trigger", "refuse_truncation"},
	{"earlier_trigger", "undo_truncation"},
	{"log", "keep_own"},
	{"log", "refuse_truncation"},
	{"log", "undo_truncation"},
	{"workflow", "keep_own"},
	{"workflow", "registry_changed"},
	{"workflow", "registry_truncated"},
	{"workflow", "set_granted_oid"},
	{"workflow", "set_on_settled"},
	{"workflow", "set_on_settled_checked"},
	{"workflow", "refuse_truncation"},
	{"workflow", "undo_truncation"},
	{"workflow_input", "keep_own"},
	{"workflow_input", "registry_changed"},
	{"workflow_input", "registry_truncated"},
	{"workflow_input", "refuse_truncation"},
	{"workflow_input", "undo_truncation"},
};

/* Tables whose rows are written below SQL. */
static const char *const written[] = {
	"queue", "key", "log", "tracked", "counter"
};

static void emit_check(ReturnSetInfo *result, const char *name, bool ok,
					   const char *detail);
static void check_connection(ReturnSetInfo *result);
static char *tell_stored(char *detail);
static void check_dumps(ReturnSetInfo *result);
static void check_objects(ReturnSetInfo *result);
static void check_privileges(ReturnSetInfo *result);
static void check_returns(ReturnSetInfo *result);
static const char *find_late(int64 count);
static bool is_seen_to(void);
static void check_servers(ReturnSetInfo *result);
static void check_tables(ReturnSetInfo *result);
static void check_tracking(ReturnSetInfo *result);
static bool may_be_published(const char *table, const char **why);
static bool may_be_counted(const char **why);
static void check_triggers(ReturnSetInfo *result);
static const char *find_passed_by(const char *table);
static bool fires_always(const char *table, const char *name);
static void check_version(ReturnSetInfo *result);
static void check_worker(ReturnSetInfo *result);
static ErrorData *catch_fault(MemoryContext context);

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
	check_dumps(result);
	emit_check(result, "preload", dwf_shared_exists(),
			   dwf_shared_exists() ? "the library is preloaded" :
			   "add domowf to shared_preload_libraries and restart: calls work, requests are not sent");
	check_objects(result);
	check_privileges(result);
	check_returns(result);
	check_servers(result);
	check_tables(result);
	check_tracking(result);
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

/* Whether what pg_dump has of the registry can be restored as it is. */
static void
check_dumps(ReturnSetInfo *result)
{
	const char *fault = dwf_dump_find_fault();

	emit_check(result, "dumps", fault == NULL, fault == NULL ?
			   "pg_dump has the registry as it is" : fault);
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

/* Whether outcomes get back; why not only for who may see all requests. */
static void
check_returns(ReturnSetInfo *result)
{
	DwfObjectFault fault;
	DwfReturnCounts counts;
	const char *error;
	const char *late = NULL;
	bool		can_send = dwf_extension_can_send();

	if (!can_send || !dwf_objects_are_right(&fault))
	{
		emit_check(result, "returns", false, can_send ? fault.message :
				   dwf_extension_describe_skew());
		return;
	}
	if (!ConditionalLockRelationOid(dwf_table_oid("return_entry"),
									AccessShareLock))
	{
		emit_check(result, "returns", false,
				   "domowf.return_entry is locked, so that returns cannot be looked at");
		return;
	}
	dwf_return_count(&counts);
	error = dwf_sight_of_all(GetUserId()) ? counts.error : "";
	if (dwf_returns && counts.late > 0 && !RecoveryInProgress())
		late = find_late(counts.late);
	if (!dwf_returns && counts.waiting > 0)
		emit_check(result, "returns", false,
				   psprintf("domowf.returns is off: " INT64_FORMAT " outcomes are kept",
							counts.waiting));
	else if (counts.failed == 0 && late != NULL)
		emit_check(result, "returns", false, late);
	else if (counts.failed == 0)
		emit_check(result, "returns", true,
				   "nothing that is to be written back or called fails");
	else
		emit_check(result, "returns", false,
				   psprintf(INT64_FORMAT " outcomes could not be written back, or told to a function: see domowf.returns, then domowf_retry_return()%s%s",
							counts.failed, *error == '\0' ? "" : ". The last error: ",
							error));
}

/*
 * Why nobody has tried so many outcomes for long; NULL: who does is at work, and
 * has not come to them.
 */
static const char *
find_late(int64 count)
{
	if (!is_seen_to())
		return psprintf(INT64_FORMAT " outcomes wait for the worker: see row \"worker\"",
						count);
	if (dwf_returner_is_at_work(MyDatabaseId, dwf_stall_after))
		return NULL;
	return psprintf("no process writes back " INT64_FORMAT " outcomes: see the server's log, and max_worker_processes",
					count);
}

/*
 * Whether a worker sees to what is to be written back, which it does while
 * sending is paused, too, but not in a copy.
 */
static bool
is_seen_to(void)
{
	DwfWorkerStatus status;
	DwfStall	stall;

	if (!dwf_worker_enabled || !dwf_shared_status(MyDatabaseId, &status) ||
		status.pid == 0 || dwf_stall_find(&status, false, &stall))
		return false;
	/* as check_triggers() */
	return !ConditionalLockRelationOid(dwf_table_oid("state"),
									   AccessShareLock) ||
		!dwf_pause_is_of_copy();
}

/* Whether what the worker has to send to servers gets there. */
static void
check_servers(ReturnSetInfo *result)
{
	const char *fault = dwf_worker_view_server_fault();

	emit_check(result, "servers", fault == NULL, fault == NULL ?
			   "no request waits for a server" : fault);
}

/* The part of it without which nothing is sent. */
static void
check_tables(ReturnSetInfo *result)
{
	DwfObjectFault fault;
	bool		ok = dwf_objects_are_right(&fault);
	const char *detail = ok ? "the tables of schema domowf are there" :
	fault.message;

	for (int i = 0; i < lengthof(written) && ok; i++)
		ok = may_be_published(written[i], &detail);
	if (ok && !RecoveryInProgress())
		ok = may_be_counted(&detail);
	emit_check(result, "tables", ok, detail);
}

/* Whether instances are followed, see check_tracking.h. */
static void
check_tracking(ReturnSetInfo *result)
{
	const char *detail;
	bool		ok = dwf_check_tracking(&detail);

	emit_check(result, "tracking", ok, detail);
}

/*
 * The error that has been caught, where it is a fault of what was looked at: that
 * somebody cancels the look is none.
 */
static ErrorData *
catch_fault(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	return error;
}

/*
 * Whether a table's rows can be changed as far as publications go; of one that
 * is locked, or not of this version, nothing is said, as in check_triggers().
 */
static bool
may_be_published(const char *table, const char **why)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			oid = dwf_table_oid(table);
	Relation	rel;
	volatile bool ok = true;

	if (!OidIsValid(oid) || !ConditionalLockRelationOid(oid, AccessShareLock))
		return true;
	rel = table_open(oid, NoLock);
	PG_TRY();
	{
		CheckCmdReplicaIdentity(rel, CMD_UPDATE);
		CheckCmdReplicaIdentity(rel, CMD_DELETE);
	}
	PG_CATCH();
	{
		ErrorData  *error = catch_fault(context);

		ok = false;
		*why = error->hint ? psprintf("%s: %s", error->message, error->hint) :
			error->message;
	}
	PG_END_TRY();
	table_close(rel, AccessShareLock);
	return ok;
}

/* Whether nothing of somebody's may refuse what is counted, which is then not. */
static bool
may_be_counted(const char **why)
{
	Oid			oid = dwf_table_oid("counter");
	Relation	rel;
	char	   *refuser;

	/* as may_be_published() */
	if (!OidIsValid(oid) || !ConditionalLockRelationOid(oid, AccessShareLock))
		return true;
	rel = table_open(oid, NoLock);
	refuser = dwf_counter_find_refuser(rel);
	table_close(rel, AccessShareLock);
	if (refuser != NULL)
		*why = psprintf("%s of domowf.counter is none of the extension's: what it refuses is not counted, so drop it",
						refuser);
	return refuser == NULL;
}

/*
 * Whether this session could call Domo: nothing is sent.  What it has set is
 * nothing to requests.
 */
static void
check_connection(ReturnSetInfo *result)
{
	MemoryContext context = CurrentMemoryContext;
	DwfConnection connection;
	const char *setting;
	bool		ok;
	char	   *detail = NULL;

	if (*dwf_base_url == '\0' && *dwf_instance == '\0' && dwf_server_exists())
	{
		emit_check(result, "connection", true,
				   tell_stored(pstrdup("no instance is set: what names a server can be sent")));
		return;
	}
	PG_TRY();
	{
		dwf_connection_open(&connection);
		setting = dwf_connection_find_diversion();
		detail = setting == NULL ?
			psprintf("calls and requests go to %s", connection.base_url) :
			psprintf("calls of this session, which has %s of its own, go to %s; requests go where the server's configuration says",
					 setting, connection.base_url);
		ok = true;
	}
	PG_CATCH();
	{
		ErrorData  *error = catch_fault(context);

		ok = false;
		detail = error->hint ? psprintf("%s: %s", error->message, error->hint) :
			pstrdup(error->message);
	}
	PG_END_TRY();
	emit_check(result, "connection", ok, tell_stored(detail));
}

/*
 * What is stored may be right, and PostgreSQL does not keep who has stored it: so
 * that is for people to look at, and no fault.
 */
static char *
tell_stored(char *detail)
{
	char	   *stored = dwf_stored_list_targets();

	return stored == NULL ? detail :
		psprintf("%s. Stored, by whom PostgreSQL does not keep: %s: see pg_db_role_setting",
				 detail, stored);
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
		Oid			table = dwf_table_oid(always_triggers[i].table);

		if (!OidIsValid(table))
			wrong = psprintf("table domowf.%s is not there: see row \"objects\"",
							 always_triggers[i].table);
		/* who asks why nothing gets on is not to wait for the same lock */
		else if (!ConditionalLockRelationOid(table, AccessShareLock))
			wrong = psprintf("domowf.%s is locked, so that its triggers cannot be looked at",
							 always_triggers[i].table);
		else if (!fires_always(always_triggers[i].table, always_triggers[i].name))
			wrong = psprintf("trigger %s of domowf.%s does not fire always: %ssee ALTER TABLE ... ENABLE ALWAYS TRIGGER",
							 always_triggers[i].name,
							 always_triggers[i].table,
							 strcmp(always_triggers[i].name, "set_granted_oid") == 0 ?
							 "UPDATE domowf.workflow SET granted_oid = NULL, then " : "");
	}
	for (int i = 0; i < lengthof(written) && wrong == NULL; i++)
		wrong = find_passed_by(written[i]);
	if (wrong == NULL)
		wrong = dwf_makers_find_fault();
	else if (!dwf_extension_can_send())
		wrong = dwf_extension_describe_skew();
	if (wrong == NULL && !dwf_triggers)
		wrong = "domowf.triggers is off: domowf_trigger() asks for nothing";
	emit_check(result, "triggers", wrong == NULL, wrong == NULL ?
			   "the triggers of the tables fire always" : wrong);
}

/*
 * What somebody has hung on a table in vain: triggers and rules that do not
 * fire for rows which domowf writes.  NULL: nothing.
 */
static const char *
find_passed_by(const char *table)
{
	Oid			oid = dwf_table_oid(table);
	Relation	rel;
	const char *found = NULL;

	/* as check_triggers() */
	if (!OidIsValid(oid) || !ConditionalLockRelationOid(oid, AccessShareLock))
		return NULL;
	rel = table_open(oid, NoLock);
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (!trigger->tgisinternal &&
			trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN)
			found = psprintf("trigger %s of domowf.%s does not fire for what domowf writes: see ALTER TABLE ... ENABLE ALWAYS TRIGGER",
							 trigger->tgname, table);
	}
	for (int i = 0; rel->rd_rules != NULL && i < rel->rd_rules->numLocks; i++)
	{
		if (rel->rd_rules->rules[i]->enabled == RULE_FIRES_ON_ORIGIN)
			found = psprintf("a rule on domowf.%s does not apply to what domowf writes: drop it",
							 table);
	}
	table_close(rel, AccessShareLock);
	return found;
}

/* Else what the worker writes, as a replica, would pass it by. */
static bool
fires_always(const char *table, const char *name)
{
	Oid			oid = dwf_table_oid(table);
	Relation	rel;
	bool		found = false;

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
	DwfStall	stall;
	bool		ok = false;

	if (RecoveryInProgress())
	{
		detail = "this is a standby, which sends nothing: its primary does";
		ok = true;
	}
	else if (!dwf_worker_enabled)
		detail = "domowf.worker is off";
	else if (!dwf_shared_status(MyDatabaseId, &status))
		detail = "no worker runs: see the server's log, and max_worker_processes";
	else if (dwf_stall_find(&status, dwf_worker_view_is_open(), &stall))
		detail = psprintf("for " INT64_FORMAT " s %s: %s. %s",
						  stall.seconds, stall.task, stall.reason, stall.hint);
	else if (status.pid == 0 && status.failures > 0)
		detail = psprintf("no worker runs: it has ended early, %d times in a row: see the server's log",
						  status.failures);
	else if (status.pid == 0 && !status.is_dormant)
		detail = "no worker runs: see the server's log, and max_worker_processes";
	else if (status.paused_until != 0)
	{
		reason = dwf_worker_view_reason(&status);
		who = status.pid == 0 ? "the worker" :
			psprintf("process %d", status.pid);
		detail = *reason == '\0' ? psprintf("%s is paused", who) :
			psprintf("%s is paused: %s", who, reason);
	}
	else if ((reason = dwf_worker_view_settings_fault()) != NULL)
		detail = psprintf("process %d sends to servers alone: %s", status.pid,
						  reason);
	else
	{
		detail = psprintf("process %d", status.pid);
		ok = true;
	}
	emit_check(result, "worker", ok, detail);
}
