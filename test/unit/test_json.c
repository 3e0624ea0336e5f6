/*
 * test_json.c
 *	  Unit tests of json.c: what is read and what is refused.
 *
 * A reply that two readers read differently would settle the wrong thing, so
 * what these tests care for is strictness: every text that RFC 8259 or jsonb
 * refuses has to be refused, cJSON being lenient in many places.  Texts are
 * parsed from copies of exactly their length, so that AddressSanitizer sees a
 * single byte read too far.
 */
#include "../../src/domo/json.c"

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "tap.h"

/* A text that may hold NUL bytes, and its length. */
#define TEXT(literal)	(literal), sizeof(literal) - 1

#define LENGTH(array)	((int) (sizeof(array) / sizeof((array)[0])))

/* More keys than comparing each with each could handle in a minute. */
#define MANY_KEYS		100000

/* Far more processor time than any test here needs, even sanitized. */
#define MAX_SECONDS		20

typedef struct AcceptCase
{
	const char *text;
	size_t		len;
	DwfJsonType type;
} AcceptCase;

typedef struct RefuseCase
{
	const char *text;
	size_t		len;
	const char *fault;
} RefuseCase;

typedef struct Utf8Case
{
	const char *text;
	size_t		len;
	size_t		want;
} Utf8Case;

static const AcceptCase accept_cases[] = {
	{TEXT("null"), DWF_JSON_NULL},
	{TEXT("true"), DWF_JSON_BOOLEAN},
	{TEXT("false"), DWF_JSON_BOOLEAN},
	{TEXT("\"\""), DWF_JSON_STRING},
	{TEXT("[]"), DWF_JSON_ARRAY},
	{TEXT("{}"), DWF_JSON_OBJECT},
	{TEXT(" \t\r\n{ \t\r\n} \t\r\n"), DWF_JSON_OBJECT},
	{TEXT("[ ]\n"), DWF_JSON_ARRAY},

	/* every shape of number */
	{TEXT("0"), DWF_JSON_NUMBER},
	{TEXT("-0"), DWF_JSON_NUMBER},
	{TEXT("-0.0"), DWF_JSON_NUMBER},
	{TEXT("10"), DWF_JSON_NUMBER},
	{TEXT("0.5"), DWF_JSON_NUMBER},
	{TEXT("0e0"), DWF_JSON_NUMBER},
	{TEXT("1e5"), DWF_JSON_NUMBER},
	{TEXT("1E+5"), DWF_JSON_NUMBER},
	{TEXT("-1.25e-05"), DWF_JSON_NUMBER},
	{TEXT("9007199254740993"), DWF_JSON_NUMBER},
	{TEXT("1e999"), DWF_JSON_NUMBER},
	{TEXT("[0,-1,2.5]"), DWF_JSON_ARRAY},

	/* escapes, NUL's look-alikes among them */
	{TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), DWF_JSON_STRING},
	{TEXT("\"\\u0001\\u00e9\\u20AC\\ufFfF\""), DWF_JSON_STRING},
	{TEXT("\"\\uD83D\\uDE00\""), DWF_JSON_STRING},
	{TEXT("\"\\\\u0000\""), DWF_JSON_STRING},
	{TEXT("\"\\\\\\\\u0000\""), DWF_JSON_STRING},
	{TEXT("\"\\\\\\u0001\""), DWF_JSON_STRING},
	{TEXT("\"u0000\""), DWF_JSON_STRING},

	/* UTF-8 at both ends of each length, and U+007F, which is no control */
	{TEXT("\"\x7F\""), DWF_JSON_STRING},
	{TEXT("\"\xC2\x80\xDF\xBF\""), DWF_JSON_STRING},
	{TEXT("\"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\""),
	DWF_JSON_STRING},
	{TEXT("\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\""), DWF_JSON_STRING},
	{TEXT("\"\xEF\xBB\xBF\""), DWF_JSON_STRING},

	/* keys: the same in two objects, of other case, empty, beginnings */
	{TEXT("{\"a\":1,\"b\":{\"a\":1}}"), DWF_JSON_OBJECT},
	{TEXT("[{\"a\":1},{\"a\":1}]"), DWF_JSON_ARRAY},
	{TEXT("{\"a\":1,\"A\":1}"), DWF_JSON_OBJECT},
	{TEXT("{\"\":1,\" \":1}"), DWF_JSON_OBJECT},
	{TEXT("{\"ab\":1,\"a\":1,\"abc\":1}"), DWF_JSON_OBJECT},

	/* what looks like structure, in a string */
	{TEXT("\"]}[{,:\""), DWF_JSON_STRING},
	{TEXT("[\"\\\"]\"]"), DWF_JSON_ARRAY},
};

