/*
 * return_care.c
 *	  What is to be returned, and cannot be: given up, marked, removed.
 *
 * Each is a statement on many entries.  One that a trigger or check of somebody's
 * refuses to have changed, or keeps waiting, keeps no other: then the rest is changed
 * without it, so many at a time, from where that ended the last time.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/halves.h"
#include "base/owner.h"
#include "base/statement.h"
#include "queue/refused.h"
#include "queue/returns.h"
#include "queue/return_sql.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Rows that are removed, or marked, at a time. */
#define BATCH		1000

/* So many are refused at a time. */
#define MAX_REFUSED	100

/* A change to entries. */
typedef struct Change
{
	DwfStatement all;			/* $1 of it */
	DwfStatement find;			/* the ids, behind $2 */
	DwfStatement part;			/* those with ids from $2 to $3 */
	int64		behind;			/* where it ended; 0: with all */
	Datum		value;			/* $1 */
	int			refused;
} Change;

#define WHICH(conditions) \
	"SELECT id FROM domowf.return_entry e WHERE " conditions
#define CHANGE(what, conditions, limit, type) \
	{ \
		.all = {what " WHERE id IN (" WHICH(conditions) limit \
		" FOR UPDATE SKIP LOCKED)", {type}}, \
		.find = {WHICH(conditions) " AND id > $2 ORDER BY id LIMIT " CppAsString2(BATCH), \
		{type, INT8OID}}, \
		.part = {what " WHERE id IN (" WHICH(conditions) \
		" AND id BETWEEN $2 AND $3 FOR UPDATE SKIP LOCKED)", \
		{type, INT8OID, INT8OID}} \
	}

/* $1 the target */
static Change remove_of_table =
CHANGE("DELETE FROM domowf.return_entry", "target = $1", " LIMIT " CppAsString2(BATCH),
	   TEXTOID);

static Change fail_of_function =
CHANGE("UPDATE domowf.return_entry SET tries = tries + 1, "
	   "tried_at = clock_timestamp(), due = " DWF_RETURN_BACKOFF ", "
	   "error = 'function ' || substr(target, 10) || ' does not exist'",
	   "target = $1 AND due <= clock_timestamp()", " LIMIT " CppAsString2(BATCH), TEXTOID);

/* of no $1 */
static Change follow_clock =
CHANGE("UPDATE domowf.return_entry SET due = clock_timestamp()",
	   "due > clock_timestamp() AND due < 'infinity' "
	   "AND coalesce(tried_at, since) > clock_timestamp() + interval '1 s'",
	   "", TIMESTAMPTZOID);

/*
 * $1 what is older is given up; it goes with its request.  One that is tried for
 * the first time so late is not: it may be under way.
 */
static Change give_up =
CHANGE("UPDATE domowf.return_entry SET due = 'infinity'",
	   "due < 'infinity' AND " DWF_RETURN_HAS_FAILED " AND since < $1",
	   "", TIMESTAMPTZOID);

static Change remove_old =
CHANGE("DELETE FROM domowf.return_entry",
	   "due = 'infinity' AND since < $1 "
	   "AND NOT EXISTS (SELECT FROM domowf.queue q WHERE q.id = e.request_id) "
	   "AND NOT EXISTS (SELECT FROM domowf.log l WHERE l.id = e.request_id)",
	   "", TIMESTAMPTZOID);

static void make(Change *change, Datum value);
static void make_all(void *arg);
static void make_part(void *arg, const int64 *ids, int count);
static int	find(Change *change, int64 **ids);
static bool note_refused(void *arg, int64 id, const ErrorData *error);

void
dwf_return_look_after(void)
{
	Datum		before = TimestampTzGetDatum(dwf_clock_wall(dwf_clock_now()) -
											 dwf_log_retention * USECS_PER_MINUTE);
	DwfOwnerScope scope;

	dwf_owner_enter_to_write(&scope, DWF_RETURN_TABLE);
	SPI_connect();
	dwf_refused_begin(DWF_REFUSED_RETURN);
	make(&follow_clock, before);
	if (dwf_log_retention > 0)
	{
		make(&give_up, before);
		make(&remove_old, before);
	}
	SPI_finish();
	dwf_owner_leave(&scope);
}

/* A table that is gone had rows that are; a function may come back. */
void
dwf_return_see_to_orphans(const char *target)
{
	DwfOwnerScope scope;

	dwf_owner_enter_to_write(&scope, DWF_RETURN_TABLE);
	make(strncmp(target, "table:", 6) == 0 ? &remove_of_table :
		 &fail_of_function, CStringGetTextDatum(target));
	dwf_owner_leave(&scope);
}

/* Makes a change, but to those that refuse it. */
static void
make(Change *change, Datum value)
{
	DwfHalves	halves = {make_part, note_refused, change};
	int64	   *ids;
	int			count;

	change->value = value;
	change->refused = 0;
	if (dwf_apart_try_any(make_all, change) == NULL)
		return;
	count = find(change, &ids);
	(void) dwf_halves_do(&halves, ids, count);
	pfree(ids);
}

static void
make_all(void *arg)
{
	Change	   *change = arg;

	dwf_statement_run(&change->all, &change->value);
}

/* The entries between two of those that are to be changed are no others. */
static void
make_part(void *arg, const int64 *ids, int count)
{
	Change	   *change = arg;
	Datum		values[] = {change->value, Int64GetDatum(ids[0]),
	Int64GetDatum(ids[count - 1])};

	dwf_statement_run(&change->part, values);
}

/* The ids of some that are to be changed, palloc'd; returns how many. */
static int
find(Change *change, int64 **ids)
{
	Datum		values[] = {change->value, Int64GetDatum(change->behind)};
	int			count;
	bool		isnull;

	dwf_statement_run(&change->find, values);
	count = (int) SPI_processed;
	*ids = palloc(sizeof(int64) * Max(count, 1));
	for (int i = 0; i < count; i++)
		(*ids)[i] = DatumGetInt64(dwf_statement_column(i, 1, &isnull));
	change->behind = count == BATCH ? (*ids)[count - 1] : 0;
	return count;
}

static bool
note_refused(void *arg, int64 id, const ErrorData *error)
{
	Change	   *change = arg;

	dwf_refused_note(DWF_REFUSED_RETURN, id, error);
	if (++change->refused < MAX_REFUSED)
		return true;
	change->behind = id;
	return false;
}
