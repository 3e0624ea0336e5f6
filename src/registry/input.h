/*
 * input.h
 *	  The declared inputs of a workflow, rows of domowf.workflow_input, and
 *	  whether data fits them.
 */
#ifndef DWF_INPUT_H
#define DWF_INPUT_H

#include "base/sight.h"
#include "domo/domo.h"
#include "domo/domo_type.h"

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/* Faults that are told one by one; more are counted. */
#define DWF_MAX_FAULTS_TOLD		20

/* One input; `name` in the database's encoding. */
typedef struct DwfInput
{
	char	   *name;
	DwfInputType type;
	bool		is_list;
	bool		required;
} DwfInput;

/* Those of a workflow. */
typedef struct DwfInputs
{
	int			count;			/* 0: not declared, data is not checked */
	DwfInput   *items;			/* sorted by name as strcmp() does */
} DwfInputs;

/*
 * What does not fit, gathered so that all of it is told at once.  Begin zeroed.
 * A value is shown to who may see it, and others are told that they may not.
 */
typedef struct DwfInputFaults
{
	int			count;
	bool		hides_values;	/* of any origin */
	DwfOrigin	origin;			/* of what is looked at now */
	bool		has_unknown;	/* a name that is not declared */
	StringInfo	lines;			/* palloc'd with the first */
} DwfInputFaults;

/* An input by its name in the database's encoding; NULL where there is none. */
extern const DwfInput *dwf_input_find(const DwfInputs *inputs,
									  const char *name);

/*
 * Checks `data`, an object, against the inputs of the workflow of this name.
 * Where it does not fit, returns false and describes every fault in *fault, in
 * the current memory context, with the values only where it `shows_values`.
 * Always true where no inputs are declared.
 */
extern bool dwf_input_check(const DwfInputs *inputs, const char *workflow,
							JsonbContainer *data, bool shows_values,
							DwfFault *fault);

/*
 * Checks a value, or NULL where there is none, as an input as a whole
 * (`element` 0) or as an element of its list, counted from 1.  What does not
 * fit is noted.
 */
extern void dwf_input_check_value(DwfInputFaults *faults,
								  const DwfInput *input, int element,
								  const JsonbValue *value);

/*
 * Notes that an input has a value that does not fit.  `found` is the value in
 * the database's encoding, and shown cut, without control characters and, if
 * it is a string, in quotes; NULL: the input is missing.  `element` counts from
 * 1 in a list; 0: it is the value itself.  `why` is a phrase to follow, or
 * empty ("there is no such day").
 */
extern void dwf_input_note_fault(DwfInputFaults *faults, const DwfInput *input,
								 int element, const char *found, size_t len,
								 bool is_string, const char *why);

/*
 * Describes the faults, of which there is at least one, in *fault: 22023 for
 * dwf_report_fault().
 */
extern void dwf_input_describe(const DwfInputFaults *faults,
							   const DwfInputs *inputs, const char *workflow,
							   DwfFault *fault);

/* Writes a sentence with as many of the inputs as it has room for. */
extern void dwf_input_list(const DwfInputs *inputs, char *out, size_t size);

#endif							/* DWF_INPUT_H */
