/*
 * ids.h
 *	  Ids of requests and calls that nobody has yet.
 */
#ifndef DWF_IDS_H
#define DWF_IDS_H

#include "base/table.h"

/*
 * The next id that neither queue nor log has.  With the log at hand, open, that
 * is certain as of now; without (NULL) it is looked at now and then, which is
 * cheap, and always where an id is none behind the last one.  Where it meets
 * one that is taken, moves the sequence.  Raises as dwf_sequence_next() does,
 * and where the queue is not right.
 */
extern int64 dwf_ids_next(DwfTable *log);

/*
 * The same without the log, and behind one that there is (PG_INT64_MIN: none), to
 * which it moves the sequence where that has been set back.
 */
extern int64 dwf_ids_next_behind(int64 last);

/*
 * Two ids of domowf.return_entry, behind all that there are, whoever has taken
 * those and whatever has been done to the sequence: what is noted later of a
 * request has a higher one.  Raises as dwf_ids_next() does.
 */
extern void dwf_ids_next_returns(int64 *ids);

/*
 * A row of this id comes into queue or log that domowf has not made: ids that are
 * taken from now on are behind it.  A rollback does not undo that.
 */
extern void dwf_ids_pass(int64 id);

/*
 * Moves the sequence behind the highest id in queue and log, and says in the
 * server's log that it had to.  Returns false, having done nothing, where
 * somebody has locked one of them, or it is not right.
 */
extern bool dwf_ids_make_free(void);

#endif							/* DWF_IDS_H */
