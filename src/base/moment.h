/*
 * moment.h
 *	  Points in time that are worked out from what people give.
 */
#ifndef DWF_MOMENT_H
#define DWF_MOMENT_H

#include "datatype/timestamp.h"

/*
 * A finite time and a while after it.  Never fails: what is beyond the years
 * that a timestamp has, or may be, is DT_NOEND, or DT_NOBEGIN before them.
 */
extern TimestampTz dwf_moment_add(TimestampTz from, const Interval *span);

#endif							/* DWF_MOMENT_H */
