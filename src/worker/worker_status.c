/*
 * worker_status.c
 *	  What a worker says of itself.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/shared.h"
#include "queue/refused.h"
#include "worker/progress.h"
#include "worker/worker_status.h"

#include "access/transam.h"
#include "utils/timestamp.h"

static void note_refused(void);

void
dwf_worker_status_publish(const DwfSender *sender, const char *why)
{
	DwfWorkerStatus status = {0};
	static DwfConnectionStatus rows[DWF_SHOWN_CONNECTIONS];
	const char *reason = why;

	note_refused();
	dwf_sender_fill_status(sender, &status);
	if (why != NULL)
		status.paused_until = DT_NOEND;
	else
	{
		DwfSteady	until = dwf_sender_paused_until(sender, &reason,
													&status.is_reason_private);

		status.paused_until = until == 0 ? 0 : dwf_clock_shown(until);
	}
	strlcpy(status.pause_reason, reason, sizeof(status.pause_reason));
	dwf_shared_publish(&status);
	dwf_shared_publish_connections(rows,
								   dwf_sender_show_connections(sender, rows,
															   DWF_SHOWN_CONNECTIONS));
}

/*
 * Rows that are passed by, since they refuse what is to be done or are locked, are a
 * stall.
 */
static void
note_refused(void)
{
	int			code;
	const char *why;
	TransactionId holder;

	if (dwf_refused_find_of(DWF_REFUSED_LEFT, &code, &why))
		dwf_progress_note_refusal(DWF_TASK_ORPHANS, code, why);
	if (!dwf_refused_find(&code, &why, &holder))
	{
		dwf_progress_set(DWF_TASK_REFUSED, 0);
		return;
	}
	dwf_progress_begin(DWF_TASK_REFUSED);
	if (TransactionIdIsValid(holder))
		dwf_progress_note_holder(DWF_TASK_REFUSED, holder);
	else
		dwf_progress_note_refusal(DWF_TASK_REFUSED, code, why);
}

bool
dwf_worker_status_may_say(const char *what)
{
	static char said[512] = "";
	static DwfSteady again = 0;
	DwfSteady	now = dwf_clock_now();

	if (now < again && strncmp(what, said, sizeof(said) - 1) == 0)
		return false;
	strlcpy(said, what, sizeof(said));
	again = TimestampTzPlusMilliseconds(now, 60000);
	return true;
}
