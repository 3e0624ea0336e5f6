/*
 * enqueue.c
 *	  What all ways to enqueue a request share: functions and triggers.
 *
 * What a request needs of a registered workflow and of the settings is copied
 * into it here, so that later changes there do not reach it.  It must not know
 * how the request was put together (requests.c, trigger.c), nor how the queue
 * keeps it (queue.c).
 *
 * A step of test/model/domowf.pml: what changes here has to change there.
 */
#include "postgres.h"

#include "base/guc.h"
#include "base/moment.h"
#include "base/returning.h"
#include "base/shared.h"
#include "call/report.h"
#include "queue/enqueue.h"
#include "queue/queue.h"
#include "registry/server.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static void set_expiry(DwfEnqueue *enqueue, const Interval *after);
static void find_destination(DwfEnqueue *enqueue);
static void warn_no_worker(void);

void
dwf_enqueue_begin(DwfEnqueue *enqueue, DwfOperation operation)
{
	memset(enqueue, 0, sizeof(*enqueue));
	enqueue->operation = operation;
	enqueue->requested_by = enqueue->server_role = GetUserId();
	enqueue->max_attempts = dwf_max_attempts;
	enqueue->run_at = DT_NOBEGIN;
}

void
dwf_enqueue_check_key(const char *name, const char *key)
{
	if (key == NULL)
		return;
	if (*key == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid %s: found an empty string, expected at least one character",
						name)));
	if (strlen(key) > DWF_MAX_ID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid %s: found %zu bytes, expected at most %d",
						name, strlen(key), DWF_MAX_ID)));
}

void
dwf_enqueue_set_workflow(DwfEnqueue *enqueue, const DwfWorkflow *workflow)
{
	enqueue->workflow = workflow->name;
	enqueue->server = workflow->server;
	enqueue->order_scope = workflow->order_scope;
	enqueue->retry_on_doubt = workflow->retry_on_doubt;
	enqueue->track = workflow->track;
	if (workflow->max_attempts > 0)
		enqueue->max_attempts = workflow->max_attempts;
	if (workflow->has_expire_after)
		set_expiry(enqueue, &workflow->expire_after);
}

/*
 * What was asked for goes first, then the workflow, then the setting.  A wait
 * begins when it may be sent: one that may be sent in an hour does not expire
 * before.
 */
static void
set_expiry(DwfEnqueue *enqueue, const Interval *after)
{
	if (enqueue->has_expires_at)
		return;
	enqueue->expires_at =
		dwf_moment_add(Max(enqueue->run_at, GetCurrentTimestamp()), after);
	enqueue->has_expires_at = true;
}

int64
dwf_enqueue_put(DwfEnqueue *enqueue)
{
	Interval	after = {.time = dwf_expire_after * USECS_PER_SEC};

	dwf_returning_check_depth();
	find_destination(enqueue);

	if (dwf_expire_after > 0)
		set_expiry(enqueue, &after);
	if (!dwf_shared_exists())
		warn_no_worker();
	return dwf_queue_enqueue(enqueue);
}

/*
 * What is asked for can be sent as things are: rights are checked now, and
 * again before each attempt.
 */
static void
find_destination(DwfEnqueue *enqueue)
{
	DwfServer	server;
	DwfFault	fault;
	int			code;

	if (enqueue->server == NULL)
		return;
	code = dwf_server_find(enqueue->server, enqueue->server_role, &server,
						   &fault);
	if (code != 0)
		dwf_report_fault_as(code, &fault);
	namestrcpy(&enqueue->to.server, server.name);
	enqueue->to.owner = server.owner;
	enqueue->to.role = enqueue->server_role;
}

static void
warn_no_worker(void)
{
	static bool warned = false;

	if (!warned)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the request is stored, but no worker sends it"),
				 errdetail("The library is not preloaded."),
				 errhint("Add domowf to shared_preload_libraries and restart the server.")));
	warned = true;
}
