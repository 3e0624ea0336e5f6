/*
 * watch.c
 *	  Order keys that the worker has to look at again.
 *
 * order.c tells how a request can come to stand behind nobody.  Three ways lead
 * here, none of which looks at more than there is a reason to:
 *
 * - keys that the worker has settled a request of while somebody was enqueueing
 *   another one: remembered until one of them is seen, or nobody is at it;
 * - requests that a person has settled, whose keys the log tells;
 * - a patrol, from key to key and a few at each poll, which finds what people
 *   do to the table by hand, and what a prepared transaction settles.
 *
 * What is remembered is in memory, and bounded.  Where it may have been lost,
 * with the worker before or since there was too much, the patrol goes round
 * without waiting for polls; and again for as long as a transaction is open
 * that was then, since it may yet commit what stands behind nobody: when one
 * says so, and when the last of these has ended.
 *
 * A request that somebody's trigger or check refuses to have let go, or that
 * waits for a lock, keeps no other: where one does, all is looked at once more,
 * each by itself, which is dearer, for as long as there is one.  What refuses it
 * may be mended, so that its key stays remembered; it is tried again after a rest.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/columns.h"
#include "queue/order.h"
#include "queue/refused.h"
#include "queue/watch.h"

#include "access/transam.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Keys that are remembered, and requests. */
#define MAX_WATCHED		10000

/* Keys that a patrol looks at in one transaction. */
#define PATROL			500

/* An order key that is remembered. */
typedef struct Key
{
	bool		is_seen;		/* by the transaction under way */
	char	   *space;			/* these two in one piece with it */
	char	   *key;
} Key;

static List *keys;				/* of Key */
static List *settled;			/* of int64 *: by hand */
static int	looked_at;			/* of these, by the transaction under way */
static bool polls;				/* this look is one */
static bool is_told;			/* it is for what somebody has committed */
static bool is_careful;			/* each is let go by itself */
static bool has_refused;		/* and one was refused */
static DwfPass pass;			/* over these */
static bool goes_on;			/* no more are tried in it */

static bool goes_round;			/* the patrol does not wait for polls */
static bool again;				/* it has to, once more */
static TransactionId open_then; /* older ones may commit what is not known */

/* The key up to which the patrol has come; NULL: it starts anew. */
static Key *place;
static Key *next_place;			/* where the transaction under way ended */
static bool reaches_end;		/* of all keys, the same */

static void go_round(void);
static Key *make_key(const char *space, const char *key);
static void remember(const char *space, const char *key);
static bool is_remembered(const char *space, const char *key);
static DwfOrderLook let_go(DwfTable *queue, Datum space, Datum key);
static bool rests(Datum space, Datum key);
static void begin_pass(void);
static bool is_right(DwfTable *queue, const char *space, const char *key,
					 bool has_settled);
static void release(DwfTable *queue, Datum space, Datum key,
					bool has_settled);
static void look(void *arg);
static void look_at_keys(DwfTable *queue);
static void look_at_settled(DwfTable *queue);
static void look_at_open(void);
static void patrol(DwfTable *queue);
static void note_place(DwfTable *walk);

void
dwf_watch_begin(void)
{
	open_then = ReadNextTransactionId();
	go_round();
}

/* Has the patrol look at every key from now on. */
static void
go_round(void)
{
	if (goes_round)
		again |= place != NULL;
	else if (place != NULL)
	{
		pfree(place);
		place = NULL;
	}
	goes_round = true;
}

static Key *
make_key(const char *space, const char *key)
{
	Key		   *made = MemoryContextAlloc(TopMemoryContext, sizeof(Key) +
										  strlen(space) + strlen(key) + 2);

	made->is_seen = false;
	made->space = (char *) (made + 1);
	memcpy(made->space, space, strlen(space) + 1);
	made->key = made->space + strlen(space) + 1;
	memcpy(made->key, key, strlen(key) + 1);
	return made;
}

