/*
 * worker_start.c
 *	  How a process becomes the worker of a database.
 *
 * That there is one worker is proven by a lock, held until the process ends,
 * and not by what shared memory says: recovery rests on it.
 */
#include "postgres.h"

#include "queue.h"
#include "shared.h"
#include "table.h"
#include "worker_start.h"

#include "access/xact.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

static bool lock_database(void);

Oid
dwf_worker_become(Oid database)
{
	Oid			queue = InvalidOid;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	if (!dwf_shared_attach(database))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);

	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET,
					PGC_S_OVERRIDE);
	SetConfigOption("session_replication_role", "replica", PGC_SUSET,
					PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed",
					PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET,
					PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_SUSET,
					PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "1s", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("jit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("application_name", "domowf worker", PGC_USERSET,
					PGC_S_OVERRIDE);
	if (synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_WRITE)
		SetConfigOption("synchronous_commit", "on", PGC_USERSET,
						PGC_S_OVERRIDE);

	StartTransactionCommand();
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
	return queue;
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
