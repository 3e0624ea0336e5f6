/*
 * apart.h
 *	  What may fail for one row, without the transaction.
 */
#ifndef DWF_APART_H
#define DWF_APART_H

typedef void (*DwfApartWork) (void *arg);

/*
 * Does work(arg) in a subtransaction.  Returns NULL, or, with nothing done, why
 * a row is refused for what it holds (refusal.h), palloc'd; raises whatever else
 * there is.  Tables are to be opened and closed within: an index may keep pages
 * from one insert to the next (BRIN), which must not outlive it.
 */
extern ErrorData *dwf_apart_try(DwfApartWork work, void *arg);

/*
 * The same, whatever the error is, with its code as dwf_refusal_code() has it: for
 * a background process, which nobody cancels, and where another row is tried
 * instead.
 */
extern ErrorData *dwf_apart_try_any(DwfApartWork work, void *arg);

/*
 * A pass over many rows in one transaction, each by itself: all zero at first.
 * Whoever makes one locks the tables before, so that a table that somebody has
 * locked fails the transaction and no row.
 */
typedef struct DwfPass
{
	int			done;			/* rows that were */
	int			moments;		/* that failed, and not for what they hold */
	int			alike;			/* of these the last ones, by the same code */
	int			code;
} DwfPass;

/*
 * Tells it that a row has failed.  Returns whether to go on with the next one:
 * where many fail for the moment the rest is for another pass, so that this one
 * ends; raises the error where it is the server's, as all fail by it.  Locks are
 * waited for but shortly from then on, as below.
 */
extern bool dwf_apart_goes_on(DwfPass *pass, ErrorData *error);

/*
 * Has locks waited for but shortly, in the rest of the transaction; or, called in a
 * subtransaction, as the work of dwf_apart_try() is done, of that one only: the next
 * row is waited for at length again.
 */
extern void dwf_apart_wait_shortly(void);

#endif							/* DWF_APART_H */
