/*
 * report.c
 *	  Outcomes in words.
 *
 * SQLSTATEs are those of src/domo/README.md, "Errors of calls": class 38, which
 * no driver or pool repeats by itself; domo_reply.c chooses them.  The message
 * names the operation and what it is about: a workflow, or an instance.  The
 * detail has Domo's words and its `toe`, the id that Domo's support asks for,
 * or how long each step of a failed exchange took.  Foreign text comes here as
 * UTF-8 without the token, which connection.c has taken out; it is cut and made
 * fit for the database by shown(), and for the client when it is raised.
 */
#include "postgres.h"

#include "base/client.h"
#include "base/guc.h"
#include "base/text.h"
#include "call/report.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/timestamp.h"

/* The longest foreign text in a message: domo_reply.c's bounds and dots. */
#define MAX_SHOWN	1100

/* The longest id or name in a message. */
#define MAX_NAME	100

static void describe_reply(const DwfExchange *exchange,
						   const DwfReply *reply, StringInfo out);
static void describe_timings(const DwfTimings *timings, StringInfo out);
static const char *describe_doubt(const DwfExchange *exchange);
static const char *hint_for_refusal(DwfOperation operation,
									const DwfExchange *exchange,
									const DwfReply *reply);
static const char *hint_for_unsent(const DwfExchange *exchange);
static const char *hint_for_doubt(DwfOperation operation,
								  const DwfReply *reply);
static char *shown(const char *text);

/* dwf_text_show(), as palloc'd text. */
static char *
shown(const char *text)
{
	char		buffer[MAX_SHOWN];

	dwf_text_show(buffer, sizeof(buffer), text);
	return pstrdup(buffer);
}

char *
dwf_report_subject(const DwfRequest *request)
{
	const char *subject = dwf_operation(request->operation)->subject;
	char		id[MAX_NAME];
	char		message_name[MAX_NAME];

	if (request->workflow != NULL)
	{
		dwf_text_show(id, sizeof(id), request->workflow);
		return psprintf("%s \"%s\"", subject, id);
	}
	dwf_text_show(id, sizeof(id), request->id);
	if (request->message_name == NULL)
		return psprintf("%s \"%s\"", subject, id);
	dwf_text_show(message_name, sizeof(message_name), request->message_name);
	return psprintf("%s \"%s\" (message \"%s\")", subject, id, message_name);
}

void
dwf_report_describe(const DwfRequest *request, const DwfExchange *exchange,
					const DwfReply *reply, DwfFailure *failure)
{
	char	   *subject = dwf_report_subject(request);
	StringInfoData detail;
	const char *hint = NULL;

	memcpy(failure->sqlstate, reply->sqlstate, sizeof(failure->sqlstate));
	initStringInfo(&detail);
	if (exchange->phase >= DWF_PHASE_STATUS)
		describe_reply(exchange, reply, &detail);

	switch (reply->outcome)
	{
		case DWF_DONE:
		case DWF_UNSENT:
			failure->message = psprintf("could not send %s: %s", subject,
										shown(exchange->curl_error));
			appendStringInfoString(&detail,
								   "Nothing of the request was sent.");
			hint = hint_for_unsent(exchange);
			break;
		case DWF_THROTTLED:
		case DWF_UNAUTHORIZED:
		case DWF_REJECTED:
			failure->message = psprintf("Domo refused %s: HTTP status %d",
										subject, exchange->http_status);
			hint = hint_for_refusal(request->operation, exchange, reply);
			break;
		case DWF_IN_DOUBT:
			/* 38U03 is an answer, though a senseless one */
			failure->message =
				psprintf(strcmp(reply->sqlstate, "38U03") == 0 ?
						 "could not complete %s: %s" : "%s is in doubt: %s",
						 subject, describe_doubt(exchange));
			hint = hint_for_doubt(request->operation, reply);
			break;
	}
	if (exchange->phase < DWF_PHASE_COMPLETE && !exchange->oversize)
		describe_timings(&exchange->timings, &detail);
	failure->detail = detail.data;
	failure->hint = hint == NULL ? NULL : pstrdup(hint);
}

/* Domo's reply as a sentence. */
static void
describe_reply(const DwfExchange *exchange, const DwfReply *reply,
			   StringInfo out)
{
	appendStringInfo(out, "Domo answered with HTTP status %d",
					 exchange->http_status);
	if (reply->message != NULL)
		appendStringInfo(out, ", message \"%s\"", shown(reply->message));
	if (reply->toe != NULL)
		appendStringInfo(out, ", toe \"%s\"", shown(reply->toe));
	if (*exchange->retry_after != '\0')
		appendStringInfo(out, ", Retry-After \"%s\"",
						 shown(exchange->retry_after));
	appendStringInfoChar(out, '.');
	if (reply->nonsense != NULL)
		appendStringInfo(out, " The body of the reply cannot be used: %s.",
						 reply->nonsense);
	else if (exchange->phase < DWF_PHASE_COMPLETE && !exchange->oversize)
		appendStringInfo(out, " The reply was cut off: %s.",
						 shown(exchange->curl_error));
}

static const char *
describe_doubt(const DwfExchange *exchange)
{
	if (exchange->phase < DWF_PHASE_STATUS)
		return shown(exchange->curl_error);
	if (exchange->http_status >= 200 && exchange->http_status <= 299)
		return "the reply is not the one expected";
	return psprintf("HTTP status %d", exchange->http_status);
}

