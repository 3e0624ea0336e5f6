/*
 * way_back.h
 *	  'column<-field': what came of a request is written back into its row.
 */
#ifndef DWF_WAY_BACK_H
#define DWF_WAY_BACK_H

#include "trigger/assignment.h"

#include "commands/trigger.h"
#include "utils/jsonb.h"

/* The columns of a trigger that get something, and its table's primary key. */
typedef struct DwfWayBack DwfWayBack;

/*
 * Works out one more argument of this kind.  `way_back` is what those
 * before made, or NULL; `table` is the one that the trigger was made on.
 * Returns NULL, with in *why, *detail and *hint what cannot work, as phrases
 * and sentences; *detail and *hint may be NULL.
 */
extern DwfWayBack *dwf_way_back_add(DwfWayBack *way_back,
									const TriggerData *data, Oid table,
									const DwfAssignment *assignment,
									const char **why, const char **detail,
									const char **hint);

/*
 * Where what comes of the row at hand is written back, as domowf.queue keeps it:
 * the table, the columns and values of its primary key, columns and fields.
 * palloc'd.
 */
extern Jsonb *dwf_way_back_of(const DwfWayBack *way_back, TupleTableSlot *row);

#endif							/* DWF_WAY_BACK_H */
