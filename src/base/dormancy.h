/*
 * dormancy.h
 *	  Databases that keep no worker process, since it could do nothing there
 *	  until somebody acts.
 */
#ifndef DWF_DORMANCY_H
#define DWF_DORMANCY_H

#include "base/clock.h"

/*
 * For a worker that has said why it is paused (dwf_shared_publish()): makes its
 * database dormant; it is to exit then.  False where somebody has told it
 * something meanwhile, so that it has to look again.
 */
extern bool dwf_dormancy_begin(void);

/*
 * Whether a worker that pauses for this reason, which it has not published yet,
 * may say so in the server's log: once a minute, whichever process it is.
 */
extern bool dwf_dormancy_may_say(const char *reason);

/*
 * For the launcher.  Marks the database whose visit is due for longest as
 * starting, for a visit, and returns it; InvalidOid: none is due.
 */
extern Oid	dwf_dormancy_take_visit(DwfSteady now);

/* Whether a worker that was started for a visit is still there. */
extern bool dwf_dormancy_is_visited(Oid database);

/* Whether a database is dormant, as far as it has an entry. */
extern bool dwf_dormancy_holds(Oid database);

#endif							/* DWF_DORMANCY_H */
