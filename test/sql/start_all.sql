-- Many starts at once: a row for each, in order; one that fails does not stop
-- the rest.
CREATE FUNCTION request(model_id text) RETURNS jsonb LANGUAGE sql
RETURN jsonb_build_object('messageName', 'Start X', 'version', '1.0.0',
                          'modelId', model_id, 'data', '{}'::jsonb);

\pset format unaligned
SELECT ordinality, (instance).model_id, sqlstate,
       regexp_replace(regexp_replace(error, 'toe "[0-9A-F]+"', 'toe "..."'),
                      '"{.*}"', '"{...}"') AS error
FROM domowf_start_all(ARRAY[request('a'), '{}', NULL,
  request('scenario:status:404'), request('b'), '[]',
  request('scenario:reply:no-id'), request('c')]);
\pset format aligned

-- many more than may be in flight, in order
SELECT count(*), count(DISTINCT (instance).id),
       bool_and((instance).model_id = 'm' || ordinality) AS in_order,
       count(sqlstate) AS failed
FROM domowf_start_all(ARRAY(SELECT request('m' || g) FROM generate_series(1, 200) g), 16);

-- the default, and one at a time
SELECT count(*) FROM domowf_start_all(ARRAY[request('a'), request('b')]);
SELECT count(*) FROM domowf_start_all(ARRAY[request('a'), request('b')], 1);
SELECT count(*) FROM domowf_start_all(max_parallel => 64, requests => ARRAY[request('a')]);

-- nothing to do, more than one dimension
SELECT count(*) FROM domowf_start_all('{}');
SELECT ordinality, (instance).model_id
FROM domowf_start_all(ARRAY[[request('a'), request('b')], [request('c'), request('d')]]);

-- what is wrong with the call itself
SELECT * FROM domowf_start_all(NULL);
SELECT * FROM domowf_start_all(ARRAY[request('a')], NULL);
SELECT * FROM domowf_start_all(ARRAY[request('a')], 0);
SELECT * FROM domowf_start_all(ARRAY[request('a')], 65);
DROP FUNCTION request(text);
