/*
 * fuzz_request.c
 *	  Fuzz target: any object as a request, for any operation.
 *
 * Whatever a user hands over, what is refused is told in words that can be
 * shown, and what is accepted becomes one URL that stays on its path and a
 * body that reads back as what was asked for.
 *
 * Input: a character that chooses the operation; then JSON.
 */
#include "../../src/domo/domo_request.c"
#include "../../src/domo/operation.c"

/* json.c has a static of this name too */
#define check_text	check_json_text
#include "../../src/domo/json.c"
#undef check_text

#include "fuzz.h"

#define MAX_FIELDS	64

#define BASE	"https://acme.domo.com"

static void take_apart(const DwfJsonNode *root, DwfField *fields, int *count);
static void check_fault(const DwfFault *fault);
static void check_url(const DwfRequest *request);
static void decode(const char *segment, size_t len, char *id);
static void check_body(const DwfRequest *request);
static void check_start(const DwfRequest *request, const DwfJsonNode *body,
						const char *text);
static void check_permissions(const DwfRequest *request,
							  const DwfJsonNode *body, const char *text);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DwfField	fields[MAX_FIELDS];
	DwfRequest	request;
	DwfFault   *fault;
	DwfJsonNode *root;
	const char *why;
	char	   *text;
	int			count = 0;

	if (size == 0)
		return 0;
	text = copy_exactly(data + 1, size - 1);
	root = dwf_json_parse(text, size - 1, &why);
	free(text);
	if (dwf_json_type(root) == DWF_JSON_OBJECT)
		take_apart(root, fields, &count);

	fault = malloc(sizeof(*fault));
	memset(&request, 0x5A, sizeof(request));
	memset(fault, 0x5A, sizeof(*fault));
	if (dwf_domo_read_request((DwfOperation) (data[0] % DWF_OPERATIONS), fields, count,
							  &request, fault))
	{
		REQUIRE(*fault->message == '\0' && *fault->hint == '\0');

		/* a registered workflow's model is not known here */
		if (request.workflow != NULL)
			REQUIRE(request.operation == DWF_START && request.id == NULL &&
					*request.workflow != '\0' && request.data != NULL);
		else
		{
			check_url(&request);
			check_body(&request);
		}
	}
	else
		check_fault(fault);

	free(fault);
	for (int i = 0; i < count; i++)
		free((char *) fields[i].text);
	dwf_json_free(root);
	return 0;
}

/* As argument.c does: a string's value, the text of a container, else "". */
static void
take_apart(const DwfJsonNode *root, DwfField *fields, int *count)
{
	for (const DwfJsonNode *m = dwf_json_first(root);
		 m != NULL && *count < MAX_FIELDS; m = dwf_json_next(m))
	{
		DwfField   *field = &fields[(*count)++];
		char	   *text;

		field->key = dwf_json_key(m);
		field->type = dwf_json_type(m);
		if (field->type == DWF_JSON_STRING)
			text = strdup(dwf_json_string(m));
		else if (field->type >= DWF_JSON_ARRAY)
			text = cJSON_PrintUnformatted(m);
		else
			text = strdup("");
		REQUIRE(text != NULL);
		field->text = text;
		field->len = strlen(text);
	}
}

static void
check_fault(const DwfFault *fault)
{
	size_t		len = strnlen(fault->message, sizeof(fault->message));

	REQUIRE(len > 0 && len < sizeof(fault->message) - 1);
	REQUIRE(strncmp(fault->message, "invalid ", 8) == 0);
	REQUIRE(strnlen(fault->hint, sizeof(fault->hint)) <
			sizeof(fault->hint) - 1);
	for (size_t at = 0; at < len;)
	{
		size_t		step = dwf_json_utf8_length(fault->message + at, len - at);

		REQUIRE(step > 0);
		at += step;
	}
}

