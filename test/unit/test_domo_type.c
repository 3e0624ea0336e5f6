/*
 * test_domo_type.c
 *	  Unit tests of domo_type.c: names of types, and what is a value of one.
 *
 * A value that passes here is sent to Domo, where nobody knows what becomes of
 * a wrong one; a value refused by mistake cannot be sent at all.  So each form
 * is tested on both sides of its edges.
 */
#include "../../src/domo/domo_type.c"
#include "../../src/domo/iso8601.c"

#include "tap.h"

#include <stdlib.h>

/* What dwf_domo_check_string() is to say of a text; NULL: it is a value. */
typedef struct Case
{
	const char *text;
	const char *fault;
} Case;

static const Case dates[] = {
	{"2026-04-23", NULL},
	{"0001-01-01", NULL},
	{"9999-12-31", NULL},
	{"2024-02-29", NULL},
	{"2000-02-29", NULL},
	{"2026-01-31", NULL},
	{"2026-04-30", NULL},
	{"2026-02-29", NO_SUCH_DAY},
	{"2026-02-30", NO_SUCH_DAY},
	{"1900-02-29", NO_SUCH_DAY},
	{"2026-04-31", NO_SUCH_DAY},
	{"2026-01-32", NO_SUCH_DAY},
	{"2026-00-10", NO_SUCH_DAY},
	{"2026-13-10", NO_SUCH_DAY},
	{"2026-04-00", NO_SUCH_DAY},
	{"0000-04-23", NO_SUCH_DAY},
	{"", OTHER_FORM},
	{"2026", OTHER_FORM},
	{"2026-04", OTHER_FORM},
	{"2026-04-2", OTHER_FORM},
	{"2026-4-23", OTHER_FORM},
	{"26-04-23", OTHER_FORM},
	{"20260423", OTHER_FORM},
	{"2026/04/23", OTHER_FORM},
	{"23-04-2026", OTHER_FORM},
	{"12026-04-23", OTHER_FORM},
	{"-2026-04-23", OTHER_FORM},
	{"+2026-04-23", OTHER_FORM},
	{"2026-04-23 ", OTHER_FORM},
	{" 2026-04-23", OTHER_FORM},
	{"2026-02-30x", OTHER_FORM},
	{"2026-04-23T12:00:00Z", OTHER_FORM},
	{"0044-03-15 BC", OTHER_FORM},
	{"infinity", OTHER_FORM},
	{"tomorrow", OTHER_FORM},
	{"２０２６-04-23", OTHER_FORM},
	{"2026-\xFF\xFF-23", OTHER_FORM},
};

static const Case times[] = {
	{"14:30:00", NULL},
	{"00:00:00", NULL},
	{"23:59:59", NULL},
	{"23:59:59.9", NULL},
	{"14:30:00.123456", NULL},
	{"14:30:00.123456789", NULL},
	{"24:00:00", NO_SUCH_TIME},
	{"23:60:00", NO_SUCH_TIME},
	{"23:59:60", NO_SUCH_TIME},
	{"99:99:99", NO_SUCH_TIME},
	{"14:30:00.1234567890", OTHER_FORM},
	{"14:30:00.", OTHER_FORM},
	{"14:30:00,5", OTHER_FORM},
	{"14:30", OTHER_FORM},
	{"14:30:", OTHER_FORM},
	{"14", OTHER_FORM},
	{"4:30:00", OTHER_FORM},
	{"143000", OTHER_FORM},
	{"14:30:00Z", OTHER_FORM},
	{"14:30:00+02", OTHER_FORM},
	{"02:30:00 PM", OTHER_FORM},
	{"-4:30:00", OTHER_FORM},
	{"T14:30:00", OTHER_FORM},
	{"24:00:00Z", OTHER_FORM},
	{"", OTHER_FORM},
};

