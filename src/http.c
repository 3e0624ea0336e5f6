/*
 * http.c
 *	  HTTP over libcurl's multi interface, event driven.
 *
 * Error model.  Nothing here can throw: the file knows no PostgreSQL, memory
 * is malloc's, and callbacks only write down what they see.  Callers read a
 * DwfExchange and decide.  Whatever happens to a caller, one call of
 * dwf_http_abort() leaves the engine clean.
 *
 * Ownership.  An engine owns everything: one multi handle, one epoll
 * descriptor, and slots.  A slot owns an easy handle for the engine's life
 * (it keeps the parsed CA store and options warm) and, from submit to
 * release, the request's URL, body and headers and the reply.
 *
 *		free --submit--> busy --(libcurl is done)--> done --release--> free
 *						  |									 ^
 *						  +---------- abort -----------------+
 *
 * Waiting.  libcurl tells its sockets and its next timeout to watch_socket()
 * and set_timer(); the sockets live in one epoll set, whose descriptor any
 * caller can wait on together with whatever else it waits for.
 *
 * No request is ever sent twice.  libcurl by itself sends a request again
 * when a kept connection turns out to be closed before the first byte of the
 * reply, and reports one success.  Its pre-request callback is called each
 * time before a request is written (CURLOPT_PREREQFUNCTION, 7.80), so
 * allow_request() lets a second time pass only if not a byte of the first was
 * accepted by the kernel or, over TLS, no complete record.  This covers a
 * POST without a body as well, for which libcurl needs no rewind and the
 * read-callback method of API.md would not help.  And nothing is written on a
 * kept connection on which bytes wait already: they would pass for the reply.
 * Such a request begins again on a new connection.  HTTP/2 has more reasons to
 * send again, so HTTP/1.1 is asked for.
 *
 * Signals.  libcurl's resolver is a thread; it inherits the signal mask of
 * the moment, and PostgreSQL's handlers must never run in it.  All signals
 * are blocked around every call that can start one.  CURLOPT_QUICK_EXIT lets
 * us leave a thread behind that hangs in a resolver.
 */
#include "http.h"
#include "transfer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Events taken from the kernel in one go. */
#define MAX_EVENTS			64

struct DwfEngine
{
	CURLM	   *multi;
	int			epoll_fd;
	int64_t		deadline;		/* microseconds, monotonic; -1: none */
	bool		is_blind;		/* the kernel refused to watch a socket */
	int			in_use;
	DwfSockets	sockets;
	int			nslots;
	DwfSlot		slots[];
};

static void block_signals(sigset_t *saved);
static void restore_signals(const sigset_t *saved);
static void clear_slot(DwfEngine *engine, DwfSlot *slot);
static int	watch_socket(CURL *easy, curl_socket_t fd, int what,
						 void *engine, void *known);
static int	set_timer(CURLM *multi, long timeout_ms, void *engine);
static void fail_all(DwfEngine *engine);
static void mark_finished(DwfEngine *engine);
static bool restart_slot(DwfEngine *engine, DwfSlot *slot);

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

DwfEngine *
dwf_http_create(int slots, const char **why)
{
	DwfEngine  *engine;

	*why = "out of memory";
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
	{
		*why = "libcurl could not be initialized";
		return NULL;
	}
	engine = calloc(1, sizeof(DwfEngine) + slots * sizeof(DwfSlot));
	if (engine == NULL)
		return NULL;
	engine->nslots = slots;
	engine->deadline = -1;
	engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (engine->epoll_fd < 0)
		*why = strerror(errno);
	else if ((engine->multi = curl_multi_init()) != NULL)
	{
		curl_multi_setopt(engine->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
		curl_multi_setopt(engine->multi, CURLMOPT_SOCKETDATA, engine);
		curl_multi_setopt(engine->multi, CURLMOPT_TIMERFUNCTION, set_timer);
		curl_multi_setopt(engine->multi, CURLMOPT_TIMERDATA, engine);
		curl_multi_setopt(engine->multi, CURLMOPT_MAXCONNECTS, (long) slots);
		curl_multi_setopt(engine->multi, CURLMOPT_PIPELINING,
						  CURLPIPE_NOTHING);
		return engine;
	}
	dwf_http_destroy(engine);
	return NULL;
}

void
dwf_http_destroy(DwfEngine *engine)
{
	sigset_t	saved;

	if (engine == NULL)
		return;
	dwf_http_abort(engine);
	block_signals(&saved);
	for (int i = 0; i < engine->nslots; i++)
		curl_easy_cleanup(engine->slots[i].easy);
	if (engine->multi != NULL)
		curl_multi_cleanup(engine->multi);
	restore_signals(&saved);
	if (engine->epoll_fd >= 0)
		close(engine->epoll_fd);
	free(engine->sockets.items);
	free(engine);
}

bool
dwf_http_submit(DwfEngine *engine, const DwfHttpRequest *request)
{
	DwfSlot    *slot = engine->slots;
	sigset_t	saved;
	bool		ok;

	while (slot->busy)
		slot++;
	slot->busy = true;
	engine->in_use++;
	slot->url = request->url;
	slot->body = request->body;
	slot->body_len = request->body_len;

	block_signals(&saved);
	ok = dwf_transfer_prepare(slot, &engine->sockets) && dwf_transfer_set_request(slot, request) &&
		curl_multi_add_handle(engine->multi, slot->easy) == CURLM_OK;
	slot->attached = ok;
	restore_signals(&saved);
	if (!ok)
		clear_slot(engine, slot);
	return ok;
}

/* Frees what a slot holds for one request; its easy handle stays. */
static void
clear_slot(DwfEngine *engine, DwfSlot *slot)
{
	CURL	   *easy = slot->easy;
	sigset_t	saved;

	if (slot->attached)
	{
		block_signals(&saved);
		curl_multi_remove_handle(engine->multi, easy);
		restore_signals(&saved);
	}
	free(slot->url);
	free(slot->body);
	free(slot->reply);
	curl_slist_free_all(slot->headers);
	memset(slot, 0, sizeof(*slot));
	slot->easy = easy;
	engine->in_use--;
}

int
dwf_http_in_use(const DwfEngine *engine)
{
	return engine->in_use;
}

int
dwf_http_fd(const DwfEngine *engine)
{
	return engine->epoll_fd;
}

long
dwf_http_timeout_ms(const DwfEngine *engine)
{
	int64_t		left;

	if (engine->deadline < 0)
		return -1;
	left = engine->deadline - dwf_transfer_now();
	return left <= 0 ? 0 : (long) ((left + 999) / 1000);
}

/* libcurl's socket callback: keeps the epoll set as libcurl wants it. */
static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	DwfEngine  *engine = arg;
	struct epoll_event event = {0};
	int			op = known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (what & CURL_POLL_IN && what != CURL_POLL_REMOVE)
		dwf_transfer_note_reading(easy, fd);
	if (what == CURL_POLL_REMOVE)
	{
		/* may be closed already: then the kernel has taken it out */
		epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.data.fd = fd;
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(engine->epoll_fd, op, fd, &event) != 0)
	{
		engine->is_blind = true;
		return 0;
	}
	curl_multi_assign(engine->multi, fd, engine);
	return 0;
}

