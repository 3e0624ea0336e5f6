/*
 * crash.h
 *	  Whether this server has come out of a crash a short while ago.
 */
#ifndef DWF_CRASH_H
#define DWF_CRASH_H

/* Its part of shared memory: asked for, and begun with AddinShmemInitLock held. */
extern void dwf_crash_request(void);
extern void dwf_crash_start(void);

/*
 * Whether the run before this one may have ended by a crash, its own or, of a
 * standby that was promoted, another server's; for half an hour, which begins when
 * this is asked first.  The library has to be preloaded.
 */
extern bool dwf_crash_is_recent(void);

#endif							/* DWF_CRASH_H */
