/*
 * roster.h
 *	  Which databases have a worker, or are to be probed: what the launcher
 *	  goes by.
 */
#ifndef DWF_ROSTER_H
#define DWF_ROSTER_H

#include "base/clock.h"

/*
 * Makes the calling process the launcher, which is woken by the others.
 */
extern void dwf_roster_open(void);

/*
 * Wakes the launcher: a database is new, or has the extension now, or is not to
 * be dormant any more.
 */
extern void dwf_roster_probe(Oid database);

/*
 * Marks a database as starting where it is unknown, due and not evicted.
 * Returns false where there is nothing to start.  One without an entry gets one,
 * where there is room, or a dormant one makes room, if it is to.
 */
extern bool dwf_roster_begin_start(Oid database, DwfSteady now,
								   bool make_room);

/*
 * When a worker that ended may be started again, or a dormant database visited;
 * DT_NOEND: there is none.
 */
extern DwfSteady dwf_roster_next_start(DwfSteady now);

/* Takes that back: no worker could be registered; again at `retry_at`. */
extern void dwf_roster_fail_start(Oid database, DwfSteady retry_at);

/*
 * The process of a start is gone.  Where it has never attached, and so cannot
 * have said so itself, another one is started, later each time.
 */
extern void dwf_roster_lose_start(Oid database);

/* Whether a process is to attach yet. */
extern bool dwf_roster_is_starting(Oid database);

/*
 * Takes out a database without the extension, whose entry is free for another
 * one then; InvalidOid: there is none.  In *overflow for which one that has the
 * extension now, the last one, there was no room since the last call.
 */
extern Oid	dwf_roster_take_absent(Oid *overflow);

/* Whether a database has an entry. */
extern bool dwf_roster_knows(Oid database);

/*
 * Whether a database has no entry and gets none soon: all are of others, and none
 * of these is to be looked at yet.
 */
extern bool dwf_roster_has_no_room(Oid database);

/* Frees the entries of databases that are not among `databases`. */
extern void dwf_roster_forget(const Oid *databases, int count);

#endif							/* DWF_ROSTER_H */
