/*
 * workflow.c
 *	  The registry.
 *
 * What was read of it is kept, so that a start costs no query: a hash of
 * entries, each a workflow with its inputs, in a memory context of its own.
 * Triggers on both tables (table_triggers.c) send a relcache invalidation of their
 * table, which PostgreSQL brings to every session when the change commits, to
 * the one that made it with its next command, and again where it rolls back,
 * savepoints and PREPARE TRANSACTION included.  So an entry can hold what its
 * own transaction changed and nobody else sees yet.
 *
 * Two things must not happen.  An invalidation that arrives while an entry is
 * read must not be lost: `generation` counts them, and the hash holds entries
 * for the one that was current before the snapshot was taken.  And what an old
 * snapshot sees must not be kept: entries are read with a new one, whatever
 * the isolation level, as PostgreSQL reads its own catalogs.
 *
 * An entry is freed once it is neither in the hash nor in use (workflow.h).
 * Workflows that are not there are not remembered: a start of one fails.
 *
 * Whoever starts needs no right on the tables: whom a workflow is granted to is
 * checked here, against the role that starts (granted.c).
 */
#include "postgres.h"

#include "base/extension.h"
#include "base/lease.h"
#include "base/owner.h"
#include "base/table.h"
#include "domo/domo_type.h"
#include "registry/granted.h"
#include "registry/input.h"
#include "registry/workflow.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* A workflow as it was read once. */
typedef struct Entry
{
	DwfLease	lease;			/* dropped once it is not in the hash */
	DwfWorkflow workflow;
} Entry;

/* An element of the hash.  The key is the name in the entry. */
typedef struct Slot
{
	const char *name;
	Entry	   *entry;
} Slot;

/* Columns of the query in read_rows(). */
enum
{
	COLUMN_MODEL_ID = 1,
	COLUMN_VERSION,
	COLUMN_MESSAGE_NAME,
	COLUMN_IS_GRANTED,
	COLUMN_GRANTED_OID,
	COLUMN_RETRY_ON_DOUBT,
	COLUMN_MAX_ATTEMPTS,
	COLUMN_EXPIRE_AFTER,
	COLUMN_ORDER_SCOPE,
	COLUMN_SERVER,
	COLUMN_TRACK,
	COLUMN_ON_SETTLED,
	COLUMN_INPUT_NAME,
	COLUMN_INPUT_TYPE,
	COLUMN_INPUT_IS_LIST,
	COLUMN_INPUT_REQUIRED
};

/* Whether and to whom it is granted, which version 1.0 knows by name alone. */
static const char granted[] =
"w.granted_to IS NOT NULL OR w.granted_oid IS NOT NULL, "
"CASE WHEN " DWF_GRANTED_IS_KEPT
" OR pg_get_userbyid(w.granted_oid) = w.granted_to THEN w.granted_oid END";
static const char first_granted[] =
"w.granted_to IS NOT NULL, "
"(SELECT oid FROM pg_roles WHERE rolname = w.granted_to)";

static HTAB *entries;			/* of Slot */
static uint64 entries_generation;	/* they were read in */
static uint64 generation;		/* counts invalidations */
static Oid	tables[2];			/* whose invalidations count */

static Entry *find_cached(const char *name);
static void forget_stale(void);
static void create_hash(void);
static uint32 hash_name(const void *key, Size size);
static int	compare_names(const void *a, const void *b, Size size);
static void note_invalidation(Datum arg, Oid relid);
static const DwfWorkflow *hold(Entry *entry);
static Entry *load(const char *name);
static void read_rows(const char *name);
static void fill_workflow(Entry *entry, const char *name);
static void fill_input(Entry *entry, DwfInput *input, HeapTuple tuple);
static char *keep_text(Entry *entry, HeapTuple tuple, int column,
					   bool in_utf8);
static bool bool_column(HeapTuple tuple, int column);
static void push_text(DwfJsonbState *state, const char *key,
					  const char *value);
static void push_key(DwfJsonbState *state, const char *key);

