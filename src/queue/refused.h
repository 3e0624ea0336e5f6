/*
 * refused.h
 *	  Rows that somebody's trigger, check or index refuses to have changed, or
 *	  keeps waiting for a lock, or that another transaction has locked, and that
 *	  are passed by: who tells of them, and when each is tried again.  In the
 *	  worker's process.
 */
#ifndef DWF_REFUSED_H
#define DWF_REFUSED_H

#include "base/clock.h"

/* What could not be done to them. */
typedef enum DwfRefused
{
	DWF_REFUSED_HOLD,			/* to be put in doubt after a takeover */
	DWF_REFUSED_ORDER,			/* to be let go, as the next of an order key */
	DWF_REFUSED_RETURN,			/* of what is to be returned: to be given up */
	DWF_REFUSED_LEFT,			/* to be put right after a worker has died */
	DWF_REFUSED_EXPIRY,			/* to be settled, as its time is over */
	DWF_REFUSED_REMOVAL,		/* to be removed from the log */
	DWF_REFUSED_TRACK,			/* of an instance: to be followed no longer */
	DWF_REFUSED_CLAIM,			/* to be sent; told by the agenda */
	DWF_REFUSED_DATE			/* to be due earlier; not tried again */
} DwfRefused;

#define DWF_REFUSED_KINDS	(DWF_REFUSED_DATE + 1)

/* It is tried, whatever was refused before. */
extern void dwf_refused_begin(DwfRefused kind);

/* This row is refused: the log says so, once a minute. */
extern void dwf_refused_note(DwfRefused kind, int64 id, const ErrorData *error);

/* The same of one that is locked; by whom, InvalidTransactionId: by several. */
extern void dwf_refused_note_locked(DwfRefused kind, int64 id,
									TransactionId holder);

/*
 * As dwf_refused_note(), and it rests, the longer the more often, and the more
 * there are: so
 * that rows that others have locked cost a small share of the time.
 */
extern void dwf_refused_rest(DwfRefused kind, int64 id, const ErrorData *error);

/*
 * Until when a row rests that was refused before, and is told of again as it
 * would be if it were refused now; 0: it does not.  *code: the SQLSTATE of that.
 */
extern DwfSteady dwf_refused_until(DwfRefused kind, int64 id, int *code);

/* It was done, or is no more; and whether any row is known that was not. */
extern void dwf_refused_forget(DwfRefused kind, int64 id);
extern bool dwf_refused_any(DwfRefused kind);

/* No row rests any more. */
extern void dwf_refused_wake_all(void);

/*
 * Whether some row is, of what is tried again, or of a kind; its SQLSTATE, and why,
 * in words, until the next call of dwf_refused_note(); and who holds it
 * (InvalidTransactionId: that is not it, or several do).
 */
extern bool dwf_refused_find(int *code, const char **why,
							 TransactionId *holder);
extern bool dwf_refused_find_of(DwfRefused kind, int *code, const char **why);

#endif							/* DWF_REFUSED_H */
