/*
 * worker_status.h
 *	  What a worker says of itself.
 */
#ifndef DWF_WORKER_STATUS_H
#define DWF_WORKER_STATUS_H

#include "worker/sender.h"

/*
 * Publishes what the worker view shows.  `why`: it sends nothing until somebody
 * mends that; NULL: nothing of the kind.
 */
extern void dwf_worker_status_publish(const DwfSender *sender, const char *why);

/*
 * Whether something that goes on may be said in the server's log: each minute,
 * or where it is not what was said last.
 */
extern bool dwf_worker_status_may_say(const char *what);

#endif							/* DWF_WORKER_STATUS_H */
