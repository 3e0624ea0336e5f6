/*
 * test_http.c
 *	  Unit tests of http.c and transfer.c: what an exchange tells.
 *
 * The phase of an exchange decides whether a start may be sent again, so each
 * way in which a connection, a header or a body can end is tried against it.
 * Then what goes over the wire, and what is kept of a reply.
 */
#include "../../src/http/http.c"
#include "../../src/http/keylog.c"
#include "../../src/http/pool.c"
#include "../../src/http/sockets.c"
#include "../../src/http/transfer.c"

#include "http_server.h"

#define OK_HEADER(length)	"HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n"

/* An answer that may hold NUL bytes. */
#define ANSWER(text)	(text), sizeof(text) - 1

typedef struct ReplyCase
{
	const char *name;
	Step		step;
	DwfPhase	phase;
	int			curl_code;
	int			status;
	const char *body;			/* what is kept of it */
	int			timeout;		/* milliseconds; 0: more than the test has */
	bool		oversize;
} ReplyCase;

typedef struct UnsentCase
{
	const char *name;
	const char *url;			/* %d: the port */
	const char *proxy;			/* NULL: none */
	const char *answer;			/* of whoever listens there; NULL: none */
	int			curl_code;
} UnsentCase;

typedef struct HeaderCase
{
	const char *name;
	const char *header;
	const char *content_type;
	const char *location;
	const char *retry_after;
} HeaderCase;

/* The most that is kept of a body here. */
#define MAX_BODY	10

