/*
 * upkeep_process.h
 *	  A process for what takes long and can be done beside the sending.
 */
#ifndef DWF_UPKEEP_PROCESS_H
#define DWF_UPKEEP_PROCESS_H

#include "postgres.h"

/* Main function of the process; the argument is the database's oid. */
extern PGDLLEXPORT void domowf_upkeep_main(Datum arg);

/*
 * For the worker: sees to it that there is one for its database, which counts
 * the queue, removes what is old from the log, and ends.  False: no background
 * worker is free, so that it is the worker's to do.
 */
extern bool dwf_upkeep_process_start(void);

#endif							/* DWF_UPKEEP_PROCESS_H */
