/*
 * testpoint.c
 *	  Places where a test can make something go wrong.
 */
#include "postgres.h"

#include "base/testpoint.h"

#ifdef DWF_TEST_HOOKS

#include <signal.h>
#include <unistd.h>

#include "access/parallel.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

/* Longer than any action. */
#define MAX_ACTION	64

char	   *dwf_test_point;
char	   *dwf_test_mark;

static bool find_action(const char *name, char *action);

/* What the setting says behind a name; false: it does not have that. */
static bool
find_action(const char *name, char *action)
{
	const char *entry = dwf_test_point;
	size_t		len = strlen(name);

	while (strncmp(entry, name, len) != 0 || entry[len] != '=')
	{
		entry = strchr(entry, ',');
		if (entry == NULL)
			return false;
		entry++;
	}
	strlcpy(action, entry + len + 1,
			Min(strcspn(entry + len + 1, ",") + 1, MAX_ACTION));
	return true;
}

int
dwf_testpoint_number(const char *name, int usual)
{
	char		action[MAX_ACTION];

	return find_action(name, action) ? (int) strtol(action, NULL, 10) : usual;
}

void
dwf_testpoint_reach(const char *name)
{
	char		action[MAX_ACTION];

	if (!find_action(name, action))
		return;
	if (strcmp(action, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(action, "error") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("test point \"%s\" was reached", name)));
	if (strcmp(action, "disk-full") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DISK_FULL),
				 errmsg("could not extend file \"%s\": no space is left",
						name)));
	if (strcmp(action, "wait") != 0)
		return;
	ereport(LOG, (errmsg("test point \"%s\" waits", name)));
	while (find_action(name, action))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);

		/* a worker that was told to end, and has waited */
		if (ProcDiePending)
			InterruptPending = true;
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

/* A parallel worker is told what its leader has: it takes up nothing. */
void
dwf_testpoint_assign_mark(const char *mark, void *extra)
{
	if (MyBackendType == B_BG_WORKER && !InitializingParallelWorker &&
		mark[0] != '\0')
		ereport(LOG, (errmsg("process %d has taken up mark %s", MyProcPid, mark)));
}

#endif							/* DWF_TEST_HOOKS */
