/*
 * report.h
 *	  Outcomes in words: the one place where what came of a request becomes
 *	  the text and SQLSTATE of an error.
 */
#ifndef DWF_REPORT_H
#define DWF_REPORT_H

#include "base/compat.h"
#include "domo/domo.h"

#include "datatype/timestamp.h"

/*
 * A failure in words, in the database's encoding, palloc'd in the context in
 * which it was described.  `detail` and `hint` may be NULL.
 */
typedef struct DwfFailure
{
	char		sqlstate[6];
	char	   *message;
	char	   *detail;
	char	   *hint;
} DwfFailure;

/* Describes any outcome but DWF_DONE. */
extern void dwf_report_describe(const DwfRequest *request,
								const DwfExchange *exchange,
								const DwfReply *reply, DwfFailure *failure);

/* Raises a failure as an error with its SQLSTATE. */
extern void dwf_report_raise(const DwfFailure *failure)
			pg_attribute_noreturn();

/*
 * One line in the server's log for a call that failed, with domowf.log_calls:
 * the transaction may catch the error, and what it writes may be rolled back.
 */
extern void dwf_report_log(const DwfFailure *failure);

/* Raises 22023 for a request that is not well formed. */
extern void dwf_report_fault(const DwfFault *fault) pg_attribute_noreturn();

/* Raises another SQLSTATE (as errcode() takes it) for a fault. */
extern void dwf_report_fault_as(int code, const DwfFault *fault)
			pg_attribute_noreturn();

/* What a request asks for, as in: start of workflow "x".  palloc'd. */
extern char *dwf_report_subject(const DwfRequest *request);

/*
 * One failed attempt as an object for `errors`: {"time", "class", "status"?,
 * "message", "toe"?}.  A jsonb datum, palloc'd.
 */
extern Datum dwf_report_attempt(TimestampTz time, const char *class,
								int http_status, const char *message,
								const char *toe);

/* The class of an outcome in the words of src/domo/README.md. */
extern const char *dwf_report_class(DwfOutcome outcome);

#endif							/* DWF_REPORT_H */
