/*
 * connection.c
 *	  From the settings to a host and a token.
 *
 * A token and the host that it goes to are one privilege: whoever may not read
 * the token must not choose where it is sent.  So a token that the server's
 * configuration holds (domowf.token_file, or domowf.token in postgresql.conf)
 * goes only where the configuration itself points; a session that set another
 * target brings a token of its own.  A superuser could read the configured
 * domowf.token anyway and is free to send it; with token_file there is no
 * exception.
 *
 * The token file is read once and kept until the configuration is reloaded or
 * Domo refuses the token.  It is never logged, not even in part.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/configuration.h"
#include "base/domowf.h"
#include "base/guc.h"
#include "call/connection.h"
#include "http/url.h"

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A token in a success is only looked for if it cannot be anything else. */
#define MIN_TOKEN_IN_SUCCESS	16

/* A token file may hold this much, its last newline included. */
#define MAX_TOKEN_FILE		8192

/* What was last read from a token file; both in TopMemoryContext. */
static char *file_token;
static char *file_path;
static TimestampTz file_reload_time;

static void redact(const DwfConnection *connection,
				   const DwfExchange *exchange);
static void redact_text(const DwfConnection *connection, char *text);
static char *find_base_url(void);
static char *find_token(void);
static void refuse_diversion(const char *what);
static const char *read_token_file(void);
static void forget_token(void);
static int	open_token_file(const char *path);
static void examine_token_file(int fd);
static void check_token_text(char *text, size_t len);

void
dwf_connection_open(DwfConnection *connection)
{
	connection->base_url = find_base_url();
	connection->token = find_token();
	connection->mask = palloc(dwf_mask_size(strlen(connection->token)));
	dwf_mask_init(connection->mask, connection->token);
	connection->proxy = pstrdup(dwf_proxy);
	connection->ca_file = pstrdup(dwf_ca_file);
	connection->connect_timeout = dwf_connect_timeout;
	connection->timeout = dwf_timeout;
	connection->max_response = (size_t) dwf_max_response_size * 1024;
	connection->headers[0] = psprintf("X-DOMO-Developer-Token: %s",
									  connection->token);
	connection->headers[1] = "Content-Type: application/json";
	connection->headers[2] = "Accept: application/json";
	connection->headers[3] = "User-Agent: domowf/" DWF_VERSION;

	/* no waiting for a 100 before a large body */
	connection->headers[4] = "Expect:";
	connection->headers[5] = NULL;
}

bool
dwf_connection_submit(const DwfConnection *connection, DwfEngine *engine,
					  const DwfRequest *request, void *owner)
{
	DwfHttpRequest http = {
		.method = dwf_operation(request->operation)->method,
		.headers = connection->headers,
		.proxy = connection->proxy,
		.ca_file = connection->ca_file,
		.connect_timeout = connection->connect_timeout,
		.timeout = connection->timeout,
		.max_response = connection->max_response,
		.owner = owner,
	};

	http.url = dwf_domo_url(connection->base_url, request);
	if (http.url == NULL ||
		!dwf_domo_body(request, &http.body, &http.body_len))
	{
		free(http.url);
		return false;
	}
	return dwf_http_submit(engine, &http);
}

void
dwf_connection_read_reply(const DwfConnection *connection,
						  DwfOperation operation, const DwfExchange *exchange,
						  DwfReply *reply)
{
	redact(connection, exchange);
	dwf_domo_read_reply(operation, exchange, reply);

	/* once more: what is no JSON may have been taken for JSON */
	redact_text(connection, reply->message);
	redact_text(connection, reply->toe);
	if (reply->outcome == DWF_UNAUTHORIZED)
		forget_token();
}

/*
 * Takes the token out of what Domo (or whoever answered) sent: an error page
 * may repeat the request.  A short token may stand in a success by chance,
 * and is left there rather than to damage an id.
 */
static void
redact(const DwfConnection *connection, const DwfExchange *exchange)
{
	bool		success = exchange->http_status >= 200 &&
	exchange->http_status <= 299;

	if (!success || strlen(connection->token) >= MIN_TOKEN_IN_SUCCESS)
		dwf_mask_text(connection->mask, exchange->body, exchange->body_len);

	/* libcurl's words may quote a header or a certificate */
	redact_text(connection, exchange->curl_error);
	redact_text(connection, exchange->content_type);
	redact_text(connection, exchange->location);
	redact_text(connection, exchange->retry_after);
}

static void
redact_text(const DwfConnection *connection, char *text)
{
	if (text != NULL)
		dwf_mask_text(connection->mask, text, strlen(text));
}

/*
 * Palloc'd.  Raises 55000 where nothing says where to.  A base URL was judged
 * when it was set; a slash at its end would make two.
 */
