-- Requests that are not well formed are refused with what was found, what was
-- expected and where, and nothing is sent.
CREATE FUNCTION refused(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hint text;
BEGIN
  EXECUTE 'SELECT ' || call;
  RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
  RETURN SQLSTATE || ' ' || SQLERRM ||
    CASE WHEN hint <> '' THEN E'\nHINT ' || hint ELSE '' END;
END $$;
\pset format unaligned
\pset tuples_only on

-- a start: its four keys
SELECT refused($q$domowf_start('{}')$q$);
SELECT refused($q$domowf_start('{"version": "1.0.0", "modelId": "m", "data": {}}')$q$);
SELECT refused($q$domowf_start('{"messageName": "Start X", "modelId": "m", "data": {}}')$q$);
SELECT refused($q$domowf_start('{"messageName": "Start X", "version": "1.0.0", "data": {}}')$q$);
SELECT refused($q$domowf_start('{"messageName": "Start X", "version": "1.0.0", "modelId": "m"}')$q$);
SELECT refused($q$domowf_start('{"messageName": 1, "version": "1.0.0", "modelId": "m", "data": {}}')$q$);
SELECT refused($q$domowf_start('{"messageName": "Start X", "version": 1.0, "modelId": "m", "data": {}}')$q$);
SELECT refused($q$domowf_start('{"messageName": "Start X", "version": "1.0.0", "modelId": null, "data": {}}')$q$);
SELECT refused($q$domowf_start('{"messageName": "Start X", "version": "1.0.0", "modelId": "m", "data": []}')$q$);
SELECT refused($q$domowf_start('{"messageName": "Start X", "version": "1.0.0", "modelId": "m", "data": "{}"}')$q$);
SELECT refused($q$domowf_start('{"messageName": "Start X", "version": "1.0.0", "modelId": "m", "data": null}')$q$);
SELECT refused($q$domowf_start('{"messageName": "Start X", "version": "1.0.0", "modelId": "m", "data": {}, "Data": true}')$q$);
SELECT refused($q$domowf_start('{"messageName": "", "version": "1.0.0", "modelId": "m", "data": {}}')$q$);
SELECT refused($q$domowf_start('{"messageName": "Start X", "version": "1.0.0", "modelId": "..", "data": {}}')$q$);

-- more keys than any request has
SELECT refused($q$domowf_start((SELECT jsonb_object_agg('key ' || g, g) FROM generate_series(1, 65) g))$q$);
SELECT refused($q$domowf_cancel((SELECT jsonb_object_agg('key ' || g, g) FROM generate_series(1, 65) g))$q$);

-- no object at all
SELECT refused($q$domowf_start('[]')$q$);
SELECT refused($q$domowf_start('"x"')$q$);
SELECT refused($q$domowf_start('null')$q$);
SELECT refused($q$domowf_start(NULL)$q$);
SELECT refused($q$domowf_start('', '{}')$q$);
SELECT refused($q$domowf_start('w', '[]')$q$);

-- 1 MB of data, and a byte more (nothing listens where it would go)
SELECT refused($q$domowf_start(jsonb_build_object('messageName', 'Start X', 'version',
  '1.0.0', 'modelId', 'm', 'data', jsonb_build_object('t', repeat('x', 1048577 - 9))))$q$);

-- a cancel: one id
SELECT refused($q$domowf_cancel('{}'::jsonb)$q$);
SELECT refused($q$domowf_cancel('{"id": 7}'::jsonb)$q$);
SELECT refused($q$domowf_cancel('{"id": null}'::jsonb)$q$);
SELECT refused($q$domowf_cancel('{"id": "a", "instanceId": "b"}'::jsonb)$q$);
SELECT refused($q$domowf_cancel('{"id": ""}'::jsonb)$q$);
SELECT refused($q$domowf_cancel('{"id": "."}'::jsonb)$q$);
SELECT refused($q$domowf_cancel('["a"]'::jsonb)$q$);
SELECT refused($q$domowf_cancel(NULL::jsonb)$q$);
SELECT refused($q$domowf_cancel(NULL::text)$q$);
SELECT refused($q$domowf_cancel(''::text)$q$);
SELECT refused($q$domowf_cancel('..'::text)$q$);
SELECT refused($q$domowf_cancel(repeat('x', 1025))$q$);

-- an untyped literal is text
SELECT refused($q$domowf_cancel('{"id": "a"}')$q$);

-- a permission change
SELECT refused($q$domowf_set_permissions('{}')$q$);
SELECT refused($q$domowf_set_permissions('{"modelId": "m"}')$q$);
SELECT refused($q$domowf_set_permissions('{"modelId": "m", "permissions": {}}')$q$);
SELECT refused($q$domowf_set_permissions('{"modelId": "m", "permissions": []}')$q$);
SELECT refused($q$domowf_set_permissions('{"modelId": "m", "permissions": [1]}')$q$);
SELECT refused($q$domowf_set_permissions('{"modelId": "m", "permissions": [], "id": 1}')$q$);
SELECT refused($q$domowf_set_permissions('m', '[{}]')$q$);
SELECT refused($q$domowf_set_permissions('m', '[{"id": 1, "type": "USER", "permissions": []}]')$q$);
SELECT refused($q$domowf_set_permissions('m', '[{"id": "1", "type": "user", "permissions": []}]')$q$);
SELECT refused($q$domowf_set_permissions('m', '[{"id": "1", "type": "USER", "permissions": "READ"}]')$q$);
SELECT refused($q$domowf_set_permissions('m', '[{"id": "1", "type": "USER", "permissions": ["READ", 1]}]')$q$);
SELECT refused($q$domowf_set_permissions('m', '[{"id": "1", "type": "USER", "permissions": []}, {"id": "", "type": "USER", "permissions": []}]')$q$);
SELECT refused($q$domowf_set_permissions('m', '[{"id": "1", "type": "USER", "permissions": [], "role": "x"}]')$q$);
SELECT refused($q$domowf_set_permissions('m', '"READ"')$q$);
SELECT refused($q$domowf_set_permissions('..', '[{"id": "1", "type": "USER", "permissions": []}]')$q$);
SELECT refused($q$domowf_set_permissions(NULL)$q$);
SELECT refused($q$domowf_set_permissions('m', NULL)$q$);
SELECT refused($q$domowf_set_permissions(NULL, '[]')$q$);

\pset tuples_only off
\pset format aligned
DROP FUNCTION refused(text);
