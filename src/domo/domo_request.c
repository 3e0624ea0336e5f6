/*
 * domo_request.c
 *	  What a request to Domo must look like, and where it goes.
 *
 * Pure: it must not know PostgreSQL, libcurl or the clock.  Callers hand over
 * the members of the user's object one by one (DwfField) rather than one
 * JSON text, because `data` has to arrive at Domo digit for digit: it is
 * carried as text and never parsed here, while everything around it is read.
 */
#include "domo/domo.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A key that an operation's object may have. */
typedef struct KeyRule
{
	const char *key;
	DwfJsonType type;
	bool		required;
} KeyRule;

#define MAX_RULES	5

static const KeyRule start_rules[] = {
	{"messageName", DWF_JSON_STRING, true},
	{"version", DWF_JSON_STRING, true},
	{"modelId", DWF_JSON_STRING, true},
	{"data", DWF_JSON_OBJECT, true},
	{"server", DWF_JSON_STRING, false},
};

static const KeyRule workflow_rules[] = {
	{"workflow", DWF_JSON_STRING, true},
	{"data", DWF_JSON_OBJECT, true},
};

static const KeyRule permission_rules[] = {
	{"modelId", DWF_JSON_STRING, true},
	{"permissions", DWF_JSON_ARRAY, true},
	{"server", DWF_JSON_STRING, false},
};

static const KeyRule entry_rules[] = {
	{"id", DWF_JSON_STRING, true},
	{"type", DWF_JSON_STRING, true},
	{"permissions", DWF_JSON_ARRAY, true},
	{"name", DWF_JSON_STRING, false},
};

/* What stands for a field that is not there. */
static const DwfField absent = {.key = "",.text = ""};

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

/* Domo's page, and READ_CONTENT as seen in clients (README.md). */
static const char *const permission_names[] = {
	"ADMIN", "SHARE", "DELETE", "WRITE", "READ", "EXPORT", "EXECUTE",
	"UPDATE_CONTENT", "READ_CONTENT",
};

static bool set_fault(DwfFault *fault, const char *fmt,...)
			__attribute__((format(printf, 2, 3)));
static void cut(char *out, size_t size, const char *text);
static const char *with_article(DwfJsonType type);
static const KeyRule *find_rule(const KeyRule *rules, int count,
								const char *key);
static void list_keys(char *out, size_t size, const KeyRule *rules,
					  int count);
static bool check_member(const char *what, const KeyRule *rules, int nrules,
						 const char *key, DwfJsonType type, DwfFault *fault);
static bool match_fields(const char *what, const KeyRule *rules, int nrules,
						 const DwfField *fields, int count,
						 const DwfField **found, DwfFault *fault);
static bool read_server(const DwfField *field, DwfRequest *request,
						DwfFault *fault);
static bool check_id(const char *what, const char *id, DwfFault *fault);
static bool read_start(const DwfField *fields, int count,
					   DwfRequest *request, DwfFault *fault);
static bool read_workflow_start(const DwfField *fields, int count,
								DwfRequest *request, DwfFault *fault);
static bool read_id(const DwfField *fields, int count,
					DwfRequest *request, DwfFault *fault);
static bool read_set_permissions(const DwfField *fields, int count,
								 DwfRequest *request, DwfFault *fault);
static bool check_entry(const DwfJsonNode *entry, int number,
						DwfRequest *request, DwfFault *fault);
static bool check_names(const DwfJsonNode *names, const char *what,
						DwfRequest *request, DwfFault *fault);
static bool knows_permission(const char *name);
static bool check_text(const char *what, const char *text, DwfFault *fault);
static bool check_size(const char *what, size_t len, DwfFault *fault);
static char *append_encoded(char *out, const char *text);

/* Fills in the message; returns false so that callers can return it. */
static bool
set_fault(DwfFault *fault, const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	vsnprintf(fault->message, sizeof(fault->message), fmt, args);
	va_end(args);
	return false;
}

