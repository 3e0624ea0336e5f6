/*
 * url.c
 *	  Which hosts requests may go to.
 *
 * URLs are taken apart by libcurl's own parser, the one that connects later:
 * two parsers that disagree about where the host ends are how a token gets
 * sent to somebody else.  It must not know PostgreSQL or open a socket.
 */
#include "http/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#define DOMAIN		".domo.com"

static bool is_alnum(char c);
static char to_lower(char c);
static size_t instance_length(const char *text);
static bool is_loopback(const char *host);
static const char *check_characters(const char *text);
static const char *check_parts(CURLU *url, bool is_base);
static const char *check_url(const char *text, bool is_base);

/* ASCII only, whatever the locale says. */
static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9');
}

static char
to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* Length of the name, without ".domo.com" where that is the end. */
static size_t
instance_length(const char *text)
{
	size_t		len = strlen(text);
	size_t		domain = strlen(DOMAIN);

	if (len > domain && strcasecmp(text + len - domain, DOMAIN) == 0)
		len -= domain;
	return len;
}

bool
dwf_url_is_instance(const char *text)
{
	size_t		len = instance_length(text);

	if (len == 0 || len > DWF_MAX_INSTANCE ||
		!is_alnum(text[0]) || !is_alnum(text[len - 1]))
		return false;
	for (size_t i = 1; i < len; i++)
	{
		if (!is_alnum(text[i]) && (text[i] != '-' || text[i - 1] == '-'))
			return false;
	}
	return true;
}

void
dwf_url_of_instance(const char *instance, char *url)
{
	size_t		len = instance_length(instance);

	snprintf(url, DWF_INSTANCE_URL_SIZE, "https://%.*s" DOMAIN, (int) len,
			 instance);
	for (char *c = url; *c != '\0'; c++)
		*c = to_lower(*c);
}

/*
 * `host` as libcurl gives it: IPv6 in brackets, and every way to write an
 * IPv4 address (127.1, 0x7f000001) made the usual one.
 */
static bool
is_loopback(const char *host)
{
	struct in_addr v4;

	if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 &&
		(ntohl(v4.s_addr) >> 24) == 127;
}

static const char *
check_characters(const char *text)
{
	for (const char *c = text; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= 0x20 || *c == 0x7F)
			return "It must not contain white space or control characters.";
		if (*c == '@')
			return "It must not contain user information.";
		if (*c == '?' || *c == '#' || *c == '\\')
			return "It must not have a query or a fragment.";
	}
	return NULL;
}

/* Checks scheme, host and path of a parsed URL. */
static const char *
check_parts(CURLU *url, bool is_base)
{
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *path = NULL;
	const char *fault = NULL;

	if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
		curl_url_get(url, CURLUPART_PATH, &path, 0) != CURLUE_OK)
		fault = "It must have a scheme and a host.";
	else if (strcasecmp(scheme, "http") != 0 &&
			 strcasecmp(scheme, "https") != 0)
		fault = "It must start with https:// or http://.";
	else if (is_base && strcasecmp(scheme, "https") != 0 &&
			 !is_loopback(host))
		fault = "It must start with https://, unless the host is localhost, "
			"in 127.0.0.0/8 or ::1.";
	else if (!is_base && strcmp(path, "/") != 0)
		fault = "A proxy must not have a path.";
	curl_free(scheme);
	curl_free(host);
	curl_free(path);
	return fault;
}

/* What both kinds of URL go through. */
static const char *
check_url(const char *text, bool is_base)
{
	CURLU	   *url;
	const char *fault = check_characters(text);

	if (fault != NULL)
		return fault;
	url = curl_url();
	if (url == NULL)
		return "Memory is short.";
	if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK)
		fault = "It must be a URL that starts with https:// or http://.";
	else
		fault = check_parts(url, is_base);
	curl_url_cleanup(url);
	return fault;
}

const char *
dwf_url_check_base(const char *text)
{
	return check_url(text, true);
}

const char *
dwf_url_check_proxy(const char *text)
{
	return check_url(text, false);
}
