/*
 * fuzz_mask.c
 *	  Fuzz target: any reply that holds a token in any of its forms.
 *
 * Whatever surrounds it, the token is not there afterwards, JSON stays JSON,
 * the length stays, and a second time changes nothing.
 *
 * Input: the token, a newline, then the text, in which a byte 01 to 05 stands
 * for the token in one of its forms.
 */
#include "../../src/http/mask.c"
#include "../../src/domo/json.c"

#include "fuzz.h"

#define MAX_TOKEN	64

static size_t write_form(char *out, uint8_t form, const char *token);

/* The token as it stands, in escapes of JSON, of URLs, of HTML, or twice. */
static size_t
write_form(char *out, uint8_t form, const char *token)
{
	static const char *const formats[] = {
		"%c", "\\u%04x", "%%%02X", "&#%d;", "\\u0025%02x",
	};
	char	   *at = out;

	for (; *token != '\0'; token++)
	{
		/* in JSON these two cannot stand for themselves */
		const char *format = form == 1 && strchr("\"\\", *token) ?
		"\\%c" : formats[form - 1];

		at += sprintf(at, format, *token);
	}
	return at - out;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = memchr(data, '\n', size);
	char		token[MAX_TOKEN + 1] = {0};
	char		form[MAX_TOKEN * 8 + 1];
	char	   *text;
	char	   *copy;
	size_t		len = 0;
	const char *fault;
	DwfJsonNode *before;
	DwfJsonNode *after;
	DwfMask    *mask;

	if (line == NULL || line == data || line - data > MAX_TOKEN)
		return 0;
	for (size_t i = 0; i < (size_t) (line - data); i++)
		token[i] = (char) (0x21 + data[i] % 94);
	text = malloc(size * sizeof(form));
	for (size_t i = line + 1 - data; i < size; i++)
	{
		if (data[i] >= 1 && data[i] <= 5)
			len += write_form(text + len, data[i], token);
		else
			text[len++] = (char) data[i];
	}
	copy = copy_exactly((uint8_t *) text, len);
	mask = malloc(dwf_mask_size(strlen(token)));
	dwf_mask_init(mask, token);
	before = dwf_json_parse(text, len, &fault);
	dwf_mask_text(mask, copy, len);
	after = dwf_json_parse(copy, len, &fault);

	/* two keys may have become one */
	REQUIRE(before == NULL || after != NULL || strstr(fault, "twice") != NULL);
	/* what takes a token's place may be the end of one */
	if (before == NULL && strchr(token, '*') == NULL)
		REQUIRE(len == 0 || memmem(copy, len, token, strlen(token)) == NULL ||
				is_json(text, len));

	/* without a quote that a token had, the rest may be another text */
	memcpy(text, copy, len);
	dwf_mask_text(mask, copy, len);
	REQUIRE(len == 0 || memcmp(text, copy, len) == 0 ||
			strpbrk(token, "*1\"") != NULL);

	dwf_json_free(before);
	dwf_json_free(after);
	free(mask);
	free(copy);
	free(text);
	return 0;
}
