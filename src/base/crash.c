/*
 * crash.c
 *	  Whether this server has come out of a crash a short while ago.
 *
 * A crash of any process makes shared memory anew, in the same postmaster; and
 * where restart_after_crash is off it ends that, too, and somebody starts another
 * one, or promotes a standby.  In each case the control file, or a standby's signal
 * file, tells it when shared memory begins.  What is taken for a crash and was none
 * (a base backup, a switchover) does no harm: who asks is careful.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/crash.h"

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include <unistd.h>

/*
 * How long a crash is recent, milliseconds: twice as long as what failed waits at
 * most.
 */
#define RECENT	(30 * 60 * 1000)

typedef struct Memory
{
	bool		is_clean;		/* the run before was shut down */
	pg_atomic_uint64 asked_at;	/* first; 0: nobody has */
} Memory;

static Memory *memory;			/* NULL: not preloaded */

static bool was_shut_down(void);

void
dwf_crash_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(Memory)));
}

void
dwf_crash_start(void)
{
	bool		found;

	memory = ShmemInitStruct("domowf crash", sizeof(Memory), &found);
	if (found)
		return;
	pg_atomic_init_u64(&memory->asked_at, 0);
	memory->is_clean = was_shut_down();
}

/* In the postmaster, before recovery: all is as the last run left it. */
static bool
was_shut_down(void)
{
	bool		is_valid;
	ControlFileData *control = get_controlfile(DataDir, &is_valid);
	bool		ok = is_valid && control->state == DB_SHUTDOWNED;

	pfree(control);
	return ok && access(STANDBY_SIGNAL_FILE, F_OK) != 0 &&
		access(RECOVERY_SIGNAL_FILE, F_OK) != 0;
}

bool
dwf_crash_is_recent(void)
{
	DwfSteady	now;
	uint64		first = 0;

	if (memory->is_clean)
		return false;
	now = dwf_clock_now();
	if (pg_atomic_compare_exchange_u64(&memory->asked_at, &first, (uint64) now))
		return true;
	return now < TimestampTzPlusMilliseconds((DwfSteady) first, RECENT);
}
