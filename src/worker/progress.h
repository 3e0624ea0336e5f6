/*
 * progress.h
 *	  What the worker has to do and does not get done.
 *
 * It cannot tell anybody while it waits for a lock or a standby.  So it says in
 * shared memory what it is about to do, and since when; who reads that judges
 * (stall.h).
 */
#ifndef DWF_PROGRESS_H
#define DWF_PROGRESS_H

#include "base/shared.h"

/* Takes over from a worker that could not start.  Once in a process. */
extern void dwf_progress_open(void);

/* There is something to do, now and not before; or since then, 0: nothing is. */
extern void dwf_progress_begin(DwfTask task);
extern void dwf_progress_set(DwfTask task, DwfSteady since);

/* It is not to be done any more: somebody has switched it off. */
extern void dwf_progress_drop(DwfTask task);

/*
 * The error being handled is what keeps it from being done: each task has its
 * own, but for what keeps any transaction from beginning, which is everybody's
 * until one has begun.
 */
extern void dwf_progress_note_error(DwfTask task, bool has_begun);
extern void dwf_progress_begun(void);

/*
 * Finds the names of what is locked, where that is a table: in a transaction, and
 * before it locks any.
 */
extern void dwf_progress_name_locks(void);

/* Somebody's transaction does; or an error that was caught. */
extern void dwf_progress_note_holder(DwfTask task, TransactionId holder);
extern void dwf_progress_note_refusal(DwfTask task, int code,
									  const char *error);

/* In the handler of the signal that ends a wait for a lock: which one it is. */
extern void dwf_progress_note_wait(void);

#endif							/* DWF_PROGRESS_H */
