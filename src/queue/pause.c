/*
 * pause.c
 *	  Whether this database sends: the table domowf.state, domowf_pause() and
 *	  domowf_resume().
 *
 * A queue knows the database and the server whose it is.  A copy of it, made by
 * CREATE DATABASE ... TEMPLATE, finds itself in another one and waits until
 * somebody says that it may send, too: by domowf_resume(), which makes it that
 * one's.  So does a server that was made from another one and told to be itself
 * (base/timeline.c).
 */
#include "postgres.h"

#include "base/command.h"
#include "base/commit.h"
#include "base/extension.h"
#include "base/objects.h"
#include "base/owner.h"
#include "base/text.h"
#include "base/timeline.h"
#include "queue/pause.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(domowf_pause);
PG_FUNCTION_INFO_V1(domowf_resume);

static void set_paused(bool paused, Datum reason, bool no_reason);
static void begin_here(void);
static Datum get_value(int column, bool *isnull);

bool
dwf_pause_is_set(char *reason, Size size, bool *is_copy)
{
	bool		isnull;
	bool		paused;
	Datum		words;
	DwfTimeline served;

	if (SPI_execute("SELECT paused, pause_reason, database FROM domowf.state",
					true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.state");
	(void) dwf_object_require("state", NULL);	/* still so, now locked */
	*is_copy = false;
	if (SPI_processed == 0)
		return false;
	paused = DatumGetBool(get_value(1, &isnull));
	words = get_value(2, &isnull);
	dwf_text_cut(reason, size, isnull ? "paused by domowf_pause()" :
				 TextDatumGetCString(words));
	if (DatumGetObjectId(get_value(3, &isnull)) != MyDatabaseId)
	{
		strlcpy(reason, "this database is a copy of another one", size);
		*is_copy = true;
	}
	dwf_pause_read_served(&served);
	if (!*is_copy && dwf_timeline_is_copy(&served))
	{
		strlcpy(reason, "this server is a copy of another one", size);
		*is_copy = true;
	}
	return paused || *is_copy;
}

void
dwf_pause_read_served(DwfTimeline *served)
{
	bool		isnull;

	*served = (DwfTimeline)
	{
		0
	};
	if (SPI_execute("SELECT coalesce(system_identifier, 0), "
					"coalesce(timeline, 0) FROM domowf.state", true, 1) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.state");
	if (SPI_processed == 0)
		return;
	served->system = DatumGetInt64(get_value(1, &isnull));
	served->number = DatumGetInt64(get_value(2, &isnull));
}

/* A value of the row that was read. */
static Datum
get_value(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column,
						 isnull);
}

void
dwf_pause_write_served(const DwfTimeline *here)
{
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(here->system),
	Int64GetDatum(here->number)};

	if (SPI_execute_with_args("UPDATE domowf.state SET system_identifier = $1, "
							  "timeline = $2", 2, types, values, NULL, false,
							  0) < 0)
		elog(ERROR, "could not update domowf.state");
}

bool
dwf_pause_is_of_copy(void)
{
	DwfOwnerScope scope;
	char		reason[64];
	bool		is_copy;

	dwf_owner_enter_to_read(&scope);
	SPI_connect();
	(void) dwf_pause_is_set(reason, sizeof(reason), &is_copy);
	SPI_finish();
	dwf_owner_leave(&scope);
	return is_copy;
}

void
dwf_pause_promoted(void)
{
	if (SPI_execute("UPDATE domowf.state SET paused = true, "
					"paused_at = now(), "
					"pause_reason = 'the server was promoted' "
					"WHERE NOT paused", false, 0) < 0)
		elog(ERROR, "could not pause");
}

/*
 * domowf_pause(reason text) returns void
 */
Datum
domowf_pause(PG_FUNCTION_ARGS)
{
	dwf_command_begin("domowf_pause()");
	set_paused(true, PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0),
			   PG_ARGISNULL(0));
	PG_RETURN_VOID();
}

/*
 * domowf_resume() returns void.  It also makes this database the queue's own,
 * where it is a copy of another one.
 */
Datum
domowf_resume(PG_FUNCTION_ARGS)
{
	dwf_command_begin("domowf_resume()");
	set_paused(false, (Datum) 0, true);
	PG_RETURN_VOID();
}

/* Resuming makes this database the queue's own, too. */
static void
set_paused(bool paused, Datum reason, bool no_reason)
{
	Oid			types[] = {BOOLOID, TEXTOID, OIDOID};
	Datum		values[] = {BoolGetDatum(paused), reason,
	ObjectIdGetDatum(MyDatabaseId)};
	char		nulls[] = {' ', no_reason ? 'n' : ' ', ' '};
	DwfOwnerScope scope;

	dwf_owner_enter(&scope);
	SPI_connect();
	if (!paused && dwf_extension_can_send() && !RecoveryInProgress())
		begin_here();
	if (SPI_execute_with_args("UPDATE domowf.state SET paused = $1, "
							  "pause_reason = $2, "
							  "paused_at = CASE WHEN $1 THEN now() END, "
							  "database = CASE WHEN $1 THEN database "
							  "ELSE $3 END", 3, types, values, nulls, false,
							  0) < 0)
		elog(ERROR, "could not update domowf.state");
	SPI_finish();
	dwf_owner_leave(&scope);
	dwf_commit_note_enqueued(DT_NOBEGIN, 0);
}

/* Where the original of a copy was served is nothing to it any more. */
static void
begin_here(void)
{
	DwfTimeline here = dwf_timeline_here();
	char		reason[64];
	bool		is_copy;

	(void) dwf_pause_is_set(reason, sizeof(reason), &is_copy);
	if (is_copy)
		dwf_pause_write_served(&here);
}
