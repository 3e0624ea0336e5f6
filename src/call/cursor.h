/*
 * cursor.h
 *	  Cursors that go back over rows for which they have called.
 */
#ifndef DWF_CURSOR_H
#define DWF_CURSOR_H

/* For _PG_init(): from then on it is known when a cursor begins to fetch. */
extern void dwf_cursor_install(void);

/*
 * Before a call, or a request: raises 0A000 if the cursor that runs it goes
 * back, or has gone back and would call again.
 */
extern void dwf_cursor_check(void);

#endif							/* DWF_CURSOR_H */