/* How long each step of an exchange took that broke off. */
static void
describe_timings(const DwfTimings *timings, StringInfo out)
{
	const struct
	{
		const char *step;
		int64		usec;
	}			steps[] = {
		{"resolving", timings->resolve},
		{"connecting", timings->connect},
		{"TLS", timings->tls},
		{"sending", timings->send},
		{"waiting", timings->wait},
		{"receiving", timings->receive},
	};
	const char *separator = "";

	appendStringInfoString(out, out->len > 0 ? " Time taken: " :
						   "Time taken: ");
	for (int i = 0; i < lengthof(steps); i++)
	{
		if (steps[i].usec < 0)
			continue;
		appendStringInfo(out, "%s%s %.1f ms", separator, steps[i].step,
						 steps[i].usec / 1000.0);
		separator = ", ";
	}
	appendStringInfoChar(out, '.');
}

static const char *
hint_for_unsent(const DwfExchange *exchange)
{
	if (exchange->curl_code == DWF_CURL_BAD_CERTIFICATE)
		return "Where a certificate authority of your own has signed it, set domowf.ca_file to the file with that authority's certificate.";
	return NULL;
}

/*
 * What the body said is in the detail; this tells whom to ask, and NULL where
 * the status says all there is.
 */
static const char *
hint_for_refusal(DwfOperation operation, const DwfExchange *exchange,
				 const DwfReply *reply)
{
	if (reply->blocked)
		return "Domo blocks the address that this server connects from. An administrator of the Domo instance can add it to the allow list.";
	switch (exchange->http_status)
	{
		case 401:
			return "The token is missing, expired or not one of this Domo instance.";
		case 403:
			return "The owner of the token lacks a right that this needs.";
		case 404:
			if (dwf_operation(operation)->asks == DWF_ASKS_START)
				return "The workflow does not exist, or the owner of the token cannot see it, or it has no such version that is deployed and active, or its Start shape has another title than messageName.";
			return "It does not exist, or the owner of the token cannot see it.";
		case 429:
			return "Domo limits the rate of requests. It was not executed and can be repeated later.";
	}
	if (exchange->http_status < 400)
		return "Redirects are not followed. Check domowf.instance and domowf.base_url.";
	return NULL;
}

static const char *
hint_for_doubt(DwfOperation operation, const DwfReply *reply)
{
	bool		repeatable = dwf_operation(operation)->repeatable;

	if (!repeatable && reply->blocked)
		return "Domo blocks the address that this server connects from. An administrator of the Domo instance can add it to the allow list. Look for an instance in Domo all the same before you start the workflow again.";
	if (!repeatable)
		return "Domo may have started an instance. Look for it in Domo before you start the workflow again.";
	if (reply->blocked)
		return "Domo blocks the address that this server connects from. An administrator of the Domo instance can add it to the allow list. To repeat the call is harmless.";
	return "Domo may have done it. To repeat it is harmless.";
}

void
dwf_report_raise(const DwfFailure *failure)
{
	const char *code = failure->sqlstate;

	dwf_client_tell(ERROR, MAKE_SQLSTATE(code[0], code[1], code[2], code[3],
										 code[4]),
					failure->message, failure->detail, failure->hint);
	pg_unreachable();
}

void
dwf_report_log(const DwfFailure *failure)
{
	if (dwf_log_calls)
		ereport(LOG,
				(errmsg_internal("domowf: %s: %s", failure->sqlstate,
								 failure->message),
				 errhidestmt(true), errhidecontext(true)));
}

void
dwf_report_fault(const DwfFault *fault)
{
	dwf_report_fault_as(ERRCODE_INVALID_PARAMETER_VALUE, fault);
}

void
dwf_report_fault_as(int code, const DwfFault *fault)
{
	char		message[sizeof(fault->message)];

	dwf_text_show(message, sizeof(message), fault->message);
	dwf_client_tell(ERROR, code, message, fault->detail,
					*fault->hint ? fault->hint : NULL);
	pg_unreachable();
}

Datum
dwf_report_attempt(TimestampTz time, const char *class, int http_status,
				   const char *message, const char *toe)
{
	StringInfoData text;
	char	   *shown_time = DatumGetCString(DirectFunctionCall1(timestamptz_out,
																 TimestampTzGetDatum(time)));

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"time\": ");
	escape_json(&text, shown_time);
	appendStringInfoString(&text, ", \"class\": ");
	escape_json(&text, class);
	if (http_status != 0)
		appendStringInfo(&text, ", \"status\": %d", http_status);
	appendStringInfoString(&text, ", \"message\": ");
	escape_json(&text, message);
	if (toe != NULL)
	{
		appendStringInfoString(&text, ", \"toe\": ");
		escape_json(&text, shown(toe));
	}
	appendStringInfoChar(&text, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(text.data));
}

const char *
dwf_report_class(DwfOutcome outcome)
{
	switch (outcome)
	{
		case DWF_DONE:
			return "done";
		case DWF_UNSENT:
			return "not sent";
		case DWF_THROTTLED:
			return "not executed";
		case DWF_UNAUTHORIZED:
			return "refused credentials";
		case DWF_REJECTED:
			return "rejected";
		case DWF_IN_DOUBT:
			return "in doubt";
	}
	return "unknown";
}