static char *
find_base_url(void)
{
	char		url[DWF_INSTANCE_URL_SIZE];
	char	   *base;
	size_t		len;

	if (*dwf_base_url != '\0')
	{
		base = pstrdup(dwf_base_url);
		for (len = strlen(base); len > 0 && base[len - 1] == '/'; len--)
			base[len - 1] = '\0';
		return base;
	}
	if (*dwf_instance == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no Domo instance is set"),
				 errhint("Set domowf.instance, as in acme or acme.domo.com.")));
	dwf_url_of_instance(dwf_instance, url);
	return pstrdup(url);
}

/*
 * Palloc'd.  Raises 55000 where there is none, or where a token of the
 * configuration would go to a host that the configuration does not name.
 */
static char *
find_token(void)
{
	const char *token = dwf_guc_token();

	if (token != NULL)
	{
		if (dwf_guc_token_is_configured() &&
			!superuser_arg(GetSessionUserId()))
			refuse_diversion("domowf.token of the server's configuration");
		return pstrdup(token);
	}
	if (*dwf_token_file == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no Domo token is set"),
				 errhint("Set domowf.token_file in postgresql.conf, or domowf.token in the session.")));
	refuse_diversion("domowf.token_file");
	return pstrdup(read_token_file());
}

/* Raises 55000 where the session sends requests elsewhere. */
static void
refuse_diversion(const char *what)
{
	const char *const values[DWF_TARGETS] = {
		[DWF_TARGET_BASE_URL] = dwf_base_url,
		[DWF_TARGET_CA_FILE] = dwf_ca_file,
		[DWF_TARGET_INSTANCE] = dwf_instance,
		[DWF_TARGET_PROXY] = dwf_proxy,
	};
	const char *setting = dwf_configuration_diverted_by(values);

	if (setting != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is not used, because %s is not as the server's configuration sets it",
						what, setting),
				 errdetail("A configured token goes only where the configuration points."),
				 errhint("Set %s in postgresql.conf, or domowf.token in the session as well.",
						 setting)));
}

/* The token of domowf.token_file, from memory where that is still good. */
static const char *
read_token_file(void)
{
	char		text[MAX_TOKEN_FILE + 1];
	size_t		len = 0;
	ssize_t		got;
	int			fd;

	if (file_token != NULL && strcmp(file_path, dwf_token_file) == 0 &&
		file_reload_time == PgReloadTime)
		return file_token;
	forget_token();

	fd = open_token_file(dwf_token_file);
	while (len < sizeof(text) &&
		   (got = read(fd, text + len, sizeof(text) - len)) != 0)
	{
		if (got < 0 && errno != EINTR)
		{
			int			why = errno;

			CloseTransientFile(fd);
			errno = why;
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("could not read domowf.token_file: %m")));
		}
		len += Max(got, 0);
	}
	CloseTransientFile(fd);

	check_token_text(text, len);
	file_path = MemoryContextStrdup(TopMemoryContext, dwf_token_file);
	file_token = MemoryContextStrdup(TopMemoryContext, text);
	file_reload_time = PgReloadTime;
	explicit_bzero(text, sizeof(text));
	return file_token;
}

static void
forget_token(void)
{
	if (file_token != NULL)
	{
		explicit_bzero(file_token, strlen(file_token));
		pfree(file_token);
		file_token = NULL;
	}
	if (file_path != NULL)
	{
		pfree(file_path);
		file_path = NULL;
	}
}

/*
 * Opens the file for reading, a descriptor for CloseTransientFile().  It must
 * be a plain file that nobody but its owner can open: permissions are looked
 * at on the open descriptor, so that the file cannot be exchanged in between.
 */
static int
open_token_file(const char *path)
{
	int			fd;

	/* not blocking: a fifo would hang here, before it can be refused */
	fd = OpenTransientFile(path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not open domowf.token_file: %m")));
	examine_token_file(fd);
	return fd;
}

/*
 * Closes the file where it raises an error: the worker goes on with its
 * transaction after one.
 */
static void
examine_token_file(int fd)
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
				 errmsg("could not examine domowf.token_file: %m")));
	if (!S_ISREG(st.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("domowf.token_file is not a regular file")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("domowf.token_file can be opened by others than its owner"),
			 errhint("Give it the permissions 0600.")));
}

/*
 * Makes the file's text the token: one line, whose newline is cut off.  The
 * messages say nothing of what stands in the file.
 */
static void
check_token_text(char *text, size_t len)
{
	if (len > MAX_TOKEN_FILE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("domowf.token_file is larger than %d bytes",
						MAX_TOKEN_FILE)));
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	text[len] = '\0';
	if (len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("domowf.token_file is empty")));
	if (strlen(text) != len || strpbrk(text, "\r\n") != NULL ||
		!dwf_guc_is_token(text))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("domowf.token_file does not hold a token"),
				 errdetail("A token is one line of visible ASCII characters, without white space.")));
}
