/*
 * iso.c
 *	  Dates, times and intervals as Domo takes them: ISO 8601.
 *
 * PostgreSQL's own ISO output (JsonEncodeDateTime(), interval's iso_8601) will
 * not do: it knows years before 1 and after 9999, infinity and 24:00, which no
 * other reader of these forms is sure to know, and gives each part of an
 * interval a sign of its own, which ISO 8601 has not.  So what has no place is
 * told here, in words for the user.
 */
#include "postgres.h"

#include "base/compat.h"
#include "trigger/iso.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"

/* Phrases, as iso.h promises them. */
#define INFINITE		"it is infinite"
#define TOO_EARLY		"it is before the year 1"
#define TOO_LATE		"it is after the year 9999"
#define END_OF_DAY		"no day has a 24:00"
#define MIXED_SIGNS		"its parts have different signs"

/* The parts of an interval, without their sign. */
typedef struct Parts
{
	uint64		months;
	uint64		days;
	uint64		usecs;
} Parts;

static const char *check_year(int year);
static char *append_part(char *at, uint64 count, char unit);
static char *append_seconds(char *at, uint64 usecs);

const char *
dwf_iso_date(DateADT date, char *out)
{
	struct pg_tm tm;
	const char *fault;

	if (DATE_NOT_FINITE(date))
		return INFINITE;
	j2date(date + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	fault = check_year(tm.tm_year);
	if (fault == NULL)
		EncodeDateOnly(&tm, USE_ISO_DATES, out);
	return fault;
}

static const char *
check_year(int year)
{
	if (year < 1)
		return TOO_EARLY;
	return year > 9999 ? TOO_LATE : NULL;
}

const char *
dwf_iso_time(TimeADT time, char *out)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (time >= USECS_PER_DAY)
		return END_OF_DAY;
	time2tm(time, &tm, &fsec);
	EncodeTimeOnly(&tm, fsec, false, 0, USE_ISO_DATES, out);
	return NULL;
}

const char *
dwf_iso_timetz(const TimeTzADT *time, char *out)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			zone;

	if (time->time >= USECS_PER_DAY)
		return END_OF_DAY;
	timetz2tm((TimeTzADT *) time, &tm, &fsec, &zone);
	EncodeTimeOnly(&tm, fsec, true, zone, USE_XSD_DATES, out);
	return NULL;
}

const char *
dwf_iso_timestamptz(TimestampTz timestamp, char *out)
{
	struct pg_tm tm;
	fsec_t		fsec;
	const char *fault;

	if (TIMESTAMP_NOT_FINITE(timestamp))
		return INFINITE;
	if (timestamp2tm(timestamp, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	fault = check_year(tm.tm_year);
	if (fault != NULL)
		return fault;
	EncodeDateTime(&tm, fsec, false, 0, NULL, USE_XSD_DATES, out);
	strlcat(out, "Z", DWF_ISO_SIZE);
	return NULL;
}

const char *
dwf_iso_timestamp(Timestamp timestamp, char *out)
{
	const char *fault = dwf_iso_timestamptz(timestamp, out);

	/* within the years that have a form, the zone cannot be out of range */
	if (fault != NULL)
		return fault;
	timestamp =
		DatumGetTimestampTz(DirectFunctionCall1(timestamp_timestamptz,
												TimestampGetDatum(timestamp)));
	return dwf_iso_timestamptz(timestamp, out);
}

/*
 * P1Y2M3DT4H5M6.7S, with no part that is zero; PT0S for none at all.  The one
 * sign that it may have goes before the P.
 */
const char *
dwf_iso_interval(const Interval *interval, char *out)
{
	bool		is_negative = interval->month < 0 || interval->day < 0 ||
	interval->time < 0;
	int			sign = is_negative ? -1 : 1;
	Parts		parts;
	char	   *at = out;

	if (dwf_interval_is_infinite(interval))
		return INFINITE;
	if (is_negative && (interval->month > 0 || interval->day > 0 ||
						interval->time > 0))
		return MIXED_SIGNS;
	parts.months = (int64) interval->month * sign;
	parts.days = (int64) interval->day * sign;
	/* the least int64 has no counterpart */
	parts.usecs = is_negative ? -(uint64) interval->time : interval->time;

	if (is_negative)
		*at++ = '-';
	*at++ = 'P';
	at = append_part(at, parts.months / MONTHS_PER_YEAR, 'Y');
	at = append_part(at, parts.months % MONTHS_PER_YEAR, 'M');
	at = append_part(at, parts.days, 'D');
	if (parts.usecs > 0 || at[-1] == 'P')
	{
		*at++ = 'T';
		at = append_part(at, parts.usecs / USECS_PER_HOUR, 'H');
		at = append_part(at, parts.usecs % USECS_PER_HOUR / USECS_PER_MINUTE,
						 'M');
		at = append_seconds(at, parts.usecs % USECS_PER_MINUTE);
	}
	*at = '\0';
	return NULL;
}

/* Appends a part, unless it is zero; returns the new end. */
static char *
append_part(char *at, uint64 count, char unit)
{
	if (count == 0)
		return at;
	at += pg_ulltoa_n(count, at);
	*at++ = unit;
	return at;
}

/* The same for less than a minute; zero is appended where nothing else was. */
static char *
append_seconds(char *at, uint64 usecs)
{
	uint32		fraction = usecs % USECS_PER_SEC;

	if (usecs == 0 && at[-1] != 'T')
		return at;
	at += pg_ulltoa_n(usecs / USECS_PER_SEC, at);
	if (fraction > 0)
	{
		*at++ = '.';
		at = pg_ultostr_zeropad(at, fraction, MAX_TIMESTAMP_PRECISION);
		while (at[-1] == '0')
			at--;
	}
	*at++ = 'S';
	return at;
}
