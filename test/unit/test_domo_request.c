/*
 * test_domo_request.c
 *	  Unit tests of domo_request.c: what is well formed.
 *
 * Every sentence that a user can get is here word for word: they are the
 * documentation that is read most.  Then the bounds, each with one byte more.
 */
#include "../../src/domo/domo_request.c"
#include "../../src/domo/operation.c"

/* json.c has a static of this name too */
#define check_text	check_json_text
#include "../../src/domo/json.c"
#undef check_text

#include "tap.h"
#include "text.h"

/* the tables below leave out what is NULL */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define MAX_FIELDS	6

/* Fields of a request, by the type of their value. */
#define STRING(key, value)	{key, DWF_JSON_STRING, value, sizeof(value) - 1}
#define OBJECT(key, json)	{key, DWF_JSON_OBJECT, json, sizeof(json) - 1}
#define ARRAY(key, json)	{key, DWF_JSON_ARRAY, json, sizeof(json) - 1}
#define OTHER(key, type)	{key, type, "", 0}

#define MESSAGE_NAME	STRING("messageName", "Start Add")
#define VERSION			STRING("version", "1.1.0")
#define MODEL_ID		STRING("modelId", "a8afdc89")
#define DATA			OBJECT("data", "{}")
#define PERMISSIONS \
	ARRAY("permissions", "[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[]}]")

#define OBJECT_HINT "To give the request as an object, cast it: '{...}'::jsonb."

typedef struct FieldsCase
{
	const char *name;
	DwfOperation operation;
	DwfField	fields[MAX_FIELDS];
	const char *message;		/* NULL: it is well formed */
	const char *hint;
} FieldsCase;

typedef struct EntriesCase
{
	const char *permissions;
	const char *message;		/* without its beginning; NULL: well formed */
	const char *unknown;		/* permission that is remembered */
} EntriesCase;

