/*
 * queue.h
 *	  The tables of schema domowf, as the C code reads and changes them.
 */
#ifndef DWF_QUEUE_H
#define DWF_QUEUE_H

#include "base/objects.h"
#include "domo/domo.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* A request to put into the queue.  NULL texts: none. */
typedef struct DwfEnqueue
{
	DwfOperation operation;
	const char *workflow;
	Jsonb	   *request;
	bool		retry_on_doubt;
	int			max_attempts;
	const char *key;
	const char *order_key;
	const char *order_scope;	/* the workflow's; NULL: its own */
	const char *source;
	Oid			source_oid;		/* of a trigger: its table, and whose keys it */
	Oid			key_owner;		/* takes; else InvalidOid */
	Oid			requested_by;
	TimestampTz run_at;
	bool		has_expires_at;
	TimestampTz expires_at;
} DwfEnqueue;

/* A claimed request, as the worker sends it.  palloc'd as one. */
typedef struct DwfClaim
{
	int64		id;
	int64		lane;
	int			claim;			/* guards the settlement */
	DwfOperation operation;
	char	   *lane_name;		/* in words */
	Jsonb	   *request;
	bool		retry_on_doubt;
	int			attempts;
	int			max_attempts;
	int			failures;
	bool		role_exists;	/* who asked for it is still there */
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
	DwfOperation operation;
	DwfVerdict	verdict;
	int			attempts;		/* used, this one included */
	int			failures;
	TimestampTz run_at;			/* DWF_REQUEUE */
	int			http_status;	/* 0: none */
	char	   *error;			/* NULL: none */
	Datum		errors;			/* jsonb object for this attempt, or 0 */
	DwfInstance *instance;		/* NULL: none */
	const DwfJsonNode *root;	/* the reply; NULL: none, or not JSON */
	const char *response;		/* what was parsed, not terminated */
	size_t		response_len;
} DwfResult;

/* Whether the extension is installed in this database. */
extern bool dwf_queue_exists(void);

/*
 * Whether the tables that a worker uses are right (objects.h); otherwise why
 * they are not.
 */
extern bool dwf_queue_is_right(DwfObjectFault *fault);

/* Raises 55000 where they are not. */
extern void dwf_queue_require(void);

/* What dwf_queue_enter() changed. */
typedef struct DwfQueueScope
{
	Oid			user;
	int			security;
	int			guc_level;
} DwfQueueScope;

/*
 * Runs what follows as the owner of the queue, with a search_path and
 * replication role under which nothing of a user's runs.  Undone by
 * dwf_queue_leave(), or by the end of the (sub)transaction after an error.
 * Raises 55000 where one of domowf's objects is not right (objects.h).
 */
extern void dwf_queue_enter(DwfQueueScope *scope);

/* The same for what needs the registry only, as its owner. */
extern void dwf_queue_enter_registry(DwfQueueScope *scope);

/*
 * Raises that again, where a statement since has waited for a lock and found
 * its tables changed: to be called before its result is taken for what C code
 * expects.
 */
extern void dwf_queue_stay(void);
extern void dwf_queue_stay_registry(void);

/*
 * The worker's way: no settings, since it has its own, and to be undone by
 * dwf_queue_leave() behind the end of the transaction.
 */
extern void dwf_queue_become_owner(DwfQueueScope *scope);

/* Undoes dwf_queue_enter(). */
extern void dwf_queue_leave(const DwfQueueScope *scope);

/*
 * Enqueues; returns the id, or that of the request that holds the key, as
 * dwf_key_take() says.  53400 where there is no room for one more.
 */
extern int64 dwf_queue_enqueue(const DwfEnqueue *request);

#endif							/* DWF_QUEUE_H */
