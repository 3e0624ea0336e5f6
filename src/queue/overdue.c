/*
 * overdue.c
 *	  Requests that have expired and may have been executed: upkeep.c finds them.
 *
 * It must not know why they may have been (verdict.c).
 */
#include "postgres.h"

#include "base/statement.h"
#include "queue/overdue.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

/* by itself: triggers for each statement see an UPDATE where there is one */
static DwfStatement doubt_expired = {
	"UPDATE domowf.queue SET state = 'in_doubt', due = 'infinity', "
	"error = 'An earlier attempt may have been executed (' "
	"|| coalesce(error, '') || '); then it expired' WHERE id = $1",
	{INT8OID}
};

int
dwf_overdue_doubt(void)
{
	SPITupleTable *rows = SPI_tuptable;
	uint64		nrows = SPI_processed;
	int			doubt = 0;
	bool		isnull;

	for (uint64 i = 0; i < nrows; i++)
	{
		char	   *state = TextDatumGetCString(dwf_statement_column(i, 1, &isnull));
		Datum		id = dwf_statement_column(i, 2, &isnull);

		if (strcmp(state, "in_doubt") != 0)
			continue;
		dwf_statement_run(&doubt_expired, &id);
		SPI_tuptable = rows;
		SPI_processed = nrows;
		doubt++;
	}
	return doubt;
}
