/*
 * test_json_access.c
 *	  Unit tests of json.c: typed getters, the building of objects, and short
 *	  memory.
 *
 * Getters are what every reader of a reply relies on without a check of its
 * own, so each is asked for each type, for what is not there and for what
 * cannot have it.  The builder has to leave raw text as it is: digits that
 * cJSON would round are the reason why it exists.
 */
#include <stdlib.h>

static void *failing_malloc(size_t size);

/* json.c's own memory, and by the hooks below cJSON's, can be made short */
#define malloc(size) failing_malloc(size)
#include "../../src/domo/json.c"
#undef malloc

#include "tap.h"

#define LENGTH(array)	((int) (sizeof(array) / sizeof((array)[0])))

/* Allocations that still succeed; -1: all of them. */
static int	allocations_left = -1;

static void *
failing_malloc(size_t size)
{
	if (allocations_left == 0)
		return NULL;
	if (allocations_left > 0)
		allocations_left--;
	return malloc(size);
}

static const char *
key_of(char c)
{
	static char key[2];

	key[0] = c;
	return key;
}

static void
test_getters(void)
{
	static const char text[] = "{\"s\":\"x\\u00e9\\n\",\"n\":-2.5,\"t\":true,"
	"\"f\":false,\"z\":null,\"a\":[1,\"b\"],\"o\":{\"k\":\"v\"},\"\":\"e\"}";
	static const char keys[] = "sntfzao";
	const char *fault;
	DwfJsonNode *root = dwf_json_parse(text, sizeof(text) - 1, &fault);
	const DwfJsonNode *node = dwf_json_first(root);
	double		number = 7;
	bool		boolean = true;

	for (const char *k = keys; *k != '\0'; k++, node = dwf_json_next(node))
		ok(dwf_json_key(node)[0] == *k && dwf_json_key(node)[1] == '\0',
		   "members come in their order: %c", *k);
	is_str(dwf_json_key(node), "", "an empty key is a key");
	ok(dwf_json_next(node) == NULL, "nothing follows the last member");

	is_str(dwf_json_string(dwf_json_get(root, "s")), "x\xC3\xA9\n",
		   "a string, its escapes undone");
	is_str(dwf_json_string(dwf_json_get(root, "")), "e", "the empty key");
	ok(dwf_json_number(dwf_json_get(root, "n"), &number) && number == -2.5,
	   "a number");
	ok(dwf_json_boolean(dwf_json_get(root, "f"), &boolean) && !boolean,
	   "false");
	ok(dwf_json_boolean(dwf_json_get(root, "t"), &boolean) && boolean,
	   "true");
	is_int(dwf_json_type(dwf_json_get(root, "z")), DWF_JSON_NULL, "null");

	ok(dwf_json_get(root, "S") == NULL, "keys are exact in case");
	ok(dwf_json_get(root, "nothing") == NULL, "no such key");
	ok(dwf_json_get(NULL, "s") == NULL, "a key of nothing");
	ok(dwf_json_get(dwf_json_get(root, "a"), "s") == NULL,
	   "a key of an array");
	ok(dwf_json_get(dwf_json_get(root, "s"), "s") == NULL,
	   "a key of a string");
	is_int(dwf_json_type(NULL), DWF_JSON_NULL, "nothing is null");
	ok(dwf_json_string(NULL) == NULL, "nothing is no string");
	ok(!dwf_json_number(NULL, &number), "nothing is no number");
	ok(!dwf_json_boolean(NULL, &boolean), "nothing is no boolean");
	ok(dwf_json_first(NULL) == NULL, "nothing has no child");
	ok(dwf_json_first(dwf_json_get(root, "s")) == NULL,
	   "a string has no child");

	node = dwf_json_first(dwf_json_get(root, "a"));
	ok(dwf_json_key(node) == NULL, "an element has no key");
	is_str(dwf_json_string(dwf_json_next(node)), "b", "the next element");
	for (const char *k = "ntfzao"; *k != '\0'; k++)
		ok(dwf_json_string(dwf_json_get(root, key_of(*k))) == NULL,
		   "no string in \"%c\"", *k);
	for (const char *k = "stfzao"; *k != '\0'; k++)
		ok(!dwf_json_number(dwf_json_get(root, key_of(*k)), &number),
		   "no number in \"%c\"", *k);
	for (const char *k = "snzao"; *k != '\0'; k++)
		ok(!dwf_json_boolean(dwf_json_get(root, key_of(*k)),
							 &boolean), "no boolean in \"%c\"", *k);
	dwf_json_free(root);
	dwf_json_free(NULL);
}

