/*
 * truncation.h
 *	  A publisher's TRUNCATE of one of domowf's tables, which takes nothing.
 */
#ifndef DWF_TRUNCATION_H
#define DWF_TRUNCATION_H

#include "utils/rel.h"

/*
 * Copies all rows of a table that is about to be emptied, and is locked for it;
 * they go to temporary files where they are many.
 */
extern void dwf_truncation_keep(Relation rel);

/* Puts them in again, behind what has emptied it. */
extern void dwf_truncation_undo(Relation rel);

#endif							/* DWF_TRUNCATION_H */
