/*
 * quota.h
 *	  How many requests wait, by role, and whether there is room for one more.
 */
#ifndef DWF_QUOTA_H
#define DWF_QUOTA_H

/*
 * For shared memory (DwfSharedPart): asks for room, and sets it
 * up, with AddinShmemInitLock held.
 */
extern void dwf_quota_request(void);
extern void dwf_quota_start(void);

/*
 * Raises 53400 where so many requests wait, those of the transaction under way
 * included, that no other one of a role may.  About: what concurrent
 * transactions have not committed does not count.  Nothing where the library
 * is not preloaded.
 */
extern void dwf_quota_check(Oid role);

/*
 * What has happened is written, and what somebody's triggers on domowf's tables
 * ask for then counts and is not refused: a full queue that refuses the outcomes
 * of what is in it would never get shorter.  The first for all that this process
 * does, the other for what `act` does.
 */
extern void dwf_quota_lift(void);
extern void dwf_quota_without(void (*act) (void *), void *arg);

/*
 * Adds what was committed to the count of a role of this database.  False
 * where there is no room to count another role, which then is judged by the
 * total alone.  Cannot fail.
 */
extern bool dwf_quota_add(Oid role, int64 count);

/* The count of one role. */
typedef struct DwfQuotaCount
{
	Oid			role;			/* InvalidOid: all together */
	int64		count;
} DwfQuotaCount;

/*
 * All counts of this database, palloc'd; returns how many.  This and the next
 * one are for the worker and its helpers, where shared memory is.
 */
extern int	dwf_quota_read(DwfQuotaCount **counts);

/* Gives up what is kept for nothing, so that there is room for others. */
extern void dwf_quota_tidy(void);

#endif							/* DWF_QUOTA_H */
