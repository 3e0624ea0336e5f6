/*
 * sockets.c
 *	  The sockets that libcurl has open for an engine, and what only they tell.
 *
 * libcurl keeps connections to itself: which one a transfer uses shows by its
 * local port alone.  So each socket is noted when libcurl makes it, and its port
 * when its connection stands.
 */
#include "http/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void forget(DwfSockets *sockets, curl_socket_t fd);
static bool have_same_peer(const DwfSockets *sockets, int i, int j);

DwfSocket *
dwf_sockets_find(DwfSockets *sockets, curl_socket_t fd)
{
	for (int i = 0; i < sockets->count; i++)
	{
		if (sockets->items[i].fd == fd)
			return &sockets->items[i];
	}
	return NULL;
}

curl_socket_t
dwf_sockets_open(void *no_socket, curlsocktype purpose,
				 struct curl_sockaddr *address)
{
	int			fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
							address->protocol);

	(void) purpose;
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
				   errno == ENOMEM))
		*(int *) no_socket = errno;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

int
dwf_sockets_note_open(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	DwfSockets *sockets = arg;

	(void) purpose;

	/* a program that is run from here (COPY) has no business with it */
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return CURL_SOCKOPT_ERROR;

	/* libcurl 7.88 closes one that still connects without telling */
	forget(sockets, fd);
	if (sockets->count == sockets->size)
	{
		int			size = sockets->size == 0 ? 8 : 2 * sockets->size;
		DwfSocket  *items = realloc(sockets->items, size * sizeof(*items));

		if (items == NULL)
			return CURL_SOCKOPT_ERROR;
		sockets->items = items;
		sockets->size = size;
	}
	sockets->items[sockets->count++] = (DwfSocket)
	{
		.fd = fd,
			.number = ++sockets->opened
	};
	return CURL_SOCKOPT_OK;
}

int
dwf_sockets_note_close(void *arg, curl_socket_t fd)
{
	forget(arg, fd);
	return close(fd);
}

static void
forget(DwfSockets *sockets, curl_socket_t fd)
{
	DwfSocket  *socket = dwf_sockets_find(sockets, fd);

	if (socket != NULL)
		*socket = sockets->items[--sockets->count];
}

void
dwf_sockets_note_port(DwfSockets *sockets, int local_port)
{
	for (int i = 0; i < sockets->count; i++)
	{
		/* the port has the same place in both kinds of address */
		union
		{
			struct sockaddr any;
			struct sockaddr_in in;
			struct sockaddr_storage room;
		}			address = {0};
		socklen_t	len = sizeof(address);

		if (sockets->items[i].local_port != 0 ||
			getsockname(sockets->items[i].fd, &address.any, &len) != 0)
			continue;
		if (ntohs(address.in.sin_port) == local_port)
			sockets->items[i].local_port = local_port;
	}
}

/* Whether two sockets are connected to the same address. */
static bool
have_same_peer(const DwfSockets *sockets, int i, int j)
{
	struct sockaddr_storage a = {0};
	struct sockaddr_storage b = {0};
	socklen_t	a_len = sizeof(a);
	socklen_t	b_len = sizeof(b);

	return getpeername(sockets->items[i].fd, (struct sockaddr *) &a,
					   &a_len) == 0 &&
		getpeername(sockets->items[j].fd, (struct sockaddr *) &b,
					&b_len) == 0 &&
		a_len == b_len && memcmp(&a, &b, a_len) == 0;
}

bool
dwf_sockets_have_input(const DwfSockets *sockets, int local_port)
{
	for (int i = 0; i < sockets->count; i++)
	{
		struct pollfd poll_fd = {.fd = sockets->items[i].fd,.events = POLLIN};

		if (sockets->items[i].local_port == local_port &&
			poll(&poll_fd, 1, 0) > 0)
			return true;
	}
	return false;
}

void
dwf_sockets_trim(DwfSockets *sockets)
{
	for (int i = 1; i < sockets->count; i++)
	{
		for (int j = 0; j < i; j++)
		{
			if (have_same_peer(sockets, i, j))
			{
				/* libcurl finds it dead when it looks for a connection */
				shutdown(sockets->items[i].fd, SHUT_RDWR);
				break;
			}
		}
	}
}
