/*
 * transfer.c
 *	  One HTTP transfer on its libcurl handle: its options, its callbacks, and
 *	  what can be said of it afterwards.
 *
 * http.c's header has the design.  Callbacks only write down what they see:
 * they run between libcurl's frames and must not throw, wait or log.  It must
 * not know PostgreSQL or Domo.
 */
#include "http/keylog.h"
#include "http/transfer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Reply headers beyond this many bytes, all 1xx included, end an exchange. */
#define MAX_HEADER_BYTES	65536

/* What came in time may be read for so long when it is over, microseconds. */
#define READ_TIME	1000000


/* Where a reply header goes. */
typedef struct HeaderRule
{
	const char *name;			/* with its colon */
	size_t		offset;
	size_t		size;
} HeaderRule;

static const HeaderRule header_rules[] = {
	{"content-type:", offsetof(DwfSlot, content_type),
	sizeof(((DwfSlot *) 0)->content_type)},
	{"location:", offsetof(DwfSlot, location), sizeof(((DwfSlot *) 0)->location)},
	{"retry-after:", offsetof(DwfSlot, retry_after),
	sizeof(((DwfSlot *) 0)->retry_after)},
};

static bool set_method(DwfSlot *slot, DwfMethod method);
static bool set_url(DwfSlot *slot);
static bool set_headers(DwfSlot *slot, const char *const *headers);
static bool set_proxy(DwfSlot *slot, const char *proxy);
static bool set_ca_file(DwfSlot *slot, const char *ca_file);
static bool is_kept(char **kept, const char *text);
static int	allow_request(void *slot, char *remote_ip, char *local_ip,
						  int remote_port, int local_port);
static CURLcode note_handshake(CURL *easy, void *ssl_ctx, void *slot);
static int	note_upload(void *slot, curl_off_t dltotal, curl_off_t dlnow,
						curl_off_t ultotal, curl_off_t ulnow);
static size_t take_header(char *data, size_t size, size_t count, void *slot);
static void take_header_line(DwfSlot *slot, const char *line, size_t len);
static size_t take_body(char *data, size_t size, size_t count, void *slot);
static void set_error(DwfSlot *slot, const char *words);
static DwfPhase find_phase(DwfSlot *slot, int curl_code, bool done);
static void fill_timings(DwfSlot *slot, int64_t total, DwfTimings *timings);

int64_t
dwf_transfer_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool
dwf_transfer_prepare(DwfSlot *slot, DwfSockets *sockets)
{
	CURL	   *easy = slot->easy;

	slot->sockets = sockets;
	if (easy != NULL)
		return true;
	easy = curl_easy_init();
	if (easy == NULL)
		return false;
	slot->easy = easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
					 (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long) DWF_HTTP_KEPT_SECONDS);

	/* left at their defaults these make libcurl parse all CAs each time */
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);

	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, dwf_sockets_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &slot->no_socket);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, dwf_sockets_note_open);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, sockets);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, dwf_sockets_note_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, sockets);
	/* not in every build of libcurl, where the sockets' callback must do */
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, note_handshake);
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, slot);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, allow_request);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, slot);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, note_upload);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, slot);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
	return true;
}

bool
dwf_transfer_set_request(DwfSlot *slot, const DwfHttpRequest *request)
{
	CURL	   *easy = slot->easy;

	/* not CURLOPT_TIMEOUT_MS: libcurl looks at the clock before it reads */
	slot->started_at = dwf_transfer_now();
	slot->ends_at = request->timeout <= 0 ? 0 :
		slot->started_at + (int64_t) request->timeout * 1000;
	slot->fd = -1;
	slot->max_response = request->max_response;
	slot->exchange.owner = request->owner;

	/*
	 * Without a body there is nothing to stop sending, but libcurl 8.14
	 * closes the connection where a refusal comes before it has noticed that.
	 */
	return set_url(slot) && set_headers(slot, request->headers) &&
		set_proxy(slot, request->proxy) &&
		set_ca_file(slot, request->ca_file) &&
		set_method(slot, request->method) &&
		curl_easy_setopt(easy, CURLOPT_KEEP_SENDING_ON_ERROR,
						 slot->body_len == 0 ? 1L : 0L) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
						 (long) request->connect_timeout) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 0L) == CURLE_OK;
}

/* After a body was set, which makes it a POST, a GET is asked for. */
static bool
set_method(DwfSlot *slot, DwfMethod method)
{
	CURL	   *easy = slot->easy;

	return curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
							(curl_off_t) slot->body_len) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
						 slot->body == NULL ? "" : slot->body) == CURLE_OK &&
		(method == DWF_POST ?
		 curl_easy_setopt(easy, CURLOPT_POST, 1L) :
		 curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L)) == CURLE_OK;
}

