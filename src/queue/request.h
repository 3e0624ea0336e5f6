/*
 * request.h
 *	  A request of the queue: as it is put in, as it is claimed, and what is to
 *	  be written down of an attempt.
 */
#ifndef DWF_REQUEST_H
#define DWF_REQUEST_H

#include "base/clock.h"
#include "base/sight.h"
#include "domo/domo.h"
#include "queue/lane.h"

#include "storage/itemptr.h"
#include "utils/jsonb.h"

/* A request to put into the queue.  NULL texts: none. */
typedef struct DwfEnqueue
{
	DwfOperation operation;
	const char *server;			/* where it goes, in UTF-8 */
	Oid			server_role;	/* for whom */
	DwfDestination to;			/* what dwf_enqueue_put() made of these */
	const char *workflow;
	Jsonb	   *request;
	bool		retry_on_doubt;
	bool		track;			/* the instance that it starts */
	int			max_attempts;
	const char *key;
	DwfOrigin	key_origin;		/* of a trigger: whose value it is */
	const char *order_key;
	const char *order_scope;	/* the workflow's; NULL: its own */
	const char *source;
	Oid			source_oid;		/* of a trigger: its table, and whose keys it */
	Oid			key_owner;		/* takes; else InvalidOid */
	Oid			requested_by;
	Jsonb	   *returns_to;		/* trigger/way_back.h; NULL: nowhere */
	TimestampTz run_at;			/* DT_NOBEGIN: nobody gave one */
	bool		has_expires_at;
	TimestampTz expires_at;
} DwfEnqueue;

/* A claimed request, as the worker sends it.  palloc'd as one. */
typedef struct DwfClaim
{
	int64		id;
	int64		lane;
	DwfDestination to;
	int			claim;			/* guards the settlement */
	ItemPointerData place;		/* where its row stands */
	DwfOperation operation;
	char	   *lane_name;		/* in words */
	Jsonb	   *request;
	bool		retry_on_doubt;
	int			attempts;
	int			max_attempts;
	int			failures;
	bool		role_exists;	/* who asked for it is still there */
	bool		is_logged;		/* the log has its id already */
} DwfClaim;

/* What a settlement makes of a request. */
typedef enum DwfVerdict
{
	DWF_SETTLE_DONE,			/* to the log */
	DWF_SETTLE_REJECTED,
	DWF_REQUEUE,				/* queued again */
	DWF_HOLD					/* in doubt, for a person */
} DwfVerdict;

/* The result of an attempt, to be written. */
typedef struct DwfResult
{
	int64		id;
	int			claim;
	ItemPointerData place;		/* where its row stood; invalid: not known */
	DwfOperation operation;
	DwfVerdict	verdict;
	int			attempts;		/* used, this one included */
	int			failures;
	DwfSteady	again_at;		/* DWF_REQUEUE: to be sent, not before */
	bool		is_put_back;	/* DWF_REQUEUE: as if it had not been claimed */
	const char *class;			/* of the attempt; NULL: it was none */
	DwfSteady	sent_at;		/* 0: it was not */
	int64		took;			/* usec until its reply; -1: nothing was sent */
	int			http_status;	/* 0: none */
	char	   *error;			/* NULL: none */
	Datum		errors;			/* jsonb object for this attempt, or 0 */
	DwfInstance *instance;		/* NULL: none */
	const DwfJsonNode *root;	/* the reply; NULL: none, or not JSON */
	const char *response;		/* what was parsed, not terminated */
	size_t		response_len;
} DwfResult;

#endif							/* DWF_REQUEST_H */
