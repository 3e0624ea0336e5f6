/*
 * record.c
 *	  An instance that a person records as what a request has started.
 *
 * Retry and discard say what is true whoever calls them.  What domowf_resolve()
 * records is its caller's word.  Of a request that one asked for oneself it is
 * good enough, but for where it leads to what takes more than to have asked:
 *
 *		into a row		of whoever owns the table whose trigger asked
 *		to a poll		by which the worker reads an instance of anybody's, with
 *						the request's token, and shows it to who asked
 *
 * It must not know how a request is settled.
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/compat.h"
#include "base/owner.h"
#include "base/sight.h"
#include "queue/record.h"
#include "queue/tracked.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

/* whose table a settled request is written back into; none, where that is gone */
static const char find_written[] =
"SELECT c.relowner, c.oid::pg_catalog.regclass FROM domowf.log l, "
"pg_catalog.pg_class c WHERE l.id = $1 "
"AND c.oid = (l.returns_to->>'relation')::pg_catalog.oid";

/* $2 why, as tracking tells where it gives up (dwf_tracked_end()) */
static const char note_not_followed[] =
"UPDATE domowf.log SET error = $2, instance_finished_at = clock_timestamp() "
"WHERE id = $1";

#define NOT_FOLLOWED \
	"its instance is not followed: the request is not known to have been sent, and who recorded it may not execute domowf_instance()"

static bool may_read_instances(Oid schema);
static void check_may_write(int64 id);
static bool may_write_as(Oid owner, Oid role);
static void note_left(int64 id);

DwfRecord
dwf_record_begin(Datum instance_id, Oid schema)
{
	return (DwfRecord)
	{
		.instance_id = instance_id,
			.may_read = may_read_instances(schema)
	};
}

/* Whether the current user may execute domowf_instance(text, name). */
static bool
may_read_instances(Oid schema)
{
	Oid			args[] = {TEXTOID, NAMEOID};
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										   CStringGetDatum("domowf_instance"),
										   PointerGetDatum(buildoidvector(args, lengthof(args))),
										   ObjectIdGetDatum(schema));

	return OidIsValid(function) && dwf_may_execute(function, GetUserId());
}

/*
 * One that was sent has most likely started what is recorded; one that was put
 * in doubt by hand (domowf_hold()) has used no attempt.  (Nor has one in doubt
 * that a person has sent again and that still waits.)
 */
void
dwf_record_follow(DwfRecord *record, const DwfTable *queue)
{
	bool		was_sent = DatumGetInt32(queue->values[QUEUE_ATTEMPTS]) > 0;

	if (was_sent || record->may_read)
		dwf_tracked_add(queue, record->instance_id);
	else
		record->is_left = !queue->nulls[QUEUE_TRACK] &&
			DatumGetBool(queue->values[QUEUE_TRACK]);
}

void
dwf_record_finish(const DwfRecord *record, int64 id)
{
	check_may_write(id);
	if (record->is_left)
		note_left(id);
}

/*
 * Who changes a row asks for a request, and may have no right on the table but
 * that; what a return writes is written as the table's owner.
 */
static void
check_may_write(int64 id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};
	DwfOwnerScope scope;
	bool		isnull;
	Oid			owner;

	dwf_owner_enter_to_read(&scope);
	SPI_connect();
	/* it was written by this command: not read only */
	if (SPI_execute_with_args(find_written, lengthof(types), types, values,
							  NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.log");
	if (SPI_processed > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		owner = DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull));
		if (!may_write_as(owner, scope.user))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to resolve request " INT64_FORMAT,
							id),
					 errdetail("What it came to is written into table %s, as its owner \"%s\".",
							   SPI_getvalue(row, desc, 2),
							   GetUserNameFromId(owner, true)),
					 errhint("It takes the rights of that role, or of the owner of domowf's tables, to say what it came to. Others have it sent by domowf_retry(), or give it up by domowf_discard().")));
	}
	SPI_finish();
	dwf_owner_leave(&scope);
}

static bool
may_write_as(Oid owner, Oid role)
{
	return has_privs_of_role(role, owner) || dwf_sight_of_owner(role);
}

static void
note_left(int64 id)
{
	Oid			types[] = {INT8OID, TEXTOID};
	Datum		values[] = {Int64GetDatum(id), CStringGetTextDatum(NOT_FOLLOWED)};
	DwfOwnerScope scope;

	dwf_owner_enter(&scope);
	SPI_connect();
	if (SPI_execute_with_args(note_not_followed, lengthof(types), types, values,
							  NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write domowf.log");
	SPI_finish();
	dwf_owner_leave(&scope);
}
