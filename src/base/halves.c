/*
 * halves.c
 *	  What is done to many rows, of which some may be refused for what they hold.
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
	const int64 *ids;
	int			count;
} Part;

static void do_part(void *arg);

bool
dwf_halves_do(const DwfHalves *halves, const int64 *ids, int count)
{
	Part		part = {halves, ids, count};
	ErrorData  *error;
	int			half = count / 2;
	bool		goes_on;

	CHECK_FOR_INTERRUPTS();
	error = count == 0 ? NULL : dwf_apart_try(do_part, &part);
	if (error == NULL)
		return true;
	if (count == 1)
		goes_on = halves->refused(halves->arg, ids[0], error);
	FreeErrorData(error);
	if (count == 1)
		return goes_on;
	return dwf_halves_do(halves, ids, half) &&
		dwf_halves_do(halves, ids + half, count - half);
}

static void
do_part(void *arg)
{
	const Part *part = arg;

	part->halves->work(part->halves->arg, part->ids, part->count);
}
