/*
 * http.c
 *	  HTTP over libcurl's multi interface, event driven.
 *
 * Error model.  Nothing here can throw: the file knows no PostgreSQL, memory
 * is malloc's, and callbacks only write down what they see.  Callers read a
 * DwfExchange and decide.  Whatever happens to a caller, one call of
 * dwf_http_abort() leaves the engine clean.
 *
 * Ownership.  An engine owns everything: a multi handle for each pool of
 * connections (pool.c), one epoll descriptor, and slots.  A slot owns an easy handle for the engine's life
 * (it keeps the parsed CA store and options warm) and, from submit to
 * release, the request's URL, body and headers and the reply.
 *
 *		free --submit--> busy --(libcurl is done)--> done --release--> free
 *						  |									 ^
 *						  +---------- abort -----------------+
 *
 * Waiting.  libcurl tells its sockets and its next timeout to callbacks of
 * pool.c; the sockets live in one epoll set, whose descriptor any
 * caller can wait on together with whatever else it waits for.  A connection's
 * socket stays in the set while it is idle, since the next request will most
 * likely wait for the same event; it leaves the set when it speaks unasked, so
 * that an idle one wakes nobody twice.  Where there is one connection, its
 * socket can be waited for by itself (dwf_http_socket()).  This rests on being
 * told of each such socket's end (CURLOPT_CLOSESOCKETFUNCTION); see dwf_pool_keeps().
 *
 * No request is ever sent twice.  libcurl by itself sends a request again
 * when a kept connection turns out to be closed before the first byte of the
 * reply, and reports one success.  Its pre-request callback is called each
 * time before a request is written (CURLOPT_PREREQFUNCTION, 7.80), so
 * allow_request() lets a second time pass only if not a byte of the first was
 * accepted by the kernel or, over TLS, no complete record.  This covers a
 * POST without a body as well, for which libcurl needs no rewind and the way
 * with a read callback (src/README.md) would not help.  And nothing is written
 * on a kept connection on which bytes wait already: they would pass for the
 * reply.  Such a request begins again on a new connection.  HTTP/2 has more reasons to
 * send again, so HTTP/1.1 is asked for.
 *
 * Signals.  libcurl's resolver is a thread; it inherits the signal mask of
 * the moment, and PostgreSQL's handlers must never run in it.  libcurl tells
 * start_resolving() before it starts one (CURLOPT_RESOLVER_START_FUNCTION),
 * which blocks all signals until that call of libcurl returns; and until all
 * transfers have a connection they are blocked around every further call.  So
 * a request on a kept connection does not pay for it.  CURLOPT_QUICK_EXIT, and
 * from libcurl 8.20, which keeps its threads, CURLMOPT_QUICK_EXIT, let us leave
 * a thread behind that hangs in a resolver.
 */
#include "http/http.h"
#include "http/keylog.h"
#include "http/pool.h"
#include "http/transfer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Events taken from the kernel in one go. */
#define MAX_EVENTS			64

static void block_signals(DwfEngine *engine);
static void enter_libcurl(DwfEngine *engine);
static void leave_libcurl(DwfEngine *engine);
static bool is_resolving(const DwfEngine *engine);
static int	start_resolving(void *resolver, void *reserved, void *engine);
static bool prepare_handle(DwfEngine *engine, DwfSlot *slot);
static void free_unused(DwfEngine *engine);
static void clear_slot(DwfEngine *engine, DwfSlot *slot);
static void detach_slot(DwfEngine *engine, DwfSlot *slot);
static void handle_event(DwfEngine *engine, const struct epoll_event *event);
static void act(DwfPool *pool, curl_socket_t fd, int what);
static int	look_for_events(DwfEngine *engine, struct epoll_event *events);
static int64_t next_end(const DwfEngine *engine);
static void end_late_transfers(DwfEngine *engine);
static void give_up_pool(DwfEngine *engine, DwfPool *pool);
static void end_transfer(DwfEngine *engine, DwfSlot *slot, CURLcode code);
static void mark_finished(DwfEngine *engine, const DwfPool *pool);
static bool restart_slot(DwfEngine *engine, DwfSlot *slot);

static void
block_signals(DwfEngine *engine)
{
	sigset_t	all;

	if (engine->blocked)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &engine->saved);
	engine->blocked = true;
}

/* Stands before every call in which libcurl may go on with a transfer ... */
static void
enter_libcurl(DwfEngine *engine)
{
	if (engine->resolving)
		block_signals(engine);
}

/* ... and this one after it. */
static void
leave_libcurl(DwfEngine *engine)
{
	if (!engine->blocked)
		return;
	engine->resolving = is_resolving(engine);
	engine->blocked = false;
	pthread_sigmask(SIG_SETMASK, &engine->saved, NULL);
}

