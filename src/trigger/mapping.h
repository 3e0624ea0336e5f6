/*
 * mapping.h
 *	  The arguments of a trigger, worked out: which columns and constants become
 *	  which inputs of the workflow.
 */
#ifndef DWF_MAPPING_H
#define DWF_MAPPING_H

#include "registry/workflow.h"
#include "trigger/assignment.h"
#include "trigger/encode.h"
#include "trigger/way_back.h"

#include "commands/trigger.h"

/* Where the value of an input comes from: a column, or a constant. */
typedef struct DwfMappingItem
{
	const char *name;			/* of the input; @key, @order_key */
	int			attnum;			/* 0: a constant */
	DwfAssignmentRow row;
	DwfEncoder *encoder;		/* of the column */
	JsonbValue	constant;
	uint64		constant_len;	/* of its text in JSON */
} DwfMappingItem;

typedef struct DwfMapping
{
	uint64		serial;			/* of the workflow as it was then */
	char	   *source;			/* table that the trigger was made on */
	Oid			source_oid;		/* other than the trigger's: a partition's */
	Oid			owner;			/* of that table */
	int			nitems;
	DwfMappingItem *items;
	DwfMappingItem *key;		/* NULL: none */
	DwfMappingItem *order_key;	/* NULL: none */
	DwfWayBack *way_back;		/* NULL: nothing is written back */
	int			nmissing;
	DwfInput  **missing;		/* required inputs that get no value */
} DwfMapping;

/*
 * Works out the arguments of the trigger that fired, for the workflow that the
 * first one names.  What it makes is in the current memory context and points
 * to nothing outside.  Raises 22023, with the columns or inputs that there
 * are, where an argument makes no sense.
 */
extern DwfMapping *dwf_mapping_read(const TriggerData *data,
									const DwfWorkflow *workflow);

/* The name of the workflow; 22023 where the trigger has no arguments. */
extern const char *dwf_mapping_workflow(const TriggerData *data);

/* The trigger's table, `schema.table`, quoted where it has to be, palloc'd. */
extern char *dwf_mapping_table(const TriggerData *data);

#endif							/* DWF_MAPPING_H */
