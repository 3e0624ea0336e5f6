/*
 * server.h
 *	  Servers: named connections to several Domo instances, as CREATE SERVER and
 *	  CREATE USER MAPPING of the foreign data wrapper domowf make them.
 */
#ifndef DWF_SERVER_H
#define DWF_SERVER_H

#include "domo/domo.h"

/*
 * A server as it stands, and the mapping that counts for a role.  Texts are
 * palloc'd; "" where an option is not given, as 0 of a number.
 */
typedef struct DwfServer
{
	char	   *name;			/* in the database's encoding */
	Oid			oid;
	Oid			owner;
	char	   *instance;
	char	   *base_url;
	char	   *proxy;
	char	   *ca_file;
	int			connect_timeout;	/* milliseconds */
	int			timeout;		/* milliseconds */
	int			max_connections;
	int			rate_limit;		/* requests a minute */
	Oid			mapping;
	Oid			mapped;			/* whose mapping; InvalidOid: PUBLIC's */
	char	   *token;			/* one of the two is given */
	char	   *token_file;
} DwfServer;

/*
 * Finds a server by its name, which is UTF-8, for what `role` may send there: with USAGE, and by its own mapping or PUBLIC's.  Looks
 * into the catalogs only; no file is read.  Returns 0, or an SQLSTATE and
 * *fault: 42704 where there is no such server, 42809 where it is none of
 * domowf's, 42501 without USAGE, 55000 where it cannot be used as it stands.
 */
extern int	dwf_server_find(const char *name, Oid role, DwfServer *server,
							DwfFault *fault);

/* Whether there is any that could be named.  In a transaction. */
extern bool dwf_server_exists(void);

/* How many mappings they have: connections that there may be.  The same. */
extern int	dwf_server_count_mappings(void);

#endif							/* DWF_SERVER_H */
