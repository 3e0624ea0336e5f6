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

-- the same field of two calls that somebody has written is meant twice; in a
-- view it is no longer known that there are two
INSERT INTO texts (id) VALUES ((domowf_start(:r)).id), ((domowf_start(:r)).id);
SELECT (domowf_start(:r)).id = (domowf_start(:r)).id AS same;
INSERT INTO texts SELECT (domowf_start(:r)).id, (domowf_start(:r)).id;
WITH c AS (SELECT (domowf_start(:r)).id), d AS (SELECT (domowf_start(:r)).id AS one, (domowf_start(:r)).id AS two)
  SELECT c.id = d.one AS same, d.one = d.two AS same FROM c, d;
PREPARE two(jsonb) AS SELECT (domowf_start($1)).id = (domowf_start($1)).id AS same;
EXECUTE two(:r);
DO $$ DECLARE one text; two text; BEGIN
  SELECT (domowf_start('{"messageName": "X", "version": "1.0.0", "modelId": "m", "data": {}}')).id,
    (domowf_start('{"messageName": "X", "version": "1.0.0", "modelId": "m", "data": {}}')).id INTO one, two;
  RAISE NOTICE 'same: %', one = two;
END $$;
CREATE FUNCTION one(jsonb) RETURNS text LANGUAGE sql AS 'SELECT (domowf_start($1)).id';
CREATE FUNCTION pair(jsonb) RETURNS boolean LANGUAGE sql
  AS 'SELECT (domowf_start($1)).id = (domowf_start($1)).id';
CREATE FUNCTION kept(jsonb) RETURNS boolean LANGUAGE sql SET search_path = public
  AS 'SELECT (domowf_start($1)).id = (domowf_start($1)).id';
CREATE FUNCTION parsed(jsonb) RETURNS boolean LANGUAGE sql
  BEGIN ATOMIC SELECT (domowf_start($1)).id = (domowf_start($1)).id; END;
SELECT one(:r) = one(:r) AS same, pair(:r) AS same, kept(:r) AS same;
INSERT INTO texts (id) VALUES (one(:r)), (one(:r));
SELECT parsed(:r);
CREATE VIEW w AS SELECT (domowf_start(:r)).id AS one, (domowf_start(:r)).id AS two;
SELECT * FROM w;
CREATE VIEW x AS SELECT (domowf_start(:r)).id;
SELECT x.id = y.id AS same FROM x, x y;
CREATE RULE twice AS ON INSERT TO instances DO ALSO
  INSERT INTO texts VALUES ((domowf_start('{"messageName": "X", "version": "1.0.0", "modelId": "m", "data": {}}')).id,
    (domowf_start('{"messageName": "X", "version": "1.0.0", "modelId": "m", "data": {}}')).id);
INSERT INTO instances (id) VALUES ('a');
DROP RULE twice ON instances;
-- not what is expanded at each of two places
SELECT ROW((domowf_start(:r)).*), (domowf_start(:r)).id;
SELECT (domowf_start(:r)).id, (domowf_start(:r)).id, (domowf_start(:r)).status;
DROP VIEW w, x;
DROP FUNCTION one(jsonb), pair(jsonb), kept(jsonb), parsed(jsonb);
SELECT count(*), count(id), count(DISTINCT id) FROM texts;

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
