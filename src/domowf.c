/*
 * domowf.c
 *	  The module: what happens when the library is loaded.
 *
 * Loading defines the settings, and has a say in how queries with calls are
 * planned; a postmaster that preloads the library also gets shared memory and
 * the launcher.  Without that, calls work and requests are stored.  libcurl is
 * started by the first call.
 */
#include "postgres.h"

#include "base/crash.h"
#include "base/guc.h"
#include "base/kept.h"
#include "base/quota.h"
#include "base/shared.h"
#include "base/timeline.h"
#include "base/waiters.h"
#include "call/cursor.h"
#include "call/lateral.h"
#include "worker/evict.h"
#include "worker/launcher.h"

#include "fmgr.h"
#include "miscadmin.h"

PG_MODULE_MAGIC;

/* What is kept in shared memory beside the entries of databases. */
static const DwfSharedPart parts[] = {
	{dwf_quota_request, dwf_quota_start},
	{dwf_waiters_request, dwf_waiters_start},
	{dwf_timeline_request, dwf_timeline_start},
	{dwf_crash_request, dwf_crash_start},
};

void		_PG_init(void);

/* Called by PostgreSQL once in each process that loads the library. */
void
_PG_init(void)
{
	dwf_guc_define();
	dwf_lateral_install();
	dwf_cursor_install();
	dwf_kept_install();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	dwf_shared_request(parts, lengthof(parts));
	dwf_evict_install();
	dwf_launcher_register();
}
