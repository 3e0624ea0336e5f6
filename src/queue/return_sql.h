/*
 * return_sql.h
 *	  What the statements on domowf.return_entry have in common; for returns.c,
 *	  return_care.c and return_take.c alone.
 */
#ifndef DWF_RETURN_SQL_H
#define DWF_RETURN_SQL_H

#define DWF_RETURN_TABLE	"return_entry"

/* A name as a signature has it, and as the catalogs do. */
#define DWF_RETURN_QUOTED	"(\"(?:[^\"]|\"\")+\"|[^\"(.]+)"
#define DWF_RETURN_NAME(quoted) \
	"(CASE WHEN " quoted " LIKE '\"%' THEN replace(substr(" quoted ", 2, " \
	"length(" quoted ") - 2), '\"\"', '\"') ELSE " quoted " END)::name"

/*
 * Whose a target is; NULL: it is gone.  A function is not looked up by
 * to_regprocedure(), which raises an error, for all targets, where domowf's owner
 * may not use its schema.
 */
#define DWF_RETURN_OWNER_OF(target) \
	"CASE WHEN " target " LIKE 'table:%' THEN (SELECT c.relowner " \
	"FROM pg_class c WHERE c.oid = substr(" target ", 7)::oid) " \
	"ELSE (SELECT p.proowner FROM regexp_match(substr(" target ", 10), " \
	"'^" DWF_RETURN_QUOTED "[.]" DWF_RETURN_QUOTED "[(]domowf[.]request[)]$') m(part) " \
	"JOIN pg_namespace n ON n.nspname = " DWF_RETURN_NAME("m.part[1]") " " \
	"JOIN pg_proc p ON p.proname = " DWF_RETURN_NAME("m.part[2]") " " \
	"AND p.pronamespace = n.oid AND p.pronargs = 1 " \
	"AND p.proargtypes[0] = 'domowf.request'::regtype) END"

/*
 * Statements on entries look up their one row, and its request's, by values
 * (SELECT x FROM cte), and join nothing: by the statistics of an empty table it
 * costs the same to read all entries and look for each in the one row.
 *
 * Conditions that no index is looked up by, in a statement that goes by request:
 * few entries are of one request, many of one target.
 */
#define DWF_RETURN_ONLY(conditions)	"AND (" conditions ") IS TRUE "

/* All targets, each once, however many entries they have. */
#define DWF_RETURN_TARGETS \
	"WITH RECURSIVE t AS ((SELECT target FROM domowf.return_entry " \
	"ORDER BY target LIMIT 1) UNION ALL SELECT (SELECT e.target " \
	"FROM domowf.return_entry e WHERE e.target > t.target " \
	"ORDER BY e.target LIMIT 1) FROM t WHERE t.target IS NOT NULL), " \
	"s AS MATERIALIZED (SELECT target, (SELECT e.due " \
	"FROM domowf.return_entry e WHERE e.target = t.target " \
	"ORDER BY e.due LIMIT 1) AS due, " DWF_RETURN_OWNER_OF("target") " AS owner " \
	"FROM t WHERE target IS NOT NULL) "

/*
 * From so many seconds to 15 minutes, twice as long each time; `tries` is an
 * expression.
 */
#define DWF_RETURN_WAIT(seconds, tries) \
	"least(interval '15 min', make_interval(secs => " seconds ") " \
	"* power(2, least(" tries ", 20))) "
#define DWF_RETURN_BACKOFF \
	"clock_timestamp() + " DWF_RETURN_WAIT("1", "tries")

/*
 * What is being tried for the first time has not failed yet; the views `returns`
 * and `metric` know it, too, and by what.
 */
#define DWF_RETURN_HAS_FAILED \
	"(tries > 1 OR tries = 1 AND error <> " DWF_RETURN_ENDED ")"

/* What stands there where nobody could write down more. */
#define DWF_RETURN_ENDED	"'the process that was at it ended'"

#endif							/* DWF_RETURN_SQL_H */
