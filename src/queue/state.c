/*
 * state.c
 *	  The table domowf.state: whether this database sends.
 *
 * A queue knows the database in which it was made.  A copy of it, made by
 * CREATE DATABASE ... TEMPLATE, finds itself in another one and waits until
 * somebody says that it may send, too.
 */
#include "postgres.h"

#include "base/objects.h"
#include "base/text.h"
#include "queue/state.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

bool
dwf_state_is_paused(char *reason, Size size)
{
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;
	bool		paused;
	Datum		words;

	if (SPI_execute("SELECT paused, pause_reason, database FROM domowf.state",
					true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.state");
	(void) dwf_object_require("state", NULL);	/* still so, now locked */
	if (SPI_processed == 0)
		return false;
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	paused = DatumGetBool(SPI_getbinval(row, desc, 1, &isnull));
	words = SPI_getbinval(row, desc, 2, &isnull);
	dwf_text_cut(reason, size, isnull ? "paused by domowf_pause()" :
				 TextDatumGetCString(words));
	if (DatumGetObjectId(SPI_getbinval(row, desc, 3, &isnull)) !=
		MyDatabaseId)
	{
		strlcpy(reason, "this database is a copy of another one", size);
		paused = true;
	}
	return paused;
}

void
dwf_state_pause_promoted(void)
{
	if (SPI_execute("UPDATE domowf.state SET paused = true, "
					"paused_at = now(), "
					"pause_reason = 'the server was promoted' "
					"WHERE NOT paused", false, 0) < 0)
		elog(ERROR, "could not pause");
}