static const ReplyCase reply_cases[] = {
	/* whole replies, by each way to tell their end */
	{"a reply", {ANSWER(OK_HEADER("4") "body"), 0, KEEP},
	DWF_PHASE_COMPLETE, 0, 200, "body"},
	{"a reply and a close", {ANSWER(OK_HEADER("4") "body"), 0, CLOSE},
	DWF_PHASE_COMPLETE, 0, 200, "body"},
	{"a chunked reply", {ANSWER("HTTP/1.1 200 OK\r\nTransfer-Encoding: "
								"chunked\r\n\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\n"
								"Trailer: x\r\n\r\n"), 0, KEEP},
	DWF_PHASE_COMPLETE, 0, 200, "body"},
	{"a reply ended by the close", {ANSWER("HTTP/1.1 200 OK\r\n\r\nbody"), 0,
	CLOSE}, DWF_PHASE_COMPLETE, 0, 200, "body"},
	{"a reply of HTTP/1.0", {ANSWER("HTTP/1.0 200 OK\r\n\r\nbody"), 0, CLOSE},
	DWF_PHASE_COMPLETE, 0, 200, "body"},
	{"a reply without a body", {ANSWER(OK_HEADER("0")), 0, KEEP},
	DWF_PHASE_COMPLETE, 0, 200, ""},
	{"a 204", {ANSWER("HTTP/1.1 204 No Content\r\n\r\n"), 0, KEEP},
	DWF_PHASE_COMPLETE, 0, 204, ""},
	{"a 304", {ANSWER("HTTP/1.1 304 Not Modified\r\n\r\n"), 0, KEEP},
	DWF_PHASE_COMPLETE, 0, 304, ""},
	{"a 404", {ANSWER("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"),
	0, KEEP}, DWF_PHASE_COMPLETE, 0, 404, "{}"},
	{"a 503", {ANSWER("HTTP/1.1 503 x\r\nContent-Length: 2\r\n\r\n{}"), 0,
	CLOSE}, DWF_PHASE_COMPLETE, 0, 503, "{}"},
	{"a body with a NUL", {ANSWER(OK_HEADER("3") "a\0b"), 0, KEEP},
	DWF_PHASE_COMPLETE, 0, 200, "a\0b"},
	{"a body of just the bound", {ANSWER(OK_HEADER("10") "0123456789"), 0,
	KEEP}, DWF_PHASE_COMPLETE, 0, 200, "0123456789"},
	{"a 100 before it", {ANSWER("HTTP/1.1 100 Continue\r\n\r\n"
								OK_HEADER("4") "body"), 0, KEEP},
	DWF_PHASE_COMPLETE, 0, 200, "body"},
	{"a 403 before the request is read", {ANSWER("HTTP/1.1 403 Forbidden\r\n"
												 "Content-Length: 0\r\n\r\n"), 1, KEEP},
	DWF_PHASE_COMPLETE, 0, 403, ""},

	/* a status without its whole body */
	{"one byte over the bound", {ANSWER(OK_HEADER("11") "0123456789a"), 0,
	KEEP}, DWF_PHASE_STATUS, CURLE_WRITE_ERROR, 200, "0123456789", 0, true},
	{"one byte over it, chunked", {ANSWER("HTTP/1.1 200 OK\r\n"
										  "Transfer-Encoding: chunked\r\n\r\n"
										  "6\r\n012345\r\n5\r\n6789a\r\n0\r\n\r\n"), 0,
	KEEP}, DWF_PHASE_STATUS, CURLE_WRITE_ERROR, 200, "0123456789", 0, true},
	{"half a body", {ANSWER(OK_HEADER("8") "body"), 0, CLOSE},
	DWF_PHASE_STATUS, CURLE_PARTIAL_FILE, 200, "body"},
	{"no body at all", {ANSWER(OK_HEADER("8")), 0, CLOSE},
	DWF_PHASE_STATUS, CURLE_PARTIAL_FILE, 200, ""},
	{"half a chunk", {ANSWER("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
							 "\r\n\r\n8\r\nbody"), 0, CLOSE},
	DWF_PHASE_STATUS, CURLE_PARTIAL_FILE, 200, "body"},
	{"chunks without their end", {ANSWER("HTTP/1.1 200 OK\r\n"
										 "Transfer-Encoding: chunked\r\n\r\n"
										 "4\r\nbody\r\n"), 0, CLOSE},
	DWF_PHASE_STATUS, CURLE_PARTIAL_FILE, 200, "body"},
	{"half the body of a 401", {ANSWER("HTTP/1.1 401 x\r\nContent-Length: 8\r\n"
									   "\r\nbody"), 0, CLOSE},
	DWF_PHASE_STATUS, CURLE_PARTIAL_FILE, 401, "body"},
	{"a timeout in the body", {ANSWER(OK_HEADER("8") "body"), 0, KEEP},
	DWF_PHASE_STATUS, CURLE_OPERATION_TIMEDOUT, 200, "body", 100},

	/* no status, or none that counts */
	{"a timeout while waiting", {NULL, 0, 0, KEEP},
	DWF_PHASE_SENT, CURLE_OPERATION_TIMEDOUT, 0, "", 100},
	{"a timeout in the header", {ANSWER("HTTP/1.1 200 OK\r\nA: b\r\n"), 0,
	KEEP}, DWF_PHASE_SENT, CURLE_OPERATION_TIMEDOUT, 0, "", 100},
	{"a timeout after a 100", {ANSWER("HTTP/1.1 100 Continue\r\n\r\n"), 0,
	KEEP}, DWF_PHASE_SENT, CURLE_OPERATION_TIMEDOUT, 0, "", 100},
	{"a close without a reply", {NULL, 0, 0, CLOSE},
	DWF_PHASE_SENT, CURLE_GOT_NOTHING, 0, ""},
	{"a close in the header", {ANSWER("HTTP/1.1 200 OK\r\nContent-Len"), 0,
	CLOSE}, DWF_PHASE_SENT, CURLE_OK, 0, ""},
	{"a close after a 100", {ANSWER("HTTP/1.1 100 Continue\r\n\r\n"), 0,
	CLOSE}, DWF_PHASE_SENT, CURLE_GOT_NOTHING, 0, ""},
	{"a reply that is not HTTP", {ANSWER("SSH-2.0-OpenSSH\r\n"), 0, CLOSE},
	DWF_PHASE_SENT, CURLE_UNSUPPORTED_PROTOCOL, 0, ""},
	{"a reply of HTTP/0.9", {ANSWER("{\"id\":\"i\"}"), 0, CLOSE},
	DWF_PHASE_SENT, CURLE_UNSUPPORTED_PROTOCOL, 0, ""},
};

