/*
 * drain.c
 *	  How a worker ends when it is told to.
 *
 * What is in flight when a worker ends is in doubt, though Domo may be about to
 * answer it.  So the worker waits; but whoever stops a server does not wait for
 * long, and a commit may be waiting for a standby that is gone.  That wait is
 * PostgreSQL's own, and nothing of ours runs in it but signal handlers: hence a
 * timer of the kernel's, which any handler may set.
 */
#include "postgres.h"

#include "base/compat.h"
#include "worker/drain.h"
#include "base/guc.h"
#include "base/shared.h"

#include <signal.h>
#include <time.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"

/*
 * With domowf.worker off, so much longer than an attempt can take, so that the
 * last one can be settled, milliseconds.
 */
#define GRACE	1000

static timer_t timer;
static volatile sig_atomic_t is_told = false;	/* by SIGTERM */
static volatile sig_atomic_t is_over = false;
static bool is_off = false;

static void take_term(SIGNAL_ARGS);
static void take_timer(SIGNAL_ARGS);
static void end_waiting(void);
static void set_timer(int64 milliseconds);

void
dwf_drain_prepare(void)
{
	struct sigevent event = {0};

	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = SIGUSR2;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
		ereport(FATAL,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not make a timer: %m")));
	pqsignal(SIGUSR2, take_timer);
	pqsignal(SIGTERM, take_term);
}

/*
 * It comes twice from the postmaster, to the process and to its group, so that
 * a second one says nothing.
 */
static void
take_term(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (dwf_shared_is_evicted())
		die(DWF_SIGNAL_PASS);
	else if (dwf_drain_timeout == 0)
		end_waiting();
	else if (!is_told)
		set_timer(dwf_drain_timeout);
	is_told = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
take_timer(SIGNAL_ARGS)
{
	int			save_errno = errno;

	end_waiting();
	SetLatch(MyLatch);
	errno = save_errno;
}

/*
 * Ends a commit's wait for standbys, as the postmaster's death does it: nothing
 * else looks at this unless InterruptPending is set, too.
 */
static void
end_waiting(void)
{
	is_over = true;
	if (!proc_exit_inprogress)
		ProcDiePending = true;
}

/* 0: never. */
static void
set_timer(int64 milliseconds)
{
	struct itimerspec when = {0};

	when.it_value.tv_sec = milliseconds / 1000;
	when.it_value.tv_nsec = (milliseconds % 1000) * 1000000;
	(void) timer_settime(timer, 0, &when, NULL);
}

bool
dwf_drain_look(void)
{
	if (is_off == dwf_worker_enabled && !is_told)
	{
		is_off = !dwf_worker_enabled;
		set_timer(is_off ? (int64) dwf_timeout + GRACE : 0);
		if (is_told)
			set_timer(dwf_drain_timeout);	/* told just now */
		if (!is_off && is_over)
			ProcDiePending = is_over = false;
	}
	return dwf_drain_is_under_way();
}

bool
dwf_drain_is_under_way(void)
{
	return is_told || is_off;
}

bool
dwf_drain_is_over(void)
{
	return is_over;
}

void
dwf_drain_begin_last(void)
{
	ProcDiePending = false;
}

void
dwf_drain_leave(void)
{
	if (is_told)
	{
		ProcDiePending = InterruptPending = true;
		CHECK_FOR_INTERRUPTS();
	}
	proc_exit(0);
}
