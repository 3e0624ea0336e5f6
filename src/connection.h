/*
 * connection.h
 *	  Where requests go, and the token that goes with them.
 */
#ifndef DWF_CONNECTION_H
#define DWF_CONNECTION_H

/*
 * All strings live in the memory context in which the connection was opened.
 */
typedef struct DwfConnection
{
	char	   *base_url;		/* without a slash at its end */
	char	   *token;
	char	   *proxy;			/* "" for none */
	char	   *ca_file;		/* "" for the system's */
	int			connect_timeout;	/* milliseconds */
	int			timeout;		/* milliseconds */
	size_t		max_response;	/* bytes */
} DwfConnection;

/*
 * Opens the connection that the settings describe, in the current memory
 * context.  Raises 55000 where no instance or no token is set, where the token
 * file cannot be used, and where a configured token would go elsewhere than
 * the configuration says.  Sends nothing.
 */
extern void dwf_connection_open(DwfConnection *connection);

/*
 * Says that Domo refused the token (401): the token file is read again the
 * next time.
 */
extern void dwf_connection_token_refused(void);

#endif							/* DWF_CONNECTION_H */
