/*
 * hold.h
 *	  Starts that may have been sent elsewhere are put into doubt.
 */
#ifndef DWF_HOLD_H
#define DWF_HOLD_H

/*
 * For the worker, when it begins.  Where the server took over from another one,
 * or from an earlier state, since the queue was served, does with it what
 * domowf.after_promotion says, and keeps that it is served here.  In a
 * transaction, with SPI connected.  Raises an error where a request that is to
 * be held stays locked.  One that refuses to be held, by a trigger or check of
 * somebody's, keeps no other; it is told of (refused.h), and
 */
extern void dwf_hold_take_over(void);

/* ... not to be claimed, nor to expire, if there is any; */
extern bool dwf_hold_keeps(int64 id);
extern bool dwf_hold_keeps_any(void);

/* ... and this, in a transaction as that one, tries again. */
extern void dwf_hold_try_again(void);

#endif							/* DWF_HOLD_H */
