/*
 * queue.h
 *	  The queue as backends use it.
 */
#ifndef DWF_QUEUE_H
#define DWF_QUEUE_H

#include "queue/request.h"

/*
 * Enqueues; returns the id, or that of the request that holds the key, as
 * dwf_key_take() says.  53400 where there is no room for one more.
 */
extern int64 dwf_queue_enqueue(const DwfEnqueue *request);

#endif							/* DWF_QUEUE_H */
