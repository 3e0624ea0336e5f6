/*
 * waiters.h
 *	  Who waits for a request, and is woken when it has been settled.
 */
#ifndef DWF_WAITERS_H
#define DWF_WAITERS_H

/*
 * For shared memory (DwfSharedPart): asks for room, and sets it
 * up, with AddinShmemInitLock held.
 */
extern void dwf_waiters_request(void);
extern void dwf_waiters_start(void);

/*
 * Waits until something may have become of a request, or for `timeout`
 * milliseconds.  Prepared before the request is looked at.  Nobody wakes it
 * where the library is not preloaded.
 */
extern void dwf_waiters_prepare(int64 request);
extern void dwf_waiters_sleep(int64 request, long timeout);
extern void dwf_waiters_cancel(void);

/*
 * Marks a request of this database; wakes those who wait for one that is
 * marked, when that is committed; or forgets all marks.  None can fail.
 */
extern void dwf_waiters_mark(int64 request);
extern void dwf_waiters_wake(void);
extern void dwf_waiters_forget(void);

#endif							/* DWF_WAITERS_H */
