/*
 * returns.h
 *	  Outcomes that are still to be written back into rows, or told to functions:
 *	  the table domowf.return_entry.
 */
#ifndef DWF_RETURNS_H
#define DWF_RETURNS_H

#include "base/table.h"

#include "utils/jsonb.h"

/*
 * Whether something is to be returned of the request at hand, as far as its row
 * and the registry tell.
 */
extern bool dwf_return_is_asked(const DwfTable *queue);

/* The same, of what is known of it; `workflow`: NULL: none. */
extern bool dwf_return_is_wanted(bool has_row, const char *workflow);

/*
 * The one place where an outcome is noted for the way back: to be called after
 * a request has come to `state` (an outcome, or in_doubt), and after the tracked
 * instance of one that is done has ended, in the transaction that has done so.
 * The latter is no state of the request, of which a function would be told.
 * Notes nothing where nobody has asked.  Any caller's rights will do.
 */
extern void dwf_return_note(int64 id, const char *state);
extern void dwf_return_note_end(int64 id);

/* The type of a field that a column may get; InvalidOid: there is none such. */
extern Oid	dwf_return_field_type(const char *field);

/* All of them, in words, palloc'd. */
extern char *dwf_return_list_fields(void);

/* One that is being done. */
typedef struct DwfReturn
{
	Oid			table;			/* from which it was taken */
	int64		id;
	int64		request;
	char	   *target;			/* as in the table */
	Jsonb	   *returns_to;		/* NULL: a function is called */
	Jsonb	   *outcome;
	int			depth;
	bool		was_tried;		/* before this try */
} DwfReturn;

/*
 * For a process that serves one owner: takes what is due next of his tables and
 * functions, of these in turn.  It is due again later, since whatever happens
 * meanwhile, the death of the server included, counts as a try.  False: nothing
 * is due; but for what is behind what this process has seen, or of a table or
 * function that is new to it, which may stay for a moment, unless it is to look
 * at all of it (`at_all`).  palloc'd in the current context.  In return_take.c.
 */
extern bool dwf_return_take(Oid owner, bool at_all, DwfReturn *entry);

/*
 * For whom that raised an error since an entry refuses to be taken: from now on
 * such a one is passed by for as long as the process lives, and told of.  False:
 * that is so already.  And how many are.
 */
extern bool dwf_return_take_apart(void);
extern int	dwf_return_refused(void);

/*
 * Removes one that is done; raises 40001 where it is no longer there, or the table
 * is another one by now: the extension was made anew.
 */
extern void dwf_return_remove(const DwfReturn *entry);

/* Writes down why it failed, if it is there, and has those wait behind it. */
extern void dwf_return_fail(const DwfReturn *entry, const char *why);

/*
 * For the worker: the owners of what is due (how many of `limit` at most), and
 * in *next when something is due after that, DT_NOEND where nothing is.  Sees
 * to what has no owner: a table that is gone, a function that is.
 */
extern int	dwf_return_find_owners(Oid *owners, int limit, TimestampTz *next);

/*
 * For the worker, at times: what was tried for too long, and clocks set back.  An
 * entry that refuses it keeps no other, and is told of (refused.h), as in the
 * next.  In return_care.c.
 */
extern void dwf_return_look_after(void);

/* What is due of a target that has no owner, as it is gone; with SPI connected. */
extern void dwf_return_see_to_orphans(const char *target);

typedef struct DwfReturnCounts
{
	int64		waiting;
	int64		failed;			/* of these */
	int64		late;			/* not tried for longer than stall_after */
	char	   *error;			/* the last one, palloc'd; not for everybody */
} DwfReturnCounts;

/* What waits, of all requests. */
extern void dwf_return_count(DwfReturnCounts *counts);

#endif							/* DWF_RETURNS_H */
