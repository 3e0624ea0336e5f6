/*
 * worker_settings.c
 *	  Whose settings the worker of a database has, and the launcher.
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
#include "worker/worker_settings.h"

#include "mb/pg_wchar.h"
#include "postmaster/bgworker.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

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
static Raised *raise_all(int *count);
static void lower_all(Raised *raised, int count);
static void forget_others(void);
static bool is_personal(GucSource source);

/*
 * What the worker's statements rest on.  A person may lock its rows for long:
 * it does not wait for him, but tries again (worker.c).
 */
static const Fixed of_worker[] = {
	{"application_name", "domowf worker"},
	{"default_transaction_deferrable", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_read_only", "off"},
	/* plans are kept, and a queue that was empty then may be long now */
	{"enable_seqscan", "off"},
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

/* Even to connect is a transaction, with its locks. */
static const Fixed of_launcher[] = {
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
