/*
 * state.h
 *	  The table domowf.state: whether this database sends.
 */
#ifndef DWF_STATE_H
#define DWF_STATE_H

/*
 * Reads whether a person has paused the queue, or it belongs to another
 * database; why goes into `reason`.  In a transaction, with SPI connected.
 */
extern bool dwf_state_is_paused(char *reason, Size size);

/* Pauses the queue of a server that was promoted.  Likewise. */
extern void dwf_state_pause_promoted(void);

#endif							/* DWF_STATE_H */
