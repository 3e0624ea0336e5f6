/*
 * link.h
 *	  A connection of the worker: what it may send, and when.
 *
 * What a sender's own files share; nobody else knows.
 */
#ifndef DWF_LINK_H
#define DWF_LINK_H

#include "base/shared.h"
#include "call/connection.h"
#include "queue/rate.h"
#include "queue/rest.h"

#include "nodes/pg_list.h"

/*
 * A connection: a server and a token, or what the settings say.  It rests, has
 * a rate and a limit of its own.
 */
typedef struct DwfLink
{
	Oid			server;			/* InvalidOid: the settings' */
	Oid			mapping;
	NameData	server_name;	/* for people; the mapping's role: "" is
								 * PUBLIC */
	NameData	role_name;
	List	   *routes;			/* of DwfRoute (route.h): what goes on it */
	int			turn;			/* of these, the next one */
	bool		is_found;		/* by the look under way */

	DwfConnection *connection;	/* in a context of its own; NULL: none */
	MemoryContext context;
	List	   *retired;		/* contexts of earlier ones, still in use */
	bool		is_open;		/* it can be used */
	int			max_connections;	/* its own; 0: the setting */
	int			rate_limit;		/* the same */

	DwfConnectionRest rest;
	DwfRate		rate;			/* of what is sent */
	DwfRate		with_polls;		/* of that and of polls, which wait for it */
	DwfConnectionRest polls;	/* polls rest by themselves, too */
	DwfSteady	throttled_poll; /* when a poll's 429 made it rest */
	int			polled;			/* polls, until they have ended */
	int			held;			/* attempts that have not ended; what is left
								 * to be written is nothing to it */
	int			picked;			/* taken in the transaction under way */
	int			in_flight;		/* of those held */
	int64		sent;			/* attempts that ended */
	int64		failed;
	char		reason[256];	/* why it rests, or cannot be opened */
	char		rest_reason[256];	/* why a lane of it does, the last one */
	char		poll_reason[256];	/* why polls rest by themselves */

	/* as it is shown */
	bool		is_paused;
	bool		polls_rest;
	DwfSteady	lanes_rest_until;	/* all of them rest; 0: they do not */
} DwfLink;

/*
 * Opens a connection, that of the settings where `server` is NULL.  Where it
 * cannot be opened, the server's log says why, once for each reason;
 * `has_servers`: there are others.
 */
extern void dwf_link_open(DwfLink *link, const DwfServer *server,
						  bool has_servers);

/* Frees what earlier connections of it have left, once nothing uses it. */
extern void dwf_link_free_retired(DwfLink *link);

/* Frees all of it.  Nothing may use it. */
extern void dwf_link_free(DwfLink *link);

/*
 * How many requests may be taken for a connection now, where `max` may be in
 * flight on it; and when there is room, DT_NOEND: when something has settled.
 */
extern int	dwf_link_room(DwfLink *link, DwfSteady now, int max);
extern DwfSteady dwf_link_room_at(DwfLink *link, DwfSteady now, int max);

/* A request is sent on it, or a poll, which both count in its rate. */
extern void dwf_link_take_send(DwfLink *link, DwfSteady now);
extern void dwf_link_take_poll(DwfLink *link);

/*
 * The same as above for polls, which have what sends leave; and how many of both
 * may be in flight.
 */
extern int	dwf_link_poll_room(DwfLink *link, DwfSteady now);
extern DwfSteady dwf_link_poll_at(DwfLink *link, DwfSteady now);
extern int	dwf_link_limit(const DwfLink *link);

/* How many it may send in a minute; 0: no limit. */
extern int	dwf_link_rate(const DwfLink *link);

/* Fills in what the view `connection` shows of it. */
extern void dwf_link_show(const DwfLink *link, DwfConnectionStatus *row);

#endif							/* DWF_LINK_H */
