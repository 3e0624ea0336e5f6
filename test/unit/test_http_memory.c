/*
 * test_http_memory.c
 *	  Unit tests of http.c: libcurl gets no memory.
 *
 * libcurl is left half done by that in places of its own: 7.88 divides by zero
 * when it comes again to a socket for which it could note no transfer.  Whatever
 * it is that fails, each request ends, what is told as not sent has not arrived,
 * and the next one is sent as if nothing had been.  8.22 forgets some transfers:
 * these end when their time is over.
 */
#include "../../src/http/http.c"
#include "../../src/http/keylog.c"
#include "../../src/http/pool.c"
#include "../../src/http/sockets.c"
#include "../../src/http/transfer.c"

#include <limits.h>

#include "http_server.h"

#define PARALLEL	4
#define ROUNDS		3
#define MAX_EVERY	150

/* Milliseconds; one that ends so has ended. */
#define SHORT_TIME	20
#define LONG_TIME	60000

/* Which of libcurl's allocations fail; its threads have some as well. */
static struct
{
	long		calls;
	long		first;			/* from this one on ... */
	long		every;			/* ... each so many-th; 0: none */
}			scarce;

static bool
is_refused(void)
{
	long		call = __atomic_add_fetch(&scarce.calls, 1, __ATOMIC_SEQ_CST);

	return scarce.every > 0 && call >= scarce.first &&
		(call - scarce.first) % scarce.every == 0;
}

static void *
scarce_malloc(size_t size)
{
	return is_refused() ? NULL : malloc(size);
}

static void *
scarce_calloc(size_t count, size_t size)
{
	return is_refused() ? NULL : calloc(count, size);
}

static void *
scarce_realloc(void *old, size_t size)
{
	return is_refused() ? NULL : realloc(old, size);
}

static char *
scarce_strdup(const char *text)
{
	return is_refused() ? NULL : strdup(text);
}

static void
set_scarce(long first, long every)
{
	scarce.calls = 0;
	scarce.first = first;
	scarce.every = every;
}

/* What came of some requests. */
typedef struct Tally
{
	int			ended;
	int			sent;			/* or it is not known */
	int			complete;
} Tally;

/* Sends requests, so many at once; those that libcurl takes. */
static void
send_some(DwfEngine *engine, int count, int timeout, Tally *tally)
{
	int			taken = 0;

	for (int i = 0; i < count; i++)
	{
		DwfHttpRequest request = make_request(100);

		request.timeout = timeout;
		taken += dwf_http_submit(engine, &request);
	}
	for (int i = 0; i < taken; i++)
	{
		const DwfExchange *exchange = finish(engine);

		if (exchange == &stuck)
		{
			dwf_http_abort(engine);
			return;
		}
		tally->ended++;
		tally->sent += exchange->phase != DWF_PHASE_UNSENT;
		tally->complete += exchange->phase == DWF_PHASE_COMPLETE;
		dwf_http_release(engine, exchange);
	}
	tally->ended += count - taken;
}

/* Whether all is well with the allocations of scarce failing. */
static bool
is_well(void)
{
	Step		steps[MAX_PEERS];
	const char *why;
	DwfEngine  *engine = dwf_http_create(PARALLEL, &why);
	Tally		tally = {0};
	Tally		after = {0};
	bool		well;

	if (engine == NULL)
		return strcmp(why, "out of memory") == 0;
	for (int i = 0; i < LENGTH(steps); i++)
		steps[i] = (Step)
	{
		OK_REPLY, 0, 0, KEEP
	};
	start_server(steps, LENGTH(steps));
	for (int i = 0; i < ROUNDS; i++)
		send_some(engine, i == 1 ? 1 : PARALLEL, SHORT_TIME, &tally);
	well = tally.ended == (ROUNDS - 1) * PARALLEL + 1 &&
		server.requests <= tally.sent && tally.complete <= server.requests;
	scarce.every = 0;
	send_some(engine, PARALLEL, LONG_TIME, &after);
	well = well && after.complete == PARALLEL;
	dwf_http_destroy(engine);
	stop_server();
	return well;
}

int
main(void)
{
	long		first = 0;
	long		bad = 0;

	start_watchdog();
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, scarce_malloc, free,
							 scarce_realloc, scarce_strdup,
							 scarce_calloc) != CURLE_OK)
		abort();
	do
	{
		set_scarce(++first, LONG_MAX);
		if (!is_well())
			bad = bad == 0 ? first : bad;
	} while (scarce.calls >= first);
	ok(first > 100, "libcurl has allocated %ld times", first - 1);
	is_int(bad, 0, "each of these may fail");

	bad = 0;
	for (long every = 2; every < MAX_EVERY; every++)
	{
		set_scarce(every, every);
		if (!is_well())
			bad = bad == 0 ? every : bad;
	}
	is_int(bad, 0, "and each second, each third ...");
	return done_testing();
}