static const Case date_times[] = {
	{"2026-04-23T12:00:00Z", NULL},
	{"2026-04-23T12:00:00.000Z", NULL},
	{"2026-04-23T12:00:00.123456789Z", NULL},
	{"2026-04-23T12:00:00+00:00", NULL},
	{"2026-04-23T12:00:00-00:00", NULL},
	{"2026-04-23T12:00:00+05:45", NULL},
	{"2026-04-23T12:00:00.5-23:59", NULL},
	{"0001-01-01T00:00:00Z", NULL},
	{"9999-12-31T23:59:59.999999Z", NULL},
	{"2026-02-30T12:00:00Z", NO_SUCH_DAY},
	{"2026-02-30T24:00:00+99:00", NO_SUCH_DAY},
	{"2026-04-23T24:00:00Z", NO_SUCH_TIME},
	{"2016-12-31T23:59:60Z", NO_SUCH_TIME},
	{"2026-04-23T12:00:00+24:00", NO_SUCH_ZONE},
	{"2026-04-23T12:00:00+01:60", NO_SUCH_ZONE},
	{"2026-04-23T12:00:00", NO_ZONE},
	{"2026-04-23T12:00:00.5", NO_ZONE},
	{"2026-04-23T12:00:00+01", OTHER_FORM},
	{"2026-04-23T12:00:00+0100", OTHER_FORM},
	{"2026-04-23T12:00:00+1:00", OTHER_FORM},
	{"2026-04-23T12:00:00 Z", OTHER_FORM},
	{"2026-04-23T12:00:00UTC", OTHER_FORM},
	{"2026-04-23T12:00:00ZZ", OTHER_FORM},
	{"2026-04-23T12:00:00z", OTHER_FORM},
	{"2026-04-23t12:00:00Z", OTHER_FORM},
	{"2026-04-23 12:00:00Z", OTHER_FORM},
	{"2026-04-23 12:00:00+02", OTHER_FORM},
	{"2026-04-23T12:00Z", OTHER_FORM},
	{"2026-04-23T12:00:00.Z", OTHER_FORM},
	{"2026-04-23T", OTHER_FORM},
	{"2026-04-23", OTHER_FORM},
	{"2026-02-30", OTHER_FORM},
	{"2026-04-23T12:00:00\xC3\xA9", OTHER_FORM},
	{"T12:00:00Z", OTHER_FORM},
	{"Z", OTHER_FORM},
	{"", OTHER_FORM},
	{"1745409600000", OTHER_FORM},
	{"infinity", OTHER_FORM},
};

static const Case durations[] = {
	{"PT1H30M", NULL},
	{"P1Y2M3DT4H5M6.7S", NULL},
	{"P1Y", NULL},
	{"P1M", NULL},
	{"P1D", NULL},
	{"P0D", NULL},
	{"PT0S", NULL},
	{"PT36H", NULL},
	{"PT1H6S", NULL},
	{"P1YT1S", NULL},
	{"P400D", NULL},
	{"P4W", NULL},
	{"PT0.123456789S", NULL},
	{"P99999999999999999999Y", NULL},
	{"-PT1H30M", NULL},
	{"-P4W", NULL},
	{"", OTHER_FORM},
	{"P", OTHER_FORM},
	{"-P", OTHER_FORM},
	{"-", OTHER_FORM},
	{"PT", OTHER_FORM},
	{"P1YT", OTHER_FORM},
	{"PW", OTHER_FORM},
	{"W", OTHER_FORM},
	{"P1Y4W", OTHER_FORM},
	{"P4W1D", OTHER_FORM},
	{"P4WT1H", OTHER_FORM},
	{"P4WW", OTHER_FORM},
	{"PT4W", OTHER_FORM},
	{"P1H", OTHER_FORM},
	{"PT1D", OTHER_FORM},
	{"P1D1Y", OTHER_FORM},
	{"P1M1M", OTHER_FORM},
	{"PT1S1H", OTHER_FORM},
	{"PT1.5H", OTHER_FORM},
	{"P1.5D", OTHER_FORM},
	{"PT1.S", OTHER_FORM},
	{"PT.5S", OTHER_FORM},
	{"PT1,5S", OTHER_FORM},
	{"PT1.1234567890S", OTHER_FORM},
	{"PT-1H", OTHER_FORM},
	{"P1DT-1H", OTHER_FORM},
	{"+PT1H", OTHER_FORM},
	{"--PT1H", OTHER_FORM},
	{"pt1h", OTHER_FORM},
	{"P1Dt1H", OTHER_FORM},
	{"1H30M", OTHER_FORM},
	{"PT1H30", OTHER_FORM},
	{"PT1H 30M", OTHER_FORM},
	{"PT1H30M ", OTHER_FORM},
	{" PT1H30M", OTHER_FORM},
	{"01:30:00", OTHER_FORM},
	{"1 day", OTHER_FORM},
	{"90", OTHER_FORM},
};

