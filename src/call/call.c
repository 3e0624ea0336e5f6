/*
 * call.c
 *	  Attempts driven from a backend.
 *
 * Lifetimes.  The engine and the wait set live as long as the process, so that
 * a connection and the parsed CA store are kept; they are made anew after a
 * reload of the configuration, for files that it names may have changed.  A
 * Run lives as long as one statement's call; whatever ends it, its PG_FINALLY
 * aborts what is in flight, and the engine is clean for the next one.
 *
 * The loop of a run:
 *
 *		submit what there is room for
 *		drive the engine
 *		settle what has ended
 *		take interrupts; wait for the network, the latch or the next timeout
 *
 * What has ended is settled before an interrupt is taken, so that an instance
 * whose id we know is never reported as in doubt.
 */
#include "postgres.h"

#include "base/client.h"
#include "base/compat.h"
#include "base/descriptors.h"
#include "base/domowf.h"
#include "base/returning.h"
#include "base/shared.h"
#include "call/call.h"
#include "call/cursor.h"
#include "call/report.h"
#include "call/rollback.h"
#include "http/http.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* What an interruption's detail may name of requests in doubt. */
#define MAX_IN_DOUBT_SHOWN	20

typedef struct Run
{
	const DwfConnection *const *connections;
	const DwfRequest *requests;
	const int  *numbers;		/* NULL: one request by itself */
	int			count;
	int			max_parallel;
	int			submitted;
	DwfSettle	settle;
	void	   *arg;
	int			settling;		/* which one is being settled; -1: none */
	DwfReply	reply;			/* ... and its reply */
	bool		is_explained;	/* its error tells what is in doubt */
} Run;

/* The indexes of the requests found in doubt when a run is interrupted. */
typedef struct Doubt
{
	const Run  *run;
	int			count;
	int			indexes[DWF_MAX_PARALLEL];
} Doubt;

static DwfEngine *engine;
static TimestampTz engine_reload_time;
static WaitEventSet *wait_set;
static WaitEventSet *socket_set;	/* for one kept connection ... */
static uint64 socket_number;	/* ... of this number */
static bool is_running;			/* the engine is some run's */

static void open_engine(void);
static void run_or_explain(Run *run);
static bool is_outcome(const Run *run);
static void run_all(Run *run);
static void submit_some(Run *run);
static void settle_ended(Run *run);
static void read_reply(Run *run, const DwfExchange *exchange);
static void explain_failure(Run *run, ErrorData *error);
static WaitEventSet *make_wait_set(int fd);
static void prepare_socket_set(void);
static WaitEventSet *choose_wait_set(void);
static bool wait_for_network(void);
static void refuse_in_worker(void);
static void refuse_within_run(void);
static void take_interrupts(Run *run);
static void explain_interruption(void *arg);
static char *describe_doubt(Doubt *doubt);
static void visit_pending(const DwfExchange *exchange, void *arg);
static char *list_doubt(Doubt *doubt);
static int	compare_ints(const void *a, const void *b);

void
dwf_call_run(const DwfConnection *const *connections,
			 const DwfRequest *requests, const int *numbers,
			 int count, int max_parallel, DwfSettle settle, void *arg)
{
	Run			run = {
		.connections = connections,
		.requests = requests,
		.numbers = numbers,
		.count = count,
		.max_parallel = Min(max_parallel, DWF_MAX_PARALLEL),
		.settle = settle,
		.arg = arg,
		.settling = -1,
	};

	refuse_in_worker();
	refuse_within_run();
	dwf_returning_refuse_call();
	dwf_cursor_check();
	open_engine();
	prepare_socket_set();
	dwf_rollback_prepare();

	PG_TRY();
	{
		is_running = true;
		run_or_explain(&run);
	}
	PG_FINALLY();
	{
		is_running = false;
		dwf_domo_free_reply(&run.reply);
		dwf_http_abort(engine);
		dwf_descriptors_tell(dwf_http_descriptors(engine));
	}
	PG_END_TRY();
}

/*
 * A trigger of somebody's on domowf's tables runs there too, in a transaction
 * that is tried again where it fails: so would be the call.
 */
static void
refuse_in_worker(void)
{
	if (dwf_shared_is_worker())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("domowf's worker cannot call Domo for a trigger"),
				 errhint("Enqueue it: see domowf_enqueue() and domowf_enqueue_call().")));
}

/*
 * What a run writes into the log fires somebody's trigger there, while the
 * engine has exchanges of the run in it.
 */
static void
refuse_within_run(void)
{
	if (is_running)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("Domo cannot be called for a call that is under way"),
				 errhint("Have the trigger enqueue it: see domowf_enqueue() and domowf_enqueue_call().")));
}