const DwfWorkflow *
dwf_workflow_find(const char *name)
{
	Entry	   *entry;
	Slot	   *slot;
	bool		found;

	/* what others committed meanwhile applies to this start */
	AcceptInvalidationMessages();
	entry = find_cached(name);
	if (entry != NULL)
	{
		dwf_owner_stay_registry();
		return hold(entry);
	}

	forget_stale();
	entry = load(name);
	if (entry == NULL)
		return NULL;
	name = entry->workflow.name;
	slot = hash_search(entries, &name, HASH_ENTER, &found);
	Assert(!found);
	slot->entry = entry;
	MemoryContextSetParent(entry->lease.context, CacheMemoryContext);
	return hold(entry);
}

static Entry *
find_cached(const char *name)
{
	Slot	   *slot;

	if (entries == NULL || entries_generation != generation)
		return NULL;
	slot = hash_search(entries, &name, HASH_FIND, NULL);
	return slot == NULL ? NULL : slot->entry;
}

/*
 * Before something is read: learns the tables' oids, which are new ones after
 * DROP and CREATE EXTENSION, and empties the hash if it is stale.  The oids
 * first, since to look them up may bring invalidations.
 */
static void
forget_stale(void)
{
	HASH_SEQ_STATUS scan;
	Slot	   *slot;

	if (entries == NULL)
		create_hash();
	tables[0] = dwf_table_oid("workflow");
	tables[1] = dwf_table_oid("workflow_input");
	if (entries_generation == generation)
		return;
	entries_generation = generation;
	hash_seq_init(&scan, entries);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		Entry	   *entry = slot->entry;

		hash_search(entries, &slot->name, HASH_REMOVE, NULL);
		dwf_lease_drop(&entry->lease);
	}
}

static void
create_hash(void)
{
	HASHCTL		control = {
		.keysize = sizeof(const char *),
		.entrysize = sizeof(Slot),
		.hash = hash_name,
		.match = compare_names,
		.hcxt = CacheMemoryContext,
	};

	entries = hash_create("domowf workflows", 32, &control,
						  HASH_ELEM | HASH_FUNCTION | HASH_COMPARE |
						  HASH_CONTEXT);
	CacheRegisterRelcacheCallback(note_invalidation, (Datum) 0);
}

static uint32
hash_name(const void *key, Size size)
{
	const char *name = *(const char *const *) key;

	return hash_bytes((const unsigned char *) name, strlen(name));
}

static int
compare_names(const void *a, const void *b, Size size)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Called at any time: it must only take note.  InvalidOid stands for all. */
static void
note_invalidation(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == tables[0] || relid == tables[1])
		generation++;
}

static const DwfWorkflow *
hold(Entry *entry)
{
	dwf_lease_hold(&entry->lease);
	return &entry->workflow;
}

/*
 * Reads a workflow.  NULL where there is none.  Until it is whole it belongs
 * to the caller's memory context, so that an error leaves nothing behind.
 */
static Entry *
load(const char *name)
{
	static uint64 last_serial = 0;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "domowf workflow",
												  ALLOCSET_SMALL_SIZES);
	Entry	   *entry = MemoryContextAllocZero(context, sizeof(Entry));
	DwfOwnerScope scope;

	entry->lease.context = context;
	dwf_owner_enter_registry_to_read(&scope);
	SPI_connect();
	read_rows(name);
	if (SPI_processed > 0)
		fill_workflow(entry, name);
	SPI_finish();
	dwf_owner_leave(&scope);

	if (entry->workflow.name == NULL)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	entry->workflow.serial = ++last_serial;
	return entry;
}

