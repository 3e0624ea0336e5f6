/*
 * timeline.c
 *	  Whether this server took over from another one, or from an earlier state,
 *	  since its queue was served last.
 *
 * PostgreSQL begins a new timeline whenever it ends a recovery that was asked
 * for: a promotion, with hot_standby = off too, point-in-time recovery, a base
 * backup that is made a server of its own.  So the queue keeps the timeline on
 * which it was served (domowf.state), in the database, where every copy of it
 * has that, too; a number that differs means that what came in between is not
 * known here.  It needs nobody who watches the moment itself.
 *
 * What is no such thing, although the number differs:
 *
 * - pg_upgrade, which counts timelines from 1 again: the system identifier is
 *   another one then.  (A standby that was promoted, never served, and upgraded
 *   cannot be told from one that was the primary.)
 * - A crash of the primary that a manager mends by a start as standby and a
 *   promotion, where nothing came from elsewhere.  That is known where the
 *   control file said, when the server was started, that a primary had run on
 *   this data directory, on the timeline just before the new one, which nobody
 *   else has begun as far as can be seen; no backup was restored (a label), the
 *   end of recovery was no chosen one, and no WAL came from an archive or by
 *   streaming.  That another server was promoted meanwhile, and is gone, cannot
 *   be seen here, as it could not after a plain restart.  Whatever of this is
 *   not known makes it a takeover; so does a second start as standby.
 * - A first start after an update from 1.0, which kept no number: that server's
 *   timeline is what the control file said when it was started.  What CREATE
 *   EXTENSION makes has its number from the start, and so has a copy of another
 *   database from domowf_resume() on.
 *
 * Another system identifier on a later timeline is a copy that was told to be a
 * server of its own, as pg_createsubscriber tells a standby that it has promoted:
 * the original goes on, so the copy sends nothing until somebody says so, as a
 * database that was made from this one as TEMPLATE (queue/pause.c).  (What was
 * upgraded, never served, and promoted is taken for one, too.)
 *
 * What was enqueued on the new timeline nobody else can have sent.  Clocks of
 * two servers do not tell what that is, nor does the next transaction's id at
 * the moment in which recovery ends, which nobody is told.  So whoever enqueues
 * first tells his: ids of transactions only grow, over a promotion as well, and
 * each request has that of its transaction (`batch`).  After a restart only
 * what was enqueued since then is known to be of this server's.  What a
 * transaction brings that was prepared before is older, and comes when all has
 * been looked at: who commits it decides that it is sent.
 */
#include "postgres.h"

#include "base/timeline.h"

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "replication/walreceiver.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include <unistd.h>

typedef struct Memory
{
	int64		began_on;		/* timeline when the server was started */
	bool		was_primary;	/* and nothing was restored */
	pg_atomic_uint64 first_batch;	/* enqueued here; PG_UINT64_MAX: none */
} Memory;

/* what initdb and pg_upgrade begin with */
#define FIRST_TIMELINE	1

static Memory *memory;			/* NULL: not preloaded */

static void look_at_start(void);
static bool is_set(const char *setting);
static bool restores(void);
static bool has_received(void);

void
dwf_timeline_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(Memory)));
}

void
dwf_timeline_start(void)
{
	bool		found;

	memory = ShmemInitStruct("domowf timeline", sizeof(Memory), &found);
	if (found)
		return;
	pg_atomic_init_u64(&memory->first_batch, PG_UINT64_MAX);
	look_at_start();
}

/*
 * In the postmaster, before recovery: the control file is as the last run left
 * it, and so is the label of a backup.
 */
static void
look_at_start(void)
{
	bool		is_valid;
	ControlFileData *control = get_controlfile(DataDir, &is_valid);

	memory->began_on = is_valid ? control->checkPointCopy.ThisTimeLineID : 0;
	memory->was_primary = is_valid &&
		(control->state == DB_IN_PRODUCTION ||
		 control->state == DB_SHUTDOWNING ||
		 control->state == DB_SHUTDOWNED ||
		 control->state == DB_IN_CRASH_RECOVERY) &&
		control->backupStartPoint == InvalidXLogRecPtr &&
		access(BACKUP_LABEL_FILE, F_OK) != 0 && !restores();
	pfree(control);
}

/* Whether WAL comes from an archive, or not all of it is taken. */
static bool
restores(void)
{
	static const char *const settings[] = {
		"restore_command", "recovery_target", "recovery_target_lsn",
		"recovery_target_name", "recovery_target_time", "recovery_target_xid"
	};

	for (int i = 0; i < lengthof(settings); i++)
	{
		if (is_set(settings[i]))
			return true;
	}
	return false;
}

static bool
is_set(const char *setting)
{
	const char *value = GetConfigOption(setting, true, false);

	return value != NULL && *value != '\0';
}

/* Whether WAL has come by streaming since the server was started. */
static bool
has_received(void)
{
	XLogRecPtr	chunk;

	return GetWalRcvFlushRecPtr(&chunk, NULL) != chunk;
}

DwfTimeline
dwf_timeline_here(void)
{
	return (DwfTimeline)
	{
		(int64) GetSystemIdentifier(), GetWALInsertionTimeLine()
	};
}

bool
dwf_timeline_is_same(const DwfTimeline *a, const DwfTimeline *b)
{
	return a->system == b->system && a->number == b->number;
}

bool
dwf_timeline_is_copy(const DwfTimeline *served)
{
	return served->system != 0 && !RecoveryInProgress() &&
		served->system != (int64) GetSystemIdentifier() &&
		GetWALInsertionTimeLine() > FIRST_TIMELINE;
}

bool
dwf_timeline_is_new(const DwfTimeline *served)
{
	DwfTimeline here = dwf_timeline_here();
	int64		last = served->number;

	if (last == 0)
		last = memory->began_on;
	else if (served->system != here.system)
		return false;
	if (last == here.number)
		return false;
	return !(memory->was_primary && memory->began_on == last &&
			 here.number == last + 1 && !restores() && !has_received());
}

void
dwf_timeline_note_enqueued(uint64 batch)
{
	uint64		first;

	if (memory == NULL)
		return;
	first = pg_atomic_read_u64(&memory->first_batch);
	while (batch < first &&
		   !pg_atomic_compare_exchange_u64(&memory->first_batch, &first, batch))
		;
}

bool
dwf_timeline_is_enqueued_here(uint64 batch)
{
	return batch < DWF_BATCH_ELSEWHERE &&
		batch >= pg_atomic_read_u64(&memory->first_batch);
}
