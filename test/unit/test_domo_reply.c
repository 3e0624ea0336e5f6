/*
 * test_domo_reply.c
 *	  Unit tests of domo_reply.c: what became of a request, and Domo's words.
 *
 * The first table is the evidence of src/domo/README.md and its SQLSTATEs,
 * row by row; a start that is called done or not sent wrongly is lost or runs
 * twice.  The others hold what services and the proxies before them answer in
 * place of the JSON expected.  test_domo_instance.c has the rest of the file.
 */
#include "../../src/domo/domo_reply.c"
#include "../../src/domo/iso8601.c"
#include "../../src/domo/operation.c"
#include "../../src/domo/json.c"

#include <curl/curl.h>

#include "tap.h"
#include "text.h"

/* the tables below leave out what is NULL, 0 and false */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* A text that may hold NUL bytes, and its length. */
#define TEXT(literal)	(literal), sizeof(literal) - 1

#define JSON_TYPE		"application/json;charset=UTF-8"
#define HTML_TYPE		"text/html; charset=utf-8"

#define INSTANCE		"{\"id\":\"i1\",\"status\":\"null\"}"

typedef struct ClassCase
{
	DwfPhase	phase;
	int			curl_code;
	int			http_status;
	bool		sensible;
	DwfOutcome	outcome;
	const char *of_start;
	const char *of_others;
} ClassCase;

typedef struct WordsCase
{
	const char *body;
	size_t		len;
	char	   *content_type;
	const char *message;
	const char *toe;
	bool		blocked;
} WordsCase;

typedef struct NonsenseCase
{
	const char *body;
	size_t		len;
	const char *of_start;
	const char *of_permissions; /* NULL: it is a success */
} NonsenseCase;

typedef struct ReplyCase
{
	const char *name;
	DwfOperation operation;
	DwfPhase	phase;
	int			curl_code;
	int			http_status;
	char	   *content_type;
	char	   *location;
	const char *body;
	bool		oversize;

	DwfOutcome	outcome;
	const char *sqlstate;
	const char *id;
	const char *message;
	const char *nonsense;
	bool		blocked;
} ReplyCase;

