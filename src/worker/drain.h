/*
 * drain.h
 *	  How a worker ends when it is told to: it claims no more, and waits a while
 *	  for the replies to what is in flight.
 *
 *		SIGTERM (a stop of the server, a person)	domowf.drain_timeout
 *		domowf.worker = off							domowf.timeout, about
 *
 * One that SIGTERM has told does not outlive that by much, whatever it is at.
 */
#ifndef DWF_DRAIN_H
#define DWF_DRAIN_H

#include "base/compat.h"

/*
 * From here on SIGTERM does not end this process at once.  Before, and after
 * somebody has asked for the database (evict.c), it does.
 */
extern void dwf_drain_prepare(void);

/* Whether the worker is to end, or was when this was asked last. */
extern bool dwf_drain_look(void);
extern bool dwf_drain_is_under_way(void);

/*
 * Whether it must not wait any longer.  A commit of its own then waits for no
 * standby any more (ProcDiePending), until dwf_drain_begin_last().
 */
extern bool dwf_drain_is_over(void);

/*
 * What is to be written yet can be, with a commit that waits for nobody; but
 * nothing that waits for long.
 */
extern void dwf_drain_begin_last(void);

/* Ends the process as it was told to. */
extern void dwf_drain_leave(void) pg_attribute_noreturn();

#endif							/* DWF_DRAIN_H */
