/*
 * transfer.h
 *	  One HTTP transfer on its libcurl handle; private to http.c and
 *	  transfer.c.
 */
#ifndef DWF_TRANSFER_H
#define DWF_TRANSFER_H

#include <curl/curl.h>

#include "http/exchange.h"
#include "http/sockets.h"

/*
 * A slot of an engine.  Owns its easy handle, and what this points to, for the
 * engine's life, and from submit to release what belongs to one request.
 */
typedef struct DwfSlot
{
	CURL	   *easy;
	CURLU	   *parsed_url;		/* what the handle's options point to ... */
	struct curl_slist *headers;
	char	   *kept_url;		/* ... and the text that was parsed */
	char	   *kept_proxy;		/* what they were last set to */
	char	   *kept_ca_file;

	DwfSockets *sockets;		/* the engine's */
	struct DwfPool *pool;		/* whose connections it uses */
	bool		busy;			/* submitted, not yet released */
	bool		attached;		/* part of the multi handle */
	bool		done;			/* libcurl has finished it */
	bool		harvested;		/* handed to the caller */

	char	   *url;
	char	   *body;
	size_t		body_len;
	int64_t		started_at;		/* microseconds, monotonic */
	int64_t		ends_at;		/* the same: its time is over; 0: never */
	int64_t		over_at;		/* that was seen, with something to read */
	int			fd;				/* read from last; no more than a hint */

	char	   *reply;
	size_t		reply_len;
	size_t		reply_size;
	size_t		max_response;
	size_t		header_bytes;
	bool		header_complete;
	bool		oversize;
	bool		no_memory;		/* to keep the body */
	int			no_socket;		/* errno of one that could not be made */

	bool		stale;			/* the kept connection cannot be trusted */
	int			restarts;		/* for that, and on kept connections ... */
	int			max_restarts;	/* ... at most */
	bool		asked;			/* allow_request() let it pass */
	long		size_before;	/* CURLINFO_REQUEST_SIZE at that time */
	int64_t		asked_at;		/* microseconds, monotonic */
	int64_t		connected_at;	/* 0: not seen */
	int64_t		uploaded_at;	/* 0: not yet */

	char		content_type[128];
	char		location[512];
	char		retry_after[64];
	char		error[CURL_ERROR_SIZE];
	DwfExchange exchange;
} DwfSlot;

/*
 * Gives the slot an easy handle with all options that never change, where it
 * has none yet.  `sockets` must outlive all its connections.  False: no
 * memory.
 */
extern bool dwf_transfer_prepare(DwfSlot *slot, DwfSockets *sockets);

/* Sets what differs from request to request.  False: no memory. */
extern bool dwf_transfer_set_request(DwfSlot *slot,
									 const DwfHttpRequest *request);

/* Frees what the slot owns for the engine's life. */
extern void dwf_transfer_close(DwfSlot *slot);

/*
 * Tells that a transfer waits to read from a socket: if it is one that it
 * connected, the connection stands, and TLS may begin.  libcurl has a time of
 * its own for that, but 7.88 gives it only when TLS is through.
 */
extern void dwf_transfer_note_reading(CURL *easy, curl_socket_t fd);

/*
 * Makes a transfer of which nothing was sent ready to begin again, on another
 * connection, or on one of its own where there is none that can be trusted.
 */
extern void dwf_transfer_restart(DwfSlot *slot);

/*
 * Whether its time is over.  What the server has sent in time is read first,
 * however late that is, for a process may be kept from running: not while
 * there is more to read, `busy` or in its socket, but for a second at most.
 */
extern bool dwf_transfer_is_over(DwfSlot *slot, int64_t now, bool busy);

/* Says that it is over, in libcurl's words. */
extern void dwf_transfer_note_timeout(DwfSlot *slot);

/*
 * Writes down how far the transfer came, into slot->exchange; `done` says that
 * libcurl has finished it, with `curl_code`.
 */
extern void dwf_transfer_fill_exchange(DwfSlot *slot, int curl_code,
									   bool done);

/* Microseconds on the monotonic clock. */
extern int64_t dwf_transfer_now(void);

#endif							/* DWF_TRANSFER_H */