static const ClassCase class_cases[] = {
	/* nothing left the machine */
	{DWF_PHASE_UNSENT, CURLE_COULDNT_RESOLVE_HOST, 0, false,
	DWF_UNSENT, "38U01", "38U01"},
	{DWF_PHASE_UNSENT, CURLE_COULDNT_CONNECT, 0, false,
	DWF_UNSENT, "38U01", "38U01"},
	{DWF_PHASE_UNSENT, CURLE_OPERATION_TIMEDOUT, 0, false,
	DWF_UNSENT, "38U01", "38U01"},
	{DWF_PHASE_UNSENT, CURLE_SSL_CONNECT_ERROR, 0, false,
	DWF_UNSENT, "38U01", "38U01"},
	{DWF_PHASE_UNSENT, 0, 0, false, DWF_UNSENT, "38U01", "38U01"},

	/* some of it left, and no status came */
	{DWF_PHASE_SENT, CURLE_OPERATION_TIMEDOUT, 0, false,
	DWF_IN_DOUBT, "38U02", "38U02"},
	{DWF_PHASE_SENT, CURLE_RECV_ERROR, 0, false,
	DWF_IN_DOUBT, "38U02", "38U02"},
	{DWF_PHASE_SENT, CURLE_GOT_NOTHING, 0, false,
	DWF_IN_DOUBT, "38U02", "38U02"},
	{DWF_PHASE_SENT, CURLE_ABORTED_BY_CALLBACK, 0, false,
	DWF_IN_DOUBT, "38U02", "38U02"},
	{DWF_PHASE_SENT, 0, 0, false, DWF_IN_DOUBT, "38U02", "38U02"},

	/* what Domo did not execute, even if the reply behind it was cut */
	{DWF_PHASE_COMPLETE, 0, 429, false, DWF_THROTTLED, "38429", "38429"},
	{DWF_PHASE_STATUS, CURLE_RECV_ERROR, 429, false,
	DWF_THROTTLED, "38429", "38429"},
	{DWF_PHASE_COMPLETE, 0, 401, false, DWF_UNAUTHORIZED, "38401", "38401"},
	{DWF_PHASE_STATUS, CURLE_PARTIAL_FILE, 401, false,
	DWF_UNAUTHORIZED, "38401", "38401"},
	{DWF_PHASE_COMPLETE, 0, 300, false, DWF_REJECTED, "38300", "38300"},
	{DWF_PHASE_COMPLETE, 0, 302, false, DWF_REJECTED, "38302", "38302"},
	{DWF_PHASE_COMPLETE, 0, 303, false, DWF_REJECTED, "38303", "38303"},
	{DWF_PHASE_COMPLETE, 0, 399, false, DWF_REJECTED, "38399", "38399"},
	{DWF_PHASE_COMPLETE, 0, 400, false, DWF_REJECTED, "38400", "38400"},
	{DWF_PHASE_COMPLETE, 0, 403, false, DWF_REJECTED, "38403", "38403"},
	{DWF_PHASE_STATUS, CURLE_WRITE_ERROR, 403, false,
	DWF_REJECTED, "38403", "38403"},
	{DWF_PHASE_COMPLETE, 0, 404, false, DWF_REJECTED, "38404", "38404"},
	{DWF_PHASE_COMPLETE, 0, 407, false, DWF_REJECTED, "38407", "38407"},
	{DWF_PHASE_COMPLETE, 0, 409, false, DWF_REJECTED, "38409", "38409"},
	{DWF_PHASE_COMPLETE, 0, 499, false, DWF_REJECTED, "38499", "38499"},
	{DWF_PHASE_COMPLETE, 0, 404, true, DWF_REJECTED, "38404", "38404"},

	/* 2xx with what was expected, and with anything less */
	{DWF_PHASE_COMPLETE, 0, 200, true, DWF_DONE, "00000", "00000"},
	{DWF_PHASE_COMPLETE, 0, 201, true, DWF_DONE, "00000", "00000"},
	{DWF_PHASE_COMPLETE, 0, 299, true, DWF_DONE, "00000", "00000"},
	{DWF_PHASE_COMPLETE, 0, 200, false, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_COMPLETE, 0, 204, false, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_STATUS, 0, 200, true, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_STATUS, CURLE_PARTIAL_FILE, 200, false,
	DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_STATUS, CURLE_WRITE_ERROR, 200, true,
	DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_COMPLETE, CURLE_PARTIAL_FILE, 200, true,
	DWF_IN_DOUBT, "38U02", "38U03"},

	/* 408 and 5xx are no answer to whether it ran */
	{DWF_PHASE_COMPLETE, 0, 408, false, DWF_IN_DOUBT, "38U02", "38U02"},
	{DWF_PHASE_STATUS, CURLE_RECV_ERROR, 408, false,
	DWF_IN_DOUBT, "38U02", "38U02"},
	{DWF_PHASE_COMPLETE, 0, 500, false, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_COMPLETE, 0, 501, false, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_COMPLETE, 0, 502, false, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_COMPLETE, 0, 503, true, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_STATUS, CURLE_RECV_ERROR, 504, false,
	DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_COMPLETE, 0, 599, false, DWF_IN_DOUBT, "38U02", "38U03"},

	/* no status that HTTP knows */
	{DWF_PHASE_COMPLETE, 0, 0, true, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_COMPLETE, 0, 101, true, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_COMPLETE, 0, 199, true, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_COMPLETE, 0, 600, true, DWF_IN_DOUBT, "38U02", "38U03"},
	{DWF_PHASE_COMPLETE, 0, 999, true, DWF_IN_DOUBT, "38U02", "38U03"},
};

