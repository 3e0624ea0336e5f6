/*
 * transaction.h
 *	  How a background worker begins a transaction.
 */
#ifndef DWF_TRANSACTION_H
#define DWF_TRANSACTION_H

#include "access/xact.h"
#include "utils/timestamp.h"

/*
 * As StartTransactionCommand(), of now.  The time of a transaction, now() in SQL,
 * is that of the statement that begins it, which a backend's main loop notes; a
 * process without that loop has the time at which it was started, for as long as
 * it runs, in whatever its statements and other people's triggers write
 * (PostgreSQL's worker_spi does the same before each of its transactions).
 */
static inline void
dwf_transaction_start(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
}

#endif							/* DWF_TRANSACTION_H */
