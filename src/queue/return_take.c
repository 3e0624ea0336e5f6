/*
 * return_take.c
 *	  Which outcome is written back next.
 *
 * A process that serves an owner knows his targets, and how far it has come in
 * each, so that to take the next entry it reads no others: not those of the
 * targets in between, and not what it has done before, which stays in the index
 * while somebody holds an old snapshot.  What was committed late, or became due
 * earlier than was known, is behind that; so all of it is looked at again, at
 * most a part of the time, and before it ends, as there is nothing to do.
 *
 * Each waits before it is tried again, and shortly after a crash of the server a
 * minute at least: should it be the one whose code has brought the server down, that
 * is not done each second.  What then fails in an ordinary way gets its ordinary
 * wait (returns.c).
 *
 * An entry that a trigger or check of somebody's refuses to have counted as tried,
 * or keeps waiting for a lock, is not tried, and keeps no other: the process
 * remembers it, and passes it by.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/owner.h"
#include "base/statement.h"
#include "base/table.h"
#include "queue/returns.h"
#include "queue/return_sql.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* To look at everything takes one part in so many of the time at most. */
#define LOOK_SHARE	20

/* And is not done more often than that, milliseconds. */
#define LOOK_INTERVAL	100

/* The first wait for the next try, seconds: as a rule, and after a crash. */
#define FIRST_WAIT		1
#define CAREFUL_WAIT	60

/* Entries that are remembered as refused. */
#define MAX_REFUSED		100

/* $1 the owner */
static DwfStatement find_due = {
	DWF_RETURN_TARGETS "SELECT target FROM s WHERE owner = $1 "
	"AND due <= clock_timestamp() ORDER BY target COLLATE \"C\"",
	{OIDOID},
	.one_plan = true
};

/*
 * $1 the target, $2 whose it has to be, from $3 to $4 it is due.  OFFSET 0 keeps
 * the look for an earlier entry of the request one for each entry: a join may
 * read all that waits.  Of one request, an earlier one is due no later.
 */
#define NEXT(columns, which) \
	"SELECT " columns " FROM domowf.return_entry e " \
	"WHERE e.target = $1 AND e.due BETWEEN $3 AND $4 " which \
	"AND $2 = (SELECT " DWF_RETURN_OWNER_OF("$1") ") " \
	"AND NOT EXISTS (SELECT FROM domowf.return_entry b " \
	"WHERE b.request_id = e.request_id " \
	DWF_RETURN_ONLY("b.target = e.target") \
	DWF_RETURN_ONLY("b.id < e.id AND b.due < 'infinity'") "OFFSET 0) " \
	"ORDER BY e.due LIMIT 1 "

/* $5 the first wait */
#define TAKE(which) \
	"WITH n AS (" NEXT("e.id, e.due", which) "FOR UPDATE SKIP LOCKED) " \
	"UPDATE domowf.return_entry r SET tries = tries + 1, " \
	"tried_at = clock_timestamp(), due = clock_timestamp() + " \
	DWF_RETURN_WAIT("$5", "tries") ", " \
	"error = coalesce(error, " DWF_RETURN_ENDED ") " \
	"WHERE r.id = (SELECT id FROM n) RETURNING r.id, request_id, target, " \
	"returns_to, outcome, depth, (SELECT due FROM n), tries > 1"

static DwfStatement take = {
	TAKE(""),
	{TEXTOID, OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID},
	.one_plan = true
};

/* $6 those that are passed by; $5 is none of its.  What others lock is, too. */
static DwfStatement find_next = {
	NEXT("e.id, e.request_id", DWF_RETURN_ONLY("e.id <> ALL ($6)"))
	"FOR UPDATE SKIP LOCKED",
	{TEXTOID, OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT8ARRAYOID},
	.one_plan = true
};

/* $6 the one */
static DwfStatement take_one = {
	TAKE("AND e.id = $6 "),
	{TEXTOID, OIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT8OID},
	.one_plan = true
};

/* A table or function that something is due of. */
typedef struct Target
{
	Datum		name;			/* text */
	TimestampTz from;			/* when the entry was due that was taken last */
} Target;

/* Of the owner that this process serves, in the order of their names. */
static MemoryContext known = NULL;
static Target *targets = NULL;
static int	ntargets = 0;
static int	turn = 0;			/* whose it is */
static DwfSteady next_look = 0;

static bool is_apart = false;	/* each is taken by itself */
static DwfPass pass;			/* in the transaction under way */
static int64 refused[MAX_REFUSED];
static int	nrefused = 0;

static void look(Oid owner);
static bool take_in_turn(Oid owner, DwfReturn *entry, MemoryContext context);
static bool take_from(Target *target, Oid owner);
static bool take_apart(Datum *values);
static bool pass_by(Datum id, int64 request, const char *target,
					const ErrorData *error);
static void take_that(void *arg);
static Datum list_refused(void);
static void copy_taken(DwfReturn *entry, MemoryContext context);

