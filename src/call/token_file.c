/*
 * token_file.c
 *	  Files that hold a token each.
 *
 * A file is read once and kept until the configuration is reloaded or Domo
 * refuses the token.  It is never logged, not even in part.
 */
#include "postgres.h"

#include "call/token_file.h"
#include "http/token.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nodes/pg_list.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A token file may hold this much, its last newline included. */
#define MAX_TOKEN_FILE		8192

/* What was last read from a file, in TopMemoryContext. */
typedef struct Known
{
	char	   *path;
	char	   *token;
	TimestampTz reload_time;
} Known;

static List *known = NIL;		/* of Known */

static Known *find_known(const char *path);
static void remember(const char *path, const char *token);
static const char *name_of(const char *server);
static void read_text(const char *path, const char *server, char *text);
static int	open_token_file(const char *path, const char *server);
static void examine_token_file(int fd, const char *server);
static void check_token_text(char *text, size_t len, const char *server);

char *
dwf_token_file_read(const char *path, const char *server)
{
	Known	   *file = find_known(path);
	char		text[MAX_TOKEN_FILE + 1];
	char	   *token;

	if (file != NULL && file->reload_time == PgReloadTime)
		return pstrdup(file->token);
	dwf_token_file_forget(path);
	read_text(path, server, text);
	remember(path, text);
	token = pstrdup(text);
	explicit_bzero(text, sizeof(text));
	return token;
}

static Known *
find_known(const char *path)
{
	ListCell   *cell;

	foreach(cell, known)
	{
		Known	   *file = lfirst(cell);

		if (strcmp(file->path, path) == 0)
			return file;
	}
	return NULL;
}

static void
remember(const char *path, const char *token)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Known	   *file = palloc(sizeof(Known));

	file->path = pstrdup(path);
	file->token = pstrdup(token);
	file->reload_time = PgReloadTime;
	known = lappend(known, file);
	MemoryContextSwitchTo(old);
}

void
dwf_token_file_forget(const char *path)
{
	Known	   *file = find_known(path);

	if (file == NULL)
		return;
	known = list_delete_ptr(known, file);
	explicit_bzero(file->token, strlen(file->token));
	pfree(file->token);
	pfree(file->path);
	pfree(file);
}

/* What messages call the file. */
static const char *
name_of(const char *server)
{
	return server == NULL ? "domowf.token_file" :
		psprintf("token_file of server \"%s\"", server);
}

/* Reads a file into `text`, of MAX_TOKEN_FILE + 1 bytes. */
static void
read_text(const char *path, const char *server, char *text)
{
	int			fd = open_token_file(path, server);
	size_t		size = MAX_TOKEN_FILE + 1;
	size_t		len = 0;
	ssize_t		got;

	while (len < size && (got = read(fd, text + len, size - len)) != 0)
	{
		if (got < 0 && errno != EINTR)
		{
			int			why = errno;

			CloseTransientFile(fd);
			errno = why;
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 server == NULL ?
					 errmsg("could not read domowf.token_file: %m") :
					 errmsg("could not read token_file of server \"%s\": %m",
							server)));
		}
		len += Max(got, 0);
	}
	CloseTransientFile(fd);
	check_token_text(text, len, server);
}

/*
 * Opens the file for reading, a descriptor for CloseTransientFile().  It must
 * be a plain file that nobody but its owner can open: permissions are looked
 * at on the open descriptor, so that the file cannot be exchanged in between.
 */
static int
open_token_file(const char *path, const char *server)
{
	int			fd;

	/* not blocking: a fifo would hang here, before it can be refused */
	fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 server == NULL ?
				 errmsg("could not open domowf.token_file: %m") :
				 errmsg("could not open token_file of server \"%s\": %m",
						server)));
	examine_token_file(fd, server);
	return fd;
}

/*
 * Closes the file where it raises an error: the worker goes on with its
 * transaction after one.
 */
static void
examine_token_file(int fd, const char *server)
{
	struct stat st;
	bool		is_known = fstat(fd, &st) == 0;
	int			why = errno;

	if (is_known && S_ISREG(st.st_mode) &&
		(st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
		return;
	CloseTransientFile(fd);
	errno = why;
	if (!is_known)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 server == NULL ?
				 errmsg("could not examine domowf.token_file: %m") :
				 errmsg("could not examine token_file of server \"%s\": %m",
						server)));
	if (!S_ISREG(st.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is not a regular file", name_of(server))));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s can be opened by others than its owner",
					name_of(server)),
			 errhint("Give it the permissions 0600.")));
}

/*
 * Makes the file's text the token: one line, whose newline is cut off.  The
 * messages say nothing of what stands in the file.
 */
static void
check_token_text(char *text, size_t len, const char *server)
{
	if (len > MAX_TOKEN_FILE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is larger than %d bytes", name_of(server),
						MAX_TOKEN_FILE)));
	len = dwf_token_cut(text, len);
	if (len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is empty", name_of(server))));
	if (!dwf_token_is_one(text, len))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s does not hold a token", name_of(server)),
				 errdetail("A token is one line of visible ASCII characters, without white space.")));
}
