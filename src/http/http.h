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

#include "http/exchange.h"

typedef struct DwfEngine DwfEngine;

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

/* How many sockets an engine has, or is about to have. */
extern int	dwf_http_descriptors(const DwfEngine *engine);

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
 * How many sockets it may have open before those of pools that are not in use
 * are closed; as many as it has slots unless it is told.
 */
extern void dwf_http_keep(DwfEngine *engine, int sockets);

/*
 * Ends all idle connections but one to each host.  To be called while nothing
 * is in use.
 */
extern void dwf_http_trim(DwfEngine *engine);

/*
 * To be called now and then.  Where more than `few` sockets are open, and nothing
 * was in use, nor has begun, in calls over `microseconds`: gives connections,
 * handles and what they had allocated back, and returns true.  A next request has
 * all of it made anew, the store of CA certificates, too.
 */
extern bool dwf_http_rest(DwfEngine *engine, int few, int64_t microseconds);

/* Gives up all that is in use, and closes its connections. */
extern void dwf_http_abort(DwfEngine *engine);

#endif							/* DWF_HTTP_H */
