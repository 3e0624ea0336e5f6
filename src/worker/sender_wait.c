/*
 * sender_wait.c
 *	  What the sender waits for, says of itself, and gives back when it rests.
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/compat.h"
#include "base/testpoint.h"
#include "worker/sender.h"
#include "worker/sender_state.h"

#include "pgstat.h"
#include "storage/latch.h"

/*
 * As many connections as there are by default are kept ready by a worker that
 * rests, with the CA certificates that they share.
 */
#define KEPT_SOCKETS	8

static void tell_activity(const DwfSender *sender);

bool
dwf_sender_wait(DwfSender *sender, long timeout)
{
	static uint32 network = 0;
	static uint32 idle = 0;
	WaitEvent	events[3];
	int			count;
	bool		has_news = false;

	if (network == 0)
	{
		network = dwf_wait_event_http();
		idle = dwf_wait_event_main();
	}
	tell_activity(sender);
	count = WaitEventSetWait(sender->wait_set, timeout, events,
							 lengthof(events),
							 sender->in_flight > 0 ? network : idle);
	for (int i = 0; i < count; i++)
		has_news |= (events[i].events & WL_SOCKET_READABLE) != 0;
	return has_news;
}

/* For pg_stat_activity; between transactions (writing.c tells of those). */
static void
tell_activity(const DwfSender *sender)
{
	char		activity[64];

	if (sender->in_flight > 0)
		snprintf(activity, sizeof(activity), "domowf: waits for %d replies",
				 sender->in_flight);
	else
		strlcpy(activity, "domowf: waits for requests", sizeof(activity));
	pgstat_report_activity(STATE_IDLE, activity);
}

void
dwf_sender_rest(DwfSender *sender)
{
	int64		usec = USECS_PER_SEC * DWF_TESTNUMBER("rest-seconds",
													  DWF_HTTP_KEPT_SECONDS);

	if (!dwf_http_rest(sender->engine,
					   DWF_TESTNUMBER("rest-sockets", KEPT_SOCKETS), usec))
		return;
#ifdef __GLIBC__
	/* free() keeps what lies below something that is still in use */
	malloc_trim(0);
#endif
}

long
dwf_sender_timeout_ms(const DwfSender *sender)
{
	return dwf_http_timeout_ms(sender->engine);
}

void
dwf_sender_fill_status(const DwfSender *sender, DwfWorkerStatus *status)
{
	status->in_flight = sender->in_flight;
	status->sent = sender->sent;
	status->failed = sender->failed;
	strlcpy(status->last_error, sender->last_error,
			sizeof(status->last_error));
}
