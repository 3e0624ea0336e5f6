/*
 * ids.c
 *	  Ids of requests and calls that nobody has yet.
 *
 * The sequence knows nothing of rows that came some other way: a restored log,
 * a log that is replicated, and setval().  An id that the log has already is
 * found out by the settlement, when Domo has executed the request.  So a call
 * knows of its id before it sends that it is behind all that the log has, or
 * looks for it; and who enqueues looks now and then: two look-ups would cost as
 * much as the rest of it.
 *
 * Where the order of ids means something, of requests that wait behind an order
 * key and of outcomes of one request, what is there is looked at each time.
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/ids.h"
#include "base/objects.h"
#include "base/sequence.h"

#include "miscadmin.h"
#include "storage/lmgr.h"

/* An id that was free vouches for so many behind it. */
#define VOUCHED		1000

/* The two tables that share the ids. */
static const struct
{
	const char *name;
	int			ncolumns;
	int			id;
}			holders[] = {
	{"queue", QUEUE_COLUMNS, QUEUE_ID},
	{"log", LOG_COLUMNS, LOG_ID},
};

static int64 last_id;			/* of this process, any */
static int64 voucher;			/* one that was looked for; 0: none */

static bool is_taken(int64 id, DwfTable *log);
static bool may_look(const char *name);
static bool has(int holder, int64 id);
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
 * takes no row of it, and vouches for nothing.
 */
static bool
is_taken(int64 id, DwfTable *log)
{
	bool		all_seen = true;

	if (log != NULL && dwf_table_may_hold(log, LOG_ID, id))
		return true;
	if (voucher > 0 && id > last_id && id - voucher < VOUCHED)
		return false;
	for (int i = 0; i < lengthof(holders); i++)
	{
		if (log != NULL && strcmp(holders[i].name, "log") == 0)
			continue;
		if (!may_look(holders[i].name))
			all_seen = false;
		else if (has(i, id))
			return true;
	}
	voucher = all_seen ? id : 0;
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

static bool
has(int holder, int64 id)
{
	DwfTable	table;
	bool		found;

	dwf_table_open_to_read(&table, holders[holder].name,
						   holders[holder].ncolumns);
	found = dwf_table_holds(&table, holders[holder].id, id);
	dwf_table_close(&table);
	return found;
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
