/*
 * worker_status.h
 *	  What a worker says of itself.
 */
#ifndef DWF_WORKER_STATUS_H
#define DWF_WORKER_STATUS_H

#include "sender.h"

/*
 * Publishes what the worker view shows.  `why`: it sends nothing until somebody
 * mends that; NULL: nothing of the kind.
 */
extern void dwf_worker_publish(const DwfSender *sender, const char *why);

#endif							/* DWF_WORKER_STATUS_H */