/* Copies text, cut between characters where it is too long to be shown. */
static void
cut(char *out, size_t size, const char *text)
{
	size_t		len = strlen(text);
	size_t		at = 0;

	while (at < len)
	{
		size_t		step = dwf_json_utf8_length(text + at, len - at);

		if (step == 0)
			step = 1;
		if (at + step >= size - 3)
			break;
		at += step;
	}
	memcpy(out, text, at);
	memcpy(out + at, at < len ? "..." : "", at < len ? 4 : 1);
}

/* No default, so that the compiler tells of a new type. */
static const char *
with_article(DwfJsonType type)
{
	switch (type)
	{
		case DWF_JSON_NULL:
			return "null";
		case DWF_JSON_BOOLEAN:
			return "a boolean";
		case DWF_JSON_NUMBER:
			return "a number";
		case DWF_JSON_STRING:
			return "a string";
		case DWF_JSON_ARRAY:
			return "an array";
		case DWF_JSON_OBJECT:
			return "an object";
	}
	return "nothing";
}

static const KeyRule *
find_rule(const KeyRule *rules, int count, const char *key)
{
	for (int i = 0; i < count; i++)
	{
		if (strcmp(rules[i].key, key) == 0)
			return &rules[i];
	}
	return NULL;
}

static void
list_keys(char *out, size_t size, const KeyRule *rules, int count)
{
	size_t		used = 0;

	for (int i = 0; i < count && used < size; i++)
		used += snprintf(out + used, size - used, "%s\"%s\"",
						 i == 0 ? "" : ", ", rules[i].key);
}

/* Checks one member: a key that the rules know, of the type they ask for. */
static bool
check_member(const char *what, const KeyRule *rules, int nrules,
			 const char *key, DwfJsonType type, DwfFault *fault)
{
	const KeyRule *rule = find_rule(rules, nrules, key);
	char		shown[100];

	if (rule != NULL && rule->type == type)
		return true;
	if (rule != NULL)
		return set_fault(fault, "invalid %s: key \"%s\" is %s, expected %s",
						 what, key, with_article(type),
						 with_article(rule->type));

	cut(shown, sizeof(shown), key);
	set_fault(fault, "invalid %s: unknown key \"%s\" (%s), expected one of ",
			  what, shown, with_article(type));
	list_keys(fault->message + strlen(fault->message),
			  sizeof(fault->message) - strlen(fault->message), rules, nrules);
	return false;
}

/*
 * Matches fields to rules.  found[i] gets the field of rules[i], or &absent
 * where that is optional and not there.
 */
static bool
match_fields(const char *what, const KeyRule *rules, int nrules,
			 const DwfField *fields, int count, const DwfField **found,
			 DwfFault *fault)
{
	for (int i = 0; i < nrules; i++)
		found[i] = &absent;
	for (int i = 0; i < count; i++)
	{
		if (!check_member(what, rules, nrules, fields[i].key, fields[i].type,
						  fault))
			return false;
		found[find_rule(rules, nrules, fields[i].key) - rules] = &fields[i];
	}
	for (int i = 0; i < nrules; i++)
	{
		if (found[i] == &absent && rules[i].required)
			return set_fault(fault,
							 "invalid %s: key \"%s\" is missing, expected %s",
							 what, rules[i].key, with_article(rules[i].type));
	}
	return true;
}

bool
dwf_domo_read_request(DwfOperation operation, const DwfField *fields,
					  int count, DwfRequest *request, DwfFault *fault)
{
	memset(request, 0, sizeof(*request));
	memset(fault, 0, sizeof(*fault));
	request->operation = operation;

	switch (dwf_operation(operation)->asks)
	{
		case DWF_ASKS_START:
			return read_start(fields, count, request, fault);
		case DWF_ASKS_ID:
			return read_id(fields, count, request, fault);
		case DWF_ASKS_PERMISSIONS:
			return read_set_permissions(fields, count, request, fault);
	}
	return set_fault(fault, "unknown operation %d", (int) operation);
}

/*
 * By model, version and message name, or by the name of a registered
 * workflow.
 */
