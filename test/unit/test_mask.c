/*
 * test_mask.c
 *	  The token is found in whatever way it is written, nothing else is
 *	  touched, and JSON stays JSON.
 */
#include "../../src/http/mask.c"
#include "../../src/domo/json.c"

#include "tap.h"
#include "text.h"

#define TOKEN	"Tok/en+1-abcdefghijkl"

/* A text, with # for each byte that is to be a star. */
typedef struct Case
{
	const char *token;
	const char *text;
	const char *masked;
} Case;

#define STARS21		"*********************"

static const Case cases[] = {
	/* as it stands */
	{TOKEN, "", ""},
	{TOKEN, "nothing", "nothing"},
	{TOKEN, TOKEN, STARS21},
	{TOKEN, "a " TOKEN " b " TOKEN, "a " STARS21 " b " STARS21},
	{TOKEN, "{\"id\": \"" TOKEN "\"}", "{\"id\": \"" STARS21 "\"}"},
	{TOKEN, "{\"" TOKEN "\": 1.10}", "{\"" STARS21 "\": 1.10}"},

	/* escapes of JSON, in JSON, in text, in JSON within JSON */
	{"abcd", "[\"\\u0061b\\u0063d\"]", "[\"**************\"]"},
	{"abcd", "x \\u0061b\\u0063d", "x **************"},
	{"abcd", "[\"\\\\u0061bcd\"]", "[\"**********\"]"},
	{"a/\"\\", "[\"a\\/\\\"\\\\\"]", "[\"*******\"]"},
	{"abcd", "[\"\\u00E4\\ud83d\\ude00abcd\"]", "[\"\\u00E4\\ud83d\\ude00****\"]"},

	/* an escape is read from its beginning, and JSON stays JSON */
	{"nabcd", "[\"\\nabcd\"]", "[\"\\nabcd\"]"},
	{"u0041", "[\"\\u0041\"]", "[\"\\u0041\"]"},
	{"a\",\"b", "[\"a\",\"b\"]", "[\"a\",\"b\"]"},
	{"12345", "{\"n\": 9123456e1, \"s\": \"12345\"}", "{\"n\": 1111111e1, \"s\": \"*****\"}"},
	{"12345", " \n\t{\"n\": 9123456e1}", " \n\t{\"n\": 1111111e1}"},
	{"true", "[true, \"true\", null]", "[true, \"****\", null]"},

	/* what looks like JSON and is not */
	{"abcd", "[error] abcd \"x\" abcd", "[error] **** \"x\" ****"},
	{"abcd", "{\"a\": abcd}", "{\"a\": ****}"},
	{"abcd", "[true abcd", "[true ****"},
	{"abcd", "\"abcd", "\"****"},
	{"abcd", "502 abcd", "502 ****"},

	/* of URLs and HTML, and twice */
	{"a/b+", "x=%61%2Fb%2b&", "x=**********&"},
	{"a/b+", "x=a%252Fb%252b&", "x=************&"},
	{"a%41b", "x a%41b y a%2541b", "x ***** y *******"},
	{"a<b&", "<p>a&lt;b&amp;</p>", "<p>***********</p>"},
	{"abcd", "&#97;b&#x63;&#X0064;", "********************"},
	{"abcd", "[\"%5Cu0061bcd\"]", "[\"***********\"]"},
	/* what has in itself what reads as an escape, escaped in another way */
	{"ab%7Bcd<e", "<p>ab%7Bcd&lt;e</p>", "<p>************</p>"},
	{"ab%257Bcd<e", "<p>ab%257Bcd&amp;lt;e</p>", "<p>******************</p>"},
	{"%7B.\"!!'=", "[x \"%7B.\\\"!!'=\"", "[x \"**********\""},
	{"%7B.\"", "[x \"%7B.\\\"\"", "[x \"******\""},
	{"%7B.\\\\A!", "x %7B.\\\\\\\\A!", "x **********"},
	{"Babc\"", "x %BBabc\\\"", "x %B******"},
	{"abcd%", "[\"abcd%\", \"%61bcd%25\", 1]", "[\"*****\", \"*********\", 1]"},
	{"abcd\\", "[\"%61bcd\\\\\", 1]", "[\"********\", 1]"},
	{"ab%FFcd\"", "[\"ab%FFcd\\\"\", \"ab%ffcd\"]", "[\"*********\", \"ab%ffcd\"]"},
	{"%FF%FF%FF%FF", "[\"\", \"\", \"\"]", "[\"\", \"\", \"\"]"},

	{"abcd", "100% &c; \\x %zz &#; &#x; &#x1g; &#g;", "100% &c; \\x %zz &#; &#x; &#x1g; &#g;"},

	/* cut off at the end, an escape too */
	{TOKEN, "x Tok/en", "x ******"},
	{TOKEN, "x Tok/", "x ****"},
	{TOKEN, "x Tok", "x Tok"},
	{TOKEN, "{\"x\": \"Tok\\/en", "{\"x\": \"*******"},
	{TOKEN, "{\"x\": \"Tok\\/en\\u00", "{\"x\": \"***********"},
	{TOKEN, "{\"x\": \"Tok\\/en\"}", "{\"x\": \"Tok\\/en\"}"},
	{TOKEN, "?Tok%2Fe%6", "?*********"},
	{TOKEN, "?Tok%2Fe%", "?********"},
	{TOKEN, "Tok/e&#1", "********"},

	/* short tokens */
	{"x", "axb", "a*b"},
	{"abcdefg", "YWJjZGVmZw", "YWJjZGVmZw"},
};

