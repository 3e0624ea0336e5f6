/*
 * slow_resolver.c
 *	  A shim for LD_PRELOAD: resolving a host name that ends in ".slow.test"
 *	  never ends.  For tests of interruption: there is no other way to hang in
 *	  the C library's resolver without a name server.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define SLOW	".slow.test"

typedef int (*Resolver) (const char *node, const char *service,
						 const struct addrinfo *hints,
						 struct addrinfo **res);

int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **res)
{
	Resolver	real = (Resolver) dlsym(RTLD_NEXT, "getaddrinfo");
	size_t		len = node == NULL ? 0 : strlen(node);

	if (len >= strlen(SLOW) && strcmp(node + len - strlen(SLOW), SLOW) == 0)
	{
		for (;;)
			pause();
	}
	return real(node, service, hints, res);
}
