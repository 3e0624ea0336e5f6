/*
 * scarce.c
 *	  A shim for LD_PRELOAD: what a process needs is not there, as the file
 *	  $DWF_SCARCE says (Scarce.pm), which may be changed at any time.
 *
 *	  Disk: a file of the data, or of the WAL, that would have to grow cannot,
 *	  as on a disk that is full; what it has already may be written anew.
 *
 *	  Memory: each so-many-th allocation of somebody fails, by who asks for it:
 *	  libcurl and what it stands on, libcjson, domowf, PostgreSQL.  The last one
 *	  only in domowf's background processes and in one backend, and not where
 *	  PostgreSQL would panic.  The calls of all processes are counted together,
 *	  so that one that is started again does not fail at the same place for ever.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

typedef enum Who
{
	LIBCURL, LIBCJSON, DOMOWF, POSTGRES, WHOS
} Who;

/* In the file; Scarce.pm has the same order. */
typedef struct Control
{
	int64_t		data_is_full;
	int64_t		wal_is_full;
	int64_t		every[WHOS];	/* 0: none fails */
	int64_t		left[WHOS];		/* so many fail, and no more */
	int64_t		backend;		/* in which PostgreSQL's fail, too */
	int64_t		calls[WHOS];
	int64_t		failed[WHOS];
} Control;

static Control *control;

/* Of the server, where this process is one. */
static void **background_entry;
static volatile uint32_t *critical;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static void __attribute__((constructor))
begin(void)
{
	const char *path = getenv("DWF_SCARCE");
	int			fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void	   *map;

	if (fd < 0)
		return;
	background_entry = (void **) dlsym(RTLD_DEFAULT, "MyBgworkerEntry");
	critical = (volatile uint32_t *) dlsym(RTLD_DEFAULT, "CritSectionCount");
	map = mmap(NULL, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		_exit(1);
	control = map;
}

/* ---- disk */

/* Whether a file cannot grow to a size; then errno says why. */
static bool
is_full(int fd, off_t size)
{
	char		name[64];
	char		path[PATH_MAX];
	struct stat file;
	ssize_t		len;

	if (control == NULL || (!control->data_is_full && !control->wal_is_full))
		return false;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	len = readlink(name, path, sizeof(path) - 1);
	if (len < 0 || fstat(fd, &file) != 0 || size <= file.st_size)
		return false;
	path[len] = '\0';
	if (!(control->data_is_full && strstr(path, "/base/") != NULL) &&
		!(control->wal_is_full && strstr(path, "/pg_wal/") != NULL))
		return false;
	errno = ENOSPC;
	return true;
}

static size_t
total(const struct iovec *parts, int count)
{
	size_t		sum = 0;

	for (int i = 0; i < count; i++)
		sum += parts[i].iov_len;
	return sum;
}

#define REAL(name, type) \
	static type real; \
	if (real == NULL) \
		*(void **) &real = dlsym(RTLD_NEXT, name)

typedef ssize_t (*Pwrite) (int, const void *, size_t, off_t);
typedef ssize_t (*Pwritev) (int, const struct iovec *, int, off_t);
typedef ssize_t (*Write) (int, const void *, size_t);
typedef int (*Fallocate) (int, int, off_t, off_t);
typedef int (*PosixFallocate) (int, off_t, off_t);

ssize_t
pwrite(int fd, const void *data, size_t len, off_t at)
{
	REAL("pwrite", Pwrite);
	return is_full(fd, at + len) ? -1 : real(fd, data, len, at);
}

ssize_t
pwrite64(int fd, const void *data, size_t len, off_t at)
{
	return pwrite(fd, data, len, at);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
	REAL("pwritev", Pwritev);
	return is_full(fd, at + total(parts, count)) ? -1 :
		real(fd, parts, count, at);
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int count, off_t at)
{
	return pwritev(fd, parts, count, at);
}

ssize_t
write(int fd, const void *data, size_t len)
{
	REAL("write", Write);
	return control != NULL && (control->data_is_full || control->wal_is_full) &&
		is_full(fd, lseek(fd, 0, SEEK_CUR) + len) ? -1 : real(fd, data, len);
}

int
fallocate(int fd, int mode, off_t at, off_t len)
{
	REAL("fallocate", Fallocate);
	return is_full(fd, at + len) ? -1 : real(fd, mode, at, len);
}

int
fallocate64(int fd, int mode, off_t at, off_t len)
{
	return fallocate(fd, mode, at, len);
}

/* This one returns what it met. */
int
posix_fallocate(int fd, off_t at, off_t len)
{
	REAL("posix_fallocate", PosixFallocate);
	return is_full(fd, at + len) ? ENOSPC : real(fd, at, len);
}

int
posix_fallocate64(int fd, off_t at, off_t len)
{
	return posix_fallocate(fd, at, len);
}

/* ---- memory */

/* Who asks; WHOS: somebody else. */
static Who
find_who(const void *caller)
{
	Dl_info		info;
	const char *name;

	if (dladdr(caller, &info) == 0 || info.dli_fname == NULL)
		return WHOS;
	name = strrchr(info.dli_fname, '/');
	name = name == NULL ? info.dli_fname : name + 1;
	if (strncmp(name, "domowf", 6) == 0)
		return DOMOWF;
	if (strncmp(name, "libcjson", 8) == 0)
		return LIBCJSON;
	if (strncmp(name, "libcurl", 7) == 0 || strncmp(name, "libssl", 6) == 0 ||
		strncmp(name, "libcrypto", 9) == 0 || strncmp(name, "libnghttp2", 10) == 0)
		return LIBCURL;
	return strncmp(name, "postgres", 8) == 0 ? POSTGRES : WHOS;
}

/* Where PostgreSQL's may fail. */
static bool
is_chosen(void)
{
	const char *entry = background_entry == NULL ? NULL : *background_entry;

	if (critical == NULL || *critical > 0)
		return false;
	return (entry != NULL && strncmp(entry, "domowf ", 7) == 0) ||
		control->backend == getpid();
}

static bool
is_refused(const void *caller)
{
	Who			who;
	int64_t		every;
	bool		any = false;

	for (int i = 0; control != NULL && i < WHOS; i++)
		any |= control->every[i] > 0;
	if (!any)
		return false;
	who = find_who(caller);
	if (who == WHOS || (who == POSTGRES && !is_chosen()))
		return false;
	every = __atomic_load_n(&control->every[who], __ATOMIC_SEQ_CST);
	if (every == 0 ||
		__atomic_add_fetch(&control->calls[who], 1, __ATOMIC_SEQ_CST) % every != 0)
		return false;
	if (__atomic_fetch_sub(&control->left[who], 1, __ATOMIC_SEQ_CST) <= 0)
		return false;
	__atomic_add_fetch(&control->failed[who], 1, __ATOMIC_SEQ_CST);
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return is_refused(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return is_refused(__builtin_return_address(0)) ? NULL :
		__libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	return is_refused(__builtin_return_address(0)) ? NULL :
		__libc_realloc(old, size);
}

char *
strdup(const char *text)
{
	size_t		size = strlen(text) + 1;
	char	   *copy = is_refused(__builtin_return_address(0)) ? NULL :
		__libc_malloc(size);

	return copy == NULL ? NULL : memcpy(copy, text, size);
}
