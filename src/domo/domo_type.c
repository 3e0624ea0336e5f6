/*
 * domo_type.c
 *	  Domo's input types: their names, and the strings that are values of them.
 *
 * Pure: it must not know PostgreSQL, JSON or the clock.  The forms are those of
 * README.md, "Input types".
 */
#include "domo/domo_type.h"
#include "domo/iso8601.h"

#include <string.h>

/* By DwfInputType. */
static const struct
{
	const char *name;
	const char *form;
	bool		is_string;
}			types[] = {
	[DWF_INPUT_TEXT] = {"text", "a string", true},
	[DWF_INPUT_NUMBER] = {"number", "an integer", false},
	[DWF_INPUT_DECIMAL] = {"decimal", "a number", false},
	[DWF_INPUT_BOOLEAN] = {"boolean", "true or false", false},
	[DWF_INPUT_DATE] = {"date", "as \"2026-04-23\"", true},
	[DWF_INPUT_DATETIME] = {"dateTime", "as \"2026-04-23T12:00:00Z\"", true},
	[DWF_INPUT_TIME] = {"time", "as \"14:30:00\"", true},
	[DWF_INPUT_DURATION] = {"duration", "as \"PT1H30M\"", true},
	[DWF_INPUT_OBJECT] = {"object", "a JSON object", false},
	[DWF_INPUT_PERSON] = {"person", "an id as a string", true},
	[DWF_INPUT_GROUP] = {"group", "an id as a string", true},
	[DWF_INPUT_DATASET] = {"dataset", "an id as a string", true},
};

#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

#define MAX_FRACTION	9

/* Phrases, as dwf_domo_check_string() returns them. */
#define OTHER_FORM		""
#define NO_SUCH_DAY		"there is no such day"
#define NO_SUCH_TIME	"there is no such time of day"
#define NO_ZONE			"it has no zone, Z or as +01:30"
#define NO_SUCH_ZONE	"there is no such offset"
#define EMPTY			"it is empty"
#define FRACTION		"it has a fraction"

static const char *check_date(DwfIso8601 *in);
static const char *check_time(DwfIso8601 *in);
static const char *check_date_time(DwfIso8601 *in);
static const char *check_zone(DwfIso8601 *in);
static const char *check_duration(DwfIso8601 *in);
static int	read_parts(DwfIso8601 *in, const char *units, bool with_fraction);
static bool take_fraction(DwfIso8601 *in);

bool
dwf_domo_read_type(const char *name, DwfInputType *type)
{
	for (int i = 0; i < LENGTH(types); i++)
	{
		if (strcmp(types[i].name, name) == 0)
		{
			*type = (DwfInputType) i;
			return true;
		}
	}
	return false;
}

const char *
dwf_domo_type_name(DwfInputType type)
{
	return types[type].name;
}

const char *
dwf_domo_type_form(DwfInputType type)
{
	return types[type].form;
}

bool
dwf_domo_type_is_string(DwfInputType type)
{
	return types[type].is_string;
}

const char *
dwf_domo_check_string(DwfInputType type, const char *text, size_t len)
{
	DwfIso8601	in = {text, text + len};
	const char *fault = NULL;

	switch (type)
	{
		case DWF_INPUT_TEXT:
			return NULL;
		case DWF_INPUT_DATE:
			fault = check_date(&in);
			break;
		case DWF_INPUT_DATETIME:
			fault = check_date_time(&in);
			break;
		case DWF_INPUT_TIME:
			fault = check_time(&in);
			break;
		case DWF_INPUT_DURATION:
			fault = check_duration(&in);
			break;
		case DWF_INPUT_PERSON:
		case DWF_INPUT_GROUP:
		case DWF_INPUT_DATASET:
			return len == 0 ? EMPTY : NULL;
		case DWF_INPUT_NUMBER:
		case DWF_INPUT_DECIMAL:
		case DWF_INPUT_BOOLEAN:
		case DWF_INPUT_OBJECT:
			return OTHER_FORM;
	}
	/* what follows a value is worse than what is wrong in it */
	if ((fault == NULL || *fault != '\0') && in.at < in.end)
		return OTHER_FORM;
	return fault;
}

