/*
 * configuration.c
 *	  What the server's configuration says, read from the configuration.
 *
 * Nothing of a session tells: a value in force may be the session's, its
 * source may be the default because the session's was refused, and what a
 * session has set to the configuration's value stays when the configuration
 * moves.  Two places do tell:
 *
 * - a postmaster that preloads the library runs the assign hooks itself, for
 *   its command line, its files and each reload; processes inherit the values
 *   that it had when they started;
 * - the files: postgresql.conf with all that it includes, and what ALTER SYSTEM
 *   wrote.  They are read by a process whose postmaster knows nothing of the
 *   library, or which has reloaded since it started.
 *
 * A command line goes before the files; without preloading it is not known,
 * and what it sets counts as set by the session: configured tokens are not
 * sent.
 *
 * Who has set a value PostgreSQL keeps with it, and takes it back with it: by a
 * RESET, at the end of a function or of a (sub)transaction, whatever role is the
 * current one by then.  It does not know who has set what is stored for a
 * database or a role, and takes it for a superuser's; stored.c is more careful.
 */
#include "postgres.h"

#include "base/configuration.h"
#include "base/stored.h"
#include "http/url.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define PREFIX	"domowf."

/* A value that the configuration gives, malloc'd; NULL: not known. */
typedef struct Configured
{
	char	   *value;
	bool		is_argument;	/* of the command line: no file changes it */
} Configured;

static Configured configured[DWF_TARGETS];

/* The reload for which the files were read; 0: not yet. */
static TimestampTz read_for;

static const char *const names[DWF_TARGETS] = {
	[DWF_TARGET_BASE_URL] = PREFIX "base_url",
	[DWF_TARGET_CA_FILE] = PREFIX "ca_file",
	[DWF_TARGET_INSTANCE] = PREFIX "instance",
	[DWF_TARGET_PROXY] = PREFIX "proxy",
};

static bool is_configuration(GucSource source);
static void keep(DwfTarget target, const char *value);
static void learn(void);
static bool knows_all(void);
static bool read_files(ConfigVariable * *items);
static void take_files(const ConfigVariable * items);
static const char *find_value(const ConfigVariable * items, const char *name);
static bool is_valid(DwfTarget target, const char *value);
static const struct config_generic *find_variable(const char *name);
static bool is_set_by(const char *name, Oid role);

void
dwf_configuration_note(DwfTarget target, const char *value, GucSource source)
{
	if (IsUnderPostmaster || !is_configuration(source))
		return;
	configured[target].is_argument = source == PGC_S_ARGV;
	keep(target, value);
}

/* Whether a value that a postmaster is given comes from the configuration. */
static bool
is_configuration(GucSource source)
{
	return source <= PGC_S_ARGV;
}

/* Must not fail: short memory forgets the value, which is then no match. */
static void
keep(DwfTarget target, const char *value)
{
	free(configured[target].value);
	configured[target].value = strdup(value);
}

