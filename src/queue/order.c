/*
 * order.c
 *	  Order keys: requests of one go one after the other, in the order in which
 *	  their transactions commit.
 *
 * Whose keys.  A key means something only together with its space, so that
 * nobody can hold back what he may not send: a workflow has a space of its
 * own, or that of its order_scope; what domowf_enqueue_call() sends, one for
 * each role (a start that names a registered workflow is that workflow's); and
 * changes of permissions, which go by their model whoever asks for them, one
 * that no key which somebody gives can reach.  The kind stands before the name,
 * so that no name can spell another kind's.
 *
 * Whoever enqueues locks the key until its transaction ends, so ids of one key
 * are taken in commit order (behind those that wait, should somebody have set the
 * sequence back); a request that finds another one in the queue is
 * `waiting`.  So one request of a key at most is not waiting; it need not have
 * the lowest id, since one that is retried comes back with the id that it had.
 *
 * Whoever takes a request out of the queue lets the next one go, in the same
 * transaction.  The one that it does not see, since that is not committed yet,
 * would stand behind nobody.  For that one:
 *
 * - The worker tries the lock where it sees no other request.  If it gets it,
 *   nobody is between his look and his commit, and who comes later waits until
 *   the settlement can be seen.  If not, it remembers the key and looks again
 *   when a request that stands behind another one was committed, and at each
 *   poll (watch.c).
 * - A backend (domowf_discard() and the like) tries no lock: nobody who
 *   enqueues should wait for a person's transaction.  It tells the worker at
 *   its commit, by the id of what it took out.
 *
 * To let go needs no lock: where a request waits, whoever enqueues sees it and
 * will wait, too, so that two cannot go.
 *
 * Who loads a million rows has as many keys, and the table of locks, which all
 * sessions share, has no room for them.  So each space has a lock of its own,
 * too, which whoever locks a key of it shares, and which a transaction that has
 * locked very many keys takes for itself, in place of further ones: the others
 * wait with that space's keys until it ends.  Of two such loads into the same
 * space one may wait for the other, and that one for it: 40P01, as with keys in
 * opposite orders.
 *
 * In a queue of version 1.0, keys have no space, which a NULL stands for: all
 * that are spelled alike are one key.
 *
 * The lock is of LOCKTAG_USERLOCK, which no SQL function can take, and is kept
 * by a prepared transaction as any other.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/columns.h"
#include "base/commit.h"
#include "base/compat.h"
#include "base/domowf.h"
#include "queue/order.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Order keys that one transaction locks by themselves. */
#define MAX_ORDER_KEYS	1000

/* The index by which requests of a key are found, the one that goes first. */
static const int by_order[] = {
	QUEUE_ORDER_SPACE, QUEUE_ORDER_KEY, QUEUE_WAITING, QUEUE_ID
};

/* The next one, by itself. */
typedef struct Next
{
	DwfTable	queue;
	Datum		space;
	Datum		key;
	DwfOrderLook look;
} Next;

static DwfOrderLook note_next(const Next *next, const ErrorData *why,
							  int64 *refused);
static void let_go_next(void *arg);
static void set_tag(LOCKTAG *tag, const char *space, const char *key);

char *
dwf_order_space(const DwfEnqueue *request)
{
	if (dwf_operation(request->operation)->by_model)
		return psprintf("model:%s", NameStr(request->to.server));
	if (request->order_scope != NULL)
		return psprintf("scope:%s", request->order_scope);
	if (request->workflow != NULL)
		return psprintf("workflow:%s", request->workflow);
	return psprintf("role:%u", request->requested_by);
}

void
dwf_order_lock(const char *space, const char *key)
{
	static LocalTransactionId counted_for = InvalidLocalTransactionId;
	static int	count = 0;
	LOCKTAG		tag;

	if (counted_for != dwf_my_lxid())
	{
		counted_for = dwf_my_lxid();
		count = 0;
	}
	set_tag(&tag, space, NULL);
	if (count >= MAX_ORDER_KEYS)
	{
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
		return;
	}
	(void) LockAcquire(&tag, RowShareLock, false, false);
	set_tag(&tag, space, key);
	if (LockAcquire(&tag, ExclusiveLock, false, false) !=
		LOCKACQUIRE_ALREADY_HELD)
		count++;
}

