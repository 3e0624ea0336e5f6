/*
 * last_counts.c
 *	  A shim for LD_PRELOAD: a process that ends by _exit(), as all of a server
 *	  do at an immediate shutdown, or that kills itself, as at a test point, first
 *	  writes gcov's counts of domowf.so, as it does at exit(): by what the library
 *	  has for its end.
 *
 *	  _exit() happens within a signal's handler, which may have interrupted
 *	  malloc(); the postmaster then kills what does not get on, and its counts are
 *	  lost.
 */
#define _GNU_SOURCE

#include <link.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void (*Destructor) (void);

typedef struct Destructors
{
	Destructor *first;
	size_t		count;
} Destructors;

static int
find_destructors(struct dl_phdr_info *info, size_t size, void *data)
{
	Destructors *found = data;
	const char *name = strrchr(info->dlpi_name, '/');
	const ElfW(Dyn) * entry = NULL;

	if (name == NULL || strcmp(name, "/domowf.so") != 0)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
	{
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			entry = (const void *) (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	}
	for (; entry != NULL && entry->d_tag != DT_NULL; entry++)
	{
		if (entry->d_tag == DT_FINI_ARRAY)
			found->first = (Destructor *) (info->dlpi_addr + entry->d_un.d_ptr);
		else if (entry->d_tag == DT_FINI_ARRAYSZ)
			found->count = entry->d_un.d_val / sizeof(Destructor);
	}
	return 1;
}

static void
write_counts(void)
{
	static volatile sig_atomic_t begun = 0;
	Destructors found = {NULL, 0};

	if (begun)
		return;
	begun = 1;
	dl_iterate_phdr(find_destructors, &found);
	while (found.first != NULL && found.count > 0)
		found.first[--found.count] ();
}

void
_exit(int status)
{
	write_counts();
	for (;;)
		syscall(SYS_exit_group, status);
}

int
kill(pid_t pid, int number)
{
	if (number == SIGKILL && pid == getpid())
		write_counts();
	return (int) syscall(SYS_kill, pid, number);
}
