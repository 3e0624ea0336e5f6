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

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* A table that was found right. */
typedef struct Right
{
	Oid			table;			/* the key */
	uint64		stamp;			/* dwf_changes_stamp() when that began */
} Right;

static Right *find_entry(Oid table);

void
dwf_return_guard(Relation rel)
{
	Oid			table = RelationGetRelid(rel);
	const char *name = RelationGetRelationName(rel);
	Oid			owner = rel->rd_rel->relowner;
	List	   *parts;
	Right	   *right;
	uint64		stamp;
	char	   *why;

	if (!superuser_arg(owner))
		return;
	parts = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
		find_all_inheritors(table, RowExclusiveLock, NULL) :
		list_make1_oid(table);
	right = find_entry(table);
	stamp = dwf_changes_stamp();
	if (right->stamp == stamp)
		return;
	if (dwf_hung_find_strangers(table, psprintf("table \"%s\"", name), owner,
								parts, &why))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("nothing is written as a superuser, the owner of table \"%s\", where others' code would run: %s",
						name, why)));
	right->stamp = stamp;
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
		entry->stamp = 0;
	return entry;
}
