-- (f(x)).* would call Domo once for each column: it is refused while it is
-- planned, wherever it stands.  What calls once is not.
\set VERBOSITY terse
\set r '''{"messageName": "Start X", "version": "1.0.0", "modelId": "m1", "data": {}}''::jsonb'
CREATE TABLE instances AS SELECT i.* FROM domowf_start(:r) i LIMIT 0;
CREATE TABLE texts (id text, status text);

SELECT (domowf_start(:r)).*;
SELECT (domowf_start(:r)).id, (domowf_start(:r)).status;
SELECT (domowf_cancel('x'::text)).*;
SELECT (domowf_set_permissions('m', '[{"id": "1", "type": "USER", "permissions": []}]')).*;
SELECT (domowf_start_all(ARRAY[:r])).*;
EXPLAIN SELECT (domowf_start(:r)).*;
INSERT INTO instances SELECT (domowf_start(:r)).*;
INSERT INTO instances VALUES ((domowf_start(:r)).*);
INSERT INTO instances VALUES ((domowf_start(:r)).*), ((domowf_start(:r)).*);
INSERT INTO texts VALUES ('a', 'b') RETURNING (domowf_start(:r)).*;
UPDATE texts SET (id, status) = (SELECT s.id, s.status FROM (SELECT (domowf_start(:r)).*) s);
MERGE INTO texts USING (VALUES (1)) v ON false
  WHEN NOT MATCHED THEN INSERT VALUES ((domowf_start(:r)).id, (domowf_start(:r)).status);
SELECT ROW((domowf_start(:r)).*);
SELECT 1 WHERE ROW((domowf_start(:r)).*) IS NULL;
WITH c AS (SELECT (domowf_start(:r)).*) SELECT * FROM c;
SELECT * FROM (SELECT (domowf_start(:r)).*) s;
SELECT id FROM (SELECT (domowf_start(:r)).* OFFSET 0) s;
SELECT (domowf_start(jsonb_build_object('messageName', 'x', 'version', '1.0.0',
  'modelId', 'm', 'data', jsonb_build_object('n', g)))).* FROM generate_series(1, 2) g;
SELECT 1 ORDER BY (domowf_start(:r)).id, (domowf_start(:r)).status;
CREATE VIEW v AS SELECT (domowf_start(:r)).*;
SELECT * FROM v;
SELECT id FROM v;
DROP VIEW v;
PREPARE p(jsonb) AS SELECT (domowf_start($1)).*;
EXECUTE p(:r);
DO $$ DECLARE x record; BEGIN
  SELECT (domowf_start('{"messageName": "X", "version": "1.0.0", "modelId": "m", "data": {}}')).* INTO x;
END $$;
DO $$ DECLARE x record; BEGIN
  x := ROW((domowf_start('{"messageName": "X", "version": "1.0.0", "modelId": "m", "data": {}}')).*);
END $$;
SELECT count(*) FROM instances;

-- these call once
INSERT INTO instances SELECT i.* FROM domowf_start(:r) i;
INSERT INTO instances SELECT (s.i).* FROM (SELECT domowf_start(:r) AS i OFFSET 0) s;
SELECT count((domowf_start(:r)).id);
WITH c AS (SELECT domowf_start(:r) AS i)
  SELECT (c.i).id IS NOT NULL AS id, (c.i).model_id FROM c;
WITH c AS NOT MATERIALIZED (SELECT domowf_start(:r) AS i)
  SELECT (c.i).id IS NOT NULL AS id, (c.i).model_id FROM c;
SELECT count(*), count(DISTINCT id) FROM instances;
SELECT count(*) FROM instances WHERE response ->> 'id' = id;
DROP TABLE instances, texts;
