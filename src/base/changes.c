/*
 * changes.c
 *	  Whether what was read of the catalogs may have changed since.
 *
 * PostgreSQL tells every process which relations and which rows of its
 * catalogs have changed.  Only those that somebody has asked for count here:
 * whoever makes temporary tables all day long must not make everybody read the
 * catalogs all day long.
 *
 * The callbacks come at any time, so that they must only take note.
 */
#include "postgres.h"

#include "base/changes.h"

#include "utils/inval.h"
#include "utils/syscache.h"

/* With more than these are watched, every change counts. */
#define MAX_RELATIONS	64
#define MAX_ROWS		256

typedef struct Row
{
	int			cache;
	uint32		hash;
} Row;

static uint64 generation = 1;
static uint64 restarts;
static Oid	relations[MAX_RELATIONS];
static int	nrelations;
static Row	rows[MAX_ROWS];
static int	nrows;

static void note_relation(Datum arg, Oid relation);
static void note_row(Datum arg, int cache, uint32 hash);

uint64
dwf_changes_generation(void)
{
	static const int caches[] = {AUTHMEMROLEMEM, AUTHOID, CLAOID, NAMESPACEOID,
	OPEROID, OPFAMILYOID, PROCOID, TYPEOID};
	static bool registered = false;

	if (!registered)
	{
		registered = true;
		CacheRegisterRelcacheCallback(note_relation, (Datum) 0);
		for (int i = 0; i < lengthof(caches); i++)
			CacheRegisterSyscacheCallback(caches[i], note_row, (Datum) 0);
	}
	return generation;
}

uint64
dwf_changes_stamp(void)
{
	/* neither ever falls, so that their sum comes but once */
	return dwf_changes_generation() + restarts;
}

void
dwf_changes_relation(Oid relation)
{
	for (int i = 0; i < Min(nrelations, MAX_RELATIONS); i++)
	{
		if (relations[i] == relation)
			return;
	}
	if (nrelations < MAX_RELATIONS)
		relations[nrelations] = relation;
	nrelations = Min(nrelations, MAX_RELATIONS) + 1;
}

void
dwf_changes_row(int cache, Oid oid)
{
	Row			row = {cache, GetSysCacheHashValue1(cache, ObjectIdGetDatum(oid))};

	if (nrows < MAX_ROWS)
		rows[nrows] = row;
	nrows = Min(nrows, MAX_ROWS) + 1;
}

void
dwf_changes_restart(void)
{
	nrelations = nrows = 0;
	restarts++;
}

void
dwf_changes_look_again(void)
{
	generation++;
}

/* InvalidOid stands for all. */
static void
note_relation(Datum arg, Oid relation)
{
	bool		counts = !OidIsValid(relation) || nrelations > MAX_RELATIONS;

	for (int i = 0; i < nrelations && !counts; i++)
		counts = relations[i] == relation;
	if (counts)
		generation++;
}

/* 0 stands for all rows. */
static void
note_row(Datum arg, int cache, uint32 hash)
{
	bool		counts = hash == 0 || nrows > MAX_ROWS || cache == AUTHOID ||
	cache == AUTHMEMROLEMEM;

	for (int i = 0; i < nrows && !counts; i++)
		counts = rows[i].cache == cache && rows[i].hash == hash;
	if (counts)
		generation++;
}
