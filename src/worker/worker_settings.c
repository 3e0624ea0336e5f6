/*
 * worker_settings.c
 *	  Whose settings the processes of domowf have.
 *
 * Its settings are the configuration's.  Whoever owns a database may set most
 * of them for it, and a short domowf.timeout alone would put every start in
 * doubt.  PostgreSQL has no way to connect without what is set for databases
 * and roles, and applies it before the process gets to run again.  But a value
 * does not go before one of a higher source: so while it connects, every
 * setting claims to come from a source above theirs, whatever its name is and
 * whatever library it belongs to, and no value is touched.  Behind it each has
 * its own source again, so that a reload changes it, as it should.
 *
 * What is then left of theirs are placeholders, made for settings that nobody
 * has defined.  A library loaded later would take them over, and functions can
 * read them: they are emptied.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/transaction.h"
#include "worker/worker_settings.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_db_role_setting.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

/* A setting that claims to be above what is set for databases and roles. */
typedef struct Raised
{
	struct config_generic *variable;
	GucSource	source;			/* its own, and ... */
	GucSource	reset_source;	/* ... that of what RESET would give */
} Raised;

/* One that is set to this, whoever else sets it. */
typedef struct Fixed
{
	const char *name;
	const char *value;
} Fixed;

static void fix(const Fixed *settings, int count);
static void become(const char *name);
static void apply_settings_of(Oid role);
static void put_temporary_last(void);
static Raised *raise_all(int *count);
static void lower_all(Raised *raised, int count);
static void forget_others(void);
static bool is_personal(GucSource source);

/*
 * What the worker's statements rest on.  A person may lock its rows for long:
 * it does not wait for him, but tries again (worker.c).  Of PostgreSQL's settings
 * exit_on_error and transaction_timeout make the end of a process of what is an
 * error: no process of domowf has them.
 */
