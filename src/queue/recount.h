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
 * With `says` the server's log has it, once in a process, where there is no room
 * to count every role.
 */
extern void dwf_recount(bool says);

#endif							/* DWF_RECOUNT_H */