static const UnsentCase unsent_cases[] = {
	{"no URL", "", NULL, NULL, CURLE_URL_MALFORMAT},
	{"a host with a blank", "http://a b/", NULL, NULL, CURLE_URL_MALFORMAT},
	{"a port too high", "http://127.0.0.1:65536/", NULL, NULL,
	CURLE_URL_MALFORMAT},
	{"another protocol", "ftp://127.0.0.1:%d/", NULL, NULL,
	CURLE_UNSUPPORTED_PROTOCOL},
	{"a file", "file:///etc/passwd", NULL, NULL, CURLE_UNSUPPORTED_PROTOCOL},
	{"an address without a route", "http://[::1%%25nosuch]:1/", NULL, NULL,
	CURLE_COULDNT_CONNECT},
	{"TLS that is answered by a close", "https://127.0.0.1:%d/", NULL, "",
	CURLE_SSL_CONNECT_ERROR},
	{"TLS that is answered by HTTP", "https://127.0.0.1:%d/", NULL,
	"HTTP/1.1 400 Bad Request\r\n\r\n", CURLE_SSL_CONNECT_ERROR},
	{"a proxy that refuses", "https://acme.invalid/", "http://127.0.0.1:%d",
		"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
	ANY_CODE},
	{"a proxy that cannot reach it", "https://acme.invalid/",
		"http://127.0.0.1:%d", "HTTP/1.1 503 x\r\nContent-Length: 2\r\n\r\n{}",
	ANY_CODE},
	{"a proxy that hangs up", "https://acme.invalid/", "http://127.0.0.1:%d",
	"", CURLE_RECV_ERROR},
};

static const HeaderCase header_cases[] = {
	{"none", "A: b\r\n", "", "", ""},
	{"all", "Content-Type: text/html\r\nLocation: /x\r\nRetry-After: 7\r\n",
	"text/html", "/x", "7"},
	{"other case and blanks", "CONTENT-TYPE:text/html\r\nlocation: \t /x \t \r\n"
	"Retry-after:  7\r\n", "text/html", "/x", "7"},
	{"names that begin or end alike", "X-Location: /x\r\nContent-Types: a\r\n"
	"Retry-After-That: 7\r\n", "", "", ""},
	{"empty ones", "Content-Type:\r\nLocation: \r\nRetry-After: \t\r\n", "", "",
	""},
	{"the last of several", "Retry-After: 1\r\nRetry-After: 2\r\n", "", "", "2"},
};

static void
test_replies(void)
{
	for (int i = 0; i < LENGTH(reply_cases); i++)
	{
		const ReplyCase *c = &reply_cases[i];
		DwfEngine  *engine = create(1);
		const DwfExchange *exchange;
		DwfHttpRequest request;
		size_t		len = strlen(c->body);

		start_server(&c->step, 1);
		request = make_request(100);
		request.max_response = MAX_BODY;
		if (c->timeout > 0)
			request.timeout = c->timeout;
		exchange = ask(engine, request);
		check(exchange, c->phase, c->curl_code, c->status, c->name);
		if (c->step.answer != NULL && memchr(c->step.answer, '\0',
											 c->step.answer_len) != NULL)
			len = 3;
		ok(exchange->body_len == len &&
		   (len == 0 || memcmp(exchange->body, c->body, len) == 0),
		   "%s: body", c->name);
		is_int(exchange->oversize, c->oversize, "%s: oversize", c->name);
		/* libcurl has no error for the end of a connection in a header */
		ok((*exchange->curl_error == '\0') == (c->phase == DWF_PHASE_COMPLETE),
		   "%s: words for an error, and only then", c->name);
		destroy_and_drain(engine);
		stop_server();
	}
}

