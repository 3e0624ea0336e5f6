/*
 * evict.h
 *	  Keeps workers out of the way of statements that need a database without
 *	  connections.
 */
#ifndef DWF_EVICT_H
#define DWF_EVICT_H

/* Hooks into utility statements; to be called while libraries are preloaded. */
extern void dwf_evict_install(void);

#endif							/* DWF_EVICT_H */
