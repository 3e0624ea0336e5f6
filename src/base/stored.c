/*
 * stored.c
 *	  Settings that are stored for databases and roles.
 *
 * PostgreSQL keeps what ALTER DATABASE ... SET and ALTER ROLE ... SET store, and
 * not who has stored it: a superuser, or who had been granted SET on the parameter
 * and was the database's owner, the role itself, or one that may alter it.  Each of
 * these may have changed since; a database has another owner, and his group's
 * members were none but its own.  So what is stored counts as a superuser's only
 * while there is nobody else who might have.
 *
 * What was stored before the privilege was taken back cannot be told from it; so
 * domowf_check() lists all of it.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/stored.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_parameter_acl.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* So many are named. */
#define MAX_NAMED	5

static const char *const targets[] = {
	"domowf.base_url", "domowf.ca_file", "domowf.instance", "domowf.proxy"
};

static bool may_anybody_set(Acl *acl);
static int	list_row(StringInfo list, int count, HeapTuple row, TupleDesc desc);
static bool is_target(const char *setting);
static void append_target(StringInfo list, int number, const char *setting,
						  Form_pg_db_role_setting of);

bool
dwf_stored_is_superusers(const char *name)
{
	HeapTuple	tuple = SearchSysCache1(PARAMETERACLNAME,
										CStringGetTextDatum(name));
	Datum		value;
	bool		isnull;
	bool		ok = true;

	/* where nothing was ever granted there is no row */
	if (!HeapTupleIsValid(tuple))
		return true;
	value = SysCacheGetAttr(PARAMETERACLNAME, tuple,
							Anum_pg_parameter_acl_paracl, &isnull);
	if (!isnull)
		ok = !may_anybody_set(DatumGetAclP(value));
	ReleaseSysCache(tuple);
	return ok;
}

/* Whether somebody may who is no superuser, or may let somebody. */
static bool
may_anybody_set(Acl *acl)
{
	const		AclItem *items = ACL_DAT(acl);

	for (int i = 0; i < ACL_NUM(acl); i++)
	{
		if ((items[i].ai_privs & (ACL_SET | ACL_GRANT_OPTION_FOR(ACL_SET))) != 0 &&
			(items[i].ai_grantee == ACL_ID_PUBLIC ||
			 !superuser_arg(items[i].ai_grantee)))
			return true;
	}
	return false;
}

/* Without SQL, for which a catalog may be closed to whoever asks. */
char *
dwf_stored_list_targets(void)
{
	Relation	rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId,
										  true, NULL, 0, NULL);
	StringInfoData list;
	HeapTuple	row;
	int			count = 0;

	initStringInfo(&list);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
		count = list_row(&list, count, row, RelationGetDescr(rel));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return count == 0 ? NULL : list.data;
}

/* Appends what a row has of targets.  Returns how many there are so far. */
static int
list_row(StringInfo list, int count, HeapTuple row, TupleDesc desc)
{
	Form_pg_db_role_setting of = (Form_pg_db_role_setting) GETSTRUCT(row);
	bool		isnull;
	Datum		value = heap_getattr(row, Anum_pg_db_role_setting_setconfig, desc,
									 &isnull);
	Datum	   *settings;
	int			nsettings;

	if (isnull || (of->setdatabase == InvalidOid && of->setrole == InvalidOid))
		return count;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &settings, NULL, &nsettings);
	for (int i = 0; i < nsettings; i++)
	{
		const char *setting = TextDatumGetCString(settings[i]);

		if (is_target(setting))
			append_target(list, count++, setting, of);
	}
	return count;
}

/* Whether it is "name=value" of one. */
static bool
is_target(const char *setting)
{
	size_t		len = strcspn(setting, "=");

	for (int i = 0; i < lengthof(targets); i++)
	{
		if (len == strlen(targets[i]) &&
			pg_strncasecmp(setting, targets[i], len) == 0)
			return true;
	}
	return false;
}

/* Without its value; the first of those for which there is no room as others. */
static void
append_target(StringInfo list, int number, const char *setting,
			  Form_pg_db_role_setting of)
{
	const char *database = get_database_name(of->setdatabase);
	const char *role = GetUserNameFromId(of->setrole, true);

	if (number > MAX_NAMED)
		return;
	if (number > 0)
		appendStringInfoString(list, ", ");
	if (number == MAX_NAMED)
	{
		appendStringInfoString(list, "others");
		return;
	}
	appendStringInfo(list, "%.*s for ", (int) strcspn(setting, "="), setting);
	if (role != NULL)
		appendStringInfo(list, "role %s%s", role, database != NULL ? " in " : "");
	if (database != NULL)
		appendStringInfo(list, "database %s", database);
}