static const FieldsCase fields_cases[] = {
	{"a start", DWF_START, {MESSAGE_NAME, VERSION, MODEL_ID, DATA}},
	{"its keys in another order", DWF_START,
	{DATA, MODEL_ID, VERSION, MESSAGE_NAME}},
	{"nothing", DWF_START, {{0}},
	"invalid start request: key \"messageName\" is missing, expected a string"},
	{"no messageName", DWF_START, {VERSION, MODEL_ID, DATA},
	"invalid start request: key \"messageName\" is missing, expected a string"},
	{"no version", DWF_START, {MESSAGE_NAME, MODEL_ID, DATA},
	"invalid start request: key \"version\" is missing, expected a string"},
	{"no modelId", DWF_START, {MESSAGE_NAME, VERSION, DATA},
	"invalid start request: key \"modelId\" is missing, expected a string"},
	{"no data", DWF_START, {MESSAGE_NAME, VERSION, MODEL_ID},
	"invalid start request: key \"data\" is missing, expected an object"},
	{"a server", DWF_START,
	{MESSAGE_NAME, VERSION, MODEL_ID, DATA, STRING("server", "eu")}},
	{"a server without a name", DWF_START,
		{MESSAGE_NAME, VERSION, MODEL_ID, DATA, STRING("server", "")},
	"invalid server: found an empty string, expected at least one character"},
	{"a server by number", DWF_START,
		{MESSAGE_NAME, VERSION, MODEL_ID, DATA, OTHER("server", DWF_JSON_NUMBER)},
	"invalid start request: key \"server\" is a number, expected a string"},
	{"a start by name and server", DWF_START,
		{DATA, STRING("workflow", "add"), STRING("server", "eu")},
		"invalid start request: unknown key \"server\" (a string), expected one "
	"of \"workflow\", \"data\""},
	{"an unknown key", DWF_START,
		{MESSAGE_NAME, VERSION, MODEL_ID, DATA, OTHER("x", DWF_JSON_NUMBER)},
		"invalid start request: unknown key \"x\" (a number), expected one of "
	"\"messageName\", \"version\", \"modelId\", \"data\", \"server\""},
	{"a key in other case", DWF_START, {STRING("messagename", "x")},
	"invalid start request: unknown key \"messagename\" (a string), expected "
	"one of \"messageName\", \"version\", \"modelId\", \"data\", \"server\""},
	{"an empty key", DWF_START, {OTHER("", DWF_JSON_NULL)},
	"invalid start request: unknown key \"\" (null), expected one of "
	"\"messageName\", \"version\", \"modelId\", \"data\", \"server\""},
	{"an unknown key goes before a missing one", DWF_START,
		{OTHER("permissions", DWF_JSON_ARRAY)},
		"invalid start request: unknown key \"permissions\" (an array), expected "
	"one of \"messageName\", \"version\", \"modelId\", \"data\", \"server\""},
	{"an empty messageName", DWF_START,
		{STRING("messageName", ""), VERSION, MODEL_ID, DATA},
	"invalid messageName: found an empty string, expected at least one character"},
	{"an empty version", DWF_START,
		{MESSAGE_NAME, STRING("version", ""), MODEL_ID, DATA},
	"invalid version: found an empty string, expected at least one character"},
	{"an empty modelId", DWF_START,
		{MESSAGE_NAME, VERSION, STRING("modelId", ""), DATA},
	"invalid modelId: found an empty string, expected at least one character"},
	{"the modelId .", DWF_START,
		{MESSAGE_NAME, VERSION, STRING("modelId", "."), DATA},
	"invalid modelId: found \".\", expected an id"},
	{"the modelId ..", DWF_START,
		{MESSAGE_NAME, VERSION, STRING("modelId", ".."), DATA},
	"invalid modelId: found \"..\", expected an id"},
	{"the modelId ...", DWF_START,
	{MESSAGE_NAME, VERSION, STRING("modelId", "..."), DATA}},
	{"dots and a brace where they are text", DWF_START,
	{STRING("messageName", "{..}"), STRING("version", "."), MODEL_ID, DATA}},
	{"a modelId that is an object's text", DWF_START,
		{MESSAGE_NAME, VERSION, STRING("modelId", "{\"a\": 1}"), DATA},
		"invalid modelId: found text that starts with \"{\", expected an id",
	OBJECT_HINT},

	{"a start by name", DWF_START, {STRING("workflow", "add"), DATA}},
	{"a start by name and nothing else", DWF_START, {STRING("workflow", "add")},
	"invalid start request: key \"data\" is missing, expected an object"},
	{"a start by name and version", DWF_START,
		{VERSION, DATA, STRING("workflow", "add")},
		"invalid start request: unknown key \"version\" (a string), expected one "
	"of \"workflow\", \"data\""},
	{"a start by a number", DWF_START, {OTHER("workflow", DWF_JSON_NUMBER), DATA},
	"invalid start request: key \"workflow\" is a number, expected a string"},
	{"a start by no name", DWF_START, {STRING("workflow", ""), DATA},
	"invalid workflow: found an empty string, expected at least one character"},
	{"a start by name with a list", DWF_START,
		{STRING("workflow", "add"), ARRAY("data", "[]")},
	"invalid start request: key \"data\" is an array, expected an object"},

	{"a read by id", DWF_READ_INSTANCE, {STRING("id", "i")}},
	{"a read of nothing", DWF_READ_INSTANCE, {{0}},
	"invalid read request: key \"id\" is missing, expected a string in "
	"\"id\" or \"instanceId\""},

	{"a cancel by id", DWF_CANCEL, {STRING("id", "i")}},
	{"a cancel by instanceId", DWF_CANCEL, {STRING("instanceId", "i")}},
	{"a cancel by both", DWF_CANCEL,
	{STRING("instanceId", "i"), STRING("id", "i")}},
	{"a row of a log: its own id is a number", DWF_CANCEL,
		{OTHER("id", DWF_JSON_NUMBER), STRING("instanceId", "i"),
	OTHER("data", DWF_JSON_OBJECT)}},
	{"other keys of a cancel are ignored", DWF_CANCEL,
		{OTHER("status", DWF_JSON_NULL), OTHER("is_test_run", DWF_JSON_BOOLEAN),
			OTHER("response", DWF_JSON_OBJECT), OTHER("n", DWF_JSON_NUMBER),
	OTHER("a", DWF_JSON_ARRAY), STRING("id", "i")}},
	{"a cancel by server", DWF_CANCEL,
	{STRING("id", "i"), STRING("server", "eu")}},
	{"a cancel by a server that is null", DWF_CANCEL,
	{STRING("id", "i"), OTHER("server", DWF_JSON_NULL)}},
	{"a cancel by a server by number", DWF_CANCEL,
		{STRING("id", "i"), OTHER("server", DWF_JSON_NUMBER)},
	"invalid cancel request: key \"server\" is a number, expected a string"},
	{"a cancel without an id", DWF_CANCEL, {STRING("ID", "i")},
	"invalid cancel request: key \"id\" is missing, expected a string in "
	"\"id\" or \"instanceId\""},
	{"a cancel of nothing", DWF_CANCEL, {{0}},
	"invalid cancel request: key \"id\" is missing, expected a string in "
	"\"id\" or \"instanceId\""},
	{"a cancel by two ids", DWF_CANCEL,
		{STRING("id", "i"), STRING("instanceId", "j")},
		"invalid cancel request: keys \"id\" and \"instanceId\" are two different "
	"strings, expected one instance"},
	{"instanceId goes before id, even when wrong", DWF_CANCEL,
		{STRING("id", "i"), OTHER("instanceId", DWF_JSON_NULL)},
	"invalid cancel request: key \"instanceId\" is null, expected a string"},
	{"an empty id", DWF_CANCEL, {STRING("id", "")},
	"invalid id: found an empty string, expected at least one character"},
	{"an empty instanceId", DWF_CANCEL, {STRING("instanceId", "")},
	"invalid instanceId: found an empty string, expected at least one character"},
	{"the id .", DWF_CANCEL, {STRING("id", ".")},
	"invalid id: found \".\", expected an id"},
	{"the id ..", DWF_CANCEL, {STRING("instanceId", "..")},
	"invalid instanceId: found \"..\", expected an id"},
	{"an id that is an object's text", DWF_CANCEL,
		{STRING("id", " \t\r\n{\"id\": \"i\"}")},
		"invalid id: found text that starts with \"{\", expected an id",
	OBJECT_HINT},

	{"a permission request", DWF_SET_PERMISSIONS, {PERMISSIONS, MODEL_ID}},
	{"permissions of nothing", DWF_SET_PERMISSIONS, {{0}},
	"invalid permission request: key \"modelId\" is missing, expected a string"},
	{"permissions of no model", DWF_SET_PERMISSIONS, {PERMISSIONS},
	"invalid permission request: key \"modelId\" is missing, expected a string"},
	{"no permissions", DWF_SET_PERMISSIONS, {MODEL_ID},
	"invalid permission request: key \"permissions\" is missing, expected an array"},
	{"an unknown key beside permissions", DWF_SET_PERMISSIONS,
		{MODEL_ID, PERMISSIONS, OTHER("name", DWF_JSON_BOOLEAN)},
		"invalid permission request: unknown key \"name\" (a boolean), expected "
	"one of \"modelId\", \"permissions\", \"server\""},
	{"permissions of the model ..", DWF_SET_PERMISSIONS,
		{STRING("modelId", ".."), PERMISSIONS},
	"invalid modelId: found \"..\", expected an id"},
};

