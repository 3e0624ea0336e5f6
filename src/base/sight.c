/*
 * sight.c
 *	  Who sees what: all requests who reads all data and who owns the queue, the
 *	  values of a column who may select it.
 */
#include "postgres.h"

#include "base/sight.h"
#include "base/table.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

static bool may_select(Oid table, AttrNumber column);

bool
dwf_sight_of_all(Oid role)
{
	return has_privs_of_role(role, ROLE_PG_READ_ALL_DATA) ||
		dwf_sight_of_owner(role);
}

bool
dwf_sight_of_owner(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(RELOID,
										ObjectIdGetDatum(dwf_table_oid("queue")));
	bool		is_owner;

	if (!HeapTupleIsValid(tuple))
		return false;
	is_owner = has_privs_of_role(role,
								 ((Form_pg_class) GETSTRUCT(tuple))->relowner);
	ReleaseSysCache(tuple);
	return is_owner;
}

bool
dwf_sight_of_value(const DwfOrigin *origin)
{
	char	   *name;

	if (origin->column == 0 || may_select(origin->table, origin->column))
		return true;
	if (origin->parent == origin->table)
		return false;
	name = get_attname(origin->table, origin->column, true);
	return name != NULL &&
		may_select(origin->parent, get_attnum(origin->parent, name));
}

/*
 * As PostgreSQL judges it for the values in its own errors
 * (ExecBuildSlotValueDescription()).
 */
static bool
may_select(Oid table, AttrNumber column)
{
	if (!OidIsValid(table) || column == InvalidAttrNumber ||
		check_enable_rls(table, InvalidOid, true) == RLS_ENABLED)
		return false;
	return pg_class_aclcheck(table, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck(table, column, GetUserId(),
							  ACL_SELECT) == ACLCHECK_OK;
}
