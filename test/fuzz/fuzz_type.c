/*
 * fuzz_type.c
 *	  Fuzz target: any text as a value of each of Domo's input types, and as a
 *	  time that a service has written.
 *
 * A date that passes is a day of the C library's calendar as well, a dateTime
 * that passes is read as a time, and a time that was read is written and read
 * again to the same microsecond.
 */
#include "../../src/domo/domo_type.c"
#include "../../src/domo/iso8601.c"

#include "fuzz.h"

#include <time.h>

static void require_day(const char *text);
static void require_time(const char *text, bool must_be_one);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	DwfInputType type;
	char	   *exact;
	char	   *text;

	if (size == 0)
		return 0;
	type = data[0] % (DWF_INPUT_DATASET + 1);
	exact = copy_exactly(data + 1, --size);
	text = malloc(size + 1);
	memcpy(text, exact, size);
	text[size] = '\0';
	if (type == DWF_INPUT_NUMBER || type == DWF_INPUT_DECIMAL)
		(void) dwf_domo_check_number(type, exact, size);
	else if (dwf_domo_type_is_string(type))
	{
		bool		passes = dwf_domo_check_string(type, exact, size) == NULL;

		REQUIRE(!passes || type == DWF_INPUT_TEXT || size > 0);
		if (passes && type == DWF_INPUT_DATE)
			require_day(text);
		require_time(text, passes && type == DWF_INPUT_DATETIME);
	}
	free(text);
	free(exact);
	return 0;
}

static void
require_day(const char *text)
{
	struct tm	day = {0};
	struct tm	same;
	time_t		time;

	REQUIRE(strlen(text) == 10);
	REQUIRE(strptime(text, "%Y-%m-%d", &day) == text + 10);
	time = timegm(&day);
	REQUIRE(gmtime_r(&time, &same) != NULL);
	REQUIRE(same.tm_mday == day.tm_mday && same.tm_mon == day.tm_mon &&
			same.tm_year == day.tm_year);
}

static void
require_time(const char *text, bool must_be_one)
{
	int64_t		usec;
	int64_t		again;
	struct tm	parts;
	time_t		seconds;
	int			fraction;
	char		written[80];

	if (!dwf_iso8601_read_time(text, &usec))
	{
		/* as PostgreSQL, it knows no zone beyond 15:59 */
		REQUIRE(!must_be_one || atoi(text + strlen(text) - 5) > 15);
		return;
	}
	fraction = (int) (usec % 1000000);
	fraction += fraction < 0 ? 1000000 : 0;
	seconds = (time_t) ((usec - fraction) / 1000000);
	REQUIRE(gmtime_r(&seconds, &parts) != NULL);

	/* an offset may lead out of the years that are written with four digits */
	if (parts.tm_year + 1900 < 1 || parts.tm_year + 1900 > 9999)
		return;
	snprintf(written, sizeof(written), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
			 parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
			 parts.tm_hour, parts.tm_min, parts.tm_sec, fraction);
	REQUIRE(dwf_domo_check_string(DWF_INPUT_DATETIME, written,
								  strlen(written)) == NULL);
	REQUIRE(dwf_iso8601_read_time(written, &again) && again == usec);
}
