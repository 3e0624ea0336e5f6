/*
 * sight.h
 *	  Who sees what: requests, and the values of columns.
 */
#ifndef DWF_SIGHT_H
#define DWF_SIGHT_H

#include "access/attnum.h"

/*
 * Whether a role sees what all others asked for.  Together with "is it his
 * own", domowf.may_see(), which is for SQL.
 */
extern bool dwf_sight_of_all(Oid role);

/*
 * Whether it may write what it sees, too, as it has the rights of the queue's
 * owner: who reads all data does no more than read.
 */
extern bool dwf_sight_of_owner(Oid role);

/*
 * What a value is of: a column of a table, which may be a partition of another
 * one.  Begin zeroed: of none, as what somebody has given himself.
 */
typedef struct DwfOrigin
{
	Oid			table;
	Oid			parent;			/* has a column of that name; may be the same */
	AttrNumber	column;			/* of `table`; 0: of none */
} DwfOrigin;

/*
 * Whether the current user may read that column, of every row, in the one table
 * or the other.  An error that shows him the value of one that he may not read
 * would read it for him.
 */
extern bool dwf_sight_of_value(const DwfOrigin *origin);

#endif							/* DWF_SIGHT_H */
