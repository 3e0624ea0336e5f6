/*
 * lanes.h
 *	  Whose turn it is: lanes that have something to send, those that will have
 *	  something, and those that rest.
 *
 * Pure: time comes as an argument, memory from whoever makes the lanes.
 */
#ifndef DWF_LANES_H
#define DWF_LANES_H

#include "queue/rest.h"

#include <limits.h>

/* Something that never comes; as DT_NOEND. */
#define DWF_NEVER	INT64_MAX

struct DwfRole;

/*
 * A lane that is known.
 *
 *		ready	in the ring of its role: has work, and may send it
 *		later	in the heap: at wake_at it may be ready, or be forgotten
 *		neither	its probe is in flight, or it was taken out for its turn
 *
 * It has work where ids are at hand, or something behind the place up to which
 * it has been read is due.
 */
typedef struct DwfLane
{
	int64_t		id;				/* first: it is looked up by it */
	struct DwfRole *role;
	struct DwfLane *next;		/* in the ring of its role, while ready */
	struct DwfLane *previous;
	struct DwfLane *next_resting;	/* in the list of those that rest */
	struct DwfLane *previous_resting;
	int64_t		wake_at;
	int			heap_place;		/* counted from 1; 0: not there */
	bool		is_ready;
	bool		is_listed;		/* among those that rest */
	bool		is_reread;		/* agenda.c's: what it reads, it may have read */
	int64_t		look;			/* agenda.c's: which has seen it last */
	int			in_flight;		/* attempts, taken and not ended */

	int64_t		cursor_due;		/* it has been read up to here */
	int64_t		cursor_id;
	int64_t		next_due;		/* when something behind that is due */
	int64_t    *ids;			/* that were read; NULL: none */
	int			count;
	int			taken;			/* of these */

	DwfRest		pause;
	int64_t		keep_until;		/* known without work: its failures count */
} DwfLane;

/* Lanes of one role. */
typedef struct DwfRole
{
	int64_t		id;				/* first, as above */
	int			nlanes;			/* known */
	DwfLane    *turn;			/* ring of ready lanes, the next one */
	struct DwfRole *next;		/* in the ring of roles that have one */
	struct DwfRole *previous;
} DwfRole;

/* What is found by its number, which it begins with. */
typedef struct DwfIndex
{
	int64_t   **slots;
	size_t		nslots;			/* a power of 2, or 0 */
	size_t		count;
} DwfIndex;

/* All zero but the first two: none is known. */
typedef struct DwfLanes
{
	void	   *(*alloc) (size_t size); /* zeroed; raises, but for NULL */
	void		(*release) (void *pointer);

	DwfIndex	lanes;
	DwfIndex	roles;
	DwfRole    *turn;			/* ring of roles with ready lanes */
	int			nready;
	DwfLane    *resting;		/* list */
	DwfLane   **heap;
	int			nheap;
	int			heap_size;
} DwfLanes;

/* A lane by its id; NULL where it is not known; or made, with nothing due. */
extern DwfLane *dwf_lanes_find(const DwfLanes *lanes, int64_t id);
extern DwfLane *dwf_lanes_get(DwfLanes *lanes, int64_t id);

/*
 * Puts a lane where it belongs after something of it has changed; forgets it
 * where there is no reason to know it, and then returns false.
 */
extern bool dwf_lanes_place(DwfLanes *lanes, DwfLane *lane, int64_t now);

/*
 * Forgets lanes that never have a turn, and so cannot be found empty: those that
 * this look has not seen, and of which nothing is in flight.
 */
extern void dwf_lanes_forget_unseen(DwfLanes *lanes, int64_t look);

/*
 * The lane whose turn it is: of the role whose turn it is, one lane after the
 * other, as well as one role after the other.  It is taken out, and to be
 * placed again.  NULL: nobody has anything to send.
 */
extern DwfLane *dwf_lanes_take_turn(DwfLanes *lanes, int64_t now);

/* When there may be something to send; `now` where there is. */
extern int64_t dwf_lanes_next(const DwfLanes *lanes, int64_t now);

/*
 * Lets lanes that rest since `since`, or have failed since then, go again: all
 * at once, or each with a probe.
 */
extern void dwf_lanes_wake(DwfLanes *lanes, int64_t since, bool open,
						   int64_t now);

/*
 * What there is of lanes that rest, and of others: nothing is sent because lanes
 * rest where one of them has work, and nothing else does or is in flight.
 */
typedef struct DwfResting
{
	int64_t		until;			/* DWF_NEVER: none with work; the first probes */
	int			ready;			/* others, which have work */
	int			in_flight;		/* attempts of those that rest */
} DwfResting;

/* Adds these lanes to it. */
extern void dwf_lanes_add_resting(const DwfLanes *lanes, int64_t now,
								  DwfResting *resting);

#endif							/* DWF_LANES_H */
