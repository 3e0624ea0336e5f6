/*
 * given_up.c
 *	  Instances that are followed no longer, without a poll that says so: how
 *	  their end is written.
 *
 * Each by itself: what refuses one, or keeps it waiting, keeps no other.  It must
 * not know which these are.
 */
#include "postgres.h"

#include "base/apart.h"
#include "queue/refused.h"
#include "worker/given_up.h"

/*
 * When one is due again that could not be ended, milliseconds: not later than it is
 * told of as one that rests.
 */
#define PUT_OFF		60000

/* One, and why. */
typedef struct End
{
	const DwfTracked *row;
	const char *why;
	TimestampTz wall;
} End;

static DwfPass pass;			/* in the transaction under way */
static bool goes_on;

static bool try(DwfApartWork work, const End *end, ErrorData **error);
static void end_row(void *arg);
static void put_off_row(void *arg);

/*
 * That many fail by what may be the server's fails no transaction, which polls
 * others and writes what they have told.
 */
void
dwf_given_up_begin(void)
{
	memset(&pass, 0, sizeof(pass));
	pass.done = 1;
	goes_on = true;
}

bool
dwf_given_up_goes_on(void)
{
	return goes_on;
}

bool
dwf_given_up_end(const DwfTracked *row, const char *why, TimestampTz wall)
{
	End			end = {.row = row,.why = why,.wall = wall};
	ErrorData  *error;
	ErrorData  *other;
	int			code;

	if (dwf_refused_until(DWF_REFUSED_TRACK, row->request, &code) != 0)
		return false;
	if (try(end_row, &end, &error))
		dwf_refused_forget(DWF_REFUSED_TRACK, row->request);
	else
	{
		dwf_refused_rest(DWF_REFUSED_TRACK, row->request, error);
		(void) try(put_off_row, &end, &other);
	}
	return true;
}

static bool
try(DwfApartWork work, const End *end, ErrorData **error)
{
	*error = dwf_apart_try_any(work, (void *) end);
	if (*error != NULL)
		goes_on = dwf_apart_goes_on(&pass, *error) && goes_on;
	return *error == NULL;
}

static void
end_row(void *arg)
{
	const End  *end = arg;

	(void) dwf_tracked_end(end->row, false, NULL, end->why, end->wall);
}

static void
put_off_row(void *arg)
{
	const End  *end = arg;

	(void) dwf_tracked_go_on(end->row, end->row->tries, false, NULL, end->why,
							 end->wall + PUT_OFF * INT64CONST(1000));
}

/* One that rests may be tried later than the next look: it stays told of. */
void
dwf_given_up_look(void)
{
	if (!dwf_refused_any(DWF_REFUSED_TRACK))
		dwf_given_up_drop();
}

void
dwf_given_up_drop(void)
{
	dwf_refused_begin(DWF_REFUSED_TRACK);
}