/* Messages begin with "invalid permission ". */
static const EntriesCase entries_cases[] = {
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[\"READ\"]}]"},
	{"[{\"permissions\":[],\"type\":\"GROUP\",\"id\":\"1\"}]"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[],\"name\":\"John\"}]"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[],\"name\":null}]"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[\"ADMIN\",\"SHARE\","
		"\"DELETE\",\"WRITE\",\"READ\",\"EXPORT\",\"EXECUTE\",\"UPDATE_CONTENT\","
	"\"READ_CONTENT\"]}]"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[\"READ\",\"FLY\"]},"
		"{\"id\":\"2\",\"type\":\"USER\",\"permissions\":[\"SWIM\"]}]", NULL,
	"FLY"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[\"read\"]}]", NULL,
	"read"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[\"READ \"]}]", NULL,
	"READ "},

	{"[]", "request: key \"permissions\" is an empty array, expected at least "
	"one entry"},
	{"[}", "request: key \"permissions\" could not be read: not JSON"},
	{"[\"\\u0000\"]",
	"request: key \"permissions\" could not be read: a NUL character"},
	{"[1]", "entry 1: found a number, expected an object"},
	{"[\"1\"]", "entry 1: found a string, expected an object"},
	{"[null]", "entry 1: found null, expected an object"},
	{"[true]", "entry 1: found a boolean, expected an object"},
	{"[[]]", "entry 1: found an array, expected an object"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[]},7]",
	"entry 2: found a number, expected an object"},
	{"[{}]", "entry 1: key \"id\" is missing, expected a string"},
	{"[{\"type\":\"USER\",\"permissions\":[]}]",
	"entry 1: key \"id\" is missing, expected a string"},
	{"[{\"id\":\"1\",\"permissions\":[]}]",
	"entry 1: key \"type\" is missing, expected a string"},
	{"[{\"id\":\"1\",\"type\":\"USER\"}]",
	"entry 1: key \"permissions\" is missing, expected an array"},
	{"[{\"id\":1,\"type\":\"USER\",\"permissions\":[]}]",
	"entry 1: key \"id\" is a number, expected a string"},
	{"[{\"id\":null,\"type\":\"USER\",\"permissions\":[]}]",
	"entry 1: key \"id\" is null, expected a string"},
	{"[{\"id\":\"\",\"type\":\"USER\",\"permissions\":[]}]",
		"entry 1: key \"id\" is an empty string, expected the id of a user or "
	"group"},
	{"[{\"id\":\"1\",\"type\":[],\"permissions\":[]}]",
	"entry 1: key \"type\" is an array, expected a string"},
	{"[{\"id\":\"1\",\"type\":\"user\",\"permissions\":[]}]",
	"entry 1: key \"type\" is \"user\", expected \"USER\" or \"GROUP\""},
	{"[{\"id\":\"1\",\"type\":\"\",\"permissions\":[]}]",
	"entry 1: key \"type\" is \"\", expected \"USER\" or \"GROUP\""},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":\"READ\"}]",
	"entry 1: key \"permissions\" is a string, expected an array"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":{\"READ\":true}}]",
	"entry 1: key \"permissions\" is an object, expected an array"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[\"READ\",1]}]",
	"entry 1: key \"permissions\" holds a number, expected strings only"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[null]}]",
	"entry 1: key \"permissions\" holds null, expected strings only"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[[\"READ\"]]}]",
	"entry 1: key \"permissions\" holds an array, expected strings only"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[{}]}]",
	"entry 1: key \"permissions\" holds an object, expected strings only"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[false]}]",
	"entry 1: key \"permissions\" holds a boolean, expected strings only"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[\"\"]}]",
		"entry 1: key \"permissions\" holds an empty string, expected the name "
	"of a permission"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[],\"name\":7}]",
	"entry 1: key \"name\" is a number, expected a string"},
	{"[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[],\"Name\":\"x\"}]",
		"entry 1: unknown key \"Name\" (a string), expected one of \"id\", "
	"\"type\", \"permissions\", \"name\""},
};