static bool
read_start(const DwfField *fields, int count, DwfRequest *request,
		   DwfFault *fault)
{
	const DwfField *found[MAX_RULES];

	for (int i = 0; i < count; i++)
	{
		if (strcmp(fields[i].key, "workflow") == 0)
			return read_workflow_start(fields, count, request, fault);
	}
	if (!match_fields("start request", start_rules, LENGTH(start_rules),
					  fields, count, found, fault))
		return false;
	request->message_name = found[0]->text;
	request->version = found[1]->text;
	request->id = found[2]->text;
	request->data = found[3]->text;
	request->data_len = found[3]->len;
	return read_server(found[4], request, fault) &&
		check_text("messageName", request->message_name, fault) &&
		check_text("version", request->version, fault) &&
		check_id("modelId", request->id, fault) &&
		check_size("data", request->data_len, fault);
}

/* Takes the name of a server, where there is one. */
static bool
read_server(const DwfField *field, DwfRequest *request, DwfFault *fault)
{
	if (field == &absent)
		return true;
	request->server = field->text;
	return check_text("server", request->server, fault);
}

/*
 * A start that names a registered workflow, which knows its server.
 */
static bool
read_workflow_start(const DwfField *fields, int count, DwfRequest *request,
					DwfFault *fault)
{
	const DwfField *found[MAX_RULES];

	if (!match_fields("start request", workflow_rules, LENGTH(workflow_rules),
					  fields, count, found, fault))
		return false;
	request->workflow = found[0]->text;
	request->data = found[1]->text;
	request->data_len = found[1]->len;
	return check_text("workflow", request->workflow, fault) &&
		check_size("data", request->data_len, fault);
}

/*
 * Takes the id of an instance from "instanceId" or "id", where it runs from
 * "server" (a null is none), and ignores every other key, so that to_jsonb() of an instance row, or of a row of a user's log
 * whose own "id" is a number, can be given as it is.
 */
static bool
read_id(const DwfField *fields, int count, DwfRequest *request,
		DwfFault *fault)
{
	const char *what = dwf_operation(request->operation)->invalid;
	const DwfField *id = NULL;
	const DwfField *instance_id = NULL;
	const DwfField *server = &absent;

	for (int i = 0; i < count; i++)
	{
		if (strcmp(fields[i].key, "id") == 0)
			id = &fields[i];
		else if (strcmp(fields[i].key, "instanceId") == 0)
			instance_id = &fields[i];
		else if (strcmp(fields[i].key, "server") == 0 &&
				 fields[i].type != DWF_JSON_NULL)
			server = &fields[i];
	}
	if (id == NULL && instance_id == NULL)
		return set_fault(fault, "invalid %s request: key \"id\" is "
						 "missing, expected a string in \"id\" or "
						 "\"instanceId\"", what);
	if (id != NULL && instance_id != NULL && id->type == DWF_JSON_STRING &&
		instance_id->type == DWF_JSON_STRING &&
		strcmp(id->text, instance_id->text) != 0)
		return set_fault(fault, "invalid %s request: keys \"id\" and "
						 "\"instanceId\" are two different strings, expected "
						 "one instance", what);
	if (instance_id != NULL)
		id = instance_id;
	if (id->type != DWF_JSON_STRING)
		return set_fault(fault, "invalid %s request: key \"%s\" is %s, "
						 "expected a string", what, id->key,
						 with_article(id->type));
	if (server != &absent && server->type != DWF_JSON_STRING)
		return set_fault(fault, "invalid %s request: key \"server\" is %s, "
						 "expected a string", what,
						 with_article(server->type));
	request->id = id->text;
	return read_server(server, request, fault) &&
		check_id(id->key, request->id, fault);
}

