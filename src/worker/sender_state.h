/*
 * sender_state.h
 *	  What a sender consists of; for sender.c and sender_*.c alone.
 */
#ifndef DWF_SENDER_STATE_H
#define DWF_SENDER_STATE_H

#include "call/connection.h"
#include "http/http.h"
#include "queue/request.h"
#include "worker/agenda.h"

#include "nodes/pg_list.h"

/*
 * One attempt.  It and all it points to live in its own memory context.
 *
 *		claimed --commit--> in flight --reply--> ended --settled--> freed
 *		   |										^  |			   ^
 *		   +-- the claim was rolled back: freed		|  +-- set aside --+
 *		   +-- it cannot be sent -------------------+
 */
typedef struct DwfAttempt
{
	MemoryContext context;
	DwfClaim	claim;
	DwfRoute   *way;			/* that its lane is on */
	DwfLink    *link;			/* that holds it; never NULL */
	bool		has_link;		/* and it is its own */
	const DwfConnection *connection;	/* on which it was sent */
	DwfSteady	sent_at;
	DwfRequest	request;
	bool		is_readable;	/* else: why not */
	DwfFault	fault;
	DwfReply	reply;			/* malloc's; freed with the context */
	DwfResult	result;
	DwfSteady	ended_at;
	int			tries;			/* failed settlements */
	char	   *refusal;		/* why the log refuses it; NULL: it does not */
	DwfSteady	write_at;		/* not written before this */
	DwfSteady	failed_at;		/* when it first could not be, alone; 0: never */
	bool		is_aside;		/* it takes no place in flight any more */
	bool		written;		/* in the transaction under way */
} DwfAttempt;

struct DwfSender
{
	DwfEngine  *engine;
	struct WaitEventSet *wait_set;

	DwfAgenda	agenda;			/* what is due, on which connections */

	bool		claims_each;	/* by itself, since one was refused */
	int			claims_failed;	/* claims in a row that came to nothing */
	List	   *claimed;		/* of DwfAttempt, each in one of these */
	List	   *ended;
	int			in_flight;
	DwfSteady	written_at;		/* the last result; 0: none */

	int64		sent;			/* counts for the worker view */
	int64		failed;
	char		refusal[256];	/* of the claim that was refused last */
	char		last_error[512];
};

#endif							/* DWF_SENDER_STATE_H */
