/*
 * url.h
 *	  Which hosts requests may go to: instance names, base URLs, proxies.
 *
 * Pure: no PostgreSQL, no network.
 */
#ifndef DWF_URL_H
#define DWF_URL_H

#include <stdbool.h>
#include <stddef.h>

/* An instance name is at most 50 characters (src/domo/README.md). */
#define DWF_MAX_INSTANCE	50

/* Room for "https://", a name, ".domo.com" and the end. */
#define DWF_INSTANCE_URL_SIZE	80

/*
 * Whether the text is an instance name, `acme` or `acme.domo.com`: letters,
 * digits and single dashes, starting and ending with a letter or digit.
 */
extern bool dwf_url_is_instance(const char *text);

/*
 * Writes the base URL of an instance, in lower case, into `url` of
 * DWF_INSTANCE_URL_SIZE bytes.  `instance` passed dwf_url_is_instance().
 */
extern void dwf_url_of_instance(const char *instance, char *url);

/*
 * Checks a base URL: https, or http to localhost, 127.0.0.0/8 or ::1; no user
 * info, query, fragment, white space or control characters.  Returns NULL, or
 * a constant sentence that says what is wrong.
 */
extern const char *dwf_url_check_base(const char *text);

/* Checks a forward proxy: http or https, a host, no user info, no path. */
extern const char *dwf_url_check_proxy(const char *text);

#endif							/* DWF_URL_H */
