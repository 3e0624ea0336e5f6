/*
 * drain.c
 *	  How a worker ends when it is told to.
 *
 * What is in flight when a worker ends is in doubt, though Domo may be about to
 * answer it.  So the worker waits; but whoever stops a server does not wait for
 * long, and a commit may be waiting for a standby that is gone.  That wait is
 * PostgreSQL's own, and nothing of ours runs in it but signal handlers: hence a
 * timer of the kernel's, which any handler may set.
 *
 * A worker that runs somebody's code, which a superuser has hung on domowf's
 * tables, does not come to look whether it is to end.  So who still has not
 * ended a while after his time is over is ended as any other process of
 * PostgreSQL's is, wherever he looks for interrupts; he may write no result any
 * more then.
 */
#include "postgres.h"

#include "base/compat.h"
#include "worker/drain.h"
#include "base/guc.h"
#include "base/shared.h"
#include "base/testpoint.h"

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

/*
 * How long an orderly end may take once nothing is waited for any more, and then
 * its last results, milliseconds: far more than a turn does, which waits 0.1
 * seconds for a lock.
 */
#define PATIENCE	10000

static timer_t timer;
static volatile sig_atomic_t is_told = false;	/* by SIGTERM */
static volatile sig_atomic_t is_over = false;
static volatile sig_atomic_t is_last_time = false;	/* that the timer was set */
static volatile sig_atomic_t patience = PATIENCE;
static bool is_off = false;

static void take_term(SIGNAL_ARGS);
static void take_timer(SIGNAL_ARGS);
static void begin_to_wait(void);
static void end_waiting(void);
static void end_by_force(void);
static void set_last_timer(void);
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
	bool		is_first = !is_told;

	is_told = true;
	if (dwf_shared_is_evicted())
		die(DWF_SIGNAL_PASS);
	else if (is_first)
		begin_to_wait();
	SetLatch(MyLatch);
	errno = save_errno;
}

/* By SIGTERM. */
static void
begin_to_wait(void)
{
	is_last_time = false;
	if (dwf_drain_timeout == 0)
		end_waiting();
	else
		set_timer(dwf_drain_timeout);
}

static void
take_timer(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (is_last_time)
		end_by_force();
	else
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
	if (is_told)
		set_last_timer();
}

static void
end_by_force(void)
{
	if (!proc_exit_inprogress)
		ProcDiePending = InterruptPending = true;
}

static void
set_last_timer(void)
{
	is_last_time = true;
	set_timer(patience);
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
	patience = DWF_TESTNUMBER("drain-patience", PATIENCE);
	if (is_off == dwf_worker_enabled && !is_told)
	{
		is_off = !dwf_worker_enabled;
		set_timer(is_off ? (int64) dwf_timeout + GRACE : 0);
		if (!is_off && is_over)
			ProcDiePending = is_over = false;
		if (is_told)
			begin_to_wait();	/* told just now */
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
	if (is_told)
		set_last_timer();
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
