/*
 * connection_view.c
 *	  What a worker says of its connections: the rows of the foreign table
 *	  domowf.connection_status.
 *
 * It must not know how a foreign table is read (worker_view.c).
 */
#include "postgres.h"

#include "worker/connection_view.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

const Oid	dwf_connection_view_types[CONNECTION_COLUMNS] = {
	[CONNECTION_SERVER] = TEXTOID,
	[CONNECTION_ROLE] = TEXTOID,
	[CONNECTION_STATE] = TEXTOID,
	[CONNECTION_IN_FLIGHT] = INT4OID,
	[CONNECTION_SENT] = INT8OID,
	[CONNECTION_FAILED] = INT8OID,
	[CONNECTION_PAUSED_UNTIL] = TIMESTAMPTZOID,
	[CONNECTION_REASON] = TEXTOID,
};

static void set_text(TupleTableSlot *slot, int column, const char *text);
static const char *state_name(const DwfConnectionStatus *row);

/* Counts, and a time, are NULL where there is no connection. */
void
dwf_connection_view_fill(TupleTableSlot *slot, const DwfConnectionStatus *row,
						 bool may_see_requests)
{
	bool		waits = row->state == DWF_CONNECTION_WAITS;

	memset(slot->tts_isnull, false, sizeof(bool) * CONNECTION_COLUMNS);
	set_text(slot, CONNECTION_SERVER, row->server);
	set_text(slot, CONNECTION_ROLE, row->is_public ? "public" : row->role);
	set_text(slot, CONNECTION_STATE, state_name(row));
	slot->tts_values[CONNECTION_IN_FLIGHT] = Int32GetDatum(row->in_flight);
	slot->tts_values[CONNECTION_SENT] = Int64GetDatum(row->sent);
	slot->tts_values[CONNECTION_FAILED] = Int64GetDatum(row->failed);
	slot->tts_isnull[CONNECTION_IN_FLIGHT] = waits;
	slot->tts_isnull[CONNECTION_SENT] = waits;
	slot->tts_isnull[CONNECTION_FAILED] = waits;
	slot->tts_values[CONNECTION_PAUSED_UNTIL] =
		TimestampTzGetDatum(row->paused_until);
	slot->tts_isnull[CONNECTION_PAUSED_UNTIL] = row->paused_until == 0;
	set_text(slot, CONNECTION_REASON,
			 row->is_reason_private && !may_see_requests ? "" : row->reason);
}

/* An empty text is none. */
static void
set_text(TupleTableSlot *slot, int column, const char *text)
{
	slot->tts_isnull[column] = *text == '\0';
	if (*text != '\0')
		slot->tts_values[column] = CStringGetTextDatum(text);
}

static const char *
state_name(const DwfConnectionStatus *row)
{
	switch (row->state)
	{
		case DWF_CONNECTION_IDLE:
			return "idle";
		case DWF_CONNECTION_SENDS:
			return "sending";
		case DWF_CONNECTION_PAUSED:
			return "paused";
		case DWF_CONNECTION_WAITS:
			return "waiting";
	}
	return "";
}
