/*
 * route.c
 *	  Which requests go on which connection.
 *
 * A request names a destination: a server, who owned it then, and for whom.
 * Which connection that is, PostgreSQL's catalogs say, and they may say another
 * thing tomorrow: a mapping is made or dropped, a privilege revoked, a server
 * given away.  So all of that is looked up anew in the first transaction after
 * any such change, before that claims anything; what has no connection then
 * waits, and costs nothing.
 *
 * Requests of many destinations may share a connection, as the roles that
 * PUBLIC's mapping serves do: it is the token that Domo knows.
 */
#include "postgres.h"

#include "base/guc.h"
#include "base/text.h"
#include "queue/verdict.h"
#include "worker/route.h"

#include "access/htup_details.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* A lane in the hash. */
typedef struct LaneRoute
{
	int64		lane;
	DwfRoute   *route;
} LaneRoute;

static bool is_stale = true;	/* the catalogs have changed */

static void note_change(Datum arg, int cache, uint32 hash);
static DwfRoute *add_route(DwfRoutes *routes, const DwfDestination *to);
static DwfLink *add_link(DwfRoutes *routes, Oid server, Oid mapping);
static DwfLink *get_link(DwfRoutes *routes, Oid server, Oid mapping);
static void look_at_route(DwfRoutes *routes, DwfRoute *route);
static void lend_link(DwfRoutes *routes, DwfRoute *route);
static void set_link(DwfRoute *route, DwfLink *link);
static void wait_for(DwfRoute *route, const char *reason);
static void tell_waiting(DwfRoute *route);
static bool is_unneeded(const DwfRoutes *routes, int place);
static bool has_tracked(const DwfLink *link);
static void describe_link(DwfLink *link, const DwfServer *server);
static void close_unused(DwfRoutes *routes);

void
dwf_routes_open(DwfRoutes *routes, void *(*alloc) (size_t size),
				void (*release) (void *pointer))
{
	static const int caches[] = {
		FOREIGNSERVEROID, FOREIGNDATAWRAPPEROID, USERMAPPINGOID, AUTHOID,
		AUTHMEMMEMROLE
	};
	const DwfDestination settings = {0};
	HASHCTL		control = {
		.keysize = sizeof(int64),
		.entrysize = sizeof(LaneRoute),
		.hcxt = TopMemoryContext,
	};

	for (int i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], note_change, (Datum) 0);
	routes->by_lane = hash_create("domowf lanes of servers", 64, &control,
								  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	(void) add_link(routes, InvalidOid, InvalidOid);
	set_link(add_route(routes, &settings), routes->links[0]);
	routes->items[0]->lanes.alloc = alloc;
	routes->items[0]->lanes.release = release;
	routes->reopen = true;
}

/* Called at any time: it must only take note. */
static void
note_change(Datum arg, int cache, uint32 hash)
{
	is_stale = true;
}

/* What is added has the memory functions of the first one. */
static DwfRoute *
add_route(DwfRoutes *routes, const DwfDestination *to)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	DwfRoute   *route = palloc0(sizeof(DwfRoute));

	route->to = *to;
	if (routes->count > 0)
	{
		route->lanes.alloc = routes->items[0]->lanes.alloc;
		route->lanes.release = routes->items[0]->lanes.release;
		routes->items = repalloc(routes->items,
								 (routes->count + 1) * sizeof(*routes->items));
	}
	else
		routes->items = palloc(sizeof(*routes->items));
	routes->items[routes->count++] = route;
	MemoryContextSwitchTo(old);
	return route;
}

static DwfLink *
add_link(DwfRoutes *routes, Oid server, Oid mapping)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	DwfLink    *link = palloc0(sizeof(DwfLink));

	link->server = server;
	link->mapping = mapping;
	routes->links = routes->nlinks == 0 ? palloc(sizeof(*routes->links)) :
		repalloc(routes->links,
				 (routes->nlinks + 1) * sizeof(*routes->links));
	routes->links[routes->nlinks++] = link;
	MemoryContextSwitchTo(old);
	return link;
}

static DwfLink *
get_link(DwfRoutes *routes, Oid server, Oid mapping)
{
	for (int i = 1; i < routes->nlinks; i++)
	{
		if (routes->links[i]->server == server &&
			routes->links[i]->mapping == mapping)
			return routes->links[i];
	}
	return add_link(routes, server, mapping);
}

bool
dwf_routes_are_stale(const DwfRoutes *routes)
{
	return is_stale || routes->reopen || routes->opened_for != PgReloadTime;
}