/* Bodies of a 400, and what is shown of them. */
static const WordsCase words_cases[] = {
	/* Domo's error object, each field of which may be null */
	{TEXT("{\"status\":400,\"statusReason\":\"Bad Request\",\"message\":"
		  "\"No trigger found\",\"path\":\"/api\",\"toe\":\"9AB-CD\"}"),
	JSON_TYPE, "No trigger found", "9AB-CD"},
	{TEXT("{\"status\":400,\"statusReason\":\"Bad Request\",\"message\":null,"
		  "\"path\":null,\"toe\":null}"), JSON_TYPE, "Bad Request"},
	{TEXT("{\"statusReason\":\"Bad Request\",\"message\":\"\",\"toe\":\"\"}"),
	JSON_TYPE, "Bad Request"},
	{TEXT("{\"statusReason\":\"Bad Request\",\"message\":{\"a\":1}}"),
	JSON_TYPE, "Bad Request"},
	{TEXT("{\"message\":\" \\n\",\"statusReason\":\"Bad Request\"}"),
	JSON_TYPE, "Bad Request"},
	{TEXT("{\"message\":\"two\\nlines\\r\\n\",\"toe\":\"a\\tb\"}"), JSON_TYPE,
	"two lines", "a b"},
	{TEXT("{\"message\":\"\\u001b[31mred\\u007f\\u009b0m\\u0085\"}"),
	JSON_TYPE, "[31mred  0m"},
	{TEXT("{\"status\":null,\"statusReason\":null,\"toe\":\"T\"}"), JSON_TYPE,
	"{\"status\":null,\"statusReason\":null,\"toe\":\"T\"}", "T"},
	{TEXT("{}"), JSON_TYPE, "{}"},
	{TEXT("{\"message\":\"a\",\"message\":\"b\"}"), JSON_TYPE,
	"{\"message\":\"a\",\"message\":\"b\"}"},
	{TEXT("{\"message\":\"cut o"), JSON_TYPE, "{\"message\":\"cut o"},
	{TEXT("[\"message\"]"), JSON_TYPE, "[\"message\"]"},
	{TEXT("\"message\""), JSON_TYPE, "\"message\""},
	{TEXT("{\"message\":\"\xC3\xA9\\u20ac\"}"), "", "\xC3\xA9\xE2\x82\xAC"},

	/* text */
	{TEXT("Too many requests\r\n"), "text/plain", "Too many requests"},
	{TEXT("\r\n\t Forbidden"), "text/plain", "Forbidden"},
	{TEXT("a\tb\nc\x7F" "d"), "text/plain", "a b c d"},
	{TEXT("a\xC2\x80\xC2\x9F" "b"), "text/plain", "a  b"},
	{TEXT("a\xC2\xA0" "b"), "text/plain", "a\xC2\xA0" "b"},
	{TEXT(""), "text/plain", NULL},
	{TEXT(" \r\n\t"), JSON_TYPE, NULL},

	/* what is not even text */
	{TEXT("\x89PNG\r\n\x1A\n\0\0"), "image/png", "?PNG"},
	{TEXT("\xC3(\xE2\x82\xF0\x9F\x98\xFF"), "", "?(???\?\?\?"},
	{TEXT("\xED\xA0\x80"), "", "???"},
	{TEXT("\0"), "", NULL},
	{TEXT("\x01\x02\x1F"), "", NULL},

	/* pages */
	{TEXT("<html><head><title>502 Bad Gateway</title></head></html>"),
	HTML_TYPE, "502 Bad Gateway"},
	{TEXT("<!DOCTYPE html>\n<title>\n\t502 Bad\n Gateway\n</title>"),
	"", "502 Bad  Gateway"},
	{TEXT(" \n<html><title>Domo - Blocked</title>"), "text/plain",
	"Domo - Blocked", NULL, true},
	{TEXT("<html><h1>Domo - Blocked</h1></html>"), "TEXT/HTML",
	"an HTML page", NULL, true},
	{TEXT("<html><title>cut o"), HTML_TYPE, "cut o"},
	{TEXT("<html><title>"), HTML_TYPE, "an HTML page"},
	{TEXT("<html><title> \n</title>"), HTML_TYPE, "an HTML page"},
	{TEXT("<html></html>"), HTML_TYPE, "an HTML page"},
	{TEXT("<"), "", "an HTML page"},
	{TEXT("Forbidden"), HTML_TYPE, "an HTML page"},
	{TEXT("<?xml version=\"1.0\"?><Error/>"), "application/xml",
	"an HTML page"},
};

