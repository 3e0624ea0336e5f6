/*
 * environment.c
 *	  A shim for LD_PRELOAD: notes which variables of the environment are asked
 *	  for, and by which library, as lines "libcurl.so.4 NAME" at the end of the
 *	  file that $DWF_NOTE names.  What the C library asks itself stays unseen.
 *	  With $DWF_CURL_FIRST it is the library that initializes libcurl first.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* Without asking anybody, who might ask us. */
static char *
find(const char *name)
{
	size_t		len = strlen(name);

	for (char **e = environ; e != NULL && *e != NULL; e++)
	{
		if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
			return *e + len + 1;
	}
	return NULL;
}

static void
note(const char *name, const void *caller)
{
	const char *path = find("DWF_NOTE");
	char		line[512];
	Dl_info		who;
	int			fd;

	if (path == NULL || dladdr(caller, &who) == 0)
		return;
	snprintf(line, sizeof(line), "%s %s\n", who.dli_fname, name);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, line, strlen(line)) < 0)
		_exit(1);
	close(fd);
}

static void __attribute__((constructor))
begin(void)
{
	void	   *curl;
	int			(*init) (long flags);

	if (find("DWF_CURL_FIRST") == NULL)
		return;
	curl = dlopen("libcurl.so.4", RTLD_NOW);
	if (curl == NULL)
		_exit(1);
	*(void **) &init = dlsym(curl, "curl_global_init");
	if (init == NULL || init(3) != 0)
		_exit(1);
}

char *
getenv(const char *name)
{
	note(name, __builtin_return_address(0));
	return find(name);
}

char *
secure_getenv(const char *name)
{
	note(name, __builtin_return_address(0));
	return find(name);
}
