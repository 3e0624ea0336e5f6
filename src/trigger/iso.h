/*
 * iso.h
 *	  Dates, times and intervals as Domo takes them: ISO 8601.
 */
#ifndef DWF_ISO_H
#define DWF_ISO_H

#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/* Room for any of them. */
#define DWF_ISO_SIZE	(MAXDATELEN + 1)

/*
 * Each writes a value into `out`, of DWF_ISO_SIZE bytes, and returns NULL; or
 * a constant phrase that says why Domo cannot hold it ("it is infinite").
 * DateStyle, IntervalStyle and TimeZone are of no effect, but that a timestamp
 * without time zone is read in TimeZone.
 */
extern const char *dwf_iso_date(DateADT date, char *out);
extern const char *dwf_iso_time(TimeADT time, char *out);
extern const char *dwf_iso_timetz(const TimeTzADT *time, char *out);
extern const char *dwf_iso_timestamp(Timestamp timestamp, char *out);
extern const char *dwf_iso_timestamptz(TimestampTz timestamp, char *out);
extern const char *dwf_iso_interval(const Interval *interval, char *out);

#endif							/* DWF_ISO_H */
