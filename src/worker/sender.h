/*
 * sender.h
 *	  The worker's attempts: from a claim to a result that can be written.
 */
#ifndef DWF_SENDER_H
#define DWF_SENDER_H

#include "base/shared.h"
#include "call/connection.h"
#include "http/http.h"
#include "queue/rate.h"
#include "queue/request.h"
#include "queue/rest.h"
#include "worker/agenda.h"

#include "nodes/pg_list.h"
#include "storage/latch.h"

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

typedef struct DwfSender
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
} DwfSender;

/* Makes the engine and what waits for it.  Once in a process. */
extern void dwf_sender_open(DwfSender *sender);

/* Whether the connection is to be opened (again), and can be. */
extern bool dwf_sender_must_reopen(const DwfSender *sender);

/*
 * Opens the connection where it must be.  In a transaction.  Where it cannot
 * be opened the sender says why and has no room.
 */
extern void dwf_sender_reopen(DwfSender *sender);

/*
 * How many requests may be claimed now, beside those whose results have not
 * been written and are not being written in the transaction under way.
 */
extern int	dwf_sender_room(DwfSender *sender, TimestampTz now);

/* Takes claims over, to be sent when their transaction has committed. */
extern void dwf_sender_take(DwfSender *sender, const DwfClaim *claims,
							int count);

/* A result whose writing failed before and may be tried again; NULL: none. */
extern DwfAttempt *dwf_sender_find_failed(const DwfSender *sender,
										  TimestampTz now);

/*
 * Whether there are results that have not been tried to be written; these, in a
 * list of the current context; and when the first of all may be written,
 * DT_NOEND where there is none.
 */
extern bool dwf_sender_has_fresh(const DwfSender *sender);
extern TimestampTz dwf_sender_write_at(const DwfSender *sender);

/*
 * In a transaction: settles what has ended and not been tried to be written, as
 * what `owner` has claimed; or what dwf_sender_find_failed() finds, alone.
 */
extern void dwf_sender_write_fresh(DwfSender *sender, int64 owner,
								   TimestampTz now);
extern void dwf_sender_write_failed(DwfSender *sender, int64 owner,
									TimestampTz now);

/* What failed before may be written now. */
extern void dwf_sender_write_at_once(DwfSender *sender);

/*
 * Tells how the transaction ended that wrote `written` results and took the
 * claims.  What was aborted is written again at growing intervals, short ones
 * where it only met somebody's lock.
 */
extern void dwf_sender_committed(DwfSender *sender);
extern void dwf_sender_aborted(DwfSender *sender, TimestampTz now,
							   bool locked_out);

/*
 * Puts back what was claimed, to be claimed again at once, and says why it is
 * not sent.  It has used no attempt.
 */
extern void dwf_sender_hold_back(DwfSender *sender, const char *reason);

/* Sends what was claimed. */
extern void dwf_sender_send(DwfSender *sender);

/*
 * Drives the network and turns what has ended into results.  `has_news`: the
 * engine's descriptor is readable, or may be.
 */
extern void dwf_sender_harvest(DwfSender *sender, bool has_news);

/*
 * Waits for the network, the latch, or `timeout` milliseconds (-1: no time).
 * Returns whether the network has news.
 */
extern bool dwf_sender_wait(DwfSender *sender, long timeout);

/* When the engine wants to be driven though nothing comes: as of http.h. */
extern long dwf_sender_timeout_ms(const DwfSender *sender);

/* Whether nothing is in flight nor waits to be written. */
extern bool dwf_sender_is_idle(const DwfSender *sender);

/* Has the connection opened again, where it could not be. */
extern void dwf_sender_try_again(DwfSender *sender);

/* Fills in the counts and the last error. */
extern void dwf_sender_fill_status(const DwfSender *sender,
								   DwfWorkerStatus *status);

/* Notes the error being handled, for the worker view. */
extern void dwf_sender_note_error(DwfSender *sender);

/* When the sender has room again; DT_NOEND: when something has settled. */
extern TimestampTz dwf_sender_room_at(const DwfSender *sender,
									  TimestampTz now);

/*
 * Until when nothing is sent and why, where that is so: the connection rests,
 * or every lane that has something to send; 0 where it is not.  `is_private`:
 * the reason tells of a request.
 */
extern TimestampTz dwf_sender_paused_until(const DwfSender *sender,
										   const char **reason,
										   bool *is_private);

/*
 * Says in the server's log what is in flight and this worker will not settle,
 * and what has happened meanwhile.
 */
extern void dwf_sender_report_lost(DwfSender *sender, const char *event);

#endif							/* DWF_SENDER_H */
