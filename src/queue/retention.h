/*
 * retention.h
 *	  Removes old rows of the log, and their keys.
 */
#ifndef DWF_RETENTION_H
#define DWF_RETENTION_H

#include "datatype/timestamp.h"

/*
 * Removes up to `limit` rows that were settled before.  In a transaction of a
 * process of domowf's, with SPI connected.  Returns whether there may be more;
 * what somebody keeps from it is passed by, so that this ends, and told of
 * (refused.h).
 */
extern bool dwf_retention_remove(TimestampTz before, int limit);

/* Nothing is to be removed: what could not be is nobody's fault any more. */
extern void dwf_retention_keep_all(void);

#endif							/* DWF_RETENTION_H */
