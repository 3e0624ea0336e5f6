/*
 * version.c
 *	  Versions in order.
 *
 * The library is loaded by a restart, the SQL changed by ALTER EXTENSION, so
 * that either may be ahead of the other.  A library knows the past only.
 */
#include <stdlib.h>

#include "base/version.h"

/* More digits than any version has, fewer than a long can hold. */
#define MAX_DIGITS	9

static bool read_number(const char **at, long *number);

bool
dwf_version_serves(const char *library, const char *sql)
{
	bool		is_earlier = false;

	if (*sql == '\0')
		return false;
	while (*library != '\0' || *sql != '\0')
	{
		long		known;
		long		asked;

		/* all of it is read, though the first difference decides */
		if (!read_number(&library, &known) || !read_number(&sql, &asked))
			return false;
		if (!is_earlier && asked > known)
			return false;
		is_earlier |= asked < known;
	}
	return true;
}

/*
 * Reads a number and the dot behind it; 0 where the version has ended.  False
 * where there is something else.
 */
static bool
read_number(const char **at, long *number)
{
	const char *start = *at;
	int			digits = 0;

	*number = 0;
	if (*start == '\0')
		return true;
	while (start[digits] >= '0' && start[digits] <= '9')
		digits++;
	if (digits == 0 || digits > MAX_DIGITS)
		return false;
	*number = strtol(start, NULL, 10);
	*at = start + digits;
	if (**at == '\0')
		return true;
	if (**at != '.' || (*at)[1] == '\0')
		return false;
	(*at)++;
	return true;
}
