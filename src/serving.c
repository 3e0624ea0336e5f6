/*
 * serving.c
 *	  What each transaction of a worker looks at first, and how it commits.
 */
#include "postgres.h"

#include "extension.h"
#include "queue.h"
#include "report.h"
#include "serving.h"
#include "shared.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/guc.h"

static void leave_dropped(DwfSender *sender) pg_attribute_noreturn();
static void leave_outdated(DwfSender *sender) pg_attribute_noreturn();

void
dwf_serving_look(Oid queue, DwfSender *sender, char *fault, Size size)
{
	Oid			found;
	DwfObjectFault wrong;

	*fault = '\0';
	LockRelationOid(queue, RowExclusiveLock);
	found = dwf_object_oid("queue");
	if (!dwf_queue_exists() || (OidIsValid(found) && found != queue))
		leave_dropped(sender);
	if (!dwf_extension_can_send())
		leave_outdated(sender);
	if (!dwf_queue_is_right(&wrong))
		dwf_report_cut(fault, size,
					   psprintf("%s: %s", wrong.message, wrong.hint));
	dwf_queue_require();
}

/*
 * The extension was dropped (and perhaps made anew): what is in flight has no
 * row any more, so that the server's log is all that can tell of it.
 */
static void
leave_dropped(DwfSender *sender)
{
	dwf_sender_report_lost(sender, "its tables were dropped");
	if (!dwf_queue_exists())
		dwf_shared_set_presence(DWF_ABSENT);
	proc_exit(0);
}

/*
 * ALTER EXTENSION UPDATE has left the library behind: what is in flight is in
 * doubt to the next worker, which waits until it knows the tables.
 */
static void
leave_outdated(DwfSender *sender)
{
	dwf_sender_report_lost(sender, "the extension was updated");
	proc_exit(0);
}

/*
 * The transaction's commit waits for the disk and for the standbys that commits
 * of this server may have to wait for, whatever synchronous_commit is by now:
 * of a claim that a failover loses, the request would be sent twice.  A user
 * who asks standbys for less or more than `on` does is obeyed.
 */
void
dwf_serving_commit_safely(void)
{
	ForceSyncCommit();
	if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_WRITE)
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
}