/* The list is checked entry by entry, and sent as it was given. */
static bool
read_set_permissions(const DwfField *fields, int count, DwfRequest *request,
					 DwfFault *fault)
{
	const DwfField *found[MAX_RULES];
	DwfJsonNode *list;
	const char *why;
	int			number = 0;
	bool		ok = true;

	if (!match_fields("permission request", permission_rules,
					  LENGTH(permission_rules), fields, count, found, fault))
		return false;
	request->id = found[0]->text;
	request->data = found[1]->text;
	request->data_len = found[1]->len;
	if (!read_server(found[2], request, fault) ||
		!check_id("modelId", request->id, fault) ||
		!check_size("permissions", request->data_len, fault))
		return false;

	list = dwf_json_parse(request->data, request->data_len, &why);
	if (list == NULL)
		return set_fault(fault, "invalid permission request: key "
						 "\"permissions\" could not be read: %s", why);
	if (dwf_json_first(list) == NULL)
		ok = set_fault(fault, "invalid permission request: key "
					   "\"permissions\" is an empty array, expected at least "
					   "one entry");
	for (const DwfJsonNode *entry = dwf_json_first(list);
		 ok && entry != NULL; entry = dwf_json_next(entry))
		ok = check_entry(entry, ++number, request, fault);
	dwf_json_free(list);
	return ok;
}

/* Checks one entry of a permission list; `number` counts from 1. */
static bool
check_entry(const DwfJsonNode *entry, int number, DwfRequest *request,
			DwfFault *fault)
{
	char		what[64];
	char		shown[100];
	const char *type;

	snprintf(what, sizeof(what), "permission entry %d", number);
	if (dwf_json_type(entry) != DWF_JSON_OBJECT)
		return set_fault(fault, "invalid %s: found %s, expected an object",
						 what, with_article(dwf_json_type(entry)));

	for (const DwfJsonNode *m = dwf_json_first(entry); m != NULL;
		 m = dwf_json_next(m))
	{
		/* a name is a comment for people: null says that there is none */
		if (strcmp(dwf_json_key(m), "name") == 0 &&
			dwf_json_type(m) == DWF_JSON_NULL)
		{
			request->has_null_name = true;
			continue;
		}
		if (!check_member(what, entry_rules, LENGTH(entry_rules),
						  dwf_json_key(m), dwf_json_type(m), fault))
			return false;
	}
	for (int i = 0; i < LENGTH(entry_rules); i++)
	{
		if (entry_rules[i].required &&
			dwf_json_get(entry, entry_rules[i].key) == NULL)
			return set_fault(fault,
							 "invalid %s: key \"%s\" is missing, expected %s",
							 what, entry_rules[i].key,
							 with_article(entry_rules[i].type));
	}

	if (*dwf_json_string(dwf_json_get(entry, "id")) == '\0')
		return set_fault(fault, "invalid %s: key \"id\" is an empty string, "
						 "expected the id of a user or group", what);
	type = dwf_json_string(dwf_json_get(entry, "type"));
	if (strcmp(type, "USER") != 0 && strcmp(type, "GROUP") != 0)
	{
		cut(shown, sizeof(shown), type);
		return set_fault(fault, "invalid %s: key \"type\" is \"%s\", expected "
						 "\"USER\" or \"GROUP\"", what, shown);
	}
	return check_names(dwf_json_get(entry, "permissions"), what, request,
					   fault);
}

/* Checks an entry's permission names, and remembers the first unknown one. */
static bool
check_names(const DwfJsonNode *names, const char *what, DwfRequest *request,
			DwfFault *fault)
{
	for (const DwfJsonNode *n = dwf_json_first(names); n != NULL;
		 n = dwf_json_next(n))
	{
		if (dwf_json_type(n) != DWF_JSON_STRING)
			return set_fault(fault, "invalid %s: key \"permissions\" holds "
							 "%s, expected strings only", what,
							 with_article(dwf_json_type(n)));
		if (*dwf_json_string(n) == '\0')
			return set_fault(fault, "invalid %s: key \"permissions\" holds an "
							 "empty string, expected the name of a "
							 "permission", what);
		if (*request->unknown_permission == '\0' &&
			!knows_permission(dwf_json_string(n)))
			cut(request->unknown_permission,
				sizeof(request->unknown_permission), dwf_json_string(n));
	}
	return true;
}

