/*
 * guc.c
 *	  The settings, in alphabetical order, and what guards them.
 *
 * The token.  A plain string setting shows its value in many places, whatever
 * its flags (src/README.md, "Secrets in settings").  So the value that
 * the GUC machinery sees is always the empty string: the check hook moves the
 * secret into its `extra`, the assign hook keeps a pointer to that, and the
 * show hook prints stars.  The value seen never changes, so a reload never
 * logs a change either.  Sources that would put it into a catalog are refused
 * with the hook's own message, because the default one quotes the value.
 *
 * Diversion.  `extra` of the settings that decide where requests go is the
 * source of the value, by which configuration.c knows what the postmaster was
 * given.
 */
#include "postgres.h"

#include <limits.h>

#include "base/compat.h"
#include "base/configuration.h"
#include "base/domowf.h"
#include "base/guc.h"
#include "base/testpoint.h"
#include "http/token.h"
#include "http/url.h"

#include "utils/guc.h"

#define SHOWN_TOKEN		"********"

/* A token, as `extra` holds it. */
typedef struct Token
{
	bool		is_configured;
	char		secret[FLEXIBLE_ARRAY_MEMBER];
} Token;

int			dwf_after_promotion;
char	   *dwf_base_url;
char	   *dwf_ca_file;
int			dwf_connect_timeout;
int			dwf_drain_timeout;
int			dwf_expire_after;
char	   *dwf_instance;
bool		dwf_log_calls;
bool		dwf_log_payload;
int			dwf_log_retention;
int			dwf_max_attempts;
int			dwf_max_connections;
int			dwf_max_queue_length;
int			dwf_max_queue_length_per_role;
int			dwf_max_response_size;
bool		dwf_notify;
int			dwf_poll_interval;
char	   *dwf_proxy;
int			dwf_rate_limit;
int			dwf_retry_base;
int			dwf_retry_cap;
int			dwf_return_timeout;
bool		dwf_returns;
int			dwf_stall_after;
int			dwf_timeout;
char	   *dwf_token_file;
bool		dwf_track_instances;
bool		dwf_triggers;
bool		dwf_worker_enabled;

static const struct config_enum_entry after_promotion_options[] = {
	{"go_on", DWF_GO_ON, false},
	{"pause", DWF_PAUSE_AFTER_PROMOTION, false},
	{"hold", DWF_HOLD_AFTER_PROMOTION, false},
	{NULL, 0, false}
};

static char *published_token;	/* always "" */
static const Token *token;		/* NULL: not set */

static void define_a_to_l(void);
static void define_m_to_q(void);
static void define_r_to_s(void);
static void define_t_to_z(void);
static bool is_configuration(GucSource source);
static bool keep_source(void **extra, GucSource source);
static bool check_base_url(char **newval, void **extra, GucSource source);
static bool check_ca_file(char **newval, void **extra, GucSource source);
static bool check_instance(char **newval, void **extra, GucSource source);
static bool check_proxy(char **newval, void **extra, GucSource source);
static bool check_token(char **newval, void **extra, GucSource source);
static void assign_base_url(const char *newval, void *extra);
static void assign_ca_file(const char *newval, void *extra);
static void assign_instance(const char *newval, void *extra);
static void assign_proxy(const char *newval, void *extra);
static void assign_token(const char *newval, void *extra);
static const char *show_token(void);

void
dwf_guc_define(void)
{
	define_a_to_l();
	define_m_to_q();
	define_r_to_s();
	define_t_to_z();
	MarkGUCPrefixReserved("domowf");
	dwf_configuration_restore();
}

/*
 * One after the other, in order, so that a name is found where it is looked
 * for.
 */
