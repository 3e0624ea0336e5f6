/*
 * statement.h
 *	  SQL statements that C code runs again and again.
 *
 * Whoever runs one is connected to SPI, and has taken the rights and the
 * search_path that it needs (owner.h).
 */
#ifndef DWF_STATEMENT_H
#define DWF_STATEMENT_H

#include "executor/spi.h"

/*
 * A statement and its parameters' types, ended by InvalidOid.  Static.  With
 * `one_plan` it has one for all values, which goes by indexes: where to plan it
 * takes longer than to run it, and its values and how many rows there are ask
 * for no other way.  That is not for what takes as many rows as a parameter says:
 * the planner would think of many, and read all of a table to find them.
 */
typedef struct DwfStatement
{
	const char *sql;
	Oid			types[8];
	bool		one_plan;
	SPIPlanPtr	plan;			/* NULL: not run yet */
} DwfStatement;

/*
 * Runs a statement, prepared at its first use and kept, with values none of which
 * is null.  The result is SPI's, of tables that are as they should be
 * (dwf_owner_stay()).
 */
extern void dwf_statement_run(DwfStatement *statement, Datum *values);

/* A column of the last result, counted from 1, of a row, counted from 0. */
extern Datum dwf_statement_column(uint64 row, int number, bool *isnull);

/* The first column of all its rows, ids, palloc'd; returns how many. */
extern int	dwf_statement_read_ids(int64 **ids);

#endif							/* DWF_STATEMENT_H */
