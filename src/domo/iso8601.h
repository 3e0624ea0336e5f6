/*
 * iso8601.h
 *	  Reading dates and times that are written as ISO 8601.
 *
 * Pure: no PostgreSQL, no clock, no locale.
 */
#ifndef DWF_ISO8601_H
#define DWF_ISO8601_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text that is read from left to right; what was read is behind `at`. */
typedef struct DwfIso8601
{
	const char *at;
	const char *end;
} DwfIso8601;

/* Reads a character, if it is this one. */
extern bool dwf_iso8601_take(DwfIso8601 *in, char c);

/* Reads so many digits; false, somewhere among them, where there are fewer. */
extern bool dwf_iso8601_take_digits(DwfIso8601 *in, int count, int *value);

/* Reads all digits that follow; returns how many. */
extern int	dwf_iso8601_skip_digits(DwfIso8601 *in);

/* Of a month from 1 to 12, in the proleptic Gregorian calendar. */
extern int	dwf_iso8601_days_in_month(int year, int month);

/*
 * Reads a time with a zone, as services write it: a blank for the T, a comma
 * for the point, any number of digits behind it, and a zone without minutes or
 * colon pass.  Microseconds since 1970-01-01 UTC in *usec.  What we send is
 * held against stricter forms (domo_type.c).
 */
extern bool dwf_iso8601_read_time(const char *text, int64_t *usec);

#endif							/* DWF_ISO8601_H */
