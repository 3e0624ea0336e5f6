/*
 * on_settled.h
 *	  The function that is told what comes of a workflow's requests.
 */
#ifndef DWF_ON_SETTLED_H
#define DWF_ON_SETTLED_H

/*
 * Whether a function can be told: f(domowf.request), no procedure, no set.  In
 * a transaction; false where there is none such.
 */
extern bool dwf_on_settled_fits(Oid function);

#endif							/* DWF_ON_SETTLED_H */