static void
remember(const char *space, const char *key)
{
	MemoryContext old;

	if (list_length(keys) >= MAX_WATCHED)
	{
		dwf_watch_begin();
		return;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	keys = lappend(keys, make_key(space, key));
	MemoryContextSwitchTo(old);
}

static bool
is_remembered(const char *space, const char *key)
{
	ListCell   *cell;

	foreach(cell, keys)
	{
		const Key  *known = lfirst(cell);

		if (strcmp(known->key, key) == 0 && strcmp(known->space, space) == 0)
			return true;
	}
	return false;
}

/* As dwf_order_let_go(); by itself, where that is asked for, and tells of it. */
static DwfOrderLook
let_go(DwfTable *queue, Datum space, Datum key)
{
	DwfOrderLook look;
	int64		id;
	ErrorData  *why;

	if (!is_careful)
		return dwf_order_let_go(queue, space, key);
	if (!goes_on || rests(space, key))
	{
		has_refused = true;
		return DWF_ORDER_REFUSED;
	}
	look = dwf_order_let_go_anyway(space, key, &id, &why);
	if (look != DWF_ORDER_REFUSED)
	{
		pass.done += look == DWF_ORDER_GOES;
		return look;
	}
	dwf_refused_rest(DWF_REFUSED_ORDER, id, why);
	has_refused = true;
	goes_on = dwf_apart_goes_on(&pass, why);
	FreeErrorData(why);
	return look;
}

/* Whether the next one of a key was refused a short while ago. */
static bool
rests(Datum space, Datum key)
{
	int			code;
	int64		id;

	if (!dwf_refused_any(DWF_REFUSED_ORDER))
		return false;
	id = dwf_order_find_next(space, key);
	return id != 0 && dwf_refused_until(DWF_REFUSED_ORDER, id, &code) != 0;
}

static void
begin_pass(void)
{
	memset(&pass, 0, sizeof(pass));
	goes_on = true;
}

/*
 * Lets the next request of a key go where one waits.  False where one may come
 * that will not be seen to.  `has_settled`: who comes next has to wait until
 * the transaction under way can be seen.
 */
static bool
is_right(DwfTable *queue, const char *space, const char *key,
		 bool has_settled)
{
	Datum		values[] = {CStringGetTextDatum(space),
	CStringGetTextDatum(key)};
	DwfOrderLook look = let_go(queue, values[0], values[1]);

	if (look != DWF_ORDER_EMPTY)
		return look == DWF_ORDER_GOES;
	if (!dwf_order_try_lock(space, key))
		return false;

	/* between the look and the lock one may have come in */
	look = let_go(queue, values[0], values[1]);
	if (!has_settled)
		dwf_order_unlock(space, key);
	return look != DWF_ORDER_HELD && look != DWF_ORDER_REFUSED;
}

void
dwf_watch_release(DwfTable *queue, Datum space, Datum key)
{
	release(queue, space, key, true);
}

/* What comes behind one that could be settled is not refused by the server. */
void
dwf_watch_begin_apart(void)
{
	is_careful = true;
	begin_pass();
	pass.done = 1;
}

void
dwf_watch_release_apart(Datum space, Datum key)
{
	Assert(is_careful);
	release(NULL, space, key, true);
}

static void
release(DwfTable *queue, Datum space, Datum key, bool has_settled)
{
	char	   *its_space = TextDatumGetCString(space);
	char	   *its_key = TextDatumGetCString(key);

	if (!is_right(queue, its_space, its_key, has_settled) &&
		!(is_careful && is_remembered(its_space, its_key)))
		remember(its_space, its_key);
}

void
dwf_watch_take_news(const DwfNews *news)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	if (news->more_ids || list_length(settled) + news->nids > MAX_WATCHED)
		dwf_watch_begin();
	else
	{
		for (int i = 0; i < news->nids; i++)
		{
			int64	   *id = palloc(sizeof(int64));

			*id = news->ids[i];
			settled = lappend(settled, id);
		}
	}
	MemoryContextSwitchTo(old);
}

bool
dwf_watch_is_urgent(void)
{
	return goes_round || settled != NIL;
}

void
dwf_watch_prepare(bool is_poll, bool told)
{
	polls = is_poll;
	is_told = told;
}