void
dwf_routes_look(DwfRoutes *routes)
{
	if (!dwf_routes_are_stale(routes))
		return;

	/*
	 * a change that comes while this looks, and an error, are for the next
	 * look
	 */
	is_stale = false;
	routes->reopen = true;
	routes->opened_for = PgReloadTime;
	routes->has_servers = dwf_server_exists();
	for (int i = 0; i < routes->nlinks; i++)
	{
		list_free(routes->links[i]->routes);
		routes->links[i]->routes = NIL;
		routes->links[i]->is_found = false;
	}
	set_link(routes->items[0], routes->links[0]);
	dwf_link_open(routes->links[0], NULL, routes->has_servers);
	routes->known = routes->links[0]->is_open + dwf_server_count_mappings();
	for (int i = 1; i < routes->count; i++)
		look_at_route(routes, routes->items[i]);
	for (int i = 1; i < routes->count; i++)
		lend_link(routes, routes->items[i]);
	close_unused(routes);
	routes->reopen = false;
}

/*
 * Requests of a role that is gone are claimed to be rejected, and sent nowhere:
 * for that any connection will do.
 */
static void
lend_link(DwfRoutes *routes, DwfRoute *route)
{
	if (!route->has_lost_role)
		return;
	for (int i = 0; i < routes->nlinks; i++)
	{
		DwfLink    *link = routes->links[i];

		if (!link->is_open || (i > 0 && !link->is_found))
			continue;
		set_link(route, link);
		return;
	}
	wait_for(route, "a role that asked for some was dropped");
}

/* Finds the connection of a route, and opens it. */
static void
look_at_route(DwfRoutes *routes, DwfRoute *route)
{
	const char *name = NameStr(route->to.server);
	const char *role;
	DwfServer	server;
	DwfFault	fault;
	DwfLink    *link;

	role = GetUserNameFromId(route->to.role, true);
	route->has_lost_role = role == NULL;
	if (role == NULL)
		return;
	namestrcpy(&route->role_name, role);
	if (dwf_server_find(pg_server_to_any(name, strlen(name), PG_UTF8),
						route->to.role, &server, &fault) != 0)
	{
		wait_for(route, pg_any_to_server(fault.message, strlen(fault.message),
										 PG_UTF8));
		return;
	}
	if (server.owner != route->to.owner)
	{
		wait_for(route, psprintf("server \"%s\" has another owner than when requests were enqueued",
								 name));
		return;
	}
	link = get_link(routes, server.oid, server.mapping);
	if (!link->is_found)
	{
		describe_link(link, &server);
		dwf_link_open(link, &server, true);
		link->is_found = true;
	}
	set_link(route, link);
}

static void
set_link(DwfRoute *route, DwfLink *link)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	route->link = link;
	route->reason[0] = '\0';
	link->routes = lappend(link->routes, route);
	MemoryContextSwitchTo(old);
}

/* Takes a route off its connection; what is in flight there goes on. */
static void
wait_for(DwfRoute *route, const char *reason)
{
	char		text[sizeof(route->reason)];

	dwf_text_cut(text, sizeof(text), reason);
	route->link = NULL;
	if (strcmp(route->reason, text) == 0)
		return;
	strlcpy(route->reason, text, sizeof(route->reason));
	route->is_told = false;
}

/* Once for each reason, where something does wait for it. */
static void
tell_waiting(DwfRoute *route)
{
	if (route->is_told)
		return;
	route->is_told = true;
	ereport(LOG,
			(errmsg(route->lanes.lanes.count > 0 ?
					"domowf: requests wait for a server: %s" :
					"domowf: instances that are followed wait for a server: %s",
					route->reason)));
}

static void
describe_link(DwfLink *link, const DwfServer *server)
{
	const char *role = OidIsValid(server->mapped) ?
	GetUserNameFromId(server->mapped, true) : "";

	namestrcpy(&link->server_name, server->name);
	namestrcpy(&link->role_name, role == NULL ? "" : role);
	link->max_connections = server->max_connections;
	link->rate_limit = server->rate_limit;
}

/* Forgets connections that nobody names any more, and that hold nothing. */
static void
close_unused(DwfRoutes *routes)
{
	int			kept = 1;

	for (int i = 1; i < routes->nlinks; i++)
	{
		DwfLink    *link = routes->links[i];

		if (link->is_found || link->held > 0 || link->polled > 0)
		{
			routes->links[kept++] = link;
			continue;
		}
		dwf_link_free(link);
	}
	routes->nlinks = kept;
}

DwfRoute *
dwf_routes_get(DwfRoutes *routes, const DwfDestination *to)
{
	bool		reopen = routes->reopen;
	DwfRoute   *route;

	for (int i = 0; i < routes->count; i++)
	{
		if (dwf_lane_same_destination(&routes->items[i]->to, to))
			return routes->items[i];
	}
	route = add_route(routes, to);
	routes->reopen = true;		/* where this fails */
	look_at_route(routes, route);
	lend_link(routes, route);
	routes->reopen = reopen;
	return route;
}

