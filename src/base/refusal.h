/*
 * refusal.h
 *	  Whether a row that could not be written can be written later.
 */
#ifndef DWF_REFUSAL_H
#define DWF_REFUSAL_H

/*
 * Whether an error, by its code, is the row's own: what it holds is refused (a
 * unique index, a check, a value too long for an index) and will be again.
 * False for what is of the moment: a full disk, a lock, a shutdown, a conflict
 * with somebody; and for a table that is broken, which no row can help.
 */
extern bool dwf_refusal_is_rows(int code);

#endif							/* DWF_REFUSAL_H */