/* Bodies of a 200, and what is wrong with them. */
static const NonsenseCase nonsense_cases[] = {
	{TEXT(INSTANCE), NULL, NULL},
	{TEXT(""), "empty", NULL},
	{TEXT(" \r\n"), "not JSON", NULL},
	{TEXT("\0"), "a NUL character", "a NUL character"},
	{TEXT("OK"), "not JSON", "not JSON"},
	{TEXT("{\"id\":\"i1\""), "not JSON", "not JSON"},
	{TEXT("{\"id\":\"i1\"} trailing"), "something follows the JSON value",
	"something follows the JSON value"},
	{TEXT("{\"id\":\"i1"), "cut off in a string", "cut off in a string"},
	{TEXT("{\"id\":\"i\n1\"}"), "a control character in a string",
	"a control character in a string"},
	{TEXT("{\"id\":\"i\\u00001\"}"), "it has no instance id", NULL},
	{TEXT("{\"id\":\"i\\uXYZW1\"}"), "not JSON", "not JSON"},
	{TEXT("{\"id\":\"\xFF\"}"), "invalid UTF-8", "invalid UTF-8"},
	{TEXT("{\"id\":\"i1\",\"n\":01}"), "not a JSON number",
	"not a JSON number"},
	{TEXT("{\"id\":\"i1\",\"id\":\"i2\"}"), "a key stands twice in an object",
	"a key stands twice in an object"},
	{TEXT("\xEF\xBB\xBF{\"id\":\"i1\"}"), "it starts with a byte order mark",
	"it starts with a byte order mark"},
	{TEXT("<html><title>Log in</title></html>"), "it is an HTML page",
	"it is an HTML page"},
	{TEXT("null"), "it is not an object", NULL},
	{TEXT("true"), "it is not an object", NULL},
	{TEXT("[{\"id\":\"i1\"}]"), "it is not an object", NULL},
	{TEXT("\"i1\""), "it is not an object", NULL},
	{TEXT("{}"), "it has no instance id", NULL},
	{TEXT("{\"ID\":\"i1\"}"), "it has no instance id", NULL},
	{TEXT("{\"id\":null}"), "it has no instance id", NULL},
	{TEXT("{\"id\":\"\"}"), "it has no instance id", NULL},
	{TEXT("{\"id\":\"null\"}"), "it has no instance id", NULL},
	{TEXT("{\"id\":17}"), "it has no instance id", NULL},
	{TEXT("{\"id\":{\"id\":\"i1\"}}"), "it has no instance id", NULL},
	{TEXT("{\"status\":500,\"message\":\"oops\"}"), "it has no instance id",
	NULL},
};

