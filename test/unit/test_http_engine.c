/*
 * test_http_engine.c
 *	  Unit tests of http.c and transfer.c: the life of an engine.
 *
 * An engine lives in a backend for weeks, next to signal handlers that must
 * run in no thread but the backend's own, and statements that end at any time.
 * So: what is given up leaves nothing behind, a resolver that hangs holds
 * nobody up, and what the kernel refuses does not make anyone wait for ever.
 *
 * No name is ever looked up here: getaddrinfo() is ours.
 */
#include <sys/epoll.h>

static int	failing_epoll_ctl(int epoll_fd, int op, int fd,
							  struct epoll_event *event);

/* what the kernel may refuse is tried too */
#define epoll_ctl	failing_epoll_ctl
#include "../../src/http/http.c"
#include "../../src/http/keylog.c"
#include "../../src/http/pool.c"
#undef epoll_ctl
#include "../../src/http/sockets.c"
#include "../../src/http/transfer.c"

#include <dlfcn.h>
#include <netdb.h>
#include <sched.h>
#include <sys/resource.h>

#include "http_server.h"

#define PARTIAL_REPLY	"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"

/* What our getaddrinfo() does, and what it saw. */
static struct
{
	int			gate[2];		/* pipe: a byte lets one look-up go on */
	bool		waits;			/* at the gate */
	bool		fails;			/* no such name */
	bool		raises;			/* send SIGUSR1 to the process */
	volatile int calls;
	volatile int returns;
	volatile bool same_thread;
	volatile bool blocked;		/* all signals were */
}			resolver;

static pthread_t main_thread;
static volatile sig_atomic_t signals_here;
static volatile sig_atomic_t signals_elsewhere;

/* epoll_ctl() calls that are to fail from now on. */
static int	epoll_failures;

static int
failing_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
	if (epoll_failures > 0 && op != EPOLL_CTL_DEL)
	{
		epoll_failures--;
		errno = ENOSPC;
		return -1;
	}
	return epoll_ctl(epoll_fd, op, fd, event);
}

static void
count_signal(int signal_number)
{
	(void) signal_number;
	if (pthread_equal(pthread_self(), main_thread))
		signals_here++;
	else
		signals_elsewhere++;
}

/* Whether the calling thread blocks every signal that it can block. */
static bool
blocks_all_signals(void)
{
	sigset_t	mask;

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	for (int s = 1; s <= SIGRTMAX; s++)
	{
		/* some are the C library's own */
		if (s != SIGKILL && s != SIGSTOP && (s < 32 || s >= SIGRTMIN) &&
			!sigismember(&mask, s))
			return false;
	}
	return true;
}

/*
 * Takes the C library's place, also for libcurl: no name leaves the machine.
 * Every name is 127.0.0.1, or none at all.
 */
