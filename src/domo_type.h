/*
 * domo_type.h
 *	  Domo's input types: their names, and the strings that are values of them.
 *
 * Pure: no PostgreSQL, no clock, no locale.
 */
#ifndef DWF_DOMO_TYPE_H
#define DWF_DOMO_TYPE_H

#include "input.h"

#include <stddef.h>

/* Reads a type's name, exactly as Domo spells it. */
extern bool dwf_domo_read_type(const char *name, DwfInputType *type);

/* A type's name, a constant. */
extern const char *dwf_domo_type_name(DwfInputType type);

/*
 * What a value of the type looks like, a constant to follow the name:
 * "an integer", "as 2026-04-23".
 */
extern const char *dwf_domo_type_form(DwfInputType type);

/* Whether values of the type are strings in JSON. */
extern bool dwf_domo_type_is_string(DwfInputType type);

/*
 * Checks a string as a value of a type whose values are strings.  Returns
 * NULL where it is one, or a constant phrase that says what is wrong: "no such
 * day".  `text` need not be terminated; any ASCII-compatible encoding.
 *
 *	date		2026-04-23, a day of the calendar, years 0001 to 9999
 *	dateTime	a date, T, a time and Z or an offset as +01:30 (RFC 3339)
 *	time		14:30:00, with a fraction of any length; 00:00:00 to 23:59:59
 *	duration	ISO 8601: P1Y2M3DT4H5M6.7S, any of its parts, or P4W
 *	person, group, dataset	at least one character
 *	text		anything
 */
extern const char *dwf_domo_check_string(DwfInputType type, const char *text,
										 size_t len);

/*
 * Checks a JSON number, as text without exponent (as numeric prints it), as a
 * value of `number` or `decimal`.  Returns as dwf_domo_check_string().
 *
 *	number		of integer value: 42 and 42.0, not 42.5
 *	decimal		any
 */
extern const char *dwf_domo_check_number(DwfInputType type, const char *text,
										 size_t len);

#endif							/* DWF_DOMO_TYPE_H */
