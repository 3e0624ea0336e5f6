/*
 * timeline.h
 *	  Whether this server took over from another one, or from an earlier state,
 *	  since its queue was served last: its timeline is a new one.
 */
#ifndef DWF_TIMELINE_H
#define DWF_TIMELINE_H

/*
 * What is added to the number of another database's transaction, which says
 * nothing here: more than a cluster ever comes to.
 */
#define DWF_BATCH_ELSEWHERE	(UINT64CONST(1) << 62)

/* Where a queue was served. */
typedef struct DwfTimeline
{
	int64		system;			/* system identifier of the cluster */
	int64		number;			/* 0: it never was, as far as is known */
} DwfTimeline;

/* Parts of shared memory (shared.h). */
extern void dwf_timeline_request(void);
extern void dwf_timeline_start(void);

/* Where this server is.  Not in recovery. */
extern DwfTimeline dwf_timeline_here(void);

/* Whether the two are the same. */
extern bool dwf_timeline_is_same(const DwfTimeline *a, const DwfTimeline *b);

/*
 * Whether somebody else may have served the queue since it was served there.
 * For a process that has read the configuration; not in recovery.
 */
extern bool dwf_timeline_is_new(const DwfTimeline *served);

/*
 * Whether this server is a copy of the one that served it, which may go on
 * serving it.  Never in recovery.
 */
extern bool dwf_timeline_is_copy(const DwfTimeline *served);

/*
 * Notes that this transaction enqueues, before its row can be seen; and tells
 * whether a request, by its `batch`, was enqueued here since the server was
 * started, given that its row has been seen.
 */
extern void dwf_timeline_note_enqueued(uint64 batch);
extern bool dwf_timeline_is_enqueued_here(uint64 batch);

#endif							/* DWF_TIMELINE_H */
