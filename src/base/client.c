/*
 * client.c
 *	  What a client is told, whatever its encoding can hold.
 *
 * What Domo has done, or may have, must be told: the error of an instance in
 * doubt must not become one about a character in its workflow's name, and least
 * of all within an abort, which would begin anew.  So a text is judged before
 * PostgreSQL converts it, character by character, by the conversion that it will
 * use; where no catalog can be read to find that, only ASCII is sure.
 */
#include "postgres.h"

#include "base/client.h"

#include "catalog/namespace.h"
#include "common/string.h"
#include "mb/pg_wchar.h"

/* As long as a character can become; the conversion wants one byte more. */
#define MAX_CONVERTED	((MAX_MULTIBYTE_CHAR_LEN + 1) * MAX_CONVERSION_GROWTH)

static bool fit(char *text);
static bool is_sent_as_it_is(const char *text);
static bool replace(char *text, Oid conversion);
static bool converts_to(Oid conversion, char *character, int len);
static char *copy(const char *text);
static char *fit_context(void);

void
dwf_client_tell(int level, int code, const char *message, const char *detail,
				const char *hint)
{
	ErrorContextCallback *stack = error_context_stack;
	char	   *shown_message = copy(message);
	char	   *shown_detail = copy(detail);
	char	   *shown_hint = copy(hint);
	bool		differs = fit(shown_message);
	char	   *context;

	differs = fit(shown_detail) || differs;
	(void) fit(shown_hint);
	context = fit_context();
	ereport(level,
			(errcode(code),
			 errmsg_internal("%s", shown_message),
			 detail ? errdetail_internal("%s", shown_detail) : 0,
			 differs ? errdetail_log("In full: %s. %s", message,
									 detail ? detail : "No detail.") : 0,
			 hint ? errhint("%s", shown_hint) : 0,
			 context ? errcontext("%s", context) : 0));
	error_context_stack = stack;
}

static char *
copy(const char *text)
{
	return text == NULL ? NULL : pstrdup(text);
}

/*
 * The context of what is about to be said, which has statements and names, if
 * it cannot be sent as it is: taken from the stack, fit.  Else NULL.
 */
static char *
fit_context(void)
{
	char	   *context;

	if (!dwf_client_converts() || error_context_stack == NULL)
		return NULL;
	context = GetErrorContextStack();
	if (!fit(context))
		return NULL;
	error_context_stack = NULL;
	return context;
}

/* Returns whether there was something to replace; NULL is no text. */
static bool
fit(char *text)
{
	Oid			conversion = InvalidOid;
	int			database = GetDatabaseEncoding();

	if (text == NULL || !dwf_client_converts() || pg_is_ascii(text) ||
		is_sent_as_it_is(text))
		return false;
	if (database != PG_SQL_ASCII)
		conversion = FindDefaultConversionProc(database,
											   pg_get_client_encoding());
	return replace(text, conversion);
}

/* What SQL_ASCII has in it is not converted, but has to be the client's. */
static bool
is_sent_as_it_is(const char *text)
{
	return GetDatabaseEncoding() == PG_SQL_ASCII &&
		pg_verify_mbstr(pg_get_client_encoding(), text, strlen(text), true);
}

bool
dwf_client_fit_plain(char *text)
{
	return dwf_client_converts() && !is_sent_as_it_is(text) &&
		replace(text, InvalidOid);
}

bool
dwf_client_converts(void)
{
	int			client = pg_get_client_encoding();

	return client != GetDatabaseEncoding() && client != PG_SQL_ASCII;
}

/* '?' for each character beyond ASCII that is not converted. */
static bool
replace(char *text, Oid conversion)
{
	char	   *end = text + strlen(text);
	char	   *out = text;
	bool		found = false;
	int			len;

	for (char *at = text; at < end; at += len)
	{
		len = Min(pg_encoding_mblen(GetDatabaseEncoding(), at), end - at);
		if (!IS_HIGHBIT_SET(*at) || converts_to(conversion, at, len))
		{
			memmove(out, at, len);
			out += len;
			continue;
		}
		*out++ = '?';
		found = true;
	}
	*out = '\0';
	return found;
}

static bool
converts_to(Oid conversion, char *character, int len)
{
	unsigned char converted[MAX_CONVERTED];

	return OidIsValid(conversion) &&
		pg_do_encoding_conversion_buf(conversion, GetDatabaseEncoding(),
									  pg_get_client_encoding(),
									  (unsigned char *) character, len,
									  converted, sizeof(converted),
									  true) == len;
}
