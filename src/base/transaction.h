/*
 * transaction.h
 *	  How a background worker begins and ends a transaction.
 */
#ifndef DWF_TRANSACTION_H
#define DWF_TRANSACTION_H

#include "access/xact.h"
#include "utils/guc.h"
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

/*
 * Keeps the commit of this transaction from waiting for the disk or a standby
 * (synchronous_commit = off): for what is done again where a crash forgets it,
 * and on which nothing rests outside this database.
 */
static inline void
dwf_transaction_commit_at_ease(void)
{
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * Has it wait for this server's disk, and for no standby, whatever the settings:
 * for what a crash right after it must not forget.
 */
static inline void
dwf_transaction_commit_to_disk(void)
{
	(void) set_config_option("synchronous_commit", "local", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

#endif							/* DWF_TRANSACTION_H */
