/*
 * key.c
 *	  Keys: who asks for the same thing twice gets the request that is there.
 *
 * (scope, key) is inserted unless it is there, as by ON CONFLICT DO NOTHING:
 * that waits for a concurrent transaction that holds it, and raises 40001
 * above READ COMMITTED, where the winner cannot be seen.
 *
 * Whose a key is.  Scopes are shared by all who may start a workflow.  To hand
 * out a request that its caller cannot see, and drop his own, would let one
 * role swallow what another one asks for.  So he gets an error, unless he sees
 * the holder as row security lets him (may_see()).
 *
 * What a trigger asks for is recorded as that of whoever changes the row, of
 * whom there may be many who know nothing of each other, while the keys are an
 * affair of the table.  There the owner of the table is asked, and is entitled
 * to a key that was taken by a table of his: one that was his then (key_owner),
 * or is now (source_oid: the table has got another owner since).  A row of
 * version 1.0 has neither, and goes by the name of the request's table.
 *
 * A step of test/model/domowf.pml: what changes here has to change there.
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/compat.h"
#include "base/sight.h"
#include "base/table.h"
#include "queue/key.h"
#include "queue/scope.h"
#include "queue/source.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/value.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

/* What decides who may know of a holder. */
typedef struct Holder
{
	int64		id;
	Oid			key_owner;		/* InvalidOid: not known */
	Oid			source_oid;		/* the same */
	Oid			requested_by;	/* InvalidOid: there is no such request */
	char	   *source;			/* NULL: no trigger */
} Holder;

static const char *scope_of(const DwfEnqueue *request, const DwfTable *key);
static void set_oid(DwfTable *key, int column, Oid value);
static Oid	get_oid(const DwfTable *key, int column);
static bool is_nobodys(DwfTable *key, const char *scope, const char *text,
					   Holder *holder);
static bool may_have(const DwfEnqueue *request, const Holder *holder);
static bool read_holder(Holder *holder);
static bool read_holder_in(Holder *holder, const char *name, int ncolumns,
						   int id, int requested_by, int source);
static bool is_owners(const Holder *holder, Oid owner);
static void refuse(const DwfEnqueue *request) pg_attribute_noreturn();

int64
dwf_key_take(const DwfEnqueue *request, int64 id)
{
	Holder		holder;
	DwfTable	key;
	const char *scope;
	bool		is_new;

	dwf_table_open(&key, "key", KEY_COLUMNS, true);
	scope = scope_of(request, &key);
	do
	{
		dwf_table_clear(&key);
		dwf_table_set_text(&key, KEY_SCOPE, scope);
		dwf_table_set_text(&key, KEY_KEY, request->key);
		dwf_table_set(&key, KEY_REQUEST_ID, Int64GetDatum(id));
		set_oid(&key, KEY_KEY_OWNER, request->key_owner);
		set_oid(&key, KEY_SOURCE_OID, request->source_oid);
		is_new = dwf_table_insert_new(&key);
	} while (!is_new && is_nobodys(&key, scope, request->key, &holder));
	dwf_table_close(&key);
	if (is_new)
		return id;
	if (!may_have(request, &holder))
		refuse(request);
	return holder.id;
}

/*
 * Reads the holder of the key at hand.  True where nobody is, as the log's row
 * was removed by hand; then the key is given back.  A holder goes from the queue
 * to the log, and from there nowhere but with its key, which is locked before it
 * is believed to be gone.
 */
static bool
is_nobodys(DwfTable *key, const char *scope, const char *text, Holder *holder)
{
	static const int by_key[] = {KEY_SCOPE, KEY_KEY};
	bool		is_gone;

	*holder = (Holder)
	{
		.id = DatumGetInt64(key->values[KEY_REQUEST_ID]),
			.key_owner = get_oid(key, KEY_KEY_OWNER),
			.source_oid = get_oid(key, KEY_SOURCE_OID)
	};
	if (read_holder(holder))
		return false;
	dwf_table_refresh(key);
	is_gone = dwf_table_find_first(key, by_key, lengthof(by_key),
								   CStringGetTextDatum(scope),
								   CStringGetTextDatum(text)) &&
		DatumGetInt64(key->values[KEY_REQUEST_ID]) == holder->id &&
		dwf_table_lock(key) && !read_holder(holder);
	if (is_gone)
		dwf_table_delete(key);
	dwf_table_refresh(key);
	return true;
}

