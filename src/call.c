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

#include "call.h"
#include "compat.h"
#include "domowf.h"
#include "http.h"
#include "report.h"
#include "xact.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A token in a success is only looked for if it cannot be anything else. */
#define MIN_TOKEN_IN_SUCCESS	16

/* What an interruption's detail may name of requests in doubt. */
#define MAX_IN_DOUBT_SHOWN	20

typedef struct Run
{
	const DwfConnection *connection;
	const DwfRequest *requests;
	int			count;
	int			max_parallel;
	int			submitted;
	DwfSettle	settle;
	void	   *arg;
	const char *headers[6];
	DwfReply	reply;			/* the one being settled */
} Run;

/* What is found to be in doubt when a run is interrupted. */
typedef struct Doubt
{
	const Run  *run;
	int			count;
	StringInfoData numbers;
} Doubt;

static DwfEngine *engine;
static TimestampTz engine_reload_time;
static WaitEventSet *wait_set;

static void open_engine(void);
static void set_headers(Run *run);
static void run_all(Run *run);
static void submit_some(Run *run);
static void settle_ended(Run *run);
static void redact(const DwfConnection *connection,
				   const DwfExchange *exchange);
static void redact_text(const char *token, char *text, size_t len);
static void wait_for_network(void);
static void take_interrupts(Run *run);
static void explain_interruption(void *arg);
static void visit_pending(const DwfExchange *exchange, void *arg);

void
dwf_call_run(const DwfConnection *connection, const DwfRequest *requests,
			 int count, int max_parallel, DwfSettle settle, void *arg)
{
	Run			run = {
		.connection = connection,
		.requests = requests,
		.count = count,
		.max_parallel = Min(max_parallel, DWF_MAX_PARALLEL),
		.settle = settle,
		.arg = arg,
	};

	open_engine();
	dwf_xact_prepare();
	set_headers(&run);

	PG_TRY();
	{
		run_all(&run);
	}
	PG_FINALLY();
	{
		dwf_domo_free_reply(&run.reply);
		dwf_http_abort(engine);
	}
	PG_END_TRY();
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

	engine = dwf_http_create(DWF_MAX_PARALLEL, &why);
	if (engine == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start libcurl: %s", why)));
	wait_set = dwf_create_wait_set(3);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
					  NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, dwf_http_fd(engine), NULL,
					  NULL);
	engine_reload_time = PgReloadTime;
}

static void
set_headers(Run *run)
{
	run->headers[0] = psprintf("X-DOMO-Developer-Token: %s",
							   run->connection->token);
	run->headers[1] = "Content-Type: application/json";
	run->headers[2] = "Accept: application/json";
	run->headers[3] = "User-Agent: domowf/" DWF_VERSION;

	/* no waiting for a 100 before a large body */
	run->headers[4] = "Expect:";
	run->headers[5] = NULL;
}

static void
run_all(Run *run)
{
	for (;;)
	{
		submit_some(run);
		dwf_http_drive(engine);
		settle_ended(run);
		if (run->submitted == run->count && dwf_http_in_use(engine) == 0)
			return;
		if (run->submitted < run->count &&
			dwf_http_in_use(engine) < run->max_parallel)
			continue;
		wait_for_network();
		take_interrupts(run);
	}
}

/* Submits requests as long as there is room in flight. */
static void
submit_some(Run *run)
{
	const DwfConnection *connection = run->connection;

	while (run->submitted < run->count &&
		   dwf_http_in_use(engine) < run->max_parallel)
	{
		const DwfRequest *request = &run->requests[run->submitted];
		DwfHttpRequest http = {
			.headers = run->headers,
			.proxy = connection->proxy,
			.ca_file = connection->ca_file,
			.connect_timeout = connection->connect_timeout,
			.timeout = connection->timeout,
			.max_response = connection->max_response,
			.owner = (void *) request,
		};
		bool		ok;

		http.url = dwf_domo_url(connection->base_url, request);
		ok = dwf_domo_body(request, &http.body, &http.body_len) &&
			http.url != NULL;
		if (!ok)
		{
			free(http.url);
			free(http.body);
		}
		if (!ok || !dwf_http_submit(engine, &http))
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory"),
					 errdetail("Could not send %s.",
							   dwf_report_subject(request))));
		run->submitted++;
	}
	if (run->submitted == run->count)
		dwf_http_keep_one(engine);
}