void
dwf_watch_look(void)
{
	if (!is_careful && dwf_apart_try_any(look, NULL) == NULL)
		return;
	dwf_refused_begin(DWF_REFUSED_ORDER);
	begin_pass();
	is_careful = true;
	has_refused = false;
	look(NULL);
	is_careful = has_refused;
}

/* All that there is to look at. */
static void
look(void *arg)
{
	DwfTable	queue;

	looked_at = 0;
	if (next_place != NULL)
		pfree(next_place);		/* of a look that failed */
	next_place = NULL;
	reaches_end = false;
	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	look_at_keys(&queue);
	look_at_settled(&queue);
	look_at_open();
	if (polls || goes_round)
		patrol(&queue);
	dwf_table_close(&queue);
}

static void
look_at_keys(DwfTable *queue)
{
	ListCell   *cell;

	foreach(cell, keys)
	{
		Key		   *key = lfirst(cell);

		key->is_seen = is_right(queue, key->space, key->key, false);
	}
}

/* A request that was settled by hand is in the log, with its order key. */
static void
look_at_settled(DwfTable *queue)
{
	DwfTable	log;
	ListCell   *cell;

	if (settled == NIL)
		return;
	dwf_table_open(&log, "log", LOG_COLUMNS, false);
	foreach(cell, settled)
	{
		looked_at++;
		if (dwf_table_find(&log, LOG_ID, Int64GetDatum(*(int64 *) lfirst(cell))) &&
			!log.nulls[LOG_ORDER_SPACE])
			release(queue, log.values[LOG_ORDER_SPACE],
					log.values[LOG_ORDER_KEY], false);
	}
	dwf_table_close(&log);
}

/* Whether those who may commit what is not known have, or one of them. */
static void
look_at_open(void)
{
	bool		none;

	if (!TransactionIdIsValid(open_then))
		return;
	none = !TransactionIdPrecedes(GetLatestSnapshot()->xmin, open_then);
	if (none || is_told)
		go_round();
	if (none)
		open_then = InvalidTransactionId;
}

/* Looks at some order keys behind the place that was reached. */
static void
patrol(DwfTable *queue)
{
	static const int columns[] = {
		QUEUE_ORDER_SPACE, QUEUE_ORDER_KEY, QUEUE_WAITING, QUEUE_ID
	};
	DwfTable	walk;
	Datum		space = CStringGetTextDatum(place ? place->space : "");
	Datum		key = CStringGetTextDatum(place ? place->key : "");
	int			left = PATROL;

	dwf_table_open(&walk, "queue", QUEUE_COLUMNS, false);
	for (;;)
	{
		dwf_table_seek_next_pair(&walk, columns, lengthof(columns), space, key);
		if (!dwf_table_next(&walk))
		{
			reaches_end = true;
			break;
		}
		space = PointerGetDatum(PG_DETOAST_DATUM_COPY(walk.values[QUEUE_ORDER_SPACE]));
		key = PointerGetDatum(PG_DETOAST_DATUM_COPY(walk.values[QUEUE_ORDER_KEY]));
		if (DatumGetBool(walk.values[QUEUE_WAITING]))
			release(queue, space, key, false);
		if (--left <= 0)
		{
			note_place(&walk);
			break;
		}
	}
	dwf_table_close(&walk);
}

static void
note_place(DwfTable *walk)
{
	next_place = make_key(TextDatumGetCString(walk->values[QUEUE_ORDER_SPACE]),
						  TextDatumGetCString(walk->values[QUEUE_ORDER_KEY]));
}

void
dwf_watch_looked(void)
{
	ListCell   *cell;

	foreach(cell, keys)
	{
		Key		   *key = lfirst(cell);

		if (!key->is_seen)
			continue;
		keys = foreach_delete_current(keys, cell);
		pfree(key);
	}
	for (; looked_at > 0; looked_at--)
	{
		pfree(linitial(settled));
		settled = list_delete_first(settled);
	}
	if (next_place == NULL && !reaches_end)
		return;					/* it did not patrol */
	if (place != NULL)
		pfree(place);
	place = next_place;
	next_place = NULL;
	if (reaches_end)
	{
		goes_round = again;
		again = false;
	}
}
