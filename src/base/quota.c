/*
 * quota.c
 *	  How many requests wait, by role, and whether there is room for one more.
 *
 * The total stands with the database (shared.c), what each role has in a hash
 * table of fixed size beside it.  Backends add what they commit, the worker
 * takes off what it settles and counts the queue anew at times (recount.c).
 *
 * A lock guards the table.  Who adds to a role that is known takes it in
 * shared mode.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/quota.h"
#include "base/shared.h"
#include "base/tally.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

/* Roles of all databases; few, so that a test has more. */
#ifdef DWF_TEST_HOOKS
#define MAX_ROLES	16
#else
#define MAX_ROLES	4096
#endif

#define TRANCHE	"domowf_quota"

typedef struct RoleKey
{
	Oid			database;
	Oid			role;
} RoleKey;

typedef struct RoleEntry
{
	RoleKey		key;
	pg_atomic_uint64 waiting;	/* int64: negative for a moment, at times */
} RoleEntry;

static HTAB *roles;
static LWLock *lock;

static bool is_lifted = false;

static int64 count_waiting(Oid role);

void
dwf_quota_request(void)
{
	RequestAddinShmemSpace(hash_estimate_size(MAX_ROLES, sizeof(RoleEntry)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

void
dwf_quota_start(void)
{
	HASHCTL		control = {
		.keysize = sizeof(RoleKey),
		.entrysize = sizeof(RoleEntry),
	};

	roles = dwf_shmem_init_hash("domowf roles", MAX_ROLES, &control,
								HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	lock = &GetNamedLWLockTranche(TRANCHE)->lock;
}

void
dwf_quota_check(Oid role)
{
	int64		waiting;

	if (!dwf_shared_exists() || is_lifted)
		return;
	if (dwf_max_queue_length > 0)
	{
		waiting = dwf_shared_queue_length(MyDatabaseId) +
			dwf_tally_count(InvalidOid);
		if (waiting >= dwf_max_queue_length)
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("the queue is full"),
					 errdetail("About %lld requests wait; domowf.max_queue_length is %d.",
							   (long long) waiting, dwf_max_queue_length)));
	}
	if (dwf_max_queue_length_per_role > 0)
	{
		waiting = count_waiting(role) + dwf_tally_count(role);
		if (waiting >= dwf_max_queue_length_per_role)
			ereport(ERROR,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("too many requests of role \"%s\" wait",
							GetUserNameFromId(role, false)),
					 errdetail("About %lld wait; domowf.max_queue_length_per_role is %d.",
							   (long long) waiting,
							   dwf_max_queue_length_per_role)));
	}
}

void
dwf_quota_lift(void)
{
	is_lifted = true;
}

void
dwf_quota_without(void (*act) (void *), void *arg)
{
	bool		was_lifted = is_lifted;

	is_lifted = true;
	PG_TRY();
	{
		act(arg);
	}
	PG_FINALLY();
	{
		is_lifted = was_lifted;
	}
	PG_END_TRY();
}

/* What is committed. */
static int64
count_waiting(Oid role)
{
	RoleKey		key = {MyDatabaseId, role};
	RoleEntry  *entry;
	int64		waiting = 0;

	LWLockAcquire(lock, LW_SHARED);
	entry = hash_search(roles, &key, HASH_FIND, NULL);
	if (entry != NULL)
		waiting = (int64) pg_atomic_read_u64(&entry->waiting);
	LWLockRelease(lock);
	return waiting;
}

bool
dwf_quota_add(Oid role, int64 count)
{
	RoleKey		key = {MyDatabaseId, role};
	RoleEntry  *entry;
	bool		found;

	if (roles == NULL || count == 0)
		return true;
	LWLockAcquire(lock, LW_SHARED);
	entry = hash_search(roles, &key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		LWLockRelease(lock);
		LWLockAcquire(lock, LW_EXCLUSIVE);
		entry = hash_search(roles, &key, HASH_ENTER_NULL, &found);
		if (entry != NULL && !found)
			pg_atomic_init_u64(&entry->waiting, 0);
	}
	if (entry != NULL)
		(void) pg_atomic_fetch_add_u64(&entry->waiting, count);
	LWLockRelease(lock);
	return entry != NULL;
}

int
dwf_quota_read(DwfQuotaCount **counts)
{
	HASH_SEQ_STATUS scan;
	RoleEntry  *entry;
	int			count = 0;

	*counts = palloc(sizeof(DwfQuotaCount) * (MAX_ROLES + 1));
	(*counts)[count].role = InvalidOid;
	(*counts)[count++].count = dwf_shared_queue_length(MyDatabaseId);
	LWLockAcquire(lock, LW_SHARED);
	hash_seq_init(&scan, roles);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->key.database != MyDatabaseId)
			continue;
		(*counts)[count].role = entry->key.role;
		(*counts)[count++].count = (int64) pg_atomic_read_u64(&entry->waiting);
	}
	LWLockRelease(lock);
	return count;
}

/*
 * Roles of which nothing waits, and databases that nobody serves any more: a
 * database that was dropped takes its counts with it.
 */
void
dwf_quota_tidy(void)
{
	HASH_SEQ_STATUS scan;
	RoleEntry  *entry;
	DwfWorkerStatus status;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, roles);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (pg_atomic_read_u64(&entry->waiting) == 0 ||
			(entry->key.database != MyDatabaseId &&
			 !dwf_shared_status(entry->key.database, &status)))
			(void) hash_search(roles, &entry->key, HASH_REMOVE, NULL);
	}
	LWLockRelease(lock);
}
