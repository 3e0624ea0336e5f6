/*
 * domowf.h
 *	  The nouns of domowf, used in this sense everywhere.
 *
 * call			one synchronous API call, made by a statement that waits for it
 * request		what Domo is asked to do; as a row: one asked of the worker
 * attempt		one HTTP exchange made for either
 * exchange		a request on the wire and the reply to it (http.h)
 * outcome		what is known to have come of a request (domo.h)
 * in doubt		the request may have been executed; nobody here can know
 * connection	where requests go and the token that goes with them
 * instance		one run of a workflow in Domo
 */
#ifndef DWF_DOMOWF_H
#define DWF_DOMOWF_H

#define DWF_VERSION		"1.1.0"

/*
 * The earliest version of the SQL that a worker serves, and in which a person
 * can change a request; raised where C code cannot do without what a later one
 * adds.  1.1: lanes, by which the queue is read.  In an earlier one calls are
 * made, and requests stored until the update.
 */
#define DWF_OLDEST_SQL	"1.1"

/* How many rolled-back calls a warning names before it only counts. */
#define DWF_MAX_NAMED	100

/* Attempts that one backend may have in flight: domowf_start_all(). */
#define DWF_MAX_PARALLEL	64

/* Attempts that one worker may have in flight: domowf.max_connections. */
#define DWF_MAX_CONNECTIONS	256

#endif							/* DWF_DOMOWF_H */
