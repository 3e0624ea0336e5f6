/*
 * text.c
 *	  Text that people are to read, in a buffer of fixed size.
 *
 * It is used where memory cannot be asked for, in an abort and in shared
 * memory, and for foreign text: whatever that holds, what comes out is one line
 * in the database's encoding.
 */
#include "postgres.h"

#include "base/text.h"
#include "domo/json.h"

#include "mb/pg_wchar.h"

void
dwf_text_show(char *out, size_t size, const char *text)
{
	bool		is_utf8 = GetDatabaseEncoding() == PG_UTF8;
	size_t		len = strlen(text);
	size_t		at = 0;
	size_t		used = 0;

	while (at < len)
	{
		size_t		step = dwf_json_utf8_length(text + at, len - at);
		unsigned char c = (unsigned char) text[at];

		if (used + Max(step, 1) + sizeof("...") > size)
		{
			memcpy(out + used, "...", 3);
			used += 3;
			break;
		}
		if (step > 1 && is_utf8)
		{
			memcpy(out + used, text + at, step);
			used += step;
		}
		else
			out[used++] = (step != 1 || c < 0x20 || c == 0x7F) ? '?' : c;
		at += Max(step, 1);
	}
	out[used] = '\0';
}

void
dwf_text_cut(char *out, size_t size, const char *text)
{
	size_t		len = pg_mbcliplen(text, strlen(text), size - 1);

	memcpy(out, text, len);
	out[len] = '\0';
}
