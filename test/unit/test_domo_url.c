/*
 * test_domo_url.c
 *	  Unit tests of domo_request.c: what goes to Domo, and where.
 *
 * An id is a user's text and becomes a part of a path: whatever it holds, it
 * must not be able to become another path, a query or a header.  `data` has
 * to arrive digit for digit, which a parse and print would not do.
 */
#include <stdlib.h>
#include <string.h>

static void *failing_malloc(size_t size);
static char *failing_strndup(const char *text, size_t len);

/* what both files ask for can be made short */
#define malloc(size)	failing_malloc(size)
#define strndup(text, len)	failing_strndup(text, len)
#include "../../src/domo/domo_request.c"
#include "../../src/domo/operation.c"

/* json.c has a static of this name too */
#define check_text	check_json_text
#include "../../src/domo/json.c"
#undef check_text
#undef malloc
#undef strndup

#include "tap.h"

#define BASE	"https://acme.domo.com"
#define PREFIX	BASE "/api/workflow/v1"

typedef struct UrlCase
{
	DwfOperation operation;
	const char *id;
	const char *want;			/* behind PREFIX */
} UrlCase;

/* Allocations that still succeed; -1: all of them. */
static int	allocations_left = -1;

static const UrlCase url_cases[] = {
	{DWF_START, "m/..?", "/instances/message"},
	{DWF_CANCEL, "2052e10a-d142-4391-a731-2be1ab1c0188",
	"/instances/2052e10a-d142-4391-a731-2be1ab1c0188/cancel"},
	{DWF_SET_PERMISSIONS, "a8afdc89", "/models/a8afdc89/permissions"},
	{DWF_READ_INSTANCE, "2052e10a", "/instances/2052e10a"},
	{DWF_READ_INSTANCE, "a/../b", "/instances/a%2F..%2Fb"},
	{DWF_CANCEL, "a/../b", "/instances/a%2F..%2Fb/cancel"},
	{DWF_CANCEL, "../models", "/instances/..%2Fmodels/cancel"},
	{DWF_CANCEL, "%2e%2e", "/instances/%252e%252e/cancel"},
	{DWF_CANCEL, "...", "/instances/.../cancel"},
	{DWF_CANCEL, "a?b#c", "/instances/a%3Fb%23c/cancel"},
	{DWF_CANCEL, "a b+c", "/instances/a%20b%2Bc/cancel"},
	{DWF_CANCEL, "a\r\nHost: x", "/instances/a%0D%0AHost%3A%20x/cancel"},
	{DWF_CANCEL, "\x01\x7F", "/instances/%01%7F/cancel"},
	{DWF_CANCEL, "\\@;&=$,[]'", "/instances/%5C%40%3B%26%3D%24%2C%5B%5D%27/cancel"},
	{DWF_CANCEL, "AZaz09-._~", "/instances/AZaz09-._~/cancel"},
	{DWF_SET_PERMISSIONS, "\xC3\xA9\xF0\x9F\x98\x80",
	"/models/%C3%A9%F0%9F%98%80/permissions"},
	{DWF_SET_PERMISSIONS, "\xFF", "/models/%FF/permissions"},
};

static void *
failing_malloc(size_t size)
{
	if (allocations_left == 0)
		return NULL;
	if (allocations_left > 0)
		allocations_left--;
	return malloc(size);
}

static char *
failing_strndup(const char *text, size_t len)
{
	char	   *copy = failing_malloc(len + 1);

	if (copy != NULL)
	{
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	return copy;
}

/* The URL of a request for an id, malloc'd. */
static char *
make_url(const char *base, DwfOperation operation, const char *id)
{
	DwfRequest	request = {.operation = operation,.id = id};

	return dwf_domo_url(base, &request);
}

static void
test_urls(void)
{
	char	   *url;

	for (int i = 0; i < LENGTH(url_cases); i++)
	{
		const UrlCase *c = &url_cases[i];
		char		want[200] = PREFIX;

		strcat(want, c->want);
		url = make_url(BASE, c->operation, c->id);
		is_str(url, want, "URL %d", i);
		free(url);
	}
	url = make_url("http://[::1]:8080/gateway", DWF_CANCEL, "i");
	is_str(url, "http://[::1]:8080/gateway/api/workflow/v1/instances/i/cancel",
		   "a base with a path");
	free(url);
}

/* Every byte that can stand in an id, one after the other. */
static void
test_every_byte(void)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	"abcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (int c = 1; c < 256; c++)
	{
		char		id[] = {'a', (char) c, 'b', '\0'};
		char		want[200];
		char	   *url = make_url(BASE, DWF_CANCEL, id);

		if (strchr(unreserved, c) != NULL)
			snprintf(want, sizeof(want), PREFIX "/instances/a%cb/cancel", c);
		else
			snprintf(want, sizeof(want), PREFIX "/instances/a%%%02Xb/cancel",
					 c);
		is_str(url, want, "byte %d of an id", c);
		free(url);
	}
}

/* Three bytes for each of the longest id: what malloc() has to reckon with. */
static void
test_longest_id(void)
{
	char		id[DWF_MAX_ID + 1];
	char	   *url;

	memset(id, '/', DWF_MAX_ID);
	id[DWF_MAX_ID] = '\0';
	url = make_url(BASE, DWF_SET_PERMISSIONS, id);
	is_int(strlen(url), strlen(PREFIX "/models//permissions") +
		   3 * DWF_MAX_ID, "an id of nothing but slashes");
	free(url);
}

