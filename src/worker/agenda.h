/*
 * agenda.h
 *	  What is due, as far as the worker has read the queue.
 */
#ifndef DWF_AGENDA_H
#define DWF_AGENDA_H

#include "base/domowf.h"
#include "base/news.h"
#include "queue/claim.h"
#include "worker/lanes.h"

/*
 * Lanes that are known, each with ids that were read and not yet taken and the
 * place up to which it has been read.  What comes in before that place must be
 * told by dwf_agenda_take_news().
 */
typedef struct DwfAgenda
{
	DwfLanes	lanes;
	DwfConnectionRest connection;

	/* taken in the transaction under way */
	DwfPick		picks[DWF_MAX_CONNECTIONS];
	int			npicks;

	/* the look at all lanes */
	bool		must_look;
	int64		looked_behind;	/* this lane, where it is under way */
	bool		look_twice;		/* something came in behind it since */
	TimestampTz next_look;		/* not before */
	int64		look_took;		/* so far, microseconds */
} DwfAgenda;

/* Makes an agenda that knows nothing and has to look.  Once in a process. */
extern void dwf_agenda_open(DwfAgenda *agenda);

/* Has it look at all lanes, `now` or when it has not done so for a while. */
extern void dwf_agenda_look_again(DwfAgenda *agenda, bool now);

/* Takes note of what was committed. */
extern void dwf_agenda_take_news(DwfAgenda *agenda, const DwfNews *news,
								 TimestampTz now);

/* When there may be a request to send; the past where there may be one now. */
extern TimestampTz dwf_agenda_next(const DwfAgenda *agenda, TimestampTz now);

/*
 * Takes up to `room` due requests, lanes in turn, into agenda->picks.  In a
 * transaction, of whose end it is to be told: then requests that were not
 * claimed, or none was, are no longer in flight.
 */
extern void dwf_agenda_take(DwfAgenda *agenda, TimestampTz now, int room);
extern void dwf_agenda_committed(DwfAgenda *agenda, TimestampTz now);
extern void dwf_agenda_aborted(DwfAgenda *agenda, TimestampTz now);

/*
 * An attempt of a lane has ended: with this outcome, or without having been
 * made.  Whether the lane rests since, or goes on to.
 */
extern bool dwf_agenda_note(DwfAgenda *agenda, const DwfEvidence *evidence,
							const DwfBackoff *backoff, double random);
extern void dwf_agenda_drop(DwfAgenda *agenda, int64 lane, TimestampTz now);

/* Ends every pause. */
extern void dwf_agenda_resume(DwfAgenda *agenda, TimestampTz now);

#endif							/* DWF_AGENDA_H */