/* Version 1.0 has shared ones, until the update. */
static const char *
scope_of(const DwfEnqueue *request, const DwfTable *key)
{
	const char *operation = dwf_operation_name(request->operation);

	if (!dwf_table_has(key, KEY_KEY_OWNER))
		return request->workflow != NULL ? request->workflow : operation;
	return dwf_scope_of(operation, request->workflow);
}

/* InvalidOid: leaves it null. */
static void
set_oid(DwfTable *key, int column, Oid value)
{
	if (OidIsValid(value))
		dwf_table_set(key, column, ObjectIdGetDatum(value));
}

/* Of the row at hand; InvalidOid: null. */
static Oid
get_oid(const DwfTable *key, int column)
{
	return key->nulls[column] ? InvalidOid :
		DatumGetObjectId(key->values[column]);
}

static bool
may_have(const DwfEnqueue *request, const Holder *holder)
{
	bool		by_trigger = OidIsValid(request->key_owner);
	Oid			asker = by_trigger ? request->key_owner : request->requested_by;

	if (dwf_sight_of_all(asker))
		return true;
	return holder->requested_by == asker ||
		(by_trigger && is_owners(holder, asker));
}

/*
 * A request is in the queue or in the log.  One that domowf_retry() brings back
 * while we look is in the queue by the second time.  False: it is in neither.
 */
static bool
read_holder(Holder *holder)
{
	return read_holder_in(holder, "queue", QUEUE_COLUMNS, QUEUE_ID,
						  QUEUE_REQUESTED_BY_OID, QUEUE_SOURCE) ||
		read_holder_in(holder, "log", LOG_COLUMNS, LOG_ID,
					   LOG_REQUESTED_BY_OID, LOG_SOURCE) ||
		read_holder_in(holder, "queue", QUEUE_COLUMNS, QUEUE_ID,
					   QUEUE_REQUESTED_BY_OID, QUEUE_SOURCE);
}

static bool
read_holder_in(Holder *holder, const char *name, int ncolumns, int id,
			   int requested_by, int source)
{
	DwfTable	table;
	bool		found;

	dwf_table_open(&table, name, ncolumns, false);
	found = dwf_table_find(&table, id, Int64GetDatum(holder->id));
	if (found)
		holder->requested_by = DatumGetObjectId(table.values[requested_by]);
	if (found && !table.nulls[source])
		holder->source = TextDatumGetCString(table.values[source]);
	dwf_table_close(&table);
	return found;
}

/* Whether a table of this role took the key. */
static bool
is_owners(const Holder *holder, Oid owner)
{
	if (!OidIsValid(holder->key_owner) && !OidIsValid(holder->source_oid))
		return holder->source != NULL &&
			dwf_source_owner(dwf_source_find(holder->source)) == owner;
	return holder->key_owner == owner ||
		dwf_source_owner(holder->source_oid) == owner;
}

/* Says no more of the holder than that there is one. */
static void
refuse(const DwfEnqueue *request)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("%s of %s \"%s\" is in use",
					dwf_sight_of_value(&request->key_origin) ?
					psprintf("key \"%s\"", request->key) : "the key",
					request->workflow != NULL ? "workflow" : "operation",
					request->workflow != NULL ? request->workflow :
					dwf_operation_name(request->operation)),
			 OidIsValid(request->key_owner) ?
			 errdetail("The owner of %s may not see the request that holds it.",
					   request->source) :
			 errdetail("You may not see the request that holds it."),
			 errhint("Choose keys that nobody else uses, for example with a prefix.")));
}
