/*
 * privileges.c
 *	  What is granted on the extension's objects.
 *
 * The extension grants nothing to PUBLIC.  Somebody else may have: on purpose,
 * or by a GRANT ON ALL FUNCTIONS IN SCHEMA that meant others.
 */
#include "postgres.h"

#include "base/privileges.h"

#include "executor/spi.h"
#include "utils/guc.h"

static const char granted_to_public[] =
"SELECT string_agg(what || ' on ' || object, ', ' ORDER BY object) FROM ("
"SELECT string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS what, "
"pg_describe_object(d.classid, d.objid, m.column) AS object "
"FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid, LATERAL ("
"SELECT 0, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc "
"WHERE oid = d.objid AND d.classid = 'pg_proc'::regclass "
"UNION ALL SELECT 0, relacl FROM pg_class "
"WHERE oid = d.objid AND d.classid = 'pg_class'::regclass "
"UNION ALL SELECT attnum, attacl FROM pg_attribute "
"WHERE attrelid = d.objid AND d.classid = 'pg_class'::regclass "
"UNION ALL SELECT 0, nspacl FROM pg_namespace "
"WHERE oid = d.objid AND d.classid = 'pg_namespace'::regclass "
"UNION ALL SELECT 0, fdwacl FROM pg_foreign_data_wrapper "
"WHERE oid = d.objid AND d.classid = 'pg_foreign_data_wrapper'::regclass "
"UNION ALL SELECT 0, srvacl FROM pg_foreign_server "
"WHERE oid = d.objid AND d.classid = 'pg_foreign_server'::regclass"
") m (\"column\", acl), aclexplode(m.acl) a "
"WHERE e.extname = 'domowf' AND d.refclassid = 'pg_extension'::regclass "
"AND d.deptype = 'e' AND a.grantee = 0 GROUP BY 2) g";

char *
dwf_privileges_of_public(void)
{
	MemoryContext context = CurrentMemoryContext;
	int			guc_level = NewGUCNestLevel();
	char	   *found;

	/* the names above are PostgreSQL's own, whatever the caller has */
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	SPI_connect();
	if (SPI_execute(granted_to_public, true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read what is granted to PUBLIC");
	found = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (found != NULL)
		found = MemoryContextStrdup(context, found);
	SPI_finish();
	AtEOXact_GUC(false, guc_level);
	return found;
}
