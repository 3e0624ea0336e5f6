/*
 * xact.h
 *	  The calls that succeeded in this transaction, and what is said when it
 *	  does not commit.
 */
#ifndef DWF_XACT_H
#define DWF_XACT_H

#include "domo.h"

/*
 * Makes room to note calls made at the present nesting level.  May raise an
 * error, so that dwf_xact_note() need not: to be called before sending.
 */
extern void dwf_xact_prepare(void);

/*
 * Notes that Domo executed an operation on `id` (of a start: the new
 * instance), UTF-8.  Cannot fail.
 */
extern void dwf_xact_note(DwfOperation operation, const char *id);

#endif							/* DWF_XACT_H */
