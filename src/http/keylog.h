/*
 * keylog.h
 *	  No connection's keys are written to a file, whatever the environment says.
 */
#ifndef DWF_KEYLOG_H
#define DWF_KEYLOG_H

#include <stdbool.h>

#include <curl/curl.h>

/*
 * Initializes libcurl, once for a process, without its opening a key log.
 * Returns false where it cannot be initialized.
 */
extern bool dwf_keylog_init_curl(void);

/*
 * Takes the key log out of a TLS context, where libcurl has put one in.  To be
 * called from its callback before a handshake (CURLOPT_SSL_CTX_FUNCTION).
 */
extern void dwf_keylog_remove(CURL *easy, void *ssl_ctx);

#endif							/* DWF_KEYLOG_H */
