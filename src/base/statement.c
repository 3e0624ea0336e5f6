/*
 * statement.c
 *	  SQL statements that C code runs again and again.
 */
#include "postgres.h"

#include "base/owner.h"
#include "base/statement.h"

void
dwf_statement_run(DwfStatement *statement, Datum *values)
{
	int			count = 0;

	while (OidIsValid(statement->types[count]))
		count++;
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(statement->sql, count,
									   statement->types);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\"", statement->sql);
		SPI_keepplan(plan);
		statement->plan = plan;
	}
	if (SPI_execute_plan(statement->plan, values, NULL, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", statement->sql);
	dwf_owner_stay();
}

Datum
dwf_statement_column(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 number, isnull);
}
