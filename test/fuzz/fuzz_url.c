/*
 * fuzz_url.c
 *	  Fuzz target: any text as the name of an instance, a base URL or a proxy.
 *
 * What passes as an instance is a host right below domo.com, as libcurl, which
 * connects, reads its URL; a base URL that passes has https or a host of this
 * machine, and nobody's name or query in it.
 */
#include "../../src/http/url.c"

#include "fuzz.h"

#include <stdlib.h>

static char *part(const char *text, CURLUPart what);
static void check_instance(const char *text);
static void check_base(const char *text);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	check_instance(text);
	check_base(text);
	(void) dwf_url_check_proxy(text);
	free(text);
	return 0;
}

/* A part of a URL as libcurl reads it; NULL where it has none. */
static char *
part(const char *text, CURLUPart what)
{
	CURLU	   *url = curl_url();
	char	   *found = NULL;

	REQUIRE(curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK);
	if (curl_url_get(url, what, &found, 0) != CURLUE_OK)
		found = NULL;
	curl_url_cleanup(url);
	return found;
}

static void
check_instance(const char *text)
{
	char		url[DWF_INSTANCE_URL_SIZE];
	char	   *host;

	if (!dwf_url_is_instance(text))
		return;
	dwf_url_of_instance(text, url);
	REQUIRE(dwf_url_check_base(url) == NULL);
	host = part(url, CURLUPART_HOST);
	REQUIRE(host != NULL && strlen(host) > strlen(DOMAIN));
	REQUIRE(strcmp(host + strlen(host) - strlen(DOMAIN), DOMAIN) == 0);
	REQUIRE(strchr(host, '.') == host + strlen(host) - strlen(DOMAIN));
	curl_free(host);
}

static void
check_base(const char *text)
{
	char	   *scheme;
	char	   *host;
	char	   *user;

	if (dwf_url_check_base(text) != NULL)
		return;
	scheme = part(text, CURLUPART_SCHEME);
	host = part(text, CURLUPART_HOST);
	user = part(text, CURLUPART_USER);
	REQUIRE(scheme != NULL && host != NULL && *host != '\0' && user == NULL);
	REQUIRE(strcasecmp(scheme, "https") == 0 || is_loopback(host));
	REQUIRE(strpbrk(text, "@?#\\ \r\n\t") == NULL);
	curl_free(scheme);
	curl_free(host);
}
