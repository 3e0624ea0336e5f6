-- Many are started at once; one bad one does not stop the rest
-- Four at a time over four connections. The third has no "version", and nothing of it is sent.
-- expect: ^ *1 \| [0-9a-f-]{36} \|
-- expect: ^ *3 \| +\| 22023 .*invalid start request: key "version"
-- expect: ^ *5 \| [0-9a-f-]{36} \|
-- expect: ^\(5 rows\)
-- executes: 4
SELECT r.ordinality AS n, (r.instance).id, r.sqlstate, r.error
FROM domowf_start_all(ARRAY(
       SELECT jsonb_build_object('messageName', 'Start Approval',
                                 'version', '1.0.0',
                                 'modelId', '7f8b1c55-0e8e-4c1c-9d6b-0b1f6a1c2d3e',
                                 'data', jsonb_build_object('n', n))
              - CASE WHEN n = 3 THEN 'version' ELSE '' END
       FROM generate_series(1, 5) n ORDER BY n),
     max_parallel => 4) r;