static const RefuseCase refuse_cases[] = {
	{TEXT(""), "empty"},
	{TEXT(" "), "not JSON"},
	{TEXT("\t\r\n "), "not JSON"},

	/* NUL, in all its forms */
	{TEXT("\0"), "a NUL character"},
	{TEXT("{}\0"), "a NUL character"},
	{TEXT("{\0}"), "a NUL character"},
	{TEXT("\"a\0b\""), "a NUL character"},
	{TEXT("\"\\u0000\""), "a NUL character"},
	{TEXT("\"a\\u0000b\""), "a NUL character"},
	{TEXT("\"\\\\\\u0000\""), "a NUL character"},
	{TEXT("\"\\\\\\\\\\u0000\""), "a NUL character"},
	{TEXT("\"\\uD83D\\u0000\""), "a NUL character"},
	{TEXT("{\"a\\u0000\":1}"), "a NUL character"},
	{TEXT("\"\\\0\""), "not JSON"},

	/* escapes; cJSON takes four characters that are not hex for a NUL */
	{TEXT("\"\\uZZZZ\""), "not JSON"},
	{TEXT("{\"id\":\"abc\\uZZZZdef\"}"), "not JSON"},
	{TEXT("{\"id\\uZZZZ\":1}"), "not JSON"},
	{TEXT("\"\\u00g0\""), "not JSON"},
	{TEXT("\"\\u 041\""), "not JSON"},
	{TEXT("\"\\u+041\""), "not JSON"},
	{TEXT("\"\\u0x41\""), "not JSON"},
	{TEXT("\"\\uab\\u0041\""), "not JSON"},
	{TEXT("\"\\u12\""), "not JSON"},
	{TEXT("\"\\u\""), "not JSON"},
	{TEXT("\"\\U0041\""), "not JSON"},
	{TEXT("\"\\x41\""), "not JSON"},
	{TEXT("\"\\'\""), "not JSON"},
	{TEXT("\"\\a\""), "not JSON"},
	{TEXT("\"\\\n\""), "not JSON"},

	/* escaped surrogates that are no pair */
	{TEXT("\"\\uD83D\""), "not JSON"},
	{TEXT("\"\\uD83Dx\""), "not JSON"},
	{TEXT("\"\\uDE00\""), "not JSON"},
	{TEXT("\"\\uDE00\\uD83D\""), "not JSON"},
	{TEXT("\"\\uD83D\\uD83D\""), "not JSON"},
	{TEXT("\"\\uD83D\\u0041\""), "not JSON"},
	{TEXT("\"\\uD83D\\uZZZZ\""), "not JSON"},
	{TEXT("\"\\uD83D\\n\""), "not JSON"},

	/* control characters, in strings and for white space */
	{TEXT("\"\x01\""), "a control character in a string"},
	{TEXT("\"\t\""), "a control character in a string"},
	{TEXT("\"\n\""), "a control character in a string"},
	{TEXT("\"\x1F\""), "a control character in a string"},
	{TEXT("{\"a\nb\":1}"), "a control character in a string"},
	{TEXT("[\x0B]"), "not JSON"},
	{TEXT("[\x0C]"), "not JSON"},
	{TEXT("\x01{}"), "not JSON"},
	{TEXT("{}\x1F"), "not JSON"},
	{TEXT("[\x7F]"), "not JSON"},

	/* byte order marks and what is not UTF-8 */
	{TEXT("\xEF\xBB\xBF"), "it starts with a byte order mark"},
	{TEXT("\xEF\xBB\xBF{}"), "it starts with a byte order mark"},
	{TEXT("{}\xEF\xBB\xBF"), "not JSON"},
	{TEXT("\xFF\xFE{\0}\0"), "not JSON"},
	{TEXT("[\xC2\xA0]"), "not JSON"},
	{TEXT("\"\x80\""), "invalid UTF-8"},
	{TEXT("\"\xBF\""), "invalid UTF-8"},
	{TEXT("\"\xC0\x80\""), "invalid UTF-8"},
	{TEXT("\"\xC1\xBF\""), "invalid UTF-8"},
	{TEXT("\"\xC3\""), "invalid UTF-8"},
	{TEXT("\"\xC3"), "invalid UTF-8"},
	{TEXT("\"\xC3\x28\""), "invalid UTF-8"},
	{TEXT("\"\xE0\x9F\xBF\""), "invalid UTF-8"},
	{TEXT("\"\xE2\x82\""), "invalid UTF-8"},
	{TEXT("\"\xED\xA0\x80\""), "invalid UTF-8"},
	{TEXT("\"\xED\xBF\xBF\""), "invalid UTF-8"},
	{TEXT("\"\xED\xA0\xBD\xED\xB8\x80\""), "invalid UTF-8"},
	{TEXT("\"\xF0\x8F\xBF\xBF\""), "invalid UTF-8"},
	{TEXT("\"\xF0\x9F\x98\""), "invalid UTF-8"},
	{TEXT("\"\xF4\x90\x80\x80\""), "invalid UTF-8"},
	{TEXT("\"\xF5\x80\x80\x80\""), "invalid UTF-8"},
	{TEXT("\"\xF8\x88\x80\x80\x80\""), "invalid UTF-8"},
	{TEXT("\"\xFE\""), "invalid UTF-8"},
	{TEXT("\"\xFF\""), "invalid UTF-8"},
	{TEXT("{\"\xE9\":1}"), "invalid UTF-8"},
	{TEXT("\"\\\xC3\xA9\""), "invalid UTF-8"},

	/* numbers that other languages have */
	{TEXT("01"), "not a JSON number"},
	{TEXT("-01"), "not a JSON number"},
	{TEXT("00"), "not a JSON number"},
	{TEXT("1."), "not a JSON number"},
	{TEXT("1.e5"), "not a JSON number"},
	{TEXT("-"), "not a JSON number"},
	{TEXT("--1"), "not a JSON number"},
	{TEXT("-.5"), "not a JSON number"},
	{TEXT("-a"), "not a JSON number"},
	{TEXT("1e"), "not a JSON number"},
	{TEXT("1e+"), "not a JSON number"},
	{TEXT("1E-"), "not a JSON number"},
	{TEXT("1e.5"), "not a JSON number"},
	{TEXT("[1,02]"), "not a JSON number"},
	{TEXT("-Infinity"), "not a JSON number"},
	{TEXT("-NaN"), "not a JSON number"},
	{TEXT(".5"), "not JSON"},
	{TEXT("+1"), "not JSON"},
	{TEXT("NaN"), "not JSON"},
	{TEXT("Infinity"), "not JSON"},
	{TEXT("[1.5.5]"), "not JSON"},
	{TEXT("[1e5e5]"), "not JSON"},
	{TEXT("[1-1]"), "not JSON"},
	{TEXT("[1+1]"), "not JSON"},
	{TEXT("[0x10]"), "not JSON"},
	{TEXT("[1_000]"), "not a JSON number"},

	/* keys that stand twice, at any depth, however written */
	{TEXT("{\"a\":1,\"a\":1}"), "a key stands twice in an object"},
	{TEXT("{\"a\":1,\"b\":2,\"c\":3,\"a\":4}"),
	"a key stands twice in an object"},
	{TEXT("{\"\":1,\"\":2}"), "a key stands twice in an object"},
	{TEXT("{\"id\":1,\"\\u0069\\u0064\":2}"),
	"a key stands twice in an object"},
	{TEXT("[1,{\"a\":[{},{\"b\":{\"c\":1,\"c\":1}}]}]"),
	"a key stands twice in an object"},
	{TEXT("{\"a\":{\"b\":1},\"c\":{\"b\":1,\"d\":0,\"b\":1}}"),
	"a key stands twice in an object"},

	/* something behind it, and what is cut off */
	{TEXT("{} {}"), "something follows the JSON value"},
	{TEXT("{},"), "something follows the JSON value"},
	{TEXT("{}x"), "something follows the JSON value"},
	{TEXT("nulll"), "something follows the JSON value"},
	{TEXT("truefalse"), "something follows the JSON value"},
	{TEXT("1 2"), "something follows the JSON value"},
	{TEXT("1-1"), "something follows the JSON value"},
	{TEXT("\"a\"\"b\""), "something follows the JSON value"},
	{TEXT("[]]"), "something follows the JSON value"},
	{TEXT("1//"), "something follows the JSON value"},
	{TEXT("\""), "cut off in a string"},
	{TEXT("\"\\"), "cut off in a string"},
	{TEXT("\"\\\""), "cut off in a string"},
	{TEXT("\"\\u00"), "cut off in a string"},
	{TEXT("{\"a"), "cut off in a string"},
	{TEXT("{"), "not JSON"},
	{TEXT("{\"a\":"), "not JSON"},
	{TEXT("[1,"), "not JSON"},
	{TEXT("nul"), "not JSON"},

	/* structure */
	{TEXT("]"), "not JSON"},
	{TEXT("]]]]["), "not JSON"},
	{TEXT("[}"), "not JSON"},
	{TEXT("{]"), "not JSON"},
	{TEXT("[1,]"), "not JSON"},
	{TEXT("[,1]"), "not JSON"},
	{TEXT("[1,,1]"), "not JSON"},
	{TEXT("[1 2]"), "not JSON"},
	{TEXT("{\"a\":1,}"), "not JSON"},
	{TEXT("{,\"a\":1}"), "not JSON"},
	{TEXT("{\"a\" 1}"), "not JSON"},
	{TEXT("{\"a\":1 \"b\":2}"), "not JSON"},
	{TEXT("{\"a\"}"), "not JSON"},
	{TEXT("{\"a\":}"), "not JSON"},
	{TEXT("{a:1}"), "not JSON"},
	{TEXT("{1:1}"), "not JSON"},
	{TEXT("{null:1}"), "not JSON"},
	{TEXT("[\"a\":1]"), "not JSON"},
	{TEXT("TRUE"), "not JSON"},
	{TEXT("Null"), "not JSON"},
	{TEXT("undefined"), "not JSON"},
	{TEXT("'a'"), "not JSON"},
	{TEXT("/**/1"), "not JSON"},
	{TEXT("<html></html>"), "not JSON"},
};

