/*
 * worker_queue.h
 *	  The queue as the worker uses it.  Each function runs in the worker's
 *	  transaction, with SPI connected.
 */
#ifndef DWF_WORKER_QUEUE_H
#define DWF_WORKER_QUEUE_H

#include "queue.h"

/*
 * How far the worker has read the queue in the order of (due, id).  What lies
 * before has been seen; rows that come in there are told by dwf_shared_wake().
 */
typedef struct DwfCursor
{
	TimestampTz due;
	int64		id;
} DwfCursor;

/*
 * Reads the ids of up to `limit` requests that are due, behind the cursor,
 * which moves on.  Returns how many.
 */
extern int	dwf_queue_find_due(DwfCursor *cursor, TimestampTz now, int limit,
							   int64 *ids);

/* When the next request behind the cursor is due; DT_NOEND: none is there. */
extern TimestampTz dwf_queue_next_due(const DwfCursor *cursor);

/*
 * Claims those of `count` requests that still can be sent.  Returns how many;
 * *claims is palloc'd in the context that was current when SPI was connected.
 */
extern int	dwf_queue_claim(const int64 *ids, int count, int64 owner,
							TimestampTz now, DwfClaim **claims);

/*
 * Writes a result.  Returns false, with nothing written, where the row is no
 * longer as it was claimed.
 */
extern bool dwf_queue_settle(const DwfResult *result, int64 owner,
							 TimestampTz now);

/* Settles up to `limit` requests whose time is over.  Returns how many. */
extern int	dwf_queue_expire(TimestampTz now, int limit);

/*
 * Puts right what dead workers left behind in `sending`, which is all that
 * does not belong to `owner`.  Returns how many are in doubt now; in *again how
 * many will be sent again; in *left whether there are more, which somebody has
 * locked.
 */
extern int	dwf_queue_recover(int64 owner, TimestampTz now, int *again,
							  bool *left);

/*
 * Lets go requests that wait for an order_key that nobody holds any more.
 */
extern void dwf_queue_release_waiting(void);

/* How many requests are queued or being sent. */
extern int64 dwf_queue_count_waiting(void);

/* Lets go the next request of an order_key, a text datum. */
extern void dwf_queue_release_next(Datum order_key);

/* Removes up to `limit` old rows of the log, and their keys. */
extern int	dwf_queue_remove_old(TimestampTz before, int limit);

/* What a verdict makes of the state: done, ..., queued, in_doubt. */
extern const char *dwf_queue_verdict_name(DwfVerdict verdict);

#endif							/* DWF_WORKER_QUEUE_H */
