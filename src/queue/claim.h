/*
 * claim.h
 *	  How the worker finds and claims what is due.  Each function runs in the
 *	  worker's transaction, with SPI connected.
 */
#ifndef DWF_CLAIM_H
#define DWF_CLAIM_H

#include "base/table.h"
#include "queue/request.h"

/*
 * How far the worker has read a lane in the order of (due, id).  What lies
 * before has been seen; rows that come in there are told by news.h.
 */
typedef struct DwfCursor
{
	TimestampTz due;
	int64		id;
} DwfCursor;

/* A request to claim, and whether it was. */
typedef struct DwfPick
{
	int64		id;
	int64		lane;
	bool		is_claimed;
	bool		is_locked;		/* it was not, since somebody holds it */
	TransactionId holder;		/* who, if known */
	int			refusal;		/* it was not, for this SQLSTATE; 0: for none */
	bool		has_failed;		/* and that was now, and for the moment */
	TimestampTz again_at;		/* then: to be tried again */
} DwfPick;

/*
 * Finds the first lane behind *lane, and when the first of its requests is
 * due.  False: there is none.
 */
extern bool dwf_claim_next_lane(DwfTable *queue, int64 *lane,
								TimestampTz *due);

/*
 * Where the requests of a lane go: by the first of them.  False: there is none.
 */
extern bool dwf_claim_find_destination(DwfTable *queue, int64 lane,
									   DwfDestination *to);

/*
 * Reads the ids of up to `limit` requests of a lane that are due, behind the
 * cursor, which moves on.  Returns how many; in *next when the one behind them
 * is due, DT_NOEND where none is there.
 */
extern int	dwf_claim_find_due(DwfTable *queue, int64 lane, DwfCursor *cursor,
							   TimestampTz now, int limit, int64 *ids,
							   TimestampTz *next);

/*
 * Claims those of `count` requests that still can be sent.  Returns how many;
 * *claims and all it points to are palloc'd in the current context.
 */
extern int	dwf_claim_requests(DwfPick *picks, int count, int64 owner,
							   TimestampTz now, DwfClaim **claims);

/*
 * The same, each by itself, where one may be refused for what it holds (a check
 * or a trigger of somebody's), or fail for the moment (a lock that a trigger waits
 * for): that one waits, with backoff and its error, or rests (refused.h), and keeps
 * no other.  *refusal: the last one's error, palloc'd; NULL: there is none.  Where
 * nothing can be claimed, as the server may have no room, it is in *failure, to be
 * raised.
 */
extern int	dwf_claim_each(DwfPick *picks, int count, int64 owner,
						   TimestampTz now, DwfClaim **claims,
						   char **refusal, ErrorData **failure);

/* Whether some are known that could not be claimed: each goes by itself. */
extern bool dwf_claim_is_careful(void);

#endif							/* DWF_CLAIM_H */