static const ReplyCase reply_cases[] = {
	{"a start", DWF_START, DWF_PHASE_COMPLETE, 0, 200, JSON_TYPE, "", INSTANCE,
	.sqlstate = "00000",.id = "i1"},
	{"a cancel", DWF_CANCEL, DWF_PHASE_COMPLETE, 0, 200, JSON_TYPE, "",
	INSTANCE,.sqlstate = "00000",.id = "i1"},
	{"a read", DWF_READ_INSTANCE, DWF_PHASE_COMPLETE, 0, 200, JSON_TYPE, "",
	INSTANCE,.sqlstate = "00000",.id = "i1"},
	{"a set_permissions", DWF_SET_PERMISSIONS, DWF_PHASE_COMPLETE, 0, 200, "",
	"", "",.sqlstate = "00000"},
	{"a set_permissions with 204", DWF_SET_PERMISSIONS, DWF_PHASE_COMPLETE, 0,
	204, "", "", "",.sqlstate = "00000"},
	{"a start without a content type", DWF_START, DWF_PHASE_COMPLETE, 0, 200,
	"", "", INSTANCE,.sqlstate = "00000",.id = "i1"},

	{"a page to a start", DWF_START, DWF_PHASE_COMPLETE, 0, 200, HTML_TYPE, "",
		"<title>Log in</title>",.outcome = DWF_IN_DOUBT,.sqlstate = "38U02",
	.message = "Log in",.nonsense = "it is an HTML page"},
	{"the blocked page with 200", DWF_CANCEL, DWF_PHASE_COMPLETE, 0, 200, "",
		"", "<title>Domo - Blocked</title>",.outcome = DWF_IN_DOUBT,
		.sqlstate = "38U03",.message = "Domo - Blocked",
	.nonsense = "it is an HTML page",.blocked = true},
	{"a page to a set_permissions", DWF_SET_PERMISSIONS, DWF_PHASE_COMPLETE, 0,
		200, HTML_TYPE, "", "<html>",.outcome = DWF_IN_DOUBT,
		.sqlstate = "38U03",.message = "an HTML page",
	.nonsense = "it is an HTML page"},
	{"an error object with 200", DWF_START, DWF_PHASE_COMPLETE, 0, 200,
		JSON_TYPE, "", "{\"message\":\"busy\"}",.outcome = DWF_IN_DOUBT,
		.sqlstate = "38U02",.message = "busy",
	.nonsense = "it has no instance id"},
	{"a start with 204", DWF_START, DWF_PHASE_COMPLETE, 0, 204, "", "", "",
	.outcome = DWF_IN_DOUBT,.sqlstate = "38U02",.nonsense = "empty"},

	{"a redirect to the page for addresses not allowed", DWF_START,
		DWF_PHASE_COMPLETE, 0, 303, "",
		"https://acme.domo.com/auth/whitelist/blocked?ip=192.0.2.1", "",
	.outcome = DWF_REJECTED,.sqlstate = "38303",.blocked = true},
	{"another redirect", DWF_START, DWF_PHASE_COMPLETE, 0, 302, "",
		"https://www.domo.com/", "",.outcome = DWF_REJECTED,
	.sqlstate = "38302"},

	{"a cut 200 whose JSON looks whole", DWF_START, DWF_PHASE_STATUS,
		CURLE_PARTIAL_FILE, 200, JSON_TYPE, "", INSTANCE,
	.outcome = DWF_IN_DOUBT,.sqlstate = "38U02",.message = INSTANCE},
	{"a cut 200 of a cancel", DWF_CANCEL, DWF_PHASE_STATUS, CURLE_RECV_ERROR,
	200, JSON_TYPE, "", "",.outcome = DWF_IN_DOUBT,.sqlstate = "38U03"},
	{"a cut 403", DWF_START, DWF_PHASE_STATUS, CURLE_RECV_ERROR, 403,
		JSON_TYPE, "", "{\"message\":\"For",.outcome = DWF_REJECTED,
	.sqlstate = "38403",.message = "{\"message\":\"For"},
	{"a 200 that is too large", DWF_START, DWF_PHASE_STATUS,
		CURLE_WRITE_ERROR, 200, JSON_TYPE, "", INSTANCE,.oversize = true,
		.outcome = DWF_IN_DOUBT,.sqlstate = "38U02",
	.nonsense = "it is larger than domowf.max_response_size"},
	{"a 200 too large to a set_permissions", DWF_SET_PERMISSIONS,
		DWF_PHASE_STATUS, CURLE_WRITE_ERROR, 200, JSON_TYPE, "", "[",
		.oversize = true,.outcome = DWF_IN_DOUBT,.sqlstate = "38U03",
	.nonsense = "it is larger than domowf.max_response_size"},
	{"a 401 that is too large", DWF_START, DWF_PHASE_STATUS,
		CURLE_WRITE_ERROR, 401, "text/plain", "", "No",.oversize = true,
	.outcome = DWF_UNAUTHORIZED,.sqlstate = "38401",.message = "No"},
	{"a 500 that is too large", DWF_CANCEL, DWF_PHASE_STATUS,
		CURLE_WRITE_ERROR, 500, "text/plain", "", "No",.oversize = true,
	.outcome = DWF_IN_DOUBT,.sqlstate = "38U03",.message = "No"},

	{"a 408", DWF_CANCEL, DWF_PHASE_COMPLETE, 0, 408, "text/plain", "", "late",
	.outcome = DWF_IN_DOUBT,.sqlstate = "38U02",.message = "late"},
	{"a 429", DWF_START, DWF_PHASE_COMPLETE, 0, 429, JSON_TYPE, "",
		"{\"statusReason\":\"Too Many Requests\"}",.outcome = DWF_THROTTLED,
	.sqlstate = "38429",.message = "Too Many Requests"},
	{"a 404 with an instance", DWF_START, DWF_PHASE_COMPLETE, 0, 404,
		JSON_TYPE, "", INSTANCE,.outcome = DWF_REJECTED,.sqlstate = "38404",
	.message = INSTANCE},

	{"nothing was sent", DWF_START, DWF_PHASE_UNSENT, CURLE_COULDNT_CONNECT, 0,
	"", "", "",.outcome = DWF_UNSENT,.sqlstate = "38U01"},
	{"no status came", DWF_START, DWF_PHASE_SENT, CURLE_RECV_ERROR, 0, "", "",
	"",.outcome = DWF_IN_DOUBT,.sqlstate = "38U02"},
	{"what came before a status is not read", DWF_START, DWF_PHASE_SENT,
		CURLE_WRITE_ERROR, 0, JSON_TYPE, "/whitelist/blocked", INSTANCE,
	.outcome = DWF_IN_DOUBT,.sqlstate = "38U02"},
};

