/*
 * halves.c
 *	  What is done to many rows, of which some may fail.
 *
 * It must not know what is done.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/halves.h"

#include "miscadmin.h"

/* Some of the rows. */
typedef struct Part
{
	const DwfHalves *halves;
	DwfPass    *pass;
	const int64 *ids;
	int			count;
} Part;

static bool do_some(const Part *some);
static void do_part(void *arg);

bool
dwf_halves_do(const DwfHalves *halves, const int64 *ids, int count)
{
	DwfPass		pass = {0};
	Part		all = {halves, &pass, ids, count};

	return do_some(&all);
}

/*
 * As dwf_halves_do(), of a part.  A lock that some of many wait for is waited for
 * once as long as usual, and shortly in all that comes then.
 */
static bool
do_some(const Part *some)
{
	int			half = some->count / 2;
	Part		first = {some->halves, some->pass, some->ids, half};
	Part		second = {some->halves, some->pass, some->ids + half,
	some->count - half};
	ErrorData  *error;
	bool		goes_on = true;

	CHECK_FOR_INTERRUPTS();
	error = some->count == 0 ? NULL :
		dwf_apart_try_any(do_part, unconstify(Part *, some));
	if (error == NULL)
	{
		some->pass->done += some->count;
		return true;
	}
	if (some->count == 1)
	{
		goes_on = some->halves->refused(some->halves->arg, some->ids[0], error);
		(void) dwf_apart_goes_on(some->pass, error);
	}
	else if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		dwf_apart_wait_shortly();
	FreeErrorData(error);
	if (some->count == 1)
		return goes_on;
	return do_some(&first) && do_some(&second);
}

static void
do_part(void *arg)
{
	const Part *part = arg;

	part->halves->work(part->halves->arg, part->ids, part->count);
}
