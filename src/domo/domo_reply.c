/*
 * domo_reply.c
 *	  What a reply of Domo means.
 *
 * Pure: it must not know PostgreSQL or do any I/O.
 *
 * One rule stands over everything here: a reply is evidence, and evidence is
 * never stretched.  A status that was received says what Domo decided, even
 * if the body behind it was cut; a 2xx counts only with a body that the
 * operation promises; and what is neither leaves the outcome in doubt.
 */
#include "domo/domo.h"
#include "domo/iso8601.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is shown of Domo's words, bytes. */
#define MAX_MESSAGE		1000
#define MAX_TOE			200


/* 0001-01-01 and 10000-01-01 as seconds since 1970: what both sides hold. */
#define MIN_EPOCH		INT64_C(-62135596800)
#define MAX_EPOCH		INT64_C(253402300800)

/* Where a text member of an instance object goes. */
typedef struct TextMember
{
	const char *key;
	size_t		offset;
} TextMember;

static const TextMember text_members[] = {
	{"modelId", offsetof(DwfInstance, model_id)},
	{"modelName", offsetof(DwfInstance, model_name)},
	{"modelVersion", offsetof(DwfInstance, model_version)},
	{"deploymentId", offsetof(DwfInstance, deployment_id)},
	{"bpmnProcessId", offsetof(DwfInstance, bpmn_process_id)},
	{"bpmnProcessName", offsetof(DwfInstance, bpmn_process_name)},
	{"createdBy", offsetof(DwfInstance, created_by)},
	{"updatedBy", offsetof(DwfInstance, updated_by)},
	{"status", offsetof(DwfInstance, status)},
};

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

_Static_assert(LENGTH(text_members) == DWF_INSTANCE_TEXTS,
			   "a number for each text");

static DwfOutcome classify(DwfPhase phase, int curl_code, int http_status,
						   bool sensible);
static void choose_sqlstate(DwfOperation operation, DwfOutcome outcome,
							DwfPhase phase, int http_status,
							char sqlstate[6]);
static const char *read_instance(const DwfJsonNode *node,
								 DwfInstance *instance);
static bool read_time(const DwfJsonNode *node, int64_t *usec);
static void classify_reply(DwfOperation operation,
						   const DwfExchange *exchange, bool sensible,
						   DwfReply *reply);
static const char *read_success(DwfOperation operation,
								const DwfExchange *exchange,
								DwfReply *reply);
static const char *read_text(const DwfJsonNode *node, char *number,
							 size_t size);
static void fix_status(DwfInstance *instance);
static void read_error(const DwfExchange *exchange, DwfReply *reply);
static void read_error_object(const DwfJsonNode *object, DwfReply *reply);
static char *one_line(const char *text, size_t len, size_t max);
static bool is_control(const char *character);
static bool is_blank(const char *text, size_t len);
static bool is_html(const DwfExchange *exchange);
static char *html_title(const char *text, size_t len);
static const char *find(const char *text, size_t len, const char *what);

/*
 * Decides what became of a request (src/domo/README.md, "Evidence").  `sensible`
 * is whether the body of a 2xx reply is what the operation promises.
 */
static DwfOutcome
classify(DwfPhase phase, int curl_code, int http_status, bool sensible)
{
	switch (phase)
	{
		case DWF_PHASE_UNSENT:
			return DWF_UNSENT;
		case DWF_PHASE_SENT:
			return DWF_IN_DOUBT;
		case DWF_PHASE_STATUS:
		case DWF_PHASE_COMPLETE:
			break;
	}

	if (http_status == 401)
		return DWF_UNAUTHORIZED;
	if (http_status == 429)
		return DWF_THROTTLED;
	if (http_status == 408)
		return DWF_IN_DOUBT;
	if (http_status >= 300 && http_status <= 499)
		return DWF_REJECTED;
	if (http_status >= 200 && http_status <= 299 &&
		phase == DWF_PHASE_COMPLETE && curl_code == 0 && sensible)
		return DWF_DONE;
	return DWF_IN_DOUBT;
}

/*
 * The SQLSTATE of an outcome (src/domo/README.md, "Errors of calls").
 */
static void
choose_sqlstate(DwfOperation operation, DwfOutcome outcome, DwfPhase phase,
				int http_status, char sqlstate[6])
{
	const char *code = "00000";

	switch (outcome)
	{
		case DWF_DONE:
			break;
		case DWF_UNSENT:
			code = "38U01";
			break;
		case DWF_THROTTLED:
		case DWF_UNAUTHORIZED:
		case DWF_REJECTED:
			snprintf(sqlstate, 6, "38%03u", (unsigned) http_status % 1000);
			return;
		case DWF_IN_DOUBT:
			/* an answer to what may be repeated, though a senseless one */
			if (dwf_operation(operation)->repeatable && phase >= DWF_PHASE_STATUS &&
				http_status != 408)
				code = "38U03";
			else
				code = "38U02";
			break;
	}
	memcpy(sqlstate, code, 6);
}

