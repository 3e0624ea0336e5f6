/*
 * worker_status.c
 *	  What a worker says of itself.
 */
#include "postgres.h"

#include "shared.h"
#include "worker_status.h"

#include "utils/timestamp.h"

void
dwf_worker_publish(const DwfSender *sender, const char *why)
{
	DwfWorkerStatus status = {0};
	const char *reason = why;

	status.in_flight = sender->in_flight;
	status.sent = sender->sent;
	status.failed = sender->failed;
	strlcpy(status.last_error, sender->last_error, sizeof(status.last_error));
	if (why != NULL)
		status.paused_until = DT_NOEND;
	else
		status.paused_until = dwf_sender_paused_until(sender, &reason,
													  &status.is_reason_private);
	strlcpy(status.pause_reason, reason, sizeof(status.pause_reason));
	dwf_shared_publish(&status);
}