bool
dwf_order_try_lock(const char *space, const char *key)
{
	LOCKTAG		tag;

	set_tag(&tag, space, NULL);
	if (LockAcquire(&tag, RowShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	set_tag(&tag, space, key);
	if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
		return true;
	set_tag(&tag, space, NULL);
	(void) LockRelease(&tag, RowShareLock, false);
	return false;
}

void
dwf_order_unlock(const char *space, const char *key)
{
	LOCKTAG		tag;

	set_tag(&tag, space, key);
	(void) LockRelease(&tag, ExclusiveLock, false);
	set_tag(&tag, space, NULL);
	(void) LockRelease(&tag, RowShareLock, false);
}

/*
 * `key` NULL: of the space itself.  Keys that meet in a hash would wait for each
 * other: it is one for which nobody can make a key that meets another one's.
 */
static void
set_tag(LOCKTAG *tag, const char *space, const char *key)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL ||
		pg_cryptohash_init(hash) < 0 ||
		(space != NULL &&
		 pg_cryptohash_update(hash, (const uint8 *) space,
							  strlen(space) + 1) < 0) ||
		(key != NULL &&
		 pg_cryptohash_update(hash, (const uint8 *) key, strlen(key)) < 0) ||
		pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not hash an order key: %s",
			 pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
	tag->locktag_field1 = MyDatabaseId;
	memcpy(&tag->locktag_field2, digest, sizeof(tag->locktag_field2));
	memcpy(&tag->locktag_field3, digest + 4, sizeof(tag->locktag_field3));
	memcpy(&tag->locktag_field4, digest + 8, sizeof(tag->locktag_field4));
	tag->locktag_type = LOCKTAG_USERLOCK;
	tag->locktag_lockmethodid = USER_LOCKMETHOD;
}

bool
dwf_order_is_taken(DwfTable *queue, const char *space, const char *key)
{
	if (space == NULL)
		return dwf_table_find(queue, QUEUE_ORDER_KEY,
							  CStringGetTextDatum(key));
	return dwf_table_find_first(queue, by_order, lengthof(by_order),
								CStringGetTextDatum(space),
								CStringGetTextDatum(key));
}

int64
dwf_order_last(DwfTable *queue, const char *space, const char *key)
{
	Datum		values[2];
	int64		last;

	if (space == NULL)
		return PG_INT64_MIN;
	values[0] = CStringGetTextDatum(space);
	values[1] = CStringGetTextDatum(key);
	return dwf_table_last(queue, by_order, lengthof(by_order), values,
						  lengthof(values), QUEUE_ID, &last) ?
		last : PG_INT64_MIN;
}

DwfOrderLook
dwf_order_let_go(DwfTable *queue, Datum space, Datum key)
{
	TimestampTz due;
	bool		is_queued;
	TimestampTz enqueued;

	dwf_table_refresh(queue);
	if (!dwf_table_find_first(queue, by_order, lengthof(by_order), space, key))
		return DWF_ORDER_EMPTY;
	if (!DatumGetBool(queue->values[QUEUE_WAITING]))
		return DWF_ORDER_GOES;
	due = DatumGetTimestampTz(queue->values[QUEUE_RUN_AT]);
	enqueued = DatumGetTimestampTz(queue->values[QUEUE_ENQUEUED_AT]);

	/* who gave no time does not wait for a clock that was set back */
	if (due <= enqueued)
		due = Min(enqueued, GetCurrentTimestamp());
	dwf_table_set(queue, QUEUE_WAITING, BoolGetDatum(false));

	/* one that is in doubt goes first now, and nowhere */
	is_queued = dwf_table_is_text(queue, QUEUE_STATE, "queued");
	if (is_queued)
		dwf_table_set(queue, QUEUE_DUE, TimestampTzGetDatum(due));
	if (!dwf_table_update(queue, false))
		return DWF_ORDER_HELD;
	if (is_queued)
		dwf_commit_note_due(DatumGetInt64(queue->values[QUEUE_LANE]), due);
	return DWF_ORDER_GOES;
}

DwfOrderLook
dwf_order_let_go_apart(Datum space, Datum key, int64 *refused, ErrorData **why)
{
	Next		next = {.space = space,.key = key};

	*why = dwf_apart_try(let_go_next, &next);
	return note_next(&next, *why, refused);
}

DwfOrderLook
dwf_order_let_go_anyway(Datum space, Datum key, int64 *refused,
						ErrorData **why)
{
	Next		next = {.space = space,.key = key};

	*why = dwf_apart_try_any(let_go_next, &next);
	return note_next(&next, *why, refused);
}

/* The row at hand outlives the subtransaction, in this memory context. */
static DwfOrderLook
note_next(const Next *next, const ErrorData *why, int64 *refused)
{
	if (why == NULL)
		return next->look;
	*refused = next->queue.values == NULL ? 0 :
		DatumGetInt64(next->queue.values[QUEUE_ID]);
	return DWF_ORDER_REFUSED;
}

int64
dwf_order_find_next(Datum space, Datum key)
{
	DwfTable	queue;
	int64		id = 0;

	dwf_table_open_to_read(&queue, "queue", QUEUE_COLUMNS);
	if (dwf_table_find_first(&queue, by_order, lengthof(by_order), space, key) &&
		DatumGetBool(queue.values[QUEUE_WAITING]))
		id = DatumGetInt64(queue.values[QUEUE_ID]);
	dwf_table_close(&queue);
	return id;
}

static void
let_go_next(void *arg)
{
	Next	   *next = arg;

	dwf_table_open(&next->queue, "queue", QUEUE_COLUMNS, false);
	next->look = dwf_order_let_go(&next->queue, next->space, next->key);
	dwf_table_close(&next->queue);
}
