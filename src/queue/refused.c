/*
 * refused.c
 *	  Rows that somebody's trigger, check or index refuses to have changed, or
 *	  keeps waiting for a lock, or that another transaction has locked, and that
 *	  are passed by: who tells of them, and when each is tried again.
 *
 * One of a kind is remembered to be told of, since it takes one to be a stall.
 * Those that rest are remembered by their ids, so many of them; one that cannot be
 * is tried each time.
 */
#include "postgres.h"

#include "base/text.h"
#include "queue/refused.h"

#include "access/transam.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

/* Rows that rest at most. */
#define MAX_RESTING		10000

/* How long one rests the first time, milliseconds, and at most, doubling. */
#define FIRST_REST		500
#define LONGEST_REST	5000
#define LONGEST_OF_ALL	60000

/* What each that rests adds to the longest rest, the same. */
#define REST_OF_EACH	100

/* In words: what it is, before its number, and what is behind that. */
static const struct
{
	const char *row;
	const char *fault;
}			words[DWF_REFUSED_KINDS] =

{
	[DWF_REFUSED_HOLD] = {"request", ", which may have been sent before this server took over, cannot be put in doubt, and is not sent"},
	[DWF_REFUSED_ORDER] = {"request", ", the next of its order key, cannot be let go"},
	[DWF_REFUSED_RETURN] = {"entry", " of domowf.return_entry cannot be changed"},
	[DWF_REFUSED_LEFT] = {"request", ", which a worker was sending when it ended, cannot be put in doubt"},
	[DWF_REFUSED_EXPIRY] = {"request", ", whose time is over, cannot be settled"},
	[DWF_REFUSED_REMOVAL] = {"row", " of domowf.log, which is old, cannot be removed"},
	[DWF_REFUSED_TRACK] = {"request", ", whose instance is followed no longer, cannot be written"},
	[DWF_REFUSED_CLAIM] = {"request", " cannot be claimed"},
	[DWF_REFUSED_DATE] = {"request", " cannot be dated anew after the clock was set"},
};

/* The last one of each kind. */
static struct
{
	int			code;			/* 0: none */
	TransactionId holder;		/* of a lock; invalid: there is none, or
								 * several */
	char		why[256];
	DwfSteady	again;			/* not said before */
}			last[DWF_REFUSED_KINDS];

/* One that rests. */
typedef struct Resting
{
	struct
	{
		int64		id;
		int64		kind;
	}			key;
	int			tries;
	int			code;
	DwfSteady	until;
	char		why[160];
} Resting;

static HTAB *resting;			/* NULL: none ever has */
static int	counts[DWF_REFUSED_KINDS];	/* of these */

static void tell(DwfRefused kind, int64 id, int code, const char *message,
				 bool says);
static Resting *find(DwfRefused kind, int64 id, HASHACTION action);
static void forget_old(DwfSteady now);

void
dwf_refused_begin(DwfRefused kind)
{
	last[kind].code = 0;
}

void
dwf_refused_note(DwfRefused kind, int64 id, const ErrorData *error)
{
	tell(kind, id, error->sqlerrcode, error->message, true);
}

void
dwf_refused_note_locked(DwfRefused kind, int64 id, TransactionId holder)
{
	tell(kind, id, ERRCODE_LOCK_NOT_AVAILABLE,
		 "another transaction has locked it", true);
	last[kind].holder = holder;
}

static void
tell(DwfRefused kind, int64 id, int code, const char *message, bool says)
{
	char	   *why = psprintf("%s " INT64_FORMAT "%s: %s", words[kind].row, id,
							   words[kind].fault, message);

	last[kind].code = code;
	last[kind].holder = InvalidTransactionId;
	dwf_text_cut(last[kind].why, sizeof(last[kind].why), why);
	if (says && dwf_clock_once_a_minute(&last[kind].again))
		ereport(LOG, (errmsg("domowf: %s", why)));
	pfree(why);
}

