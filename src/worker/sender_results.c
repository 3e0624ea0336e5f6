/*
 * sender_results.c
 *	  Attempts that have ended and whose results are to be written.
 *
 * All that are fresh are written together, in one transaction; where that
 * fails, each is tried alone, so that one which cannot be written stops no
 * other.  One that the log refuses for what it holds would be refused for ever,
 * and as many as there may be in flight would stop everything: it is held in
 * doubt, with what is known of it.
 *
 * Where the row refuses even that (a trigger that raises at each UPDATE and
 * DELETE), or fails again and again by itself while others are written (somebody
 * has locked it), the result is set aside: it is tried again, at growing
 * intervals, and takes no place in flight, so that as many as there are places
 * stop nobody.  It is in memory alone, so that a worker that ends leaves it in
 * doubt, as all that it was sending, and says in the log what it was.
 *
 * So many may be set aside and no more: that is not rows any more but the table,
 * and each start that is sent then would be one more of which nobody can write
 * down what became of it.
 */
#include "postgres.h"

#include "base/guc.h"
#include "base/refusal.h"
#include "base/testpoint.h"
#include "queue/settlement.h"
#include "worker/progress.h"
#include "worker/sender.h"
#include "worker/sender_state.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

/* The longest waits between two tries to write a result, milliseconds. */
#define MAX_WRITE_WAIT	60000
#define MAX_LOCK_WAIT	5000

/* The most that are set aside, and the bytes of their replies. */
#define MAX_ASIDE		1000
#define MAX_ASIDE_BYTES	(16 * 1024 * 1024)

/* So often a result fails alone before that is the row's fault. */
#define MAX_FAILURES	3

static DwfAttempt *find_failed(const DwfSender *sender, DwfSteady now);
static void fail_alone(DwfSender *sender, DwfAttempt *attempt, DwfSteady now,
					   int code);
static bool may_set_aside(const DwfSender *sender);
static void settle(DwfSettlement *settlement, DwfAttempt *attempt);

bool
dwf_sender_has_failed(const DwfSender *sender, DwfSteady now, bool aside)
{
	const DwfAttempt *attempt = find_failed(sender, now);

	return attempt != NULL && (aside || !attempt->is_aside);
}

/*
 * A result whose writing failed before and may be tried again, those set aside
 * last; NULL: none.
 */
static DwfAttempt *
find_failed(const DwfSender *sender, DwfSteady now)
{
	DwfAttempt *found = NULL;
	ListCell   *cell;

	foreach(cell, sender->ended)
	{
		DwfAttempt *attempt = lfirst(cell);

		if (attempt->tries == 0 || attempt->write_at > now)
			continue;
		if (!attempt->is_aside)
			return attempt;
		if (found == NULL)
			found = attempt;
	}
	return found;
}

bool
dwf_sender_is_drained(const DwfSender *sender)
{
	ListCell   *cell;

	foreach(cell, sender->ended)
	{
		if (!((DwfAttempt *) lfirst(cell))->is_aside)
			return false;
	}
	return sender->in_flight == 0;
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
dwf_sender_committed(DwfSender *sender, DwfSteady now)
{
	ListCell   *cell;

	if (sender->agenda.npicks > 0)
		sender->claims_failed = 0;
	dwf_agenda_committed(&sender->agenda, now);
	foreach(cell, sender->ended)
	{
		DwfAttempt *attempt = lfirst(cell);

		if (!attempt->written)
			continue;
		sender->ended = foreach_delete_current(sender->ended, cell);
		MemoryContextDelete(attempt->context);
		sender->written_at = now;
	}
}

void
dwf_sender_aborted(DwfSender *sender, DwfSteady now, int code)
{
	ListCell   *cell;
	int			together = 0;

	/* the first time it may have been a result that was written with it */
	if (sender->agenda.npicks > 0 &&
		(++sender->claims_failed > 1 || dwf_refusal_is_rows(code)))
		sender->claims_each = true;
	dwf_agenda_aborted(&sender->agenda, now);
	foreach(cell, sender->claimed)
	{
		DwfAttempt *attempt = lfirst(cell);

		attempt->link->held--;
		MemoryContextDelete(attempt->context);
	}
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
			fail_alone(sender, attempt, now, code);
		attempt->tries++;
	}
}

/*
 * What becomes of a result that failed alone.  Refused, it is held in doubt at
 * once; refused even so, it is set aside, and later tried as at first, since
 * what refuses it may be mended.
 */
