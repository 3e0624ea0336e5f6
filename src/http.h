/*
 * http.h
 *	  HTTP requests over libcurl, many at once, none of them blocking.
 *
 * An engine holds slots; each slot carries one transfer at a time.  The owner
 * submits requests, waits on dwf_http_fd() for at most dwf_http_timeout_ms(),
 * drives, and harvests what has ended.  See http.c for the design.
 */
#ifndef DWF_HTTP_H
#define DWF_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct DwfEngine DwfEngine;

/* CURLE_PEER_FAILED_VERIFICATION, for who does not know libcurl. */
#define DWF_CURL_BAD_CERTIFICATE	60

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

/*
 * A request to submit.  `url` and `body` are malloc'd and pass into the
 * engine's ownership with dwf_http_submit(), whatever it returns; `body` may
 * be NULL (a POST of length 0).  Everything else is the caller's and is only
 * read during that call.
 */
typedef struct DwfHttpRequest
{
	char	   *url;
	char	   *body;
	size_t		body_len;
	const char *const *headers; /* "Name: value", ended by NULL */
	const char *proxy;			/* "" for none */
	const char *ca_file;		/* "" for libcurl's default */
	int			connect_timeout;	/* milliseconds */
	int			timeout;		/* milliseconds, for the whole exchange */
	size_t		max_response;	/* bytes of body kept at most */
	bool		close_after;	/* do not keep the connection */
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
	int64_t		total;
} DwfTimings;

/*
 * What came of a request.  Owned by the engine, valid until
 * dwf_http_release().  The body is not terminated.
 */
typedef struct DwfExchange
{
	void	   *owner;
	DwfPhase	phase;
	int			curl_code;		/* CURLcode; 0 is CURLE_OK */
	const char *curl_error;		/* libcurl's words, "" where it has none */
	int			http_status;	/* 0 before DWF_PHASE_STATUS */
	char	   *body;
	size_t		body_len;
	bool		oversize;		/* the body was cut at max_response */
	const char *content_type;	/* "" where the reply has none */
	const char *location;
	const char *retry_after;
	DwfTimings	timings;
} DwfExchange;

/*
 * Makes an engine with `slots` slots.  Returns NULL when libcurl, the kernel
 * or memory refuses, and then a constant phrase in *why.
 */
extern DwfEngine *dwf_http_create(int slots, const char **why);

/* Ends an engine with all it holds: transfers, connections, descriptors. */
extern void dwf_http_destroy(DwfEngine *engine);

/*
 * Starts a request.  Returns false, with nothing sent, when memory is short
 * or libcurl refuses an option; `engine` must have a free slot.
 */
extern bool dwf_http_submit(DwfEngine *engine, const DwfHttpRequest *request);

/* Slots in use: transfers under way or not yet released. */
extern int	dwf_http_in_use(const DwfEngine *engine);

/* The descriptor that gets readable when dwf_http_drive() has work to do. */
extern int	dwf_http_fd(const DwfEngine *engine);

/*
 * The one socket that can be waited for in its place, which saves the kernel a
 * detour; -1 where there is more to wait for.  While nothing is in use, the
 * one that a next request may wait for.  *number, which is not 0, tells it
 * from a later socket with the same descriptor.
 */
extern int	dwf_http_socket(const DwfEngine *engine, uint64_t *number);

/*
 * Milliseconds until dwf_http_drive() has to be called even though nothing
 * happens on the descriptor; -1: no such time.
 */
extern long dwf_http_timeout_ms(const DwfEngine *engine);

/*
 * Moves every transfer on as far as it goes without waiting.  `readable` says
 * that the descriptor is, or may be; without it only new requests and timers
 * are looked after, which costs a system call less.
 */
extern void dwf_http_drive(DwfEngine *engine, bool readable);

/*
 * The next exchange that has ended, each of them once; NULL when there is
 * none.  To be given back with dwf_http_release().
 */
extern const DwfExchange *dwf_http_harvest(DwfEngine *engine);

/* Frees what an exchange holds, and its slot. */
extern void dwf_http_release(DwfEngine *engine, const DwfExchange *exchange);

/*
 * Calls `visit` for each exchange under way, as far as it has come: what is
 * needed to say what is in doubt when everything is to be given up.
 */
extern void dwf_http_each_pending(DwfEngine *engine,
								  void (*visit) (const DwfExchange *exchange,
												 void *arg),
								  void *arg);

/*
 * Ends all idle connections but one to each host.  To be called while nothing
 * is in use.
 */
extern void dwf_http_trim(DwfEngine *engine);

/* Gives up all that is in use, and closes its connections. */
extern void dwf_http_abort(DwfEngine *engine);

#endif							/* DWF_HTTP_H */