/* Reads fields; tests the answer, and that a fault is told exactly then. */
static void
check_read(const char *name, DwfOperation operation, const DwfField *fields,
		   int count, const char *message, const char *hint)
{
	DwfRequest	request;
	DwfFault	fault;
	bool		read;

	memset(&request, 0x5A, sizeof(request));
	memset(&fault, 0x5A, sizeof(fault));
	read = dwf_domo_read_request(operation, fields, count, &request, &fault);
	is_str(read ? "well formed" : fault.message,
		   message == NULL ? "well formed" : message, "%s", name);
	is_str(fault.hint, hint == NULL ? "" : hint, "%s: the hint", name);
	if (read)
		ok(request.operation == operation &&
		   (request.id == NULL) == (request.workflow != NULL) &&
		   *request.unknown_permission == '\0', "%s: the request", name);
}

static void
test_fields(void)
{
	for (int i = 0; i < LENGTH(fields_cases); i++)
	{
		const FieldsCase *c = &fields_cases[i];
		int			count = 0;

		while (count < MAX_FIELDS && c->fields[count].key != NULL)
			count++;
		check_read(c->name, c->operation, c->fields, count, c->message,
				   c->hint);
	}
}

/* Each key with each type that it must not have. */
static void
test_types(void)
{
	static const char *const found[] = {
		"null", "a boolean", "a number", "a string", "an array", "an object",
	};
	static const struct
	{
		DwfOperation operation;
		const char *what;
		const char *key;
		DwfJsonType type;
	}			rules[] = {
		{DWF_START, "start", "messageName", DWF_JSON_STRING},
		{DWF_START, "start", "version", DWF_JSON_STRING},
		{DWF_START, "start", "modelId", DWF_JSON_STRING},
		{DWF_START, "start", "data", DWF_JSON_OBJECT},
		{DWF_CANCEL, "cancel", "id", DWF_JSON_STRING},
		{DWF_CANCEL, "cancel", "instanceId", DWF_JSON_STRING},
		{DWF_READ_INSTANCE, "read", "id", DWF_JSON_STRING},
		{DWF_SET_PERMISSIONS, "permission", "modelId", DWF_JSON_STRING},
		{DWF_SET_PERMISSIONS, "permission", "permissions", DWF_JSON_ARRAY},
	};

	for (int i = 0; i < LENGTH(rules); i++)
	{
		for (int type = DWF_JSON_NULL; type <= DWF_JSON_OBJECT; type++)
		{
			DwfField	field = {rules[i].key, (DwfJsonType) type, "", 0};
			char		message[200];

			if (field.type == rules[i].type)
				continue;
			snprintf(message, sizeof(message),
					 "invalid %s request: key \"%s\" is %s, expected %s",
					 rules[i].what, rules[i].key, found[type],
					 found[rules[i].type]);
			check_read(rules[i].key, rules[i].operation, &field, 1, message,
					   NULL);
		}
	}
}

