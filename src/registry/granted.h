/*
 * granted.h
 *	  Whom a workflow is granted to: domowf.workflow.granted_to, a name, and
 *	  granted_oid, the role that it named when it was written.
 */
#ifndef DWF_GRANTED_H
#define DWF_GRANTED_H

/*
 * In SQL: whether granted_oid is set by its trigger, whatever brings the rows.
 * pg_restore --disable-triggers loads the oids of some other cluster, and
 * leaves an ordinary trigger behind.
 */
#define DWF_GRANTED_IS_KEPT \
	"EXISTS (SELECT FROM pg_trigger t " \
	"WHERE t.tgrelid = 'domowf.workflow'::regclass " \
	"AND t.tgname = 'set_granted_oid' AND t.tgenabled = 'A')"

/*
 * Writes the names of roles that have been renamed anew.  In a transaction of
 * the worker.  What somebody holds is left for the next time; what fails is
 * said in the server's log, and undone.
 */
extern void dwf_granted_follow(void);

#endif							/* DWF_GRANTED_H */
