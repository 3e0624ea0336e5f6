/*
 * pause.h
 *	  Whether this database sends (domowf.state).
 */
#ifndef DWF_PAUSE_H
#define DWF_PAUSE_H

#include "base/timeline.h"

/*
 * Reads whether a person has paused the queue, or it belongs to another
 * database or server, of which this one is a copy; why goes into `reason`.  In
 * a transaction, with SPI connected.
 */
extern bool dwf_pause_is_set(char *reason, Size size, bool *is_copy);

/*
 * Reads where the queue was served last, as far as it tells, and writes where
 * it is.  Likewise.
 */
extern void dwf_pause_read_served(DwfTimeline *served);
extern void dwf_pause_write_served(const DwfTimeline *here);

/* Whether it is a copy; for anybody, who may have to wait for domowf.state. */
extern bool dwf_pause_is_of_copy(void);

/* Pauses the queue of a server that took over.  Likewise. */
extern void dwf_pause_promoted(void);

#endif							/* DWF_PAUSE_H */