/* Makes the engine and what waits for it, where there is none in use. */
static void
open_engine(void)
{
	const char *why;

	if (engine != NULL && engine_reload_time == PgReloadTime)
		return;
	if (wait_set != NULL)
		FreeWaitEventSet(wait_set);
	wait_set = NULL;
	dwf_http_destroy(engine);
	socket_number = 0;

	engine = dwf_http_create(DWF_MAX_PARALLEL, &why);
	if (engine == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start libcurl: %s", why)));
	wait_set = make_wait_set(dwf_http_fd(engine));
	engine_reload_time = PgReloadTime;
}

/* What wakes a backend: its latch, the end of the server, and a descriptor. */
static WaitEventSet *
make_wait_set(int fd)
{
	WaitEventSet *set = dwf_create_wait_set(3);

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	if (IsUnderPostmaster)
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
						  NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, fd, NULL, NULL);
	return set;
}

/*
 * Gives a connection that is kept a set of its own: to wait for the engine's
 * epoll set within another one is a detour for the kernel.  Here, before
 * anything is sent, since it may raise an error.
 */
static void
prepare_socket_set(void)
{
	uint64		number;
	int			fd = dwf_http_socket(engine, &number);

	if (fd == -1 || number == socket_number)
		return;
	if (socket_set != NULL)
		FreeWaitEventSet(socket_set);
	socket_set = NULL;
	socket_set = make_wait_set(fd);
	socket_number = number;
}

/*
 * An error ends the statement while requests are under way: of several, one has
 * a result that there is no room for, on the disk or in memory; or it is none of
 * ours, such as a signal's.  What they came to is told as well: what Domo has
 * answered meanwhile by the warning of the rollback, what is in doubt by the
 * error's detail.
 */
static void
run_or_explain(Run *run)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		run_all(run);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (run->is_explained || is_outcome(run))
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		explain_failure(run, error);
		ReThrowError(error);
	}
	PG_END_TRY();
}

/* Whether the error at hand is what a request by itself has come to. */
static bool
is_outcome(const Run *run)
{
	int			code = geterrcode();

	if (ERRCODE_TO_CATEGORY(code) != ERRCODE_EXTERNAL_ROUTINE_EXCEPTION)
		return false;
	return run->numbers == NULL && run->settling >= 0;
}

/* The loop of a run, as the file header has it. */
static void
run_all(Run *run)
{
	bool		readable = false;

	for (;;)
	{
		submit_some(run);
		dwf_http_drive(engine, readable);
		readable = false;
		settle_ended(run);
		if (run->submitted == run->count && dwf_http_in_use(engine) == 0)
		{
			if (run->count > 1)
				dwf_http_trim(engine);
			return;
		}
		if (run->submitted < run->count &&
			dwf_http_in_use(engine) < run->max_parallel)
			continue;
		readable = wait_for_network();
		take_interrupts(run);
	}
}

/* Submits requests as long as there is room in flight. */
static void
submit_some(Run *run)
{
	while (run->submitted < run->count &&
		   dwf_http_in_use(engine) < run->max_parallel)
	{
		const DwfRequest *request = &run->requests[run->submitted];

		if (!dwf_connection_submit(run->connections[run->submitted], engine,
								   request, (void *) request))
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory"),
					 errdetail("Could not send %s.",
							   dwf_report_subject(request))));
		run->submitted++;
	}
	dwf_descriptors_tell(dwf_http_descriptors(engine));
}

/* Settles every exchange that has ended. */
static void
settle_ended(Run *run)
{
	const DwfExchange *exchange;

	while ((exchange = dwf_http_harvest(engine)) != NULL)
	{
		read_reply(run, exchange);
		run->settle(run->arg, run->settling, exchange, &run->reply);
		dwf_domo_free_reply(&run->reply);
		run->settling = -1;
		dwf_http_release(engine, exchange);
	}
}

/* What a reply says; of what Domo has done a rollback will warn. */
static void
read_reply(Run *run, const DwfExchange *exchange)
{
	const DwfRequest *request = exchange->owner;
	const DwfOperationRow *row = dwf_operation(request->operation);

	run->settling = (int) (request - run->requests);
	dwf_connection_read_reply(run->connections[run->settling],
							  request->operation, exchange, &run->reply);
	if (run->reply.outcome == DWF_DONE && row->done != NULL)
		dwf_rollback_note(request->operation, row->makes_instance ?
						  run->reply.instance.id : request->id);
}

/*
 * Adds to an error's detail what is in doubt of all that it leaves unsettled;
 * of what has ended by now that is known.  In the error's memory context.
 */
