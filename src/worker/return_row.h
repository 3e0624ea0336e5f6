/*
 * return_row.h
 *	  An outcome is written back into its row.
 */
#ifndef DWF_RETURN_ROW_H
#define DWF_RETURN_ROW_H

#include "queue/returns.h"

/*
 * Writes it, with the rights of the current user, whose table it has to be, and
 * with SPI connected.  Returns where there is nothing to be done any more: the
 * row is gone, or has its values already.  Raises whatever else keeps it from
 * being written.
 */
extern void dwf_return_row_write(const DwfReturn *entry, Oid owner);

#endif							/* DWF_RETURN_ROW_H */
