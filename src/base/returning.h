/*
 * returning.h
 *	  Whether this process is doing a return (worker/returns.c): what somebody's
 *	  triggers and functions ask for meanwhile comes of it.
 */
#ifndef DWF_RETURNING_H
#define DWF_RETURNING_H

/* Returns that may come of each other, one after the other. */
#define DWF_MAX_DEPTH	100

/*
 * From begin to end a return is done for a request that stands this deep;
 * whoever catches an error meanwhile has to end it.
 */
extern void dwf_returning_begin(int depth);
extern void dwf_returning_end(void);

/* How deep a request stands that is enqueued now; 0: no return is being done. */
extern int	dwf_returning_depth(void);

/* Raises 54001 where that is too deep. */
extern void dwf_returning_check_depth(void);

/* Raises 0A000 where a return is done, which may be tried again. */
extern void dwf_returning_refuse_call(void);

#endif							/* DWF_RETURNING_H */
