/*
 * test_http_once.c
 *	  Unit tests of http.c and transfer.c: no request is sent twice.
 *
 * libcurl sends a request again, and reports one success, when a kept
 * connection ends before the first byte of the reply.  A server that has read
 * a start and then went away may have executed it; so these servers do just
 * that, in every way a connection can end, and count what they read until
 * nothing can come any more.
 */
#include "../../src/http/http.c"
#include "../../src/http/keylog.c"
#include "../../src/http/pool.c"
#include "../../src/http/sockets.c"
#include "../../src/http/transfer.c"

#include <sys/syscall.h>

#include "http_server.h"

/* Each case is tried so often, since where a close meets a write varies. */
#define ROUNDS	5

typedef struct LossCase
{
	const char *name;
	Step		step;			/* what becomes of the request */
} LossCase;

typedef struct BodyCase
{
	const char *name;
	size_t		len;
	bool		is_null;
} BodyCase;

static const LossCase loss_cases[] = {
	{"closed once it is read", {NULL, 0, 0, CLOSE}},
	{"reset once it is read", {NULL, 0, 0, RESET}},
	{"closed at its first bytes", {NULL, 0, 1, CLOSE}},
	{"reset at its first bytes", {NULL, 0, 1, RESET}},
	{"closed in the status line", {"HTTP/1.1 20", 0, 0, CLOSE}},
	{"reset in the reply's header", {"HTTP/1.1 200 OK\r\nDate: ", 0, 0, RESET}},
	{"closed after a 100", {"HTTP/1.1 100 Continue\r\n\r\n", 0, 0, CLOSE}},
};

static const BodyCase body_cases[] = {
	{"no body", 0, true},
	{"an empty body", 0, false},
	{"a small body", 100, false},
	{"a body of 100 kB", 100 * 1000, false},
	{"a large body", LARGE, false},
};

/* What is never to be taken for an answer. */
static const char *const unasked[] = {
	"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\"stale\"",
	"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n"
	"Connection: close\r\n\r\n",
	"HTTP/1.1 200 OK\r\n",
	"\r\n",
};

/* What our send() does with the next calls; 0: nothing of its own. */
static struct
{
	int			calls;			/* so many, then it is the kernel's again */
	size_t		takes;			/* at most so many bytes of the first */
	int			error;			/* of the others, or of all if it takes none */
}			sending;

/* Takes the C library's place, also for libcurl: connections break at will. */
ssize_t
send(int fd, const void *data, size_t len, int flags)
{
	if (sending.calls > 0)
	{
		sending.calls--;
		if (sending.takes == 0)
		{
			errno = sending.error;
			return -1;
		}
		if (len > sending.takes)
			len = sending.takes;
		sending.takes = 0;
	}
	return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
}

static DwfHttpRequest
make_request_of(const BodyCase *c)
{
	DwfHttpRequest request = make_request(c->len);

	if (c->len == 0 && !c->is_null)
		request.body = strdup("");
	return request;
}

/*
 * Has one request answered, and then waits until something, or the end, can
 * be read on its connection; `say` is sent behind the answer if not NULL.
 */
static void
use_once(DwfEngine *engine, const char *text)
{
	const DwfExchange *exchange = ask(engine, make_request(10));
	struct pollfd pollfd = {-1, POLLIN, 0};
	curl_socket_t fd = CURL_SOCKET_BAD;

	curl_easy_getinfo(engine->slots[0].easy, CURLINFO_ACTIVESOCKET, &fd);
	if (exchange->phase != DWF_PHASE_COMPLETE || fd == CURL_SOCKET_BAD)
		abort();
	drop(engine, exchange);
	if (text != NULL)
		say(text);
	pollfd.fd = fd;
	poll(&pollfd, 1, STUCK);
}

/*
 * Loses a request, on a kept connection or on a new one; tests that its phase
 * says so and that the server has seen it once.
 */
static void
lose(const LossCase *loss, const BodyCase *body, bool kept)
{
	const Step	steps[] = {{OK_REPLY, 0, 0, KEEP}, loss->step};
	int			wrong = 0;

	for (int round = 0; round < ROUNDS; round++)
	{
		DwfEngine  *engine = create(2);
		const DwfExchange *exchange;
		int			before = 0;

		start_server(kept ? steps : steps + 1, kept ? 2 : 1);
		if (kept)
		{
			exchange = ask(engine, make_request(10));
			before = 1;
			if (exchange->phase != DWF_PHASE_COMPLETE)
				abort();
			drop(engine, exchange);
		}
		exchange = ask(engine, make_request_of(body));
		if (exchange->phase != DWF_PHASE_SENT || exchange->curl_code == 0 ||
			exchange->http_status != 0)
		{
			wrong++;
			diag("phase %d, %s", exchange->phase, exchange->curl_error);
		}
		destroy_and_drain(engine);
		if (server.requests != before + 1)
		{
			wrong++;
			diag("%d requests came in", server.requests - before);
		}
		stop_server();
	}
	is_int(wrong, 0, "%s, %s, %s connection", body->name, loss->name,
		   kept ? "kept" : "new");
}

