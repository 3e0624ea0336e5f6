/*
 * connection_view.h
 *	  What a worker says of its connections.
 */
#ifndef DWF_CONNECTION_VIEW_H
#define DWF_CONNECTION_VIEW_H

#include "base/shared.h"

#include "executor/tuptable.h"

/* The columns of domowf.connection_status, in their order. */
typedef enum ConnectionColumn
{
	CONNECTION_SERVER,
	CONNECTION_ROLE,
	CONNECTION_STATE,
	CONNECTION_IN_FLIGHT,
	CONNECTION_SENT,
	CONNECTION_FAILED,
	CONNECTION_PAUSED_UNTIL,
	CONNECTION_REASON
} ConnectionColumn;

#define CONNECTION_COLUMNS	(CONNECTION_REASON + 1)

extern const Oid dwf_connection_view_types[CONNECTION_COLUMNS];

/* Sets a row, whose columns are of these types; reasons of requests, or not. */
extern void dwf_connection_view_fill(TupleTableSlot *slot,
									 const DwfConnectionStatus *row,
									 bool may_see_requests);

#endif							/* DWF_CONNECTION_VIEW_H */
