/*
 * testpoint.c
 *	  Places where a test can make something go wrong.
 */
#include "postgres.h"

#include "testpoint.h"

#ifdef DWF_TEST_HOOKS

#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/latch.h"
#include "postmaster/interrupt.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

char	   *dwf_test_point;

/* Does what the setting asks for, if it names this point. */
void
dwf_testpoint_reach(const char *name)
{
	size_t		len = strlen(name);
	const char *action;

	if (strncmp(dwf_test_point, name, len) != 0 || dwf_test_point[len] != '=')
		return;
	action = dwf_test_point + len + 1;
	if (strcmp(action, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(action, "error") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("test point \"%s\" was reached", name)));
	if (strcmp(action, "wait") != 0)
		return;
	ereport(LOG, (errmsg("test point \"%s\" waits", name)));
	while (strncmp(dwf_test_point, name, len) == 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

#endif							/* DWF_TEST_HOOKS */
