/*
 * fuzz_reply.c
 *	  Fuzz target: any reply, to any operation.
 *
 * Whatever a server, a proxy or an attacker answers, nothing but a whole 2xx
 * that holds what the operation promises may settle a request, and nothing
 * may be shown to users that is not one line of UTF-8.
 *
 * Input: a line of six characters that choose operation, phase, libcurl's
 * code, status, content type and what else the exchange has; then the body.
 */
#include "../../src/domo/domo_reply.c"
#include "../../src/domo/iso8601.c"
#include "../../src/domo/operation.c"
#include "../../src/domo/json.c"

#include "fuzz.h"

#define CHOICES		6

#define PICK(array, byte)	((array)[(byte) % LENGTH(array)])

static const int statuses[] = {
	200, 201, 204, 299, 300, 303, 399, 400, 401, 403, 404, 408, 429, 499, 500,
	502, 599, 0, 100, 199, 600, 999,
};

static const int curl_codes[] = {0, 18, 23, 28, 42, 52, 56};

static char *const content_types[] = {
	"application/json;charset=UTF-8", "", "text/html; charset=utf-8",
	"text/plain", "TEXT/HTML",
};

static char *const locations[] = {
	"", "https://www.domo.com/", "https://acme.domo.com/whitelist/blocked?x",
};

static void check_instance(const DwfInstance *instance,
						   const DwfExchange *exchange);
static void check_words(const DwfReply *reply);
static void check_sqlstate(const DwfReply *reply,
						   const DwfExchange *exchange);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DwfExchange exchange = {.curl_error = "",.retry_after = ""};
	DwfOperation operation;
	DwfReply	reply;
	bool		complete;

	if (size <= CHOICES)
		return 0;
	operation = (DwfOperation) (data[0] % DWF_OPERATIONS);
	exchange.phase = (DwfPhase) (data[1] % 4);
	exchange.curl_code = PICK(curl_codes, data[2]);
	exchange.http_status = PICK(statuses, data[3]);
	exchange.content_type = PICK(content_types, data[4]);
	exchange.location = PICK(locations, data[5]);

	/* what http.c never says */
	if (exchange.phase == DWF_PHASE_COMPLETE)
		exchange.curl_code = 0;
	if (exchange.phase < DWF_PHASE_STATUS)
		exchange.http_status = 0;
	if (exchange.phase == DWF_PHASE_STATUS)
		exchange.oversize = data[5] % 2;

	/* the newline behind the choices is there to be read by people */
	exchange.body_len = size - CHOICES - 1;
	exchange.body = copy_exactly(data + CHOICES + 1, exchange.body_len);

	memset(&reply, 0x5A, sizeof(reply));
	dwf_domo_read_reply(operation, &exchange, &reply);

	complete = exchange.phase == DWF_PHASE_COMPLETE &&
		exchange.http_status >= 200 && exchange.http_status <= 299;
	REQUIRE((reply.outcome == DWF_DONE) ==
			(complete && reply.nonsense == NULL));
	REQUIRE((reply.outcome == DWF_UNSENT) ==
			(exchange.phase == DWF_PHASE_UNSENT));
	if (reply.outcome == DWF_DONE && operation != DWF_SET_PERMISSIONS)
		check_instance(&reply.instance, &exchange);
	else
		REQUIRE(reply.instance.id == NULL && reply.instance.status == NULL);
	check_words(&reply);
	check_sqlstate(&reply, &exchange);

	dwf_domo_free_reply(&reply);
	dwf_domo_free_reply(&reply);
	free(exchange.body);
	return 0;
}

/* An instance is what a second reading of the body finds, and in bounds. */
static void
check_instance(const DwfInstance *instance, const DwfExchange *exchange)
{
	const char *fault;
	DwfJsonNode *root = dwf_json_parse_foreign(exchange->body,
											   exchange->body_len, &fault);

	REQUIRE(root != NULL);
	REQUIRE(instance->id != NULL && *instance->id != '\0');
	REQUIRE(dwf_json_is_whole(instance->id));
	REQUIRE(strcmp(instance->id,
				   dwf_json_string(dwf_json_get(root, "id"))) == 0);
	REQUIRE(instance->status == NULL ||
			(strcmp(instance->status, "null") != 0 &&
			 strcmp(instance->status, "CANCELLED") != 0));
	dwf_json_free(root);

	/* a zone can move a time out of its year by less than a day */
	if (instance->has_created_on)
		REQUIRE(instance->created_on > (MIN_EPOCH - 86400) * USECS_PER_SEC &&
				instance->created_on < (MAX_EPOCH + 86400) * USECS_PER_SEC);
	if (instance->has_updated_on)
		REQUIRE(instance->updated_on > (MIN_EPOCH - 86400) * USECS_PER_SEC &&
				instance->updated_on < (MAX_EPOCH + 86400) * USECS_PER_SEC);
}

/* Whether text is UTF-8 that has no control characters, C1 among them. */
static bool
is_shown(const char *text)
{
	size_t		len = strlen(text);
	size_t		step;

	for (size_t at = 0; at < len; at += step)
	{
		unsigned char c = (unsigned char) text[at];

		step = dwf_json_utf8_length(text + at, len - at);
		if (step == 0 || c < 0x20 || c == 0x7F ||
			(c == 0xC2 && (unsigned char) text[at + 1] < 0xA0))
			return false;
	}
	return true;
}

static void
check_words(const DwfReply *reply)
{
	if (reply->message != NULL)
		REQUIRE(is_shown(reply->message) && *reply->message != '\0' &&
				strlen(reply->message) <= MAX_MESSAGE + 3);
	if (reply->toe != NULL)
		REQUIRE(is_shown(reply->toe) && *reply->toe != '\0' &&
				strlen(reply->toe) <= MAX_TOE + 3);
	if (reply->outcome == DWF_DONE)
		REQUIRE(reply->message == NULL && reply->toe == NULL &&
				!reply->blocked);
}

static void
check_sqlstate(const DwfReply *reply, const DwfExchange *exchange)
{
	const char *code = reply->sqlstate;

	REQUIRE(strlen(code) == 5);
	REQUIRE((reply->outcome == DWF_DONE) == (strcmp(code, "00000") == 0));
	REQUIRE((reply->outcome == DWF_UNSENT) == (strcmp(code, "38U01") == 0));
	REQUIRE((reply->outcome == DWF_IN_DOUBT) ==
			(strcmp(code, "38U02") == 0 || strcmp(code, "38U03") == 0));
	if (reply->outcome == DWF_REJECTED || reply->outcome == DWF_THROTTLED ||
		reply->outcome == DWF_UNAUTHORIZED)
		REQUIRE(atoi(code) == 38000 + exchange->http_status);
}
