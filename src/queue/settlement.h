/*
 * settlement.h
 *	  What became of attempts, written into domowf's tables.  In the worker's
 *	  transaction, with SPI connected.
 */
#ifndef DWF_SETTLEMENT_H
#define DWF_SETTLEMENT_H

#include "base/table.h"
#include "queue/counter.h"
#include "queue/request.h"

/* The tables, open from begin to end. */
typedef struct DwfSettlement
{
	DwfTable	queue;
	DwfTable	log;
	DwfTable	order;			/* the queue by order keys, where ... */
	bool		has_order;		/* ... some result has one */
	bool		is_again;		/* something of it was refused before */
	DwfCounter	counter;		/* what has happened */
	int64		owner;			/* the worker's */
	TimestampTz now;
} DwfSettlement;

/*
 * Opens the tables for all results of one transaction, written by this owner
 * at this time, and closes them.  `is_again`: for a result that was refused
 * before, among others or not; then no other row is allowed to refuse it.
 */
extern void dwf_settlement_begin(DwfSettlement *settlement, int64 owner,
								 TimestampTz now, bool is_again);
extern void dwf_settlement_end(DwfSettlement *settlement);

/*
 * Writes a result.  Returns false, with nothing written, where the row is no
 * longer as it was claimed.  Raises an error where it cannot be written; then
 * nothing of the transaction is.
 */
extern bool dwf_settlement_write(DwfSettlement *settlement,
								 const DwfResult *result);

/*
 * The same for a result that the log refuses, and why: the request is in doubt,
 * and its `errors` say what became of it.
 */
extern bool dwf_settlement_hold(DwfSettlement *settlement,
								const DwfResult *result, const char *why);

#endif							/* DWF_SETTLEMENT_H */
