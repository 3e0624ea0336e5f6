/*
 * testpoint.c
 *	  Places where a test can make something go wrong.
 */
#include "postgres.h"

#include "base/testpoint.h"

#ifdef DWF_TEST_HOOKS

#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

char	   *dwf_test_point;

static const char *find_action(const char *name);

/* What the setting says behind a name; NULL: it names another one. */
static const char *
find_action(const char *name)
{
	size_t		len = strlen(name);

	if (strncmp(dwf_test_point, name, len) != 0 || dwf_test_point[len] != '=')
		return NULL;
	return dwf_test_point + len + 1;
}

int
dwf_testpoint_number(const char *name, int usual)
{
	const char *action = find_action(name);

	return action == NULL ? usual : (int) strtol(action, NULL, 10);
}

void
dwf_testpoint_reach(const char *name)
{
	const char *action = find_action(name);

	if (action == NULL)
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
	while (find_action(name) != NULL)
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

#endif							/* DWF_TEST_HOOKS */
