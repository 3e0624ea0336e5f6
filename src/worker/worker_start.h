/*
 * worker_start.h
 *	  How a process becomes the worker of a database.
 */
#ifndef DWF_WORKER_START_H
#define DWF_WORKER_START_H

/*
 * Makes the calling background worker the one of a database, connected to it
 * and with settings under which nothing of a user's runs with its rights.
 * Does not return, but exits, where somebody needs the database for himself,
 * it lacks the extension, or it has a worker already.  Returns the oid of
 * domowf.queue, once this library serves the extension that is installed there
 * and its tables are right (objects.h).
 */
extern Oid	dwf_worker_become(Oid database);

/*
 * Serves what other processes ask a worker for; it exits where that is its
 * end.  Returns whether the configuration was read again.
 */
extern bool dwf_worker_take_interrupts(void);

/*
 * Whether the worker's database still is one that has a worker; else why not.
 * In a transaction.
 */
extern bool dwf_worker_is_wanted(char *reason, Size size);

#endif							/* DWF_WORKER_START_H */
