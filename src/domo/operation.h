/*
 * operation.h
 *	  What Domo can be asked to do: one row of a table for each operation.
 *
 * A new one is a member of the enum and a row.  What a row cannot say, because
 * no other operation has it yet, is a new kind of request, body or reply, for
 * which the compiler then names the one place each.
 */
#ifndef DWF_OPERATION_H
#define DWF_OPERATION_H

#include <stdbool.h>

#include "http/exchange.h"

typedef enum DwfOperation
{
	DWF_START,
	DWF_CANCEL,
	DWF_SET_PERMISSIONS,
	DWF_READ_INSTANCE
} DwfOperation;

#define DWF_OPERATIONS	(DWF_READ_INSTANCE + 1)

/* What a caller has to give, and what of it Domo gets as the body. */
typedef enum DwfAsks
{
	DWF_ASKS_START,				/* an object: model, version, message, data */
	DWF_ASKS_ID,				/* an id, for the path; no body */
	DWF_ASKS_PERMISSIONS		/* an id, and a list as the body */
} DwfAsks;

/* What the body of a 2xx has to be. */
typedef enum DwfPromise
{
	DWF_PROMISES_INSTANCE,		/* an object with an id */
	DWF_PROMISES_NOTHING		/* nothing, or any JSON */
} DwfPromise;

typedef struct DwfOperationRow
{
	const char *name;			/* in SQL, and in the queue and the log */
	const char *subject;		/* in words, followed by an id */
	const char *invalid;		/* as in: invalid start request */
	const char *done;			/* in the warning of a rollback; NULL: it */
	/* changes nothing in Domo */
	DwfMethod	method;
	const char *path;			/* what stands before the id ... */
	const char *path_end;		/* ... and behind; NULL: no id in the path */
	DwfAsks		asks;
	DwfPromise	promises;
	bool		makes_instance; /* which its reply names */
	bool		repeatable;		/* harmless if Domo gets it twice */
	bool		queued;			/* may be asked of the worker */
	bool		by_model;		/* those of one model must not overtake */
} DwfOperationRow;

/* Its row; always there. */
extern const DwfOperationRow *dwf_operation(DwfOperation operation);

/* The operation's name in SQL: start, cancel, set_permissions. */
extern const char *dwf_operation_name(DwfOperation operation);

/* Finds one that the worker may be asked for; false: there is none so called. */
extern bool dwf_operation_find_queued(const char *name,
									  DwfOperation *operation);

#endif							/* DWF_OPERATION_H */
