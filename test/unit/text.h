/*
 * text.h
 *	  Long texts, and what is valid in them, for tests that include json.c.
 */
#ifndef DWF_TEXT_H
#define DWF_TEXT_H

#include <stdlib.h>
#include <string.h>

/* A string of `count` times `text`; malloc'd. */
__attribute__((unused))
static char *
repeat(const char *text, int count)
{
	char	   *all = malloc(strlen(text) * count + 1);

	*all = '\0';
	for (int i = 0; i < count; i++)
		strcpy(all + i * strlen(text), text);
	return all;
}

__attribute__((unused))
static bool
is_utf8(const char *text)
{
	size_t		step;

	for (; *text != '\0'; text += step)
	{
		step = dwf_json_utf8_length(text, strlen(text));
		if (step == 0)
			return false;
	}
	return true;
}

#endif							/* DWF_TEXT_H */
