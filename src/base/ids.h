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
 * Moves the sequence behind the highest id in queue and log, and says in the
 * server's log that it had to.  Returns false, having done nothing, where
 * somebody has locked one of them, or it is not right.
 */
extern bool dwf_ids_make_free(void);

#endif							/* DWF_IDS_H */
