/*
 * test_token.c
 *	  Unit tests of token.c: what may be a token.
 *
 * It becomes a header: with a line break in it, it would be two.
 */
#include "../../src/http/token.c"

#include "tap.h"

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

typedef struct Case
{
	const char *text;			/* of a file */
	size_t		len;
	const char *token;			/* NULL: none */
} Case;

#define BYTES(text) text, sizeof(text) - 1

static const Case cases[] = {
	{BYTES("DDCI0123456789"), "DDCI0123456789"},
	{BYTES("!~"), "!~"},
	{BYTES("token\n"), "token"},
	{BYTES("token\r\n"), "token"},
	{BYTES("token\r"), "token"},
	{BYTES(""), NULL},
	{BYTES("\n"), NULL},
	{BYTES("\r\n"), NULL},
	{BYTES("token\n\n"), NULL},
	{BYTES("token\n\r\n"), NULL},
	{BYTES("one\ntwo"), NULL},
	{BYTES("one\r\nX: two"), NULL},
	{BYTES(" token"), NULL},
	{BYTES("token "), NULL},
	{BYTES("to\tken"), NULL},
	{BYTES("to\0ken"), NULL},
	{BYTES("token\0"), NULL},
	{BYTES("tok\x7f"), NULL},
	{BYTES("tok\xc3\xa9n"), NULL},
	{BYTES("\xef\xbb\xbftoken"), NULL},
};

int
main(void)
{
	for (int i = 0; i < LENGTH(cases); i++)
	{
		char		text[64];
		size_t		len;

		memcpy(text, cases[i].text, cases[i].len);
		len = dwf_token_cut(text, cases[i].len);
		is_str(dwf_token_is_one(text, len) ? text : NULL, cases[i].token,
			   "text %d", i);
	}
	return done_testing();
}