void
dwf_configuration_restore(void)
{
	MemoryContext context;
	MemoryContext old;
	ConfigVariable *items;
	struct config_generic **variables;
	int			count;

	if (process_shared_preload_libraries_in_progress || !IsUnderPostmaster)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext,
									"domowf configuration",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	if (read_files(&items))
	{
		variables = dwf_guc_variables(&count);
		for (int i = 0; i < count; i++)
		{
			const char *name = variables[i]->name;
			const char *value;

			if (variables[i]->source != PGC_S_DEFAULT ||
				pg_strncasecmp(name, PREFIX, strlen(PREFIX)) != 0 ||
				(value = find_value(items, name)) == NULL)
				continue;
			(void) set_config_option(name, value, PGC_SIGHUP, PGC_S_FILE,
									 GUC_ACTION_SET, true, WARNING, false);
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

const char *
dwf_configuration_diverted_by(const char *const values[DWF_TARGETS],
							  Oid trusting)
{
	for (int i = 0; i < DWF_TARGETS; i++)
	{
		/* with a base URL the instance is not used */
		if (i == DWF_TARGET_INSTANCE && *values[DWF_TARGET_BASE_URL] != '\0')
			continue;
		if (OidIsValid(trusting) &&
			is_set_by(names[i], trusting))
			continue;
		learn();
		if (configured[i].value == NULL ||
			strcmp(configured[i].value, values[i]) != 0)
			return names[i];
	}
	return NULL;
}

/* Whether a role has set what a setting is, or one that may become it. */
static bool
is_set_by(const char *name, Oid role)
{
	Oid			setter = dwf_configuration_setter(name);

	return OidIsValid(setter) && dwf_may_become(setter, role);
}

/*
 * Reads the files where what is known may be out of date.  What a process has
 * inherited is as its postmaster had it when it started.
 */
static void
learn(void)
{
	MemoryContext context;
	MemoryContext old;
	ConfigVariable *items;
	bool		ok;

	if (!IsUnderPostmaster && knows_all())
		return;
	if (read_for == 0 ? PgReloadTime <= MyStartTimestamp && knows_all() :
		read_for == PgReloadTime)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext,
									"domowf configuration",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	ok = read_files(&items);
	if (ok)
		take_files(items);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not read the server's configuration, which says where its token may go"),
				 errhint("The server's log says why.")));
	read_for = PgReloadTime;
}

static bool
knows_all(void)
{
	for (int i = 0; i < DWF_TARGETS; i++)
	{
		if (configured[i].value == NULL)
			return false;
	}
	return true;
}

/*
 * Reads the configuration files as the server does, into the current memory
 * context.  False, after a line in the server's log, where that fails.
 */
static bool
read_files(ConfigVariable * *items)
{
	ConfigVariable *tail = NULL;

	*items = NULL;
	return ParseConfigFile(ConfigFileName, true, NULL, 0, 0, LOG, items,
						   &tail) &&
		ParseConfigFile(PG_AUTOCONF_FILENAME, false, NULL, 0, 0, LOG, items,
						&tail);
}

/* What the files say; a value that the server does not take changes nothing. */
static void
take_files(const ConfigVariable * items)
{
	for (int i = 0; i < DWF_TARGETS; i++)
	{
		const char *value = find_value(items, names[i]);

		if (value == NULL)
			value = "";
		if (!configured[i].is_argument && is_valid(i, value))
			keep(i, value);
	}
}

/* The last line that sets a name goes; NULL: none does. */
static const char *
find_value(const ConfigVariable * items, const char *name)
{
	const char *value = NULL;

	for (; items != NULL; items = items->next)
	{
		if (!items->ignore && items->errmsg == NULL && items->name != NULL &&
			pg_strcasecmp(items->name, name) == 0)
			value = items->value;
	}
	return value;
}

/* As the check hooks have it. */
static bool
is_valid(DwfTarget target, const char *value)
{
	if (*value == '\0')
		return true;
	switch (target)
	{
		case DWF_TARGET_BASE_URL:
			return dwf_url_check_base(value) == NULL;
		case DWF_TARGET_CA_FILE:
			return true;
		case DWF_TARGET_INSTANCE:
			return dwf_url_is_instance(value);
		case DWF_TARGET_PROXY:
			return dwf_url_check_proxy(value) == NULL;
	}
	return false;
}

Oid
dwf_configuration_setter(const char *name)
{
	const struct config_generic *variable = find_variable(name);

	if (variable->source == PGC_S_DATABASE ||
		variable->source == PGC_S_USER ||
		variable->source == PGC_S_DATABASE_USER)
		return dwf_stored_is_superusers(name) ?
			BOOTSTRAP_SUPERUSERID : InvalidOid;
	return variable->srole;
}

/* Each is looked for once: what a library has defined stays where it is. */
static const struct config_generic *
find_variable(const char *name)
{
	static struct
	{
		const char *name;
		const struct config_generic *variable;
	}			found[DWF_TARGETS + 1];
	int			at = 0;
	int			count;
	struct config_generic **variables;

	while (at < lengthof(found) && found[at].name != NULL)
	{
		if (strcmp(found[at].name, name) == 0)
			return found[at].variable;
		at++;
	}
	variables = dwf_guc_variables(&count);
	for (int i = 0; i < count; i++)
	{
		if (strcmp(variables[i]->name, name) != 0)
			continue;
		if (at < lengthof(found))
		{
			found[at].name = variables[i]->name;
			found[at].variable = variables[i];
		}
		return variables[i];
	}
	elog(ERROR, "no setting %s", name);
}
