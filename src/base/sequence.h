/*
 * sequence.h
 *	  The next id, without a trace in the session.
 */
#ifndef DWF_SEQUENCE_H
#define DWF_SEQUENCE_H

/*
 * The next value of a sequence, as nextval() takes it, but that lastval() and
 * currval() stay as they were: an INSERT whose trigger takes an id has its own
 * sequence as the last one.  Asks for no privilege.  2200H where there is none
 * left.  `sequence` has to be one.
 */
extern int64 dwf_sequence_next(Oid sequence);

/*
 * Sees to it that no value up to this one comes any more, as setval() does.
 * Returns whether one would have.  Leaves a sequence alone that counts down, or
 * would have none left.
 */
extern bool dwf_sequence_raise(Oid sequence, int64 value);

#endif							/* DWF_SEQUENCE_H */
