/*
 * call.h
 *	  One or many attempts driven from a backend, while its statement waits.
 */
#ifndef DWF_CALL_H
#define DWF_CALL_H

#include "call/connection.h"
#include "domo/domo.h"

/*
 * Takes what came of a request, once for each, in the order in which they
 * end.  `index` is its place among the requests.  Exchange and reply are valid
 * until it returns.  It may raise an error: that gives up what is in flight.
 */
typedef void (*DwfSettle) (void *arg, int index, const DwfExchange *exchange,
						   const DwfReply *reply);

/*
 * Sends `count` requests, each on its connection, up to `max_parallel` at a
 * time, and waits until each has been settled.  `numbers` are what messages call them, ascending; NULL for
 * one request by itself.  What Domo executed is noted for the transaction
 * (rollback.h) before `settle` sees it.
 *
 * Interruptible at any time: a cancel, a timeout or a termination raises its
 * usual error, whose detail says what had been sent and is in doubt.  Raises
 * 53000 where libcurl has no memory or descriptors, and 0A000 in a cursor that
 * goes back (evaluation.h) or in domowf's worker.
 */
extern void dwf_call_run(const DwfConnection *const *connections,
						 const DwfRequest *requests, const int *numbers,
						 int count, int max_parallel, DwfSettle settle, void *arg);

#endif							/* DWF_CALL_H */
