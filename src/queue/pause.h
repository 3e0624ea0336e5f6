/*
 * pause.h
 *	  Whether this database sends (domowf.state).
 */
#ifndef DWF_PAUSE_H
#define DWF_PAUSE_H

/*
 * Reads whether a person has paused the queue, or it belongs to another
 * database, of which this one is a copy; why goes into `reason`.  In a
 * transaction, with SPI connected.
 */
extern bool dwf_pause_is_set(char *reason, Size size, bool *is_copy);

/* Whether it is a copy; for anybody, who may have to wait for domowf.state. */
extern bool dwf_pause_is_of_copy(void);

/* Pauses the queue of a server that took over.  Likewise. */
extern void dwf_pause_promoted(void);

#endif							/* DWF_PAUSE_H */
