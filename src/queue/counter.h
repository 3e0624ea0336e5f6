/*
 * counter.h
 *	  What has happened to requests, counted as it happens (domowf.counter).
 */
#ifndef DWF_COUNTER_H
#define DWF_COUNTER_H

#include "base/columns.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "utils/relcache.h"

/* One thing that happened.  Texts in the database's encoding; NULL: none. */
typedef struct DwfCount
{
	const char *operation;
	const char *workflow;
	const char *server;
	const char *requested_by;
	Oid			requested_by_oid;
	const char *class;			/* of the attempt that ended; NULL: none did */
	const char *outcome;		/* or in_doubt; NULL: it is queued again */
	bool		is_reopened;	/* it no longer has this outcome */
	int			attempts;		/* used, of what is settled */
	int64		waited;			/* usec since it was enqueued; -1: not settled */
	int64		took;			/* usec that Domo took; -1: it was not asked */
} DwfCount;

/* What happened in one transaction, or in a part of it. */
typedef struct DwfCounter
{
	struct DwfCounted *items;
	int			nitems;
	int			capacity;
	MemoryContext context;
} DwfCounter;

/* The memory is the current context's. */
extern void dwf_counter_begin(DwfCounter *counter);

/* Texts have to last until the end. */
extern void dwf_counter_add(DwfCounter *counter, const DwfCount *count);

/*
 * Writes what was added: committed, or rolled back, together with what it
 * counts.  Where a row is refused for what it holds, by what somebody has hung
 * on the table, none is written, and the server's log says so: what has happened
 * must not be lost for its counting.  Waits for nobody who counts or folds, but
 * for whoever has locked the table against writing: CREATE INDEX, VACUUM FULL,
 * LOCK.
 */
extern void dwf_counter_end(DwfCounter *counter);

/*
 * What of somebody's, on the table, which is open, may refuse a row: an index, a
 * constraint or a trigger.  Palloc'd; NULL: nothing.
 */
extern char *dwf_counter_find_refuser(Relation rel);

/*
 * Whose request it is, of a row of the queue at hand, or of the columns of
 * DWF_SQL_COUNTED from `first` on; with attempts, and how long it has waited
 * until `now`.
 */
struct DwfTable;
extern void dwf_counter_read_queue(const struct DwfTable *queue,
								   TimestampTz now, DwfCount *count);
extern void dwf_counter_read_row(HeapTuple row, TupleDesc desc, int first,
								 TimestampTz now, DwfCount *count);

#define DWF_SQL_COUNTED(row) \
	row "operation, " row "workflow, " row "server, " row "requested_by, " \
	row "requested_by_oid, " row "attempts, " row "enqueued_at"
#define DWF_COUNTED_COLUMNS	7

/*
 * Makes few rows of many, where there are many.  In the worker, connected to
 * SPI; passes by what somebody has locked.
 */
extern void dwf_counter_fold(void);

#endif							/* DWF_COUNTER_H */