DwfRoute *
dwf_routes_of_lane(const DwfRoutes *routes, int64 lane)
{
	LaneRoute  *found;

	if (!dwf_lane_has_server(lane))
		return routes->items[0];
	found = hash_search(routes->by_lane, &lane, HASH_FIND, NULL);
	return found == NULL ? NULL : found->route;
}

void
dwf_routes_set_lane(DwfRoutes *routes, int64 lane, DwfRoute *route)
{
	LaneRoute  *entry;

	if (!dwf_lane_has_server(lane))
		return;
	entry = hash_search(routes->by_lane, &lane, HASH_ENTER, NULL);
	entry->route = route;
}

DwfSteady
dwf_routes_rest_until(const DwfLink *link, DwfSteady now)
{
	DwfResting	resting = {.until = DWF_NEVER};
	ListCell   *cell;

	foreach(cell, link->routes)
		dwf_lanes_add_resting(&((DwfRoute *) lfirst(cell))->lanes, now, &resting);
	return resting.until != DWF_NEVER && resting.ready == 0 &&
		resting.in_flight == link->in_flight ? resting.until : 0;
}

bool
dwf_routes_is_paused(const DwfLink *link, DwfSteady now)
{
	const DwfRest *pause = &link->rest.pause;
	ListCell   *cell;

	if (pause->pauses == 0)
		return false;
	if (pause->until > now || link->held > 0)
		return true;
	foreach(cell, link->routes)
	{
		/* what was refused waits so long at most before it is sent again */
		if (dwf_lanes_next(&((DwfRoute *) lfirst(cell))->lanes, now) <=
			now + dwf_verdict_backoff().cap)
			return true;
	}
	return false;
}

bool
dwf_routes_polls_rest(const DwfLink *link, DwfSteady now)
{
	const DwfRest *pause = &link->polls.pause;
	ListCell   *cell;

	foreach(cell, link->routes)
	{
		DwfSteady	poll_at = ((DwfRoute *) lfirst(cell))->poll_at;

		if (pause->pauses > 0 && poll_at != 0 &&
			(pause->until > now || poll_at <= now))
			return true;
	}
	return false;
}

/* Whether a connection that cannot be opened is one that nothing needs. */
static bool
is_unneeded(const DwfRoutes *routes, int place)
{
	const DwfLink *link = routes->links[place];
	ListCell   *cell;

	if (place == 0)
		return dwf_routes_need_no_settings(routes);
	if (link->is_open)
		return false;
	foreach(cell, link->routes)
	{
		if (((DwfRoute *) lfirst(cell))->lanes.lanes.count > 0)
			return false;
	}
	return true;
}

/* Whether instances are followed on it. */
static bool
has_tracked(const DwfLink *link)
{
	ListCell   *cell;

	foreach(cell, link->routes)
	{
		if (((DwfRoute *) lfirst(cell))->poll_at != 0)
			return true;
	}
	return false;
}

bool
dwf_routes_need_no_settings(const DwfRoutes *routes)
{
	return !routes->links[0]->is_open && routes->has_servers &&
		routes->items[0]->lanes.lanes.count == 0;
}

int
dwf_routes_show(const DwfRoutes *routes, DwfConnectionStatus *rows, int max)
{
	DwfSteady	now = dwf_clock_now();
	int			count = 0;

	for (int i = 1; i < routes->count && count < max; i++)
	{
		DwfRoute   *route = routes->items[i];
		DwfConnectionStatus *row = &rows[count];
		const char *role;

		if (route->link != NULL ||
			(route->lanes.lanes.count == 0 && route->poll_at == 0))
			continue;
		tell_waiting(route);
		memset(row, 0, sizeof(*row));
		row->is_unneeded = route->lanes.lanes.count == 0;
		row->polls_wait = route->poll_at != 0;
		role = NameStr(route->role_name);
		strlcpy(row->server, NameStr(route->to.server), sizeof(row->server));
		strlcpy(row->role, role, sizeof(row->role));
		row->state = DWF_CONNECTION_WAITS;
		strlcpy(row->reason, route->reason, sizeof(row->reason));
		count++;
	}
	for (int i = 0; i < routes->nlinks; i++)
	{
		DwfLink    *link = routes->links[i];

		link->is_paused = dwf_routes_is_paused(link, now);
		link->polls_rest = dwf_routes_polls_rest(link, now);
		link->lanes_rest_until = dwf_routes_rest_until(link, now);
	}
	for (int pass = 0; pass < 2; pass++)
	{
		for (int i = 0; i < routes->nlinks && count < max; i++)
		{
			const DwfLink *link = routes->links[i];
			bool		rests = !link->is_open ||
			link->is_paused || link->polls_rest || link->lanes_rest_until != 0;

			if (rests != (pass == 0))
				continue;
			dwf_link_show(link, &rows[count]);
			rows[count].polls_wait = link->polls_rest ||
				(!link->is_open && has_tracked(link));
			rows[count++].is_unneeded = is_unneeded(routes, i);
		}
	}
	return count;
}
