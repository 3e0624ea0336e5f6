-- The extension is created, and these are its functions
-- expect: domowf_start\(jsonb\)
-- expect: domowf_cancel\(text\)
CREATE EXTENSION domowf;
\echo

SELECT oid::regprocedure AS function, obj_description(oid, 'pg_proc') AS "what it does"
FROM pg_proc
WHERE proname LIKE 'domowf_%' AND prorettype <> 'internal'::regtype
ORDER BY 1;
