/*
 * check_tracking.c
 *	  Whether the instances that requests have started are followed.
 *
 * What is wrong with the tables, or with the worker as a whole, other rows of
 * domowf_check() tell.
 */
#include "postgres.h"

#include "base/extension.h"
#include "base/guc.h"
#include "base/objects.h"
#include "base/table.h"
#include "queue/tracked.h"
#include "worker/check_tracking.h"
#include "worker/worker_view.h"

#include "access/xlog.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

static const char *find_fault(TimestampTz due);

bool
dwf_check_tracking(const char **detail)
{
	DwfObjectFault fault;
	TimestampTz due;
	const char *wrong;

	if (RecoveryInProgress())
	{
		*detail = "this is a standby, which follows nothing: its primary does";
		return true;
	}
	if (!dwf_extension_can_send() || !dwf_objects_are_right(&fault))
	{
		*detail = "nothing is known of it: see rows \"objects\" and \"version\"";
		return true;
	}
	if (!ConditionalLockRelationOid(dwf_table_oid("tracked"), AccessShareLock))
	{
		*detail = "domowf.tracked is locked, so that it cannot be looked at";
		return false;
	}
	if (!dwf_tracked_first_due(&due))
	{
		*detail = "no instance is followed";
		return true;
	}
	wrong = find_fault(due);
	*detail = wrong == NULL ? "instances are polled when they are due" : wrong;
	return wrong == NULL;
}

/* Why those that there are, of which one is due then, are not followed; or NULL. */
static const char *
find_fault(TimestampTz due)
{
	const char *wrong;
	int64		late;

	if (!dwf_track_instances)
		return "domowf.track_instances is off: instances that requests have started wait to be followed";
	wrong = dwf_worker_view_polls_fault();
	if (wrong != NULL)
		return wrong;

	/* all may be due at once, as after a start */
	late = dwf_clock_wall(dwf_clock_now()) - due;
	if (late <= DWF_MAX_POLL_WAIT)
		return NULL;
	return psprintf("an instance has been due to be polled for " INT64_FORMAT " s: polls wait for what is to be sent, and while nothing is sent (see row \"worker\")",
					late / USECS_PER_SEC);
}
