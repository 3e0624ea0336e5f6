/*
 * raw.c
 *	  The yardstick: what libcurl does by itself, used as a C programmer who
 *	  knows it would.
 *
 * Usage: raw CA_FILE BODY_FILE HEADER...
 *
 * Lives as long as the benchmark, so that its connections and its parsed CA
 * store are as warm as those of a backend.  Each line on its input is one
 * measurement, answered by one line with the seconds that it took:
 *
 *		serial URL COUNT			one after the other, connection kept
 *		fresh URL COUNT				the same, each on a new connection
 *		multi URL COUNT PARALLEL	so many in flight, connections kept
 *
 * Every reply is read into memory and must be a 200; nothing is made of it.
 * It must not know domowf.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#define MAX_PARALLEL	64

typedef struct Transfer
{
	CURL	   *easy;
	char	   *reply;
	size_t		len;
	size_t		size;
} Transfer;

static const char *ca_file;
static char body[65536];
static size_t body_len;
static struct curl_slist *headers;

static void
fail(const char *what)
{
	fprintf(stderr, "raw: %s\n", what);
	exit(1);
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* libcurl's write callback: keeps the whole reply. */
static size_t
take_reply(char *data, size_t size, size_t count, void *arg)
{
	Transfer   *transfer = arg;
	size_t		len = size * count;

	if (transfer->len + len > transfer->size)
	{
		transfer->size = 2 * (transfer->len + len);
		transfer->reply = realloc(transfer->reply, transfer->size);
		if (transfer->reply == NULL)
			fail("out of memory");
	}
	memcpy(transfer->reply + transfer->len, data, len);
	transfer->len += len;
	return len;
}

/* Gives a transfer its handle, on which every option is set just once. */
static void
open_transfer(Transfer *transfer, const char *url, int keep)
{
	CURL	   *easy = curl_easy_init();

	if (easy == NULL)
		fail("out of memory");
	memset(transfer, 0, sizeof(*transfer));
	transfer->easy = easy;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
					 (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 30000L);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, keep ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long) body_len);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_reply);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
}

static void
check(Transfer *transfer, CURLcode code)
{
	long		status = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
		fail(curl_easy_strerror(code));
	if (status != 200 || transfer->len == 0)
		fail("not the reply expected");
	transfer->len = 0;
}

/* One after the other; the handle and its connection outlive the call. */
static double
run_serial(const char *url, int count, int keep)
{
	static Transfer kept[2];
	Transfer   *transfer = &kept[keep];
	double		start;

	if (transfer->easy == NULL)
		open_transfer(transfer, url, keep);
	curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
	start = now();
	for (int i = 0; i < count; i++)
		check(transfer, curl_easy_perform(transfer->easy));
	return now() - start;
}

/* Checks what has ended; adds each again as long as some are left. */
static int
harvest(CURLM *multi, int left)
{
	CURLMsg    *message;
	int			queued;

	while ((message = curl_multi_info_read(multi, &queued)) != NULL)
	{
		Transfer   *transfer;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		check(transfer, message->data.result);
		curl_multi_remove_handle(multi, transfer->easy);
		if (left > 0)
		{
			curl_multi_add_handle(multi, transfer->easy);
			left--;
		}
	}
	return left;
}

/* At most `parallel` in flight; handles and connections outlive the call. */
static double
run_multi(const char *url, int count, int parallel)
{
	static CURLM *multi;
	static Transfer transfers[MAX_PARALLEL];
	int			running;
	int			left = count;
	double		start;

	if (multi == NULL)
	{
		multi = curl_multi_init();
		for (int i = 0; i < MAX_PARALLEL; i++)
			open_transfer(&transfers[i], url, 1);
	}
	for (int i = 0; i < parallel; i++)
		curl_easy_setopt(transfers[i].easy, CURLOPT_URL, url);
	start = now();
	for (int i = 0; i < parallel && left > 0; i++, left--)
		curl_multi_add_handle(multi, transfers[i].easy);
	for (;;)
	{
		int			before = left;

		curl_multi_perform(multi, &running);
		left = harvest(multi, left);
		if (running == 0 && left == before)
			break;
		if (left == before)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	return now() - start;
}

static void
read_body(const char *path)
{
	FILE	   *file = fopen(path, "r");

	if (file == NULL)
		fail("cannot open the body");
	body_len = fread(body, 1, sizeof(body), file);
	fclose(file);
}

int
main(int argc, char **argv)
{
	char		line[1024];
	char		mode[16];
	char		url[512];
	int			count;
	int			parallel;

	if (argc < 3)
		fail("usage: raw CA_FILE BODY_FILE HEADER...");
	curl_global_init(CURL_GLOBAL_DEFAULT);
	ca_file = argv[1];
	read_body(argv[2]);
	for (int i = 3; i < argc; i++)
		headers = curl_slist_append(headers, argv[i]);

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		double		seconds = 0;

		parallel = 1;
		if (sscanf(line, "%15s %511s %d %d", mode, url, &count, &parallel) < 3)
			fail("cannot read the input");
		if (parallel < 1 || parallel > MAX_PARALLEL)
			fail("too many in parallel");
		if (strcmp(mode, "serial") == 0)
			seconds = run_serial(url, count, 1);
		else if (strcmp(mode, "fresh") == 0)
			seconds = run_serial(url, count, 0);
		else if (strcmp(mode, "multi") == 0)
			seconds = run_multi(url, count, parallel);
		else
			fail("unknown measurement");
		printf("%.6f\n", seconds);
		fflush(stdout);
	}
	return 0;
}
