/*
 * upkeep.h
 *	  What the worker does to many requests at once.  Each function runs in the
 *	  worker's transaction, with SPI connected.
 */
#ifndef DWF_UPKEEP_H
#define DWF_UPKEEP_H

#include "datatype/timestamp.h"

/* Settles up to `limit` requests whose time is over.  Returns how many. */
extern int	dwf_upkeep_expire(TimestampTz now, int limit);

/*
 * Puts right what dead workers left behind in `sending`, which is all that
 * does not belong to `owner`.  Returns how many are in doubt now; in *again how
 * many will be sent again; in *left whether there are more, which somebody has
 * locked.
 */
extern int	dwf_upkeep_recover(int64 owner, TimestampTz now, int *again,
							   bool *left);

/* Removes up to `limit` old rows of the log, and their keys. */
extern int	dwf_upkeep_remove_old(TimestampTz before, int limit);

#endif							/* DWF_UPKEEP_H */
