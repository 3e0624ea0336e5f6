/*
 * server.c
 *	  Servers, as they stand in PostgreSQL's catalogs.
 *
 * A token and the host that it goes to are one privilege.  Whoever owns a
 * server may set its options, so its owner is trusted with the tokens of its
 * mappings.  What reaches further than Domo's own hosts, or into the server's
 * file system (base_url, proxy, ca_file, token_file), is a superuser's alone.
 * A validator sees the options that result and not who set which, and an owner
 * may change: so that is looked at here, at each use.
 *
 * It must not know what the options are checked by (server_options.c), nor how
 * a connection is made of them.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/guc.h"
#include "http/token.h"
#include "registry/server.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* The foreign data wrapper; only a superuser can make one of that name. */
#define WRAPPER	"domowf"

static int	fill_options(DwfServer *server, List *options, DwfFault *fault);
static int	fill_mapping(DwfServer *server, Oid role, DwfFault *fault);
static bool find_mapping(DwfServer *server, Oid role, List **options);
static char **text_option(DwfServer *server, const char *name);
static int *number_option(DwfServer *server, const char *name);
static bool is_superusers(const char *option);
static const char *role_name(Oid role);
static int	refuse(DwfFault *fault, int code, const char *hint,
				   const char *fmt,...) pg_attribute_printf(4, 5);

int
dwf_server_find(const char *utf8_name, Oid role, DwfServer *server,
				DwfFault *fault)
{
	const char *name = pg_any_to_server(utf8_name, strlen(utf8_name), PG_UTF8);
	ForeignServer *found = GetForeignServerByName(name, true);
	int			code;

	memset(server, 0, sizeof(*server));
	if (found == NULL)
		return refuse(fault, ERRCODE_UNDEFINED_OBJECT,
					  "Make it with CREATE SERVER ... FOREIGN DATA WRAPPER domowf.",
					  "server \"%s\" does not exist", name);
	if (strcmp(GetForeignDataWrapper(found->fdwid)->fdwname, WRAPPER) != 0)
		return refuse(fault, ERRCODE_WRONG_OBJECT_TYPE, NULL,
					  "server \"%s\" is none of foreign data wrapper domowf",
					  name);
	if (!dwf_may_use_server(found->serverid, role))
		return refuse(fault, ERRCODE_INSUFFICIENT_PRIVILEGE, NULL,
					  "permission denied for foreign server %s", name);
	server->name = found->servername;
	server->oid = found->serverid;
	server->owner = found->owner;
	server->instance = server->base_url = server->proxy = server->ca_file =
		server->token = server->token_file = pstrdup("");
	code = fill_options(server, found->options, fault);
	return code != 0 ? code : fill_mapping(server, role, fault);
}

/* Those that are not given stay as they are. */
static int
fill_options(DwfServer *server, List *options, DwfFault *fault)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);
		char	   *value = defGetString(option);
		char	  **text = text_option(server, option->defname);
		int		   *number = number_option(server, option->defname);

		if (number != NULL)
			*number = dwf_guc_read_number(option->defname, value);
		if (text == NULL || *value == '\0')
			continue;
		if (is_superusers(option->defname) && !superuser_arg(server->owner))
			return refuse(fault, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						  "Drop the option, or give the server to a superuser.",
						  "option \"%s\" of server \"%s\" cannot be used, because its owner is no superuser",
						  option->defname, server->name);
		*text = value;
	}
	if (*server->instance == '\0' && *server->base_url == '\0')
		return refuse(fault, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					  "Set its option \"instance\", as in acme or acme.domo.com.",
					  "server \"%s\" names no Domo instance", server->name);
	return 0;
}

