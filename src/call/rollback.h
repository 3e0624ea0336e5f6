/*
 * rollback.h
 *	  The calls that succeeded in this transaction, and what is said when it
 *	  does not commit.
 */
#ifndef DWF_ROLLBACK_H
#define DWF_ROLLBACK_H

#include "domo/domo.h"

/*
 * Makes room to note calls made at the present nesting level.  May raise an
 * error, so that dwf_rollback_note() need not: to be called before sending.
 */
extern void dwf_rollback_prepare(void);

/*
 * Notes that Domo executed an operation on `id` (of a start: the new
 * instance), UTF-8.  Cannot fail.
 */
extern void dwf_rollback_note(DwfOperation operation, const char *id);

#endif							/* DWF_ROLLBACK_H */