void
dwf_domo_read_reply(DwfOperation operation, const DwfExchange *exchange,
					DwfReply *reply)
{
	memset(reply, 0, sizeof(*reply));

	if (exchange->http_status >= 200 && exchange->http_status <= 299 &&
		(exchange->phase == DWF_PHASE_COMPLETE || exchange->oversize))
	{
		reply->nonsense = read_success(operation, exchange, reply);
		classify_reply(operation, exchange, reply->nonsense == NULL, reply);
		if (reply->nonsense == NULL)
			return;
	}
	else
		classify_reply(operation, exchange, false, reply);

	if (exchange->phase >= DWF_PHASE_STATUS)
		read_error(exchange, reply);
}

static void
classify_reply(DwfOperation operation, const DwfExchange *exchange,
			   bool sensible, DwfReply *reply)
{
	reply->outcome = classify(exchange->phase, exchange->curl_code,
							  exchange->http_status, sensible);
	choose_sqlstate(operation, reply->outcome, exchange->phase,
					exchange->http_status, reply->sqlstate);
}

/*
 * Reads the body of a 2xx.  Returns NULL where it is what the operation
 * promises, else a constant phrase.
 */
static const char *
read_success(DwfOperation operation, const DwfExchange *exchange,
			 DwfReply *reply)
{
	DwfPromise	promises = dwf_operation(operation)->promises;
	const char *fault;

	if (exchange->oversize)
		return "it is larger than domowf.max_response_size";

	/* the page documents no body for a permission change */
	if (promises == DWF_PROMISES_NOTHING &&
		is_blank(exchange->body, exchange->body_len))
		return NULL;
	if (is_html(exchange))
		return "it is an HTML page";

	reply->root = dwf_json_parse_foreign(exchange->body, exchange->body_len,
										 &fault);
	if (reply->root == NULL || promises == DWF_PROMISES_NOTHING)
		return fault;
	return read_instance(reply->root, &reply->instance);
}

/*
 * Reads an instance object.  Returns NULL, or a constant phrase where it is
 * not one.  Only `id` is relied on (src/domo/README.md).  Its strings last as
 * long as both the node and the instance do.
 */
static const char *
read_instance(const DwfJsonNode *node, DwfInstance *instance)
{
	const char *id;

	memset(instance, 0, sizeof(*instance));
	if (dwf_json_type(node) != DWF_JSON_OBJECT)
		return "it is not an object";
	id = dwf_json_string(dwf_json_get(node, "id"));
	if (id == NULL || *id == '\0' || strcmp(id, "null") == 0 ||
		!dwf_json_is_whole(id))
		return "it has no instance id";

	instance->id = id;
	for (int i = 0; i < LENGTH(text_members); i++)
	{
		const char **member = (const char **) ((char *) instance +
											   text_members[i].offset);

		*member = read_text(dwf_json_get(node, text_members[i].key),
							instance->numbers[i], sizeof(instance->numbers[i]));
	}
	fix_status(instance);
	instance->has_created_on =
		read_time(dwf_json_get(node, "createdOn"), &instance->created_on);
	instance->has_updated_on =
		read_time(dwf_json_get(node, "updatedOn"), &instance->updated_on);
	instance->has_is_test_run =
		dwf_json_boolean(dwf_json_get(node, "isTestRun"),
						 &instance->is_test_run);
	return NULL;
}

/*
 * A text, or a number as text, then in `number`; NULL for anything else, which
 * `response` keeps.
 */
static const char *
read_text(const DwfJsonNode *node, char *number, size_t size)
{
	double		value;

	if (!dwf_json_number(node, &value))
		return dwf_json_string(node);

	/* beyond 2^53 a double is no longer the number that was sent */
	if (fabs(value) >= 9007199254740992.0)
		return NULL;
	snprintf(number, size, value == floor(value) ? "%.0f" : "%.15g", value);
	return number;
}

/* The page prints null as a string; v2 clients saw CANCELLED (README.md). */
static void
fix_status(DwfInstance *instance)
{
	if (instance->status == NULL)
		return;
	if (strcmp(instance->status, "null") == 0)
		instance->status = NULL;
	else if (strcmp(instance->status, "CANCELLED") == 0)
		instance->status = "CANCELED";
}

/* What is not known may be new, and goes on. */
bool
dwf_domo_is_final(const char *status)
{
	static const char *const finals[] = {"COMPLETED", "CANCELED", "FAILED"};

	for (int i = 0; status != NULL && i < LENGTH(finals); i++)
	{
		if (strcmp(status, finals[i]) == 0)
			return true;
	}
	return false;
}

void
dwf_domo_free_reply(DwfReply *reply)
{
	memset(&reply->instance, 0, sizeof(reply->instance));
	free(reply->message);
	free(reply->toe);
	reply->message = NULL;
	reply->toe = NULL;
	dwf_json_free(reply->root);
	reply->root = NULL;
}

/*
 * Finds Domo's words in the body of anything but a success: its general error
 * object, plain text, or the title of a page.
 */
