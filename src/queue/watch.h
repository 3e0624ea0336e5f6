/*
 * watch.h
 *	  Order keys that the worker has to look at again.  Each function runs in
 *	  the worker's process; those that say so, in its transaction.
 */
#ifndef DWF_WATCH_H
#define DWF_WATCH_H

#include "base/news.h"
#include "base/table.h"

/*
 * Begins to look at every order key, a part at a time: what was remembered is
 * lost, as it is at the start of a worker.
 */
extern void dwf_watch_begin(void);

/*
 * Lets go the next request of an order key, text datums, of which this
 * transaction has taken one out of the queue, or remembers the key.  In a
 * transaction.  The second is for a transaction that is done again, since
 * something in it was refused: a row that refuses to be let go undoes nothing,
 * and its key is remembered; so are the keys of the rest once too many had to be
 * waited for since the third, which comes first in such a transaction.  Where
 * many are let go, that is to be done in no subtransaction of each (apart.h).
 */
extern void dwf_watch_release(DwfTable *queue, Datum space, Datum key);
extern void dwf_watch_release_apart(Datum space, Datum key);
extern void dwf_watch_begin_apart(void);

/* Takes note of requests that were settled by hand. */
extern void dwf_watch_take_news(const DwfNews *news);

/* Whether a look need not wait for the next poll. */
extern bool dwf_watch_is_urgent(void);

/*
 * Looks at what is remembered and at what was settled by hand; and, if it was
 * said before that this `is_poll`, at some of all order keys.  `told`: somebody
 * has committed a request that stands behind another one.  In a transaction.
 * What may not be let go keeps no other, and is told of (refused.h).
 */
extern void dwf_watch_prepare(bool is_poll, bool told);
extern void dwf_watch_look(void);

/* Tells that the transaction of dwf_watch_look() has committed. */
extern void dwf_watch_looked(void);

#endif							/* DWF_WATCH_H */