/* Whether a transfer has no connection yet: libcurl may look for one more. */
static bool
is_resolving(const DwfEngine *engine)
{
	for (int i = 0; i < engine->touched; i++)
	{
		const DwfSlot *slot = &engine->slots[i];

		if (slot->attached && !slot->asked && !slot->done)
			return true;
	}
	return false;
}

/* libcurl's callback before it resolves a name, in the calling thread. */
static int
start_resolving(void *resolver, void *reserved, void *arg)
{
	DwfEngine  *engine = arg;

	(void) resolver;
	(void) reserved;
	engine->resolving = true;
	block_signals(engine);
	return 0;
}

DwfEngine *
dwf_http_create(int slots, const char **why)
{
	DwfEngine  *engine;

	*why = "out of memory";
	if (!dwf_keylog_init_curl())
	{
		*why = "libcurl could not be initialized";
		return NULL;
	}
	engine = calloc(1, sizeof(DwfEngine) + slots * sizeof(DwfSlot));
	if (engine == NULL)
		return NULL;
	engine->nslots = engine->kept = slots;
	engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (engine->epoll_fd < 0)
		*why = strerror(errno);
	else if (dwf_pool_get(engine, 0) != NULL)
		return engine;
	dwf_http_destroy(engine);
	return NULL;
}

void
dwf_http_destroy(DwfEngine *engine)
{
	if (engine == NULL)
		return;
	dwf_http_abort(engine);
	free_unused(engine);
	if (engine->epoll_fd >= 0)
		close(engine->epoll_fd);
	free(engine->sockets.items);
	free(engine);
}

/* Gives a slot its easy handle, where it has none yet. */
static bool
prepare_handle(DwfEngine *engine, DwfSlot *slot)
{
	bool		is_new = slot->easy == NULL;

	if (!dwf_transfer_prepare(slot, &engine->sockets))
		return false;
	if (is_new)
	{
		curl_easy_setopt(slot->easy, CURLOPT_RESOLVER_START_FUNCTION,
						 start_resolving);
		curl_easy_setopt(slot->easy, CURLOPT_RESOLVER_START_DATA, engine);
	}
	return true;
}

bool
dwf_http_submit(DwfEngine *engine, const DwfHttpRequest *request)
{
	DwfSlot    *slot = engine->slots;
	bool		ok;

	while (slot->busy)
		slot++;
	if (slot == &engine->slots[engine->touched])
		engine->touched++;
	slot->busy = true;
	engine->in_use++;
	slot->url = request->url;
	slot->body = request->body;
	slot->body_len = request->body_len;

	enter_libcurl(engine);
	slot->pool = dwf_pool_get(engine, request->pool);
	if (slot->pool != NULL)
		slot->pool->in_use++;
	ok = slot->pool != NULL && prepare_handle(engine, slot) &&
		dwf_transfer_set_request(slot, request) &&
		curl_multi_add_handle(slot->pool->multi, slot->easy) == CURLM_OK;
	slot->attached = ok;
	leave_libcurl(engine);
	if (!ok)
		clear_slot(engine, slot);
	return ok;
}

/* Frees what a slot holds for one request; its handle stays. */
static void
clear_slot(DwfEngine *engine, DwfSlot *slot)
{
	size_t		kept = offsetof(DwfSlot, sockets);

	detach_slot(engine, slot);
	free(slot->url);
	free(slot->body);
	free(slot->reply);
	memset((char *) slot + kept, 0, sizeof(*slot) - kept);
	engine->in_use--;
}

/* Takes a transfer out of its pool, where it is in one. */
static void
detach_slot(DwfEngine *engine, DwfSlot *slot)
{
	if (slot->attached)
	{
		enter_libcurl(engine);
		curl_multi_remove_handle(slot->pool->multi, slot->easy);
		slot->attached = false;
		leave_libcurl(engine);
	}
	if (slot->pool != NULL)
		slot->pool->in_use--;
	slot->pool = NULL;
}

int
dwf_http_in_use(const DwfEngine *engine)
{
	return engine->in_use;
}

int
dwf_http_descriptors(const DwfEngine *engine)
{
	int			sockets = engine->sockets.count;

	return engine->in_use > sockets ? engine->in_use : sockets;
}

int
dwf_http_fd(const DwfEngine *engine)
{
	return engine->epoll_fd;
}

