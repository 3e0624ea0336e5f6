/*
 * renewal.h
 *	  What domowf_retry() takes anew: rights, and what the registry says.
 */
#ifndef DWF_RENEWAL_H
#define DWF_RENEWAL_H

#include "queue/lane.h"

#include "utils/jsonb.h"

/*
 * A request as it is to be sent from now on, with model, version, message name
 * and server as the registry has them.
 */
typedef struct DwfRenewal
{
	Jsonb	   *request;		/* NULL: as it is */
	DwfDestination to;
	int64		lane;
	bool		track;			/* the instance that it starts */
} DwfRenewal;

/*
 * Checks that a request may be sent again: whoever asked for it could ask for
 * it now.  *renewal lies in the current memory context.  False where it is not one to be retried, or `caller` may not see it:
 * then it must not be, whatever it becomes meanwhile.  Raises 42501 where it
 * may not be sent, 42704 where its workflow is no longer registered, 22023
 * where its data does not fit any more, what dwf_server_find() says of its server.  `schema` is that of domowf's
 * functions.
 */
extern bool dwf_renewal_take(int64 id, Oid caller, Oid schema,
							 DwfRenewal *renewal);

#endif							/* DWF_RENEWAL_H */
