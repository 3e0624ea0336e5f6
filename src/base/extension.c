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

#include "base/changes.h"
#include "base/domowf.h"
#include "base/extension.h"
#include "base/version.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#define EXTENSION	"domowf"

static bool read_extension(DwfExtension *extension);
static bool is_sql_behind(void);

const DwfExtension *
dwf_extension_find(void)
{
	static DwfExtension extension;
	static uint64 seen = 0;
	uint64		before = dwf_changes_generation();

	/* what changes during the look is for the next one */
	if (seen != before)
		seen = read_extension(&extension) ? before : 0;
	return seen == 0 ? NULL : &extension;
}

/*
 * By the catalog itself, since no syscache has it.  A version that has no room
 * is as one that nobody knows: ''.
 */
static bool
read_extension(DwfExtension *extension)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(EXTENSION));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);
		bool		isnull;
		Datum		datum = heap_getattr(tuple,
										 Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);
		const char *version = isnull ? "" : TextDatumGetCString(datum);

		extension->oid = form->oid;
		extension->owner = form->extowner;
		strlcpy(extension->version,
				strlen(version) < sizeof(extension->version) ? version : "",
				sizeof(extension->version));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

bool
dwf_extension_is_served(void)
{
	const DwfExtension *extension = dwf_extension_find();

	return extension == NULL ||
		dwf_version_serves(DWF_VERSION, extension->version);
}

bool
dwf_extension_can_send(void)
{
	return dwf_extension_is_served() &&
		(dwf_extension_find() == NULL ||
		 dwf_extension_is_since(DWF_OLDEST_SQL));
}

void
dwf_extension_require_update(void)
{
	const DwfExtension *extension = dwf_extension_find();

	if (extension != NULL && !dwf_extension_is_since(DWF_OLDEST_SQL))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_internal("%s", dwf_extension_describe_skew()),
				 errhint("To mend it: %s.", dwf_extension_mend_skew())));
}

bool
dwf_extension_has_changed(void)
{
	const DwfExtension *known = dwf_extension_find();
	DwfExtension now;

	if (known == NULL)			/* it was read just now */
		return false;
	if (read_extension(&now) && now.oid == known->oid &&
		strcmp(now.version, known->version) == 0)
		return false;
	dwf_changes_look_again();
	return true;
}

void
dwf_extension_look_again(void)
{
	dwf_changes_look_again();
}

bool
dwf_extension_is_since(const char *version)
{
	const DwfExtension *extension = dwf_extension_find();

	return extension != NULL &&
		dwf_version_serves(extension->version, version);
}

/* Whether it is the SQL that is left behind, and not the library. */
static bool
is_sql_behind(void)
{
	const DwfExtension *extension = dwf_extension_find();

	return extension != NULL &&
		dwf_version_serves(DWF_VERSION, extension->version);
}

char *
dwf_extension_describe_skew(void)
{
	const DwfExtension *extension = dwf_extension_find();
	const char *version = extension == NULL || *extension->version == '\0' ?
	"unknown" : extension->version;

	if (is_sql_behind())
		return psprintf("the extension is version %s, too old for the library, %s: ALTER EXTENSION domowf UPDATE is due",
						version, DWF_VERSION);
	return psprintf("the extension is version %s, newer than the library, %s: a restart of the server is due",
					version, DWF_VERSION);
}

char *
dwf_extension_mend_skew(void)
{
	return pstrdup(is_sql_behind() ? "ALTER EXTENSION domowf UPDATE" :
				   "Restart the server");
}
