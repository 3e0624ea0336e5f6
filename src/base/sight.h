/*
 * sight.h
 *	  Who sees all requests.
 */
#ifndef DWF_SIGHT_H
#define DWF_SIGHT_H

/*
 * Whether a role sees what all others asked for.  Together with "is it his
 * own", domowf.may_see(), which is for SQL.
 */
extern bool dwf_sight_of_all(Oid role);

#endif							/* DWF_SIGHT_H */
