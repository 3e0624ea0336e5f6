/*
 * pool.h
 *	  The connections that an engine keeps, apart for each key.
 *
 * Internal to the engine: pool.c and http.c.
 */
#ifndef DWF_POOL_H
#define DWF_POOL_H

#include "http/engine.h"

#include <sys/epoll.h>

/*
 * The pool of a key, made where there is none; NULL: no memory.  Where the
 * engine has more sockets open than it may keep, pools that nobody uses are
 * given up, the one that was used longest ago first.
 */
extern DwfPool *dwf_pool_get(struct DwfEngine *engine, uint64_t key);

/* The pool that an event was meant for; NULL: it is gone. */
extern DwfPool *dwf_pool_of_event(const struct DwfEngine *engine,
								  const struct epoll_event *event);

/* The descriptor that an event tells of. */
extern int	dwf_pool_event_fd(const struct epoll_event *event);

/* When libcurl wants to be called, for the first pool of all: as deadline. */
extern int64_t dwf_pool_deadline(const struct DwfEngine *engine);

/* Ends a socket's part in the epoll set, though its connection stands. */
extern void dwf_pool_unwatch(struct DwfEngine *engine, DwfSocket *socket);

/*
 * Whether a socket stays in the epoll set: one whose connection stands.
 * libcurl 7.88 closes one that still connects without telling anybody, and
 * its number comes again.
 */
extern bool dwf_pool_keeps(const DwfSocket *socket);

/* Ends a pool that nobody uses, and its connections. */
extern void dwf_pool_close(struct DwfEngine *engine, DwfPool *pool);

/* Ends all pools and their connections. */
extern void dwf_pool_close_all(struct DwfEngine *engine);

#endif							/* DWF_POOL_H */
