/*
 * agenda.c
 *	  What is due, as far as the worker has read the queue.
 *
 * The queue is read in the order of (due, id), a batch at a time, each row
 * once: behind the place that was reached lie no rows of the past, which may
 * be dead and many.  An id that was taken and could not be claimed (somebody
 * had locked the row) is found when the queue is read from its start again.
 */
#include "postgres.h"

#include "agenda.h"

#include "utils/timestamp.h"

void
dwf_agenda_restart(DwfAgenda *agenda)
{
	agenda->cursor.due = agenda->next_due = DT_NOBEGIN;
}

void
dwf_agenda_forget(DwfAgenda *agenda)
{
	agenda->taken = agenda->count = 0;
	dwf_agenda_restart(agenda);
}

void
dwf_agenda_rewind(DwfAgenda *agenda, TimestampTz earliest)
{
	if (earliest <= agenda->cursor.due)
	{
		/* rows came in behind the cursor: back to before them */
		agenda->cursor.due = earliest == DT_NOBEGIN ? earliest : earliest - 1;
		agenda->cursor.id = PG_INT64_MAX;
	}
	if (earliest < agenda->next_due)
		agenda->next_due = earliest;
}

TimestampTz
dwf_agenda_next(const DwfAgenda *agenda, TimestampTz now)
{
	return agenda->taken < agenda->count ? now : agenda->next_due;
}

int
dwf_agenda_take(DwfAgenda *agenda, DwfPause *pause, TimestampTz now, int room,
				int64 *ids)
{
	int			taken = 0;
	int64	   *next;

	if (agenda->taken == agenda->count && agenda->next_due <= now)
	{
		bool		is_rescan = agenda->cursor.due == DT_NOBEGIN;

		agenda->taken = 0;
		agenda->count = dwf_queue_find_due(&agenda->cursor, now,
										   DWF_AGENDA_BATCH, agenda->ids,
										   &agenda->next_due);
		if (is_rescan)
			agenda->last_rescan = GetCurrentTimestamp() - now;
	}
	next = &agenda->ids[agenda->taken];
	if (pause->pauses > 0 && agenda->count - agenda->taken > 1 &&
		next[0] == pause->last_probe)
	{
		next[0] = next[1];
		next[1] = pause->last_probe;
	}
	while (taken < room && agenda->taken < agenda->count)
		ids[taken++] = agenda->ids[agenda->taken++];
	if (pause->pauses > 0 && taken > 0)
		pause->last_probe = ids[0];
	return taken;
}