static const Utf8Case utf8_cases[] = {
	{TEXT(""), 0},
	{TEXT("\0"), 1},
	{TEXT("a"), 1},
	{TEXT("\x7F"), 1},
	{TEXT("\xC2\x80"), 2},
	{TEXT("\xDF\xBFz"), 2},
	{TEXT("\xE0\xA0\x80"), 3},
	{TEXT("\xED\x9F\xBF"), 3},
	{TEXT("\xEF\xBF\xBF"), 3},
	{TEXT("\xF0\x90\x80\x80"), 4},
	{TEXT("\xF4\x8F\xBF\xBF"), 4},
	{TEXT("\x80"), 0},
	{TEXT("\xC0\xAF"), 0},
	{TEXT("\xC1\x81"), 0},
	{TEXT("\xC2"), 0},
	{TEXT("\xC2\x7F"), 0},
	{TEXT("\xC2\xC0"), 0},
	{TEXT("\xE0\x80\xAF"), 0},
	{TEXT("\xE2\x82"), 0},
	{TEXT("\xE2\x82\x28"), 0},
	{TEXT("\xED\xA0\x80"), 0},
	{TEXT("\xF0\x80\x80\xAF"), 0},
	{TEXT("\xF0\x9F\x98"), 0},
	{TEXT("\xF0\x9F\x98\xC0"), 0},
	{TEXT("\xF4\x90\x80\x80"), 0},
	{TEXT("\xF5\x80\x80\x80"), 0},
	{TEXT("\xFF"), 0},
};

