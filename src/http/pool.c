/*
 * pool.c
 *	  The connections that an engine keeps, apart for each key.
 *
 * libcurl gives a kept connection to any request for the same host by the same
 * way, whoever's token goes with it.  So what must not share connections has a
 * multi handle of its own: then nothing that a server or gateway ties to a
 * connection meets another token.  All pools of an engine watch their sockets
 * in its one epoll set; an event tells by its pool's number which multi handle
 * it is for.
 */
#include "http/pool.h"

#include <stdlib.h>

/* CURLMOPT_QUICK_EXIT of libcurl 8.20; an earlier one knows none, and no harm */
#define MULTI_QUICK_EXIT	((CURLMoption) (CURLOPTTYPE_LONG + 21))

static DwfPool *make_pool(struct DwfEngine *engine, uint64_t key);
static void make_room(struct DwfEngine *engine);
static bool watch(DwfPool *pool, int fd, uint32_t events, bool is_in_set);
static int	watch_socket(CURL *easy, curl_socket_t fd, int what, void *pool,
						 void *known);
static int	set_timer(CURLM *multi, long timeout_ms, void *pool);

DwfPool *
dwf_pool_get(struct DwfEngine *engine, uint64_t key)
{
	DwfPool    *pool = NULL;

	for (int i = 0; i < engine->npools && pool == NULL; i++)
	{
		if (engine->pools[i]->key == key)
			pool = engine->pools[i];
	}
	if (pool == NULL)
		pool = make_pool(engine, key);
	if (pool == NULL)
		return NULL;
	pool->used_at = ++engine->submitted;
	make_room(engine);
	return pool;
}

/* A multi handle with all that never changes.  NULL: no memory. */
static DwfPool *
make_pool(struct DwfEngine *engine, uint64_t key)
{
	DwfPool   **pools = realloc(engine->pools,
								(engine->npools + 1) * sizeof(*pools));
	DwfPool    *pool;

	if (pools == NULL)
		return NULL;
	engine->pools = pools;
	pool = calloc(1, sizeof(DwfPool));
	if (pool == NULL)
		return NULL;
	pool->multi = curl_multi_init();
	if (pool->multi == NULL)
	{
		free(pool);
		return NULL;
	}
	pool->engine = engine;
	pool->key = key;
	pool->number = ++engine->last_pool;
	pool->deadline = -1;
	curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
	curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
	curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS,
					  (long) engine->nslots);
	curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	curl_multi_setopt(pool->multi, MULTI_QUICK_EXIT, 1L);
	pools[engine->npools++] = pool;
	return pool;
}

/*
 * So that an engine has not many more descriptors than it may have requests in
 * flight, nor pools.  The one that was asked for last stays.
 */
static void
make_room(struct DwfEngine *engine)
{
	while (engine->npools > 1 &&
		   (engine->sockets.count > engine->kept ||
			engine->npools > engine->kept + 1))
	{
		int			oldest = -1;

		for (int i = 0; i < engine->npools; i++)
		{
			const DwfPool *pool = engine->pools[i];

			if (pool->in_use == 0 && pool->used_at != engine->submitted &&
				(oldest == -1 ||
				 pool->used_at < engine->pools[oldest]->used_at))
				oldest = i;
		}
		if (oldest == -1)
			return;
		dwf_pool_close(engine, engine->pools[oldest]);
	}
}

void
dwf_pool_close(struct DwfEngine *engine, DwfPool *pool)
{
	int			i = 0;

	while (engine->pools[i] != pool)
		i++;
	engine->pools[i] = engine->pools[--engine->npools];
	curl_multi_cleanup(pool->multi);
	free(pool);
}

void
dwf_pool_close_all(struct DwfEngine *engine)
{
	while (engine->npools > 0)
		dwf_pool_close(engine, engine->pools[engine->npools - 1]);
	free(engine->pools);
	engine->pools = NULL;
}

DwfPool *
dwf_pool_of_event(const struct DwfEngine *engine, const struct epoll_event *event)
{
	for (int i = 0; i < engine->npools; i++)
	{
		if (engine->pools[i]->number == event->data.u64 >> 32)
			return engine->pools[i];
	}
	return NULL;
}

int
dwf_pool_event_fd(const struct epoll_event *event)
{
	return (int) (event->data.u64 & UINT32_MAX);
}

int64_t
dwf_pool_deadline(const struct DwfEngine *engine)
{
	int64_t		first = -1;

	for (int i = 0; i < engine->npools; i++)
	{
		int64_t		deadline = engine->pools[i]->deadline;

		if (deadline >= 0 && (first < 0 || deadline < first))
			first = deadline;
	}
	return first;
}

bool
dwf_pool_keeps(const DwfSocket *socket)
{
	return socket->local_port != 0;
}

/* Has the epoll set watch a descriptor for these events; 0: no longer. */
static bool
watch(DwfPool *pool, int fd, uint32_t events, bool is_in_set)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = (uint64_t) pool->number << 32 | (uint32_t) fd,
	};
	int			op = events == 0 ? EPOLL_CTL_DEL :
	is_in_set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	/* one to be removed may be closed: then the kernel has taken it out */
	if (epoll_ctl(pool->engine->epoll_fd, op, fd, &event) == 0 || events == 0)
		return true;
	pool->is_broken = true;
	return false;
}

void
dwf_pool_unwatch(struct DwfEngine *engine, DwfSocket *socket)
{
	struct epoll_event event = {0};

	(void) epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, socket->fd, &event);
	socket->watched = 0;
}

/* libcurl's socket callback: keeps the epoll set as libcurl wants it. */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	DwfPool    *pool = arg;
	DwfSocket  *socket = dwf_sockets_find(&pool->engine->sockets, fd);
	uint32_t	events = 0;

	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	if (events & EPOLLIN)
		dwf_transfer_note_reading(easy, fd);
	if (socket != NULL)
		socket->pool = pool->number;

	if (socket != NULL && dwf_pool_keeps(socket))
	{
		socket->wanted = events;
		if (events != 0 && events != socket->watched &&
			watch(pool, fd, events, socket->watched != 0))
			socket->watched = events;
		return 0;
	}
	if (!watch(pool, fd, events, known != NULL))
		return 0;
	if (events != 0)
		curl_multi_assign(pool->multi, fd, pool);
	if (socket != NULL)
		socket->wanted = socket->watched = events;
	return 0;
}

/* libcurl's timer callback: when to be called next. */
static int
set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	DwfPool    *pool = arg;

	(void) multi;
	pool->deadline = timeout_ms <= 0 ? timeout_ms :
		dwf_transfer_now() + (int64_t) timeout_ms * 1000;
	return 0;
}
