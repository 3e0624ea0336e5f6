/*
 * xact.h
 *	  The calls that succeeded in this transaction, and what is said when it
 *	  does not commit.
 */
#ifndef DWF_XACT_H
#define DWF_XACT_H

#include "domo/domo.h"

#include "datatype/timestamp.h"

/*
 * Makes room to note calls made at the present nesting level.  May raise an
 * error, so that dwf_xact_note() need not: to be called before sending.
 */
extern void dwf_xact_prepare(void);

/*
 * Notes that Domo executed an operation on `id` (of a start: the new
 * instance), UTF-8.  Cannot fail.
 */
extern void dwf_xact_note(DwfOperation operation, const char *id);

/*
 * Notes that this transaction enqueued `count` requests (0: changed one; below
 * that: took some out) that are due at `run_at` (DT_NOEND: not of themselves):
 * the worker is woken when it commits.  A rolled back subtransaction's note
 * wakes the worker for nothing, which is harmless; it is not counted.
 */
extern void dwf_xact_note_enqueued(TimestampTz run_at, int count);

/* The same count, of one role: in addition, for those limited by role. */
extern void dwf_xact_note_count(Oid role, int count);

/*
 * The same for a request of a lane (lanes.h), counted elsewhere, that is due
 * from this time on: whatever becomes due is noted so, or it is found late.
 */
extern void dwf_xact_note_due(int64 lane, TimestampTz due);

/*
 * Notes that this transaction settles a request of an order key by hand, so
 * that another one of it, which it does not see, may stand behind nobody.
 */
extern void dwf_xact_note_left(int64 id);

/*
 * Notes that this transaction leaves a request behind another one of its order
 * key, which may be gone by the time of the commit.  With
 * dwf_xact_note_enqueued().
 */
extern void dwf_xact_note_waiting(void);

/*
 * Notes that this transaction settled a request: who waits for it is woken
 * when it commits.
 */
extern void dwf_xact_note_settled(int64 request);

/* The same for a database that has the extension now. */
extern void dwf_xact_note_created(void);

#endif							/* DWF_XACT_H */
