/*
 * claim.c
 *	  How the worker finds and claims what is due.
 *
 * A claim is committed before its first byte is sent; settlement.c has what
 * comes after that.  Rows that others have locked are skipped, never waited
 * for.  Everything goes below SQL (table.c).
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/table.h"
#include "queue/claim.h"

#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* The index by which the requests of a lane are found. */
static const int by_lane[] = {QUEUE_LANE, QUEUE_DUE, QUEUE_ID};

static bool can_be_sent(const DwfTable *queue, TimestampTz now);
static bool find_operation(const DwfTable *queue, DwfOperation *operation);
static void fill_claim(const DwfTable *queue, DwfClaim *claim);
static char *name_lane(const DwfTable *queue);

bool
dwf_claim_next_lane(DwfTable *queue, int64 *lane, TimestampTz *due)
{
	dwf_table_seek_next(queue, by_lane, lengthof(by_lane), *lane);
	if (!dwf_table_next(queue))
		return false;
	*lane = DatumGetInt64(queue->values[QUEUE_LANE]);
	*due = DatumGetTimestampTz(queue->values[QUEUE_DUE]);
	return true;
}

int
dwf_claim_find_due(DwfTable *queue, int64 lane, DwfCursor *cursor,
				   TimestampTz now, int limit, int64 *ids, TimestampTz *next)
{
	int			count = 0;

	*next = DT_NOEND;
	dwf_table_seek_within(queue, by_lane, lane, cursor->due, cursor->id);
	while (dwf_table_next(queue))
	{
		TimestampTz due = DatumGetTimestampTz(queue->values[QUEUE_DUE]);

		if (!dwf_table_is_text(queue, QUEUE_STATE, "queued"))
			continue;
		if (due > now || count == limit)
		{
			*next = due;
			break;
		}
		cursor->due = due;
		cursor->id = ids[count++] = DatumGetInt64(queue->values[QUEUE_ID]);
	}
	return count;
}

int
dwf_claim_requests(DwfPick *picks, int count, int64 owner, TimestampTz now,
				   DwfClaim **claims)
{
	DwfTable	queue;
	int			claimed = 0;

	/* what could not be settled is not sent */
	dwf_table_check("log");

	*claims = palloc(sizeof(DwfClaim) * count);
	dwf_table_open(&queue, "queue", QUEUE_COLUMNS, false);
	for (int i = 0; i < count; i++)
	{
		int			claim;

		if (!dwf_table_find(&queue, QUEUE_ID, Int64GetDatum(picks[i].id)) ||
			!can_be_sent(&queue, now))
			continue;
		claim = DatumGetInt32(queue.values[QUEUE_CLAIM]) + 1;
		dwf_table_set_text(&queue, QUEUE_STATE, "sending");
		dwf_table_set(&queue, QUEUE_CLAIM, Int32GetDatum(claim));
		dwf_table_set(&queue, QUEUE_OWNER, Int64GetDatum(owner));
		dwf_table_set(&queue, QUEUE_SENT_AT, TimestampTzGetDatum(now));
		if (!dwf_table_update(&queue, false))
			continue;
		picks[i].is_claimed = true;
		(*claims)[claimed].lane = picks[i].lane;
		fill_claim(&queue, &(*claims)[claimed++]);
	}
	dwf_table_close(&queue);
	return claimed;
}

/* Whether the request at hand still waits, and its time has come. */
static bool
can_be_sent(const DwfTable *queue, TimestampTz now)
{
	DwfOperation operation;

	return dwf_table_is_text(queue, QUEUE_STATE, "queued") &&
		DatumGetTimestampTz(queue->values[QUEUE_DUE]) <= now &&
		find_operation(queue, &operation) &&
		(queue->nulls[QUEUE_EXPIRES_AT] ||
		 DatumGetTimestampTz(queue->values[QUEUE_EXPIRES_AT]) > now);
}

/* The table's constraint keeps out what nobody here knows. */
static bool
find_operation(const DwfTable *queue, DwfOperation *operation)
{
	return dwf_operation_find_queued(TextDatumGetCString(queue->values[QUEUE_OPERATION]),
									 operation);
}

/* From the request at hand; palloc'd in the current context. */
static void
fill_claim(const DwfTable *queue, DwfClaim *claim)
{
	Oid			role;

	claim->id = DatumGetInt64(queue->values[QUEUE_ID]);
	claim->claim = DatumGetInt32(queue->values[QUEUE_CLAIM]);
	(void) find_operation(queue, &claim->operation);
	claim->lane_name = name_lane(queue);
	claim->request = DatumGetJsonbPCopy(queue->values[QUEUE_REQUEST]);
	claim->retry_on_doubt = dwf_table_is_text(queue, QUEUE_ON_DOUBT, "retry");
	claim->attempts = DatumGetInt32(queue->values[QUEUE_ATTEMPTS]);
	claim->max_attempts = DatumGetInt32(queue->values[QUEUE_MAX_ATTEMPTS]);
	claim->failures = DatumGetInt32(queue->values[QUEUE_FAILURES]);
	role = DatumGetObjectId(queue->values[QUEUE_REQUESTED_BY_OID]);
	claim->role_exists = SearchSysCacheExists1(AUTHOID,
											   ObjectIdGetDatum(role));
}

static char *
name_lane(const DwfTable *queue)
{
	char	   *role = NameStr(*DatumGetName(queue->values[QUEUE_REQUESTED_BY]));
	bool		is_workflow = !queue->nulls[QUEUE_WORKFLOW];
	char	   *what =
	TextDatumGetCString(queue->values[is_workflow ? QUEUE_WORKFLOW :
									  QUEUE_OPERATION]);

	return psprintf(is_workflow ? "workflow \"%s\", asked for by \"%s\"" :
					"%s, asked for by \"%s\"", what, role);
}
