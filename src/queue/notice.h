/*
 * notice.h
 *	  NOTIFY domowf: what a session that listens is told of a request.
 */
#ifndef DWF_NOTICE_H
#define DWF_NOTICE_H

/*
 * With domowf.notify, tells when the transaction under way commits that a
 * request is settled or in doubt.  `instance_id` may be NULL.
 */
extern void dwf_notice_settled(int64 id, const char *state,
							   const char *instance_id);

#endif							/* DWF_NOTICE_H */