int
getaddrinfo(const char *name, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	int			(*real) (const char *, const char *, const struct addrinfo *,
						 struct addrinfo **);
	struct addrinfo numeric = {
		.ai_family = AF_INET,.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST
	};
	char		byte;
	int			status;

	(void) name;
	(void) hints;
	*(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
	resolver.same_thread = pthread_equal(pthread_self(), main_thread);
	resolver.blocked = blocks_all_signals();
	__atomic_add_fetch(&resolver.calls, 1, __ATOMIC_SEQ_CST);
	if (resolver.raises)
		kill(getpid(), SIGUSR1);
	if (resolver.waits && read(resolver.gate[0], &byte, 1) != 1)
		abort();
	status = resolver.fails ? EAI_NONAME :
		real("127.0.0.1", service, &numeric, result);
	__atomic_add_fetch(&resolver.returns, 1, __ATOMIC_SEQ_CST);
	return status;
}

/*
 * Lets all lookups that wait go on, and waits until none is left.  libcurl from
 * 8.20 keeps its threads and may look a name up in two of them at once.
 */
static void
end_lookups(void)
{
	struct pollfd gate = {.fd = resolver.gate[0],.events = POLLIN};
	char		byte = 'x';

	resolver.waits = false;
	while (resolver.calls > resolver.returns)
	{
		if (poll(&gate, 1, 0) == 0 && write(resolver.gate[1], &byte, 1) != 1)
			abort();
		sched_yield();
	}
	while (poll(&gate, 1, 0) == 1)
	{
		if (read(resolver.gate[0], &byte, 1) != 1)
			abort();
	}
}

/* A request by a name that libcurl has not yet in its cache. */
static DwfHttpRequest
make_named_request(void)
{
	static int	number = 0;
	DwfHttpRequest request = make_request(100);

	free(request.url);
	if (asprintf(&request.url, "http://acme%d.invalid:%d/", number++,
				 server.port) < 0)
		abort();
	return request;
}

/* Submits `count` requests of which the test hears later. */
static void
submit(DwfEngine *engine, int count, void *owner)
{
	for (int i = 0; i < count; i++)
	{
		DwfHttpRequest request = make_request(100);

		request.owner = owner;
		if (!dwf_http_submit(engine, &request))
			abort();
	}
}

/* What can be waited for in place of the engine's descriptor. */
static void
test_socket(void)
{
	static const Step keep = {OK_REPLY, 0, 0, KEEP};
	static const Step reset = {OK_REPLY, 0, 0, RESET};
	DwfEngine  *engine = create(2);
	uint64_t	number = 0;
	uint64_t	again = 0;
	struct pollfd socket = {.events = POLLIN};

	start_server(NULL, 0);
	is_int(dwf_http_socket(engine, &number), -1, "a new engine has no socket");
	submit(engine, 1, NULL);
	is_int(dwf_http_socket(engine, &number), -1,
		   "nor one that is not yet connected");
	wait_for_held(engine, 1);
	socket.fd = dwf_http_socket(engine, &number);
	ok(socket.fd != -1 && number != 0, "one that waits for a reply has");
	is_int(poll(&socket, 1, 0), 0, "there is none yet");
	release_peers(&keep);
	is_int(poll(&socket, 1, STUCK), 1, "now there is");
	dwf_http_drive(engine, true);
	drop(engine, dwf_http_harvest(engine));
	is_int(dwf_http_socket(engine, &again), socket.fd, "an idle one is kept");
	ok(again == number, "with its number");

	submit(engine, 2, NULL);
	wait_for_held(engine, 2);
	is_int(dwf_http_socket(engine, &again), -1, "two are not one");
	release_peers(&keep);
	for (int i = 0; i < 2; i++)
		drop(engine, finish(engine));
	is_int(dwf_http_socket(engine, &again), -1, "not even when idle");
	destroy_and_drain(engine);

	engine = create(1);
	submit(engine, 1, NULL);
	wait_for_held(engine, 1);
	dwf_http_socket(engine, &number);
	release_peers(&reset);
	drop(engine, finish(engine));
	submit(engine, 1, NULL);
	wait_for_held(engine, 1);
	ok(dwf_http_socket(engine, &again) != -1 && again != number,
	   "a later one has another number");
	dwf_http_abort(engine);
	destroy_and_drain(engine);
	stop_server();
}

/* Sends a request for a pool and takes its reply. */
static void
ask_in_pool(DwfEngine *engine, uint64_t pool)
{
	DwfHttpRequest request = make_request(100);

	request.pool = pool;
	if (!dwf_http_submit(engine, &request))
		abort();
	check(finish(engine), DWF_PHASE_COMPLETE, 0, 200, "a request of a pool");
	dwf_http_abort(engine);
}

/* Connections are kept for requests of the same pool only. */
static void
test_pools(void)
{
	static const Step keep = {OK_REPLY, 0, 0, KEEP};
	Step		steps[32];
	DwfEngine  *engine = create(2);
	int			accepted;

	for (int i = 0; i < LENGTH(steps); i++)
		steps[i] = keep;
	start_server(steps, LENGTH(steps));
	for (int i = 0; i < 3; i++)
	{
		ask_in_pool(engine, 1);
		ask_in_pool(engine, 2);
	}
	is_int(server.accepted, 2, "two pools have a connection each");

	/* two slots: no more connections are kept than these */
	ask_in_pool(engine, 3);
	accepted = server.accepted;
	ask_in_pool(engine, 3);
	is_int(server.accepted, accepted, "a third one is kept");
	is_int(engine->sockets.count, 2, "and takes the place of the first");
	ask_in_pool(engine, 1);
	is_int(server.accepted, accepted + 1, "which begins again");
	destroy_and_drain(engine);
	stop_server();
}

static void
test_slots(void)
{
	static const Step steps[] = {
		{OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP},
	};
	DwfEngine  *engine = create(3);
	const DwfExchange *exchange;
	bool		seen[3] = {false};

	start_server(steps, LENGTH(steps));
	is_int(dwf_http_in_use(engine), 0, "a new engine has no slot in use");
	ok(dwf_http_harvest(engine) == NULL, "nor anything to harvest");
	is_int(dwf_http_timeout_ms(engine), -1, "nor a time to be called at");
	for (int i = 0; i < 3; i++)
		submit(engine, 1, &seen[i]);
	is_int(dwf_http_in_use(engine), 3, "three are in use");
	for (int i = 0; i < 3; i++)
	{
		exchange = finish(engine);
		ok(!*(bool *) exchange->owner, "exchange %d comes once", i);
		*(bool *) exchange->owner = true;
		if (i > 0)
			drop(engine, exchange);
	}
	ok(dwf_http_harvest(engine) == NULL, "there is no fourth");
	is_int(dwf_http_in_use(engine), 1, "the one not released is in use");
	dwf_http_abort(engine);
	is_int(dwf_http_in_use(engine), 0, "and given up by an abort");
	dwf_http_abort(engine);
	destroy_and_drain(engine);
	stop_server();
	dwf_http_destroy(NULL);
}

/* What libcurl does not take is told at once, and its memory freed. */
static void
test_refused_submit(void)
{
	DwfEngine  *engine = create(1);
	DwfHttpRequest request;

	start_server(NULL, 0);
	for (int i = 0; i < 3; i++)
	{
		request = make_request(100);
		request.url = realloc(request.url, 9 * 1000 * 1000);
		memset(request.url, 'a', 9 * 1000 * 1000 - 1);
		request.url[9 * 1000 * 1000 - 1] = '\0';
		ok(!dwf_http_submit(engine, &request), "a URL of 9 MB is not taken");
		is_int(dwf_http_in_use(engine), 0, "it needs no slot");
	}
	dwf_http_destroy(engine);
	stop_server();
}

/* Counts exchanges by phase. */
static void
count_phase(const DwfExchange *exchange, void *arg)
{
	int		   *counts = arg;

	counts[exchange->phase]++;
}

/* What an interrupted statement has to say about each request. */
static void
test_pending(void)
{
	static const Step steps[] = {
		{NULL, 0, 0, KEEP}, {PARTIAL_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP},
	};
	DwfEngine  *engine = create(4);
	DwfHttpRequest request;
	int			counts[4] = {0};

	start_server(steps, LENGTH(steps));
	submit(engine, 1, NULL);
	wait_for_held(engine, 1);
	submit(engine, 1, NULL);
	while (engine->slots[1].reply_len == 0 && turn(engine))
		;
	submit(engine, 1, NULL);
	while (!engine->slots[2].done && turn(engine))
		;
	resolver.waits = true;
	request = make_named_request();
	if (!dwf_http_submit(engine, &request))
		abort();
	while (resolver.calls == 0)
		dwf_http_drive(engine, true);

	dwf_http_each_pending(engine, count_phase, counts);
	is_int(counts[DWF_PHASE_UNSENT], 1, "one waits for its name");
	is_int(counts[DWF_PHASE_SENT], 1, "one for its reply");
	is_int(counts[DWF_PHASE_STATUS], 1, "one for the rest of it");
	is_int(counts[DWF_PHASE_COMPLETE], 1, "one to be harvested");
	if (dwf_http_harvest(engine) == NULL)
		abort();
	memset(counts, 0, sizeof(counts));
	dwf_http_each_pending(engine, count_phase, counts);
	is_int(counts[DWF_PHASE_COMPLETE], 0, "what was harvested is not pending");

	/* this would hang if it waited for the resolver */
	dwf_http_abort(engine);
	ok(true, "an abort does not wait for a resolver that hangs");
	is_int(count_descriptors(is_client, NULL), 1,
		   "what was in flight is closed, what is idle kept");
	destroy_and_drain(engine);
	ok(true, "... nor does the end of the engine");
	end_lookups();
	is_int(server.requests, 3, "the one that waited was never sent");
	stop_server();
}

/* Descriptors, over many statements that were interrupted at any stage. */
static void
test_descriptors(void)
{
	static const Step steps[] = {
		{NULL, 0, 0, KEEP}, {PARTIAL_REPLY, 0, 0, KEEP}, {NULL, 0, 1, KEEP},
	};
	int			before = count_descriptors(is_any, NULL);
	int			wrong = 0;

	for (int stage = 0; stage < 20; stage++)
	{
		DwfEngine  *engine;
		DwfHttpRequest large;
		int			idle;

		start_server(steps, LENGTH(steps));
		engine = create(4);
		idle = count_descriptors(is_any, NULL);
		submit(engine, 3, NULL);
		large = make_request(LARGE);
		if (!dwf_http_submit(engine, &large))
			abort();
		for (int i = 0; i < stage; i++)
			turn(engine);
		dwf_http_abort(engine);
		if (count_descriptors(is_client, NULL) != 0 ||
			dwf_http_in_use(engine) != 0)
			wrong++;
		for (int i = 0; i < MAX_PEERS; i++)
			close_peer(&server.peers[i], false);
		if (count_descriptors(is_any, NULL) != idle)
			wrong++;
		dwf_http_destroy(engine);
		stop_server();
	}
	is_int(wrong, 0, "an abort leaves no connection, at any stage");
	is_int(count_descriptors(is_any, NULL), before,
		   "an engine's end leaves no descriptor");
}

/* Whether it is a connection of ours that neither side has ended. */
static bool
is_standing(int fd)
{
	struct pollfd pollfd = {fd, POLLRDHUP, 0};

	return is_client(fd) && poll(&pollfd, 1, 0) == 0;
}

/* An idle backend holds one connection, however many it had in use. */
static void
test_trim(void)
{
	static const Step answer = {OK_REPLY, 0, 0, KEEP};
	DwfEngine  *engine = create(4);

	start_server(NULL, 0);
	submit(engine, 4, NULL);
	wait_for_held(engine, 4);
	is_int(count_descriptors(is_client, NULL), 4, "four connections are used");
	release_peers(&answer);
	for (int i = 0; i < 4; i++)
		drop(engine, finish(engine));
	is_int(count_descriptors(is_client, NULL), 4, "and kept");
	dwf_http_trim(engine);
	is_int(count_descriptors(is_standing, NULL), 1, "one of them stays when trimmed");
	is_int(dwf_http_in_use(engine), 0, "by no slot");

	/* what was ended is found dead, and made anew */
	for (int i = 0; i < 4; i++)
	{
		submit(engine, 4, NULL);
		wait_for_held(engine, 4);
		release_peers(&answer);
		for (int n = 0; n < 4; n++)
			drop(engine, finish(engine));
		is_int(count_descriptors(is_client, NULL), 4, "four are kept again");
	}
	is_int(server.accepted, 7, "three new connections were made");
	destroy_and_drain(engine);
	stop_server();
}

/* A process's handlers must not find themselves in libcurl's thread. */
static void
test_signals(void)
{
	static const Step steps[] = {
		{OK_REPLY, 0, 0, CLOSE}, {OK_REPLY, 0, 0, CLOSE},
	};
	struct sigaction action = {.sa_handler = count_signal};
	int			calls = resolver.calls;
	DwfEngine  *engine = create(1);
	sigset_t	mask;

	sigaction(SIGUSR1, &action, NULL);
	start_server(steps, LENGTH(steps));
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	resolver.raises = true;
	for (int i = 0; i < 20; i++)
	{
		resolver.fails = i >= LENGTH(steps);
		drop(engine, ask(engine, make_named_request()));
	}
	resolver.raises = false;
	resolver.fails = false;
	end_lookups();
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	ok(resolver.calls - calls >= 20, "names were looked up");
	ok(!resolver.same_thread, "by a thread");
	ok(resolver.blocked, "that blocks all signals");
	ok(signals_here > 0, "signals came to the main thread");
	is_int(signals_elsewhere, 0, "and to no other");
	ok(sigismember(&mask, SIGUSR2) && !sigismember(&mask, SIGUSR1) &&
	   !sigismember(&mask, SIGTERM), "the mask is as it was");
	destroy_and_drain(engine);
	stop_server();
}

static void
test_names(void)
{
	static const Step step = {OK_REPLY, 0, 0, KEEP};
	DwfEngine  *engine = create(1);
	DwfHttpRequest request;

	start_server(&step, 1);
	resolver.fails = true;
	check(ask(engine, make_named_request()), DWF_PHASE_UNSENT,
		  CURLE_COULDNT_RESOLVE_HOST, 0, "a name that does not exist");
	dwf_http_abort(engine);

	resolver.waits = true;
	request = make_named_request();
	request.connect_timeout = 100;
	check(ask(engine, request), DWF_PHASE_UNSENT, CURLE_OPERATION_TIMEDOUT, 0,
		  "a name that nobody answers for");
	dwf_http_abort(engine);
	end_lookups();

	resolver.fails = false;
	check(ask(engine, make_named_request()), DWF_PHASE_COMPLETE, 0, 200,
		  "a name that does");
	destroy_and_drain(engine);
	is_int(server.requests, 1, "only this one was sent");
	stop_server();
}

/*
 * When the kernel takes no more descriptors into an epoll set, libcurl stops
 * working on everything.  Each exchange has to end all the same: a worker
 * would wait for ever.
 */
static void
test_epoll_fails(void)
{
	static const Step steps[] = {
		{OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP},
	};
	DwfEngine  *engine = create(2);
	const DwfExchange *exchange;

	start_server(steps, LENGTH(steps));
	epoll_failures = 1;
	exchange = ask(engine, make_request(100));
	is_int(exchange->phase, DWF_PHASE_UNSENT, "a request ends as not sent");
	drop(engine, exchange);
	epoll_failures = 0;
	check(ask(engine, make_request(100)), DWF_PHASE_COMPLETE, 0, 200,
		  "the next one");
	dwf_http_abort(engine);
	destroy_and_drain(engine);
	stop_server();
}

/* Each step of a whole exchange has its time. */
static void
test_timings(void)
{
	static const Step steps[] = {
		{OK_REPLY, 0, 0, KEEP}, {OK_REPLY, 0, 0, KEEP},
	};
	DwfEngine  *engine = create(1);

	start_server(steps, LENGTH(steps));
	for (int i = 0; i < LENGTH(steps); i++)
	{
		const DwfExchange *exchange = ask(engine, make_request(100));
		const DwfTimings *t = &exchange->timings;

		ok(t->resolve >= 0 && t->connect >= 0 && t->send >= 0 &&
		   t->wait >= 0 && t->receive >= 0,
		   "each step has a time, on a %s connection", i == 0 ? "new" : "kept");
		is_int(t->tls, -1, "but for TLS");
		drop(engine, exchange);
	}
	destroy_and_drain(engine);
	stop_server();
}

/*
 * A process that is kept from running finds its time over and a reply in its
 * socket: that one counts, and no time is given beyond it.
 */
static void
test_late(void)
{
	static const Step keep = {OK_REPLY, 0, 0, KEEP};
	static const Step partial = {PARTIAL_REPLY, 0, 0, KEEP};
	DwfEngine  *engine = create(1);
	struct pollfd ready = {.fd = dwf_http_fd(engine),.events = POLLIN};
	const Step *const replies[] = {&keep, &partial, NULL};
	static const struct
	{
		DwfPhase	phase;
		int			code;
		int			status;
	}			expected[] = {
		{DWF_PHASE_COMPLETE, CURLE_OK, 200},
		{DWF_PHASE_STATUS, CURLE_OPERATION_TIMEDOUT, 200},
		{DWF_PHASE_SENT, CURLE_OPERATION_TIMEDOUT, 0},
	};

	start_server(NULL, 0);
	for (int i = 0; i < LENGTH(replies); i++)
	{
		submit(engine, 1, NULL);
		wait_for_held(engine, 1);
		if (replies[i] != NULL)
		{
			release_peers(replies[i]);
			is_int(poll(&ready, 1, STUCK), 1, "a reply is there, %d", i);
		}
		engine->slots[0].ends_at = 1;
		is_int(dwf_http_timeout_ms(engine), 0, "... its time is over");
		check(finish(engine), expected[i].phase, expected[i].code,
			  expected[i].status, "... what is there is read");
		dwf_http_abort(engine);
	}
	destroy_and_drain(engine);
	stop_server();
}

/*
 * What is there when the time is over may be read for as long as that takes, but
 * not without end: a peer that goes on sending would keep the transfer.
 */
static void
test_over(void)
{
	DwfSlot		slot = {.fd = -1,.ends_at = 1000};

	ok(!dwf_transfer_is_over(&slot, 999, true), "time that is not over");
	ok(dwf_transfer_is_over(&slot, 1000, false), "is over with nothing to read");
	ok(!dwf_transfer_is_over(&slot, 1000, true), "but not while there is");
	ok(!dwf_transfer_is_over(&slot, 1000 + READ_TIME - 1, true), "for a while");
	ok(dwf_transfer_is_over(&slot, 1000 + READ_TIME, true), "and no longer");
	ok(dwf_transfer_is_over(&slot, 1001, false), "it ends when all is read");
	slot.ends_at = 0;
	ok(!dwf_transfer_is_over(&slot, INT64_MAX, false), "no time, no end");
}

/* A name that nobody answers for, when the time of the whole is over. */
static void
test_over_unconnected(void)
{
	DwfEngine  *engine = create(1);
	DwfHttpRequest request;
	const DwfExchange *exchange;

	start_server(NULL, 0);
	resolver.waits = true;
	request = make_named_request();
	if (!dwf_http_submit(engine, &request))
		abort();
	turn(engine);
	engine->slots[0].ends_at = 1;
	exchange = finish(engine);
	check(exchange, DWF_PHASE_UNSENT, CURLE_OPERATION_TIMEDOUT, 0,
		  "its time is over before there is a connection");
	ok(strncmp(exchange->curl_error, "Connection timed out after ", 27) == 0,
	   "and the text says so");
	dwf_http_abort(engine);
	end_lookups();
	destroy_and_drain(engine);
	stop_server();
}

/* A process without a free descriptor sends nothing, and says why. */
static void
test_no_descriptor(void)
{
	static const Step step = {OK_REPLY, 0, 0, KEEP};
	DwfEngine  *engine = create(1);
	const DwfExchange *exchange;
	struct rlimit usual;
	struct rlimit none;
	int			first;

	start_server(&step, 1);
	first = dup(STDERR_FILENO);
	close(first);
	if (first < 0 || getrlimit(RLIMIT_NOFILE, &usual) != 0)
		abort();
	none = usual;
	none.rlim_cur = first;
	if (setrlimit(RLIMIT_NOFILE, &none) != 0)
		abort();
	exchange = ask(engine, make_request(100));
	check(exchange, DWF_PHASE_UNSENT, CURLE_COULDNT_CONNECT, 0,
		  "no descriptor is free");
	is_str(exchange->curl_error, strerror(EMFILE), "that is what is told");
	dwf_http_abort(engine);
	if (setrlimit(RLIMIT_NOFILE, &usual) != 0)
		abort();
	check(ask(engine, make_request(100)), DWF_PHASE_COMPLETE, 0, 200,
		  "one is free again");
	dwf_http_abort(engine);
	destroy_and_drain(engine);
	stop_server();
}

int
main(void)
{
	start_watchdog();
	main_thread = pthread_self();
	if (pipe2(resolver.gate, O_CLOEXEC) != 0)
		abort();
	test_slots();
	test_pools();
	test_socket();
	test_refused_submit();
	test_pending();
	test_descriptors();
	test_trim();
	test_signals();
	test_names();
	test_epoll_fails();
	test_timings();
	test_late();
	test_over();
	test_over_unconnected();
	test_no_descriptor();
	return done_testing();
}
