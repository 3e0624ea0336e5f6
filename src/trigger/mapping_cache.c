/*
 * mapping_cache.c
 *	  The mappings of triggers that fired in this session.
 *
 * A hash by the trigger's oid, which stands for its table too: a partition's
 * copy of a trigger has an oid of its own.  PostgreSQL sends a relcache
 * invalidation for a table when a column, its name, its owner or a trigger
 * changes, CREATE OR REPLACE TRIGGER included, and syscache invalidations for
 * schemas, casts and functions, of which mappings hold names and what is to be
 * called: a function's language, owner and settings are in that.  Composite
 * types are looked at for each value (encode.c); workflows have a serial.
 *
 * The callbacks may be called at any time, so they only take note.  What
 * arrives while a mapping is read makes that one stale at once.
 */
#include "postgres.h"

#include "base/lease.h"
#include "trigger/mapping_cache.h"

#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* A mapping that was read once. */
typedef struct Entry
{
	DwfLease	lease;
	Oid			table;			/* that the trigger is on */
	DwfMapping *mapping;
} Entry;

/* An element of the hash. */
typedef struct Slot
{
	Oid			trigger;		/* the key */
	bool		is_stale;
	Entry	   *entry;
} Slot;

static HTAB *slots;
static uint64 invalidations;	/* all that arrived */

static void create_hash(void);
static void note_table(Datum arg, Oid table);
static void note_object(Datum arg, int cache, uint32 hash);
static void forget_stale(void);
static Entry *read_mapping(const TriggerData *data,
						   const DwfWorkflow *workflow);

const DwfMapping *
dwf_mapping_cache_find(const TriggerData *data, const DwfWorkflow *workflow)
{
	Oid			trigger = data->tg_trigger->tgoid;
	Slot	   *slot;
	Entry	   *entry;
	uint64		before;

	if (slots == NULL)
		create_hash();
	slot = hash_search(slots, &trigger, HASH_FIND, NULL);
	if (slot == NULL || slot->is_stale ||
		slot->entry->mapping->serial != workflow->serial)
	{
		if (slot != NULL)
			slot->is_stale = true;
		forget_stale();
		before = invalidations;
		entry = read_mapping(data, workflow);
		MemoryContextSetParent(entry->lease.context, CacheMemoryContext);
		slot = hash_search(slots, &trigger, HASH_ENTER, NULL);
		slot->entry = entry;
		slot->is_stale = invalidations != before;
	}
	dwf_lease_hold(&slot->entry->lease);
	return slot->entry->mapping;
}

static void
create_hash(void)
{
	HASHCTL		control = {
		.keysize = sizeof(Oid),
		.entrysize = sizeof(Slot),
		.hcxt = CacheMemoryContext,
	};

	slots = hash_create("domowf mappings", 32, &control,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(note_table, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, note_object, (Datum) 0);
	CacheRegisterSyscacheCallback(CASTSOURCETARGET, note_object, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, note_object, (Datum) 0);
}

/* InvalidOid stands for all tables. */
static void
note_table(Datum arg, Oid table)
{
	HASH_SEQ_STATUS scan;
	Slot	   *slot;

	invalidations++;
	hash_seq_init(&scan, slots);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		if (table == InvalidOid || table == slot->entry->table ||
			table == slot->entry->mapping->source_oid)
			slot->is_stale = true;
	}
}

static void
note_object(Datum arg, int cache, uint32 hash)
{
	note_table(arg, InvalidOid);
}

/* Drops what is stale, so that triggers that are gone leave nothing behind. */
static void
forget_stale(void)
{
	HASH_SEQ_STATUS scan;
	Slot	   *slot;

	hash_seq_init(&scan, slots);
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		Entry	   *entry = slot->entry;

		if (!slot->is_stale)
			continue;
		hash_search(slots, &slot->trigger, HASH_REMOVE, NULL);
		dwf_lease_drop(&entry->lease);
	}
}

/*
 * Reads a mapping.  Until it is whole it belongs to the caller's memory
 * context, so that an error leaves nothing behind.
 */
static Entry *
read_mapping(const TriggerData *data, const DwfWorkflow *workflow)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "domowf mapping",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Entry	   *entry = palloc0(sizeof(Entry));

	entry->lease.context = context;
	entry->table = RelationGetRelid(data->tg_relation);
	entry->mapping = dwf_mapping_read(data, workflow);
	MemoryContextSwitchTo(old);
	return entry;
}