static void
explain_failure(Run *run, ErrorData *error)
{
	Doubt		doubt = {.run = run};
	const DwfExchange *exchange;
	char	   *text;

	do
	{
		if (run->settling >= 0 && run->reply.outcome == DWF_IN_DOUBT)
			doubt.indexes[doubt.count++] = run->settling;
		dwf_domo_free_reply(&run->reply);
		exchange = dwf_http_harvest(engine);
		if (exchange != NULL)
			read_reply(run, exchange);
	} while (exchange != NULL);
	dwf_http_each_pending(engine, visit_pending, &doubt);
	if (doubt.count == 0)
		return;
	text = describe_doubt(&doubt);
	(void) dwf_client_fit_plain(text);
	error->detail = error->detail == NULL ? text :
		psprintf("%s %s", error->detail, text);
}

/* The set for what there is to wait for. */
static WaitEventSet *
choose_wait_set(void)
{
	uint64		number;

	if (socket_set != NULL && dwf_http_socket(engine, &number) != -1 &&
		number == socket_number)
		return socket_set;
	return wait_set;
}

/* Returns whether the network has something for the engine. */
static bool
wait_for_network(void)
{
	static uint32 wait_event_info = 0;
	WaitEvent	event;

	if (wait_event_info == 0)
		wait_event_info = dwf_wait_event_http();
	return WaitEventSetWait(choose_wait_set(), dwf_http_timeout_ms(engine),
							&event, 1, wait_event_info) == 1 &&
		event.events == WL_SOCKET_READABLE;
}

/* CHECK_FOR_INTERRUPTS(), with a detail of what had been sent. */
static void
take_interrupts(Run *run)
{
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = explain_interruption,
		.arg = run,
	};

	ResetLatch(MyLatch);
	error_context_stack = &context;
	CHECK_FOR_INTERRUPTS();
	error_context_stack = context.previous;
}

/*
 * Error context callback: adds the detail.  In the form of a callback because
 * a termination is FATAL, which no PG_CATCH sees.
 */
static void
explain_interruption(void *arg)
{
	Run		   *run = arg;
	Doubt		doubt = {.run = run};
	int			code = geterrcode();
	MemoryContext caller;
	ErrorData  *error;
	char	   *detail;
	char	   *shown;
	bool		differs;

	/* a message of lower level that happens to be sent meanwhile */
	if (code == ERRCODE_SUCCESSFUL_COMPLETION ||
		ERRCODE_TO_CATEGORY(code) == ERRCODE_WARNING)
		return;

	/* an error is built where it must not be copied to */
	caller = MemoryContextSwitchTo(CurTransactionContext);
	dwf_http_each_pending(engine, visit_pending, &doubt);
	detail = describe_doubt(&doubt);
	shown = pstrdup(detail);
	differs = dwf_client_fit_plain(shown);
	run->is_explained = true;
	error = CopyErrorData();
	MemoryContextSwitchTo(caller);
	errdetail_internal("%s", shown);
	/* since 19 the log has another detail: who has sent the signal */
	if (error->detail_log != NULL)
		errdetail_log("%s %s", error->detail_log, detail);
	else if (differs)
		errdetail_log("%s", detail);
}

/* What had been sent.  palloc'd. */
static char *
describe_doubt(Doubt *doubt)
{
	const Run  *run = doubt->run;

	if (doubt->count == 0)
		return pstrdup("No request that was still open had been sent to Domo.");
	if (run->numbers == NULL)
		return psprintf("The %s had been sent: it is in doubt whether Domo has executed it.",
						dwf_report_subject(&run->requests[0]));
	return psprintf("It is in doubt whether Domo has executed %d requests that had been sent: number %s.",
					doubt->count, list_doubt(doubt));
}

static void
visit_pending(const DwfExchange *exchange, void *arg)
{
	Doubt	   *doubt = arg;
	const DwfRequest *request = exchange->owner;

	if (exchange->phase != DWF_PHASE_UNSENT)
		doubt->indexes[doubt->count++] =
			(int) (request - doubt->run->requests);
}

/* The numbers of what is in doubt, the first of them.  palloc'd. */
static char *
list_doubt(Doubt *doubt)
{
	StringInfoData list;

	initStringInfo(&list);
	qsort(doubt->indexes, doubt->count, sizeof(int), compare_ints);
	for (int i = 0; i < Min(doubt->count, MAX_IN_DOUBT_SHOWN); i++)
		appendStringInfo(&list, "%s%d", i == 0 ? "" : ", ",
						 doubt->run->numbers[doubt->indexes[i]]);
	if (doubt->count > MAX_IN_DOUBT_SHOWN)
		appendStringInfoString(&list, ", ...");
	return list.data;
}

static int
compare_ints(const void *a, const void *b)
{
	int			x = *(const int *) a;
	int			y = *(const int *) b;

	return (x > y) - (x < y);
}
