/*
 * token.c
 *	  What may be a token, wherever it comes from: a setting, a file, a mapping.
 *
 * It must not know PostgreSQL, nor say anything of what it looks at.
 */
#include "http/token.h"

bool
dwf_token_is_one(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] <= 0x20 || text[i] >= 0x7F)
			return false;
	}
	return len > 0;
}

size_t
dwf_token_cut(char *text, size_t len)
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	text[len] = '\0';
	return len;
}
