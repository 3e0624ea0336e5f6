/*
 * table.h
 *	  Rows put into domowf's own tables without going through SQL.
 */
#ifndef DWF_TABLE_H
#define DWF_TABLE_H

/*
 * Inserts a row into a table of schema domowf and its indexes.  `values` are
 * in the order of the table's columns; CHECK and NOT NULL constraints are the
 * caller's to keep.  No privilege is asked for and no trigger, rule or policy
 * runs.  Raises 42P01 where the table is not there.
 */
extern void dwf_table_insert(const char *table, Datum *values, bool *nulls,
							 int ncolumns);

/* The oid of a relation in schema domowf; InvalidOid where it is not there. */
extern Oid	dwf_table_oid(const char *table);

#endif							/* DWF_TABLE_H */
