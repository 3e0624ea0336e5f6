/*
 * worker.h
 *	  The background worker of a database.
 */
#ifndef DWF_WORKER_H
#define DWF_WORKER_H

/*
 * Main function of a worker; the argument is the database's oid.  Started by
 * the launcher (launcher.h).
 */
extern PGDLLEXPORT void domowf_worker_main(Datum arg);

#endif							/* DWF_WORKER_H */