static const Fixed of_worker[] = {
	{"application_name", "domowf worker"},
	{"default_transaction_deferrable", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	/* plans are kept, and a queue that was empty then may be long now */
	{"enable_seqscan", "off"},
	{"exit_on_error", "off"},
	{"idle_in_transaction_session_timeout", "0"},
	{"jit", "off"},
	{"lock_timeout", "100ms"},
	/* it would connect with the configuration's timeouts, and fail for both */
	{"max_parallel_workers_per_gather", "0"},
	{"row_security", "on"},
	{"search_path", "pg_catalog, pg_temp"},
	{"session_replication_role", "replica"},
	{"statement_timeout", "0"},
	{"transaction_timeout", "0"},
};

/*
 * What returns rest on; all else is as in a session of the owner.  Code that is
 * somebody's gets no session of the worker's (`role`).
 */
static const Fixed of_returner[] = {
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"application_name", "domowf returns"},
	{"default_transaction_deferrable", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	{"exit_on_error", "off"},
	{"idle_in_transaction_session_timeout", "0"},
	{"row_security", "on"},
	{"session_replication_role", "origin"},
	{"statement_timeout", "0"},
	{"transaction_timeout", "0"},
};

/* Even to connect is a transaction, with its locks. */
static const Fixed of_launcher[] = {
	{"exit_on_error", "off"},
	{"lock_timeout", "0"},
	{"transaction_timeout", "0"},
};

void
dwf_worker_settings_connect(Oid database)
{
	Raised	   *raised;
	int			count;

	fix(of_worker, lengthof(of_worker));
	raised = raise_all(&count);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	lower_all(raised, count);
	forget_others();

	/* PostgreSQL has done so in vain, where the configuration does not */
	SetConfigOption("client_encoding", GetDatabaseEncodingName(), PGC_BACKEND,
					PGC_S_DYNAMIC_DEFAULT);
	dwf_transaction_start();
	become(GetUserNameFromId(BOOTSTRAP_SUPERUSERID, false));
	CommitTransactionCommand();
}

/*
 * Whoever connects as nobody is taken for the bootstrap superuser, but has these
 * two settings empty.  RESET leads to what they are here, too, as this is above
 * what can be set.
 */
static void
become(const char *name)
{
	SetConfigOption("session_authorization", name, PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("role", "none", PGC_SUSET, PGC_S_OVERRIDE);
}

bool
dwf_worker_settings_connect_as(Oid database, Oid role)
{
	Raised	   *raised;
	int			count;
	char	   *name;

	fix(of_returner, lengthof(of_returner));
	raised = raise_all(&count);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	lower_all(raised, count);
	forget_others();
	SetConfigOption("client_encoding", GetDatabaseEncodingName(), PGC_BACKEND,
					PGC_S_DYNAMIC_DEFAULT);

	dwf_transaction_start();
	name = GetUserNameFromId(role, true);
	if (name != NULL)
	{
		become(name);
		apply_settings_of(role);
		put_temporary_last();
	}
	CommitTransactionCommand();
	return name != NULL;
}

/*
 * What is set for a role and the database, as PostgreSQL does for a session.  So
 * the owner of a database sets the search_path of a superuser's returns, as of
 * each of his sessions there; to leave that out would close nothing, since `public`,
 * where all look by default, is that owner's as well.
 */
static void
apply_settings_of(Oid role)
{
	Relation	rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetCatalogSnapshot(DbRoleSettingRelationId));

	ApplySetting(snapshot, MyDatabaseId, role, rel, PGC_S_DATABASE_USER);
	ApplySetting(snapshot, InvalidOid, role, rel, PGC_S_USER);
	ApplySetting(snapshot, MyDatabaseId, InvalidOid, rel, PGC_S_DATABASE);
	ApplySetting(snapshot, InvalidOid, InvalidOid, rel, PGC_S_GLOBAL);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
}

/* PostgreSQL looks there first, where it is not named. */
static void
put_temporary_last(void)
{
	const char *path = GetConfigOption("search_path", false, false);
	List	   *names;
	ListCell   *cell;

	if (!SplitIdentifierString(pstrdup(path), ',', &names))
		names = NIL;
	foreach(cell, names)
	{
		if (strcmp(lfirst(cell), "pg_temp") == 0)
			return;
	}
	SetConfigOption("search_path",
					names == NIL ? "pg_temp" : psprintf("%s, pg_temp", path),
					PGC_SUSET, PGC_S_OVERRIDE);
}

void
dwf_worker_settings_connect_launcher(void)
{
	fix(of_launcher, lengthof(of_launcher));
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
}

/*
 * Sets these in a way that no reload changes.
 */
static void
fix(const Fixed *settings, int count)
{
	for (int i = 0; i < count; i++)
	{
		/* one that this PostgreSQL does not have is none to fear */
		if (GetConfigOption(settings[i].name, true, false) != NULL)
			SetConfigOption(settings[i].name, settings[i].value, PGC_SUSET,
							PGC_S_OVERRIDE);
	}
}

/*
 * Raises the source of every setting that a database or role could have.  To
 * that of what PostgreSQL itself sets for a session, which thereby stays free
 * to do so.
 */
static Raised *
raise_all(int *count)
{
	int			all;
	struct config_generic **variables = dwf_guc_variables(&all);
	Raised	   *raised = palloc(sizeof(Raised) * all);

	*count = 0;
	for (int i = 0; i < all; i++)
	{
		struct config_generic *variable = variables[i];

		if (variable->context != PGC_SUSET && variable->context != PGC_USERSET)
			continue;
		raised[(*count)++] = (Raised)
		{
			variable, variable->source, variable->reset_source
		};
		variable->source = Max(variable->source, PGC_S_OVERRIDE);
		variable->reset_source = Max(variable->reset_source, PGC_S_OVERRIDE);
	}
	return raised;
}

static void
lower_all(Raised *raised, int count)
{
	for (int i = 0; i < count; i++)
	{
		raised[i].variable->source = raised[i].source;
		raised[i].variable->reset_source = raised[i].reset_source;
	}
	pfree(raised);
}

/*
 * Empties the placeholders that databases and roles have brought.  No function
 * of PostgreSQL does that; and the source goes down, not to the default, by
 * which later versions keep lists.
 */
static void
forget_others(void)
{
	int			all;
	struct config_generic **variables = dwf_guc_variables(&all);

	for (int i = 0; i < all; i++)
	{
		struct config_generic *variable = variables[i];

		if ((variable->flags & GUC_CUSTOM_PLACEHOLDER) == 0 ||
			!is_personal(variable->source))
			continue;
		*dwf_guc_string(variable)->variable = NULL;
		dwf_guc_string(variable)->reset_val = NULL;
		variable->source = PGC_S_DYNAMIC_DEFAULT;
		variable->reset_source = PGC_S_DYNAMIC_DEFAULT;
	}
}

/* Whether a value was set for a database, a role, or all roles. */
static bool
is_personal(GucSource source)
{
	return source >= PGC_S_GLOBAL && source <= PGC_S_DATABASE_USER;
}
