/*
 * apart.h
 *	  What may fail for what a row holds, without the transaction.
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

#endif							/* DWF_APART_H */
