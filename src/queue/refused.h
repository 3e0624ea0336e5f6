/*
 * refused.h
 *	  Rows that somebody's trigger, check or index refuses to have changed, and
 *	  that are passed by: who tells of them.  In the worker's process.
 */
#ifndef DWF_REFUSED_H
#define DWF_REFUSED_H

/* What could not be done to them. */
typedef enum DwfRefused
{
	DWF_REFUSED_HOLD,			/* to be put in doubt after a takeover */
	DWF_REFUSED_ORDER,			/* to be let go, as the next of an order key */
	DWF_REFUSED_RETURN,			/* of what is to be returned: to be given up */
	DWF_REFUSED_DATE			/* to be due earlier; not tried again */
} DwfRefused;

#define DWF_REFUSED_KINDS	(DWF_REFUSED_DATE + 1)

/* It is tried, whatever was refused before. */
extern void dwf_refused_begin(DwfRefused kind);

/* This row is refused: the log says so, once a minute. */
extern void dwf_refused_note(DwfRefused kind, int64 id, const ErrorData *error);

/*
 * Whether some row is, of what is tried again; its SQLSTATE, and why, in words,
 * until the next call of dwf_refused_note().
 */
extern bool dwf_refused_find(int *code, const char **why);

#endif							/* DWF_REFUSED_H */