/* Makes a body; tests its text and the length that was told. */
static void
check_body(const DwfRequest *request, const char *want, const char *name)
{
	char	   *body = NULL;
	size_t		len = 77;

	ok(dwf_domo_body(request, &body, &len), "%s is made", name);
	is_str(body, want, "%s", name);
	is_int(len, want == NULL ? 0 : strlen(want), "%s: its length", name);
	free(body);
}

static void
test_bodies(void)
{
	static const char data[] = "{\"n\": 9007199254740993, \"d\": 0.10, "
	"\"s\": \"\\u00e9\", \"l\": [1,2]}";
	static const char list[] = "[{\"id\": \"1\", \"type\": \"USER\", "
	"\"permissions\": []}]more";
	static const char nulls[] = "[{\"id\": \"1\", \"name\": null, "
	"\"type\": \"USER\", \"permissions\": []}, {\"name\": \"\\u00e9\", "
	"\"id\": \"2\", \"type\": \"GROUP\", "
	"\"permissions\": [\"READ\", \"a\\\"b\"]}]more";
	DwfRequest	request = {
		.operation = DWF_START,.id = "a8afdc89",.message_name = "Start Add",
		.version = "1.1.0",.data = data,.data_len = sizeof(data) - 1
	};

	check_body(&request, "{\"messageName\":\"Start Add\",\"version\":\"1.1.0\","
			   "\"modelId\":\"a8afdc89\",\"data\":{\"n\": 9007199254740993, "
			   "\"d\": 0.10, \"s\": \"\\u00e9\", \"l\": [1,2]}}",
			   "a start's body");

	request.message_name = "\"}\\\n\t\x01\xC3\xA9";
	request.version = "\",\"version\":\"";
	request.data = "{}";
	request.data_len = 2;
	check_body(&request, "{\"messageName\":\"\\\"}\\\\\\n\\t\\u0001\xC3\xA9\","
			   "\"version\":\"\\\",\\\"version\\\":\\\"\",\"modelId\":"
			   "\"a8afdc89\",\"data\":{}}",
			   "a body of names that try to leave their strings");

	request.operation = DWF_SET_PERMISSIONS;
	request.data = list;
	request.data_len = strlen(list) - strlen("more");
	check_body(&request, "[{\"id\": \"1\", \"type\": \"USER\", "
			   "\"permissions\": []}]", "a bare list of permissions");

	request.data = nulls;
	request.data_len = strlen(nulls) - strlen("more");
	request.has_null_name = true;
	check_body(&request, "[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[]},"
			   "{\"name\":\"\xC3\xA9\",\"id\":\"2\",\"type\":\"GROUP\","
			   "\"permissions\":[\"READ\",\"a\\\"b\"]}]",
			   "a name that is null is left out, in its entry only");

	request.operation = DWF_CANCEL;
	check_body(&request, NULL, "no body of a cancel");
}

/* The largest start that is well formed: its data keep each byte. */
static void
test_largest_body(void)
{
	char	   *data = malloc(DWF_MAX_DATA + 1);
	DwfRequest	request = {
		.operation = DWF_START,.id = "m",.message_name = "n",.version = "v",
		.data = data,.data_len = DWF_MAX_DATA
	};
	const char *fault;
	char	   *body;
	size_t		len;
	DwfJsonNode *root;

	memset(data, ' ', DWF_MAX_DATA);
	data[0] = '{';
	data[DWF_MAX_DATA - 1] = '}';
	data[DWF_MAX_DATA] = '\0';
	ok(dwf_domo_body(&request, &body, &len) && len > DWF_MAX_DATA &&
	   strstr(body, data) != NULL, "1 MB of data in a body");
	root = dwf_json_parse(body, len, &fault);
	is_int(dwf_json_type(dwf_json_get(root, "data")), DWF_JSON_OBJECT,
		   "it is read again");
	dwf_json_free(root);
	free(body);
	free(data);
}

/* Short memory is told, never sent as an empty body. */
static void
test_short_memory(void)
{
	cJSON_Hooks hooks = {failing_malloc, free};
	DwfRequest	request = {
		.id = "m",.message_name = "n",.version = "v",.data = "[]",
		.data_len = 2
	};
	char	   *body;
	size_t		len;

	cJSON_InitHooks(&hooks);
	for (int i = DWF_START; i <= DWF_SET_PERMISSIONS + 1; i++)
	{
		bool		needs_body = i != DWF_CANCEL;
		bool		told = true;
		int			count = 0;

		/* a set_permissions twice: as it is, and to be rewritten */
		request.has_null_name = i > DWF_SET_PERMISSIONS;
		request.operation = request.has_null_name ? DWF_SET_PERMISSIONS :
			(DwfOperation) i;
		allocations_left = 0;
		ok(dwf_domo_url(BASE, &request) == NULL, "no memory for an URL");
		body = NULL;
		for (; body == NULL && count < 1000 && needs_body; count++)
		{
			allocations_left = count;
			told = told && dwf_domo_body(&request, &body, &len) ==
				(body != NULL);
		}
		ok(told && (!needs_body || (body != NULL && count > 1)),
		   "no memory for a body");
		free(body);
	}
	allocations_left = -1;
	cJSON_InitHooks(NULL);
}

int
main(void)
{
	test_urls();
	test_every_byte();
	test_longest_id();
	test_bodies();
	test_largest_body();
	test_short_memory();
	return done_testing();
}
