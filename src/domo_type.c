/*
 * domo_type.c
 *	  Domo's input types: their names, and the strings that are values of them.
 *
 * Pure: it must not know PostgreSQL, JSON or the clock.  The forms are those of
 * API.md, "Input types for data".
 */
#include "domo_type.h"

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
