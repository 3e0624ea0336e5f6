/*
 * http_server.h
 *	  The server that the tests of http.c talk to, and the loop for both.
 *
 * Client and server run in one process and in one loop over poll(): the
 * server acts on what it has read and never on time.  A script, one Step for
 * each request, says what it does.  All traffic stays on 127.0.0.1.
 */
#ifndef DWF_HTTP_SERVER_H
#define DWF_HTTP_SERVER_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/http.h"
#include "tap.h"

/* no test needs all of this */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define LENGTH(array)	((int) (sizeof(array) / sizeof((array)[0])))

/* Nothing here takes so long, milliseconds: an engine that waits is stuck. */
#define STUCK			10000

/* A test that hangs is ended after so many seconds. */
#define WATCHDOG		120

#define MAX_PEERS		32

/* Larger than what sockets buffer, so that it leaves in several pieces. */
#define LARGE			(8 * 1024 * 1024)

#define OK_REPLY \
	"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" \
	"Content-Length: 2\r\n\r\n{}"

/* What the server does with one request. */
typedef struct Step
{
	const char *answer;			/* NULL: none */
	size_t		answer_len;		/* 0: it ends with its NUL */
	size_t		act_at;			/* bytes of it that are enough; 0: all */
	enum
	{
		KEEP,					/* the connection */
		CLOSE,					/* after the answer */
		RESET					/* the same, by RST */
	}			then;
} Step;

/* A connection, seen from the server. */
typedef struct Peer
{
	int			fd;				/* -1: closed */
	int			port;			/* the client's */
	char	   *in;				/* the request that is coming in */
	size_t		in_len;
	size_t		in_size;
	size_t		whole;			/* the request's length; 0: not yet known */
	bool		acted;			/* on it */
	const Step *step;			/* NULL: not yet one */
	size_t		sent;			/* of step's answer */
} Peer;

/* The server: one listener, one script. */
static struct
{
	int			listener;
	int			port;
	Peer		peers[MAX_PEERS];
	int			accepted;		/* connections, in all */
	int			requests;		/* that have begun to come in */
	const Step *steps;			/* for each of them in turn */
	int			nsteps;
	char	   *last;			/* the last request read to its end */
	size_t		last_len;
}			server;

/* The step behind the last one: read, and never answer. */
static const Step hold = {NULL, 0, 0, KEEP};

/* Binds a socket to a port of its own on 127.0.0.1. */
static int
bind_port(int *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	len = sizeof(address);
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *) &address, len) != 0 ||
		getsockname(fd, (struct sockaddr *) &address, &len) != 0)
		abort();
	*port = ntohs(address.sin_port);
	return fd;
}

static void
start_server(const Step *steps, int nsteps)
{
	memset(&server, 0, sizeof(server));
	server.listener = bind_port(&server.port);
	if (listen(server.listener, MAX_PEERS) != 0)
		abort();
	fcntl(server.listener, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < MAX_PEERS; i++)
		server.peers[i].fd = -1;
	server.steps = steps;
	server.nsteps = nsteps;
}

static void
close_peer(Peer *peer, bool reset)
{
	struct linger hard = {1, 0};

	if (peer->fd < 0)
		return;
	if (reset)
		setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(peer->fd);
	peer->fd = -1;
	free(peer->in);
	peer->in = NULL;
}

static void
stop_server(void)
{
	for (int i = 0; i < MAX_PEERS; i++)
		close_peer(&server.peers[i], false);
	close(server.listener);
	free(server.last);
}

