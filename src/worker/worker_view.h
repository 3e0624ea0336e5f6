/*
 * worker_view.h
 *	  What a worker says of itself, for people to read.
 */
#ifndef DWF_WORKER_VIEW_H
#define DWF_WORKER_VIEW_H

#include "base/shared.h"

#include "fmgr.h"

/*
 * domowf.worker_handler() returns fdw_handler: the foreign table
 * domowf.worker_status, under the view domowf.worker.
 */
extern PGDLLEXPORT Datum domowf_worker_handler(PG_FUNCTION_ARGS);

/*
 * Why the worker is paused, as far as the current user may know: '' where it
 * tells of a request and he may not see all of them.
 */
extern const char *dwf_worker_view_reason(const DwfWorkerStatus *status);

/* Whether the current user may read what tells of anybody's requests. */
extern bool dwf_worker_view_is_open(void);

/*
 * What keeps requests from going to a server, of the first connection that does
 * not get on, and how many others do not, palloc'd; NULL: nothing does.  The same
 * of the connection of the settings, which the worker's own state tells where no
 * server is busy; and of instances that are not polled, wherever they are.
 */
extern char *dwf_worker_view_server_fault(void);
extern char *dwf_worker_view_settings_fault(void);
extern char *dwf_worker_view_polls_fault(void);

#endif							/* DWF_WORKER_VIEW_H */
