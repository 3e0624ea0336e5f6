/*
 * log.h
 *	  The rows of domowf.log that calls make, and what those that settled
 *	  requests make have in common with them.
 */
#ifndef DWF_LOG_H
#define DWF_LOG_H

#include "base/table.h"
#include "domo/domo.h"

#include "access/transam.h"
#include "utils/jsonb.h"

/* The log as one statement's calls write it.  All zero: not open. */
typedef struct DwfCallLog
{
	bool		is_open;
	int64	   *ids;			/* of each call */
	NameData	role;
	FullTransactionId batch;
	DwfTable   *table;			/* kept.h */
} DwfCallLog;

/*
 * Opens the log, with domowf.log_calls, in the current memory context, for so
 * many calls.  To be called before anything is sent: takes all that the rows
 * need but for the reply, ids that nobody has among that, and raises what is
 * known to keep them from being written, a lock (55P03) or a fault of the table
 * (55000).  Not opened where the extension is not there, since it is being
 * dropped.
 */
extern void dwf_log_open(DwfCallLog *log, int count);

/*
 * Logs the call number `index` (from 0), which succeeded, in the caller's
 * transaction, where the log is open; the row may come as late as
 * dwf_log_close().  A row that is refused for what it holds, by an index of
 * somebody's, is a WARNING: the call is a fact.  `request_jsonb` may be NULL.
 */
extern void dwf_log_call(DwfCallLog *log, int index,
						 const DwfRequest *request, Jsonb *request_jsonb,
						 const DwfInstance *instance, int http_status,
						 NullableDatum response);

/* Closes the log where it is open. */
extern void dwf_log_close(DwfCallLog *log);

/* Sets all columns that tell of an instance. */
extern void dwf_log_set_instance(DwfTable *log, const DwfInstance *instance);

#endif							/* DWF_LOG_H */
