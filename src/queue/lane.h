/*
 * lane.h
 *	  The lane of a request.
 */
#ifndef DWF_LANE_H
#define DWF_LANE_H

/*
 * The lane of what a role asks for: starts of one registered workflow, or,
 * where that is NULL, what there is of an operation besides.  Names are in the
 * database's encoding.
 */
extern int64 dwf_lane_id(Oid role, const char *operation,
						 const char *workflow);

#endif							/* DWF_LANE_H */
