/*
 * input.h
 *	  The declared inputs of a workflow: rows of domowf.workflow_input.
 *
 * Knows no PostgreSQL, so that the pure files can use it.
 */
#ifndef DWF_INPUT_H
#define DWF_INPUT_H

#include <stdbool.h>

/* Domo's input types (API.md, "Input types for data"). */
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

/* One input; `name` in the database's encoding. */
typedef struct DwfInput
{
	char	   *name;
	DwfInputType type;
	bool		is_list;
	bool		required;
} DwfInput;

#endif							/* DWF_INPUT_H */
