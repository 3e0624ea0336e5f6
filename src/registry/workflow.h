/*
 * workflow.h
 *	  The registry: a name for what Domo needs to start a workflow.
 */
#ifndef DWF_WORKFLOW_H
#define DWF_WORKFLOW_H

#include "base/compat.h"
#include "domo/domo.h"
#include "registry/input.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/*
 * A row of domowf.workflow and its rows of domowf.workflow_input, as they were
 * read together.  Read only: it belongs to the cache (dwf_workflow_find()).
 */
typedef struct DwfWorkflow
{
	/*
	 * Differs each time that a workflow is read: what somebody worked out
	 * from one (a trigger's mapping) holds for as long as it is the same.
	 */
	uint64		serial;
	char	   *name;			/* in the database's encoding */
	char	   *model_id;		/* in UTF-8, as the next two */
	char	   *version;
	char	   *message_name;
	bool		is_granted;		/* to the members of a role; else to anybody */
	Oid			granted_oid;	/* the role; InvalidOid: nobody may */
	char	   *server;			/* in UTF-8, too; NULL: the settings */
	char	   *order_scope;	/* NULL: its order keys are its own */
	char	   *on_settled;		/* a function's signature; NULL: none */
	bool		retry_on_doubt;
	bool		track;			/* instances that requests start */
	int			max_attempts;	/* 0: the setting */
	bool		has_expire_after;
	Interval	expire_after;
	DwfInputs	inputs;
} DwfWorkflow;

/*
 * Finds a registered workflow by its name, which is in the database's
 * encoding.  NULL where there is none.  Asks for no privilege and checks none.
 *
 * Costs a look into a hash unless the registry changed.  What it returns is as
 * the registry stands now, whatever the transaction's isolation level: changes
 * of this transaction are in it, and those of others once they are committed.
 * It stays as it is for as long as the memory context that is current lives
 * (or until that is reset), even where the registry changes meanwhile: the
 * context holds a reference, which its reset callback gives back.  A plain
 * pointer into the cache would not do, since what a caller does with it (an
 * output function of some type, a call that waits for Domo) may run SQL that
 * reads the registry again; and to copy it all for each row would cost more
 * than the look.
 */
extern const DwfWorkflow *dwf_workflow_find(const char *name);

/*
 * Whether a role may start it.  To be asked at each start, since memberships
 * change; a role that is gone grants nothing, to superusers neither.
 */
extern bool dwf_workflow_is_granted(const DwfWorkflow *workflow, Oid role);

/*
 * Whether its name and what Domo gets of it are no longer than a request's own
 * may be (DWF_MAX_ID); otherwise *fault, of 22023.  The registry takes longer
 * ones, so that no database which has some fails to be updated or restored.
 */
extern bool dwf_workflow_check_lengths(const DwfWorkflow *workflow,
									   DwfFault *fault);

/*
 * Looks up the workflow that a start names, for what `role` may start, checks
 * `data` against its inputs, and fills in what the request lacks.  Returns 0,
 * or an SQLSTATE and *fault: 42704 where there is no such workflow, 42501
 * where it is not granted, 22023 where the data, or what is registered, does not
 * fit, told with its values only where it `shows_values`: the data is the
 * caller's own, or he may see it.  *workflow and the request live as long as the
 * current memory context.
 */
extern int	dwf_workflow_resolve(DwfRequest *request, JsonbContainer *data,
								 Oid role, bool shows_values,
								 const DwfWorkflow **workflow,
								 DwfFault *fault);

/*
 * The request as Domo gets it: {"messageName", "version", "modelId", "data"},
 * from a resolved workflow and the data of the caller.
 */
extern Jsonb *dwf_workflow_request(const DwfWorkflow *workflow,
								   JsonbContainer *data);

/* Begins the same; data is to be pushed, as WJB_VALUE, and the end. */
extern void dwf_workflow_begin_request(DwfJsonbState *state,
									   const DwfWorkflow *workflow);

#endif							/* DWF_WORKFLOW_H */
