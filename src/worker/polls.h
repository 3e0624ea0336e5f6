/*
 * polls.h
 *	  Polls of tracked instances that are under way: beside the sender's attempts,
 *	  on the same connections, in places that these do not want.
 *
 * What a sender's own files and the tracker share; nobody else knows.
 */
#ifndef DWF_POLLS_H
#define DWF_POLLS_H

#include "base/domowf.h"
#include "domo/domo.h"
#include "http/http.h"
#include "queue/tracked.h"
#include "worker/link.h"

/* A quarter of what may be in flight. */
#define DWF_MAX_POLLS	(DWF_MAX_CONNECTIONS / 4)

/* Results that wait to be written, at most, before no poll is made any more. */
#define DWF_MAX_POLLED	(2 * DWF_MAX_POLLS)

/*
 * A poll.
 *
 *		free		-> chosen
 *		chosen		-> in flight; free (the transaction was rolled back, or it
 *					   cannot be sent)
 *		in flight	-> ended; free (it gave way)
 *		ended		-> free, once that is written
 */
typedef enum DwfPollState
{
	DWF_POLL_FREE,
	DWF_POLL_CHOSEN,
	DWF_POLL_IN_FLIGHT,
	DWF_POLL_ENDED
} DwfPollState;

typedef struct DwfPoll
{
	DwfPollState state;
	DwfTracked	row;
	MemoryContext context;		/* of the request */
	DwfRequest	request;
	DwfLink    *link;			/* while chosen or in flight */
	const DwfConnection *connection;
	DwfSteady	sent_at;
	DwfReply	reply;			/* malloc's, while ended */
	int			http_status;
	char		failure[512];	/* '': it was answered */
	DwfSteady	write_at;		/* not before */
	DwfSteady	held_since;		/* it could not be written; 0: never */
	int			refused;		/* the code of why, 0: somebody holds it; ... */
	char		refusal[256];	/* ... and in words */
	bool		written;		/* in the transaction under way */
} DwfPoll;

/* All of them, in their places. */
extern DwfPoll dwf_polls[DWF_MAX_POLLED];

/* How many are in this state, and whether one of a request is in any. */
extern int	dwf_polls_count(DwfPollState state);
extern bool dwf_polls_have(int64 request);

/*
 * Takes a place for a poll of the row at hand, on a connection.  In a
 * transaction.  False: there is none; or, in *fault, its id cannot be asked for.
 */
extern DwfPoll *dwf_polls_choose(const DwfTable *tracked, DwfLink *link,
								 DwfFault *fault);

/* Sends those that were chosen; or gives them up. */
extern void dwf_polls_send(DwfEngine *engine);
extern void dwf_polls_drop_chosen(void);

/* Frees one that has ended. */
extern void dwf_polls_free(DwfPoll *poll);

/*
 * Whether an exchange's owner is a poll; and takes what came of it: whether its
 * token was refused.
 */
extern bool dwf_polls_own(const void *owner);
extern bool dwf_polls_finish(DwfEngine *engine, const DwfExchange *exchange);

/*
 * Before a request is sent on a connection, with so many in flight: gives up
 * polls whose places that needs.
 */
extern void dwf_polls_give_way(DwfEngine *engine, int in_flight,
							   const DwfLink *link);

/* Whether some did since the last call: they are due still. */
extern bool dwf_polls_gave_way(void);

#endif							/* DWF_POLLS_H */
