/*
 * apart.c
 *	  What may fail for one row, without the transaction.
 *
 * It must not know what is done.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/refusal.h"

#include "access/xact.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/*
 * So many rows are waited for, or fail otherwise for the moment, in one pass; and
 * how long each but the first is waited for, milliseconds.
 */
#define MAX_MOMENTS		50
#define SHORT_WAIT		2

/* So many in a row that fail alike, before any is done, are the server's. */
#define MAX_ALIKE		10

ErrorData *
dwf_apart_try(DwfApartWork work, void *arg)
{
	ErrorData  *error = dwf_apart_try_any(work, arg);

	if (error != NULL && !dwf_refusal_is_rows(error->sqlerrcode))
		ReThrowError(error);
	return error;
}

ErrorData *
dwf_apart_try_any(DwfApartWork work, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		work(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		error->sqlerrcode = dwf_refusal_code(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

bool
dwf_apart_goes_on(DwfPass *pass, ErrorData *error)
{
	if (dwf_refusal_is_rows(error->sqlerrcode))
		return true;
	pass->moments++;
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		dwf_apart_wait_shortly();
	pass->alike = error->sqlerrcode == pass->code ? pass->alike + 1 : 1;
	pass->code = error->sqlerrcode;
	if (pass->done == 0 && pass->alike >= MAX_ALIKE &&
		dwf_refusal_may_be_servers(error->sqlerrcode))
		ReThrowError(error);
	return pass->moments < MAX_MOMENTS;
}

/*
 * What one row's trigger waits for, others' may, too: from here on, and to the end
 * of the transaction, nothing is waited for as long.
 */
void
dwf_apart_wait_shortly(void)
{
	if (LockTimeout > 0 && LockTimeout <= SHORT_WAIT)
		return;
	(void) set_config_option("lock_timeout", CppAsString2(SHORT_WAIT),
							 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
}
