/*
 * upkeep.h
 *	  What the worker does to many requests at once.  Each function runs in the
 *	  worker's transaction, with SPI connected.
 */
#ifndef DWF_UPKEEP_H
#define DWF_UPKEEP_H

#include "datatype/timestamp.h"

/*
 * Settles up to `limit` requests whose time is over, or holds in doubt what the
 * log refuses.  Returns whether there may be more; what can be neither is passed
 * by, so that this ends, and told of (refused.h).
 */
extern bool dwf_upkeep_expire(TimestampTz now, int limit);

/*
 * Puts right what dead workers left behind in `sending`, which is all that
 * does not belong to `owner`, and says how many in the server's log.  Returns
 * whether there are more, which somebody has locked, or keeps from being
 * written.
 */
extern bool dwf_upkeep_recover(int64 owner, TimestampTz now);

#endif							/* DWF_UPKEEP_H */
