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
 * which moves on.  Returns how many; in *next when the one behind them is due,
 * DT_NOEND where none is there.
 */
extern int	dwf_queue_find_due(DwfCursor *cursor, TimestampTz now, int limit,
							   int64 *ids, TimestampTz *next);

/*
 * Claims those of `count` requests that still can be sent.  Returns how many;
 * *claims and all it points to are palloc'd in the current context.
 */
extern int	dwf_queue_claim(const int64 *ids, int count, int64 owner,
							TimestampTz now, DwfClaim **claims);

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

/* Removes up to `limit` old rows of the log, and their keys. */
extern int	dwf_queue_remove_old(TimestampTz before, int limit);


#endif							/* DWF_WORKER_QUEUE_H */
