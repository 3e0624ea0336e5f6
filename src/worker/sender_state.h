/*
 * sender_state.h
 *	  What a sender consists of; for sender.c and sender_*.c alone.
 */
#ifndef DWF_SENDER_STATE_H
#define DWF_SENDER_STATE_H

#include "call/connection.h"
#include "http/http.h"
#include "queue/rate.h"
#include "queue/request.h"
#include "worker/agenda.h"

#include "nodes/pg_list.h"

/*
 * One attempt.  It and all it points to live in its own memory context.
 *
 *		claimed --commit--> in flight --reply--> ended --settled--> freed
 *		   |										^
 *		   +-- the claim was rolled back: freed		|
 *		   +-- it cannot be sent -------------------+
 */
typedef struct DwfAttempt
{
	MemoryContext context;
	DwfClaim	claim;
	const DwfConnection *connection;	/* on which it was sent */
	TimestampTz sent_at;
	DwfRequest	request;
	bool		is_readable;	/* else: why not */
	DwfFault	fault;
	DwfReply	reply;			/* malloc's; freed with the context */
	DwfResult	result;
	int			tries;			/* failed settlements */
	TimestampTz write_at;		/* not written before this */
	bool		written;		/* in the transaction under way */
} DwfAttempt;

struct DwfSender
{
	DwfEngine  *engine;
	struct WaitEventSet *wait_set;

	DwfConnection *connection;	/* in a context of its own; NULL: none */
	MemoryContext connection_context;
	List	   *retired;		/* contexts of earlier ones, still in use */
	bool		is_open;		/* the connection can be used */
	bool		reopen;			/* try again to open it */
	TimestampTz opened_for;		/* PgReloadTime when it was opened */

	DwfAgenda	agenda;			/* what is due, and what rests */
	DwfRate		rate;

	List	   *claimed;		/* of DwfAttempt, each in one of these */
	List	   *ended;
	int			in_flight;

	int64		sent;			/* counts for the worker view */
	int64		failed;
	char		pause_reason[256];
	char		rest_reason[256];	/* of the lane that failed last */
	char		last_error[512];
};

#endif							/* DWF_SENDER_STATE_H */