bool
dwf_refused_find(int *code, const char **why, TransactionId *holder)
{
	for (int i = 0; i < DWF_REFUSED_KINDS; i++)
	{
		if (i == DWF_REFUSED_DATE || i == DWF_REFUSED_CLAIM ||
			!dwf_refused_find_of((DwfRefused) i, code, why))
			continue;
		*holder = last[i].holder;
		return true;
	}
	return false;
}

bool
dwf_refused_find_of(DwfRefused kind, int *code, const char **why)
{
	if (last[kind].code == 0)
		return false;
	*code = last[kind].code;
	*why = last[kind].why;
	return true;
}

void
dwf_refused_rest(DwfRefused kind, int64 id, const ErrorData *error)
{
	DwfSteady	now = dwf_clock_now();
	Resting    *row;
	int64		longest;

	dwf_refused_note(kind, id, error);
	forget_old(now);
	row = find(kind, id, HASH_FIND);
	if (row == NULL)
	{
		if (resting != NULL && hash_get_num_entries(resting) >= MAX_RESTING)
			return;
		row = find(kind, id, HASH_ENTER);
		row->tries = 0;
		counts[kind]++;
	}
	longest = Min(LONGEST_OF_ALL,
				  Max(LONGEST_REST, REST_OF_EACH * hash_get_num_entries(resting)));
	row->until = TimestampTzPlusMilliseconds(now, Min(longest,
													  FIRST_REST << Min(row->tries, 10)));
	row->tries++;
	row->code = error->sqlerrcode;
	dwf_text_cut(row->why, sizeof(row->why), error->message);
}

DwfSteady
dwf_refused_until(DwfRefused kind, int64 id, int *code)
{
	Resting    *row = counts[kind] == 0 ? NULL : find(kind, id, HASH_FIND);

	if (row == NULL || dwf_clock_now() >= row->until)
		return 0;
	tell(kind, id, row->code, row->why, false);
	*code = row->code;
	return row->until;
}

void
dwf_refused_forget(DwfRefused kind, int64 id)
{
	if (counts[kind] == 0 || find(kind, id, HASH_FIND) == NULL)
		return;
	(void) find(kind, id, HASH_REMOVE);
	counts[kind]--;
}

bool
dwf_refused_any(DwfRefused kind)
{
	if (counts[kind] > 0)
		forget_old(dwf_clock_now());
	return counts[kind] > 0;
}

void
dwf_refused_wake_all(void)
{
	if (resting != NULL)
		hash_destroy(resting);
	resting = NULL;
	memset(counts, 0, sizeof(counts));
}

static Resting *
find(DwfRefused kind, int64 id, HASHACTION action)
{
	Resting		wanted = {.key = {id, kind}};

	if (resting == NULL)
	{
		HASHCTL		how = {.keysize = sizeof(wanted.key),.entrysize = sizeof(Resting)};

		resting = hash_create("domowf rows at rest", 64, &how,
							  HASH_ELEM | HASH_BLOBS);
	}
	return hash_search(resting, &wanted.key, action, NULL);
}

/*
 * Those that nobody has found again, at the next look at the latest: they are
 * settled, or gone.  Not more often than a rest may take.
 */
static void
forget_old(DwfSteady now)
{
	static DwfSteady next = 0;
	HASH_SEQ_STATUS status;
	Resting    *row;

	if (resting == NULL || now < next)
		return;
	next = TimestampTzPlusMilliseconds(now, LONGEST_OF_ALL);
	hash_seq_init(&status, resting);
	while ((row = hash_seq_search(&status)) != NULL)
	{
		if (now < TimestampTzPlusMilliseconds(row->until, 2 * LONGEST_OF_ALL))
			continue;
		counts[row->key.kind]--;
		(void) hash_search(resting, &row->key, HASH_REMOVE, NULL);
	}
}
