/*
 * lateral.h
 *	  Calls in FROM that need something of another relation.
 */
#ifndef DWF_LATERAL_H
#define DWF_LATERAL_H

/*
 * Has PostgreSQL plan them so that they are called once for each row of that
 * relation.  For _PG_init(): a session that has not preloaded the library
 * loads it when its planner asks about the first call (expansion.c), which is
 * before it looks for ways to join.
 */
extern void dwf_lateral_install(void);

#endif							/* DWF_LATERAL_H */
