/*
 * notice.h
 *	  NOTIFY domowf: what a session that listens is told of a request.
 */
#ifndef DWF_NOTICE_H
#define DWF_NOTICE_H

/*
 * With domowf.notify, tells when the transaction under way commits that a
 * request is settled or in doubt.  `instance_id` may be NULL.  Not while NOTIFY's
 * queue is full, by which the commit would fail: then says that it does not, once a
 * minute, in the worker to the server's log and else by a WARNING.
 */
extern void dwf_notice_settled(int64 id, const char *state,
							   const char *instance_id);

/*
 * A commit has failed by this error.  Where that was NOTIFY's queue alone,
 * nothing is told for a minute, so that the same is written without it.
 */
extern void dwf_notice_note_error(const ErrorData *error);

#endif							/* DWF_NOTICE_H */
