/*
 * makers.h
 *	  Who makes triggers with domowf_trigger().
 */
#ifndef DWF_MAKERS_H
#define DWF_MAKERS_H

/*
 * Why a trigger may have been made by somebody who has not the rights of its
 * table's owner, palloc'd; NULL: none can.  In a transaction.
 */
extern char *dwf_makers_find_fault(void);

#endif							/* DWF_MAKERS_H */