/* A check that says more than OTHER_FORM has read on to the value's end. */
static const char *
check_date(DwfIso8601 *in)
{
	int			year;
	int			month;
	int			day;

	if (!dwf_iso8601_take_digits(in, 4, &year) || !dwf_iso8601_take(in, '-') ||
		!dwf_iso8601_take_digits(in, 2, &month) || !dwf_iso8601_take(in, '-') ||
		!dwf_iso8601_take_digits(in, 2, &day))
		return OTHER_FORM;
	if (year < 1 || month < 1 || month > 12 || day < 1 ||
		day > dwf_iso8601_days_in_month(year, month))
		return NO_SUCH_DAY;
	return NULL;
}

static const char *
check_time(DwfIso8601 *in)
{
	int			hour;
	int			minute;
	int			second;

	if (!dwf_iso8601_take_digits(in, 2, &hour) || !dwf_iso8601_take(in, ':') ||
		!dwf_iso8601_take_digits(in, 2, &minute) || !dwf_iso8601_take(in, ':') ||
		!dwf_iso8601_take_digits(in, 2, &second) || !take_fraction(in))
		return OTHER_FORM;
	return hour > 23 || minute > 59 || second > 59 ? NO_SUCH_TIME : NULL;
}

/*
 * Reads on after a part that has the form and no such value, so that what is
 * said of "2026-02-30T12" is that the form is another, and of two wrong values
 * the first.
 */
static const char *
check_date_time(DwfIso8601 *in)
{
	const char *date = check_date(in);
	const char *time = OTHER_FORM;
	const char *zone = OTHER_FORM;

	if (dwf_iso8601_take(in, 'T'))
		time = check_time(in);
	if (time == NULL || *time != '\0')
		zone = check_zone(in);
	if (zone != NULL && *zone == '\0')
		return OTHER_FORM;
	if (date != NULL)
		return date;
	return time != NULL ? time : zone;
}

static const char *
check_zone(DwfIso8601 *in)
{
	int			hour;
	int			minute;

	if (in->at == in->end)
		return NO_ZONE;
	if (dwf_iso8601_take(in, 'Z'))
		return NULL;
	if ((!dwf_iso8601_take(in, '+') && !dwf_iso8601_take(in, '-')) || !dwf_iso8601_take_digits(in, 2, &hour) ||
		!dwf_iso8601_take(in, ':') || !dwf_iso8601_take_digits(in, 2, &minute))
		return OTHER_FORM;
	return hour > 23 || minute > 59 ? NO_SUCH_ZONE : NULL;
}

/* Weeks stand alone; else any of the parts, but at least one. */
static const char *
check_duration(DwfIso8601 *in)
{
	int			parts;

	dwf_iso8601_take(in, '-');
	if (!dwf_iso8601_take(in, 'P'))
		return OTHER_FORM;
	if (in->at < in->end && in->end[-1] == 'W')
		return read_parts(in, "W", false) == 1 ? NULL : OTHER_FORM;
	parts = read_parts(in, "YMD", false);
	if (dwf_iso8601_take(in, 'T'))
	{
		int			more = read_parts(in, "HMS", true);

		if (more == 0)
			return OTHER_FORM;
		parts += more;
	}
	return parts > 0 ? NULL : OTHER_FORM;
}

/*
 * Reads numbers with units, each unit at most once and in this order; the last
 * one may have a fraction.  Returns how many.  What it stops at is not read.
 */
static int
read_parts(DwfIso8601 *in, const char *units, bool with_fraction)
{
	int			parts = 0;

	for (; *units != '\0'; units++)
	{
		DwfIso8601	part = *in;

		if (dwf_iso8601_skip_digits(&part) == 0)
			break;
		if (with_fraction && units[1] == '\0' && !take_fraction(&part))
			break;
		if (dwf_iso8601_take(&part, *units))
		{
			*in = part;
			parts++;
		}
	}
	return parts;
}

/* Reads a fraction, if there is one; false where it is none. */
static bool
take_fraction(DwfIso8601 *in)
{
	int			digits;

	if (!dwf_iso8601_take(in, '.'))
		return true;
	digits = dwf_iso8601_skip_digits(in);
	return digits >= 1 && digits <= MAX_FRACTION;
}

const char *
dwf_domo_check_number(DwfInputType type, const char *text, size_t len)
{
	const char *point = memchr(text, '.', len);

	if (type == DWF_INPUT_DECIMAL || point == NULL)
		return NULL;
	for (point++; point < text + len; point++)
	{
		if (*point != '0')
			return FRACTION;
	}
	return NULL;
}