static void
test_entries(void)
{
	for (int i = 0; i < LENGTH(entries_cases); i++)
	{
		const EntriesCase *c = &entries_cases[i];
		DwfField	fields[] = {
			MODEL_ID,
			{"permissions", DWF_JSON_ARRAY, c->permissions,
			strlen(c->permissions)},
		};
		DwfRequest	request;
		DwfFault	fault;
		char		want[512] = "well formed";
		bool		read;

		if (c->message != NULL)
			snprintf(want, sizeof(want), "invalid permission %s", c->message);
		read = dwf_domo_read_request(DWF_SET_PERMISSIONS, fields, 2, &request,
									 &fault);
		is_str(read ? "well formed" : fault.message, want, "entries: %s",
			   c->permissions);
		if (read)
			is_str(request.unknown_permission,
				   c->unknown == NULL ? "" : c->unknown,
				   "the unknown permission that is remembered");
	}
}

/* What a start and a cancel keep of their fields. */
static void
test_request(void)
{
	const DwfField start[] = {MESSAGE_NAME, VERSION, MODEL_ID, DATA};
	const DwfField by_name[] = {STRING("workflow", "add"), DATA};
	const DwfField cancel[] = {
		OTHER("id", DWF_JSON_NUMBER), STRING("instanceId", "i")
	};
	DwfRequest	request;
	DwfFault	fault;

	ok(dwf_domo_read_request(DWF_START, start, 4, &request, &fault),
	   "a start is read");
	is_str(request.message_name, "Start Add", "its message name");
	is_str(request.version, "1.1.0", "its version");
	is_str(request.id, "a8afdc89", "its model id");
	ok(request.data == start[3].text && request.data_len == 2,
	   "its data, where it stands");
	ok(request.workflow == NULL, "no workflow's name");
	ok(dwf_domo_read_request(DWF_START, by_name, 2, &request, &fault),
	   "a start by name is read");
	is_str(request.workflow, "add", "its workflow");
	ok(request.id == NULL && request.data == by_name[1].text,
	   "its data, and no model id");
	ok(dwf_domo_read_request(DWF_CANCEL, cancel, 2, &request, &fault),
	   "a cancel is read");
	is_str(request.id, "i", "its instance id");
	ok(request.message_name == NULL && request.data == NULL,
	   "a cancel has nothing else");
	for (int i = 0; i <= 1; i++)
	{
		DwfField	fields[] = {MODEL_ID, PERMISSIONS};

		if (i == 1)
			fields[1] = (DwfField) ARRAY("permissions",
										 "[{\"id\":\"1\",\"type\":\"USER\","
										 "\"permissions\":[],\"name\":null}]");
		ok(dwf_domo_read_request(DWF_SET_PERMISSIONS, fields, 2, &request,
								 &fault) && request.has_null_name == i,
		   "a null name is noted, and only that");
	}
	is_str(dwf_operation_name(DWF_START), "start", "name of a start");
	is_str(dwf_operation_name(DWF_CANCEL), "cancel", "of a cancel");
	is_str(dwf_operation_name(DWF_SET_PERMISSIONS), "set_permissions",
		   "of a set_permissions");
	for (int op = 0; op < DWF_OPERATIONS; op++)
	{
		const char *name = dwf_operation_name((DwfOperation) op);
		DwfOperation found = DWF_OPERATIONS;
		bool		is_queued = op != DWF_READ_INSTANCE;

		is_int(dwf_operation_find_queued(name, &found), is_queued,
			   "%s can%s be asked of the worker", name, is_queued ? "" : "not");
		is_int(found, is_queued ? op : DWF_OPERATIONS, "and is found");
	}
}