static const Case ids[] = {
	{"481303514", NULL},
	{"a8afdc89-9491-4ee4-b7c3-b9e9b86c0138", NULL},
	{"any text", NULL},
	{"0", NULL},
	{"", EMPTY},
};

static const Case texts[] = {
	{"", NULL},
	{"anything", NULL},
	{"\xFF", NULL},
};

static void
check_names(void)
{
	static const char *const names[] = {
		"text", "number", "decimal", "boolean", "date", "dateTime", "time",
		"duration", "object", "person", "group", "dataset"
	};
	static const char *const others[] = {
		"", "Text", "TEXT", "datetime", "DateTime", "integer", "string", "texts",
		"tex", " text", "list"
	};
	DwfInputType type;

	is_int(LENGTH(types), LENGTH(names), "there are twelve types");
	for (int i = 0; i < LENGTH(names); i++)
	{
		ok(dwf_domo_read_type(names[i], &type) && (int) type == i,
		   "%s is a type", names[i]);
		is_str(dwf_domo_type_name((DwfInputType) i), names[i],
			   "and its name is %s", names[i]);
		ok(strlen(dwf_domo_type_form((DwfInputType) i)) > 0,
		   "%s has a form", names[i]);
	}
	for (int i = 0; i < LENGTH(others); i++)
		ok(!dwf_domo_read_type(others[i], &type), "\"%s\" is no type",
		   others[i]);
}

/*
 * Each text is handed over in memory of just its size, so that a sanitizer
 * sees a byte too many that is read.
 */
static const char *
check_exact(DwfInputType type, const char *text, size_t len)
{
	char	   *copy = malloc(len > 0 ? len : 1);
	const char *fault;

	memcpy(copy, text, len);
	fault = dwf_domo_check_string(type, copy, len);
	free(copy);
	return fault;
}

static void
check_cases(DwfInputType type, const Case *cases, int count)
{
	ok(dwf_domo_type_is_string(type), "%s is a string in JSON",
	   dwf_domo_type_name(type));
	for (int i = 0; i < count; i++)
		is_str(check_exact(type, cases[i].text, strlen(cases[i].text)),
			   cases[i].fault, "%s \"%s\": %s", dwf_domo_type_name(type),
			   cases[i].text, cases[i].fault == NULL ? "fits" : "is refused");
}

