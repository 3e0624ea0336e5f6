/*
 * argument.c
 *	  From SQL values to a request for Domo.
 *
 * A jsonb is handed over member by member, containers as the text that jsonb
 * prints, so that numbers keep every digit (domo_request.c says why).  Domo
 * speaks UTF-8: text is converted from the database's encoding here and
 * nowhere else.  It must not judge what a request needs; domo_request.c does.
 */
#include "postgres.h"

#include "base/compat.h"
#include "call/argument.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

/* Objects with more members than any request has are refused as unknown. */
#define MAX_FIELDS	64

static bool read_members(Jsonb *jsonb, bool with_containers,
						 DwfField *fields, int *count, DwfFault *fault);
static void push_text(DwfJsonbState *state, JsonbIteratorToken token,
					  const char *text);
static bool set_root(DwfField *field, Jsonb *jsonb, DwfFault *fault);
static bool set_value(DwfField *field, const JsonbValue *value,
					  bool with_containers, DwfFault *fault);
static bool set_text(DwfField *field, const char *text, int len,
					 DwfFault *fault);
static bool to_utf8(const char **text, int *len, DwfFault *fault);
static DwfJsonType type_of(const JsonbValue *value);
static bool refuse(DwfFault *fault, const char *message);

void
dwf_argument_not_null(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", name)));
}

bool
dwf_argument_read(DwfOperation operation, Jsonb *jsonb, DwfRequest *request,
				  DwfFault *fault)
{
	DwfField	fields[MAX_FIELDS];
	int			count = 0;

	memset(fault, 0, sizeof(*fault));
	if (!JB_ROOT_IS_OBJECT(jsonb))
	{
		const char *found = JB_ROOT_IS_SCALAR(jsonb) ? "a single value" :
		"an array";

		snprintf(fault->message, sizeof(fault->message),
				 "invalid %s request: found %s, expected an object",
				 dwf_operation_name(operation), found);
		return false;
	}

	/* all but an id and a server is ignored: `response` of a row can be large */
	return read_members(jsonb, dwf_operation(operation)->asks != DWF_ASKS_ID, fields, &count,
						fault) &&
		dwf_domo_read_request(operation, fields, count, request, fault);
}

bool
dwf_argument_read_cancel(const char *instance_id, DwfRequest *request,
						 DwfFault *fault)
{
	return dwf_argument_read_id(DWF_CANCEL, instance_id, NULL, request, fault);
}

bool
dwf_argument_read_id(DwfOperation operation, const char *id,
					 const char *server, DwfRequest *request, DwfFault *fault)
{
	DwfField	fields[] = {
		{"id", DWF_JSON_STRING, NULL, 0},
		{"server", DWF_JSON_STRING, NULL, 0},
	};

	memset(fault, 0, sizeof(*fault));
	if (!set_text(&fields[0], id, strlen(id), fault) ||
		(server != NULL &&
		 !set_text(&fields[1], server, strlen(server), fault)))
		return false;
	return dwf_domo_read_request(operation, fields, server == NULL ? 1 : 2,
								 request, fault);
}

bool
dwf_argument_read_permissions(const char *model_id, Jsonb *permissions,
							  DwfRequest *request, DwfFault *fault)
{
	DwfField	fields[] = {
		{"modelId", DWF_JSON_STRING, NULL, 0},
		{"permissions", DWF_JSON_NULL, NULL, 0},
	};

	memset(fault, 0, sizeof(*fault));
	return set_text(&fields[0], model_id, strlen(model_id), fault) &&
		set_root(&fields[1], permissions, fault) &&
		dwf_domo_read_request(DWF_SET_PERMISSIONS, fields, lengthof(fields),
							  request, fault);
}

bool
dwf_argument_read_start(const char *workflow, Jsonb *data,
						DwfRequest *request, DwfFault *fault)
{
	DwfField	fields[] = {
		{"workflow", DWF_JSON_STRING, NULL, 0},
		{"data", DWF_JSON_NULL, NULL, 0},
	};

	memset(fault, 0, sizeof(*fault));
	return set_text(&fields[0], workflow, strlen(workflow), fault) &&
		set_root(&fields[1], data, fault) &&
		dwf_domo_read_request(DWF_START, fields, lengthof(fields), request,
							  fault);
}

Jsonb *
dwf_argument_cancel(const char *id)
{
	DwfJsonbState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, WJB_KEY, "id");
	push_text(&state, WJB_VALUE, id);
	return JsonbValueToJsonb(dwf_end_jsonb(&state, WJB_END_OBJECT));
}

Jsonb *
dwf_argument_permissions(const char *model_id, Jsonb *permissions)
{
	DwfJsonbState state = {0};
	JsonbValue	value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, WJB_KEY, "modelId");
	push_text(&state, WJB_VALUE, model_id);
	push_text(&state, WJB_KEY, "permissions");
	value.type = jbvBinary;
	value.val.binary.data = &permissions->root;
	value.val.binary.len = VARSIZE(permissions) - VARHDRSZ;
	pushJsonbValue(&state, WJB_VALUE, &value);
	return JsonbValueToJsonb(dwf_end_jsonb(&state, WJB_END_OBJECT));
}

