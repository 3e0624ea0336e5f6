/*
 * lane.h
 *	  The lane of a request, and where the request goes.
 */
#ifndef DWF_LANE_H
#define DWF_LANE_H

#include "base/table.h"

/*
 * Where a request goes: a server as it was when the request was asked for.
 * Names are used again, so its owner is part of it.
 */
typedef struct DwfDestination
{
	NameData	server;			/* "": where the settings point, ... */
	Oid			owner;			/* ... which have neither */
	Oid			role;			/* by whose USAGE and user mapping */
} DwfDestination;

/*
 * The lane of what a role asks for: starts of one registered workflow, or,
 * where that is NULL, what there is of an operation besides, for one
 * destination.  Names are in the database's encoding.
 */
extern int64 dwf_lane_id(Oid role, const char *operation,
						 const char *workflow, const DwfDestination *to);

/* Whether the requests of a lane go to a server. */
extern bool dwf_lane_has_server(int64 lane);

/* Reads the destination of the row of the queue at hand. */
extern void dwf_lane_read_destination(const DwfTable *queue,
									  DwfDestination *to);

/* Whether two are the same. */
extern bool dwf_lane_same_destination(const DwfDestination *a,
									  const DwfDestination *b);

#endif							/* DWF_LANE_H */
