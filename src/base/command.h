/*
 * command.h
 *	  Where a function that acts on the world is refused.
 */
#ifndef DWF_COMMAND_H
#define DWF_COMMAND_H

#include "miscadmin.h"

/*
 * First thing in every function that calls Domo, enqueues, or changes what was
 * enqueued.  Raises 25006 in a read-only transaction and on a standby, and 25000
 * in parallel mode: our functions are PARALLEL UNSAFE, but a function that calls
 * them may be marked otherwise by mistake, and what a parallel worker does is
 * neither logged nor warned of at a rollback.
 */
static inline void
dwf_command_begin(const char *name)
{
	PreventCommandIfReadOnly(name);
	PreventCommandIfParallelMode(name);
}

#endif							/* DWF_COMMAND_H */
