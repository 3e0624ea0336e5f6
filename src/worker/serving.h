/*
 * serving.h
 *	  What each transaction of a worker looks at first, and how it commits.
 */
#ifndef DWF_SERVING_H
#define DWF_SERVING_H

#include "base/objects.h"
#include "worker/sender.h"

/*
 * In a transaction that has done nothing yet: locks the queue and sees that it
 * is still the one that is served, which it then is until the end.  Otherwise
 * the process exits.  Raises 55000, with the reason in `fault`, for as long as
 * the tables are not right (objects.h): nothing is claimed then, and the
 * results of what is in flight are kept.  Else `fault` is ''.
 */
extern void dwf_serving_look(Oid queue, DwfSender *sender, char *fault,
							 Size size);

/*
 * Makes this transaction's commit one that what is sent can rest on; or, where
 * nothing will be, one that waits for no standby.
 */
extern void dwf_serving_commit_safely(bool on_standbys);

/*
 * After such a transaction: keeps what it has claimed from being sent where it
 * is not known to be as safe as was asked, on the standbys that the commit had
 * to wait for, since one that takes over would send it, too; and where the
 * worker was told to end meanwhile.  Returns whether it did.  Ends the process
 * where the server is dead.
 */
extern bool dwf_serving_hold_back(DwfSender *sender);

#endif							/* DWF_SERVING_H */
