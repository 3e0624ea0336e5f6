/*
 * operation.c
 *	  What Domo can be asked to do: the table.
 *
 * Pure: it must not know PostgreSQL, libcurl or the clock.
 */
#include "domo/operation.h"

#include <stddef.h>
#include <string.h>

#define API "/api/workflow/v1"

static const DwfOperationRow rows[DWF_OPERATIONS] = {
	[DWF_START] = {
		.name = "start",
		.subject = "start of workflow",
		.invalid = "start",
		.done = "started",
		.method = DWF_POST,
		.path = API "/instances/message",
		.asks = DWF_ASKS_START,
		.promises = DWF_PROMISES_INSTANCE,
		.makes_instance = true,
		.queued = true,
	},
	[DWF_CANCEL] = {
		.name = "cancel",
		.subject = "cancel of workflow instance",
		.invalid = "cancel",
		.done = "canceled",
		.method = DWF_POST,
		.path = API "/instances/",
		.path_end = "/cancel",
		.asks = DWF_ASKS_ID,
		.promises = DWF_PROMISES_INSTANCE,
		.repeatable = true,
		.queued = true,
	},
	[DWF_SET_PERMISSIONS] = {
		.name = "set_permissions",
		.subject = "set_permissions of workflow",
		.invalid = "permission",
		.done = "changed permissions of",
		.method = DWF_POST,
		.path = API "/models/",
		.path_end = "/permissions",
		.asks = DWF_ASKS_PERMISSIONS,
		.promises = DWF_PROMISES_NOTHING,
		.repeatable = true,
		.queued = true,
		.by_model = true,
	},

	/*
	 * Not documented by Domo: several clients use it.  What asks for it is
	 * off unless domowf.track_instances is on.
	 */
	[DWF_READ_INSTANCE] = {
		.name = "read_instance",
		.subject = "read of workflow instance",
		.invalid = "read",
		.method = DWF_GET,
		.path = API "/instances/",
		.path_end = "",
		.asks = DWF_ASKS_ID,
		.promises = DWF_PROMISES_INSTANCE,
		.repeatable = true,
	},
};

const DwfOperationRow *
dwf_operation(DwfOperation operation)
{
	return &rows[operation];
}

const char *
dwf_operation_name(DwfOperation operation)
{
	return rows[operation].name;
}

bool
dwf_operation_find_queued(const char *name, DwfOperation *operation)
{
	for (int i = 0; i < DWF_OPERATIONS; i++)
	{
		if (rows[i].queued && strcmp(rows[i].name, name) == 0)
		{
			*operation = (DwfOperation) i;
			return true;
		}
	}
	return false;
}
