-- What CREATE EXTENSION makes: every object has a comment, nothing is open to
-- PUBLIC, and no function can be run in a parallel worker or taken for
-- something that may be evaluated less often than it is written.
SELECT p.oid::regprocedure AS function, p.provolatile, p.proparallel,
       p.proisstrict, p.proretset, p.prosupport::regproc AS support
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid
WHERE e.extname = 'domowf' AND d.classid = 'pg_proc'::regclass
ORDER BY p.oid::regprocedure::text COLLATE "C";

SELECT pg_describe_object(d.classid, d.objid, 0) AS without_comment
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
WHERE e.extname = 'domowf' AND d.deptype = 'e'
  AND NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
                  WHERE t.oid = d.objid AND d.classid = 'pg_type'::regclass
                  AND (t.typelem <> 0 OR c.relkind <> 'c'))
  AND obj_description(d.objid, d.classid::regclass::name) IS NULL;

SELECT a.attrelid::regclass AS type, a.attname,
       format_type(a.atttypid, a.atttypmod) AS type,
       col_description(a.attrelid, a.attnum) IS NOT NULL AS has_comment
FROM pg_attribute a
WHERE a.attrelid IN ('domowf_instance'::regclass,
                     'domowf_permission'::regclass)
ORDER BY a.attrelid::regclass::text COLLATE "C", a.attnum;

-- PUBLIC may execute nothing
SELECT p.oid::regprocedure AS open_to_public
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid,
     aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
WHERE e.extname = 'domowf' AND d.classid = 'pg_proc'::regclass
  AND a.grantee = 0;
CREATE ROLE regress_domowf_nobody;
SET ROLE regress_domowf_nobody;
SELECT domowf_start('{}');
SELECT domowf_start_all(ARRAY[]::jsonb[]);
SELECT domowf_cancel('x'::text);
SELECT domowf_cancel('{}'::jsonb);
SELECT domowf_set_permissions('{}');
SELECT domowf_set_permissions('x', '[]');
RESET ROLE;
DROP ROLE regress_domowf_nobody;

-- it cannot be moved to another schema
ALTER EXTENSION domowf SET SCHEMA pg_catalog;
