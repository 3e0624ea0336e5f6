/*
 * link.c
 *	  A connection of the worker: a server and a token, or what the settings say.
 *
 * It must not know what goes on it, nor whose turn it is.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/text.h"
#include "worker/link.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

static void use(DwfLink *link, DwfConnection *opened, MemoryContext context);
static void retire(DwfLink *link);
static bool goes_same_way(const DwfConnection *a, const DwfConnection *b);
static bool is_same(const DwfConnection *a, const DwfConnection *b);
static void tell_closed(DwfLink *link, const ErrorData *error,
						bool has_servers);

void
dwf_link_open(DwfLink *link, const DwfServer *server, bool has_servers)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "domowf connection",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	DwfConnection *opened = palloc(sizeof(DwfConnection));

	/* only reads files and settings: nothing that an abort would have to undo */
	PG_TRY();
	{
		if (server == NULL)
			dwf_connection_open(opened);
		else
			dwf_connection_open_server(opened, server);
		use(link, opened, context);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		retire(link);
		tell_closed(link, error, has_servers);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	dwf_link_free_retired(link);
}

/*
 * Takes a connection that was opened, unless the one that is used is the same.
 * What rested because of another token or host need not any longer; but the
 * settings' goes on as it did.
 */
static void
use(DwfLink *link, DwfConnection *opened, MemoryContext context)
{
	const DwfConnection *before = link->connection;

	MemoryContextSwitchTo(TopMemoryContext);
	if (link->is_open && is_same(before, opened))
	{
		MemoryContextDelete(context);
		return;
	}
	if (OidIsValid(link->server) &&
		(!link->is_open || !goes_same_way(before, opened)))
	{
		memset(&link->rest, 0, sizeof(link->rest));
		memset(&link->polls, 0, sizeof(link->polls));
	}
	retire(link);
	link->context = context;
	link->connection = opened;
	link->is_open = true;
	if (link->rest.pause.pauses == 0)
		link->reason[0] = '\0';
}

/*
 * A connection lives until the last attempt that was sent on it has ended: its
 * reply is read with the token that was sent.
 */
static void
retire(DwfLink *link)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	if (link->context != NULL)
		link->retired = lappend(link->retired, link->context);
	link->context = NULL;
	link->connection = NULL;
	link->is_open = false;
	MemoryContextSwitchTo(old);
}

static bool
goes_same_way(const DwfConnection *a, const DwfConnection *b)
{
	return strcmp(a->token, b->token) == 0 &&
		strcmp(a->base_url, b->base_url) == 0 &&
		strcmp(a->proxy, b->proxy) == 0 &&
		strcmp(a->ca_file, b->ca_file) == 0;
}

static bool
is_same(const DwfConnection *a, const DwfConnection *b)
{
	const char *a_file = a->token_file == NULL ? "" : a->token_file;
	const char *b_file = b->token_file == NULL ? "" : b->token_file;

	return goes_same_way(a, b) && a->pool == b->pool &&
		strcmp(a_file, b_file) == 0 &&
		a->connect_timeout == b->connect_timeout &&
		a->timeout == b->timeout && a->max_response == b->max_response;
}

/* Once for each reason; who uses servers alone need set nothing else. */
static void
tell_closed(DwfLink *link, const ErrorData *error, bool has_servers)
{
	char		reason[sizeof(link->reason)];

	dwf_text_cut(reason, sizeof(reason), error->message);
	if (strcmp(link->reason, reason) == 0)
		return;
	strlcpy(link->reason, reason, sizeof(link->reason));
	if (OidIsValid(link->server))
		ereport(LOG,
				(errmsg("domowf: nothing is sent to server \"%s\": %s",
						NameStr(link->server_name), error->message),
				 error->hint ? errhint("%s", error->hint) : 0));
	else if (!has_servers)
		ereport(LOG,
				(errmsg("domowf: nothing is sent from this database: %s",
						error->message),
				 error->hint ? errhint("%s", error->hint) : 0));
	else
		ereport(LOG,
				(errmsg("domowf: nothing is sent from this database but to servers: %s",
						error->message),
				 error->hint ? errhint("%s", error->hint) : 0));
}

void
dwf_link_free_retired(DwfLink *link)
{
	ListCell   *cell;

	if (link->in_flight > 0 || link->polled > 0)
		return;
	foreach(cell, link->retired)
		MemoryContextDelete(lfirst(cell));
	list_free(link->retired);
	link->retired = NIL;
}

void
dwf_link_free(DwfLink *link)
{
	dwf_link_free_retired(link);
	if (link->context != NULL)
		MemoryContextDelete(link->context);
	pfree(link);
}

int
dwf_link_limit(const DwfLink *link)
{
	return link->max_connections > 0 ?
		Min(link->max_connections, dwf_max_connections) : dwf_max_connections;
}

