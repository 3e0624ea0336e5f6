/*
 * sender_results.c
 *	  Attempts that have ended and whose results are to be written.
 *
 * All that are fresh are written together, in one transaction; where that
 * fails, each is tried alone, so that one which cannot be written stops no
 * other.
 */
#include "postgres.h"

#include "worker/sender.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The longest waits between two tries to write a result, milliseconds. */
#define MAX_WRITE_WAIT	60000
#define MAX_LOCK_WAIT	5000

DwfAttempt *
dwf_sender_find_failed(const DwfSender *sender, TimestampTz now)
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
dwf_sender_committed(DwfSender *sender)
{
	ListCell   *cell;

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

List *
dwf_sender_list_fresh(const DwfSender *sender)
{
	List	   *fresh = NIL;
	ListCell   *cell;

	foreach(cell, sender->ended)
	{
		if (((DwfAttempt *) lfirst(cell))->tries == 0)
			fresh = lappend(fresh, lfirst(cell));
	}
	return fresh;
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
