/*
 * domo.h
 *	  The Domo Workflows API and nothing else: what a request must look like,
 *	  where it goes, what its reply means.
 *
 * Pure: no PostgreSQL, no network, no clock.  All memory is malloc's.
 * Sources: Domo's page and README.md, repeated here where a fact decides.
 */
#ifndef DWF_DOMO_H
#define DWF_DOMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "domo/json.h"
#include "domo/operation.h"
#include "http/exchange.h"

/* A workflow variable is at most 1 MB (Domo's documentation). */
#define DWF_MAX_DATA		(1024 * 1024)

/* Ids are documented as strings without a length; UUIDs today. */
#define DWF_MAX_ID			1024

/* One top-level member of the jsonb that a caller gave. */
typedef struct DwfField
{
	const char *key;
	DwfJsonType type;
	const char *text;			/* a string's value, else JSON text */
	size_t		len;
} DwfField;

/*
 * A request that is well formed.  It points into the fields that it was read
 * from and lives no longer than they do.
 */
typedef struct DwfRequest
{
	DwfOperation operation;
	const char *server;			/* where it goes; NULL: nothing is said */
	const char *workflow;		/* start by registered name; else NULL */
	const char *id;				/* model id; of a cancel: instance id */
	const char *message_name;	/* start */
	const char *version;		/* start */
	const char *data;			/* JSON text: start's data, or permissions */
	size_t		data_len;
	char		unknown_permission[64]; /* first such name; "": none */
	bool		has_null_name;	/* an entry of the list has "name": null */
} DwfRequest;

/*
 * Why a request is not well formed, in words for errmsg(), errhint() and
 * errdetail().  The message is UTF-8, the others can be shown as they are.
 */
typedef struct DwfFault
{
	char		message[512];
	char		hint[512];		/* "" for none */
	char	   *detail;			/* NULL for none; of whoever found the fault */
} DwfFault;

/*
 * What is known to have come of a request.  All are final for a call; for a
 * queued request the comment names what follows.
 */
typedef enum DwfOutcome
{
	DWF_DONE,					/* executed; settled */
	DWF_UNSENT,					/* certainly not sent; again after backoff */
	DWF_THROTTLED,				/* 429, not executed; again later */
	DWF_UNAUTHORIZED,			/* 401, not executed; again with a new token */
	DWF_REJECTED,				/* refused by Domo; settled */
	DWF_IN_DOUBT				/* it may have been executed */
} DwfOutcome;

/* The texts of an instance that may also be numbers: user ids are. */
#define DWF_INSTANCE_TEXTS	9

/*
 * An instance as a reply has it.  NULL strings: not there, or null.  They are
 * the node's that it was read from, or of `numbers`: it cannot be copied.
 */
typedef struct DwfInstance
{
	const char *id;
	const char *model_id;
	const char *model_name;
	const char *model_version;
	const char *deployment_id;
	const char *bpmn_process_id;
	const char *bpmn_process_name;
	const char *created_by;
	const char *updated_by;
	const char *status;
	char		numbers[DWF_INSTANCE_TEXTS][24];
	bool		has_created_on;
	bool		has_updated_on;
	int64_t		created_on;		/* microseconds since 1970-01-01 UTC */
	int64_t		updated_on;
	bool		has_is_test_run;
	bool		is_test_run;
} DwfInstance;

/* What a finished exchange means. */
typedef struct DwfReply
{
	DwfOutcome	outcome;
	char		sqlstate[6];	/* README.md, "Errors of calls"; 00000: done */
	DwfInstance instance;		/* start and cancel, when done */
	char	   *message;		/* Domo's words, valid UTF-8, one line */
	char	   *toe;			/* the id that Domo's support asks for */
	const char *nonsense;		/* what is wrong with a 2xx reply, constant */
	DwfJsonNode *root;			/* the body; NULL: it is not JSON */
	bool		blocked;		/* the page for addresses not allow-listed */
} DwfReply;

/*
 * Reads a request from the members of the caller's object, in any order.
 * Returns false and fills *fault where it is not well formed.  A start that
 * names a registered workflow lacks its id, message name and version then.
 */
extern bool dwf_domo_read_request(DwfOperation operation,
								  const DwfField *fields, int count,
								  DwfRequest *request, DwfFault *fault);

/*
 * The request's URL below `base` (no slash at its end), the id percent-encoded
 * (RFC 3986, all but unreserved characters).  Malloc'd; NULL: no memory.
 */
extern char *dwf_domo_url(const char *base, const DwfRequest *request);

/*
 * The request's body, malloc'd and terminated, its length in *len.  An
 * operation that asks for an id has none: NULL and true.  False: no memory.
 */
extern bool dwf_domo_body(const DwfRequest *request, char **body, size_t *len);

/*
 * Whether an instance of this status, as a reply's is read, goes on no more;
 * NULL: it has not told.
 */
extern bool dwf_domo_is_final(const char *status);

/*
 * Reads what an exchange means.  Never fails: short memory makes a reply
 * senseless, as a reply that could not be read.  To be given to
 * dwf_domo_free_reply().
 */
extern void dwf_domo_read_reply(DwfOperation operation,
								const DwfExchange *exchange, DwfReply *reply);

/* Frees what a reply holds. */
extern void dwf_domo_free_reply(DwfReply *reply);

#endif							/* DWF_DOMO_H */
