-- What domowf depends on and is neither its own nor PostgreSQL's nor the schema
-- it is in: a line for each dependency that leaves it.  Its own are the members
-- of the extension, and what hangs on these and goes with them: rules of views,
-- policies, defaults, constraints, triggers, indexes, types of rows.
--
-- Run it with search_path = pg_catalog and quote_all_identifiers = off.
WITH RECURSIVE own AS (
	SELECT d.classid, d.objid
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
	WHERE e.extname = 'domowf' AND d.refclassid = 'pg_extension'::regclass
		AND d.deptype = 'e'
	UNION
	SELECT d.classid, d.objid
	FROM own o JOIN pg_depend d
		ON d.refclassid = o.classid AND d.refobjid = o.objid
	WHERE d.deptype NOT IN ('n', 'e', 'x')
)
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid)
	|| ' needs ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
	COLLATE "C" AS leaves
FROM own JOIN pg_depend d USING (classid, objid),
	pg_identify_object(d.refclassid, d.refobjid, d.refobjsubid) i
WHERE NOT EXISTS (SELECT FROM own o
				  WHERE o.classid = d.refclassid AND o.objid = d.refobjid)
	AND NOT (d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
	AND NOT (d.refclassid = 'pg_namespace'::regclass AND d.refobjid =
			 (SELECT extnamespace FROM pg_extension WHERE extname = 'domowf'))
	AND i.schema IS DISTINCT FROM 'pg_catalog'
	-- made by initdb, and a superuser's as PostgreSQL's own objects are
	AND NOT (d.refclassid = 'pg_language'::regclass AND d.refobjid =
			 (SELECT oid FROM pg_language
			  WHERE lanname = 'plpgsql' AND lanowner = 10))
ORDER BY 1;