/* Finds the mapping that counts, and what token it has. */
static int
fill_mapping(DwfServer *server, Oid role, DwfFault *fault)
{
	List	   *options;
	ListCell   *cell;

	if (!find_mapping(server, role, &options))
		return refuse(fault, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					  "Make one with CREATE USER MAPPING, for the role or for PUBLIC.",
					  "server \"%s\" has no user mapping for \"%s\"",
					  server->name, role_name(role));
	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, "token") == 0)
			server->token = defGetString(option);
		else if (strcmp(option->defname, "token_file") == 0)
			server->token_file = defGetString(option);
	}
	if (*server->token_file != '\0' && !superuser_arg(server->owner))
		return refuse(fault, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					  "Use a token, or give the server to a superuser.",
					  "option \"token_file\" of a mapping for server \"%s\" cannot be used, because the server's owner is no superuser",
					  server->name);
	if (*server->token_file == '\0' &&
		!dwf_token_is_one(server->token, strlen(server->token)))
		return refuse(fault, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					  "Set its option \"token_file\" or \"token\".",
					  "the mapping of \"%s\" for server \"%s\" has no token",
					  role_name(role), server->name);
	return 0;
}

/* The role's own, else PUBLIC's.  False: there is neither. */
static bool
find_mapping(DwfServer *server, Oid role, List **options)
{
	Oid			roles[] = {role, InvalidOid};

	for (int i = 0; i < lengthof(roles); i++)
	{
		HeapTuple	tuple = SearchSysCache2(USERMAPPINGUSERSERVER,
											ObjectIdGetDatum(roles[i]),
											ObjectIdGetDatum(server->oid));
		bool		isnull;
		Datum		value;

		if (!HeapTupleIsValid(tuple))
			continue;
		server->mapping = ((Form_pg_user_mapping) GETSTRUCT(tuple))->oid;
		server->mapped = roles[i];
		value = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple,
								Anum_pg_user_mapping_umoptions, &isnull);
		*options = isnull ? NIL : untransformRelOptions(value);
		ReleaseSysCache(tuple);
		return true;
	}
	return false;
}

/* Where a server's option goes; NULL: it is no text. */
static char **
text_option(DwfServer *server, const char *name)
{
	const struct
	{
		const char *name;
		char	  **value;
	}			options[] =
	{
		{"instance", &server->instance},
		{"base_url", &server->base_url},
		{"proxy", &server->proxy},
		{"ca_file", &server->ca_file},
	};

	for (int i = 0; i < lengthof(options); i++)
	{
		if (strcmp(options[i].name, name) == 0)
			return options[i].value;
	}
	return NULL;
}

/* The same of a number. */
static int *
number_option(DwfServer *server, const char *name)
{
	const struct
	{
		const char *name;
		int		   *value;
	}			options[] =
	{
		{"connect_timeout", &server->connect_timeout},
		{"timeout", &server->timeout},
		{"max_connections", &server->max_connections},
		{"rate_limit", &server->rate_limit},
	};

	for (int i = 0; i < lengthof(options); i++)
	{
		if (strcmp(options[i].name, name) == 0)
			return options[i].value;
	}
	return NULL;
}

static bool
is_superusers(const char *option)
{
	return strcmp(option, "instance") != 0;
}

bool
dwf_server_exists(void)
{
	Oid			wrapper = get_foreign_data_wrapper_oid(WRAPPER, true);
	Relation	catalog;
	SysScanDesc scan;
	ScanKeyData key;
	bool		found;

	if (!OidIsValid(wrapper))
		return false;
	catalog = table_open(ForeignServerRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_foreign_server_srvfdw, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(wrapper));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

int
dwf_server_count_mappings(void)
{
	Oid			wrapper = get_foreign_data_wrapper_oid(WRAPPER, true);
	Relation	catalog;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			count = 0;

	if (!OidIsValid(wrapper))
		return 0;
	catalog = table_open(UserMappingRelationId, AccessShareLock);
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_user_mapping mapping = (Form_pg_user_mapping) GETSTRUCT(tuple);

		count += GetForeignServer(mapping->umserver)->fdwid == wrapper;
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return count;
}

static const char *
role_name(Oid role)
{
	const char *name = GetUserNameFromId(role, true);

	return name == NULL ? "a role that is gone" : name;
}

/* Fills in a fault, whose message is UTF-8. */
static int
refuse(DwfFault *fault, int code, const char *hint, const char *fmt,...)
{
	char		message[sizeof(fault->message)];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	memset(fault, 0, sizeof(*fault));
	strlcpy(fault->message, pg_server_to_any(message, strlen(message), PG_UTF8),
			sizeof(fault->message));
	if (hint != NULL)
		strlcpy(fault->hint, hint, sizeof(fault->hint));
	return code;
}