/* Pushes UTF-8 text as a key or value. */
static void
push_text(DwfJsonbState *state, JsonbIteratorToken token, const char *text)
{
	JsonbValue	value;
	char	   *converted = pg_any_to_server(text, strlen(text), PG_UTF8);

	value.type = jbvString;
	value.val.string.val = converted;
	value.val.string.len = strlen(converted);
	pushJsonbValue(state, token, &value);
}

/* Sets a field from a whole jsonb. */
static bool
set_root(DwfField *field, Jsonb *jsonb, DwfFault *fault)
{
	JsonbValue	value;

	if (JB_ROOT_IS_SCALAR(jsonb))
		value = *getIthJsonbValueFromContainer(&jsonb->root, 0);
	else
	{
		value.type = jbvBinary;
		value.val.binary.data = &jsonb->root;
		value.val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	}
	return set_value(field, &value, true, fault);
}

void
dwf_argument_keep(DwfRequest *request)
{
	const char **const texts[] = {&request->server, &request->workflow,
	&request->id, &request->message_name, &request->version, &request->data};
	size_t		size = 0;
	char	   *at;

	for (int i = 0; i < lengthof(texts); i++)
		size += *texts[i] == NULL ? 0 : strlen(*texts[i]) + 1;
	at = palloc(size);
	for (int i = 0; i < lengthof(texts); i++)
	{
		const char *text = *texts[i];

		if (text == NULL)
			continue;
		*texts[i] = at;
		at = stpcpy(at, text) + 1;
	}
}

/*
 * Takes an object apart.  What follows after MAX_FIELDS members is passed
 * over where containers are (a cancel ignores it), else refused.
 */
static bool
read_members(Jsonb *jsonb, bool with_containers, DwfField *fields,
			 int *count, DwfFault *fault)
{
	JsonbIterator *it = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	DwfField	member = {.key = ""};

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			int			len = value.val.string.len;
			const char *key = value.val.string.val;

			if (!to_utf8(&key, &len, fault))
				return false;
			member.key = pnstrdup(key, len);
		}
		else if (token == WJB_VALUE)
		{
			if (!with_containers && strcmp(member.key, "id") != 0 &&
				strcmp(member.key, "instanceId") != 0 &&
				strcmp(member.key, "server") != 0)
				continue;
			if (*count == MAX_FIELDS)
				return refuse(fault, "invalid request: too many keys");
			if (!set_value(&member, &value, with_containers, fault))
				return false;
			fields[(*count)++] = member;
		}
	}
	return true;
}

/* Sets a field's type and text from a jsonb value. */
static bool
set_value(DwfField *field, const JsonbValue *value, bool with_containers,
		  DwfFault *fault)
{
	field->type = type_of(value);
	field->text = "";
	field->len = 0;
	if (field->type == DWF_JSON_STRING)
		return set_text(field, value->val.string.val, value->val.string.len,
						fault);
	if (value->type == jbvBinary && with_containers)
	{
		StringInfoData text;
		int			len;

		initStringInfo(&text);
		JsonbToCString(&text, value->val.binary.data, value->val.binary.len);
		field->text = text.data;
		len = text.len;
		if (!to_utf8(&field->text, &len, fault))
			return false;
		field->len = len;
	}
	return true;
}

static bool
set_text(DwfField *field, const char *text, int len, DwfFault *fault)
{
	if (!to_utf8(&text, &len, fault))
		return false;
	field->text = pnstrdup(text, len);
	field->len = len;
	return true;
}

/* Converts text from the database's encoding, in place where it can stay. */
static bool
to_utf8(const char **text, int *len, DwfFault *fault)
{
	char	   *converted;

	if (GetDatabaseEncoding() == PG_SQL_ASCII)
	{
		/* any bytes may stand there: pg_server_to_any() would raise */
		for (int at = 0; at < *len;)
		{
			int			step = dwf_json_utf8_length(*text + at, *len - at);

			if (step == 0)
				return refuse(fault, "invalid request: text is not valid UTF-8");
			at += step;
		}
		return true;
	}
	converted = pg_server_to_any(*text, *len, PG_UTF8);
	if (converted != *text)
	{
		*text = converted;
		*len = strlen(converted);
	}
	return true;
}

/*
 * No default, so that the compiler tells of a new kind of value.  What is no
 * jsonb value at all does not come here, and would be null.
 */
static DwfJsonType
type_of(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return DWF_JSON_NULL;
		case jbvBool:
			return DWF_JSON_BOOLEAN;
		case jbvNumeric:
			return DWF_JSON_NUMBER;
		case jbvArray:
			return DWF_JSON_ARRAY;
		case jbvObject:
			return DWF_JSON_OBJECT;
		case jbvBinary:
			return JsonContainerIsArray(value->val.binary.data) ?
				DWF_JSON_ARRAY : DWF_JSON_OBJECT;
		case jbvString:
		case jbvDatetime:
			return DWF_JSON_STRING;
	}
	return DWF_JSON_NULL;
}

static bool
refuse(DwfFault *fault, const char *message)
{
	strlcpy(fault->message, message, sizeof(fault->message));
	return false;
}