static DwfMask *
make_mask(const char *token)
{
	DwfMask    *mask = malloc(dwf_mask_size(strlen(token)));

	dwf_mask_init(mask, token);
	return mask;
}

/* Masks a copy that ends where its memory ends; terminated, malloc'd. */
static char *
masked(const char *token, const char *text)
{
	DwfMask    *mask = make_mask(token);
	size_t		len = strlen(text);
	char	   *copy = malloc(len == 0 ? 1 : len);
	char	   *result = calloc(1, len + 1);

	memcpy(copy, text, len);
	dwf_mask_text(mask, copy, len);
	memcpy(result, copy, len);
	free(copy);
	free(mask);
	return result;
}

static void
test_cases(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
	{
		const Case *c = &cases[i];
		char	   *result = masked(c->token, c->text);

		is_str(result, c->masked, "%s in %s", c->token, c->text);
		free(result);
	}
}

/* Base64 of bytes, malloc'd, without padding. */
static char *
encode_base64(const char *bytes, size_t len, const char *alphabet)
{
	char	   *text = calloc(1, len * 4 / 3 + 5);
	size_t		n = 0;

	for (size_t bit = 0; bit < len * 8; bit += 6)
	{
		unsigned	pair = (unsigned char) bytes[bit / 8] << 8;

		if (bit / 8 + 1 < len)
			pair |= (unsigned char) bytes[bit / 8 + 1];
		text[n++] = alphabet[pair >> (10 - bit % 8) & 0x3F];
	}
	return text;
}

/* Every length of token, at every place, before every length of what follows. */
static void
test_base64(void)
{
	static const char token[] = "\x7e?>~}|{`_^]Tok/en+1-abcdef";
	int			wrong = 0;
	int			tried = 0;

	for (size_t len = MIN_BASE64; len < sizeof(token); len++)
	{
		for (int variant = 0; variant < 2 * 4 * 4; variant++)
		{
			const char *alphabet = alphabets[variant % 2];
			size_t		before = variant / 2 % 4;
			size_t		behind = variant / 8;
			char		secret[64] = {0};
			char		bytes[96] = {0};
			char	   *text;
			char	   *result;
			size_t		first = before * 8 / 6;
			size_t		last = ((before + len) * 8 + 5) / 6;

			memcpy(secret, token, len);
			memset(bytes, 'y', before);
			memcpy(bytes + before, secret, len);
			memset(bytes + before + len, 'z', behind);
			text = encode_base64(bytes, before + len + behind, alphabet);
			result = masked(secret, text);
			for (size_t i = 0; i < strlen(text); i++)
				wrong += (result[i] == '*') != (i >= first && i < last);
			tried++;
			free(text);
			free(result);
		}
	}
	is_int(wrong, 0, "all of the base64, and nothing else, in %d texts", tried);
}

/* Every prefix of a reply in which each character of the token is an escape. */
static void
test_cuts(void)
{
	char		text[256] = "{\"message\": \"bad ";
	DwfMask    *mask = make_mask(TOKEN);
	size_t		from = strlen(text);
	int			shown = 0;

	for (const char *c = TOKEN; *c != '\0'; c++)
		sprintf(text + strlen(text), "\\u%04X", *c);
	for (size_t len = from + 6 * MIN_CUT; len <= strlen(text); len++)
	{
		char	   *copy = malloc(len);

		memcpy(copy, text, len);
		dwf_mask_text(mask, copy, len);
		for (size_t i = from; i < len; i++)
			shown += copy[i] != '*';
		shown += memcmp(copy, text, from) != 0;
		free(copy);
	}
	is_int(shown, 0, "cut off anywhere, nothing of it is shown");
	free(mask);
}

/* A reply that is JSON before is JSON after, with the same structure. */
static void
test_json_stays(void)
{
	static const char *const secrets[] = {
		"id", "a", "u", "\\", "\"", "n", "0", "1.1", "0041", "\\u", ":", "{\"",
		"null", "e", "-", "//",
	};
	static const char *const texts[] = {
		"{\"id\": \"a\\n\\\\u0041\\\"\\/\\u00e4\", \"n\": [-0.11e+10, 1, null]}",
		"[\"\\\\\", \"\\\\\\\\\", \"\\\\n\\\\\\n\", {\"u0041\": \"\\u0041\"}]",
		"\"\\\\\\u005c\\u0022\"",
	};
	int			broken = 0;

	for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++)
	{
		for (size_t k = 0; k < sizeof(texts) / sizeof(*texts); k++)
		{
			char	   *result = masked(secrets[i], texts[k]);
			const char *fault;
			DwfJsonNode *root = dwf_json_parse(result, strlen(result), &fault);

			if (root == NULL)
				diag("%s in %s: %s", secrets[i], texts[k], result);
			broken += root == NULL;
			dwf_json_free(root);
			free(result);
		}
	}
	is_int(broken, 0, "JSON stays JSON");
}

/* Texts of whoever knows the token, of a megabyte: time is not to explode. */
static void
test_large(void)
{
	char	   *token = repeat("a", 8000);
	char	   *text = repeat("aaaaaaaaa%61aaaaaaab", 50000);
	DwfMask    *mask = make_mask(token);

	dwf_mask_text(mask, text, strlen(text));
	is_int(strlen(text), 1000000, "a large text, a long token");
	free(mask);
	free(text);

	text = repeat("\\u0061", 150000);
	mask = make_mask(token);
	dwf_mask_text(mask, text, strlen(text));
	is_int(strspn(text, "*"), 900000, "a large text that is all token");
	free(mask);
	free(text);
	free(token);
}

int
main(void)
{
	test_cases();
	test_base64();
	test_cuts();
	test_json_stays();
	test_large();
	return done_testing();
}