/* Settles every exchange that has ended. */
static void
settle_ended(Run *run)
{
	const DwfExchange *exchange;

	while ((exchange = dwf_http_harvest(engine)) != NULL)
	{
		const DwfRequest *request = exchange->owner;

		redact(run->connection, exchange);
		dwf_domo_read_reply(request->operation, exchange, &run->reply);
		if (run->reply.message != NULL)
			redact_text(run->connection->token, run->reply.message,
						strlen(run->reply.message));
		if (run->reply.toe != NULL)
			redact_text(run->connection->token, run->reply.toe,
						strlen(run->reply.toe));
		if (run->reply.outcome == DWF_DONE)
			dwf_xact_note(request->operation,
						  request->operation == DWF_START ?
						  run->reply.instance.id : request->id);
		if (run->reply.outcome == DWF_UNAUTHORIZED)
			dwf_connection_token_refused();
		run->settle(run->arg, request - run->requests, exchange, &run->reply);
		dwf_domo_free_reply(&run->reply);
		dwf_http_release(engine, exchange);
	}
}

/*
 * Takes the token out of what Domo (or whoever answered) sent: an error page
 * may repeat the request.  A short token may stand in a success by chance,
 * and is left there rather than to damage an id.
 */
static void
redact(const DwfConnection *connection, const DwfExchange *exchange)
{
	bool		success = exchange->http_status >= 200 &&
	exchange->http_status <= 299;

	if (!success || strlen(connection->token) >= MIN_TOKEN_IN_SUCCESS)
		redact_text(connection->token, exchange->body, exchange->body_len);
}

static void
redact_text(const char *token, char *text, size_t len)
{
	size_t		token_len = strlen(token);
	char	   *at = text;

	while (len > 0 && (at = memmem(at, text + len - at, token,
								   token_len)) != NULL)
	{
		memset(at, '*', token_len);
		at += token_len;
	}
}

static void
wait_for_network(void)
{
	static uint32 wait_event_info = 0;
	WaitEvent	event;

	if (wait_event_info == 0)
		wait_event_info = dwf_wait_event_http();
	WaitEventSetWait(wait_set, dwf_http_timeout_ms(engine), &event, 1,
					 wait_event_info);
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
	Doubt		doubt = {.run = arg};
	const Run  *run = arg;
	int			code = geterrcode();

	/* a message of lower level that happens to be sent meanwhile */
	if (code == ERRCODE_SUCCESSFUL_COMPLETION ||
		ERRCODE_TO_CATEGORY(code) == ERRCODE_WARNING)
		return;

	initStringInfo(&doubt.numbers);
	dwf_http_each_pending(engine, visit_pending, &doubt);
	if (doubt.count == 0)
		errdetail("No request that was still open had been sent to Domo.");
	else if (run->count == 1)
		errdetail("The %s had been sent: it is in doubt whether Domo has executed it.",
				  dwf_report_subject(&run->requests[0]));
	else
		errdetail("It is in doubt whether Domo has executed %d requests that had been sent: number %s.",
				  doubt.count, doubt.numbers.data);
}

static void
visit_pending(const DwfExchange *exchange, void *arg)
{
	Doubt	   *doubt = arg;
	const DwfRequest *request = exchange->owner;

	if (exchange->phase == DWF_PHASE_UNSENT)
		return;
	if (doubt->count < MAX_IN_DOUBT_SHOWN)
		appendStringInfo(&doubt->numbers, "%s%d",
						 doubt->count == 0 ? "" : ", ",
						 (int) (request - doubt->run->requests) + 1);
	else if (doubt->count == MAX_IN_DOUBT_SHOWN)
		appendStringInfoString(&doubt->numbers, ", ...");
	doubt->count++;
}
