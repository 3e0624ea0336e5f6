/*
 * connection.h
 *	  Where requests go, and the token that goes with them.
 */
#ifndef DWF_CONNECTION_H
#define DWF_CONNECTION_H

#include "domo/domo.h"
#include "http/http.h"
#include "http/mask.h"
#include "registry/server.h"

/*
 * All strings live in the memory context in which the connection was opened.
 */
typedef struct DwfConnection
{
	char	   *base_url;		/* without a slash at its end */
	char	   *token;
	char	   *token_file;		/* that it is from; NULL: from none */
	DwfMask    *mask;			/* takes the token out of replies */
	char	   *proxy;			/* "" for none */
	char	   *ca_file;		/* "" for the system's */
	int			connect_timeout;	/* milliseconds */
	int			timeout;		/* milliseconds */
	size_t		max_response;	/* bytes */
	uint64		pool;			/* sockets are kept for the same only */
	const char *headers[6];		/* of each request, ended by NULL */
} DwfConnection;

/*
 * Opens the connection that the settings describe, in the current memory
 * context.  Raises 55000 where no instance or no token is set, where the token
 * file cannot be used, and where a configured token would go elsewhere than
 * the configuration says.  Sends nothing.
 */
extern void dwf_connection_open(DwfConnection *connection);

/*
 * The same by a server and the mapping that was found for it, and by nothing of
 * the session but times and sizes that the server does not set.  Raises 55000
 * where the mapping's token file cannot be used.
 */
extern void dwf_connection_open_server(DwfConnection *connection,
									   const DwfServer *server);

/*
 * The setting by which calls of this session go elsewhere than requests do, which
 * go by the server's configuration; NULL: none.  Raises 55000 where that cannot
 * be read.
 */
extern const char *dwf_connection_find_diversion(void);

/*
 * Hands a request to the engine, which must have a free slot.  False: memory
 * is short, and nothing was sent.
 */
extern bool dwf_connection_submit(const DwfConnection *connection,
								  DwfEngine *engine,
								  const DwfRequest *request, void *owner);

/*
 * Reads what an exchange means (dwf_domo_read_reply()), with the token taken
 * out of all that was received, which changes the exchange.  After a 401 the
 * token file is read again by the next dwf_connection_open().
 */
extern void dwf_connection_read_reply(const DwfConnection *connection,
									  DwfOperation operation,
									  const DwfExchange *exchange,
									  DwfReply *reply);

#endif							/* DWF_CONNECTION_H */
