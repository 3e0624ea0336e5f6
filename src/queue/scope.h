/*
 * scope.h
 *	  Whose a key is: the scope of domowf.key.
 */
#ifndef DWF_SCOPE_H
#define DWF_SCOPE_H

#include "postgres.h"

/*
 * The scope of the keys of a workflow, or of an operation's where `workflow` is
 * NULL.  Two of these never share one.  palloc'd, or one of the arguments.
 * In SQL it is domowf.key_scope().
 */
extern const char *dwf_scope_of(const char *operation, const char *workflow);

#endif							/* DWF_SCOPE_H */
