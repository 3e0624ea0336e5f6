/*
 * rowtype.h
 *	  Row types that functions return, as the extension's script made them.
 */
#ifndef DWF_ROWTYPE_H
#define DWF_ROWTYPE_H

#include "base/columns.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "fmgr.h"

/* Columns of ours at most: the callers' own assertion. */
#define DWF_MAX_ROWTYPE	14

/* A row type, and where in it each of our columns stands. */
typedef struct DwfRowType
{
	TupleDesc	desc;			/* the caller's, as long as this is used */
	int			ncolumns;
	int			places[DWF_MAX_ROWTYPE];
} DwfRowType;

/*
 * Looks where our columns stand.  To be called before anything is sent: raises
 * 55000, which calls the type `name`, where one is missing or is something
 * else, and where the SQL is of a version whose columns may mean anything.
 * Others may have been added, or dropped.
 */
extern void dwf_rowtype_find(DwfRowType *type, TupleDesc desc,
							 const char *name, const DwfColumn *columns,
							 int ncolumns);

/*
 * Raises 55000 where the statement was planned for rows of another shape, which
 * PostgreSQL would refuse when it has them.  Before anything is sent, too.
 */
extern void dwf_rowtype_require_expected(FunctionCallInfo fcinfo,
										 TupleDesc desc);

/* A row of it, palloc'd; what is not ours is null.  Raises nothing. */
extern HeapTuple dwf_rowtype_form(const DwfRowType *type,
								  const Datum *values, const bool *nulls);

#endif							/* DWF_ROWTYPE_H */
