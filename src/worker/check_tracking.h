/*
 * check_tracking.h
 *	  Whether the instances that requests have started are followed.
 */
#ifndef DWF_CHECK_TRACKING_H
#define DWF_CHECK_TRACKING_H

/*
 * The row `tracking` of domowf_check(): whether all is well, and in *detail why,
 * palloc'd or constant.  Waits for no lock.
 */
extern bool dwf_check_tracking(const char **detail);

#endif							/* DWF_CHECK_TRACKING_H */