/* libcurl's timer callback: when to be called next. */
static int
set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	DwfEngine  *engine = arg;

	(void) multi;
	engine->deadline = timeout_ms < 0 ? -1 :
		dwf_transfer_now() + (int64_t) timeout_ms * 1000;
	return 0;
}

void
dwf_http_drive(DwfEngine *engine)
{
	struct epoll_event events[MAX_EVENTS];
	int			count;
	int			running;
	sigset_t	saved;

	block_signals(&saved);
	count = epoll_wait(engine->epoll_fd, events, MAX_EVENTS, 0);
	for (int i = 0; i < count; i++)
	{
		int			what = 0;

		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		curl_multi_socket_action(engine->multi, events[i].data.fd, what,
								 &running);
	}
	if (engine->deadline >= 0 && engine->deadline <= dwf_transfer_now())
	{
		engine->deadline = -1;
		curl_multi_socket_action(engine->multi, CURL_SOCKET_TIMEOUT, 0,
								 &running);
	}
	restore_signals(&saved);
	mark_finished(engine);
	if (engine->is_blind)
		fail_all(engine);
}

/*
 * Ends every transfer: one of the sockets is not watched, so that we would
 * wait for it for ever.  Each keeps the phase that it came to.
 */
static void
fail_all(DwfEngine *engine)
{
	sigset_t	saved;

	engine->is_blind = false;
	for (int i = 0; i < engine->nslots; i++)
	{
		DwfSlot    *slot = &engine->slots[i];

		if (!slot->busy || slot->done)
			continue;
		dwf_transfer_fill_exchange(slot, CURLE_OUT_OF_MEMORY, true);
		slot->done = true;
		slot->attached = false;
		block_signals(&saved);
		curl_multi_remove_handle(engine->multi, slot->easy);
		restore_signals(&saved);
	}
}

static void
mark_finished(DwfEngine *engine)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(engine->multi, &left)) != NULL)
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
	sigset_t	saved;

	block_signals(&saved);
	curl_multi_remove_handle(engine->multi, slot->easy);
	dwf_transfer_restart(slot);
	slot->attached = curl_multi_add_handle(engine->multi,
										   slot->easy) == CURLM_OK;
	restore_signals(&saved);
	return slot->attached;
}

const DwfExchange *
dwf_http_harvest(DwfEngine *engine)
{
	for (int i = 0; i < engine->nslots; i++)
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
	for (int i = 0; i < engine->nslots; i++)
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
dwf_http_trim(DwfEngine *engine)
{
	for (int i = 1; i < engine->sockets.count; i++)
	{
		for (int j = 0; j < i; j++)
		{
			if (dwf_transfer_same_peer(&engine->sockets, i, j))
			{
				/* libcurl finds it dead when it looks for a connection */
				shutdown(engine->sockets.items[i].fd, SHUT_RDWR);
				break;
			}
		}
	}
}

void
dwf_http_abort(DwfEngine *engine)
{
	for (int i = 0; i < engine->nslots; i++)
	{
		if (engine->slots[i].busy)
			clear_slot(engine, &engine->slots[i]);
	}
}
