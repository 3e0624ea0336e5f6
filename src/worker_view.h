/*
 * worker_view.h
 *	  What a worker says of itself, for people to read.
 */
#ifndef DWF_WORKER_VIEW_H
#define DWF_WORKER_VIEW_H

#include "fmgr.h"

/*
 * domowf.worker_handler() returns fdw_handler: the foreign table
 * domowf.worker_status, under the view domowf.worker.
 */
extern PGDLLEXPORT Datum domowf_worker_handler(PG_FUNCTION_ARGS);

#endif							/* DWF_WORKER_VIEW_H */
