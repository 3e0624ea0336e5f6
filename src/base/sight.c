/*
 * sight.c
 *	  Who sees all requests: who reads all data, and who owns the queue.
 */
#include "postgres.h"

#include "base/sight.h"
#include "base/table.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "utils/acl.h"
#include "utils/syscache.h"

bool
dwf_sight_of_all(Oid role)
{
	HeapTuple	tuple;
	bool		is_owner = false;

	if (has_privs_of_role(role, ROLE_PG_READ_ALL_DATA))
		return true;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(dwf_table_oid("queue")));
	if (HeapTupleIsValid(tuple))
	{
		is_owner = has_privs_of_role(role, ((Form_pg_class)
											GETSTRUCT(tuple))->relowner);
		ReleaseSysCache(tuple);
	}
	return is_owner;
}
