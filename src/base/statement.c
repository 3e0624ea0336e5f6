/*
 * statement.c
 *	  SQL statements that C code runs again and again.
 */
#include "postgres.h"

#include "base/owner.h"
#include "base/statement.h"

#include "utils/guc.h"

static SPIPlanPtr prepare(DwfStatement *statement, int count);
static int	begin_planning(void);

void
dwf_statement_run(DwfStatement *statement, Datum *values)
{
	int			count = 0;
	int			planning = 0;

	while (OidIsValid(statement->types[count]))
		count++;
	if (statement->one_plan &&
		(statement->plan == NULL || !SPI_plan_is_valid(statement->plan)))
		planning = begin_planning();
	if (statement->plan == NULL)
		statement->plan = prepare(statement, count);
	if (SPI_execute_plan(statement->plan, values, NULL, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", statement->sql);
	if (planning > 0)
		AtEOXact_GUC(false, planning);
	dwf_owner_stay();
}

static SPIPlanPtr
prepare(DwfStatement *statement, int count)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(statement->sql, count,
										  statement->types,
										  statement->one_plan ?
										  CURSOR_OPT_GENERIC_PLAN : 0);

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\"", statement->sql);
	SPI_keepplan(plan);
	return plan;
}

/*
 * A plan outlives the state of the tables that it was made for, which may have
 * been empty: whatever has an index goes by it, in its order, row by row.  What
 * has to be sorted all the same then seems dear enough to be compiled, which
 * takes longer than all of it.
 */
static int
begin_planning(void)
{
	static const char *const others[] = {"enable_seqscan", "enable_sort",
	"enable_hashjoin", "enable_mergejoin", "jit"};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(others); i++)
		(void) set_config_option(others[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

Datum
dwf_statement_column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 number, isnull);
}

int
dwf_statement_read_ids(int64 **ids)
{
	int			count = (int) SPI_processed;
	bool		isnull;

	*ids = palloc(sizeof(int64) * Max(count, 1));
	for (int i = 0; i < count; i++)
		(*ids)[i] = DatumGetInt64(dwf_statement_column(i, 1, &isnull));
	return count;
}
