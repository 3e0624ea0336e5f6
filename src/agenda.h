/*
 * agenda.h
 *	  What is due, as far as the worker has read the queue.
 */
#ifndef DWF_AGENDA_H
#define DWF_AGENDA_H

#include "retry.h"
#include "worker_queue.h"

/* Due requests that are read at a time. */
#define DWF_AGENDA_BATCH	1000

/*
 * Ids that were read and not yet taken, and the place up to which the queue
 * has been read.  What comes in before that place must be told by
 * dwf_agenda_rewind().
 */
typedef struct DwfAgenda
{
	DwfCursor	cursor;
	int64		ids[DWF_AGENDA_BATCH];
	int			count;
	int			taken;
	TimestampTz next_due;		/* when something behind the cursor is due */
	int64		last_rescan;	/* how long it took to read from the start */
} DwfAgenda;

/* Begins to read the queue from its start. */
extern void dwf_agenda_restart(DwfAgenda *agenda);

/* The same, forgetting what was read: it was not claimed after all. */
extern void dwf_agenda_forget(DwfAgenda *agenda);

/* Takes note that something is due from this time on. */
extern void dwf_agenda_rewind(DwfAgenda *agenda, TimestampTz earliest);

/* When the next request is due; the past where ids are at hand. */
extern TimestampTz dwf_agenda_next(const DwfAgenda *agenda, TimestampTz now);

/*
 * Takes up to `room` ids of due requests, reading on where none are at hand,
 * in a transaction.  A probe of a paused connection is not the request that
 * was the last one, where there is another.
 */
extern int	dwf_agenda_take(DwfAgenda *agenda, DwfPause *pause,
							TimestampTz now, int room, int64 *ids);

#endif							/* DWF_AGENDA_H */
