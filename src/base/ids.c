/*
 * ids.c
 *	  Ids of requests and calls that nobody has yet.
 *
 * The sequence knows nothing of rows that came some other way: a restored log,
 * a log that is replicated, and setval().  An id that the log has already is
 * found out by the settlement, when Domo has executed the request.  So what comes
 * in by SQL moves the sequence, by a trigger of each table (replica.c); a call
 * knows of its id before it sends that it is behind all that the log has, or
 * looks for it; and who enqueues looks now and then: two look-ups would cost as
 * much as the rest of it.  Where those triggers do not fire always, as while a
 * dump is restored without triggers, each id is looked for.
 *
 * Where the order of ids means something, of requests that wait behind an order
 * key and of outcomes of one request, what is there is looked at each time.
 */
#include "postgres.h"

#include "base/changes.h"
#include "base/columns.h"
#include "base/ids.h"
#include "base/objects.h"
#include "base/sequence.h"

#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"

/* An id that was free vouches for so many behind it. */
#define VOUCHED		1000

/* The two tables that share the ids. */
static const struct
{
	const char *name;
	int			ncolumns;
	int			id;
	const char *trigger;		/* calls dwf_ids_pass() for what SQL puts in */
}			holders[] = {
	{"queue", QUEUE_COLUMNS, QUEUE_ID, "refuse_replication"},
	{"log", LOG_COLUMNS, LOG_ID, "keep_own"},
};

static int64 last_id;			/* of this process, any */
static int64 voucher;			/* one that was looked for; 0: none */
static uint64 vouched_in;		/* the generation of changes.h then */

static bool is_taken(int64 id, DwfTable *log);
static bool may_look(const char *name);
static bool has(int holder, int64 id, bool *is_watched);
static bool watches(int holder, Relation rel);
static int64 highest(int holder);
static bool move(const char *sequence, int64 last);

int64
dwf_ids_next(DwfTable *log)
{
	Oid			sequence = dwf_object_require("request_id", NULL);
	bool		moved = false;

	for (;;)
	{
		int64		id = dwf_sequence_next(sequence);

		if (!is_taken(id, log))
		{
			last_id = id;
			return id;
		}
		CHECK_FOR_INTERRUPTS();
		if (!moved)
			(void) dwf_ids_make_free();
		moved = true;
	}
}

/*
 * Not known counts as free: a table that is locked or wrong stops nobody who
 * takes no row of it, and vouches for nothing.  Nor does one into which SQL puts
 * rows unseen; who has changed that since has told so.
 */
static bool
is_taken(int64 id, DwfTable *log)
{
	bool		vouches = true;
	uint64		now;

	AcceptInvalidationMessages();
	now = dwf_changes_generation();
	if (log != NULL && dwf_table_may_hold(log, LOG_ID, id))
		return true;
	if (voucher > 0 && vouched_in == now && id > last_id &&
		id - voucher < VOUCHED)
		return false;
	for (int i = 0; i < lengthof(holders); i++)
	{
		bool		is_watched = false;

		if (may_look(holders[i].name) && has(i, id, &is_watched))
			return true;
		vouches &= is_watched;
	}
	voucher = vouches ? id : 0;
	vouched_in = now;
	return false;
}

/*
 * Whether a table is right, and free; then it is locked.  Nobody waits here for
 * who has locked one.
 */
static bool
may_look(const char *name)
{
	DwfObjectFault fault;

	return dwf_object_is_right(name, &fault) &&
		ConditionalLockRelationOid(dwf_object_require(name, NULL),
								   AccessShareLock);
}

/* Whether a table has an id, and whether what SQL puts into it is seen. */
static bool
has(int holder, int64 id, bool *is_watched)
{
	DwfTable	table;
	bool		found;

	dwf_table_open_to_read(&table, holders[holder].name,
						   holders[holder].ncolumns);
	*is_watched = watches(holder, table.rel);
	found = dwf_table_holds(&table, holders[holder].id, id);
	dwf_table_close(&table);
	return found;
}

/* Of SQL of 1.0, the log has no such trigger. */
static bool
watches(int holder, Relation rel)
{
	const TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (strcmp(triggers->triggers[i].tgname, holders[holder].trigger) == 0)
			return triggers->triggers[i].tgenabled == TRIGGER_FIRES_ALWAYS;
	}
	return false;
}

void
dwf_ids_pass(int64 id)
{
	DwfObjectFault fault;

	/* where it is wrong, nobody takes an id either */
	if (dwf_object_is_right("request_id", &fault))
		(void) dwf_sequence_raise(dwf_object_require("request_id", NULL), id);
}

bool
dwf_ids_make_free(void)
{
	int64		id = 0;

	for (int i = 0; i < lengthof(holders); i++)
	{
		if (!may_look(holders[i].name))
			return false;
	}
	for (int i = 0; i < lengthof(holders); i++)
		id = Max(id, highest(i));
	(void) move("request_id", id);
	return true;
}

/* Behind an id.  False: it is, or counts down. */
static bool
move(const char *sequence, int64 last)
{
	if (!dwf_sequence_raise(dwf_object_require(sequence, NULL), last))
		return false;
	ereport(LOG,
			(errmsg("domowf: sequence domowf.%s was behind ids that are in use, and has been moved",
					sequence)));
	return true;
}

int64
dwf_ids_next_behind(int64 last)
{
	int64		id = dwf_ids_next(NULL);

	return id <= last && move("request_id", last) ? dwf_ids_next(NULL) : id;
}

/* A cache of a session's own would mix their order: it is not used. */
void
dwf_ids_next_returns(int64 *ids)
{
	static const int by_id[] = {RETURN_ID};
	Oid			sequence = dwf_object_require("return_id", NULL);
	DwfTable	table;
	int64		last;
	bool		has_last;

	dwf_table_open_to_read(&table, "return_entry", RETURN_COLUMNS);
	has_last = dwf_table_last(&table, by_id, lengthof(by_id), NULL, 0,
							  RETURN_ID, &last);
	dwf_table_close(&table);
	ids[0] = dwf_sequence_next(sequence);
	if (has_last && ids[0] <= last && move("return_id", last))
		ids[0] = dwf_sequence_next(sequence);
	ids[1] = dwf_sequence_next(sequence);
}

/* The highest id in a table; 0: it has none. */
static int64
highest(int holder)
{
	DwfTable	table;
	int64		id;

	dwf_table_open_to_read(&table, holders[holder].name,
						   holders[holder].ncolumns);
	if (!dwf_table_highest(&table, holders[holder].id, &id))
		id = 0;
	dwf_table_close(&table);
	return id;
}