static void
read_error(const DwfExchange *exchange, DwfReply *reply)
{
	const char *fault;

	/* the page for addresses that are not allow-listed (README.md) */
	reply->blocked =
		strstr(exchange->location, "whitelist/blocked") != NULL ||
		find(exchange->body, exchange->body_len, "Domo - Blocked") != NULL;

	if (is_blank(exchange->body, exchange->body_len))
		return;
	if (is_html(exchange))
	{
		reply->message = html_title(exchange->body, exchange->body_len);
		return;
	}
	if (reply->root == NULL)
		reply->root = dwf_json_parse_foreign(exchange->body,
											 exchange->body_len, &fault);
	if (dwf_json_type(reply->root) == DWF_JSON_OBJECT)
		read_error_object(reply->root, reply);

	/* a success that is cut off is no message */
	if (reply->message == NULL &&
		!(exchange->oversize && exchange->http_status < 300))
		reply->message = one_line(exchange->body, exchange->body_len,
								  MAX_MESSAGE);
}

/* {"status", "statusReason", "message"?, "path"?, "toe"?}, all nullable */
static void
read_error_object(const DwfJsonNode *object, DwfReply *reply)
{
	const char *text = dwf_json_string(dwf_json_get(object, "message"));
	const char *toe = dwf_json_string(dwf_json_get(object, "toe"));

	const char *reason = dwf_json_string(dwf_json_get(object, "statusReason"));

	if (text != NULL)
		reply->message = one_line(text, strlen(text), MAX_MESSAGE);
	if (reply->message == NULL && reason != NULL)
		reply->message = one_line(reason, strlen(reason), MAX_MESSAGE);
	if (toe != NULL)
		reply->toe = one_line(toe, strlen(toe), MAX_TOE);
}

/*
 * Foreign text made fit for a message: one line, no control characters, valid
 * UTF-8 ('?' for what is not), at most `max` bytes and dots.  Malloc'd; NULL
 * where nothing is left of it.
 */
static char *
one_line(const char *text, size_t len, size_t max)
{
	char	   *line = malloc(max + sizeof("..."));
	size_t		used = 0;
	size_t		step;

	if (line == NULL)
		return NULL;
	for (size_t at = 0; at < len; at += step)
	{
		const char *shown = text + at;
		size_t		shown_len = step = dwf_json_utf8_length(shown, len - at);

		if (step == 0)
		{
			shown = "?";
			shown_len = step = 1;
		}
		else if (is_control(shown))
		{
			shown = " ";
			shown_len = 1;
		}
		if (*shown == ' ' && used == 0)
			continue;
		if (used + shown_len > max)
		{
			memcpy(line + used, "...", 3);
			used += 3;
			break;
		}
		memcpy(line + used, shown, shown_len);
		used += shown_len;
	}
	while (used > 0 && line[used - 1] == ' ')
		used--;
	line[used] = '\0';
	if (used > 0)
		return line;
	free(line);
	return NULL;
}

/* Whether a valid character is one of the controls: C0, DEL, C1. */
static bool
is_control(const char *character)
{
	unsigned char first = (unsigned char) character[0];

	return first < 0x20 || first == 0x7F ||
		(first == 0xC2 && (unsigned char) character[1] < 0xA0);
}

static bool
is_blank(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (strchr(" \t\r\n", text[i]) == NULL || text[i] == '\0')
			return false;
	}
	return true;
}

static bool
is_html(const DwfExchange *exchange)
{
	size_t		at = 0;

	if (strncasecmp(exchange->content_type, "text/html", 9) == 0)
		return true;
	while (at < exchange->body_len && is_blank(exchange->body + at, 1))
		at++;
	return at < exchange->body_len && exchange->body[at] == '<';
}

/* The title of a page, or a word that it is one.  Malloc'd, or NULL. */
static char *
html_title(const char *text, size_t len)
{
	const char *start = find(text, len, "<title>");
	const char *end;
	char	   *title = NULL;

	if (start != NULL)
	{
		start += strlen("<title>");
		end = find(start, len - (start - text), "</title>");
		if (end == NULL)
			end = text + len;
		title = one_line(start, end - start, MAX_MESSAGE);
	}
	return title != NULL ? title : strdup("an HTML page");
}

/* strstr() in text that has a length. */
static const char *
find(const char *text, size_t len, const char *what)
{
	return len == 0 ? NULL : memmem(text, len, what, strlen(what));
}

/*
 * Reads a time as Domo writes them: ISO 8601 with a zone, or milliseconds
 * since 1970 as a number.  Microseconds since 1970-01-01 UTC in *usec.
 */
static bool
read_time(const DwfJsonNode *node, int64_t *usec)
{
	const char *text = dwf_json_string(node);
	double		msec;

	if (text != NULL)
		return dwf_iso8601_read_time(text, usec);
	if (!dwf_json_number(node, &msec) ||
		!(msec >= (double) MIN_EPOCH * 1000 &&
		  msec < (double) MAX_EPOCH * 1000))
		return false;

	/* apart, since all microseconds would not fit into a double */
	*usec = (int64_t) floor(msec) * 1000 +
		(int64_t) floor((msec - floor(msec)) * 1000.0 + 0.5);
	return true;
}