int
dwf_http_socket(const DwfEngine *engine, uint64_t *number)
{
	const DwfSocket *only = &engine->sockets.items[0];

	if (engine->resolving || engine->sockets.count != 1 || !dwf_pool_keeps(only) ||
		only->watched != EPOLLIN ||
		only->wanted != (engine->in_use > 0 ? EPOLLIN : 0))
		return -1;
	*number = only->number;
	return only->fd;
}

long
dwf_http_timeout_ms(const DwfEngine *engine)
{
	int64_t		at = next_end(engine);
	int64_t		deadline = dwf_pool_deadline(engine);
	int64_t		left;

	if (deadline == 0)
		return 0;
	if (deadline > 0 && (at == 0 || deadline < at))
		at = deadline;
	if (at == 0)
		return -1;
	left = at - dwf_transfer_now();
	return left <= 0 ? 0 : (long) ((left + 999) / 1000);
}

/* When the time of a transfer is over, the first of all; 0: none's is. */
static int64_t
next_end(const DwfEngine *engine)
{
	int64_t		at = 0;

	for (int i = 0; i < engine->touched; i++)
	{
		const DwfSlot *slot = &engine->slots[i];

		if (slot->busy && !slot->done && slot->ends_at != 0 &&
			(at == 0 || slot->ends_at < at))
			at = slot->ends_at;
	}
	return at;
}

/* Hands one event to libcurl, unless it has stopped waiting for it. */
static void
handle_event(DwfEngine *engine, const struct epoll_event *event)
{
	int			fd = dwf_pool_event_fd(event);
	DwfPool    *pool = dwf_pool_of_event(engine, event);
	DwfSocket  *socket = dwf_sockets_find(&engine->sockets, fd);
	int			what = 0;

	if (pool == NULL)
		return;
	if (socket != NULL && dwf_pool_keeps(socket) && socket->wanted == 0)
	{
		dwf_pool_unwatch(engine, socket);
		return;
	}
	if (event->events & EPOLLIN)
		what |= CURL_CSELECT_IN;
	if (event->events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (event->events & (EPOLLERR | EPOLLHUP))
		what |= CURL_CSELECT_ERR;
	act(pool, fd, what);
}

/*
 * Lets libcurl go on, until it fails, for want of memory: it may have lost sight
 * of a socket then, and divides by zero (seen in 7.88) when it comes again to one
 * for which it could note no transfer.
 */
static void
act(DwfPool *pool, curl_socket_t fd, int what)
{
	int			running;

	if (!pool->is_broken &&
		curl_multi_socket_action(pool->multi, fd, what, &running) != CURLM_OK)
		pool->is_broken = true;
}

/*
 * What the epoll set, or the socket waited for in its place, has to tell.
 * Where there is one socket, that is known without asking: the system call
 * would be a tenth of what a call costs here.  Being wrong is harmless, for
 * then there is nothing to read.
 */
static int
look_for_events(DwfEngine *engine, struct epoll_event *events)
{
	uint64_t	number;
	int			fd = dwf_http_socket(engine, &number);

	if (fd == -1)
		return epoll_wait(engine->epoll_fd, events, MAX_EVENTS, 0);
	events[0].events = EPOLLIN;
	events[0].data.u64 = (uint64_t) engine->sockets.items[0].pool << 32 |
		(uint32_t) fd;
	return 1;
}

void
dwf_http_drive(DwfEngine *engine, bool readable)
{
	struct epoll_event events[MAX_EVENTS];
	int64_t		end = next_end(engine);
	bool		is_late = end != 0 && dwf_transfer_now() >= end;
	int			count = 0;

	enter_libcurl(engine);
	if (readable || is_late)
		count = look_for_events(engine, events);
	for (int i = 0; i < count; i++)
		handle_event(engine, &events[i]);
	for (int i = 0; i < engine->npools; i++)
	{
		DwfPool    *pool = engine->pools[i];

		if (pool->deadline < 0 ||
			(pool->deadline > 0 && dwf_transfer_now() < pool->deadline))
			continue;
		pool->deadline = -1;
		act(pool, CURL_SOCKET_TIMEOUT, 0);
	}
	leave_libcurl(engine);
	for (int i = 0; i < engine->npools; i++)
		mark_finished(engine, engine->pools[i]);
	if (is_late)
		end_late_transfers(engine);
	for (int i = engine->npools - 1; i >= 0; i--)
	{
		if (engine->pools[i]->is_broken)
			give_up_pool(engine, engine->pools[i]);
	}
}

/* Ends those whose time is over and that have nothing more to read. */
static void
end_late_transfers(DwfEngine *engine)
{
	int64_t		now = dwf_transfer_now();

	for (int i = 0; i < engine->touched; i++)
	{
		DwfSlot    *slot = &engine->slots[i];

		if (!slot->busy || slot->done ||
			!dwf_transfer_is_over(slot, now, slot->pool->deadline == 0))
			continue;
		dwf_transfer_note_timeout(slot);
		end_transfer(engine, slot, CURLE_OPERATION_TIMEDOUT);
	}
}

/*
 * Ends a pool that is broken, and what it had under way: one of its sockets may
 * not be watched, so that we would wait for it for ever.
 */
static void
give_up_pool(DwfEngine *engine, DwfPool *pool)
{
	for (int i = 0; i < engine->touched; i++)
	{
		DwfSlot    *slot = &engine->slots[i];

		if (slot->pool != pool)
			continue;
		if (slot->done)
			detach_slot(engine, slot);
		else
			end_transfer(engine, slot, CURLE_OUT_OF_MEMORY);
	}
	enter_libcurl(engine);
	dwf_pool_close(engine, pool);
	leave_libcurl(engine);
}

/* Ends one that libcurl has not finished.  It keeps the phase that it came to. */
static void
end_transfer(DwfEngine *engine, DwfSlot *slot, CURLcode code)
{
	dwf_transfer_fill_exchange(slot, code, true);
	slot->done = true;
	detach_slot(engine, slot);
}

/*
 * A message of libcurl's is there until the next call into it.  A request
 * whose kept connection had ended before its first byte is begun again, and
 * has not finished.
 */
static void
mark_finished(DwfEngine *engine, const DwfPool *pool)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(pool->multi, &left)) != NULL)
	{
		DwfSlot    *slot = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
		if (slot->stale && restart_slot(engine, slot))
			continue;
		slot->done = true;
		dwf_transfer_fill_exchange(slot, (int) message->data.result, true);
	}
}