/* Parses a copy that ends where the text ends. */
static DwfJsonNode *
parse_exactly(const char *text, size_t len, const char **fault)
{
	char	   *copy = malloc(len == 0 ? 1 : len);
	DwfJsonNode *root;

	memcpy(copy, text, len);
	root = dwf_json_parse(len == 0 ? copy + 1 : copy, len, fault);
	free(copy);
	return root;
}

/* Prints a text for a test's name, which has to stay on one line. */
static const char *
show(const char *text, size_t len)
{
	static char line[200];
	size_t		used = 0;

	for (size_t i = 0; i < len && used < sizeof(line) - 8; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (c < 0x20 || c >= 0x7F || c == '#')
			used += snprintf(line + used, sizeof(line) - used, "<%02X>", c);
		else
			line[used++] = c;
	}
	line[used] = '\0';
	return line;
}

static void
test_accepted(void)
{
	for (int i = 0; i < LENGTH(accept_cases); i++)
	{
		const AcceptCase *c = &accept_cases[i];
		const char *fault = "not touched";
		DwfJsonNode *root = parse_exactly(c->text, c->len, &fault);

		ok(root != NULL && fault == NULL && dwf_json_type(root) == c->type,
		   "is read: %s", show(c->text, c->len));
		if (fault != NULL)
			diag("%s", fault);
		dwf_json_free(root);
	}
}

