/*
 * server_options.c
 *	  The validator of the foreign data wrapper domowf: which options servers
 *	  and user mappings have, each checked as the setting of its name.
 *
 * It sees the options that result and not who set which.  For a mapping that is
 * enough to say that token_file is a superuser's: a mapping has it or a token,
 * so that whoever leaves it there has set it.  For a server it is not: server.c.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/guc.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"

PG_FUNCTION_INFO_V1(domowf_server_validator);

/* What has which options, in the order in which they are listed. */
static const struct
{
	const char *name;
	Oid			catalog;
}			known[] = {
	{"base_url", ForeignServerRelationId},
	{"ca_file", ForeignServerRelationId},
	{"connect_timeout", ForeignServerRelationId},
	{"instance", ForeignServerRelationId},
	{"max_connections", ForeignServerRelationId},
	{"proxy", ForeignServerRelationId},
	{"rate_limit", ForeignServerRelationId},
	{"timeout", ForeignServerRelationId},
	{"token", UserMappingRelationId},
	{"token_file", UserMappingRelationId},
};

static bool is_known(const char *name, Oid catalog);
static void refuse_unknown(const char *name, Oid catalog)
			pg_attribute_noreturn();
static void check_mapping(const char *previous, const char *name);

/*
 * server_validator(options text[], catalog oid) returns void
 */
Datum
domowf_server_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	const char *previous = NULL;
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (!is_known(option->defname, catalog))
			refuse_unknown(option->defname, catalog);
		if (catalog == UserMappingRelationId)
			check_mapping(previous, option->defname);
		dwf_guc_check_value(option->defname, defGetString(option));
		previous = option->defname;
	}
	PG_RETURN_VOID();
}

static bool
is_known(const char *name, Oid catalog)
{
	for (int i = 0; i < lengthof(known); i++)
	{
		if (known[i].catalog == catalog && strcmp(known[i].name, name) == 0)
			return true;
	}
	return false;
}

/* With those that there are, as postgres_fdw does. */
static void
refuse_unknown(const char *name, Oid catalog)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < lengthof(known); i++)
	{
		if (known[i].catalog == catalog)
			appendStringInfo(&list, "%s%s", list.len == 0 ? "" : ", ",
							 known[i].name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 list.len > 0 ?
			 errhint("Valid options in this context are: %s.", list.data) :
			 errhint("There are no valid options in this context.")));
}

/* `previous` is another option of the same mapping; NULL: it has none. */
static void
check_mapping(const char *previous, const char *name)
{
	if (previous != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a user mapping has a token or a token_file, not both")));
	if (strcmp(name, "token_file") == 0 && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"token_file\""),
				 errdetail("It names a file that the server reads: a superuser sets it.")));
}