/*
 * Gives libcurl the URL, parsed.  Starts all go to the same one, so the slot's
 * last one is kept: to parse it, and libcurl's making a text of it again, are
 * a tenth of what libcurl does for a request.
 */
static bool
set_url(DwfSlot *slot)
{
	CURL	   *easy = slot->easy;

	if (is_kept(&slot->kept_url, slot->url))
		return true;
	if (slot->parsed_url == NULL && (slot->parsed_url = curl_url()) == NULL)
		return false;

	/* one that is malformed is left to libcurl, which will say so */
	if (curl_url_set(slot->parsed_url, CURLUPART_URL, slot->url,
					 CURLU_PATH_AS_IS) != CURLUE_OK)
		return curl_easy_setopt(easy, CURLOPT_CURLU, NULL) == CURLE_OK &&
			curl_easy_setopt(easy, CURLOPT_URL, slot->url) == CURLE_OK;
	slot->kept_url = strdup(slot->url);
	return slot->kept_url != NULL &&
		curl_easy_setopt(easy, CURLOPT_CURLU, slot->parsed_url) == CURLE_OK;
}

/* Sets the headers, where they are not those of the slot's last request. */
static bool
set_headers(DwfSlot *slot, const char *const *headers)
{
	struct curl_slist *list = slot->headers;
	const char *const *h = headers;

	while (*h != NULL && list != NULL && strcmp(*h, list->data) == 0)
	{
		h++;
		list = list->next;
	}
	if (*h == NULL && list == NULL)
		return true;

	curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(slot->headers);
	slot->headers = NULL;
	for (h = headers; *h != NULL; h++)
	{
		list = curl_slist_append(slot->headers, *h);
		if (list == NULL)
			return false;
		slot->headers = list;
	}
	return curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER,
							slot->headers) == CURLE_OK;
}

static bool
set_proxy(DwfSlot *slot, const char *proxy)
{
	return is_kept(&slot->kept_proxy, proxy) ||
		(curl_easy_setopt(slot->easy, CURLOPT_PROXY, proxy) == CURLE_OK &&
		 (slot->kept_proxy = strdup(proxy)) != NULL);
}

static bool
set_ca_file(DwfSlot *slot, const char *ca_file)
{
	const char *file = ca_file;

	if (is_kept(&slot->kept_ca_file, ca_file))
		return true;
	if (*file == '\0')
		file = curl_version_info(CURLVERSION_NOW)->cainfo;
	return curl_easy_setopt(slot->easy, CURLOPT_CAINFO, file) == CURLE_OK &&
		curl_easy_setopt(slot->easy, CURLOPT_PROXY_CAINFO,
						 file) == CURLE_OK &&
		(slot->kept_ca_file = strdup(ca_file)) != NULL;
}

/* Whether an option has this text already; if not, *kept is none any more. */
static bool
is_kept(char **kept, const char *text)
{
	if (*kept != NULL && strcmp(*kept, text) == 0)
		return true;
	free(*kept);
	*kept = NULL;
	return false;
}

void
dwf_transfer_close(DwfSlot *slot)
{
	curl_easy_cleanup(slot->easy);
	curl_url_cleanup(slot->parsed_url);
	curl_slist_free_all(slot->headers);
	free(slot->kept_url);
	free(slot->kept_proxy);
	free(slot->kept_ca_file);
}

/*
 * libcurl's pre-request callback, before each time the request is written:
 * the guard against a second sending (see the top of http.c).
 */
static int
allow_request(void *arg, char *remote_ip, char *local_ip, int remote_port,
			  int local_port)
{
	DwfSlot    *slot = arg;
	long		size = 0;
	long		connects = 0;

	(void) remote_ip;
	(void) local_ip;
	(void) remote_port;
	curl_easy_getinfo(slot->easy, CURLINFO_REQUEST_SIZE, &size);
	if (slot->asked && size != slot->size_before)
		return CURL_PREREQFUNC_ABORT;
	curl_easy_getinfo(slot->easy, CURLINFO_NUM_CONNECTS, &connects);
	if (connects > 0)
		dwf_sockets_note_port(slot->sockets, local_port);
	else if (dwf_sockets_have_input(slot->sockets, local_port))
	{
		slot->stale = true;
		return CURL_PREREQFUNC_ABORT;
	}
	slot->asked = true;
	slot->size_before = size;
	slot->asked_at = dwf_transfer_now();
	return CURL_PREREQFUNC_OK;
}

void
dwf_transfer_note_reading(CURL *easy, curl_socket_t fd)
{
	DwfSlot    *slot = NULL;

	/* libcurl from 8.13 closes connections with handles of its own */
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &slot);
	if (slot == NULL)
		return;
	slot->fd = (int) fd;

	/* not the pair by which the resolver's thread tells that it is done */
	if (slot->connected_at == 0 && dwf_sockets_find(slot->sockets, fd) != NULL)
		slot->connected_at = dwf_transfer_now();
}