/* A bound of nothing is a bound too. */
static void
test_no_room(void)
{
	static const Step steps[] = {
		{ANSWER(OK_HEADER("0")), 0, KEEP}, {ANSWER(OK_HEADER("1") "x"), 0, KEEP},
	};
	DwfEngine  *engine = create(1);
	const DwfExchange *exchange;
	DwfHttpRequest request;

	start_server(steps, LENGTH(steps));
	for (int i = 0; i < LENGTH(steps); i++)
	{
		request = make_request(1);
		request.max_response = 0;
		exchange = ask(engine, request);
		check(exchange, i == 0 ? DWF_PHASE_COMPLETE : DWF_PHASE_STATUS,
			  i == 0 ? 0 : CURLE_WRITE_ERROR, 200, "no room for a body");
		is_int(exchange->oversize, i == 1, "no room for %d bytes", i);
		is_int(exchange->body_len, 0, "nothing is kept");
		drop(engine, exchange);
	}
	destroy_and_drain(engine);
	stop_server();
}

/* Sends a reply of `before`, `count` times `line`, and `after`. */
static const DwfExchange *
ask_for_many(DwfEngine *engine, const char *before, const char *line,
			 int count, const char *after, char **answer)
{
	static Step step;
	char	   *at;

	*answer = malloc(strlen(before) + strlen(line) * count + strlen(after) + 1);
	at = stpcpy(*answer, before);
	for (int i = 0; i < count; i++)
		at = stpcpy(at, line);
	stpcpy(at, after);
	step = (Step)
	{
		*answer, 0, 0, KEEP
	};
	start_server(&step, 1);
	return ask(engine, make_request(1));
}

/* A peer that never ends its header must not fill a backend's memory. */
static void
test_endless_headers(void)
{
	static const char line[] = "X-Header: 0123456789012345678901234567890123456"
	"7890\r\n";
	const struct
	{
		const char *name;
		const char *before;
		const char *line;
		int			count;
		const char *after;
		DwfPhase	phase;
		int			curl_code;
		int			status;
	}			cases[] = {
		{"64,000 bytes of header", "HTTP/1.1 200 OK\r\n", line,
			64000 / (int) strlen(line), "Content-Length: 0\r\n\r\n",
		DWF_PHASE_COMPLETE, 0, 200},
		{"66,000 bytes of header", "HTTP/1.1 200 OK\r\n", line,
			66000 / (int) strlen(line), "Content-Length: 0\r\n\r\n",
		DWF_PHASE_SENT, CURLE_WRITE_ERROR, 0},
		{"3,000 times a 103", "", "HTTP/1.1 103 Early Hints\r\n\r\n", 3000,
		OK_REPLY, DWF_PHASE_SENT, CURLE_WRITE_ERROR, 0},
		{"a line of 90 kB", "HTTP/1.1 200 OK\r\nX: ", "0123456789", 9000,
		"\r\nContent-Length: 0\r\n\r\n", DWF_PHASE_SENT, CURLE_WRITE_ERROR, 0},
		{"trailers of 66,000 bytes", "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
			"chunked\r\n\r\n0\r\n", line, 66000 / (int) strlen(line), "\r\n",
		DWF_PHASE_STATUS, CURLE_WRITE_ERROR, 200},
	};

	for (int i = 0; i < LENGTH(cases); i++)
	{
		DwfEngine  *engine = create(1);
		char	   *answer;

		check(ask_for_many(engine, cases[i].before, cases[i].line,
						   cases[i].count, cases[i].after, &answer),
			  cases[i].phase, cases[i].curl_code, cases[i].status,
			  cases[i].name);
		destroy_and_drain(engine);
		stop_server();
		free(answer);
	}
}

static void
test_unsent(void)
{
	for (int i = 0; i < LENGTH(unsent_cases); i++)
	{
		const UnsentCase *c = &unsent_cases[i];
		const Step	step = {c->answer, 0, 1, CLOSE};
		DwfEngine  *engine = create(1);
		DwfHttpRequest request;
		char		proxy[100];

		start_server(&step, 1);
		request = make_request(100);
		free(request.url);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		if (asprintf(&request.url, c->url, server.port) < 0)
			abort();
		*proxy = '\0';
		if (c->proxy != NULL)
			snprintf(proxy, sizeof(proxy), c->proxy, server.port);
#pragma GCC diagnostic pop
		request.proxy = proxy;
		check(ask(engine, request), DWF_PHASE_UNSENT, c->curl_code, 0,
			  c->name);
		destroy_and_drain(engine);
		stop_server();
	}
}

