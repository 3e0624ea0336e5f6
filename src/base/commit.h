/*
 * commit.h
 *	  What a transaction tells other processes when it commits.
 */
#ifndef DWF_COMMIT_H
#define DWF_COMMIT_H

#include "datatype/timestamp.h"

/*
 * Notes that this transaction enqueued `count` requests (0: changed one; below
 * that: took some out) that are due at `run_at` (DT_NOEND: not of themselves):
 * the worker is woken when it commits.  A rolled back subtransaction's note
 * wakes the worker for nothing, which is harmless; it is not counted.
 */
extern void dwf_commit_note_enqueued(TimestampTz run_at, int count);

/* The same count, of one role: in addition, for those limited by role. */
extern void dwf_commit_note_count(Oid role, int count);

/*
 * The same for a request of a lane (lanes.h), counted elsewhere, that is due
 * from this time on: whatever becomes due is noted so, or it is found late.
 */
extern void dwf_commit_note_due(int64 lane, TimestampTz due);

/*
 * Notes that this transaction has locked a request of a lane that is due from
 * then on (DT_NOEND: not of itself), whom the worker passes by meanwhile: it is
 * told when the transaction ends, committed or not.
 */
extern void dwf_commit_note_held(int64 lane, TimestampTz due);

/*
 * Notes that this transaction settles a request of an order key by hand, so
 * that another one of it, which it does not see, may stand behind nobody.
 */
extern void dwf_commit_note_left(int64 id);

/*
 * Notes that this transaction leaves a request behind another one of its order
 * key, which may be gone by the time of the commit.  With
 * dwf_commit_note_enqueued().
 */
extern void dwf_commit_note_waiting(void);

/*
 * Notes that this transaction settled a request: who waits for it is woken
 * when it commits.
 */
extern void dwf_commit_note_settled(int64 request);

/* Notes that something is to be returned: the worker sees to it. */
extern void dwf_commit_note_return(void);

/* The same for a database that has the extension now. */
extern void dwf_commit_note_created(void);

#endif							/* DWF_COMMIT_H */