/* A row for each input, or one with nulls where there is none.  By SPI. */
static void
read_rows(const char *name)
{
	static SPIPlanPtr plans[2] = {NULL};
	bool		is_first = !dwf_extension_is_since("1.1");
	Datum		values[] = {CStringGetTextDatum(name)};

	if (plans[is_first] == NULL)
	{
		Oid			types[] = {TEXTOID};
		char	   *query = psprintf("SELECT w.model_id, w.version, "
									 "w.message_name, %s, "
									 "w.on_doubt = 'retry', w.max_attempts, "
									 "w.expire_after, %s, w.server, w.track, %s, "
									 "i.name, i.type, i.is_list, i.required "
									 "FROM domowf.workflow w "
									 "LEFT JOIN domowf.workflow_input i "
									 "ON i.workflow = w.name "
									 "WHERE w.name = $1 "
									 "ORDER BY i.name COLLATE \"C\"",
									 is_first ? first_granted : granted,
									 is_first ? "NULL::text" : "w.order_scope",
									 is_first ? "NULL::text" : "w.on_settled");

		plans[is_first] = SPI_prepare(query, 1, types);
		SPI_keepplan(plans[is_first]);
	}
	if (SPI_execute_snapshot(plans[is_first], values, NULL, GetLatestSnapshot(),
							 InvalidSnapshot, true, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.workflow");
	dwf_owner_stay_registry();
}

/*
 * From the rows of the query, one for each input, and a single one with nulls
 * where there are none.  All that it keeps lies in the entry's context.
 */
static void
fill_workflow(Entry *entry, const char *name)
{
	DwfWorkflow *workflow = &entry->workflow;
	HeapTuple	tuple = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	Datum		value;
	bool		isnull;

	workflow->name = MemoryContextStrdup(entry->lease.context, name);
	workflow->model_id = keep_text(entry, tuple, COLUMN_MODEL_ID, true);
	workflow->version = keep_text(entry, tuple, COLUMN_VERSION, true);
	workflow->message_name = keep_text(entry, tuple, COLUMN_MESSAGE_NAME,
									   true);
	workflow->is_granted = bool_column(tuple, COLUMN_IS_GRANTED);
	value = SPI_getbinval(tuple, desc, COLUMN_GRANTED_OID, &isnull);
	workflow->granted_oid = isnull ? InvalidOid : DatumGetObjectId(value);
	workflow->order_scope = keep_text(entry, tuple, COLUMN_ORDER_SCOPE, false);
	workflow->server = keep_text(entry, tuple, COLUMN_SERVER, true);
	workflow->on_settled = keep_text(entry, tuple, COLUMN_ON_SETTLED, false);
	workflow->retry_on_doubt = bool_column(tuple, COLUMN_RETRY_ON_DOUBT);
	workflow->track = bool_column(tuple, COLUMN_TRACK);
	value = SPI_getbinval(tuple, desc, COLUMN_MAX_ATTEMPTS, &isnull);
	workflow->max_attempts = isnull ? 0 : DatumGetInt32(value);
	value = SPI_getbinval(tuple, desc, COLUMN_EXPIRE_AFTER, &isnull);
	workflow->has_expire_after = !isnull;
	if (!isnull)
		workflow->expire_after = *DatumGetIntervalP(value);

	SPI_getbinval(tuple, desc, COLUMN_INPUT_NAME, &isnull);
	if (isnull)
		return;
	workflow->inputs.count = SPI_processed;
	workflow->inputs.items = MemoryContextAlloc(entry->lease.context,
												sizeof(DwfInput) * SPI_processed);
	for (int i = 0; i < workflow->inputs.count; i++)
		fill_input(entry, &workflow->inputs.items[i], SPI_tuptable->vals[i]);
}

static void
fill_input(Entry *entry, DwfInput *input, HeapTuple tuple)
{
	char	   *type = SPI_getvalue(tuple, SPI_tuptable->tupdesc,
									COLUMN_INPUT_TYPE);

	input->name = keep_text(entry, tuple, COLUMN_INPUT_NAME, false);
	input->is_list = bool_column(tuple, COLUMN_INPUT_IS_LIST);
	input->required = bool_column(tuple, COLUMN_INPUT_REQUIRED);
	if (!dwf_domo_read_type(type, &input->type))
		elog(ERROR, "unknown type \"%s\" of input \"%s\"", type, input->name);
}

/* A copy of a text that lives as long as the entry; NULL where it is null. */
static char *
keep_text(Entry *entry, HeapTuple tuple, int column, bool in_utf8)
{
	char	   *text = SPI_getvalue(tuple, SPI_tuptable->tupdesc, column);

	if (text == NULL)
		return NULL;
	if (in_utf8)
		text = pg_server_to_any(text, strlen(text), PG_UTF8);
	return MemoryContextStrdup(entry->lease.context, text);
}

/* A column that is not null. */
static bool
bool_column(HeapTuple tuple, int column)
{
	bool		isnull;

	return DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, column,
									  &isnull));
}

