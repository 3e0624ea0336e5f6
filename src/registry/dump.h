/*
 * dump.h
 *	  Whether a dump has the registry as it is.
 */
#ifndef DWF_DUMP_H
#define DWF_DUMP_H

/*
 * Why what pg_dump writes of the registry could not be restored, or would be
 * another one, and what to do; palloc'd, NULL: it is right.  In a transaction.
 */
extern char *dwf_dump_find_fault(void);

#endif							/* DWF_DUMP_H */