int
dwf_link_rate(const DwfLink *link)
{
	return link->rate_limit > 0 ? link->rate_limit : dwf_rate_limit;
}

int
dwf_link_room(DwfLink *link, DwfSteady now, int max)
{
	int			room;

	if (!link->is_open)
		return 0;
	room = dwf_rest_room(&link->rest.pause, now, Min(max, dwf_link_limit(link))) -
		link->held - link->picked;
	if (room <= 0)
		return 0;
	return dwf_rate_room(&link->rate, dwf_link_rate(link), now,
						 room + link->picked) - link->picked;
}

DwfSteady
dwf_link_room_at(DwfLink *link, DwfSteady now, int max)
{
	const DwfRest *pause = &link->rest.pause;

	if (!link->is_open)
		return DT_NOEND;
	if (pause->pauses > 0 && now < pause->until)
		return pause->until;
	if (dwf_rest_room(pause, now, Min(max, dwf_link_limit(link))) <= link->held)
		return DT_NOEND;
	(void) dwf_rate_room(&link->rate, dwf_link_rate(link), now, 1);
	return now + dwf_rate_wait(&link->rate, dwf_link_rate(link));
}

/*
 * A bucket of its own for what is sent, which polls take nothing from, so that
 * none of them is what a request waits for; one for both, which requests do not
 * wait for, so that polls have what these leave.
 */
void
dwf_link_take_send(DwfLink *link, DwfSteady now)
{
	int			rate = dwf_link_rate(link);

	/* filled where nobody polls, too: by the limit that there is now */
	(void) dwf_rate_room(&link->with_polls, rate, now, 1);
	dwf_rate_take(&link->rate, rate, 1);
	dwf_rate_take(&link->with_polls, rate, 1);
}

void
dwf_link_take_poll(DwfLink *link)
{
	dwf_rate_take(&link->with_polls, dwf_link_rate(link), 1);
	link->polled++;
}

int
dwf_link_poll_room(DwfLink *link, DwfSteady now)
{
	int			limit = dwf_link_limit(link);
	int			room;

	if (!link->is_open)
		return 0;
	room = Min(dwf_rest_room(&link->rest.pause, now, limit),
			   dwf_rest_room(&link->polls.pause, now, limit)) -
		link->held - link->polled;
	return room <= 0 ? 0 :
		dwf_rate_room(&link->with_polls, dwf_link_rate(link), now, room);
}

DwfSteady
dwf_link_poll_at(DwfLink *link, DwfSteady now)
{
	DwfSteady	until = 0;

	if (!link->is_open)
		return DT_NOEND;
	if (link->rest.pause.pauses > 0)
		until = link->rest.pause.until;
	if (link->polls.pause.pauses > 0)
		until = Max(until, link->polls.pause.until);
	if (until > now)
		return until;
	if (Min(dwf_rest_room(&link->rest.pause, now, dwf_link_limit(link)),
			dwf_rest_room(&link->polls.pause, now, dwf_link_limit(link))) <=
		link->held + link->polled)
		return DT_NOEND;
	(void) dwf_rate_room(&link->with_polls, dwf_link_rate(link), now, 1);
	return now + dwf_rate_wait(&link->with_polls, dwf_link_rate(link));
}

/* A reason that an attempt has given is private. */
void
dwf_link_show(const DwfLink *link, DwfConnectionStatus *row)
{
	const char *reason = link->reason;

	memset(row, 0, sizeof(*row));
	strlcpy(row->server, NameStr(link->server_name), sizeof(row->server));
	strlcpy(row->role, NameStr(link->role_name), sizeof(row->role));
	row->is_public = OidIsValid(link->server) && row->role[0] == '\0';
	row->in_flight = link->in_flight;
	row->sent = link->sent;
	row->failed = link->failed;
	row->state = link->in_flight > 0 ? DWF_CONNECTION_SENDS :
		DWF_CONNECTION_IDLE;
	if (!link->is_open)
		row->paused_until = DT_NOEND;
	else if (link->is_paused)
	{
		row->paused_until = dwf_clock_shown(link->rest.pause.until);
		row->is_reason_private = true;
	}
	else if (link->lanes_rest_until != 0)
	{
		row->paused_until = dwf_clock_shown(link->lanes_rest_until);
		row->is_reason_private = true;
		reason = link->rest_reason;
	}
	else
	{
		/* it sends; what is not polled is told all the same */
		row->is_reason_private = link->polls_rest;
		dwf_text_cut(row->reason, sizeof(row->reason),
					 link->polls_rest ? link->poll_reason : "");
		return;
	}
	row->state = DWF_CONNECTION_PAUSED;
	dwf_text_cut(row->reason, sizeof(row->reason), reason);
}
