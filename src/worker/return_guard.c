/*
 * return_guard.c
 *	  Whose code is not run when an outcome is written back.
 *
 * A return makes a table's owner change it.  Whoever was granted TRIGGER on the
 * table, or owns a partition of it, has code there that whoever changes the table
 * runs: that is what PostgreSQL means by these, and as with logical replication
 * it is the owner's risk.  But a superuser need not ever change a table of his
 * himself, and nobody who GRANTs ALL on one means to give the whole server away.
 * So where the owner is a superuser, only code of those who have his rights is
 * run, as on domowf's own tables (hung.h).
 *
 * What was found right is so until something of it may have changed.  The locks
 * are taken all the same each time: they keep who would hang something on a
 * table until this is over, and with them comes the news of what was hung.
 */
#include "postgres.h"

#include "base/changes.h"
#include "base/hung.h"
#include "worker/return_guard.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* A table that was found right. */
typedef struct Right
{
	Oid			table;			/* the key */
	uint64		stamp;			/* dwf_changes_stamp() when that began */
	List	   *parts;			/* what is locked for it */
} Right;

static Right *find_entry(Oid table);
static List *lock_parts(Oid table);
static void add_tree(List **parts, Oid table);
static void add_changed(List **parts, Oid table);
static void lock_again(const List *parts);
static void lock(Oid table);
static void keep(Right *right, List *parts, uint64 stamp);

void
dwf_return_guard(Relation rel)
{
	Oid			table = RelationGetRelid(rel);
	Oid			owner = rel->rd_rel->relowner;
	const char *name = RelationGetRelationName(rel);
	List	   *parts;
	Right	   *right;
	uint64		stamp;
	char	   *why;

	if (!superuser_arg(owner))
		return;
	right = find_entry(table);
	if (right->stamp == dwf_changes_stamp())
		lock_again(right->parts);
	if (right->stamp == dwf_changes_stamp())
		return;
	parts = lock_parts(table);
	stamp = dwf_changes_stamp();
	if (dwf_hung_find_strangers(table, psprintf("table \"%s\"", name), owner,
								parts, &why))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("nothing is written as a superuser, the owner of table \"%s\", where others' code would run: %s",
						name, why)));
	keep(right, parts, stamp);
}

/*
 * The table, its partitions, and what a foreign key changes where a row of these
 * is changed: that is done with the rights of that table's owner, but what fires
 * AFTER it does so at the end of the statement, which is the superuser's.
 */
static List *
lock_parts(Oid table)
{
	List	   *parts = NIL;

	/* the list grows while it is walked along */
	add_tree(&parts, table);
	for (int i = 0; i < list_length(parts); i++)
		add_changed(&parts, list_nth_oid(parts, i));
	return parts;
}

static void
add_tree(List **parts, Oid table)
{
	List	   *tree;
	ListCell   *cell;

	lock(table);
	tree = get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE ?
		find_all_inheritors(table, NoLock, NULL) : list_make1_oid(table);
	foreach(cell, tree)
	{
		lock(lfirst_oid(cell));
		*parts = list_append_unique_oid(*parts, lfirst_oid(cell));
	}
}

/* The triggers of foreign keys that refer to it tell which tables these change. */
static void
add_changed(List **parts, Oid table)
{
	Relation	rel = try_table_open(table, NoLock);

	for (int i = 0; rel != NULL && rel->trigdesc != NULL &&
		 i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tgfoid == F_RI_FKEY_CASCADE_UPD ||
			trigger->tgfoid == F_RI_FKEY_SETNULL_UPD ||
			trigger->tgfoid == F_RI_FKEY_SETDEFAULT_UPD)
			add_tree(parts, trigger->tgconstrrelid);
	}
	if (rel != NULL)
		table_close(rel, NoLock);
}

static void
lock_again(const List *parts)
{
	ListCell   *cell;

	foreach(cell, parts)
		lock(lfirst_oid(cell));
}

/*
 * Until the end of the transaction.  Not waited for: an index may be made on a
 * partition for hours, and other tables' outcomes must not wait as long.
 */
static void
lock(Oid table)
{
	if (!ConditionalLockRelationOid(table, RowExclusiveLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("table \"%s\" is locked, so that nobody knows whose code would run",
						get_rel_name(table))));
}

static void
keep(Right *right, List *parts, uint64 stamp)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	list_free(right->parts);
	right->parts = list_copy(parts);
	right->stamp = stamp;
	MemoryContextSwitchTo(old);
}

/* A new one has a stamp that is nobody's. */
static Right *
find_entry(Oid table)
{
	static HTAB *entries = NULL;
	HASHCTL		control = {
		.keysize = sizeof(Oid),
		.entrysize = sizeof(Right),
		.hcxt = TopMemoryContext,
	};
	Right	   *entry;
	bool		found;

	if (entries == NULL)
		entries = hash_create("domowf tables that are right", 16, &control,
							  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	entry = hash_search(entries, &table, HASH_ENTER, &found);
	if (!found)
	{
		entry->stamp = 0;
		entry->parts = NIL;
	}
	return entry;
}
