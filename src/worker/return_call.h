/*
 * return_call.h
 *	  A function is told what came of a request.
 */
#ifndef DWF_RETURN_CALL_H
#define DWF_RETURN_CALL_H

#include "queue/returns.h"

/*
 * Calls it, with the rights of the current user, whose function it has to be.
 * Raises why it cannot be called, and all that it raises.
 */
extern void dwf_return_call(const DwfReturn *entry, Oid owner);

#endif							/* DWF_RETURN_CALL_H */
