/*
 * client.h
 *	  What a client is told, whatever its encoding can hold.
 *
 * A message with a character that the client's encoding lacks is none:
 * PostgreSQL raises an error in its place, without its SQLSTATE, detail and hint.
 */
#ifndef DWF_CLIENT_H
#define DWF_CLIENT_H

/*
 * As ereport(), with '?' for what the client's encoding lacks, in the context as
 * well; the server's log then has message and detail in full as its detail.
 * `detail` and `hint` may be NULL.  Returns where `level` is below ERROR.  May
 * read catalogs.
 */
extern void dwf_client_tell(int level, int code, const char *message,
							const char *detail, const char *hint);

/*
 * The same of one text, in place, for where no catalog can be read: '?' for all
 * beyond ASCII if the client has another encoding.  Returns whether there was
 * such.  Asks for no memory and cannot fail.
 */
extern bool dwf_client_fit_plain(char *text);

/* Whether text has to be converted for the client.  Cannot fail. */
extern bool dwf_client_converts(void);

#endif							/* DWF_CLIENT_H */
