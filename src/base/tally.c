/*
 * tally.c
 *	  By how much the transaction under way makes the queue longer, by role.
 *
 * Entries stand in the order of their nesting levels, as on a stack: those of
 * the innermost subtransaction are the last ones.  So the end of one needs no
 * memory, and cannot fail.  There are as many as roles, which mostly is one.
 */
#include "postgres.h"

#include "base/tally.h"

#include "access/xact.h"
#include "utils/memutils.h"

typedef struct Entry
{
	Oid			role;			/* InvalidOid: all together */
	int			nesting;
	int64		count;
} Entry;

static Entry *entries;			/* in TopTransactionContext */
static int	nentries;
static int	capacity;

static Entry *find_entry(Oid role, int nesting, int end);

void
dwf_tally_add(Oid role, int64 count)
{
	int			nesting = GetCurrentTransactionNestLevel();
	Entry	   *entry;

	if (count == 0)
		return;
	entry = find_entry(role, nesting, nentries);
	if (entry != NULL)
	{
		entry->count += count;
		return;
	}
	if (nentries == capacity)
	{
		int			more = capacity == 0 ? 4 : 2 * capacity;

		entries = capacity == 0 ?
			MemoryContextAlloc(TopTransactionContext, more * sizeof(Entry)) :
			repalloc(entries, more * sizeof(Entry));
		capacity = more;
	}
	entries[nentries++] = (Entry)
	{
		role, nesting, count
	};
}

/* Among those before `end`; NULL: none. */
static Entry *
find_entry(Oid role, int nesting, int end)
{
	for (int i = end - 1; i >= 0 && entries[i].nesting == nesting; i--)
	{
		if (entries[i].role == role)
			return &entries[i];
	}
	return NULL;
}

int64
dwf_tally_count(Oid role)
{
	int64		count = 0;

	for (int i = 0; i < nentries; i++)
	{
		if (entries[i].role == role)
			count += entries[i].count;
	}
	return count;
}

bool
dwf_tally_entry(int number, Oid *role, int64 *count)
{
	if (number >= nentries)
		return false;
	*role = entries[number].role;
	*count = entries[number].count;
	return true;
}

void
dwf_tally_end_level(int nesting, bool keep)
{
	int			first = nentries;
	int			end = nentries;

	while (first > 0 && entries[first - 1].nesting == nesting)
		first--;
	nentries = first;
	for (int i = first; keep && i < end; i++)
	{
		Entry		moved = entries[i];
		Entry	   *entry = find_entry(moved.role, nesting - 1, nentries);

		if (entry != NULL)
			entry->count += moved.count;
		else
		{
			moved.nesting = nesting - 1;
			entries[nentries++] = moved;
		}
	}
}

void
dwf_tally_end(void)
{
	entries = NULL;
	nentries = capacity = 0;
}
