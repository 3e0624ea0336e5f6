/*
 * recount.h
 *	  Counts the queue, so that what is kept of its length stays right.
 */
#ifndef DWF_RECOUNT_H
#define DWF_RECOUNT_H

/*
 * Counts the requests that wait, by role, and corrects what shared memory has.
 * In a transaction of the worker or of the process for upkeep, with SPI
 * connected.  Reads all of the queue, and notes how long that took
 * (dwf_shared_note_count()).
 */
extern void dwf_recount(void);

#endif							/* DWF_RECOUNT_H */
