/*
 * extension.c
 *	  The extension as it is installed in this database.
 *
 * The library of a running server is the one with which it started, so that
 * ALTER EXTENSION UPDATE can leave it behind.  The worker must know before it
 * touches a table whose shape it does not know, and cannot afford to read the
 * catalog in each of its transactions: a script that changes a table sends an
 * invalidation, which arrives with the lock on that table.
 */
#include "postgres.h"

#include "domowf.h"
#include "extension.h"
#include "version.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"

#define EXTENSION	"domowf"

static uint64 changes = 1;		/* that may concern the version */

static void note_change(Datum arg, Oid relation);

char *
dwf_extension_version(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(EXTENSION));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		datum = heap_getattr(tuple,
										 Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		version = isnull ? pstrdup("") : TextDatumGetCString(datum);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

bool
dwf_extension_is_served(void)
{
	static bool registered = false;
	static bool is_served;
	static uint64 seen = 0;
	uint64		before = changes;
	char	   *version;

	if (!registered)
		CacheRegisterRelcacheCallback(note_change, (Datum) 0);
	registered = true;
	if (seen == before)
		return is_served;

	/* what changes during the look is for the next one */
	version = dwf_extension_version();
	is_served = version == NULL || dwf_version_serves(DWF_VERSION, version);
	seen = before;
	return is_served;
}

void
dwf_extension_look_again(void)
{
	changes++;
}

/* Some table has changed: which one is not worth a look. */
static void
note_change(Datum arg, Oid relation)
{
	changes++;
}

char *
dwf_extension_describe_skew(void)
{
	char	   *version = dwf_extension_version();

	return psprintf("the extension is version %s, newer than the library, %s: a restart of the server is due",
					version == NULL ? "unknown" : version, DWF_VERSION);
}
