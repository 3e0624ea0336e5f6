/*
 * returns.h
 *	  The process that writes outcomes back, and calls functions with them.
 */
#ifndef DWF_RETURNS_PROCESS_H
#define DWF_RETURNS_PROCESS_H

#include "worker/writing.h"

/*
 * Main function of the process; the argument is the database's oid, and
 * bgw_extra holds that of the owner whom it serves.
 */
extern PGDLLEXPORT void domowf_returns_main(Datum arg);

/*
 * A turn of the worker: sees to it that there is a process for each owner for
 * whom something is due, as far as there are places; not while it `rests`.
 */
extern void dwf_return_see_to(DwfWriting *writing, bool rests);

/* When it has something to do next; DT_NOEND: while it rests. */
extern DwfSteady dwf_return_at(void);

#endif							/* DWF_RETURNS_PROCESS_H */
