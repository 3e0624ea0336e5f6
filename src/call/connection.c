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
 * Nor is a session one role.  A function runs as its owner (SECURITY DEFINER, a
 * table's maintenance), and what it sets may outlast it; so what counts is who
 * has set what.  A session's token goes only where the configuration points, or
 * who has set the token, or a superuser.  A superuser's exception is one of what
 * he has set himself, in his own session, as long as he is the one who acts.
 *
 * A server has nothing of the session's: neither a setting of the session nor
 * the configuration's token ever meets its host or its token.
 */
#include "postgres.h"

#include "base/configuration.h"
#include "base/domowf.h"
#include "base/guc.h"
#include "base/shared.h"
#include "call/connection.h"
#include "call/token_file.h"
#include "http/url.h"

#include "catalog/pg_authid.h"
#include "common/hashfn.h"
#include "miscadmin.h"

/* A token in a success is only looked for if it cannot be anything else. */
#define MIN_TOKEN_IN_SUCCESS	16

static void redact(const DwfConnection *connection,
				   const DwfExchange *exchange);
static void redact_text(const DwfConnection *connection, char *text);
static char *find_base_url(void);
static char *copy_base_url(const char *base_url, const char *instance);
static char *find_token(void);
static bool is_free_to_send(void);
static void refuse_others_target(void);
static void refuse_diversion(const char *what, Oid trusting);
static const char *find_diversion(Oid trusting);
static void finish_opening(DwfConnection *connection);

void
dwf_connection_open(DwfConnection *connection)
{
	memset(connection, 0, sizeof(*connection));
	connection->base_url = find_base_url();
	connection->token = find_token();
	if (dwf_guc_token() == NULL)
		connection->token_file = pstrdup(dwf_token_file);
	connection->proxy = pstrdup(dwf_proxy);
	connection->ca_file = pstrdup(dwf_ca_file);
	connection->connect_timeout = dwf_connect_timeout;
	connection->timeout = dwf_timeout;
	finish_opening(connection);
}

void
dwf_connection_open_server(DwfConnection *connection, const DwfServer *server)
{
	memset(connection, 0, sizeof(*connection));
	connection->base_url = copy_base_url(server->base_url, server->instance);
	if (*server->token_file != '\0')
	{
		connection->token_file = pstrdup(server->token_file);
		connection->token =
			dwf_token_file_read(server->token_file, server->name);
	}
	else
		connection->token = pstrdup(server->token);
	connection->proxy = pstrdup(server->proxy);
	connection->ca_file = pstrdup(server->ca_file);
	connection->connect_timeout = server->connect_timeout != 0 ?
		server->connect_timeout : dwf_connect_timeout;
	connection->timeout = server->timeout != 0 ? server->timeout : dwf_timeout;
	connection->pool = (uint64) server->oid << 32 | server->mapping;
	finish_opening(connection);
}

/* What comes of the rest.  Sockets are kept for one server and token. */
static void
finish_opening(DwfConnection *connection)
{
	size_t		len = strlen(connection->token);

	connection->pool =
		hash_combine64(connection->pool,
					   hash_bytes_extended((const unsigned char *) connection->token,
										   len, 0));
	connection->mask = palloc(dwf_mask_size(len));
	dwf_mask_init(connection->mask, connection->token);
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
		.pool = connection->pool,
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
	if (reply->outcome == DWF_UNAUTHORIZED && connection->token_file != NULL)
		dwf_token_file_forget(connection->token_file);
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

/* Palloc'd.  Raises 55000 where nothing says where to. */
static char *
find_base_url(void)
{
	if (*dwf_base_url == '\0' && *dwf_instance == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no Domo instance is set"),
				 errhint("Set domowf.instance, as in acme or acme.domo.com.")));
	return copy_base_url(dwf_base_url, dwf_instance);
}

/*
 * Palloc'd: a base URL goes before an instance.  It was judged when it was set;
 * a slash at its end would make two.
 */
static char *
copy_base_url(const char *base_url, const char *instance)
{
	char		url[DWF_INSTANCE_URL_SIZE];
	char	   *base;

	if (*base_url == '\0')
	{
		dwf_url_of_instance(instance, url);
		return pstrdup(url);
	}
	base = pstrdup(base_url);
	for (size_t len = strlen(base); len > 0 && base[len - 1] == '/'; len--)
		base[len - 1] = '\0';
	return base;
}

/*
 * Palloc'd.  Raises 55000 where there is none, or where it would go to a host
 * that neither the configuration names nor who may have it sent there.
 */
static char *
find_token(void)
{
	if (dwf_guc_token() != NULL)
	{
		if (dwf_guc_token_is_configured())
			refuse_diversion("domowf.token of the server's configuration",
							 is_free_to_send() ?
							 BOOTSTRAP_SUPERUSERID : InvalidOid);
		else
			refuse_others_target();
		return pstrdup(dwf_guc_token());
	}
	if (*dwf_token_file == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no Domo token is set"),
				 errhint("Set domowf.token_file in postgresql.conf, or domowf.token in the session.")));
	refuse_diversion("domowf.token_file", InvalidOid);
	return dwf_token_file_read(dwf_token_file, NULL);
}

/*
 * Whether a superuser acts in a session of his own, and nobody else in his name:
 * neither somebody's function nor a background process.  domowf's worker, whose
 * settings are the configuration's, is one as well.
 */
static bool
is_free_to_send(void)
{
	if (dwf_shared_is_worker())
		return true;
	return MyBackendType == B_BACKEND && !InSecurityRestrictedOperation() &&
		superuser() && superuser_arg(GetSessionUserId());
}

/*
 * Raises 55000 where a session's token would go where another role has set, or
 * nobody knows who.
 */
static void
refuse_others_target(void)
{
	const char *setting =
	find_diversion(dwf_configuration_setter("domowf.token"));

	if (setting != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg(OidIsValid(dwf_configuration_setter(setting)) ?
						"domowf.token is not used, because another role has set %s" :
						"domowf.token is not used, because another role may have stored %s",
						setting),
				 errdetail("A session's token goes only where the configuration points, or the role that has set the token, or a superuser."),
				 errhint("Set domowf.token and %s as one role. RESET ALL takes both back.",
						 setting)));
}

/* Raises 55000 where the session sends requests elsewhere. */
static void
refuse_diversion(const char *what, Oid trusting)
{
	const char *setting = find_diversion(trusting);

	if (setting != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s is not used, because %s is not as the server's configuration sets it",
						what, setting),
				 errdetail("A configured token goes only where the configuration points."),
				 errhint("Set %s in postgresql.conf, or domowf.token in the session as well.",
						 setting)));
}

/* As dwf_configuration_diverted_by(), of the settings as they are now. */
static const char *
find_diversion(Oid trusting)
{
	const char *const values[DWF_TARGETS] = {
		[DWF_TARGET_BASE_URL] = dwf_base_url,
		[DWF_TARGET_CA_FILE] = dwf_ca_file,
		[DWF_TARGET_INSTANCE] = dwf_instance,
		[DWF_TARGET_PROXY] = dwf_proxy,
	};

	return dwf_configuration_diverted_by(values, trusting);
}

const char *
dwf_connection_find_diversion(void)
{
	return find_diversion(InvalidOid);
}