static void
test_classes(void)
{
	for (int i = 0; i < LENGTH(class_cases); i++)
	{
		const ClassCase *c = &class_cases[i];
		char		sqlstate[6] = "?????";
		DwfOutcome	outcome = classify(c->phase, c->curl_code,
									   c->http_status, c->sensible);

		is_int(outcome, c->outcome, "phase %d, curl %d, HTTP %d, %ssensible",
			   c->phase, c->curl_code, c->http_status,
			   c->sensible ? "" : "not ");
		for (int op = DWF_START; op < DWF_OPERATIONS; op++)
		{
			choose_sqlstate((DwfOperation) op, outcome, c->phase,
							c->http_status, sqlstate);
			is_str(sqlstate, op == DWF_START ? c->of_start : c->of_others,
				   "its SQLSTATE of a %s", dwf_operation_name((DwfOperation) op));
		}
	}
}

/* All the rows that no table holds: nothing but a sensible 2xx is done. */
static void
test_class_sweep(void)
{
	static const int curl_codes[] = {
		CURLE_OK, CURLE_PARTIAL_FILE, CURLE_OPERATION_TIMEDOUT,
		CURLE_RECV_ERROR,
	};
	int			wrong = 0;

	for (int row = 0; row < 1000 * 4 * 4 * 2; row++)
	{
		int			status = row / 32;
		DwfPhase	phase = (DwfPhase) (row / 8 % 4);
		int			curl_code = curl_codes[row / 2 % 4];
		bool		sensible = row % 2;
		DwfOutcome	outcome = classify(phase, curl_code, status,
									   sensible);
		bool		done = phase == DWF_PHASE_COMPLETE && curl_code == 0 &&
		status >= 200 && status <= 299 && sensible;
		bool		refused = phase >= DWF_PHASE_STATUS && status >= 300 &&
		status <= 499 && status != 408;

		if ((outcome == DWF_DONE) != done ||
			(outcome == DWF_UNSENT) != (phase == DWF_PHASE_UNSENT) ||
			(outcome == DWF_REJECTED || outcome == DWF_THROTTLED ||
			 outcome == DWF_UNAUTHORIZED) != refused)
			wrong++;
	}
	is_int(wrong, 0, "of 32,000 combinations, each has its outcome");
}

/* Reads a reply whose body ends where its memory ends. */
static void
read_reply(DwfOperation operation, DwfExchange exchange, const char *body,
		   size_t len, DwfReply *reply)
{
	char	   *copy = malloc(len + 1);

	memcpy(copy + 1, body, len);
	exchange.body = len == 0 ? NULL : copy + 1;
	exchange.body_len = len;
	exchange.curl_error = "";
	exchange.retry_after = "";
	memset(reply, 0x5A, sizeof(*reply));
	dwf_domo_read_reply(operation, &exchange, reply);
	free(copy);
}

static void
test_replies(void)
{
	for (int i = 0; i < LENGTH(reply_cases); i++)
	{
		const ReplyCase *c = &reply_cases[i];
		DwfExchange exchange = {
			.phase = c->phase,.curl_code = c->curl_code,
			.http_status = c->http_status,.content_type = c->content_type,
			.location = c->location,.oversize = c->oversize,
		};
		DwfReply	reply;

		read_reply(c->operation, exchange, c->body, strlen(c->body), &reply);
		is_int(reply.outcome, c->outcome, "%s: outcome", c->name);
		is_str(reply.sqlstate, c->sqlstate, "%s: SQLSTATE", c->name);
		is_str(reply.instance.id, c->id, "%s: instance id", c->name);
		is_str(reply.message, c->message, "%s: message", c->name);
		is_str(reply.nonsense, c->nonsense, "%s: nonsense", c->name);
		is_int(reply.blocked, c->blocked, "%s: blocked", c->name);
		dwf_domo_free_reply(&reply);
	}
}