void
dwf_transfer_restart(DwfSlot *slot)
{
	slot->stale = false;
	slot->error[0] = '\0';

	/* libcurl has closed that one; as many others may be like it */
	if (slot->restarts == 0)
		slot->max_restarts = slot->sockets->count;
	if (++slot->restarts > slot->max_restarts)
		curl_easy_setopt(slot->easy, CURLOPT_FRESH_CONNECT, 1L);
}

/*
 * libcurl's callback before a TLS handshake.  A connection to a near host, or
 * one whose handshake fails at once, is never watched in between.
 */
static CURLcode
note_handshake(CURL *easy, void *ssl_ctx, void *arg)
{
	DwfSlot    *slot = arg;

	dwf_keylog_remove(easy, ssl_ctx);
	if (slot->connected_at == 0)
		slot->connected_at = dwf_transfer_now();
	return CURLE_OK;
}

/* libcurl's progress callback: notes when the whole body had been sent. */
static int
note_upload(void *arg, curl_off_t dltotal, curl_off_t dlnow,
			curl_off_t ultotal, curl_off_t ulnow)
{
	DwfSlot    *slot = arg;

	(void) dltotal;
	(void) dlnow;
	(void) ultotal;
	if (slot->uploaded_at == 0 && slot->asked &&
		ulnow >= (curl_off_t) slot->body_len)
		slot->uploaded_at = dwf_transfer_now();
	return 0;
}

/* libcurl's header callback, called once for each complete line. */
static size_t
take_header(char *data, size_t size, size_t count, void *arg)
{
	DwfSlot    *slot = arg;
	size_t		len = size * count;
	long		status = 0;

	slot->header_bytes += len;
	if (slot->header_bytes > MAX_HEADER_BYTES)
		return 0;
	if (slot->header_complete)	/* trailers of a chunked body */
		return len;

	/* a status line starts anew: what came before was a 1xx */
	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
	{
		slot->content_type[0] = '\0';
		slot->location[0] = '\0';
		slot->retry_after[0] = '\0';
		return len;
	}
	if (len <= 2 && (*data == '\r' || *data == '\n'))
	{
		curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
		slot->header_complete = status >= 200;
		return len;
	}
	take_header_line(slot, data, len);
	return len;
}

/* Keeps a header's value, trimmed and cut, where a rule asks for it. */
static void
take_header_line(DwfSlot *slot, const char *line, size_t len)
{
	for (size_t i = 0; i < sizeof(header_rules) / sizeof(*header_rules); i++)
	{
		const HeaderRule *rule = &header_rules[i];
		size_t		at = strlen(rule->name);
		size_t		end = len;
		char	   *value = (char *) slot + rule->offset;

		/* most differ in the first letter */
		if ((line[0] | 0x20) != rule->name[0] || len < at ||
			strncasecmp(line, rule->name, at) != 0)
			continue;
		while (at < end && (line[at] == ' ' || line[at] == '\t'))
			at++;
		while (end > at && strchr(" \t\r\n", line[end - 1]) != NULL)
			end--;
		if (end - at >= rule->size)
			end = at + rule->size - 1;
		memcpy(value, line + at, end - at);
		value[end - at] = '\0';
	}
}

/* libcurl's write callback: keeps the body, up to the request's bound. */
static size_t
take_body(char *data, size_t size, size_t count, void *arg)
{
	DwfSlot    *slot = arg;
	size_t		len = size * count;
	size_t		room = slot->max_response - slot->reply_len;
	size_t		take = len <= room ? len : room;

	if (slot->reply_len + take > slot->reply_size)
	{
		size_t		want = slot->reply_size == 0 ? 2048 : slot->reply_size * 2;
		char	   *bigger;

		while (want < slot->reply_len + take)
			want *= 2;
		bigger = realloc(slot->reply, want);
		if (bigger == NULL)
		{
			slot->no_memory = true;
			return CURL_WRITEFUNC_ERROR;
		}
		slot->reply = bigger;
		slot->reply_size = want;
	}
	if (take > 0)
		memcpy(slot->reply + slot->reply_len, data, take);
	slot->reply_len += take;
	if (take == len)
		return len;
	slot->oversize = true;
	return CURL_WRITEFUNC_ERROR;
}

bool
dwf_transfer_is_over(DwfSlot *slot, int64_t now, bool busy)
{
	struct pollfd socket = {.fd = slot->fd,.events = POLLIN};

	if (slot->ends_at == 0 || now < slot->ends_at)
		return false;
	if (!busy && (slot->fd < 0 || poll(&socket, 1, 0) <= 0))
		return true;
	if (slot->over_at == 0)
		slot->over_at = now;
	return now >= slot->over_at + READ_TIME;
}

