/*
 * kept.h
 *	  One of domowf's own tables, open from one use of it to the next in a
 *	  transaction.
 */
#ifndef DWF_KEPT_H
#define DWF_KEPT_H

#include "base/table.h"

/* Once in a process, when the library is loaded: sees to dwf_kept_close(). */
extern void dwf_kept_install(void);

/*
 * As dwf_table_open(), for rows that are written, with nothing at hand; without
 * its cost where this transaction has the table open since an earlier use.  To
 * be given back by dwf_kept_release() in the same (sub)transaction, whose end
 * does so after an error, with what was appended by then.  One that is in use, or
 * that may be being changed, is opened once more, in the current memory context.
 */
extern DwfTable *dwf_kept_open(const char *name, int ncolumns);

/* Writes what was appended. */
extern void dwf_kept_release(DwfTable *table);

/*
 * Closes what is open and not in use; the lock stays.  Whoever changes a table,
 * or looks whether it is in use in this session, has to call it first.
 */
extern void dwf_kept_close(void);

/*
 * The same, where it may be changed by no statement: nothing is kept any more until
 * the transaction ends.
 */
extern void dwf_kept_end(void);

#endif							/* DWF_KEPT_H */
