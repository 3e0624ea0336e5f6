/*
 * argument.h
 *	  From SQL values to a request for Domo.
 */
#ifndef DWF_ARGUMENT_H
#define DWF_ARGUMENT_H

#include "domo/domo.h"

#include "fmgr.h"
#include "utils/jsonb.h"

/*
 * Raises 22004 where an argument is NULL: the functions are not STRICT, so
 * that a NULL is said and not swallowed.
 */
extern void dwf_argument_not_null(FunctionCallInfo fcinfo, int arg,
								  const char *name);

/*
 * Reads a request from a caller's jsonb.  Everything it points to lives in the
 * current memory context, or in the jsonb.  Returns false, and the reason in
 * *fault, where it is not well formed.
 */
extern bool dwf_argument_read(DwfOperation operation, Jsonb *jsonb,
							  DwfRequest *request, DwfFault *fault);

/* The same for a cancel whose id is given as text. */
extern bool dwf_argument_read_cancel(const char *instance_id,
									 DwfRequest *request, DwfFault *fault);

/*
 * The same for an operation that asks for an id, given as text, and the name of
 * a server, NULL for none.
 */
extern bool dwf_argument_read_id(DwfOperation operation, const char *id,
								 const char *server, DwfRequest *request,
								 DwfFault *fault);

/* The same for a permission change given as model id and list. */
extern bool dwf_argument_read_permissions(const char *model_id,
										  Jsonb *permissions,
										  DwfRequest *request,
										  DwfFault *fault);

/* The same for a start of a registered workflow. */
extern bool dwf_argument_read_start(const char *workflow, Jsonb *data,
									DwfRequest *request, DwfFault *fault);

/* A permission change as jsonb: {"modelId", "permissions"}. */
extern Jsonb *dwf_argument_permissions(const char *model_id,
									   Jsonb *permissions);

/* A cancel of a UTF-8 id as jsonb: {"id": ...}. */
extern Jsonb *dwf_argument_cancel(const char *id);

/*
 * Copies what a request points to into one piece of memory of the current
 * context, so that what it was read from can go.
 */
extern void dwf_argument_keep(DwfRequest *request);

#endif							/* DWF_ARGUMENT_H */