/* Builds an object, and compares its text and the length that was told. */
static void
check_build(const DwfJsonMember *members, int count, const char *want,
			const char *name)
{
	size_t		len = 77;
	char	   *text = dwf_json_build(members, count, &len);

	is_str(text, want, "%s", name);
	is_int(len, strlen(want), "%s: its length", name);
	free(text);
}

/* What was put in SQL has to arrive at Domo digit for digit. */
static void
test_build(void)
{
	static const DwfJsonMember digits[] = {
		{"b", "x", NULL},
		{"data", NULL, "{\"n\": 9007199254740993, \"d\": 0.10, \"e\":1E+400}"},
		{"a", "", NULL},
	};
	static const DwfJsonMember escapes[] = {
		{"k\"\\\n", "\"\\/\b\f\n\r\t\x01\x1F\x7F", NULL},
		{"\xC3\xA9", "\xE2\x82\xAC\xF0\x9F\x98\x80", NULL},
	};
	static const DwfJsonMember both = {"k", "not this", "[ 1 ]"};
	static const DwfJsonMember neither = {"k", NULL, NULL};
	size_t		len = 77;

	check_build(NULL, 0, "{}", "no member");
	check_build(digits, LENGTH(digits), "{\"b\":\"x\",\"data\":{\"n\": "
				"9007199254740993, \"d\": 0.10, \"e\":1E+400},\"a\":\"\"}",
				"order and digits stay");
	check_build(escapes, LENGTH(escapes), "{\"k\\\"\\\\\\n\":\"\\\"\\\\/\\b\\f"
				"\\n\\r\\t\\u0001\\u001f\x7F\",\"\xC3\xA9\":\"\xE2\x82\xAC"
				"\xF0\x9F\x98\x80\"}", "strings are escaped");
	check_build(&both, 1, "{\"k\":[ 1 ]}", "raw text goes before a string");
	ok(dwf_json_build(&neither, 1, &len) == NULL && len == 0,
	   "a member without a value is no object");
}

static void
test_build_large(void)
{
	size_t		size = 1024 * 1024;
	char	   *raw = malloc(size + 1);
	DwfJsonMember member = {"data", NULL, raw};
	size_t		len;
	char	   *text;

	memset(raw, '1', size);
	raw[size] = '\0';
	text = dwf_json_build(&member, 1, &len);
	ok(text != NULL && len == size + strlen("{\"data\":}") &&
	   memcmp(text + strlen("{\"data\":"), raw, size) == 0,
	   "1 MB of raw text stays as it is");
	free(text);
	free(raw);
}

/*
 * Short memory is an answer like any other: nothing crashes, nothing leaks
 * (LeakSanitizer looks), and nothing half read is handed out.
 */
static void
test_short_memory(void)
{
	static const char text[] = "{\"a\":[{\"b\":\"c\"},\"d\"],\"e\":null}";
	static const DwfJsonMember members[] = {{"a", "b", NULL}, {"c", NULL, "1"}};
	cJSON_Hooks hooks = {failing_malloc, free};
	DwfJsonNode *root = NULL;
	char	   *built = NULL;
	const char *fault;
	size_t		len;
	bool		told = true;
	int			count;

	cJSON_InitHooks(&hooks);
	for (count = 0; root == NULL && count < 1000; count++)
	{
		allocations_left = count;
		fault = NULL;
		root = dwf_json_parse(text, sizeof(text) - 1, &fault);
		told = told && (root == NULL) == (fault != NULL);
	}
	ok(root != NULL && count > 5, "a text is read once memory is enough");
	ok(told, "a fault is named each time before");
	dwf_json_free(root);

	for (count = 0; built == NULL && count < 1000; count++)
	{
		allocations_left = count;
		len = 77;
		built = dwf_json_build(members, LENGTH(members), &len);
		told = told && (built != NULL || len == 0);
	}
	ok(built != NULL && count > 5, "an object is built once memory is enough");
	ok(told, "the length is 0 each time before");
	free(built);
	allocations_left = -1;
	cJSON_InitHooks(NULL);
}

int
main(void)
{
	test_getters();
	test_build();
	test_build_large();
	test_short_memory();
	return done_testing();
}
