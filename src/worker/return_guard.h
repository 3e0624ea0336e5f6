/*
 * return_guard.h
 *	  Whose code is not run when an outcome is written back.
 */
#ifndef DWF_RETURN_GUARD_H
#define DWF_RETURN_GUARD_H

#include "utils/relcache.h"

/*
 * For a table whose owner is a superuser: raises 42501 where to UPDATE a row of
 * it would run code of somebody who does not have his rights, and 55P03 where
 * that cannot be told at once.  The table is locked by the caller; its partitions,
 * and what foreign keys change with it, are by this, until the end of the
 * transaction.  To be called before anything of the table's runs, which what
 * plans a statement already does.
 */
extern void dwf_return_guard(Relation rel);

#endif							/* DWF_RETURN_GUARD_H */
