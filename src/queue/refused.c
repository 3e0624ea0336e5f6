/*
 * refused.c
 *	  Rows that somebody's trigger, check or index refuses to have changed, and
 *	  that are passed by: who tells of them.
 *
 * One of a kind is remembered, since it takes one to be a stall.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/text.h"
#include "queue/refused.h"

/* In words: what it is, before its number, and what is behind that. */
static const struct
{
	const char *row;
	const char *fault;
}			words[DWF_REFUSED_KINDS] =

{
	[DWF_REFUSED_HOLD] = {"request", ", which may have been sent before this server took over, cannot be put in doubt, and is not sent"},
	[DWF_REFUSED_ORDER] = {"request", ", the next of its order key, cannot be let go"},
	[DWF_REFUSED_RETURN] = {"entry", " of domowf.return_entry cannot be changed"},
	[DWF_REFUSED_DATE] = {"request", " cannot be dated anew after the clock was set"},
};

/* The last one of each kind. */
static struct
{
	int			code;			/* 0: none */
	char		why[256];
	DwfSteady	again;			/* not said before */
}			last[DWF_REFUSED_KINDS];

void
dwf_refused_begin(DwfRefused kind)
{
	last[kind].code = 0;
}

void
dwf_refused_note(DwfRefused kind, int64 id, const ErrorData *error)
{
	char	   *why = psprintf("%s " INT64_FORMAT "%s: %s", words[kind].row, id,
							   words[kind].fault, error->message);

	last[kind].code = error->sqlerrcode;
	dwf_text_cut(last[kind].why, sizeof(last[kind].why), why);
	if (dwf_clock_once_a_minute(&last[kind].again))
		ereport(LOG, (errmsg("domowf: %s", why)));
	pfree(why);
}

bool
dwf_refused_find(int *code, const char **why)
{
	for (int i = 0; i < DWF_REFUSED_KINDS; i++)
	{
		if (i == DWF_REFUSED_DATE || last[i].code == 0)
			continue;
		*code = last[i].code;
		*why = last[i].why;
		return true;
	}
	return false;
}
