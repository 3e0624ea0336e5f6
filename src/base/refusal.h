/*
 * refusal.h
 *	  Whether a row that could not be written can be written later.
 *
 * Not whether it is this row alone: what a trigger of somebody's does is its
 * row's, whatever code it raises, and so is a lock that it waits for.  That shows
 * where another row is tried (apart.h).
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

/*
 * Whether, of these, it may be what every row meets, as the server has no room or
 * is broken.
 */
extern bool dwf_refusal_may_be_servers(int code);

/* The code of an error by which that is to be asked. */
extern int	dwf_refusal_code(const ErrorData *error);

#endif							/* DWF_REFUSAL_H */
