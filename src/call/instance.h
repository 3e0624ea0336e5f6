/*
 * instance.h
 *	  From Domo's replies to SQL rows.
 */
#ifndef DWF_INSTANCE_H
#define DWF_INSTANCE_H

#include "base/rowtype.h"
#include "domo/domo.h"

/* The row type as dwf_rowtype_find() finds it: before anything is sent. */
extern void dwf_instance_find(DwfRowType *type, TupleDesc desc);

/*
 * Forms a row of domowf_instance, palloc'd in the current context, from an
 * instance and the whole reply that it was read from.  A text that the
 * database's encoding cannot hold gives a WARNING and a NULL, never an error:
 * the instance is a fact by now.
 */
extern HeapTuple dwf_instance_form(const DwfRowType *type,
								   const DwfInstance *instance,
								   NullableDatum response);

/*
 * The whole reply as a jsonb: `body`, of which `root` was parsed.  NULL where
 * it is not JSON (`root` is NULL), or after a WARNING where jsonb cannot hold
 * it.
 */
extern NullableDatum dwf_instance_response(const DwfJsonNode *root,
										   const char *body, size_t len);

/*
 * Makes a text datum of UTF-8 text.  Returns false, after a WARNING, where the
 * database cannot hold it.
 */
extern bool dwf_instance_text(const char *text, Datum *value);

/* A timestamptz of microseconds since 1970-01-01 UTC. */
extern int64 dwf_instance_time(int64 unix_usec);

#endif							/* DWF_INSTANCE_H */
