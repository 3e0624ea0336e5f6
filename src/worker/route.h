/*
 * route.h
 *	  Which requests go on which connection.
 *
 * What a sender's own files share; nobody else knows.
 */
#ifndef DWF_ROUTE_H
#define DWF_ROUTE_H

#include "queue/lane.h"
#include "worker/lanes.h"
#include "worker/link.h"

#include "utils/hsearch.h"

/* Requests of one destination: they go on one connection, or wait. */
typedef struct DwfRoute
{
	DwfDestination to;
	DwfLanes	lanes;
	NameData	role_name;		/* whose requests they are, for people */
	bool		has_lost_role;	/* nothing is sent on its link, which is any */
	DwfSteady	poll_at;		/* the tracker's: when an instance there is
								 * polled next; 0: none is */
	DwfLink    *link;			/* NULL: they wait, since ... */
	char		reason[256];
	bool		is_told;		/* by the server's log */
} DwfRoute;

/* All that are known; the first of each is the settings'. */
typedef struct DwfRoutes
{
	DwfRoute  **items;
	int			count;
	DwfLink   **links;
	int			nlinks;
	int			turn;			/* of the links, the next one */
	HTAB	   *by_lane;		/* of lanes that have a server */
	bool		has_servers;	/* there are some that could be named */
	int			known;			/* connections that could be, by the catalogs */
	bool		reopen;			/* try again to open what is not open */
	TimestampTz opened_for;		/* PgReloadTime when all was opened */
} DwfRoutes;

/* Makes them.  Once in a process. */
extern void dwf_routes_open(DwfRoutes *routes,
							void *(*alloc) (size_t size),
							void (*release) (void *pointer));

/* Whether something is to be opened, or looked at, (again). */
extern bool dwf_routes_are_stale(const DwfRoutes *routes);

/*
 * In a transaction, where they are stale: opens the settings' connection, and
 * those of all servers as PostgreSQL's catalogs have them now; says of the
 * others why requests wait.
 */
extern void dwf_routes_look(DwfRoutes *routes);

/* The route of a destination, made where there is none.  In a transaction. */
extern DwfRoute *dwf_routes_get(DwfRoutes *routes, const DwfDestination *to);

/* The route of a lane; NULL: not known.  And: it is this one. */
extern DwfRoute *dwf_routes_of_lane(const DwfRoutes *routes, int64 lane);
extern void dwf_routes_set_lane(DwfRoutes *routes, int64 lane,
								DwfRoute *route);

/*
 * Until when nothing is sent on a connection because all of its lanes that have
 * work rest; 0: they do not.
 */
extern DwfSteady dwf_routes_rest_until(const DwfLink *link, DwfSteady now);

/*
 * Whether a connection is paused, for people: one whose pause is over, and that has
 * nothing to send, waits for nobody.  And whether instances there are not polled,
 * since their polls rest.
 */
extern bool dwf_routes_is_paused(const DwfLink *link, DwfSteady now);
extern bool dwf_routes_polls_rest(const DwfLink *link, DwfSteady now);

/* Whether the settings' connection is one that nothing needs: servers are used. */
extern bool dwf_routes_need_no_settings(const DwfRoutes *routes);

/*
 * Fills in what the view `connection` shows: up to `max` rows, those that do
 * not get on first.  How many.
 */
extern int	dwf_routes_show(const DwfRoutes *routes, DwfConnectionStatus *rows,
							int max);

#endif							/* DWF_ROUTE_H */