/* No beginning of a value reads past its end, and a NUL ends nothing. */
static void
check_cut_values(void)
{
	static const struct
	{
		DwfInputType type;
		const char *text;
	}			values[] = {
		{DWF_INPUT_DATE, "2026-04-23"},
		{DWF_INPUT_TIME, "14:30:00.5"},
		{DWF_INPUT_DATETIME, "2026-04-23T12:00:00.5+01:30"},
		{DWF_INPUT_DURATION, "-P1Y2M3DT4H5M6.7S"},
	};

	for (int i = 0; i < LENGTH(values); i++)
	{
		const char *text = values[i].text;
		size_t		len = strlen(text);
		char		with_nul[64];

		for (size_t cut = 0; cut < len; cut++)
			check_exact(values[i].type, text, cut);
		ok(check_exact(values[i].type, text, len) == NULL, "%s fits", text);
		memcpy(with_nul, text, len + 1);
		memcpy(with_nul + len + 1, "x", 1);
		is_str(check_exact(values[i].type, with_nul, len + 1), OTHER_FORM,
			   "%s and a NUL does not", text);
		is_str(check_exact(values[i].type, with_nul, len + 2), OTHER_FORM,
			   "%s, a NUL and more does not", text);
	}
}

/* Every day of four centuries, against a count of its own. */
static void
check_calendar(void)
{
	int			days = 0;

	for (int n = 0; n < 400 * 12 * 40; n++)
	{
		char		text[32];

		snprintf(text, sizeof(text), "%04d-%02d-%02d", 1900 + n / 480,
				 n / 40 % 12 + 1, n % 40);
		days += dwf_domo_check_string(DWF_INPUT_DATE, text,
									  strlen(text)) == NULL;
	}
	is_int(days, 146097, "400 years have 146097 days");
}

static void
check_numbers(void)
{
	static const char *const integers[] = {
		"0", "42", "-42", "42.0", "-1.000", "9223372036854775808",
		"9007199254740993", "1000000000000000000000000000000000000000",
		"100.00"
	};
	static const char *const fractions[] = {
		"42.5", "0.1", "-0.5", "1.001", "42.05", "0.0000000000000000000001"
	};

	for (int i = 0; i < LENGTH(integers); i++)
		is_str(dwf_domo_check_number(DWF_INPUT_NUMBER, integers[i],
									 strlen(integers[i])), NULL,
			   "%s is a number", integers[i]);
	for (int i = 0; i < LENGTH(fractions); i++)
	{
		is_str(dwf_domo_check_number(DWF_INPUT_NUMBER, fractions[i],
									 strlen(fractions[i])), FRACTION,
			   "%s is no number", fractions[i]);
		is_str(dwf_domo_check_number(DWF_INPUT_DECIMAL, fractions[i],
									 strlen(fractions[i])), NULL,
			   "%s is a decimal", fractions[i]);
	}
	is_str(dwf_domo_check_number(DWF_INPUT_NUMBER, "42.5", 2), NULL,
		   "no more is read than is there");
}

/* Types that are no strings in JSON have none. */
static void
check_others(void)
{
	static const DwfInputType others[] = {
		DWF_INPUT_NUMBER, DWF_INPUT_DECIMAL, DWF_INPUT_BOOLEAN,
		DWF_INPUT_OBJECT
	};

	for (int i = 0; i < LENGTH(others); i++)
	{
		ok(!dwf_domo_type_is_string(others[i]), "%s is no string in JSON",
		   dwf_domo_type_name(others[i]));
		is_str(dwf_domo_check_string(others[i], "42", 2), OTHER_FORM,
			   "so no string is one");
	}
}

int
main(void)
{
	check_names();
	check_cases(DWF_INPUT_DATE, dates, LENGTH(dates));
	check_cases(DWF_INPUT_TIME, times, LENGTH(times));
	check_cases(DWF_INPUT_DATETIME, date_times, LENGTH(date_times));
	check_cases(DWF_INPUT_DURATION, durations, LENGTH(durations));
	check_cases(DWF_INPUT_PERSON, ids, LENGTH(ids));
	check_cases(DWF_INPUT_GROUP, ids, LENGTH(ids));
	check_cases(DWF_INPUT_DATASET, ids, LENGTH(ids));
	check_cases(DWF_INPUT_TEXT, texts, LENGTH(texts));
	check_cut_values();
	check_calendar();
	check_numbers();
	check_others();
	return done_testing();
}