bool
dwf_return_take(Oid owner, bool at_all, DwfReturn *entry)
{
	MemoryContext context = CurrentMemoryContext;
	DwfSteady	start = dwf_clock_now();
	int64		cpu = dwf_clock_cpu();
	bool		looks = start >= next_look;
	bool		found;
	DwfOwnerScope scope;

	dwf_owner_enter_to_write(&scope, DWF_RETURN_TABLE);
	SPI_connect();
	if (looks)
		look(owner);
	memset(&pass, 0, sizeof(pass));
	found = take_in_turn(owner, entry, context);
	if (!found && !looks && at_all)
	{
		looks = true;
		look(owner);
		found = take_in_turn(owner, entry, context);
	}
	entry->table = dwf_table_oid(DWF_RETURN_TABLE);
	SPI_finish();
	dwf_owner_leave(&scope);
	if (looks)
		next_look = start + Max(LOOK_SHARE * (dwf_clock_cpu() - cpu),
								LOOK_INTERVAL * INT64CONST(1000));
	return found;
}

/* At all targets, from their first entries on; the one in turn stays so. */
static void
look(Oid owner)
{
	Datum		value = ObjectIdGetDatum(owner);
	char	   *last = ntargets == 0 ? NULL :
	TextDatumGetCString(targets[turn % ntargets].name);
	MemoryContext old;

	ntargets = 0;
	dwf_statement_run(&find_due, &value);
	if (known == NULL)
		known = AllocSetContextCreate(TopMemoryContext, "domowf targets",
									  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(known);
	old = MemoryContextSwitchTo(known);
	targets = palloc(sizeof(Target) * Max(SPI_processed, 1));
	turn = 0;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *name = SPI_getvalue(SPI_tuptable->vals[i],
										SPI_tuptable->tupdesc, 1);

		if (last != NULL && strcmp(name, last) < 0)
			turn = i + 1;
		targets[i].name = CStringGetTextDatum(name);
		targets[i].from = DT_NOBEGIN;
		ntargets++;
	}
	MemoryContextSwitchTo(old);
}

/* From each target in turn, behind the one that was taken from last. */
static bool
take_in_turn(Oid owner, DwfReturn *entry, MemoryContext context)
{
	for (int i = 0; i < ntargets; i++)
	{
		if (!take_from(&targets[turn++ % ntargets], owner))
			continue;
		copy_taken(entry, context);
		return true;
	}
	return false;
}

/* The next one of a target. */
static bool
take_from(Target *target, Oid owner)
{
	Datum		values[] = {target->name, ObjectIdGetDatum(owner),
		TimestampTzGetDatum(target->from),
		TimestampTzGetDatum(dwf_clock_wall(dwf_clock_now())),
		Int32GetDatum(dwf_crash_is_recent() ? CAREFUL_WAIT : FIRST_WAIT),
	0};
	bool		isnull;

	if (is_apart && !take_apart(values))
		return false;
	if (!is_apart)
		dwf_statement_run(&take, values);
	if (SPI_processed == 0)
		return false;
	target->from = DatumGetTimestampTz(dwf_statement_column(0, 7, &isnull));
	return true;
}

/* The first that is not refused; false: there is none. */
static bool
take_apart(Datum *values)
{
	for (;;)
	{
		ErrorData  *error;
		int64		request;
		bool		isnull;

		values[5] = list_refused();
		dwf_statement_run(&find_next, values);
		if (SPI_processed == 0)
			return false;
		values[5] = Int64GetDatum(DatumGetInt64(dwf_statement_column(0, 1, &isnull)));
		request = DatumGetInt64(dwf_statement_column(0, 2, &isnull));
		error = dwf_apart_try_any(take_that, values);
		if (error == NULL)
			return true;
		if (!pass_by(values[5], request, TextDatumGetCString(values[0]), error) ||
			!dwf_apart_goes_on(&pass, error))
			return false;
	}
}

static void
take_that(void *arg)
{
	dwf_statement_run(&take_one, arg);
}

/* False: there is no room for more, and none is taken any more. */
static bool
pass_by(Datum id, int64 request, const char *target, const ErrorData *error)
{
	static DwfSteady again = 0;

	if (dwf_clock_once_a_minute(&again))
		ereport(LOG,
				(errmsg("domowf: what came of request " INT64_FORMAT " cannot be returned to %s: it cannot be counted as tried: %s",
						request, target, error->message)));
	if (nrefused == MAX_REFUSED)
		return false;
	refused[nrefused++] = DatumGetInt64(id);
	return true;
}

/* A bigint[]. */
static Datum
list_refused(void)
{
	Datum		ids[MAX_REFUSED];

	for (int i = 0; i < nrefused; i++)
		ids[i] = Int64GetDatum(refused[i]);
	return PointerGetDatum(construct_array(ids, nrefused, INT8OID,
										   sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

bool
dwf_return_take_apart(void)
{
	bool		was_apart = is_apart;

	is_apart = true;
	return !was_apart;
}

int
dwf_return_refused(void)
{
	return nrefused;
}

/* Copies what was taken last. */
static void
copy_taken(DwfReturn *entry, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		isnull;
	Datum		value;

	entry->id = DatumGetInt64(dwf_statement_column(0, 1, &isnull));
	entry->request = DatumGetInt64(dwf_statement_column(0, 2, &isnull));
	entry->target = TextDatumGetCString(dwf_statement_column(0, 3, &isnull));
	value = dwf_statement_column(0, 4, &isnull);
	entry->returns_to = isnull ? NULL : DatumGetJsonbPCopy(value);
	entry->outcome = DatumGetJsonbPCopy(dwf_statement_column(0, 5, &isnull));
	value = dwf_statement_column(0, 6, &isnull);
	entry->depth = isnull ? 0 : DatumGetInt32(value);
	entry->was_tried = DatumGetBool(dwf_statement_column(0, 8, &isnull));
	MemoryContextSwitchTo(old);
}
