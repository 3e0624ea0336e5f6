/*
 * worker_start.c
 *	  How a process becomes the worker of a database.
 *
 * That there is one worker is proven by a lock, held until the process ends,
 * and not by what shared memory says: recovery rests on it.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/dormancy.h"
#include "base/extension.h"
#include "base/guc.h"
#include "base/objects.h"
#include "base/quota.h"
#include "base/shared.h"
#include "base/table.h"
#include "base/testpoint.h"
#include "base/text.h"
#include "base/transaction.h"
#include "worker/launcher.h"
#include "worker/progress.h"
#include "worker/serving.h"
#include "worker/worker_settings.h"
#include "worker/worker_start.h"
#include "worker/worker_status.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

static void cancel_for_lock(SIGNAL_ARGS);
static bool lock_database(void);
static void leave_dormant(void);
static bool find_queue(Oid *queue);
static void leave_absent(void) pg_attribute_noreturn();
static void say_unserved(const char *reason);

Oid
dwf_worker_become(Oid database)
{
	Oid			queue = InvalidOid;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, cancel_for_lock);
	BackgroundWorkerUnblockSignals();
	DWF_TESTPOINT("before-attach");
	if (!dwf_shared_attach(database))
		proc_exit(0);
	dwf_worker_settings_connect(database);
	dwf_quota_lift();

	dwf_transaction_start();
	if (dwf_extension_find() == NULL)
		leave_absent();
	CommitTransactionCommand();
	if (!lock_database())
		proc_exit(1);
	while (!find_queue(&queue))
		leave_dormant();
	return queue;
}

bool
dwf_worker_take_interrupts(void)
{
	bool		reloaded = false;

	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		reloaded = true;
	}
	if (dwf_shared_is_evicted())
		proc_exit(0);
	return reloaded;
}

bool
dwf_worker_is_wanted(char *reason, Size size)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID,
										ObjectIdGetDatum(MyDatabaseId));
	bool		wanted;

	if (!HeapTupleIsValid(tuple))
		return false;
	wanted = dwf_launcher_serves((Form_pg_database) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
	if (!wanted)
		strlcpy(reason, "the database is a template, or allows no connections",
				size);
	return wanted;
}

/*
 * SIGINT: lock_timeout sends it to its own process.  So does
 * pg_cancel_backend(), but no statement here is anybody's to cancel.
 */
static void
cancel_for_lock(SIGNAL_ARGS)
{
	if (get_timeout_indicator(LOCK_TIMEOUT, false))
	{
		dwf_progress_note_wait();
		StatementCancelHandler(DWF_SIGNAL_PASS);
	}
}

/*
 * Takes the lock that proves that there is no other worker of this database:
 * what stands in `sending` then belonged to a dead one.
 */
static bool
lock_database(void)
{
	LOCKTAG		tag;

	tag.locktag_field1 = MyDatabaseId;
	tag.locktag_field2 = 0;
	tag.locktag_field3 = 0;
	tag.locktag_field4 = 1;		/* order keys have 0 here */
	tag.locktag_type = LOCKTAG_USERLOCK;
	tag.locktag_lockmethodid = USER_LOCKMETHOD;
	return LockAcquire(&tag, ExclusiveLock, true, true) !=
		LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Leaves, for there is nothing to do (dormancy.c); unless somebody has told
 * something meanwhile, which is looked at again.
 */
static void
leave_dormant(void)
{
	if (dwf_dormancy_begin())
		proc_exit(0);
	(void) dwf_shared_take_earliest();
	(void) dwf_worker_take_interrupts();
	if (!dwf_worker_enabled)
		proc_exit(0);
	dwf_extension_look_again();
}

/*
 * Finds the queue that is to be served.  False, after having said why nothing
 * is sent, where this library does not serve the extension (extension.h), or
 * what is there is not what the extension made (objects.h): then nothing is
 * touched.
 */
static bool
find_queue(Oid *queue)
{
	DwfObjectFault fault;
	const char *reason = NULL;

	dwf_transaction_start();
	if (dwf_extension_find() == NULL)
		leave_absent();
	if (!dwf_extension_can_send())
		reason = dwf_extension_describe_skew();
	else if (!dwf_objects_are_right(&fault))
		reason = psprintf("%s: %s", fault.message, fault.hint);
	else
		*queue = dwf_object_require("queue", NULL);
	if (reason != NULL)
		say_unserved(reason);
	CommitTransactionCommand();
	return OidIsValid(*queue);
}

/*
 * Without an extension there is nothing to do here at all, whatever is called
 * domowf in this database.
 */
static void
leave_absent(void)
{
	DWF_TESTPOINT("before-absent");
	dwf_shared_set_presence(DWF_ABSENT);
	proc_exit(0);
}

/* In the worker view, and once a minute, or anew, in the server's log. */
static void
say_unserved(const char *reason)
{
	DwfWorkerStatus status = {.paused_until = DT_NOEND};
	bool		may_say;

	dwf_text_cut(status.pause_reason, sizeof(status.pause_reason), reason);
	may_say = dwf_dormancy_may_say(status.pause_reason);
	dwf_shared_publish(&status);
	dwf_shared_set_presence(DWF_RUNNING);
	if (may_say)
		ereport(LOG,
				(errmsg("domowf: nothing is sent from this database: %s",
						reason)));
}
