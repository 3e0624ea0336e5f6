/*
 * sockets.h
 *	  The sockets that libcurl has open for an engine, and what only they tell.
 *
 * Pure: no PostgreSQL.  Internal to the engine.
 */
#ifndef DWF_SOCKETS_H
#define DWF_SOCKETS_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The sockets that libcurl has open for an engine.  The local port of each is
 * the way from a transfer to its connection; the events are EPOLLIN and the
 * like, and http.c's own.  All zero: none.  `items` is malloc'd; freed by
 * whoever owns the engine.
 */
typedef struct DwfSocket
{
	curl_socket_t fd;
	uint64_t	number;			/* no other has it, nor had it */
	uint32_t	pool;			/* its number; 0: not yet known */
	int			local_port;		/* 0: not yet known */
	uint32_t	wanted;			/* events that libcurl waits for; 0: idle */
	uint32_t	watched;		/* events in the epoll set; 0: not in it */
} DwfSocket;

typedef struct DwfSockets
{
	int			count;
	int			size;
	uint64_t	opened;			/* so many were */
	DwfSocket  *items;
} DwfSockets;

/*
 * libcurl's callback that makes a socket.  libcurl tells nobody why there is none:
 * what is not the network's fault is put into an int, as errno has it.
 */
extern curl_socket_t dwf_sockets_open(void *no_socket, curlsocktype purpose,
									  struct curl_sockaddr *address);

/*
 * libcurl's callbacks for a socket that it made (CURLOPT_SOCKOPTFUNCTION) and
 * for closing one (CURLOPT_CLOSESOCKETFUNCTION); `sockets` is a DwfSockets.
 */
extern int	dwf_sockets_note_open(void *sockets, curl_socket_t fd,
								  curlsocktype purpose);
extern int	dwf_sockets_note_close(void *sockets, curl_socket_t fd);

/* NULL where libcurl has not told of it, as of its resolver's. */
extern DwfSocket *dwf_sockets_find(DwfSockets *sockets, curl_socket_t fd);

/* Notes the local port of a connection that was just made. */
extern void dwf_sockets_note_port(DwfSockets *sockets, int local_port);

/*
 * Whether bytes wait on a kept connection, before anything was asked: a 408
 * that announces a close, or the work of a confused proxy.  libcurl would take
 * them for the reply to the request that it is about to write.
 */
extern bool dwf_sockets_have_input(const DwfSockets *sockets, int local_port);

/*
 * Ends all but one of the connections to each address.  Only where nothing is
 * in flight.
 */
extern void dwf_sockets_trim(DwfSockets *sockets);

#endif							/* DWF_SOCKETS_H */
