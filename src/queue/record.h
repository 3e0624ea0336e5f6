/*
 * record.h
 *	  An instance that a person records as what a request has started.
 */
#ifndef DWF_RECORD_H
#define DWF_RECORD_H

#include "base/table.h"

typedef struct DwfRecord
{
	Datum		instance_id;
	bool		may_read;		/* the caller could ask Domo for it */
	bool		is_left;		/* it should be followed, and is not */
} DwfRecord;

/*
 * A text, recorded by the current user, by a function of this schema; that has
 * domowf's functions.
 */
extern DwfRecord dwf_record_begin(Datum instance_id, Oid schema);

/*
 * Has it followed from now on, if that is to be and may be; for the request of
 * the queue at hand, as it was before.
 */
extern void dwf_record_follow(DwfRecord *record, const DwfTable *queue);

/*
 * When the request has been settled so: raises 42501 where the caller may not
 * say what it came to; notes that the instance is not followed.
 */
extern void dwf_record_finish(const DwfRecord *record, int64 id);

#endif							/* DWF_RECORD_H */
