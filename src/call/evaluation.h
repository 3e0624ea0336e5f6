/*
 * evaluation.h
 *	  Queries in which PostgreSQL would call a function more often, or less
 *	  often, than there are rows.
 */
#ifndef DWF_EVALUATION_H
#define DWF_EVALUATION_H

#include "nodes/pathnodes.h"

/*
 * Looks at a query that is being planned, and at those it is a part of, for a
 * call of the function where it could be evaluated twice for a row, or once
 * for several.  Raises 0A000 with the form that works.
 */
extern void dwf_evaluation_check(PlannerInfo *root, Oid function);

#endif							/* DWF_EVALUATION_H */