static void
test_refused(void)
{
	for (int i = 0; i < LENGTH(refuse_cases); i++)
	{
		const RefuseCase *c = &refuse_cases[i];
		const char *fault = NULL;
		DwfJsonNode *root = parse_exactly(c->text, c->len, &fault);

		is_str(root != NULL ? "read" : fault, c->fault, "is refused: %s",
			   show(c->text, c->len));
		dwf_json_free(root);
	}
}

/* A reply that was cut anywhere must never be read as a whole one. */
static void
test_every_cut(void)
{
	static const char text[] = "{\"a\":[1,-2.5e3,\"x\\u00e9\\n\\ud83d\\ude00"
	"\xC3\xA9\xF0\x9F\x98\x80\",true,false,null],\"b\":{\"c\":\"\"}}";
	size_t		read = 0;

	for (size_t len = 0; len < sizeof(text); len++)
	{
		const char *fault = NULL;
		DwfJsonNode *root = parse_exactly(text, len, &fault);

		if (root != NULL)
			read += len;
		else if (fault == NULL)
			read = SIZE_MAX / 2;
		dwf_json_free(root);
	}
	is_int(read, sizeof(text) - 1, "only the whole text is read");
}

/*
 * Parses `opened` times `open`, `middle`, and `closed` times `close`.
 * Returns the fault, or "read".
 */
static const char *
parse_nested(const char *open, int opened, const char *middle,
			 const char *close, int closed)
{
	size_t		len = strlen(open) * opened + strlen(middle) +
	strlen(close) * closed;
	char	   *text = malloc(len + 1);
	char	   *at = text;
	const char *fault = NULL;
	DwfJsonNode *root;

	for (int i = 0; i < opened; i++)
		at = stpcpy(at, open);
	at = stpcpy(at, middle);
	for (int i = 0; i < closed; i++)
		at = stpcpy(at, close);
	root = parse_exactly(text, len, &fault);
	free(text);
	dwf_json_free(root);
	return root != NULL ? "read" : fault;
}