static void
test_losses(void)
{
	for (int i = 0; i < LENGTH(loss_cases); i++)
	{
		for (int j = 0; j < LENGTH(body_cases); j++)
		{
			/* a whole request that is read needs no reading in between */
			lose(&loss_cases[i], &body_cases[j], true);
			lose(&loss_cases[i], &body_cases[j], false);
		}
	}
}

/*
 * A connection that was closed while idle is no reason for an error: nothing
 * was sent on it, and libcurl takes a new one.
 */
static void
test_stale(void)
{
	for (int reset = 0; reset <= 1; reset++)
	{
		const Step	steps[] = {
			{OK_REPLY, 0, 0, reset ? RESET : CLOSE}, {OK_REPLY, 0, 0, KEEP},
		};

		for (int i = 0; i < LENGTH(body_cases); i++)
		{
			DwfEngine  *engine = create(1);
			const DwfExchange *exchange;

			start_server(steps, LENGTH(steps));
			use_once(engine, NULL);
			exchange = ask(engine, make_request_of(&body_cases[i]));
			is_int(exchange->phase, DWF_PHASE_COMPLETE,
				   "%s, after the connection was %s while idle",
				   body_cases[i].name, reset ? "reset" : "closed");
			destroy_and_drain(engine);
			is_int(server.requests, 2, "both came in once");
			stop_server();
		}
	}
}

/*
 * The same, but the request may be on its way when the close arrives: then it
 * may be lost, and is never seen twice.
 */
static void
test_race(void)
{
	static const Step steps[] = {
		{OK_REPLY, 0, 0, CLOSE}, {OK_REPLY, 0, 0, KEEP},
	};
	int			wrong = 0;

	for (int round = 0; round < 20; round++)
	{
		DwfEngine  *engine = create(1);
		const DwfExchange *exchange;
		bool		complete;

		start_server(steps, LENGTH(steps));
		drop(engine, ask(engine, make_request(10)));
		exchange = ask(engine, make_request(10));
		complete = exchange->phase == DWF_PHASE_COMPLETE;
		if (!complete && exchange->phase != DWF_PHASE_SENT &&
			exchange->phase != DWF_PHASE_UNSENT)
			wrong++;
		destroy_and_drain(engine);
		if (server.requests > 2 || (complete && server.requests != 2))
			wrong++;
		stop_server();
	}
	is_int(wrong, 0, "a close that meets a request costs at most the request");
}

/*
 * A connection that breaks while the request is written.  Only where the
 * kernel took not one byte is it not sent, and may go on another connection.
 */
static void
test_breaking(void)
{
	static const Step steps[] = {
		{OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP},
	};
	static const struct
	{
		const char *name;
		bool		kept;
		size_t		takes;
		int			error;
		DwfPhase	phase;
		int			requests;
	}			cases[] = {
		{"reset, new", false, 0, ECONNRESET, DWF_PHASE_UNSENT, 0},
		{"closed, new", false, 0, EPIPE, DWF_PHASE_UNSENT, 0},
		{"reset after a byte, new", false, 1, ECONNRESET, DWF_PHASE_SENT, 1},
		{"reset, kept", true, 0, ECONNRESET, DWF_PHASE_COMPLETE, 1},
		{"closed, kept", true, 0, EPIPE, DWF_PHASE_COMPLETE, 1},
		{"reset after a byte, kept", true, 1, ECONNRESET, DWF_PHASE_SENT, 1},
		{"closed after a byte, kept", true, 1, EPIPE, DWF_PHASE_SENT, 1},
		{"full, new", false, 0, EAGAIN, DWF_PHASE_COMPLETE, 1},
		{"full, kept", true, 0, EAGAIN, DWF_PHASE_COMPLETE, 1},
		{"full after a byte, kept", true, 1, EAGAIN, DWF_PHASE_COMPLETE, 1},
	};

	for (int i = 0; i < LENGTH(cases) * LENGTH(body_cases); i++)
	{
		const BodyCase *body = &body_cases[i % LENGTH(body_cases)];
		int			c = i / LENGTH(body_cases);
		DwfEngine  *engine = create(1);
		const DwfExchange *exchange;

		start_server(steps, LENGTH(steps));
		if (cases[c].kept)
			drop(engine, ask(engine, make_request(10)));
		sending.calls = cases[c].takes > 0 ? 2 : 1;
		sending.takes = cases[c].takes;
		sending.error = cases[c].error;
		exchange = ask(engine, make_request_of(body));
		sending.calls = 0;
		is_int(exchange->phase, cases[c].phase, "%s, while written, %s",
			   body->name, cases[c].name);
		destroy_and_drain(engine);
		is_int(server.requests, cases[c].requests + cases[c].kept,
			   "the server saw what it says");
		stop_server();
	}
}

