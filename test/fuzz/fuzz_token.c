/*
 * fuzz_token.c
 *	  Fuzz target: any bytes as a token, of a setting or an option of a mapping,
 *	  and as the text of a token file.
 *
 * What passes is all of one header and nothing else, and what a file holds is
 * a token with or without one newline behind it.
 */
#include "../../src/http/token.c"

#include "fuzz.h"

#include <ctype.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *bytes = copy_exactly(data, size);
	char	   *text = malloc(size + 1);
	bool		is_one = dwf_token_is_one(bytes, size);
	bool		is_visible = size > 0;
	size_t		len;

	REQUIRE(text != NULL);
	for (size_t i = 0; i < size; i++)
		is_visible = is_visible && data[i] < 0x80 && isgraph(data[i]);
	REQUIRE(is_one == is_visible);

	if (size > 0)
		memcpy(text, data, size);
	len = dwf_token_cut(text, size);
	REQUIRE(len <= size && size - len <= 2 && text[len] == '\0');
	REQUIRE(len == 0 || memcmp(text, data, len) == 0);
	for (size_t i = len; i < size; i++)
		REQUIRE(data[i] == '\r' || data[i] == '\n');
	REQUIRE(!is_one || len == size);
	if (dwf_token_is_one(text, len))
		REQUIRE(strlen(text) == len && strpbrk(text, " \t\r\n") == NULL);
	free(text);
	free(bytes);
	return 0;
}
