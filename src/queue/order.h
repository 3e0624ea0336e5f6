/*
 * order.h
 *	  Order keys: requests of one go one after the other.
 */
#ifndef DWF_ORDER_H
#define DWF_ORDER_H

#include "base/table.h"
#include "queue/request.h"

/* What dwf_order_let_go() found. */
typedef enum DwfOrderLook
{
	DWF_ORDER_EMPTY,			/* no request of the key is in the queue */
	DWF_ORDER_GOES,				/* one goes, perhaps since this call */
	DWF_ORDER_HELD,				/* somebody has locked the next one's row */
	DWF_ORDER_REFUSED			/* the next one's row may not be changed */
} DwfOrderLook;

/*
 * Whose order key a request has, palloc'd: keys of different spaces are
 * different keys, however they are spelled.  Below, NULL is the one space of a
 * queue of version 1.0.
 */
extern char *dwf_order_space(const DwfEnqueue *request);

/*
 * Locks an order key until the transaction ends, so that whoever enqueues or
 * retries a request of it comes before or after this one.  A transaction that
 * has locked very many locks the whole space.
 */
extern void dwf_order_lock(const char *space, const char *key);

/* The same without waiting; false: somebody has it. */
extern bool dwf_order_try_lock(const char *space, const char *key);

/* Gives that back before the end of the transaction. */
extern void dwf_order_unlock(const char *space, const char *key);

/*
 * Whether a request of an order key, which is locked, is in the queue.  With
 * the latest snapshot, whatever the isolation level: the answer is about the
 * order of commits.
 */
extern bool dwf_order_is_taken(DwfTable *queue, const char *space,
							   const char *key);

/*
 * The highest id that waits behind an order key, which is locked; PG_INT64_MIN:
 * none does, or the queue is one of version 1.0.
 */
extern int64 dwf_order_last(DwfTable *queue, const char *space,
							const char *key);

/*
 * Lets go the next request of an order key, text datums, unless one goes
 * already, as of now and of what this transaction has done.
 */
extern DwfOrderLook dwf_order_let_go(DwfTable *queue, Datum space, Datum key);

/*
 * The same for one whose row somebody's trigger or check may refuse to have
 * changed, with a table of its own: no error then, but its id in *refused, and
 * why, palloc'd.
 */
extern DwfOrderLook dwf_order_let_go_apart(Datum space, Datum key,
										   int64 *refused, ErrorData **why);

/* The same for the worker, whatever the error is. */
extern DwfOrderLook dwf_order_let_go_anyway(Datum space, Datum key,
											int64 *refused, ErrorData **why);

/* The request of an order key that is to be let go next; 0: there is none. */
extern int64 dwf_order_find_next(Datum space, Datum key);

#endif							/* DWF_ORDER_H */
