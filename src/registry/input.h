/*
 * input.h
 *	  The declared inputs of a workflow, rows of domowf.workflow_input, and
 *	  whether data fits them.
 *
 * Knows PostgreSQL's structures by name only, so that pure files can use it.
 */
#ifndef DWF_INPUT_H
#define DWF_INPUT_H

#include <stdbool.h>
#include <stddef.h>

struct DwfFault;
struct DwfWorkflow;
struct JsonbContainer;
struct JsonbValue;
struct StringInfoData;

/* Faults that are told one by one; more are counted. */
#define DWF_MAX_FAULTS_TOLD		20

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

/* What does not fit, gathered so that all of it is told at once.  Begin zeroed. */
typedef struct DwfInputFaults
{
	int			count;
	bool		has_unknown;	/* a name that is not declared */
	struct StringInfoData *lines;	/* palloc'd with the first */
} DwfInputFaults;

/*
 * Checks `data`, an object, against the inputs of a workflow.  Where it does
 * not fit, returns false and describes every fault in *fault, in the current
 * memory context.  Always true for a workflow without declared inputs.
 */
extern bool dwf_input_check(const struct DwfWorkflow *workflow,
							struct JsonbContainer *data,
							struct DwfFault *fault);

/*
 * Checks a value, or NULL where there is none, as an input as a whole
 * (`element` 0) or as an element of its list, counted from 1.  What does not
 * fit is noted.
 */
extern void dwf_input_check_value(DwfInputFaults *faults,
								  const DwfInput *input, int element,
								  const struct JsonbValue *value);

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
							   const struct DwfWorkflow *workflow,
							   struct DwfFault *fault);

/* Writes a sentence with as many inputs of a workflow as it has room for. */
extern void dwf_input_list(const struct DwfWorkflow *workflow, char *out,
						   size_t size);

#endif							/* DWF_INPUT_H */
