/*
 * descriptors.c
 *	  Descriptors that are not PostgreSQL's own.
 *
 * PostgreSQL keeps files open up to the limit of the process, and ten
 * descriptors free for all else.  A backend that has used a thousand partitions
 * would have room for few connections, and so would the worker of a server with
 * a low limit.
 */
#include "postgres.h"

#include "base/descriptors.h"

#include "storage/fd.h"

void
dwf_descriptors_tell(int count)
{
	static int	told = 0;

	/* as many as PostgreSQL lets libraries have together */
	count = Min(count, max_safe_fds / 3);
	for (; told < count; told++)
		ReserveExternalFD();
	for (; told > count; told--)
		ReleaseExternalFD();
}