/* Tests that a request got its own reply, or none and was not sent. */
static void
check_own_reply(const DwfExchange *exchange, const char *name)
{
	bool		own = exchange->phase == DWF_PHASE_UNSENT ||
	(exchange->phase == DWF_PHASE_COMPLETE &&
	 exchange->http_status == 200 && exchange->body_len == 2);

	ok(own, "%s are no reply to the next request", name);
	if (!own)
		diag("phase %d, status %d, %zu bytes of body, %s", exchange->phase,
			 exchange->http_status, exchange->body_len, exchange->curl_error);
}

/*
 * Bytes that come unasked on a kept connection belong to nobody.  Servers say
 * 408 before they close an idle connection, and a confused proxy may say
 * anything; the next request must not take it for its reply.
 */
static void
test_unasked(void)
{
	static const Step steps[] = {
		{OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP},
	};

	for (int i = 0; i < LENGTH(unasked); i++)
	{
		DwfEngine  *engine = create(1);
		int			accepted;

		start_server(steps, LENGTH(steps));
		use_once(engine, unasked[i]);
		check_own_reply(ask(engine, make_request(10)),
						"bytes that came while idle");

		/* one unclean connection is no reason to distrust the next one */
		dwf_http_abort(engine);
		accepted = server.accepted;
		check_own_reply(ask(engine, make_request(10)), "none");
		is_int(server.accepted, accepted, "the new connection is kept");
		destroy_and_drain(engine);
		stop_server();
	}
}

/* The same bytes, but behind a reply and perhaps read together with it. */
static void
test_excess(void)
{
	static const char *const replies[] = {
		OK_REPLY, "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	};

	for (int i = 0; i < LENGTH(replies) * LENGTH(unasked); i++)
	{
		DwfEngine  *engine = create(1);
		char		both[500];
		const Step	steps[] = {
			{both, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP},
		};

		snprintf(both, sizeof(both), "%s%s", replies[i / LENGTH(unasked)],
				 unasked[i % LENGTH(unasked)]);
		start_server(steps, LENGTH(steps));
		drop(engine, ask(engine, make_request(10)));
		check_own_reply(ask(engine, make_request(10)),
						"bytes behind a reply");
		destroy_and_drain(engine);
		stop_server();
	}
}

/* What else makes HTTP clients send a request again. */
static void
test_invitations(void)
{
	static const char *const answers[] = {
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: /again\r\n"
		"Content-Length: 0\r\n\r\n",
		"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"
		"Content-Length: 0\r\n\r\n",
		"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\n"
		"WWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 421 Misdirected Request\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\n"
		"Content-Length: 0\r\n\r\n",
	};

	for (int i = 0; i < LENGTH(answers); i++)
	{
		const Step	step = {answers[i], 0, 0, KEEP};
		DwfEngine  *engine = create(1);
		const DwfExchange *exchange;

		start_server(&step, 1);
		exchange = ask(engine, make_request(10));
		ok(exchange->phase == DWF_PHASE_COMPLETE &&
		   exchange->http_status == atoi(answers[i] + strlen("HTTP/1.1 ")),
		   "%.12s is the reply", answers[i]);
		destroy_and_drain(engine);
		is_int(server.requests, 1, "the request came in once");
		stop_server();
	}
}

/*
 * Without "Expect:" among the headers libcurl asks before a large body, and
 * where the server does not like that, sends the header again without asking.
 */
static void
test_expectation(void)
{
	static const char *const headers[] = {"A: b", NULL};
	static const Step step = {
		"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", 0, 1, KEEP
	};
	DwfEngine  *engine = create(1);
	DwfHttpRequest request;
	const DwfExchange *exchange;

	start_server(&step, 1);
	request = make_request(LARGE);
	request.headers = headers;
	exchange = ask(engine, request);
	is_int(exchange->http_status, 417, "a 417 is the reply");
	destroy_and_drain(engine);
	is_int(server.requests, 1, "the request came in once");
	stop_server();
}

int
main(void)
{
	start_watchdog();
	test_losses();
	test_stale();
	test_race();
	test_breaking();
	test_unasked();
	test_excess();
	test_invitations();
	test_expectation();
	return done_testing();
}
