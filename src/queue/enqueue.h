/*
 * enqueue.h
 *	  What all ways to enqueue a request share: functions and triggers.
 */
#ifndef DWF_ENQUEUE_H
#define DWF_ENQUEUE_H

#include "queue/request.h"
#include "registry/workflow.h"

/* A request of the current user, to be sent at once, with all else unset. */
extern void dwf_enqueue_begin(DwfEnqueue *enqueue, DwfOperation operation);

/*
 * Raises 22023 where a text cannot be a key or order key; `name` names it.
 * NULL passes.
 */
extern void dwf_enqueue_check_key(const char *name, const char *key);

/*
 * Copies what a registered workflow says of its requests; the name is not
 * copied and must live on, as its order_scope.
 */
extern void dwf_enqueue_set_workflow(DwfEnqueue *enqueue,
									 const DwfWorkflow *workflow);

/*
 * Puts a request into the queue, with the setting's expiry where it has none,
 * and returns its id, or that of the request that holds its key.  Raises what
 * dwf_server_find() says of its server; 53400 where the queue is full; 54001 in a return that stands too deep; a
 * warning, once in a session, where no worker can send it.
 */
extern int64 dwf_enqueue_put(DwfEnqueue *enqueue);

#endif							/* DWF_ENQUEUE_H */
