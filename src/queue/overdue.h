/*
 * overdue.h
 *	  Requests that have expired and may have been executed.
 */
#ifndef DWF_OVERDUE_H
#define DWF_OVERDUE_H

/*
 * Puts those in doubt of the last statement's result, which stays as it is, that
 * have `in_doubt` in the first column; their ids are in the second.  Returns how
 * many.
 */
extern int	dwf_overdue_doubt(void);

#endif							/* DWF_OVERDUE_H */