/* Recursion has to be bounded before it starts: a backend has one stack. */
static void
test_depth(void)
{
	is_int(DWF_MAX_JSON_DEPTH, 100, "the depth that these tests know");
	is_str(parse_nested("[", 100, "", "]", 100), "read", "100 arrays");
	is_str(parse_nested("[", 101, "", "]", 101), "nested too deep",
		   "101 arrays");
	is_str(parse_nested("{\"a\":", 99, "{}", "}", 99), "read",
		   "100 objects");
	is_str(parse_nested("{\"a\":", 100, "{}", "}", 100), "nested too deep",
		   "101 objects");
	is_str(parse_nested("[{\"a\":", 50, "1", "}]", 50), "read",
		   "50 arrays and 50 objects");
	is_str(parse_nested("[{\"a\":", 50, "[]", "}]", 50), "nested too deep",
		   "51 arrays and 50 objects");
	is_str(parse_nested("[", 100000, "", "", 0), "nested too deep",
		   "100,000 open brackets");
	is_str(parse_nested("]", 100000, "", "", 0), "not JSON",
		   "100,000 closing brackets");
	is_str(parse_nested("]", 200, "", "[", 200), "not JSON",
		   "a depth below zero is no credit");
	is_str(parse_nested("[[],", 100, "1", "]", 100), "nested too deep",
		   "the 100th of these opens a 101st");
	is_str(parse_nested("[", 1, "[]", ",[]", 300), "not JSON",
		   "what was closed does not count");
	is_str(parse_nested("\"", 1, "", "[", 300), "cut off in a string",
		   "brackets in a string do not count");
}

/* Makes {"k000000":0,…} of MANY_KEYS keys, all different; malloc'd. */
static char *
make_many_keys(size_t *len)
{
	char	   *text = malloc(MANY_KEYS * 16 + 2);

	*len = 0;
	for (int i = 0; i < MANY_KEYS; i++)
		*len += sprintf(text + *len, "%c\"k%06d\":%d", i == 0 ? '{' : ',',
						(int) (i * INT64_C(7919) % MANY_KEYS), i % 10);
	text[(*len)++] = '}';
	return text;
}

/* A reply may be full of keys; it must not hold up a worker for minutes. */
static void
test_many_keys(void)
{
	size_t		len;
	char	   *text = make_many_keys(&len);
	clock_t		start = clock();
	const char *fault = NULL;
	DwfJsonNode *root = parse_exactly(text, len, &fault);

	ok(len > 1000 * 1000, "the object is 1 MB long");
	ok(root != NULL, "an object of 100,000 keys is read");
	dwf_json_free(root);

	/* the first and the last key are the same now */
	memcpy(strrchr(text, 'k'), strchr(text, 'k'), 7);
	root = parse_exactly(text, len, &fault);
	is_str(root != NULL ? "read" : fault, "a key stands twice in an object",
		   "the same with one key twice is refused");
	dwf_json_free(root);
	ok((clock() - start) / CLOCKS_PER_SEC < MAX_SECONDS,
	   "both take less than a second or so");
	free(text);
}

/* Whether a key stands twice is found one way in small objects, and another. */
static void
test_few_keys(void)
{
	for (int count = MAX_SMALL_OBJECT - 1; count <= MAX_SMALL_OBJECT + 1; count++)
	{
		char		text[1000];
		size_t		len = 0;
		const char *fault = "none";
		DwfJsonNode *root;

		for (int i = 0; i < count; i++)
			len += sprintf(text + len, "%c\"k%02d\":%d", i == 0 ? '{' : ',', i, i);
		text[len++] = '}';
		root = parse_exactly(text, len, &fault);
		ok(root != NULL, "an object of %d keys is read", count);
		dwf_json_free(root);

		text[len] = '\0';
		memcpy(strrchr(text, 'k'), "k00", 3);
		root = parse_exactly(text, len, &fault);
		is_str(root != NULL ? "read" : fault, "a key stands twice in an object",
			   "the same with its first key again is refused");
		dwf_json_free(root);
	}
}

static void
test_utf8_length(void)
{
	for (int i = 0; i < LENGTH(utf8_cases); i++)
	{
		const Utf8Case *c = &utf8_cases[i];
		char	   *copy = malloc(c->len + 1);

		memcpy(copy + 1, c->text, c->len);
		is_int(dwf_json_utf8_length(copy + 1, c->len), c->want,
			   "length of the character in %s", show(c->text, c->len));
		free(copy);
	}
}

int
main(void)
{
	test_accepted();
	test_refused();
	test_every_cut();
	test_depth();
	test_many_keys();
	test_few_keys();
	test_utf8_length();
	return done_testing();
}