/* A port where nobody listens, and one where nobody reads. */
static void
test_connecting(void)
{
	DwfEngine  *engine = create(1);
	DwfHttpRequest request;
	const DwfExchange *exchange;

	start_server(NULL, 0);
	request = make_request(100);
	close(server.listener);
	server.listener = -1;
	exchange = ask(engine, request);
	check(exchange, DWF_PHASE_UNSENT, CURLE_COULDNT_CONNECT, 0,
		  "a refused connection");
	ok(exchange->timings.connect >= 0 && exchange->timings.send < 0 &&
	   exchange->timings.wait < 0, "its time ends with connecting");
	dwf_http_destroy(engine);
	stop_server();

	/* nobody reads the ClientHello: the connection is never ready */
	engine = create(1);
	start_server(NULL, 0);
	request = make_request(100);
	free(request.url);
	if (asprintf(&request.url, "https://127.0.0.1:%d/", server.port) < 0)
		abort();
	request.connect_timeout = 100;
	exchange = ask(engine, request);
	check(exchange, DWF_PHASE_UNSENT, CURLE_OPERATION_TIMEDOUT, 0,
		  "TLS that nobody answers");
	/* libcurl 7.88 counts TLS as connecting */
	ok((exchange->timings.tls > 0 || exchange->timings.connect > 0) &&
	   exchange->timings.send < 0, "its time ends with TLS");
	destroy_and_drain(engine);
	stop_server();
}

