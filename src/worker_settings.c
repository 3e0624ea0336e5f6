/*
 * worker_settings.c
 *	  Whose settings the worker of a database has.
 *
 * Its settings are the configuration's.  Whoever owns a database may set most
 * of them for it, and a short domowf.timeout alone would put every start in
 * doubt.  PostgreSQL has no way to connect without what is set for databases
 * and roles, so that it is undone behind it: the process knows what it was
 * started with.  What is put back has the source that it had before, so that a
 * reload of the configuration changes it, as it should.
 *
 * On the settings below the worker's statements rest, so that not even the
 * configuration changes them.
 */
#include "postgres.h"

#include "compat.h"
#include "worker_settings.h"

#include "mb/pg_wchar.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"

/* A setting as the process was started with it. */
typedef struct Noted
{
	char	   *name;
	char	   *value;			/* NULL: none */
	GucSource	source;
} Noted;

/* In TopMemoryContext, until they are used. */
static MemoryContext noted_context;
static Noted *noted;
static int	noted_count;

static bool is_personal(GucSource source);
static const Noted *find_noted(const char *name);
static void put_back(struct config_generic *variable);
static void fix_own(void);

void
dwf_worker_settings_note(void)
{
	MemoryContext old;
	struct config_generic **variables;

	noted_context = AllocSetContextCreate(TopMemoryContext, "domowf settings",
										  ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(noted_context);
	variables = dwf_guc_variables(&noted_count);
	noted = palloc(sizeof(Noted) * noted_count);
	for (int i = 0; i < noted_count; i++)
	{
		const char *name = variables[i]->name;
		const char *value = GetConfigOption(name, true, false);

		noted[i].name = pstrdup(name);
		noted[i].value = value == NULL ? NULL : pstrdup(value);
		noted[i].source = variables[i]->source;
	}
	MemoryContextSwitchTo(old);
}

void
dwf_worker_settings_fix(void)
{
	MemoryContext old = MemoryContextSwitchTo(noted_context);
	struct config_generic **variables;
	int			count;

	variables = dwf_guc_variables(&count);
	for (int i = 0; i < count; i++)
	{
		if (is_personal(variables[i]->source) ||
			is_personal(variables[i]->reset_source))
			put_back(variables[i]);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(noted_context);
	noted = NULL;
	fix_own();
}

/* Whether a value was set for a database, a role, or all roles. */
static bool
is_personal(GucSource source)
{
	switch (source)
	{
		case PGC_S_GLOBAL:
		case PGC_S_DATABASE:
		case PGC_S_USER:
		case PGC_S_DATABASE_USER:
			return true;
		case PGC_S_DEFAULT:
		case PGC_S_DYNAMIC_DEFAULT:
		case PGC_S_ENV_VAR:
		case PGC_S_FILE:
		case PGC_S_ARGV:
		case PGC_S_CLIENT:
		case PGC_S_OVERRIDE:
		case PGC_S_INTERACTIVE:
		case PGC_S_TEST:
		case PGC_S_SESSION:
			return false;
	}
	return false;
}

static const Noted *
find_noted(const char *name)
{
	for (int i = 0; i < noted_count; i++)
	{
		if (strcmp(noted[i].name, name) == 0)
			return &noted[i];
	}
	return NULL;
}

/*
 * Gives a setting the value and the source that it was started with.  As a
 * value goes only before those of lower sources, its present one is lowered
 * first; not to the default, by which later versions keep lists.  A setting
 * that is new is one of a library that is not loaded: nobody reads it; who the
 * worker is, is worker_start.c's.
 */
static void
put_back(struct config_generic *variable)
{
	const Noted *setting = find_noted(variable->name);
	const char *value;

	if (setting == NULL || setting->value == NULL ||
		strcmp(setting->name, "role") == 0 ||
		strcmp(setting->name, "session_authorization") == 0)
		return;
	value = setting->value;

	/* set by PostgreSQL when it connects, where the configuration does not */
	if (strcmp(setting->name, "client_encoding") == 0 &&
		setting->source < PGC_S_FILE)
		value = GetDatabaseEncodingName();
	variable->source = PGC_S_DYNAMIC_DEFAULT;
	variable->reset_source = PGC_S_DYNAMIC_DEFAULT;
	(void) set_config_option(setting->name, value, PGC_POSTMASTER,
							 Max(setting->source, PGC_S_DYNAMIC_DEFAULT),
							 GUC_ACTION_SET, true, WARNING, false);
}

/*
 * Sets what the worker's statements rest on, in a way that no reload changes.
 * A person may lock its rows for long: it does not wait for him, but tries
 * again (worker.c).
 */
static void
fix_own(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	}			settings[] = {
		{"application_name", "domowf worker"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		/* plans are kept, and a queue that was empty then may be long now */
		{"enable_seqscan", "off"},
		{"idle_in_transaction_session_timeout", "0"},
		{"jit", "off"},
		{"lock_timeout", "100ms"},
		{"row_security", "on"},
		{"search_path", "pg_catalog, pg_temp"},
		{"session_replication_role", "replica"},
		{"statement_timeout", "0"},
		{"transaction_timeout", "0"},
	};

	for (int i = 0; i < lengthof(settings); i++)
	{
		/* one that this PostgreSQL does not have is none to fear */
		if (GetConfigOption(settings[i].name, true, false) != NULL)
			SetConfigOption(settings[i].name, settings[i].value, PGC_SUSET,
							PGC_S_OVERRIDE);
	}
}