/* One path of known shape, and in it the id, whatever that holds. */
static void
check_url(const DwfRequest *request)
{
	char	   *url = dwf_domo_url(BASE, request);
	const DwfOperationRow *row = dwf_operation(request->operation);
	bool		has_id = row->path_end != NULL;
	int			slashes = 0;
	char		id[DWF_MAX_ID + 1];

	REQUIRE(url != NULL);
	REQUIRE(strncmp(url, BASE "/api/workflow/v1/", 38) == 0);
	for (const char *at = url; *at != '\0'; at++)
	{
		REQUIRE(*at > 0x20 && *at < 0x7F && strchr("?#\\@\"<>", *at) == NULL);
		if (*at == '/' && ++slashes == 7 && has_id)
		{
			const char *end = at + 1 + strcspn(at + 1, "/");

			REQUIRE(end > at + 1 && strcmp(end, row->path_end) == 0);
			REQUIRE(strspn(at + 1, ".") < end - at - 1 || end - at - 1 > 2);
			decode(at + 1, end - at - 1, id);
			REQUIRE(strcmp(id, request->id) == 0);
		}
	}
	REQUIRE(slashes == 7 + (has_id && *row->path_end == '/'));
	free(url);
}

/* Undoes percent encoding. */
static void
decode(const char *segment, size_t len, char *id)
{
	for (size_t at = 0; at < len; at++)
	{
		char		digits[] = {0, 0, 0};

		if (segment[at] == '%')
		{
			REQUIRE(at + 2 < len);
			digits[0] = segment[at + 1];
			digits[1] = segment[at + 2];
			*id++ = (char) strtol(digits, NULL, 16);
			at += 2;
		}
		else
			*id++ = segment[at];
	}
	*id = '\0';
}

static void
check_body(const DwfRequest *request)
{
	DwfJsonNode *root;
	const char *why;
	char	   *body;
	size_t		len;

	REQUIRE(dwf_domo_body(request, &body, &len));
	if (dwf_operation(request->operation)->asks == DWF_ASKS_ID)
	{
		REQUIRE(body == NULL && len == 0);
		return;
	}
	REQUIRE(body != NULL && strlen(body) == len);
	root = dwf_json_parse(body, len, &why);
	REQUIRE(root != NULL);
	if (request->operation == DWF_START)
		check_start(request, root, body);
	else
		check_permissions(request, root, body);
	dwf_json_free(root);
	free(body);
}

static void
check_start(const DwfRequest *request, const DwfJsonNode *body,
			const char *text)
{
	int			count = 0;

	for (const DwfJsonNode *m = dwf_json_first(body); m != NULL;
		 m = dwf_json_next(m))
		count++;
	REQUIRE(count == 4);
	REQUIRE(strcmp(dwf_json_string(dwf_json_get(body, "messageName")),
				   request->message_name) == 0);
	REQUIRE(strcmp(dwf_json_string(dwf_json_get(body, "version")),
				   request->version) == 0);
	REQUIRE(strcmp(dwf_json_string(dwf_json_get(body, "modelId")),
				   request->id) == 0);
	REQUIRE(dwf_json_type(dwf_json_get(body, "data")) == DWF_JSON_OBJECT);
	REQUIRE(strstr(text, request->data) != NULL);
}

static void
check_permissions(const DwfRequest *request, const DwfJsonNode *body,
				  const char *text)
{
	REQUIRE(dwf_json_type(body) == DWF_JSON_ARRAY);
	REQUIRE(dwf_json_first(body) != NULL);
	if (!request->has_null_name)
		REQUIRE(strcmp(text, request->data) == 0);
	for (const DwfJsonNode *entry = dwf_json_first(body); entry != NULL;
		 entry = dwf_json_next(entry))
	{
		const DwfJsonNode *name = dwf_json_get(entry, "name");

		REQUIRE(*dwf_json_string(dwf_json_get(entry, "id")) != '\0');
		REQUIRE(name == NULL || dwf_json_string(name) != NULL);
		REQUIRE(dwf_json_type(dwf_json_get(entry, "permissions")) ==
				DWF_JSON_ARRAY);
	}
	REQUIRE(strnlen(request->unknown_permission,
					sizeof(request->unknown_permission)) <
			sizeof(request->unknown_permission));
}
