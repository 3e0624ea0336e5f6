/*
 * hung.h
 *	  Whose code hangs on domowf's objects, and on tables that it writes.
 */
#ifndef DWF_HUNG_H
#define DWF_HUNG_H

#include "nodes/pg_list.h"

/* What hangs on an object and is right. */
typedef struct DwfHung
{
	bool		fires;			/* triggers, for rows written below SQL */
	bool		runs;			/* functions that are not PostgreSQL's */
	bool		differs;		/* triggers or rules that go by the
								 * session_replication_role */
} DwfHung;

/*
 * Whether code hangs on an object that would run where C code uses it, and is
 * somebody's who does not have the rights of the object's owner: what an
 * index, a constraint, a default, statistics, a trigger or rule that always
 * fires, or a view needs, functions and all that leads to functions.  With
 * `is_written`, whose rows are written below SQL, whether something hangs there
 * that would be passed by, too: a foreign key from or to it, or a constraint
 * that is checked at the end of a statement or transaction.  Then says so in
 * words, palloc'd, with what to do.  `name` is the object's, for people.
 */
extern bool dwf_hung_find_fault(Oid class, Oid oid, const char *name,
								Oid owner, bool is_written, DwfHung *hung,
								char **message, char **hint);

/*
 * Whether an UPDATE of a row of somebody's table by its owner runs such code: of
 * whoever does not have the rights of that owner.  What fires is what does so
 * in an ordinary session.  `parts`: the relations that the row may be in or move
 * to, by their oids; the table itself, or its partitions and it; and those that a
 * foreign key changes with it.  All of them have to be locked, so that nothing is hung there meanwhile.  Says so as above,
 * in one phrase.
 */
extern bool dwf_hung_find_strangers(Oid table, const char *name, Oid owner,
									List *parts, char **message);

/*
 * Whether a trigger fires for a row that is written below SQL: always, or as a
 * replica does (firing.h), and is none of the extension's own, which are for
 * what others do to its tables.
 */
extern bool dwf_hung_fires(char enabled, bool is_internal, Oid function);

#endif							/* DWF_HUNG_H */