/* Whether Domo's pages know the name; others are sent with a warning. */
static bool
knows_permission(const char *name)
{
	for (int i = 0; i < LENGTH(permission_names); i++)
	{
		if (strcmp(permission_names[i], name) == 0)
			return true;
	}
	return false;
}

/*
 * Checks an id that becomes a path segment (or is sent in the body): present,
 * not "." or "..", at most DWF_MAX_ID bytes.  `what` names it ("instance id").
 */
static bool
check_id(const char *what, const char *id, DwfFault *fault)
{
	if (!check_text(what, id, fault))
		return false;
	if (strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return set_fault(fault, "invalid %s: found \"%s\", expected an id",
						 what, id);

	/* an object given to a text parameter: psql's untyped literal */
	if (id[strspn(id, " \t\r\n")] == '{')
	{
		snprintf(fault->hint, sizeof(fault->hint),
				 "To give the request as an object, cast it: '{...}'::jsonb.");
		return set_fault(fault, "invalid %s: found text that starts with "
						 "\"{\", expected an id", what);
	}
	return true;
}

/* Checks a string that Domo needs: not empty, of sensible length. */
static bool
check_text(const char *what, const char *text, DwfFault *fault)
{
	if (*text == '\0')
		return set_fault(fault, "invalid %s: found an empty string, expected "
						 "at least one character", what);
	if (strlen(text) > DWF_MAX_ID)
		return set_fault(fault, "invalid %s: found %zu bytes, expected at "
						 "most %d", what, strlen(text), DWF_MAX_ID);
	return true;
}

static bool
check_size(const char *what, size_t len, DwfFault *fault)
{
	if (len > DWF_MAX_DATA)
		return set_fault(fault, "invalid %s: found %zu bytes of JSON, "
						 "expected at most %d", what, len, DWF_MAX_DATA);
	return true;
}

char *
dwf_domo_url(const char *base, const DwfRequest *request)
{
	const DwfOperationRow *row = dwf_operation(request->operation);
	const char *after = row->path_end == NULL ? "" : row->path_end;
	char	   *url;
	char	   *at;

	/* every byte of the id may become three */
	url = malloc(strlen(base) + strlen(row->path) + 3 * strlen(request->id) +
				 strlen(after) + 1);
	if (url == NULL)
		return NULL;
	at = stpcpy(stpcpy(url, base), row->path);
	if (row->path_end != NULL)
		at = append_encoded(at, request->id);
	stpcpy(at, after);
	return url;
}

/* Appends text with all but RFC 3986's unreserved characters encoded. */
static char *
append_encoded(char *out, const char *text)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	"abcdefghijklmnopqrstuvwxyz0123456789-._~";
	static const char digits[] = "0123456789ABCDEF";

	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (strchr(unreserved, c) != NULL)
			*out++ = (char) c;
		else
		{
			*out++ = '%';
			*out++ = digits[c >> 4];
			*out++ = digits[c & 15];
		}
	}
	*out = '\0';
	return out;
}

bool
dwf_domo_body(const DwfRequest *request, char **body, size_t *len)
{
	const DwfJsonMember members[] = {
		{"messageName", request->message_name, NULL},
		{"version", request->version, NULL},
		{"modelId", request->id, NULL},
		{"data", NULL, request->data},
	};

	*body = NULL;
	*len = 0;
	switch (dwf_operation(request->operation)->asks)
	{
		case DWF_ASKS_START:
			*body = dwf_json_build(members, LENGTH(members), len);
			return *body != NULL;
		case DWF_ASKS_ID:
			return true;
		case DWF_ASKS_PERMISSIONS:
			/* a bare array (README.md); the caller's text is just that */
			if (request->has_null_name)
				*body = dwf_json_drop_nulls(request->data, request->data_len,
											"name", len);
			else
				*body = strndup(request->data, request->data_len);
			if (!request->has_null_name)
				*len = request->data_len;
			return *body != NULL;
	}
	return false;
}