static void
test_headers(void)
{
	for (int i = 0; i < LENGTH(header_cases); i++)
	{
		const HeaderCase *c = &header_cases[i];
		DwfEngine  *engine = create(1);
		const DwfExchange *exchange;
		char		answer[500];
		const Step	step = {answer, 0, 0, KEEP};

		/*
		 * What an interim reply says is not the reply's.  (libcurl 8.22 takes
		 * nothing where both have a Location.)
		 */
		snprintf(answer, sizeof(answer), "HTTP/1.1 103 x\r\nContent-Type: early"
				 "\r\nRetry-After: early\r\n\r\n"
				 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%s\r\n", c->header);
		start_server(&step, 1);
		exchange = ask(engine, make_request(1));
		is_str(exchange->content_type, c->content_type,
			   "headers, %s: content type", c->name);
		is_str(exchange->location, c->location, "headers, %s: location",
			   c->name);
		is_str(exchange->retry_after, c->retry_after,
			   "headers, %s: retry after", c->name);
		destroy_and_drain(engine);
		stop_server();
	}
}

/* What follows the body can no longer say what the reply is. */
static void
test_trailers(void)
{
	static const Step step = {
		"HTTP/1.1 200 OK\r\nContent-Type: first\r\nTransfer-Encoding: chunked"
		"\r\n\r\n0\r\nContent-Type: late\r\nLocation: late\r\n"
		"Retry-After: late\r\n\r\n", 0, 0, KEEP
	};
	DwfEngine  *engine = create(1);
	const DwfExchange *exchange;

	start_server(&step, 1);
	exchange = ask(engine, make_request(1));
	check(exchange, DWF_PHASE_COMPLETE, 0, 200, "a reply with trailers");
	is_str(exchange->content_type, "first", "trailers: content type");
	is_str(exchange->location, "", "trailers: location");
	is_str(exchange->retry_after, "", "trailers: retry after");
	destroy_and_drain(engine);
	stop_server();
}

static void
test_long_headers(void)
{
	DwfEngine  *engine = create(1);
	char	   *answer;
	const DwfExchange *exchange;

	exchange = ask_for_many(engine, "HTTP/1.1 302 x\r\nContent-Length: 0\r\n"
							"Location: ", "/1234567", 100, "\r\n\r\n", &answer);
	is_int(strlen(exchange->location), 511, "a long location is cut");
	destroy_and_drain(engine);
	stop_server();
	free(answer);
}

/* What goes over the wire, byte by byte; `secret` is the token's place. */
static void
test_request(void)
{
	static const Step steps[] = {
		{OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP},
	};
	DwfEngine  *engine = create(1);
	char		want[300];

	start_server(steps, LENGTH(steps));
	for (int len = 2; len >= 0; len--)
	{
		drop(engine, ask(engine, make_request(len)));
		snprintf(want, sizeof(want), "POST /path?q=1 HTTP/1.1\r\n"
				 "Host: 127.0.0.1:%d\r\nAccept: */*\r\n"
				 "Content-Type: application/json\r\n"
				 "X-DOMO-Developer-Token: secret\r\nContent-Length: %d\r\n\r\n%.*s",
				 server.port, len, len, "xx");
		is_str(server.last, want, "a request with %d bytes of body", len);
	}
	is_int(server.accepted, 1, "one connection carried all three");
	destroy_and_drain(engine);
	stop_server();
}

/* On the handle and connection of a POST, which has a body again afterwards. */
static void
test_get(void)
{
	static const Step steps[] = {
		{OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP},
	};
	DwfEngine  *engine = create(1);
	DwfHttpRequest request;
	char		want[300];

	start_server(steps, LENGTH(steps));
	drop(engine, ask(engine, make_request(1)));
	request = make_request(0);
	request.method = DWF_GET;
	drop(engine, ask(engine, request));
	snprintf(want, sizeof(want), "GET /path?q=1 HTTP/1.1\r\n"
			 "Host: 127.0.0.1:%d\r\nAccept: */*\r\n"
			 "Content-Type: application/json\r\n"
			 "X-DOMO-Developer-Token: secret\r\n\r\n", server.port);
	is_str(server.last, want, "a GET");
	drop(engine, ask(engine, make_request(1)));
	ok(strncmp(server.last, "POST ", 5) == 0 &&
	   strstr(server.last, "\r\n\r\nx") != NULL, "a POST after it");
	is_int(server.accepted, 1, "one connection carried all three");
	destroy_and_drain(engine);
	stop_server();
}

/*
 * A plain proxy gets the whole URL, and its reply is the reply; whatever the
 * environment says of hosts that need none.
 */
static void
test_proxy(void)
{
	static const Step step = {OK_REPLY, 0, 0, KEEP};
	DwfEngine  *engine = create(1);
	DwfHttpRequest request;
	char		proxy[100];

	start_server(&step, 1);
	request = make_request(1);
	free(request.url);
	request.url = strdup("http://acme.invalid/path");
	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", server.port);
	request.proxy = proxy;
	setenv("no_proxy", "*", 1);
	check(ask(engine, request), DWF_PHASE_COMPLETE, 0, 200, "by way of a proxy");
	unsetenv("no_proxy");
	ok(server.last != NULL && strncmp(server.last,
									  "POST http://acme.invalid/path HTTP/1.1\r\n",
									  40) == 0, "it gets the whole URL");
	destroy_and_drain(engine);
	stop_server();
}

/* The proxies that the environment names are for other programs. */
static void
test_environment(void)
{
	static const Step step = {OK_REPLY, 0, 0, KEEP};
	DwfEngine  *engine = create(1);

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	start_server(&step, 1);
	check(ask(engine, make_request(1)), DWF_PHASE_COMPLETE, 0, 200,
		  "the environment's proxy is not used");
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	destroy_and_drain(engine);
	stop_server();
}

int
main(void)
{
	start_watchdog();
	test_replies();
	test_no_room();
	test_endless_headers();
	test_unsent();
	test_connecting();
	test_headers();
	test_trailers();
	test_long_headers();
	test_request();
	test_get();
	test_proxy();
	test_environment();
	return done_testing();
}
