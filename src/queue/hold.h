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
 * be held stays locked.
 */
extern void dwf_hold_take_over(void);

#endif							/* DWF_HOLD_H */