bool
dwf_workflow_is_granted(const DwfWorkflow *workflow, Oid role)
{
	if (!workflow->is_granted)
		return true;
	return OidIsValid(workflow->granted_oid) &&
		SearchSysCacheExists1(AUTHOID,
							  ObjectIdGetDatum(workflow->granted_oid)) &&
		has_privs_of_role(role, workflow->granted_oid);
}

int
dwf_workflow_resolve(DwfRequest *request, JsonbContainer *data, Oid role,
					 bool shows_values, const DwfWorkflow **workflow, DwfFault *fault)
{
	const DwfWorkflow *found =
	dwf_workflow_find(pg_any_to_server(request->workflow,
									   strlen(request->workflow), PG_UTF8));

	if (found == NULL)
	{
		snprintf(fault->message, sizeof(fault->message),
				 "workflow \"%.200s\" is not registered", request->workflow);
		strlcpy(fault->hint, "Insert it into domowf.workflow.",
				sizeof(fault->hint));
		return ERRCODE_UNDEFINED_OBJECT;
	}
	if (!dwf_workflow_is_granted(found, role))
	{
		snprintf(fault->message, sizeof(fault->message),
				 "permission denied for workflow \"%.200s\"",
				 request->workflow);
		return ERRCODE_INSUFFICIENT_PRIVILEGE;
	}
	if (!dwf_workflow_check_lengths(found, fault) ||
		!dwf_input_check(&found->inputs, found->name, data, shows_values,
						 fault))
		return ERRCODE_INVALID_PARAMETER_VALUE;
	request->server = found->server;
	request->id = found->model_id;
	request->version = found->version;
	request->message_name = found->message_name;
	*workflow = found;
	return 0;
}

bool
dwf_workflow_check_lengths(const DwfWorkflow *workflow, DwfFault *fault)
{
	const struct
	{
		const char *column;
		const char *text;
	}			texts[] = {
		{"name", workflow->name},
		{"model_id", workflow->model_id},
		{"version", workflow->version},
		{"message_name", workflow->message_name},
	};

	for (int i = 0; i < lengthof(texts); i++)
	{
		if (strlen(texts[i].text) <= DWF_MAX_ID)
			continue;
		memset(fault, 0, sizeof(*fault));
		snprintf(fault->message, sizeof(fault->message),
				 "invalid %s of workflow \"%.200s\": found %zu bytes, expected at most %d",
				 texts[i].column,
				 pg_server_to_any(workflow->name, strlen(workflow->name), PG_UTF8),
				 strlen(texts[i].text), DWF_MAX_ID);
		strlcpy(fault->hint, "Change it in domowf.workflow.",
				sizeof(fault->hint));
		return false;
	}
	return true;
}

Jsonb *
dwf_workflow_request(const DwfWorkflow *workflow, JsonbContainer *data)
{
	DwfJsonbState state = {0};
	JsonbValue	value;

	dwf_workflow_begin_request(&state, workflow);
	value.type = jbvBinary;
	value.val.binary.data = data;
	value.val.binary.len = 0;
	pushJsonbValue(&state, WJB_VALUE, &value);
	return JsonbValueToJsonb(dwf_end_jsonb(&state, WJB_END_OBJECT));
}

void
dwf_workflow_begin_request(DwfJsonbState *state,
						   const DwfWorkflow *workflow)
{
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_text(state, "messageName", workflow->message_name);
	push_text(state, "version", workflow->version);
	push_text(state, "modelId", workflow->model_id);
	push_key(state, "data");
}

static void
push_key(DwfJsonbState *state, const char *key)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = (char *) key;
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
}

/* Pushes a member whose value is UTF-8 text. */
static void
push_text(DwfJsonbState *state, const char *key, const char *text)
{
	JsonbValue	value;
	char	   *converted = pg_any_to_server(text, strlen(text), PG_UTF8);

	push_key(state, key);
	value.type = jbvString;
	value.val.string.val = converted;
	value.val.string.len = strlen(converted);
	pushJsonbValue(state, WJB_VALUE, &value);
}
