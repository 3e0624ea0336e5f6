/*
 * workflow.h
 *	  The registry: a name for what Domo needs to start a workflow.
 */
#ifndef DWF_WORKFLOW_H
#define DWF_WORKFLOW_H

#include "domo.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* A row of domowf.workflow; strings in UTF-8, palloc'd. */
typedef struct DwfWorkflow
{
	char	   *model_id;
	char	   *version;
	char	   *message_name;
	bool		retry_on_doubt;
	int			max_attempts;	/* 0: the setting */
	bool		has_expire_after;
	Interval	expire_after;
} DwfWorkflow;

/*
 * Looks up the workflow that a start names, for what `role` may start, and
 * fills in what the request lacks.  Returns 0, or an SQLSTATE and *fault:
 * 42704 where there is no such workflow, 42501 where it is not granted.
 */
extern int	dwf_workflow_resolve(DwfRequest *request, Oid role,
								 DwfWorkflow *workflow, DwfFault *fault);

/*
 * The request as Domo gets it: {"messageName", "version", "modelId", "data"},
 * from a resolved workflow and the data of the caller.
 */
extern Jsonb *dwf_workflow_request(const DwfWorkflow *workflow,
								   JsonbContainer *data);

#endif							/* DWF_WORKFLOW_H */
