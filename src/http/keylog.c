/*
 * keylog.c
 *	  No connection's keys are written to a file, whatever the environment says.
 *
 * libcurl appends the keys of every TLS connection to the file that
 * SSLKEYLOGFILE names in the environment of the postmaster: who reads both the
 * file and the network has the token.  It has no option against that.  What it
 * reads of the environment besides, options of transfer.c keep it from.
 *
 * It reads the variable when it is initialized, once for a process.  So the
 * variable is hidden for that moment only: the environment belongs to the
 * whole process, and another library may be meant to see it.  But one that has
 * initialized libcurl before us, perhaps in the postmaster, has opened the
 * file: then libcurl's callback is taken out of each TLS context of ours.
 *
 * It must not know PostgreSQL.
 */
#include "http/keylog.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLE	"SSLKEYLOGFILE"

/* SSL_CTX_set_keylog_callback() of OpenSSL, and what it is given. */
typedef void (*KeylogWriter) (const void *ssl, const char *line);
typedef void (*KeylogSetter) (void *ssl_ctx, KeylogWriter writer);

bool
dwf_keylog_init_curl(void)
{
	static bool is_done = false;
	const char *value = getenv(VARIABLE);
	char	   *hidden = NULL;

	/* not again: a thread that hangs in a resolver may read the environment */
	if (is_done)
		return true;
	if (value != NULL)
	{
		hidden = strdup(value);
		if (hidden == NULL || unsetenv(VARIABLE) != 0)
		{
			free(hidden);
			return false;
		}
	}
	is_done = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	if (hidden != NULL)
		(void) setenv(VARIABLE, hidden, 1);
	free(hidden);
	return is_done;
}

/*
 * The function is looked up, so that libcurl alone decides which TLS library
 * there is, if it is OpenSSL at all.
 */
void
dwf_keylog_remove(CURL *easy, void *ssl_ctx)
{
	struct curl_tlssessioninfo *info = NULL;
	void	   *found;
	KeylogSetter set;

	if (curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK ||
		info == NULL || info->backend != CURLSSLBACKEND_OPENSSL)
		return;
	found = dlsym(RTLD_DEFAULT, "SSL_CTX_set_keylog_callback");
	if (found == NULL)
		return;
	memcpy(&set, &found, sizeof(set));
	set(ssl_ctx, NULL);
}
