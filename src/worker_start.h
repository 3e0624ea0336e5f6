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
 * domowf.queue.
 */
extern Oid	dwf_worker_become(Oid database);

#endif							/* DWF_WORKER_START_H */
