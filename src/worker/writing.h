/*
 * writing.h
 *	  The transactions of a worker: how each begins, ends and fails.
 */
#ifndef DWF_WRITING_H
#define DWF_WRITING_H

#include "base/clock.h"
#include "worker/sender.h"

/* What one of them leaves for those that come; all zero but the first two. */
typedef struct DwfWriting
{
	Oid			queue;			/* the table that it serves */
	DwfSender  *sender;			/* engine, connection, attempts in flight */
	bool		is_last;		/* what is written now is the worker's last */
	char		fault[256];		/* of the tables; '': none */
	bool		began;			/* the last transaction came to its work */
	DwfSteady	again_at;		/* none before, where it did not */
	bool		is_ending;		/* at the commit, nothing of a row's is left */
	int			failure;		/* the code of the last error */
} DwfWriting;

/*
 * Runs `work`, for this task, in a transaction, with SPI connected.  Returns false where it
 * failed: everything is rolled back and the error is in the server's log, unless
 * it stood there a short while ago.
 */
extern bool dwf_writing_do(DwfWriting *writing, DwfTask task,
						   void (*work) (void *arg), void *arg);

#endif							/* DWF_WRITING_H */
