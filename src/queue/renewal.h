/*
 * renewal.h
 *	  What domowf_retry() takes anew: rights, and what the registry says.
 */
#ifndef DWF_RENEWAL_H
#define DWF_RENEWAL_H

#include "utils/jsonb.h"

/*
 * Checks that a request may be sent again: whoever asked for it could ask for
 * it now.  *request is it as it is to be sent, in the current memory context,
 * with model, version and message name as the registry has them; NULL: as it
 * is.  False where it is not one to be retried, or `caller` may not see it:
 * then it must not be, whatever it becomes meanwhile.  Raises 42501 where it
 * may not be sent, 42704 where its workflow is no longer registered, 22023
 * where its data does not fit any more.  `schema` is that of domowf's
 * functions.
 */
extern bool dwf_renewal_take(int64 id, Oid caller, Oid schema,
							 Jsonb **request);

#endif							/* DWF_RENEWAL_H */
