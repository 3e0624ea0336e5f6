-- The three calls against the stand-in: what they return, and how refusals
-- and doubts are told.
\set start '{"messageName": "Start AddTwoNumbers", "version": "1.1.0", "modelId": "a8afdc89-9491-4ee4-b7c3-b9e9b86c0138", "data": {"parameter1": 13, "parameter2": 7}}'

-- a row, with what changes from run to run left out
SELECT i.id ~ '^[0-9a-f-]{36}$' AS id, i.model_id, i.model_name,
       i.model_version, i.created_by,
       i.created_on > now() - interval '1 hour' AS created_on, i.updated_by,
       i.updated_on = i.created_on AS updated_on, i.status IS NULL AS no_status,
       i.is_test_run, i.deployment_id, i.response ->> 'status' AS in_response,
       i.response ->> 'id' = i.id AS whole
FROM domowf_start(:'start') i;

-- logging into a table of one's own
CREATE TABLE my_log AS
  SELECT now() AS at, i.* FROM domowf_start(:'start') i LIMIT 0;
INSERT INTO my_log SELECT now(), i.* FROM domowf_start(:'start') i;
INSERT INTO my_log SELECT now(), i.*
  FROM generate_series(1, 3) g,
       domowf_start(jsonb_set(:'start', '{data,n}', to_jsonb(g))) i;
SELECT count(*), count(DISTINCT id) FROM my_log;

-- cancel by id, and by a row of the log as it stands
SELECT i.id = l.id AS same, i.status, i.deployment_id IS NOT NULL AS deployment_id,
       i.bpmn_process_id IS NOT NULL AS bpmn_process_id,
       i.bpmn_process_name IS NOT NULL AS bpmn_process_name, i.is_test_run
FROM (SELECT * FROM my_log ORDER BY id LIMIT 1) l, domowf_cancel(l.id) i;
SELECT count(*) FROM my_log l, domowf_cancel(to_jsonb(l)) i WHERE i.id = l.id;

-- permissions: the entries that Domo accepted
SELECT * FROM domowf_set_permissions('m1', '[
  {"id": "123456", "type": "USER", "name": "John Doe",
   "permissions": ["ADMIN", "SHARE", "DELETE", "WRITE", "READ", "EXPORT", "EXECUTE", "UPDATE_CONTENT"]},
  {"id": "98765", "type": "GROUP", "name": null, "permissions": []}]');
SELECT * FROM domowf_set_permissions('{"modelId": "m1", "permissions": [
  {"id": "1", "type": "USER", "permissions": ["READ_CONTENT", "FLY"]}]}');

-- replies: formats of status and time, and what is missing
SELECT s, i.status, i.response ->> 'status' AS in_response
FROM unnest(ARRAY['status-json-null', 'status-string-null',
                  'status-in-progress', 'status-cancelled',
                  'status-canceled', 'status-failed', 'status-unknown']) s,
     domowf_start(jsonb_set(:'start', '{modelId}', to_jsonb('scenario:reply:' || s))) i
WHERE i.id IS NOT NULL;
SELECT s, i.created_on AT TIME ZONE 'UTC' AS created_on,
       jsonb_typeof(i.response -> 'createdOn') AS in_response
FROM unnest(ARRAY['epoch-ms', 'times-other-zone', 'times-without-ms',
                  'times-nonsense']) s,
     domowf_start(jsonb_set(:'start', '{modelId}', to_jsonb('scenario:reply:' || s))) i
WHERE i.id IS NOT NULL;
SELECT i.id IS NOT NULL AS id, i.model_id, i.created_on, i.response - 'id' AS rest
FROM domowf_start(jsonb_set(:'start', '{modelId}', '"scenario:reply:only-id"')) i;
SELECT (i.response - array(SELECT jsonb_object_keys(r.response)
                           FROM domowf_start(:'start') r)) AS unknown_fields
FROM domowf_start(jsonb_set(:'start', '{modelId}', '"scenario:reply:extra-fields"')) i;

-- refusals and doubts; what the stand-in makes up is replaced
CREATE FUNCTION outcome(operation text, scenario text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  state text; message text; detail text; hint text;
BEGIN
  CASE operation
    WHEN 'start' THEN PERFORM domowf_start(jsonb_build_object('messageName',
      'Start X', 'version', '1.0.0', 'modelId', scenario, 'data', '{}'::jsonb));
    WHEN 'cancel' THEN PERFORM domowf_cancel(scenario);
    ELSE PERFORM domowf_set_permissions(scenario,
      '[{"id": "1", "type": "USER", "permissions": ["READ"]}]');
  END CASE;
  RETURN 'done';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE,
    message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RETURN state || ' ' || message || E'\n  ' ||
    regexp_replace(regexp_replace(detail, 'toe "[0-9A-F]+"', 'toe "..."'),
                   '"{.*"([.]| The)', '"{...}"\1') || E'\n  ' || hint;
END $$;

\pset format unaligned
\pset tuples_only on
SELECT outcome('start', 'scenario:status:400');
SELECT outcome('start', 'scenario:status:401');
SELECT outcome('start', 'scenario:status:403');
SELECT outcome('cancel', 'no-such-instance');
SELECT outcome('set_permissions', 'scenario:status:404');
SELECT outcome('start', 'scenario:retry-after:429:7');
SELECT outcome('start', 'scenario:status:408');
SELECT outcome('cancel', 'scenario:status:408');
SELECT outcome('start', 'scenario:status:503');
SELECT outcome('cancel', 'scenario:status:503');
SELECT outcome('set_permissions', 'scenario:html:502');
SELECT outcome('start', 'scenario:redirect');
SELECT outcome('start', 'scenario:blocked');
SELECT outcome('start', 'scenario:reply:id-number');
SELECT outcome('cancel', 'scenario:reply:no-id');
SELECT outcome('start', 'scenario:reply:duplicate-id');
SELECT outcome('start', 'scenario:reply:invalid-utf8');
SELECT outcome('start', 'scenario:reply:deep');
SELECT outcome('set_permissions', 'scenario:reply:text');
SELECT outcome('set_permissions', 'scenario:reply:array');
SELECT outcome('start', 'scenario:text:500');
SELECT outcome('start', 'scenario:oversize:2000000');
\pset tuples_only off
\pset format aligned

DROP FUNCTION outcome(text, text);
DROP TABLE my_log;
