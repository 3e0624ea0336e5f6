/*
 * sender_results.c
 *	  Attempts that have ended and whose results are to be written.
 *
 * All that are fresh are written together, in one transaction; where that
 * fails, each is tried alone, so that one which cannot be written stops no
 * other.
 */
#include "postgres.h"

#include "base/testpoint.h"
#include "queue/settlement.h"
#include "worker/sender.h"
#include "worker/sender_state.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The longest waits between two tries to write a result, milliseconds. */
#define MAX_WRITE_WAIT	60000
#define MAX_LOCK_WAIT	5000

static DwfAttempt *find_failed(const DwfSender *sender, TimestampTz now);
static void settle(DwfSettlement *settlement, DwfAttempt *attempt);

bool
dwf_sender_has_failed(const DwfSender *sender, TimestampTz now)
{
	return find_failed(sender, now) != NULL;
}

/* A result whose writing failed before and may be tried again; NULL: none. */
static DwfAttempt *
find_failed(const DwfSender *sender, TimestampTz now)
{
	ListCell   *cell;

	foreach(cell, sender->ended)
	{
		DwfAttempt *attempt = lfirst(cell);

		if (attempt->tries > 0 && attempt->write_at <= now)
			return attempt;
	}
	return NULL;
}

bool
dwf_sender_has_fresh(const DwfSender *sender)
{
	ListCell   *cell;

	foreach(cell, sender->ended)
	{
		if (((DwfAttempt *) lfirst(cell))->tries == 0)
			return true;
	}
	return false;
}

void
dwf_sender_committed(DwfSender *sender, TimestampTz now)
{
	ListCell   *cell;

	dwf_agenda_committed(&sender->agenda, now);
	foreach(cell, sender->ended)
	{
		DwfAttempt *attempt = lfirst(cell);

		if (!attempt->written)
			continue;
		sender->ended = foreach_delete_current(sender->ended, cell);
		MemoryContextDelete(attempt->context);
	}
}

void
dwf_sender_aborted(DwfSender *sender, TimestampTz now, bool locked_out)
{
	int			longest = locked_out ? MAX_LOCK_WAIT : MAX_WRITE_WAIT;
	ListCell   *cell;
	int			together = 0;

	dwf_agenda_aborted(&sender->agenda, now);
	foreach(cell, sender->claimed)
		MemoryContextDelete(((DwfAttempt *) lfirst(cell))->context);
	list_free(sender->claimed);
	sender->claimed = NIL;

	foreach(cell, sender->ended)
		together += ((DwfAttempt *) lfirst(cell))->written;
	foreach(cell, sender->ended)
	{
		DwfAttempt *attempt = lfirst(cell);

		/* one that failed among others is tried alone, at once */
		if (!attempt->written)
			continue;
		attempt->written = false;
		attempt->write_at = now;
		if (together == 1 && attempt->tries > 0)
			attempt->write_at =
				TimestampTzPlusMilliseconds(now,
											Min(longest,
												500 << Min(attempt->tries, 10)));
		attempt->tries++;
	}
}

void
dwf_sender_write_fresh(DwfSender *sender, int64 owner, TimestampTz now)
{
	DwfSettlement settlement;
	ListCell   *cell;

	dwf_settlement_begin(&settlement, owner, now);
	foreach(cell, sender->ended)
	{
		DwfAttempt *attempt = lfirst(cell);

		if (attempt->tries == 0)
			settle(&settlement, attempt);
	}
	dwf_settlement_end(&settlement);
}

void
dwf_sender_write_failed(DwfSender *sender, int64 owner, TimestampTz now)
{
	DwfSettlement settlement;

	dwf_settlement_begin(&settlement, owner, now);
	settle(&settlement, find_failed(sender, now));
	dwf_settlement_end(&settlement);
}

void
dwf_sender_write_at_once(DwfSender *sender)
{
	ListCell   *cell;

	foreach(cell, sender->ended)
		((DwfAttempt *) lfirst(cell))->write_at = 0;
}

static void
settle(DwfSettlement *settlement, DwfAttempt *attempt)
{
	attempt->written = true;
	DWF_TESTPOINT("before-settle");
	if (!dwf_settlement_write(settlement, &attempt->result))
		ereport(LOG,
				(errmsg("domowf: request " INT64_FORMAT " is no longer what was sent; its outcome is dropped: %s",
						attempt->result.id,
						attempt->result.error ? attempt->result.error :
						attempt->result.instance ? attempt->result.instance->id :
						"done")));
}

TimestampTz
dwf_sender_write_at(const DwfSender *sender)
{
	TimestampTz first = DT_NOEND;
	ListCell   *cell;

	foreach(cell, sender->ended)
		first = Min(first, ((DwfAttempt *) lfirst(cell))->write_at);
	return first;
}