static void
accept_peers(void)
{
	struct sockaddr_in address;
	socklen_t	len = sizeof(address);
	int			fd;

	while ((fd = accept4(server.listener, (struct sockaddr *) &address, &len,
						 SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		if (server.accepted == MAX_PEERS)
			abort();
		server.peers[server.accepted++] =
			(Peer)
		{
			.fd = fd,.port = ntohs(address.sin_port)
		};
	}
}

/* Length of the request that begins at `in`; 0: its header is not there. */
static size_t
request_length(const char *in)
{
	const char *end = strstr(in, "\r\n\r\n");
	const char *length = strcasestr(in, "\r\nContent-Length:");
	size_t		body = 0;

	if (end == NULL)
		return 0;
	if (length != NULL && length < end)
		body = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
	return end + 4 - in + body;
}

/* A request begins to come in: its step. */
static const Step *
next_step(void)
{
	return server.requests++ < server.nsteps ?
		&server.steps[server.requests - 1] : &hold;
}

/* Reads all that is there; false at the end of the connection. */
static bool
read_peer(Peer *peer)
{
	static char buffer[65536];
	ssize_t		got;

	while ((got = read(peer->fd, buffer, sizeof(buffer))) > 0)
	{
		if (peer->step == NULL)
			peer->step = next_step();
		if (peer->in_len + got >= peer->in_size)
		{
			peer->in_size = 2 * (peer->in_len + got) + 1;
			peer->in = realloc(peer->in, peer->in_size);
		}
		memcpy(peer->in + peer->in_len, buffer, got);
		peer->in_len += got;
		peer->in[peer->in_len] = '\0';
	}
	return got < 0 && errno == EAGAIN;
}

/* Writes what the kernel takes of the answer; true when all of it is out. */
static bool
write_peer(Peer *peer)
{
	const Step *step = peer->step;
	size_t		len = step->answer_len;
	ssize_t		sent;

	if (len == 0 && step->answer != NULL)
		len = strlen(step->answer);
	while (peer->sent < len)
	{
		sent = send(peer->fd, step->answer + peer->sent, len - peer->sent,
					MSG_NOSIGNAL);
		if (sent < 0)
			return errno != EAGAIN;
		peer->sent += sent;
	}
	return true;
}

/* Does with a connection what its step says, as far as it goes. */
static void
serve_peer(Peer *peer)
{
	bool		open = read_peer(peer);
	size_t		act_at = 0;

	if (peer->step != NULL && peer->whole == 0)
		peer->whole = request_length(peer->in);
	if (peer->step != NULL)
		act_at = peer->step->act_at == 0 ? peer->whole : peer->step->act_at;
	if (act_at > 0 && peer->in_len >= act_at && !peer->acted)
	{
		peer->acted = true;
		if (peer->in_len == peer->whole)
		{
			server.last = realloc(server.last, peer->whole + 1);
			memcpy(server.last, peer->in, peer->whole + 1);
			server.last_len = peer->whole;
		}
	}
	if (peer->acted && write_peer(peer))
	{
		if (peer->step->then != KEEP)
		{
			close_peer(peer, peer->step->then == RESET);
			return;
		}
		/* ready for the next one, if this one got an answer */
		if (peer->step->answer != NULL)
		{
			size_t		used = peer->in_len < peer->whole ? peer->in_len :
			peer->whole;

			peer->in_len -= used;
			memmove(peer->in, peer->in + used, peer->in_len + 1);
			peer->step = peer->in_len > 0 ? next_step() : NULL;
			peer->whole = 0;
			peer->acted = false;
			peer->sent = 0;
		}
	}
	if (!open)
		close_peer(peer, false);
}

/* Answers, or closes, all requests that wait. */
static void
release_peers(const Step *step)
{
	for (int i = 0; i < server.accepted; i++)
	{
		Peer	   *peer = &server.peers[i];

		if (peer->fd >= 0 && peer->acted)
		{
			peer->step = step;
			peer->sent = 0;
			serve_peer(peer);
		}
	}
}

/*
 * One turn of client and server.  False when nothing happens any more though
 * the engine has given no time at which something would.
 */
static bool
turn(DwfEngine *engine)
{
	struct pollfd fds[MAX_PEERS + 2];
	int			count = 0;
	int			timeout = STUCK;
	int			ready;

	if (engine != NULL)
	{
		long		left = dwf_http_timeout_ms(engine);

		fds[count++] = (struct pollfd)
		{
			dwf_http_fd(engine), POLLIN, 0
		};
		if (left >= 0 && left < STUCK)
			timeout = (int) left;
	}
	fds[count++] = (struct pollfd)
	{
		server.listener, POLLIN, 0
	};
	for (int i = 0; i < server.accepted; i++)
	{
		Peer	   *peer = &server.peers[i];
		bool		writing = peer->acted && peer->step->answer != NULL;

		if (peer->fd >= 0)
			fds[count++] = (struct pollfd)
		{
			peer->fd, POLLIN | (writing ? POLLOUT : 0), 0
		};
	}
	ready = poll(fds, count, timeout);
	if (ready < 0 && errno != EINTR)
		abort();
	accept_peers();
	for (int i = 0; i < server.accepted; i++)
	{
		if (server.peers[i].fd >= 0)
			serve_peer(&server.peers[i]);
	}
	if (engine != NULL)
		dwf_http_drive(engine, fds[0].revents != 0);
	return ready != 0 || timeout < STUCK;
}

/*
 * Ends a test that hangs.  Not by alarm(): http.c blocks what signals it can,
 * and a call into libcurl that hangs is what the dog is to watch for.
 */
static void
start_watchdog(void)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL,.sigev_signo = SIGKILL
	};
	struct itimerspec after = {.it_value = {.tv_sec = WATCHDOG}};
	timer_t		timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
		timer_settime(timer, 0, &after, NULL) != 0)
		abort();
}

/* What finish() says of an exchange that never ends. */
static const DwfExchange stuck = {
	.phase = (DwfPhase) -1,.curl_error = "stuck",.content_type = "",
	.location = "",.retry_after = "",
};