/* Begins again on a new connection.  Nothing of the request was sent. */
static bool
restart_slot(DwfEngine *engine, DwfSlot *slot)
{
	enter_libcurl(engine);
	curl_multi_remove_handle(slot->pool->multi, slot->easy);
	dwf_transfer_restart(slot);
	slot->attached = curl_multi_add_handle(slot->pool->multi,
										   slot->easy) == CURLM_OK;
	leave_libcurl(engine);
	return slot->attached;
}

const DwfExchange *
dwf_http_harvest(DwfEngine *engine)
{
	for (int i = 0; i < engine->touched; i++)
	{
		DwfSlot    *slot = &engine->slots[i];

		if (slot->done && !slot->harvested)
		{
			slot->harvested = true;
			return &slot->exchange;
		}
	}
	return NULL;
}

void
dwf_http_release(DwfEngine *engine, const DwfExchange *exchange)
{
	DwfSlot    *slot = (DwfSlot *) ((char *) exchange - offsetof(DwfSlot, exchange));

	clear_slot(engine, slot);
}

void
dwf_http_each_pending(DwfEngine *engine,
					  void (*visit) (const DwfExchange *exchange, void *arg),
					  void *arg)
{
	for (int i = 0; i < engine->touched; i++)
	{
		DwfSlot    *slot = &engine->slots[i];

		if (!slot->busy || slot->harvested)
			continue;
		if (!slot->done)
			dwf_transfer_fill_exchange(slot, CURLE_OK, false);
		visit(&slot->exchange, arg);
	}
}

void
dwf_http_keep(DwfEngine *engine, int sockets)
{
	engine->kept = sockets;
}

void
dwf_http_trim(DwfEngine *engine)
{
	dwf_sockets_trim(&engine->sockets);
}

bool
dwf_http_rest(DwfEngine *engine, int few, int64_t microseconds)
{
	int64_t		now = dwf_transfer_now();

	if (engine->in_use > 0 || engine->submitted != engine->rest_submitted)
	{
		engine->rest_submitted = engine->submitted;
		engine->rest_since = now;
	}
	if (engine->in_use > 0 || engine->sockets.count <= few ||
		now - engine->rest_since < microseconds)
		return false;
	free_unused(engine);
	return true;
}

/* Handles and connections, of an engine that has nothing in use. */
static void
free_unused(DwfEngine *engine)
{
	block_signals(engine);
	for (int i = 0; i < engine->touched; i++)
	{
		dwf_transfer_close(&engine->slots[i]);
		memset(&engine->slots[i], 0, sizeof(DwfSlot));
	}
	engine->touched = 0;
	dwf_pool_close_all(engine);
	leave_libcurl(engine);
}

void
dwf_http_abort(DwfEngine *engine)
{
	for (int i = 0; i < engine->touched; i++)
	{
		if (engine->slots[i].busy)
			clear_slot(engine, &engine->slots[i]);
	}
}
