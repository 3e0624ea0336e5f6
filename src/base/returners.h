/*
 * returners.h
 *	  The processes that do returns (worker/returns.c), as shared memory knows
 *	  them: at most so many for a database, one for an owner; and the one that
 *	  does upkeep (worker/upkeep_process.c), for which DWF_UPKEEP_PLACE stands
 *	  in place of an owner.
 */
#ifndef DWF_RETURNERS_H
#define DWF_RETURNERS_H

/*
 * For the worker: keeps a place for a process that will serve an owner; false:
 * the owner has one, or there is no place.  A place is given back where no
 * process could be registered, and is free again where none has come.
 */
extern bool dwf_returner_reserve(Oid owner);
extern void dwf_returner_give_back(Oid owner);

/*
 * For such a process: takes its place; false: it has none any more, and must
 * exit.  The place is free again when the process exits, in whatever way.
 */
extern bool dwf_returner_attach(Oid database, Oid owner);

/* Has the worker told when it does, since it has done something. */
extern void dwf_returner_note_done(void);

/*
 * Whether a process does returns of a database, or has done some and ended so
 * many milliseconds ago: the next one may be on its way.
 */
extern bool dwf_returner_is_at_work(Oid database, int lately);

/* Whether somebody needs the database for himself. */
extern bool dwf_returner_is_evicted(void);

/*
 * Tells the worker of a database, and who does returns there, that something is
 * to be returned.  Without errors, fit for a commit callback.
 */
extern void dwf_returner_tell(Oid database);

/* For the worker: whether it was told since the last call. */
extern bool dwf_returner_take_told(void);

#endif							/* DWF_RETURNERS_H */
