/*
 * domowf.c
 *	  The module: what happens when the library is loaded.
 *
 * Loading defines the settings and nothing else, so that it is the same in a
 * backend that calls its first function as in a postmaster that preloads the
 * library.  libcurl is started by the first call.
 */
#include "postgres.h"

#include "fmgr.h"
#include "guc.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

/* Called by PostgreSQL once in each process that loads the library. */
void
_PG_init(void)
{
	dwf_guc_define();
}