static void
fail_alone(DwfSender *sender, DwfAttempt *attempt, DwfSteady now, int code)
{
	bool		is_rows = dwf_refusal_is_rows(code);
	int			longest = code == ERRCODE_LOCK_NOT_AVAILABLE &&
	!attempt->is_aside ? MAX_LOCK_WAIT : MAX_WRITE_WAIT;

	if (attempt->failed_at == 0)
		attempt->failed_at = now;
	if (is_rows && attempt->refusal == NULL)
	{
		attempt->refusal = MemoryContextStrdup(attempt->context,
											   sender->last_error);
		return;
	}
	if (!attempt->is_aside &&
		(is_rows || (attempt->tries >= MAX_FAILURES &&
					 sender->written_at > attempt->failed_at)))
		attempt->is_aside = may_set_aside(sender);
	if (is_rows)
	{
		pfree(attempt->refusal);
		attempt->refusal = NULL;
	}
	attempt->write_at =
		TimestampTzPlusMilliseconds(now, Min(longest,
											 500 << Min(attempt->tries, 10)));
}

/* Whether there is room for one more: see the top of the file. */
static bool
may_set_aside(const DwfSender *sender)
{
	ListCell   *cell;
	int			count = 0;
	int64		bytes = 0;

	foreach(cell, sender->ended)
	{
		const DwfAttempt *attempt = lfirst(cell);

		if (!attempt->is_aside)
			continue;
		count++;
		/* the reply's tree is libcjson's, and some times as large */
		bytes += MemoryContextMemAllocated(attempt->context, true) +
			8 * (int64) attempt->result.response_len;
	}
	return count < DWF_TESTNUMBER("set-aside", MAX_ASIDE) &&
		bytes < MAX_ASIDE_BYTES;
}

/*
 * How many results take a place in flight.  Where each of these has one that
 * fails again and again, it cannot be told whether that is the rows' fault until
 * another is sent: as if one of them were set aside.
 */
int
dwf_sender_waiting(const DwfSender *sender, int places)
{
	ListCell   *cell;
	int			waiting = 0;
	int			failing = 0;

	foreach(cell, sender->ended)
	{
		const DwfAttempt *attempt = lfirst(cell);

		if (attempt->written || attempt->is_aside)
			continue;
		waiting++;
		failing += attempt->tries > MAX_FAILURES;
	}
	return failing == places && waiting == failing ? waiting - 1 : waiting;
}

void
dwf_sender_write_fresh(DwfSender *sender, int64 owner)
{
	DwfSettlement settlement;
	ListCell   *cell;

	dwf_settlement_begin(&settlement, owner, GetCurrentTimestamp(), false);
	foreach(cell, sender->ended)
	{
		DwfAttempt *attempt = lfirst(cell);

		if (attempt->tries == 0)
			settle(&settlement, attempt);
	}
	dwf_settlement_end(&settlement);
}

void
dwf_sender_write_failed(DwfSender *sender, int64 owner, DwfSteady now)
{
	DwfSettlement settlement;
	DwfAttempt *attempt = find_failed(sender, now);

	dwf_settlement_begin(&settlement, owner, GetCurrentTimestamp(), true);
	if (attempt != NULL)
		settle(&settlement, attempt);
	dwf_settlement_end(&settlement);
}

void
dwf_sender_write_at_once(DwfSender *sender)
{
	ListCell   *cell;

	foreach(cell, sender->ended)
		((DwfAttempt *) lfirst(cell))->write_at = 0;
}

void
dwf_sender_note_progress(DwfSender *sender, DwfSteady now)
{
	DwfAttempt *oldest = sender->ended == NIL ? NULL : linitial(sender->ended);
	const DwfAgenda *agenda = &sender->agenda;
	DwfSteady	kept = dwf_agenda_kept_since(&sender->agenda, now,
											 (int64) dwf_poll_interval * 1000);

	dwf_progress_set(DWF_TASK_SETTLE, oldest == NULL ? 0 : oldest->ended_at);
	dwf_progress_set(DWF_TASK_KEPT, kept);
	if (kept != 0 && TransactionIdIsValid(agenda->kept_by))
		dwf_progress_note_holder(DWF_TASK_KEPT, agenda->kept_by);
	else if (kept != 0 && agenda->kept_code != 0)
		dwf_progress_note_refusal(DWF_TASK_KEPT, agenda->kept_code,
								  sender->refusal);
}

static void
settle(DwfSettlement *settlement, DwfAttempt *attempt)
{
	attempt->written = true;
	DWF_TESTPOINT("before-settle");
	if (!(attempt->refusal != NULL ?
		  dwf_settlement_hold(settlement, &attempt->result, attempt->refusal) :
		  dwf_settlement_write(settlement, &attempt->result)))
		ereport(LOG,
				(errmsg("domowf: request " INT64_FORMAT " is no longer what was sent; its outcome is dropped: %s",
						attempt->result.id,
						attempt->result.error ? attempt->result.error :
						attempt->result.instance ? attempt->result.instance->id :
						"done")));
}

DwfSteady
dwf_sender_write_at(const DwfSender *sender)
{
	DwfSteady	first = DT_NOEND;
	ListCell   *cell;

	foreach(cell, sender->ended)
		first = Min(first, ((DwfAttempt *) lfirst(cell))->write_at);
	return first;
}
