/*
 * iso8601.c
 *	  Reading dates and times that are written as ISO 8601.
 *
 * Pure: it must not know PostgreSQL or the clock.
 */
#include "domo/iso8601.h"

#include <string.h>

#define USECS_PER_SEC	INT64_C(1000000)

static int64_t take_microseconds(DwfIso8601 *in);
static bool take_zone_of_time(DwfIso8601 *in, int *seconds);
static int64_t days_from_civil(int year, int month, int day);

bool
dwf_iso8601_take(DwfIso8601 *in, char c)
{
	if (in->at == in->end || *in->at != c)
		return false;
	in->at++;
	return true;
}

bool
dwf_iso8601_take_digits(DwfIso8601 *in, int count, int *value)
{
	for (*value = 0; count > 0; count--, in->at++)
	{
		if (in->at == in->end || *in->at < '0' || *in->at > '9')
			return false;
		*value = *value * 10 + (*in->at - '0');
	}
	return true;
}

int
dwf_iso8601_skip_digits(DwfIso8601 *in)
{
	const char *start = in->at;

	while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
		in->at++;
	return in->at - start;
}

int
dwf_iso8601_days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && is_leap ? 1 : 0);
}

bool
dwf_iso8601_read_time(const char *text, int64_t *usec)
{
	DwfIso8601	in = {text, text + strlen(text)};
	int			year,
				month,
				day,
				hour,
				minute,
				second,
				zone;
	int64_t		fraction = 0;

	if (!dwf_iso8601_take_digits(&in, 4, &year) ||
		!dwf_iso8601_take(&in, '-') ||
		!dwf_iso8601_take_digits(&in, 2, &month) ||
		!dwf_iso8601_take(&in, '-') ||
		!dwf_iso8601_take_digits(&in, 2, &day) ||
		!(dwf_iso8601_take(&in, 'T') || dwf_iso8601_take(&in, ' ')) ||
		!dwf_iso8601_take_digits(&in, 2, &hour) ||
		!dwf_iso8601_take(&in, ':') ||
		!dwf_iso8601_take_digits(&in, 2, &minute) ||
		!dwf_iso8601_take(&in, ':') ||
		!dwf_iso8601_take_digits(&in, 2, &second))
		return false;
	if (dwf_iso8601_take(&in, '.') || dwf_iso8601_take(&in, ','))
		fraction = take_microseconds(&in);
	if (fraction < 0 || !take_zone_of_time(&in, &zone) || in.at != in.end)
		return false;

	/* a leap second is counted as the one that follows, as PostgreSQL does */
	if (year < 1 || month < 1 || month > 12 || day < 1 ||
		day > dwf_iso8601_days_in_month(year, month) || hour > 23 ||
		minute > 59 || second > 60)
		return false;
	*usec = (days_from_civil(year, month, day) * 86400 + hour * 3600 +
			 minute * 60 + second - zone) * USECS_PER_SEC + fraction;
	return true;
}

/* Microseconds of a fraction, what is less cut off; -1: no digits. */
static int64_t
take_microseconds(DwfIso8601 *in)
{
	int64_t		fraction = 0;
	int64_t		weight = USECS_PER_SEC / 10;
	const char *at = in->at;

	if (dwf_iso8601_skip_digits(in) == 0)
		return -1;
	for (; at < in->at; at++, weight /= 10)
		fraction += (*at - '0') * weight;
	return fraction;
}

/* Z, +hh:mm, +hhmm or +hh. */
static bool
take_zone_of_time(DwfIso8601 *in, int *seconds)
{
	int			hours;
	int			minutes = 0;
	bool		is_west = in->at < in->end && *in->at == '-';
	bool		has_colon;

	*seconds = 0;
	if (dwf_iso8601_take(in, 'Z') || dwf_iso8601_take(in, 'z'))
		return true;
	if ((!dwf_iso8601_take(in, '+') && !dwf_iso8601_take(in, '-')) ||
		!dwf_iso8601_take_digits(in, 2, &hours))
		return false;
	has_colon = dwf_iso8601_take(in, ':');
	if ((has_colon || in->at < in->end) &&
		!dwf_iso8601_take_digits(in, 2, &minutes))
		return false;
	*seconds = (hours * 60 + minutes) * 60 * (is_west ? -1 : 1);
	return hours <= 15 && minutes <= 59;
}

/*
 * Days since 1970-01-01 in the proleptic Gregorian calendar, for years from 1:
 * years start in March, so that the leap day is the last one.
 */
static int64_t
days_from_civil(int year, int month, int day)
{
	int64_t		y = year - (month <= 2);
	int64_t		m = (month + 9) % 12;

	return y * 365 + y / 4 - y / 100 + y / 400 +
		(m * 306 + 5) / 10 + day - 1 - 719468;
}
