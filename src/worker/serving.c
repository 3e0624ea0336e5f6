/*
 * serving.c
 *	  What each transaction of a worker looks at first, and how it commits.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/extension.h"
#include "base/objects.h"
#include "base/shared.h"
#include "base/text.h"
#include "worker/drain.h"
#include "worker/serving.h"
#include "worker/worker_status.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/pmsignal.h"
#include "utils/guc.h"

/* What the last commit was to wait for. */
static bool was_asked;
static int	asked_mode;

static bool is_safe(void);
static bool are_standbys_asked(void);
static int	mode_of_commit(void);
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
	if (dwf_extension_find() == NULL || (OidIsValid(found) && found != queue))
		leave_dropped(sender);
	if (!dwf_extension_can_send())
		leave_outdated(sender);
	/* a settlement may need any of them: the registry, for who is to be told */
	if (!dwf_objects_are_right(&wrong))
		dwf_text_cut(fault, size,
					 psprintf("%s: %s", wrong.message, wrong.hint));
	dwf_objects_require();
}

/*
 * The extension was dropped (and perhaps made anew): what is in flight has no
 * row any more, so that the server's log is all that can tell of it.
 */
static void
leave_dropped(DwfSender *sender)
{
	dwf_sender_report_lost(sender, "its tables were dropped");
	if (dwf_extension_find() == NULL)
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
 * who asks standbys for less or more than `on` does is obeyed.  Where nothing
 * was claimed they need not have it: a result that is lost with a failover leaves
 * its request in doubt.
 */
void
dwf_serving_commit_safely(bool on_standbys)
{
	ForceSyncCommit();
	if (!on_standbys)
		(void) set_config_option("synchronous_commit", "local", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	else if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_WRITE)
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	was_asked = are_standbys_asked();
	asked_mode = mode_of_commit();
}

bool
dwf_serving_hold_back(DwfSender *sender)
{
	/* the death of the server ends a wait for standbys just so */
	if (!PostmasterIsAlive() || (ProcDiePending && !dwf_drain_is_over()))
		proc_exit(1);
	CHECK_FOR_INTERRUPTS();
	if (dwf_sender_claimed(sender) == 0)
		return false;
	if (dwf_drain_is_under_way())
		dwf_sender_hold_back(sender,
							 "it was not sent, because the worker was told to end");
	else if (!is_safe())
	{
		if (dwf_worker_status_may_say("held back"))
			ereport(LOG,
					(errmsg("domowf: %d requests are claimed again before they are sent, because the wait for a synchronous standby has ended early",
							dwf_sender_claimed(sender))));
		dwf_sender_hold_back(sender,
							 "it was not sent, because its claim was not known to be on a synchronous standby");
	}
	return dwf_sender_claimed(sender) == 0;
}

/*
 * Whether the last transaction is as safe as was asked.  PostgreSQL tells
 * nobody who may rest on it that a wait for standbys ended before they had the
 * commit: because the server dies, because the process is told to end, because
 * the names were taken away meanwhile.  But it keeps how far they are.  Asked
 * before the commit or after it, for that may change.
 */
static bool
is_safe(void)
{
	bool		is_reached;

	if (!was_asked && !are_standbys_asked())
		return true;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	is_reached = WalSndCtl->lsn[asked_mode] >= XactLastCommitEnd;
	LWLockRelease(SyncRepLock);
	return is_reached;
}

/*
 * By shared memory, which is what a commit goes by, or by the configuration,
 * which reaches each process at its own time.
 */
static bool
are_standbys_asked(void)
{
	return max_wal_senders > 0 &&
		(dwf_standbys_are_named() ||
		 (SyncRepStandbyNames != NULL && *SyncRepStandbyNames != '\0'));
}

/* Which of the standbys' places a commit waits for. */
static int
mode_of_commit(void)
{
	switch (synchronous_commit)
	{
		case SYNCHRONOUS_COMMIT_REMOTE_WRITE:
			return SYNC_REP_WAIT_WRITE;
		case SYNCHRONOUS_COMMIT_REMOTE_APPLY:
			return SYNC_REP_WAIT_APPLY;
		default:
			return SYNC_REP_WAIT_FLUSH;
	}
}
