/*
 * log.h
 *	  What the rows of domowf.log that a call makes and those that a settled
 *	  request makes have in common.
 */
#ifndef DWF_LOG_H
#define DWF_LOG_H

#include "domo.h"
#include "table.h"

/*
 * Sets a column of the row at hand to text of Domo's, UTF-8; what the database
 * cannot hold, or NULL, stays null.
 */
extern void dwf_log_set_utf8(DwfTable *log, int column, const char *text);

/* Sets all columns that tell of an instance. */
extern void dwf_log_set_instance(DwfTable *log, const DwfInstance *instance);

#endif							/* DWF_LOG_H */
