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

-- columns, triggers and policies have comments as well
SELECT pg_describe_object(x.classid, x.objid, x.objsubid) AS without_comment
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid, LATERAL (
  SELECT 'pg_class'::regclass, attrelid, attnum FROM pg_attribute
  WHERE attrelid = d.objid AND attnum > 0 AND NOT attisdropped
    AND (SELECT relkind IN ('r', 'f') FROM pg_class WHERE oid = attrelid)
  UNION ALL SELECT 'pg_trigger'::regclass, oid, 0 FROM pg_trigger
  WHERE tgrelid = d.objid AND NOT tgisinternal
  UNION ALL SELECT 'pg_policy'::regclass, oid, 0 FROM pg_policy
  WHERE polrelid = d.objid) x (classid, objid, objsubid)
WHERE e.extname = 'domowf' AND d.deptype = 'e' AND d.classid = 'pg_class'::regclass
  AND NOT EXISTS (SELECT FROM pg_description c WHERE c.classoid = x.classid
                  AND c.objoid = x.objid AND c.objsubid = x.objsubid);

-- every object, and what others than its owner, who may do all, may do with it
SELECT i.type, i.identity, (
    SELECT string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC'
                      ELSE a.grantee::regrole::text END || ' '
                      || a.privilege_type, ', ' ORDER BY a.grantee, a.privilege_type)
    FROM aclexplode(m.acl) a WHERE a.grantee <> m.owner) AS others,
    NOT EXISTS (SELECT privilege_type FROM aclexplode(acldefault(m.type, m.owner))
                WHERE grantee = m.owner EXCEPT SELECT privilege_type
                FROM aclexplode(m.acl) WHERE grantee = m.owner) AS owner_all
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
LEFT JOIN LATERAL (
    SELECT type, owner, coalesce(acl, acldefault(type, owner)) FROM (
    SELECT 'f'::"char", proowner, proacl FROM pg_proc
    WHERE oid = d.objid AND d.classid = 'pg_proc'::regclass
    UNION ALL SELECT CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char",
        relowner, relacl FROM pg_class
    WHERE oid = d.objid AND d.classid = 'pg_class'::regclass
    UNION ALL SELECT 'T', typowner, typacl FROM pg_type
    WHERE oid = d.objid AND d.classid = 'pg_type'::regclass
    UNION ALL SELECT 'n', nspowner, nspacl FROM pg_namespace
    WHERE oid = d.objid AND d.classid = 'pg_namespace'::regclass
    UNION ALL SELECT 'F', fdwowner, fdwacl FROM pg_foreign_data_wrapper
    WHERE oid = d.objid AND d.classid = 'pg_foreign_data_wrapper'::regclass
    UNION ALL SELECT 'S', srvowner, srvacl FROM pg_foreign_server
    WHERE oid = d.objid AND d.classid = 'pg_foreign_server'::regclass
    ) o (type, owner, acl)) m (type, owner, acl) ON true,
pg_identify_object(d.classid, d.objid, 0) i
WHERE e.extname = 'domowf' AND d.deptype = 'e'
ORDER BY i.type COLLATE "C", i.identity COLLATE "C";

-- what it depends on, and is neither its own nor PostgreSQL's
\getenv abs_srcdir PG_ABS_SRCDIR
\set leaves :abs_srcdir '/update/leaves.sql'
\i :leaves

-- a version whose script can be hijacked cannot be installed any more
BEGIN;
DROP EXTENSION domowf;
CREATE EXTENSION domowf VERSION '1.0';
ROLLBACK;

-- it cannot be moved to another schema
ALTER EXTENSION domowf SET SCHEMA pg_catalog;