/* Runs both until an exchange has ended, or is stuck. */
static const DwfExchange *
finish(DwfEngine *engine)
{
	const DwfExchange *exchange;

	while ((exchange = dwf_http_harvest(engine)) == NULL)
	{
		if (!turn(engine))
			return &stuck;
	}
	return exchange;
}

/* Gives an exchange back. */
static void
drop(DwfEngine *engine, const DwfExchange *exchange)
{
	if (exchange == &stuck)
		dwf_http_abort(engine);
	else
		dwf_http_release(engine, exchange);
}

/* Runs both until the server has acted on `count` requests, held open. */
static void
wait_for_held(DwfEngine *engine, int count)
{
	int			held;

	do
	{
		if (!turn(engine))
			return;
		held = 0;
		for (int i = 0; i < server.accepted; i++)
			held += server.peers[i].fd >= 0 && server.peers[i].acted;
	} while (held < count);
}

/* Descriptors of this process that pass a test; `found` gets the last. */
static int
count_descriptors(bool (*passes) (int fd), int *found)
{
	DIR		   *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int			count = 0;

	while ((entry = readdir(dir)) != NULL)
	{
		int			fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || fd == dirfd(dir) || !passes(fd))
			continue;
		count++;
		if (found != NULL)
			*found = fd;
	}
	closedir(dir);
	return count;
}

static bool
is_any(int fd)
{
	return fd >= 0;
}

/* Whether a descriptor is the client's end of a connection to the server. */
static bool
is_client(int fd)
{
	struct sockaddr_in address;
	socklen_t	len = sizeof(address);

	return getpeername(fd, (struct sockaddr *) &address, &len) == 0 &&
		address.sin_family == AF_INET &&
		ntohs(address.sin_port) == server.port;
}

/* Ends the engine, and then lets the server see all that was ever sent. */
static void
destroy_and_drain(DwfEngine *engine)
{
	int			marker = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {
		.sin_family = AF_INET,.sin_port = htons(server.port)
	};
	socklen_t	len = sizeof(address);
	int			open;
	bool		marked = false;

	dwf_http_destroy(engine);

	/* whatever connected came into the listener's queue before this one */
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	connect(marker, (struct sockaddr *) &address, len);
	getsockname(marker, (struct sockaddr *) &address, &len);
	do
	{
		open = 0;
		if (!turn(NULL))
			break;
		for (int i = 0; i < server.accepted; i++)
		{
			if (server.peers[i].port == ntohs(address.sin_port))
				marked = true;
			else
				open += server.peers[i].fd >= 0;
		}
	} while (open > 0 || !marked);
	close(marker);
}

/* Sends bytes that nobody asked for on every open connection. */
static void
say(const char *text)
{
	for (int i = 0; i < server.accepted; i++)
	{
		if (server.peers[i].fd >= 0)
			send(server.peers[i].fd, text, strlen(text), MSG_NOSIGNAL);
	}
}

/* A request to the server, to be changed where a test needs it. */
static DwfHttpRequest
make_request(size_t body_len)
{
	static const char *const headers[] = {
		"Content-Type: application/json", "X-DOMO-Developer-Token: secret",
		"Expect:", NULL,
	};
	DwfHttpRequest request = {
		.headers = headers,.proxy = "",.ca_file = "",.connect_timeout = 30000,
		.timeout = 60000,.max_response = 1024 * 1024,.body_len = body_len,
	};

	if (asprintf(&request.url, "http://127.0.0.1:%d/path?q=1",
				 server.port) < 0)
		abort();
	if (body_len > 0)
	{
		request.body = malloc(body_len + 1);
		memset(request.body, 'x', body_len);
	}
	return request;
}

/* Sends a request, and waits for what becomes of it. */
static const DwfExchange *
ask(DwfEngine *engine, DwfHttpRequest request)
{
	if (!dwf_http_submit(engine, &request))
		abort();
	return finish(engine);
}

static DwfEngine *
create(int slots)
{
	const char *why;
	DwfEngine  *engine = dwf_http_create(slots, &why);

	if (engine == NULL)
		abort();
	return engine;
}

/* Where it depends on libcurl's version. */
#define ANY_CODE	(-1)

/* Tests how far an exchange came. */
static void
check(const DwfExchange *exchange, DwfPhase phase, int curl_code,
	  int http_status, const char *name)
{
	is_int(exchange->phase, phase, "%s: phase", name);
	is_int(exchange->curl_code,
		   curl_code == ANY_CODE ? (int) exchange->curl_code : curl_code,
		   "%s: libcurl's code", name);
	is_int(exchange->http_status, http_status, "%s: status", name);
	if (exchange->phase != phase)
		diag("%s", exchange->curl_error);
}

#endif							/* DWF_HTTP_SERVER_H */