static void
define_a_to_l(void)
{
	DefineCustomEnumVariable("domowf.after_promotion",
							 "What a promoted server does with its queue.",
							 "go_on: sends it.  pause: waits for domowf_resume().  hold: puts what was enqueued before in doubt, and goes on.",
							 &dwf_after_promotion, DWF_GO_ON,
							 after_promotion_options, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("domowf.base_url",
							   "URL that requests go to, in place of the instance's.",
							   "For a gateway or a test server: https, or http to the local host.",
							   &dwf_base_url, "", PGC_SUSET, 0,
							   check_base_url, assign_base_url, NULL);
	DefineCustomStringVariable("domowf.ca_file",
							   "File of the certificate authorities that are trusted.",
							   "Empty: the system's.",
							   &dwf_ca_file, "", PGC_SUSET, 0,
							   check_ca_file, assign_ca_file, NULL);
	DefineCustomIntVariable("domowf.connect_timeout",
							"Longest time to wait for a connection.",
							"Resolving the name and the TLS handshake included.",
							&dwf_connect_timeout, 5000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.drain_timeout",
							"How long a worker that is told to end waits for replies.",
							"At a stop of the server, among others.  0: not at all.",
							&dwf_drain_timeout, 1000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.expire_after",
							"How long a request may wait to be sent.",
							"From its run_at on.  0: for ever.",
							&dwf_expire_after, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable("domowf.instance",
							   "Domo instance that requests go to: acme or acme.domo.com.",
							   NULL,
							   &dwf_instance, "", PGC_SUSET, 0,
							   check_instance, assign_instance, NULL);
	DefineCustomBoolVariable("domowf.log_calls",
							 "Logs calls that succeeded in domowf.log.",
							 "In the caller's transaction; one that failed is a line in the server's log.",
							 &dwf_log_calls, true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("domowf.log_payload",
							 "Keeps requests and replies in domowf.log.",
							 "off: a request that was rejected cannot be sent again.",
							 &dwf_log_payload, true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.log_retention",
							"How long rows of domowf.log are kept.",
							"A key is held as long as its row.  0: for ever.",
							&dwf_log_retention, 30 * 24 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

/* As define_a_to_l(): one function of all would be too long. */
static void
define_m_to_q(void)
{
	DefineCustomIntVariable("domowf.max_attempts",
							"Attempts that a request may use.",
							"What was certainly not executed uses none.",
							&dwf_max_attempts, 12, 1, 1000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.max_connections",
							"Attempts in flight at a time, for each database.",
							NULL,
							&dwf_max_connections, 8, 1, DWF_MAX_CONNECTIONS,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.max_queue_length",
							"Requests that may wait, approximately; more are refused.",
							"0: no limit.  Needs the library to be preloaded.",
							&dwf_max_queue_length, 0, 0, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.max_queue_length_per_role",
							"Requests of one role that may wait, approximately; more are refused.",
							"0: no limit.  Needs the library to be preloaded.",
							&dwf_max_queue_length_per_role, 0, 0, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.max_response_size",
							"Largest reply that is read.",
							"Of a larger one the outcome of a start is in doubt.",
							&dwf_max_response_size, 1024, 1, 256 * 1024,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable("domowf.notify",
							 "NOTIFY domowf at each settlement.",
							 "Every role of the database can LISTEN for it.",
							 &dwf_notify, false, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.poll_interval",
							"How often the worker looks for what nobody told it.",
							"So does who waits in domowf_wait().",
							&dwf_poll_interval, 5000, 100, 3600 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("domowf.proxy",
							   "URL of a forward proxy.",
							   "Empty: none; the environment's proxy variables are ignored.",
							   &dwf_proxy, "", PGC_SUSET, 0,
							   check_proxy, assign_proxy, NULL);
}

/* As define_a_to_l(). */
static void
define_r_to_s(void)
{
	DefineCustomIntVariable("domowf.rate_limit",
							"Requests that go over a connection in a minute.",
							"Each server and token is a connection.  0: no limit.",
							&dwf_rate_limit, 0, 0, 1000000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.retry_base",
							"Longest wait before the first retry.",
							"It doubles each time, up to domowf.retry_cap.",
							&dwf_retry_base, 5000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.retry_cap",
							"Longest wait between two attempts.",
							NULL,
							&dwf_retry_cap, 15 * 60 * 1000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.return_timeout",
							"Longest time that one return may take.",
							"Waiting for a lock, and what triggers and functions do, included.",
							&dwf_return_timeout, 5000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("domowf.returns",
							 "Writes outcomes back into rows, and calls functions with them.",
							 "off: they are kept.",
							 &dwf_returns, true, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("domowf.stall_after",
							"How long something that is due may not get on before it is said.",
							"In domowf.worker, domowf_check() and the server's log.",
							&dwf_stall_after, 30000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* The rest. */
static void
define_t_to_z(void)
{
#ifdef DWF_TEST_HOOKS
	DefineCustomStringVariable("domowf.test_mark",
							   "Tells that a process has taken up a reload.",
							   NULL,
							   &dwf_test_mark, "", PGC_SIGHUP,
							   GUC_NOT_IN_SAMPLE, NULL,
							   dwf_testpoint_assign_mark, NULL);
	DefineCustomStringVariable("domowf.test_point",
							   "Makes something go wrong at a named place.",
							   NULL,
							   &dwf_test_point, "", PGC_SIGHUP,
							   GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
#endif
	DefineCustomIntVariable("domowf.timeout",
							"Longest time that a request may take as a whole.",
							NULL,
							&dwf_timeout, 30000, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable("domowf.token",
							   "Domo developer token; its value is never shown.",
							   "Goes before domowf.token_file.",
							   &published_token, "", PGC_USERSET,
							   GUC_NOT_IN_SAMPLE,
							   check_token, assign_token, show_token);
	DefineCustomStringVariable("domowf.token_file",
							   "File that holds the Domo developer token.",
							   "Readable by the server's user only; read again after a reload and after a 401.",
							   &dwf_token_file, "", PGC_SIGHUP, 0,
							   NULL, NULL, NULL);
	DefineCustomBoolVariable("domowf.track_instances",
							 "Reads what has become of instances.",
							 "By a call that Domo does not document.",
							 &dwf_track_instances, false, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("domowf.triggers",
							 "Lets domowf_trigger ask for starts.",
							 "off: it asks for nothing.",
							 &dwf_triggers, true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	DefineCustomBoolVariable("domowf.worker",
							 "Sends what is enqueued.",
							 "off: this server sends no requests.",
							 &dwf_worker_enabled, true, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
}

/*
 * Whether a value comes from the server's configuration and not from a
 * session, role or database.
 */
static bool
is_configuration(GucSource source)
{
	switch (source)
	{
		case PGC_S_DEFAULT:
		case PGC_S_DYNAMIC_DEFAULT:
		case PGC_S_ENV_VAR:
		case PGC_S_FILE:
		case PGC_S_ARGV:
			return true;
		case PGC_S_GLOBAL:
		case PGC_S_DATABASE:
		case PGC_S_USER:
		case PGC_S_DATABASE_USER:
		case PGC_S_CLIENT:
		case PGC_S_OVERRIDE:
		case PGC_S_INTERACTIVE:
		case PGC_S_TEST:
		case PGC_S_SESSION:
			return false;
	}
	return false;
}

/* Notes the source of a value in `extra`. */
static bool
keep_source(void **extra, GucSource source)
{
	GucSource  *note = dwf_guc_alloc(sizeof(GucSource));

	if (note == NULL)
		return false;
	*note = source;
	*extra = note;
	return true;
}

static bool
check_base_url(char **newval, void **extra, GucSource source)
{
	const char *fault = **newval == '\0' ? NULL : dwf_url_check_base(*newval);

	if (fault == NULL)
		return keep_source(extra, source);
	GUC_check_errdetail("%s", fault);
	return false;
}

static bool
check_ca_file(char **newval, void **extra, GucSource source)
{
	return keep_source(extra, source);
}

static bool
check_instance(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0' || dwf_url_is_instance(*newval))
		return keep_source(extra, source);
	GUC_check_errdetail("An instance is named as in acme or acme.domo.com: letters, digits and single dashes, at most %d characters.",
						DWF_MAX_INSTANCE);
	return false;
}

static bool
check_proxy(char **newval, void **extra, GucSource source)
{
	const char *fault = **newval == '\0' ? NULL : dwf_url_check_proxy(*newval);

	if (fault == NULL)
		return keep_source(extra, source);
	GUC_check_errdetail("%s", fault);
	return false;
}

/*
 * Takes the secret out of the value.  Every refusal has a message of its own,
 * since the default one shows the value.
 */
static bool
check_token(char **newval, void **extra, GucSource source)
{
	Token	   *secret;
	char	   *empty;

	if (**newval == '\0')
		return true;

	if (source == PGC_S_GLOBAL || source == PGC_S_DATABASE ||
		source == PGC_S_USER || source == PGC_S_DATABASE_USER ||
		source == PGC_S_TEST)
	{
		GUC_check_errmsg("domowf.token cannot be set for a database, a role or a function");
		GUC_check_errdetail("Everybody could read it in the catalogs and in dumps.");
		GUC_check_errhint("Use domowf.token_file, or SET in the session.");
		return false;
	}
	if (!dwf_token_is_one(*newval, strlen(*newval)))
	{
		GUC_check_errmsg("invalid value for parameter \"domowf.token\"");
		GUC_check_errdetail("A token consists of visible ASCII characters, without white space.");
		return false;
	}

	secret = dwf_guc_alloc(offsetof(Token, secret) + strlen(*newval) + 1);
	empty = dwf_guc_strdup("");
	if (secret == NULL || empty == NULL)
	{
		if (secret != NULL)
			dwf_guc_free(secret);
		if (empty != NULL)
			dwf_guc_free(empty);
		GUC_check_errcode(ERRCODE_OUT_OF_MEMORY);
		GUC_check_errmsg("out of memory");
		return false;
	}
	secret->is_configured = is_configuration(source);
	memcpy(secret->secret, *newval, strlen(*newval) + 1);
	explicit_bzero(*newval, strlen(*newval));
	dwf_guc_free(*newval);
	*newval = empty;
	*extra = secret;
	return true;
}

static void
assign_base_url(const char *newval, void *extra)
{
	dwf_configuration_note(DWF_TARGET_BASE_URL, newval,
						   *(const GucSource *) extra);
}

static void
assign_ca_file(const char *newval, void *extra)
{
	dwf_configuration_note(DWF_TARGET_CA_FILE, newval,
						   *(const GucSource *) extra);
}

static void
assign_instance(const char *newval, void *extra)
{
	dwf_configuration_note(DWF_TARGET_INSTANCE, newval,
						   *(const GucSource *) extra);
}

static void
assign_proxy(const char *newval, void *extra)
{
	dwf_configuration_note(DWF_TARGET_PROXY, newval,
						   *(const GucSource *) extra);
}

static void
assign_token(const char *newval, void *extra)
{
	token = extra;
}

static const char *
show_token(void)
{
	return token == NULL ? "" : SHOWN_TOKEN;
}

const char *
dwf_guc_token(void)
{
	return token == NULL ? NULL : token->secret;
}

bool
dwf_guc_token_is_configured(void)
{
	return token != NULL && token->is_configured;
}

/* As SET would, from the configuration and without setting it. */
void
dwf_guc_check_value(const char *name, const char *value)
{
	(void) set_config_option(psprintf("domowf.%s", name), value, PGC_SIGHUP,
							 PGC_S_SESSION, GUC_ACTION_SET, false, ERROR,
							 false);
}

int
dwf_guc_read_number(const char *name, const char *value)
{
	int			number;

	if (!parse_int(value, &number,
				   strstr(name, "timeout") != NULL ? GUC_UNIT_MS : 0, NULL))
		return 0;
	return number;
}

int
dwf_guc_quote_as_needed(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("quote_all_identifiers", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}
