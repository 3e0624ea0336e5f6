/*
 * domo_type.h
 *	  Domo's input types: their names, and the strings that are values of them.
 *
 * Pure: no PostgreSQL, no clock, no locale.
 */
#ifndef DWF_DOMO_TYPE_H
#define DWF_DOMO_TYPE_H

#include <stdbool.h>
#include <stddef.h>

/* Domo's input types (README.md, "Input types"). */
typedef enum DwfInputType
{
	DWF_INPUT_TEXT,
	DWF_INPUT_NUMBER,			/* an integer */
	DWF_INPUT_DECIMAL,
	DWF_INPUT_BOOLEAN,
	DWF_INPUT_DATE,
	DWF_INPUT_DATETIME,
	DWF_INPUT_TIME,
	DWF_INPUT_DURATION,
	DWF_INPUT_OBJECT,
	DWF_INPUT_PERSON,			/* an id as a string, as the next two */
	DWF_INPUT_GROUP,
	DWF_INPUT_DATASET
} DwfInputType;

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
 * NULL where it is one, else a constant phrase that says what is wrong ("there
 * is no such day"), empty where the form is just another one.  `text` need not
 * be terminated; any encoding of which ASCII is a part.
 *
 *	text		anything
 *	date		2026-04-23: a day of the calendar, years 0001 to 9999
 *	time		14:30:00 or 14:30:00.25: 00:00:00 to 23:59:59, so no 24:00 and
 *				no leap second, which few programs can hold
 *	dateTime	RFC 3339: a date, T, a time, and Z or an offset as +01:30
 *	duration	ISO 8601: P1Y2M3DT4H5M6.7S, any of its parts but at least one,
 *				or weeks alone, P4W.  A fraction of seconds only.  A sign only
 *				before P, and only a minus: the parts have no signs
 *	person, group, dataset	at least one character
 *
 * A fraction has 1 to 9 digits.
 */
extern const char *dwf_domo_check_string(DwfInputType type, const char *text,
										 size_t len);

/*
 * Checks a JSON number, in the form in which numeric prints it (no exponent),
 * as a value of `number` or `decimal`.  Returns as dwf_domo_check_string().
 *
 *	number		of integer value and any size: 42, and 42.0 too
 *	decimal		any
 */
extern const char *dwf_domo_check_number(DwfInputType type, const char *text,
										 size_t len);

#endif							/* DWF_DOMO_TYPE_H */