static void
test_nonsense(void)
{
	for (int i = 0; i < LENGTH(nonsense_cases); i++)
	{
		const NonsenseCase *c = &nonsense_cases[i];

		for (int op = DWF_START; op < DWF_OPERATIONS; op++)
		{
			DwfExchange exchange = {
				.phase = DWF_PHASE_COMPLETE,.http_status = 200,
				.content_type = JSON_TYPE,.location = "",
			};
			DwfReply	reply;
			const char *want = op == DWF_SET_PERMISSIONS ? c->of_permissions :
			c->of_start;

			read_reply((DwfOperation) op, exchange, c->body, c->len, &reply);
			is_str(reply.nonsense, want, "nonsense %d, operation %d", i, op);
			is_int(reply.outcome, want == NULL ? DWF_DONE : DWF_IN_DOUBT,
				   "its outcome");
			dwf_domo_free_reply(&reply);
		}
	}
}

/* Reads a 400 with a body. */
static void
read_refusal(char *content_type, const char *body, size_t len,
			 DwfReply *reply)
{
	DwfExchange exchange = {
		.phase = DWF_PHASE_COMPLETE,.http_status = 400,
		.content_type = content_type,.location = "",
	};

	read_reply(DWF_START, exchange, body, len, reply);
}

static void
test_words(void)
{
	for (int i = 0; i < LENGTH(words_cases); i++)
	{
		const WordsCase *c = &words_cases[i];
		DwfReply	reply;

		read_refusal(c->content_type, c->body, c->len, &reply);
		is_str(reply.message, c->message, "words %d: message", i);
		is_str(reply.toe, c->toe, "words %d: toe", i);
		is_int(reply.blocked, c->blocked, "words %d: blocked", i);
		dwf_domo_free_reply(&reply);
	}
}

/* Foreign words without an end must not fill a log, nor be cut in a letter. */
static void
test_long_words(void)
{
	static const char *const characters[] = {
		"b", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
	};
	char	   *body = malloc(400100);
	DwfReply	reply;

	for (int i = 0; i < LENGTH(characters) * 4; i++)
	{
		const char *character = characters[i / 4];
		size_t		width = strlen(character);
		size_t		shift = i % 4;
		char	   *at = stpcpy(body, "{\"message\":\"");
		size_t		kept = shift + (1000 - shift) / width * width;

		memset(at, 'a', shift);
		at += shift;
		for (int n = 0; n < 100000; n++)
			at = stpcpy(at, character);
		at = stpcpy(at, "\"}");
		read_refusal(JSON_TYPE, body, at - body, &reply);
		is_int(strlen(reply.message), kept + 3,
			   "100,000 %zu-byte characters behind %zu bytes", width, shift);
		ok(strcmp(reply.message + kept, "...") == 0 && is_utf8(reply.message),
		   "cut between two of them");
		dwf_domo_free_reply(&reply);
	}

	memset(body, 'x', 1001);
	read_refusal("", body, 1000, &reply);
	is_int(strlen(reply.message), 1000, "1,000 bytes are shown");
	dwf_domo_free_reply(&reply);
	read_refusal("", body, 1001, &reply);
	is_str(reply.message + 1000, "...", "1,001 bytes are cut");
	dwf_domo_free_reply(&reply);

	memcpy(body, "{\"message\":\"m\",\"toe\":\"", 22);
	memset(body + 22, 't', 300);
	strcpy(body + 322, "\"}");
	read_refusal("", body, strlen(body), &reply);
	is_int(strlen(reply.toe), 203, "a long toe is cut");
	dwf_domo_free_reply(&reply);
	dwf_domo_free_reply(&reply);
	ok(reply.message == NULL && reply.toe == NULL && reply.instance.id == NULL,
	   "a reply may be freed twice");
	free(body);
}

int
main(void)
{
	test_classes();
	test_class_sweep();
	test_replies();
	test_nonsense();
	test_words();
	test_long_words();
	return done_testing();
}
