/*
 * exchange.h
 *	  A request on the wire and what came of it: the evidence that outcomes are
 *	  judged by, apart from the engine that brings it (http.h).
 */
#ifndef DWF_EXCHANGE_H
#define DWF_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How long an idle connection is used again, seconds.  Load balancers close idle
 * ones after 60 s and more; a request that crosses such a close on the wire is
 * in doubt, so we close first.
 */
#define DWF_HTTP_KEPT_SECONDS	50

/*
 * How far an exchange came, which is the evidence for what may be said about
 * it.  An exchange only ever moves downwards in this list.
 */
typedef enum DwfPhase
{
	DWF_PHASE_UNSENT,			/* certainly no byte of the request left */
	DWF_PHASE_SENT,				/* some left; no complete reply header came */
	DWF_PHASE_STATUS,			/* the status is known, the body incomplete */
	DWF_PHASE_COMPLETE			/* the whole reply is here */
} DwfPhase;

typedef enum DwfMethod
{
	DWF_POST,
	DWF_GET						/* without a body */
} DwfMethod;

/*
 * A request to submit.  `url` and `body` are malloc'd and pass into the
 * engine's ownership with dwf_http_submit(), whatever it returns; `body` may
 * be NULL (a POST of length 0).  Everything else is the caller's and is only
 * read during that call.
 */
typedef struct DwfHttpRequest
{
	DwfMethod	method;
	char	   *url;
	char	   *body;
	size_t		body_len;
	const char *const *headers; /* "Name: value", ended by NULL */
	const char *proxy;			/* "" for none */
	const char *ca_file;		/* "" for libcurl's default */
	int			connect_timeout;	/* milliseconds */
	int			timeout;		/* milliseconds, for the whole exchange */
	size_t		max_response;	/* bytes of body kept at most */
	uint64_t	pool;			/* connections are kept for the same only */
	void	   *owner;			/* comes back with the exchange */
} DwfHttpRequest;

/* Where the time of an exchange went, microseconds; -1: not reached. */
typedef struct DwfTimings
{
	int64_t		resolve;
	int64_t		connect;
	int64_t		tls;
	int64_t		send;
	int64_t		wait;
	int64_t		receive;
} DwfTimings;

/* CURLE_PEER_FAILED_VERIFICATION, for who does not know libcurl. */
#define DWF_CURL_BAD_CERTIFICATE	60

/*
 * What came of a request.  Owned by the engine, valid until
 * dwf_http_release().  The body is not terminated.  All that came from outside
 * can be written to, in its length: secrets are taken out of it.
 */
typedef struct DwfExchange
{
	void	   *owner;
	DwfPhase	phase;
	int			curl_code;		/* CURLcode; 0 is CURLE_OK */
	char	   *curl_error;		/* libcurl's words, "" where it has none */
	int			http_status;	/* 0 before DWF_PHASE_STATUS */
	char	   *body;
	size_t		body_len;
	bool		oversize;		/* the body was cut at max_response */
	char	   *content_type;	/* "" where the reply has none */
	char	   *location;
	char	   *retry_after;
	DwfTimings	timings;
} DwfExchange;

#endif							/* DWF_EXCHANGE_H */
