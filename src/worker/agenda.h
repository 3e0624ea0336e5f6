/*
 * agenda.h
 *	  What is due, as far as the worker has read the queue.
 */
#ifndef DWF_AGENDA_H
#define DWF_AGENDA_H

#include "base/clock.h"
#include "base/domowf.h"
#include "base/news.h"
#include "queue/claim.h"
#include "worker/route.h"

/* Lanes of servers of which it is to be looked up where they go. */
#define DWF_MAX_UNKNOWN		64

/*
 * Lanes that are known, each with ids that were read and not yet taken and the
 * place up to which it has been read.  What comes in before that place must be
 * told by dwf_agenda_take_news().
 */
typedef struct DwfAgenda
{
	DwfRoutes	routes;
	DwfLaneNews unknown[DWF_MAX_UNKNOWN];
	int			nunknown;

	/* taken in the transaction under way */
	DwfPick		picks[DWF_MAX_CONNECTIONS];
	DwfRoute   *ways[DWF_MAX_CONNECTIONS];	/* of these */
	int			npicks;

	/* one that is due and could not be claimed each time it was to be */
	int64		kept_id;
	DwfSteady	kept_since;		/* 0: none is */
	DwfSteady	kept_seen;		/* the last time, or when it is tried again */
	TransactionId kept_by;		/* who holds it, if known */
	int			kept_code;		/* the error that refuses it, 0: it is held */

	/* the look at all lanes */
	bool		must_look;
	int64		looks;			/* so many have begun */
	int64		looked_behind;	/* this lane, where it is under way */
	bool		look_twice;		/* something came in behind it since */
	DwfSteady	next_look;		/* not before */
	int64		look_took;		/* so far, microseconds of CPU */
} DwfAgenda;

/* Makes an agenda that knows nothing and has to look.  Once in a process. */
extern void dwf_agenda_open(DwfAgenda *agenda);

/* Has it look at all lanes, `now` or when it has not done so for a while. */
extern void dwf_agenda_look_again(DwfAgenda *agenda, bool now);

/* Takes note of what was committed. */
extern void dwf_agenda_take_news(DwfAgenda *agenda, const DwfNews *news,
								 DwfSteady now);

/*
 * When there may be a request to send on a connection that has room, where all
 * of them have `room` for so many; the past where there may be one now.
 */
extern DwfSteady dwf_agenda_next(const DwfAgenda *agenda, DwfSteady now,
								 int room);

/*
 * Takes up to `room` due requests, connections in turn and within each its
 * lanes, into agenda->picks, as many as each connection has room for.  In a
 * transaction, of whose end it is to be told: then requests that were not
 * claimed, or none was, are no longer in flight.
 */
extern void dwf_agenda_take(DwfAgenda *agenda, DwfSteady now, int room);
extern void dwf_agenda_committed(DwfAgenda *agenda, DwfSteady now);
extern void dwf_agenda_aborted(DwfAgenda *agenda, DwfSteady now);

/*
 * An attempt of a lane has ended: with this outcome, on a connection, or
 * without having been made.  Whether the lane rests since, or goes on to.
 */
extern bool dwf_agenda_note(DwfRoute *route, DwfLink *link,
							const DwfEvidence *evidence,
							const DwfBackoff *backoff, double random);
extern void dwf_agenda_drop(DwfRoute *route, int64 lane, DwfSteady now);

/*
 * Since when a request that is due cannot be claimed (agenda->kept_by, or
 * kept_code), 0: all can; where all lanes are looked at again after `interval`
 * microseconds.
 */
extern DwfSteady dwf_agenda_kept_since(DwfAgenda *agenda, DwfSteady now,
									   int64 interval);

/* Whether a connection has something to send, and may be at rest. */
extern bool dwf_agenda_wants(const DwfLink *link, DwfSteady now);

/*
 * What a poll's outcome tells of a connection: a 429 holds up requests, too, and
 * the first poll that is answered after one lets them go again.  All else is
 * about polls alone.
 */
extern void dwf_agenda_note_poll(DwfLink *link, const DwfEvidence *evidence,
								 const DwfBackoff *backoff, double random);

/* Whether a server's connection is used, or has something to send. */
extern bool dwf_agenda_has_other(const DwfAgenda *agenda, DwfSteady now);

/* Ends every pause. */
extern void dwf_agenda_resume(DwfAgenda *agenda, DwfSteady now);

#endif							/* DWF_AGENDA_H */
