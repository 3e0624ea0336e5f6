/*
 * retention.c
 *	  Removes old rows of the log, and their keys.
 *
 * Statements as in upkeep.c.  By the worker, and by the process that does what
 * takes long (upkeep_process.c): each has its own place to go on from.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/statement.h"
#include "base/table.h"
#include "queue/archive.h"
#include "queue/refused.h"
#include "queue/retention.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#define OLD \
	"SELECT id FROM domowf.log WHERE settled_at < $1 LIMIT $2 OFFSET $3 " \
	"FOR UPDATE SKIP LOCKED"
#define REMOVE(which) \
	"WITH o AS (" which "), " \
	"d AS (DELETE FROM domowf.log USING o WHERE log.id = o.id " \
	"RETURNING log.*), " \
	"k AS (" DWF_SQL_GIVE_BACK_KEY ") SELECT FROM d"

static DwfStatement remove_old = {REMOVE(OLD), {TIMESTAMPTZOID, INT4OID, INT4OID}};
static DwfStatement find_old = {OLD, {TIMESTAMPTZOID, INT4OID, INT4OID}};
static DwfStatement remove_one = {REMOVE("SELECT $1 AS id"), {INT8OID}};

static int	kept;				/* what is passed by */

static void remove_some(void *arg);
static void remove_that(void *arg);
static bool remove_each(Datum *values, int limit, int *found, int *changed);

/*
 * One that somebody's trigger keeps from being removed, or whose key somebody has
 * locked, keeps no other: then each goes by itself, and that one is passed by the
 * next time, until all others had their turn, and rests.
 */
bool
dwf_retention_remove(TimestampTz before, int limit)
{
	Datum		values[] = {TimestampTzGetDatum(before), Int32GetDatum(limit),
	Int32GetDatum(kept)};
	int			found;
	int			changed;
	bool		more;

	dwf_refused_begin(DWF_REFUSED_REMOVAL);
	dwf_table_lock_whole("log");
	dwf_table_lock_whole("key");
	if (!dwf_refused_any(DWF_REFUSED_REMOVAL) &&
		dwf_apart_try_any(remove_some, values) == NULL)
	{
		found = changed = (int) SPI_processed;
		more = found == limit;
	}
	else
		more = remove_each(values, limit, &found, &changed);
	kept = more ? kept + found - changed : 0;
	return more;
}

void
dwf_retention_keep_all(void)
{
	dwf_refused_begin(DWF_REFUSED_REMOVAL);
}

static void
remove_some(void *arg)
{
	dwf_statement_run(&remove_old, arg);
}

static void
remove_that(void *arg)
{
	dwf_statement_run(&remove_one, arg);
}

/*
 * Each by itself: how many were looked at, and in `changed` how many are gone;
 * whether there may be more.
 */
static bool
remove_each(Datum *values, int limit, int *found, int *changed)
{
	DwfPass		pass = {0};
	int64	   *ids;
	int			count;

	dwf_statement_run(&find_old, values);
	count = dwf_statement_read_ids(&ids);
	*changed = 0;
	for (*found = 0; *found < count;)
	{
		int64		id = ids[(*found)++];
		Datum		value = Int64GetDatum(id);
		ErrorData  *error;
		int			code;

		if (dwf_refused_until(DWF_REFUSED_REMOVAL, id, &code) != 0)
			continue;
		error = dwf_apart_try_any(remove_that, &value);
		if (error == NULL)
		{
			(*changed)++;
			pass.done++;
			dwf_refused_forget(DWF_REFUSED_REMOVAL, id);
			continue;
		}
		dwf_refused_rest(DWF_REFUSED_REMOVAL, id, error);
		if (!dwf_apart_goes_on(&pass, error))
			return true;
	}
	return count == limit;
}
