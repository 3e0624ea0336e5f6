/*
 * worker_start.c
 *	  How a process becomes the worker of a database.
 *
 * That there is one worker is proven by a lock, held until the process ends,
 * and not by what shared memory says: recovery rests on it.
 */
#include "postgres.h"

#include "extension.h"
#include "guc.h"
#include "launcher.h"
#include "queue.h"
#include "shared.h"
#include "table.h"
#include "worker_settings.h"
#include "worker_start.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
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
static void become_superuser(void);
static bool lock_database(void);
static void wait_until_served(void);
static bool is_served(void);
static void say_skew(const char *reason);

Oid
dwf_worker_become(Oid database)
{
	Oid			queue = InvalidOid;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, cancel_for_lock);
	BackgroundWorkerUnblockSignals();
	if (!dwf_shared_attach(database))
		proc_exit(0);
	dwf_worker_settings_note();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	dwf_worker_settings_fix();

	StartTransactionCommand();
	become_superuser();
	if (dwf_queue_exists())
		queue = dwf_table_oid("queue");
	CommitTransactionCommand();
	if (!OidIsValid(queue))
	{
		dwf_shared_set_presence(DWF_ABSENT);
		proc_exit(0);
	}
	if (!lock_database())
		proc_exit(1);
	wait_until_served();
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
	if (dwf_shared_is_evicted() || !dwf_worker_enabled)
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
		StatementCancelHandler(postgres_signal_arg);
}

/* A database may have a role set, which a worker would take.  Ends that. */
static void
become_superuser(void)
{
	SetConfigOption("session_authorization",
					GetUserNameFromId(BOOTSTRAP_SUPERUSERID, false),
					PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("role", "none", PGC_SUSET, PGC_S_OVERRIDE);
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
 * Returns when this library serves the extension (extension.h), and until
 * then says why nothing is sent.  Nothing is touched while it does not.
 */
static void
wait_until_served(void)
{
	while (!is_served())
	{
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 dwf_poll_interval, PG_WAIT_EXTENSION);
		(void) dwf_worker_take_interrupts();
		dwf_extension_look_again();
	}
}

static bool
is_served(void)
{
	bool		exists;
	bool		served;

	StartTransactionCommand();
	exists = dwf_queue_exists();
	served = dwf_extension_is_served();
	if (exists && !served)
		say_skew(dwf_extension_describe_skew());
	CommitTransactionCommand();
	if (exists)
		return served;
	dwf_shared_set_presence(DWF_ABSENT);
	proc_exit(0);
}

/* Once in the server's log, and in the worker view. */
static void
say_skew(const char *reason)
{
	static bool told = false;
	DwfWorkerStatus status = {.paused_until = DT_NOEND};

	strlcpy(status.pause_reason, reason, sizeof(status.pause_reason));
	dwf_shared_publish(&status);
	dwf_shared_set_presence(DWF_RUNNING);
	if (!told)
		ereport(LOG,
				(errmsg("domowf: nothing is sent from this database: %s",
						reason)));
	told = true;
}
