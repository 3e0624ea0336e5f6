/*
 * engine.h
 *	  What an engine consists of; for http.c and pool.c alone.
 */
#ifndef DWF_ENGINE_H
#define DWF_ENGINE_H

#include "http/transfer.h"

#include <signal.h>

/* Connections that may be used for each other; libcurl's multi handle. */
typedef struct DwfPool
{
	struct DwfEngine *engine;
	CURLM	   *multi;
	uint64_t	key;			/* DwfHttpRequest's */
	uint32_t	number;			/* no other has it, nor had it */
	int			in_use;			/* slots */
	uint64_t	used_at;		/* the engine's count of requests then */
	int64_t		deadline;		/* microseconds, monotonic; -1: none; 0: now */
	bool		is_broken;		/* not to be used again; see http.c, act() */
} DwfPool;

struct DwfEngine
{
	DwfPool   **pools;
	int			npools;
	uint32_t	last_pool;		/* its number */
	uint64_t	submitted;		/* requests */
	uint64_t	rest_submitted; /* the same, when ... */
	int64_t		rest_since;		/* ... dwf_http_rest() saw it first */
	int			epoll_fd;
	int			in_use;
	int			kept;			/* sockets that idle pools may add to */
	DwfSockets	sockets;
	bool		resolving;		/* libcurl may start a thread */
	bool		blocked;		/* signals are blocked, and ... */
	sigset_t	saved;			/* ... this mask is to be restored */
	int			nslots;
	int			touched;		/* slots from here on were never in use */
	DwfSlot		slots[];
};

#endif							/* DWF_ENGINE_H */