void
dwf_transfer_note_timeout(DwfSlot *slot)
{
	long long	spent = (dwf_transfer_now() - slot->started_at) / 1000;

	if (slot->asked)
		snprintf(slot->error, sizeof(slot->error),
				 "Operation timed out after %lld milliseconds with %zu bytes received",
				 spent, slot->reply_len);
	else
		snprintf(slot->error, sizeof(slot->error),
				 "Connection timed out after %lld milliseconds", spent);
}

void
dwf_transfer_fill_exchange(DwfSlot *slot, int curl_code, bool done)
{
	DwfExchange *exchange = &slot->exchange;
	long		status = 0;

	exchange->phase = find_phase(slot, curl_code, done);
	exchange->curl_code = curl_code;
	exchange->curl_error = slot->error;
	if (curl_code == CURLE_ABORTED_BY_CALLBACK)
		set_error(slot, "the connection was closed before a reply came");
	else if (slot->no_memory)
		set_error(slot, curl_easy_strerror(CURLE_OUT_OF_MEMORY));
	else if (curl_code == CURLE_COULDNT_CONNECT && slot->no_socket != 0)
		set_error(slot, strerror(slot->no_socket));
	else if (slot->error[0] == '\0' && curl_code != CURLE_OK)
		set_error(slot, curl_easy_strerror(curl_code));
	else if (slot->error[0] == '\0' && done &&
			 exchange->phase != DWF_PHASE_COMPLETE)
		set_error(slot, "the connection was closed in the header of the reply");
	if (slot->header_complete)
		curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
	exchange->http_status = (int) status;
	exchange->body = slot->reply;
	exchange->body_len = slot->reply_len;
	exchange->oversize = slot->oversize;
	exchange->content_type = slot->content_type;
	exchange->location = slot->location;
	exchange->retry_after = slot->retry_after;
	fill_timings(slot, dwf_transfer_now() - slot->started_at,
				 &exchange->timings);
}

static void
set_error(DwfSlot *slot, const char *words)
{
	snprintf(slot->error, sizeof(slot->error), "%s", words);
}

/*
 * How far it came.  CURLINFO_REQUEST_SIZE counts what the kernel took; it may
 * hold a proxy's CONNECT, which was before the pre-request callback.
 */
static DwfPhase
find_phase(DwfSlot *slot, int curl_code, bool done)
{
	long		size = 0;

	if (slot->header_complete)
		return done && curl_code == CURLE_OK ? DWF_PHASE_COMPLETE :
			DWF_PHASE_STATUS;
	curl_easy_getinfo(slot->easy, CURLINFO_REQUEST_SIZE, &size);
	if (!slot->asked || size == slot->size_before)
		return DWF_PHASE_UNSENT;
	return DWF_PHASE_SENT;
}

/*
 * libcurl's times are counted from the start and are 0 until a step is over;
 * here each step has its own duration, and the one under way all that is left.
 */
static void
fill_timings(DwfSlot *slot, int64_t total, DwfTimings *timings)
{
	curl_off_t	lookup = 0,
				connect = 0,
				tls = 0,
				first = 0;
	int64_t		before_send,
				sent;

	curl_easy_getinfo(slot->easy, CURLINFO_NAMELOOKUP_TIME_T, &lookup);
	curl_easy_getinfo(slot->easy, CURLINFO_CONNECT_TIME_T, &connect);
	curl_easy_getinfo(slot->easy, CURLINFO_APPCONNECT_TIME_T, &tls);
	curl_easy_getinfo(slot->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);

	if (connect == 0 && slot->connected_at > 0)
		connect = slot->connected_at - slot->started_at;

	/* a kept connection leaves the times of its making at 0 */
	if (slot->asked && connect == 0)
		connect = lookup;

	*timings = (DwfTimings)
	{
		-1, -1, -1, -1, -1, -1
	};
	timings->resolve = lookup > 0 || slot->asked ? lookup : total;
	if (lookup == 0 && !slot->asked)
		return;
	timings->connect = (connect > 0 || slot->asked ? connect : total) - lookup;
	if (connect == 0 && !slot->asked)
		return;
	if (strncasecmp(slot->url, "https:", 6) == 0)
		timings->tls = (tls > 0 ? tls : slot->asked ? connect : total) - connect;
	if (!slot->asked)
		return;

	before_send = tls > 0 ? tls : connect;
	sent = slot->uploaded_at == 0 ? total :
		before_send + (slot->uploaded_at - slot->asked_at);
	timings->send = sent - before_send;
	if (slot->uploaded_at == 0)
		return;
	timings->wait = (slot->header_bytes > 0 ? first : total) - sent;
	if (timings->wait < 0)
		timings->wait = 0;
	if (slot->header_bytes > 0)
		timings->receive = total - first;
}