/* Reads a start with one string of `size` bytes; tests the message. */
static void
check_length(DwfOperation operation, const char *key, int size, bool fits)
{
	char	   *text = repeat("x", size);
	DwfField	fields[] = {MESSAGE_NAME, VERSION, MODEL_ID, DATA};
	int			count = 4;
	char		message[200];

	for (int i = 0; i < count; i++)
	{
		if (strcmp(fields[i].key, key) == 0)
			fields[i] = (DwfField)
		{
			key, DWF_JSON_STRING, text, size
		};
	}
	if (operation != DWF_START)
	{
		fields[0] = (DwfField)
		{
			key, DWF_JSON_STRING, text, size
		};
		fields[1] = (DwfField) PERMISSIONS;
		count = operation == DWF_CANCEL ? 1 : 2;
	}
	snprintf(message, sizeof(message),
			 "invalid %s: found %d bytes, expected at most 1024", key, size);
	check_read(key, operation, fields, count, fits ? NULL : message, NULL);
	free(text);
}

static void
test_lengths(void)
{
	check_length(DWF_START, "messageName", 1024, true);
	check_length(DWF_START, "messageName", 1025, false);
	check_length(DWF_START, "version", 1024, true);
	check_length(DWF_START, "version", 1025, false);
	check_length(DWF_START, "modelId", 1024, true);
	check_length(DWF_START, "modelId", 1025, false);
	check_length(DWF_CANCEL, "id", 1024, true);
	check_length(DWF_CANCEL, "instanceId", 1025, false);
	check_length(DWF_SET_PERMISSIONS, "modelId", 1024, true);
	check_length(DWF_SET_PERMISSIONS, "modelId", 100000, false);
}

/* Domo takes 1 MB: the bound is tried with the last byte and one more. */
static void
test_sizes(void)
{
	char	   *data = repeat(" ", 1048577);
	DwfField	start[] = {MESSAGE_NAME, VERSION, MODEL_ID, OTHER("data",
																  DWF_JSON_OBJECT)};
	DwfField	permissions[] = {MODEL_ID, PERMISSIONS};

	memcpy(data, permissions[1].text, permissions[1].len);
	permissions[1].text = start[3].text = data;

	permissions[1].len = start[3].len = 1048576;
	check_read("data of 1 MB", DWF_START, start, 4, NULL, NULL);
	check_read("permissions of 1 MB", DWF_SET_PERMISSIONS, permissions, 2,
			   NULL, NULL);

	permissions[1].len = start[3].len = 1048577;
	check_read("data of 1 MB and a byte", DWF_START, start, 4,
			   "invalid data: found 1048577 bytes of JSON, expected at most "
			   "1048576", NULL);
	check_read("permissions of 1 MB and a byte", DWF_SET_PERMISSIONS,
			   permissions, 2, "invalid permissions: found 1048577 bytes of "
			   "JSON, expected at most 1048576", NULL);
	free(data);
}

int
main(void)
{
	test_fields();
	test_types();
	test_entries();
	test_request();
	test_lengths();
	test_sizes();
	return done_testing();
}
