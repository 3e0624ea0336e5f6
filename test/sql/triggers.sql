-- domowf_trigger: the mapping language, what is asked for by which event, what
-- is refused and in which words, and that a change of the table, of the trigger
-- or of the registry applies to the next firing.
SET client_min_messages = error;
SET domowf.log_payload = on;
CREATE ROLE regress_domowf_owner;
CREATE ROLE regress_domowf_clerk;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('order', 'm', '1.0.0', 'Start it'), ('plain', 'm', '1.0.0', 'Start it'),
	('list', 'm', '1.0.0', 'Start it');
INSERT INTO domowf.workflow_input VALUES
	('order', 'id', 'number', false, true), ('order', 'total', 'decimal', false, false),
	('order', 'note', 'text', false, false), ('order', 'before', 'decimal', false, false),
	('order', 'urgent', 'boolean', false, false), ('order', 'tags', 'text', true, false),
	('order', 'due', 'date', false, false), ('order', 'more', 'object', false, false),
	('list', 'id', 'number', true, true), ('list', 'old', 'decimal', true, false),
	('list', 'new', 'decimal', true, false), ('list', 'by', 'person', false, false);

-- what has been asked for since the last time
CREATE FUNCTION asked(OUT data jsonb, OUT key text, OUT order_key text, OUT source text)
RETURNS SETOF record LANGUAGE sql AS $$
	WITH d AS (DELETE FROM domowf.queue RETURNING *), k AS (DELETE FROM domowf.key)
	SELECT request->'data', key, order_key, source FROM d ORDER BY id $$;

-- (re)makes the trigger `t` on trigger_order
CREATE FUNCTION on_order(event text, VARIADIC args text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DROP TRIGGER IF EXISTS t ON trigger_order;
  EXECUTE format('CREATE TRIGGER t %s EXECUTE FUNCTION domowf_trigger(%s)', event,
    (SELECT string_agg(quote_literal(a), ', ') FROM unnest(args) a));
END $$;

CREATE TABLE trigger_order (gone int, id int PRIMARY KEY, total numeric(10,2), note text,
	"Odd ""name" text, twice numeric GENERATED ALWAYS AS (total * 2) STORED);
ALTER TABLE trigger_order DROP COLUMN gone;

-- without a mapping: the columns that are declared, or all
SELECT on_order('AFTER INSERT ON trigger_order FOR EACH ROW', 'order');
INSERT INTO trigger_order VALUES (1, 9.90, 'first');
SELECT * FROM asked();
SELECT on_order('AFTER INSERT ON trigger_order FOR EACH ROW', 'plain');
INSERT INTO trigger_order VALUES (2, 0.10, NULL, 'odd');
SELECT * FROM asked();
SELECT on_order('AFTER INSERT ON trigger_order FOR EACH ROW', 'plain', '@key=id', '@order_key=note');
INSERT INTO trigger_order VALUES (3, NULL, 'in order');
SELECT * FROM asked();

-- with one
SELECT on_order('AFTER INSERT ON trigger_order FOR EACH ROW', 'order', 'id', 'total=twice', 'note=Odd "name');
INSERT INTO trigger_order VALUES (4, 1.50, 'x', 'y');
SELECT on_order('AFTER UPDATE ON trigger_order FOR EACH ROW', 'order', 'id', 'total=NEW.total', 'before=OLD.total', 'note=old.note');
UPDATE trigger_order SET total = 2, note = 'z' WHERE id = 4;
SELECT on_order('AFTER DELETE ON trigger_order FOR EACH ROW', 'order', 'id', 'total', 'before=OLD.total');
DELETE FROM trigger_order WHERE id = 4;
SELECT * FROM asked();
SELECT on_order('AFTER INSERT OR UPDATE OR DELETE ON trigger_order FOR EACH ROW', 'plain', 'id',
	'now=new.total', 'before=OLD.total', '@key=NEW.note');
INSERT INTO trigger_order VALUES (5, 1, 'one');
UPDATE trigger_order SET total = 2, note = 'two' WHERE id = 5;
DELETE FROM trigger_order WHERE id = 5;
SELECT * FROM asked();

-- constants, read as the declared type; text where none is declared
SELECT on_order('AFTER INSERT ON trigger_order FOR EACH ROW', 'order', 'id:=7', 'total:=0.10',
	'note:=a=b "c" := d', 'urgent:=true', 'tags:=["x", "y"]', 'due:=2026-04-23', 'more:={"n": 1.50, "l": [null]}',
	'before:=9007199254740993.000000000000000001', '@key:=const', '@order_key:=lane 1');
INSERT INTO trigger_order VALUES (6);
SELECT * FROM asked();
SELECT on_order('AFTER INSERT ON trigger_order FOR EACH ROW', 'plain', 'a:=7', 'b:=true', 'c:=', 'd:={"x": 1}', 'total', 'e:=é');
INSERT INTO trigger_order VALUES (7, 7);
SELECT * FROM asked();

-- arguments that make no sense
CREATE FUNCTION refused(event text, VARIADIC args text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text; hint text; context text;
BEGIN
  PERFORM on_order(event, VARIADIC args);
  INSERT INTO trigger_order VALUES (8, 1, 'x');
  DELETE FROM trigger_order WHERE id = 8;
  RETURN 'not refused: ' || coalesce((SELECT string_agg(data::text, ' ') FROM asked()), 'no request');
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
  RETURN SQLSTATE || ' ' || SQLERRM || coalesce(E'\n  ' || nullif(detail, ''), '') || coalesce(E'\n  ' || nullif(hint, ''), '')
    || coalesce(E'\n  ' || substring(context FROM '^trigger[^\n]*'), '');
END $$;
\pset format unaligned
\pset tuples_only on
\set row 'AFTER INSERT ON trigger_order FOR EACH ROW'
SELECT refused(:'row', VARIADIC '{}');
SELECT refused(:'row', '');
SELECT refused(:'row', 'none');
SELECT refused(:'row', 'order', 'total=price');
SELECT refused(:'row', 'order', 'total=Total');
SELECT refused(:'row', 'order', 'total = total');
SELECT refused(:'row', 'order', 'tags');
SELECT refused(:'row', 'order', 'total=');
SELECT refused(:'row', 'order', 'total=gone');
SELECT refused(:'row', 'order', 'total=ctid');
SELECT refused(:'row', 'order', 'total=........pg.dropped.1........');
SELECT refused(:'row', 'order', 'Total');
SELECT refused(:'row', 'order', 'price=total');
SELECT refused(:'row', 'plain', 'price');
SELECT refused(:'row', 'plain', '=total');
SELECT refused(:'row', 'plain', ':=total');
SELECT refused(:'row', 'plain', '');
SELECT refused(:'row', 'order', 'id', 'total', 'id:=1');
SELECT refused(:'row', 'order', 'id', '@key=id', '@key=total');
SELECT refused(:'row', 'order', 'id', '@order_key=id', '@order_key:=x');
SELECT refused(:'row', 'order', 'id', '@key');
SELECT refused(:'row', 'order', 'id', '@keys=id');
SELECT refused(:'row', 'order', 'id', '@key=none');
SELECT refused(:'row', 'order', 'id', '@');
SELECT refused(:'row', 'order', 'id', 'before=OLD.total');
SELECT refused('AFTER INSERT OR UPDATE ON trigger_order FOR EACH ROW', 'order', 'id', 'before=OLD.price');
SELECT refused('AFTER DELETE ON trigger_order FOR EACH ROW', 'order', 'id=NEW.id');
SELECT refused(:'row', 'order', 'id:=x');
SELECT refused(:'row', 'order', 'id:=1.5');
SELECT refused(:'row', 'order', 'id:="1"');
SELECT refused(:'row', 'order', 'id:=null');
SELECT refused(:'row', 'order', 'id', 'total:=NaN');
SELECT refused(:'row', 'order', 'id', 'total:=1,5');
SELECT refused(:'row', 'order', 'id', 'urgent:=yes');
SELECT refused(:'row', 'order', 'id', 'due:=2026-02-30');
SELECT refused(:'row', 'order', 'id', 'tags:=x');
SELECT refused(:'row', 'order', 'id', 'tags:=["x", 1, null]');
SELECT refused(:'row', 'order', 'id', 'more:=[]');
SELECT refused(:'row', 'order', 'id', 'more:={"a": 1');
SELECT refused(:'row', 'order', 'due:=' || repeat('é', 200));
SELECT refused(:'row', 'order', 'total=OLD.');

-- data that does not fit: every fault at once, with what is missing
SELECT refused(:'row', 'order', 'total=note', 'note=id', 'tags=note');
SELECT refused(:'row', 'order', 'note');
SELECT refused(:'row', 'order', 'id', '@key=Odd "name');
SELECT refused(:'row', 'order', 'id', '@key:=');
SELECT refused(:'row', 'order', 'id', '@order_key:=' || repeat('x', 1025));
INSERT INTO domowf.workflow_input VALUES ('order', 'odd', 'text', false, true);
SELECT refused(:'row', 'order', 'id', 'odd=Odd "name');
SELECT refused(:'row', 'order', 'id');
DELETE FROM domowf.workflow_input WHERE name = 'odd';

-- events that cannot be used
SELECT refused('BEFORE INSERT ON trigger_order FOR EACH ROW', 'order');
SELECT refused('BEFORE INSERT ON trigger_order FOR EACH STATEMENT', 'order');
SELECT on_order('AFTER TRUNCATE ON trigger_order FOR EACH STATEMENT', 'order');
\set VERBOSITY default
TRUNCATE trigger_order;
DROP TRIGGER t ON trigger_order;
CREATE VIEW trigger_view AS SELECT id, total FROM trigger_order;
CREATE TRIGGER t INSTEAD OF INSERT ON trigger_view FOR EACH ROW EXECUTE FUNCTION domowf_trigger('order');
INSERT INTO trigger_view VALUES (1, 1);
SET domowf.triggers = off;
INSERT INTO trigger_view VALUES (1, 1);
RESET domowf.triggers;
SELECT domowf_trigger();
SELECT count(*) FROM trigger_order;
SELECT * FROM asked();
DROP VIEW trigger_view;
\pset format aligned
\pset tuples_only off

-- a trigger for each statement: one start with lists, in the order of the rows
SELECT on_order('AFTER INSERT ON trigger_order REFERENCING NEW TABLE AS n FOR EACH STATEMENT', 'list', 'id', 'new=total', 'by:=42', '@key:=k');
DELETE FROM trigger_order;
INSERT INTO trigger_order SELECT n, n * 1.10, 'n' || n FROM generate_series(3, 1, -1) n;
INSERT INTO trigger_order SELECT 1 WHERE false;
INSERT INTO trigger_order VALUES (1) ON CONFLICT DO NOTHING;
SELECT * FROM asked();
SELECT on_order('AFTER UPDATE ON trigger_order REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT', 'list', 'id', 'new=total', 'old=OLD.total');
UPDATE trigger_order SET total = id WHERE id < 3;
UPDATE trigger_order SET total = id WHERE false;
SELECT * FROM asked();
SELECT on_order('AFTER UPDATE ON trigger_order REFERENCING OLD TABLE AS o FOR EACH STATEMENT', 'list', 'id=OLD.id');
UPDATE trigger_order SET total = 0 WHERE id = 3;
SELECT on_order('AFTER DELETE ON trigger_order REFERENCING OLD TABLE AS o FOR EACH STATEMENT', 'list', 'id', 'old=total');
DELETE FROM trigger_order WHERE id > 1;
SELECT * FROM asked();
SELECT on_order('AFTER INSERT ON trigger_order REFERENCING NEW TABLE AS n FOR EACH STATEMENT', 'plain');
INSERT INTO trigger_order (id, note) VALUES (10, 'a'), (11, NULL);
SELECT * FROM asked();
SELECT on_order('AFTER INSERT ON trigger_order REFERENCING NEW TABLE AS n FOR EACH STATEMENT', 'list');
INSERT INTO trigger_order (id, note) VALUES (12, 'a'), (13, NULL);
SELECT * FROM asked();

-- its lists are longer than what is kept in memory
SET work_mem = '64kB';
SELECT on_order('AFTER INSERT ON trigger_order REFERENCING NEW TABLE AS n FOR EACH STATEMENT', 'plain', 'id', 'note');
INSERT INTO trigger_order (id, note) SELECT n, repeat('x', 100) || n FROM generate_series(1001, 6000) n;
SELECT jsonb_array_length(data->'id') AS ids, data->'id'->>0 AS first, data->'id'->>-1 AS last,
	(SELECT bool_and(note = repeat('x', 100) || n) FROM jsonb_array_elements_text(data->'note') WITH ORDINALITY AS l (note, o),
		LATERAL (SELECT 1000 + o AS n) s) AS all_there FROM asked();
INSERT INTO trigger_order (id, note) SELECT n, repeat('x', 1000) FROM generate_series(10001, 12000) n;
RESET work_mem;
DELETE FROM trigger_order WHERE id > 1000;

\pset format unaligned
\pset tuples_only on
\set statement 'AFTER INSERT ON trigger_order REFERENCING NEW TABLE AS n FOR EACH STATEMENT'
SELECT refused(:'statement', 'order', 'id');
SELECT refused(:'statement', 'order');
SELECT refused(:'statement', 'list', 'id', 'by=id');
SELECT refused(:'statement', 'list', 'id', '@key=id');
SELECT refused(:'statement', 'list', 'id', 'by:=["1"]');
SELECT refused(:'statement', 'list', 'id', 'new=note', 'old=total');
SELECT refused(:'statement', 'list', 'id=total', 'new:=1');
SELECT refused(:'statement', 'list', 'new=total');
SELECT refused('AFTER INSERT ON trigger_order FOR EACH STATEMENT', 'list', 'id');
SELECT refused('AFTER INSERT ON trigger_order FOR EACH STATEMENT', 'plain', 'a:=1');
SELECT on_order('AFTER UPDATE ON trigger_order REFERENCING NEW TABLE AS n FOR EACH STATEMENT', 'list', 'id=OLD.id');
UPDATE trigger_order SET total = 1;
SELECT on_order('AFTER DELETE ON trigger_order FOR EACH STATEMENT', 'list', 'id');
DELETE FROM trigger_order;
SELECT on_order('AFTER INSERT ON trigger_order REFERENCING NEW TABLE AS n FOR EACH STATEMENT', 'list', 'id=total');
INSERT INTO trigger_order VALUES (14, 1.50), (15, NULL), (16, 2.00);
\pset format aligned
\pset tuples_only off
SELECT * FROM asked();
DELETE FROM trigger_order;

-- UPDATE OF, WHEN, ON CONFLICT, MERGE, COPY, WITH, and what a trigger before it has changed
SELECT on_order('AFTER INSERT OR UPDATE OF total ON trigger_order FOR EACH ROW WHEN (NEW.total > 0)', 'order', 'id', 'total', 'before=OLD.total');
CREATE OR REPLACE FUNCTION triple() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.total := NEW.total * 3; RETURN NEW; END $$;
INSERT INTO trigger_order VALUES (1, 0), (2, 2);
UPDATE trigger_order SET note = 'x';
UPDATE trigger_order SET total = total + 1 WHERE id = 1;
INSERT INTO trigger_order VALUES (1, 10), (3, 3) ON CONFLICT (id) DO UPDATE SET total = excluded.total;
INSERT INTO trigger_order VALUES (1, 99), (4, 4) ON CONFLICT DO NOTHING;
MERGE INTO trigger_order o USING (VALUES (1, 11), (5, 5)) v (id, total) ON o.id = v.id
	WHEN MATCHED THEN UPDATE SET total = v.total WHEN NOT MATCHED THEN INSERT (id, total) VALUES (v.id, v.total);
COPY trigger_order (id, total) FROM stdin;
6	6
7	7
\.
WITH i AS (INSERT INTO trigger_order VALUES (8, 8) RETURNING id) SELECT * FROM i;
CREATE TRIGGER a BEFORE INSERT ON trigger_order FOR EACH ROW EXECUTE FUNCTION triple();
INSERT INTO trigger_order VALUES (9, 9);
DROP TRIGGER a ON trigger_order;
SELECT * FROM asked();

-- what is rolled back asks for nothing
BEGIN;
INSERT INTO trigger_order VALUES (20, 1);
SAVEPOINT s;
INSERT INTO trigger_order VALUES (21, 1);
ROLLBACK TO s;
INSERT INTO trigger_order VALUES (22, 1);
COMMIT;
BEGIN;
INSERT INTO trigger_order VALUES (23, 1);
ROLLBACK;
INSERT INTO trigger_order VALUES (24, 1), (24, 1);
SELECT * FROM asked();

-- deferred to the end of the transaction
DROP TRIGGER t ON trigger_order;
CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE ON trigger_order DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION domowf_trigger('order', 'id', 'total', 'before=OLD.total');
BEGIN;
INSERT INTO trigger_order VALUES (30, 30);
UPDATE trigger_order SET total = 31 WHERE id = 30;
SELECT count(*) AS not_yet FROM domowf.queue;
COMMIT;
SELECT * FROM asked();
DROP TRIGGER t ON trigger_order;

-- values that are stored out of line, old and new
SELECT on_order('AFTER UPDATE OR DELETE ON trigger_order FOR EACH ROW', 'plain', 'note', 'was=OLD.note');
ALTER TABLE trigger_order ALTER note SET STORAGE EXTERNAL;
INSERT INTO trigger_order VALUES (40, 0, repeat('a', 100000));
UPDATE trigger_order SET total = 1 WHERE id = 40;
UPDATE trigger_order SET note = repeat('b', 100000) WHERE id = 40;
DELETE FROM trigger_order WHERE id = 40;
SELECT left(data->>'note', 1) AS note, length(data->>'note'), left(data->>'was', 1) AS was, length(data->>'was') FROM asked();

-- keys
SELECT on_order('AFTER INSERT OR UPDATE ON trigger_order FOR EACH ROW', 'order', 'id', '@key=note');
INSERT INTO trigger_order VALUES (50, 1, 'k'), (51, 1, NULL), (52, 1, 'k'), (53, 1, NULL);
SELECT * FROM asked();
INSERT INTO trigger_order VALUES (54, 1, '');
SELECT on_order('AFTER INSERT ON trigger_order FOR EACH ROW', 'order', 'id', '@key=total', '@order_key=twice');
SET extra_float_digits = 0;
INSERT INTO trigger_order VALUES (55, 1.50), (56, NULL);
RESET extra_float_digits;
SELECT * FROM asked();

-- a change applies to the next firing: the table
SELECT on_order('AFTER INSERT ON trigger_order FOR EACH ROW', 'order', 'id', 'total');
INSERT INTO trigger_order VALUES (60, 1);
ALTER TABLE trigger_order RENAME total TO sum;
INSERT INTO trigger_order VALUES (61, 1);
CREATE OR REPLACE TRIGGER t AFTER INSERT ON trigger_order FOR EACH ROW EXECUTE FUNCTION domowf_trigger('order', 'id', 'total=sum');
INSERT INTO trigger_order VALUES (61, 1);
ALTER TABLE trigger_order DROP COLUMN sum CASCADE;
INSERT INTO trigger_order VALUES (62);
ALTER TABLE trigger_order ADD COLUMN total text;
SELECT on_order('AFTER INSERT ON trigger_order FOR EACH ROW', 'order');
INSERT INTO trigger_order (id, total) VALUES (62, 'x');
ALTER TABLE trigger_order ALTER total TYPE numeric USING 1;
INSERT INTO trigger_order (id, total) VALUES (62, 2);
ALTER TABLE trigger_order ADD COLUMN due date DEFAULT '2026-04-23';
INSERT INTO trigger_order (id, total) VALUES (63, 3);
ALTER TABLE trigger_order RENAME TO "trigger Order";
INSERT INTO "trigger Order" (id) VALUES (64);
CREATE SCHEMA trigger_s;
ALTER TABLE "trigger Order" SET SCHEMA trigger_s;
INSERT INTO trigger_s."trigger Order" (id) VALUES (65);
ALTER SCHEMA trigger_s RENAME TO trigger_r;
INSERT INTO trigger_r."trigger Order" (id) VALUES (66);
ALTER TABLE trigger_r."trigger Order" SET SCHEMA public;
ALTER TABLE "trigger Order" RENAME TO trigger_order;
DROP SCHEMA trigger_r;
SELECT * FROM asked();

-- and what is rolled back does not
BEGIN;
SAVEPOINT s;
ALTER TABLE trigger_order RENAME note TO due_note;
ALTER TABLE trigger_order RENAME due TO note;
INSERT INTO trigger_order (id) VALUES (67);
ROLLBACK TO s;
INSERT INTO trigger_order (id) VALUES (68);
COMMIT;
SELECT data FROM asked();

-- the registry
SELECT on_order('AFTER INSERT ON trigger_order FOR EACH ROW', 'order');
INSERT INTO trigger_order (id, total) VALUES (70, 1);
UPDATE domowf.workflow_input SET type = 'text' WHERE name = 'total';
INSERT INTO trigger_order (id, total) VALUES (71, 1);
DELETE FROM domowf.workflow_input WHERE name = 'total' AND workflow = 'order';
INSERT INTO trigger_order (id, total) VALUES (72, 1);
BEGIN;
INSERT INTO domowf.workflow_input VALUES ('order', 'total', 'decimal');
INSERT INTO trigger_order (id, total) VALUES (73, 1);
SAVEPOINT s;
UPDATE domowf.workflow SET message_name = 'Start that' WHERE name = 'order';
INSERT INTO trigger_order (id, total) VALUES (74, 1);
ROLLBACK TO s;
INSERT INTO trigger_order (id, total) VALUES (75, 1);
COMMIT;
SELECT request->>'messageName' AS message, request->'data' AS data FROM domowf.queue ORDER BY id;
DELETE FROM domowf.queue;
INSERT INTO domowf.workflow_input VALUES ('order', 'who', 'person', false, true);
INSERT INTO trigger_order (id, total) VALUES (76, 1);
DELETE FROM domowf.workflow_input WHERE name = 'who';
UPDATE domowf.workflow SET name = 'renamed' WHERE name = 'order';
INSERT INTO trigger_order (id, total) VALUES (77, 1);
UPDATE domowf.workflow SET name = 'order', on_doubt = 'retry', max_attempts = 3, expire_after = '1 hour' WHERE name = 'renamed';
INSERT INTO trigger_order (id, total) VALUES (78, 1);
SELECT workflow, operation, state, on_doubt, max_attempts, expires_at - enqueued_at BETWEEN '59 min' AND '61 min' AS expires,
	run_at <= now() + '1 s' AS at_once FROM domowf.queue;
DELETE FROM domowf.queue;
DROP TABLE trigger_order;

-- partitions: other attribute numbers, the table that the trigger was made on
CREATE TABLE trigger_part (id int, total numeric, note text) PARTITION BY RANGE (id);
CREATE TABLE trigger_part_1 PARTITION OF trigger_part FOR VALUES FROM (0) TO (100);
CREATE TABLE trigger_part_2 (x int, note text, y int, total numeric, id int) PARTITION BY RANGE (id);
ALTER TABLE trigger_part_2 DROP COLUMN x, DROP COLUMN y;
ALTER TABLE trigger_part ATTACH PARTITION trigger_part_2 FOR VALUES FROM (100) TO (200);
CREATE TABLE trigger_part_3 (z int, total numeric, note text, id int);
ALTER TABLE trigger_part_3 DROP COLUMN z;
ALTER TABLE trigger_part_2 ATTACH PARTITION trigger_part_3 FOR VALUES FROM (150) TO (200);
CREATE TABLE trigger_part_4 PARTITION OF trigger_part_2 FOR VALUES FROM (100) TO (150);
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON trigger_part FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('order', 'id', 'total', 'note', 'before=OLD.total');
CREATE TRIGGER s AFTER INSERT ON trigger_part REFERENCING NEW TABLE AS n FOR EACH STATEMENT
	EXECUTE FUNCTION domowf_trigger('list', 'id', 'new=total');
INSERT INTO trigger_part VALUES (1, 1.0, 'one'), (101, 2.0, 'two'), (151, 3.0, 'three');
INSERT INTO trigger_part_3 (id, total, note) VALUES (152, 4.0, 'direct');
SELECT * FROM asked();
UPDATE trigger_part SET total = total + 1;
DELETE FROM trigger_part WHERE id = 151;
UPDATE trigger_part SET id = 2 WHERE id = 152;
SELECT * FROM asked();
ALTER TABLE trigger_part DETACH PARTITION trigger_part_2;
INSERT INTO trigger_part_2 (id) VALUES (120);
CREATE TRIGGER t AFTER INSERT ON trigger_part_2 FOR EACH ROW EXECUTE FUNCTION domowf_trigger('order', 'id', 'total', 'note');
INSERT INTO trigger_part_2 (id) VALUES (121);
ALTER TABLE trigger_part RENAME TO trigger_whole;
INSERT INTO trigger_whole VALUES (3, 1.0, 'renamed');
SELECT * FROM asked();
DROP TABLE trigger_whole, trigger_part_2;

-- inheritance: row triggers are of one table, statement triggers see the children's rows
CREATE TABLE trigger_parent (id int, total numeric);
CREATE TABLE trigger_child (note text) INHERITS (trigger_parent);
CREATE TRIGGER t AFTER UPDATE ON trigger_parent FOR EACH ROW EXECUTE FUNCTION domowf_trigger('plain');
CREATE TRIGGER s AFTER UPDATE ON trigger_parent REFERENCING NEW TABLE AS n FOR EACH STATEMENT
	EXECUTE FUNCTION domowf_trigger('list', 'id', 'new=total');
CREATE TRIGGER t AFTER INSERT ON trigger_child FOR EACH ROW EXECUTE FUNCTION domowf_trigger('plain');
INSERT INTO trigger_parent VALUES (1, 1.0);
INSERT INTO trigger_child VALUES (2, 2.0, 'child');
UPDATE trigger_parent SET total = total + 1;
SELECT * FROM asked();
DROP TABLE trigger_child, trigger_parent;

-- a temporary table in a read-only transaction; and one that comes and goes
CREATE TEMP TABLE trigger_temp (id int);
CREATE TRIGGER t AFTER INSERT ON trigger_temp FOR EACH ROW EXECUTE FUNCTION domowf_trigger('plain');
BEGIN READ ONLY;
INSERT INTO trigger_temp VALUES (1);
ROLLBACK;
INSERT INTO trigger_temp VALUES (2);
SELECT data, source LIKE 'pg_temp%.trigger_temp' AS is_source FROM asked();
DROP TABLE trigger_temp;

-- a trigger on the queue itself does not feed on its own requests
CREATE TRIGGER t AFTER INSERT ON domowf.queue FOR EACH ROW EXECUTE FUNCTION domowf_trigger('plain', 'id');
SELECT domowf_enqueue('plain') > 0 AS enqueued;
SELECT data FROM asked();
DROP TRIGGER t ON domowf.queue;

-- a mapping that is in use when it changes: a cast that changes the registry and
-- fires the trigger once more
CREATE TYPE trigger_pair AS ENUM ('inner', 'outer');
CREATE TABLE trigger_nested (a trigger_pair, b trigger_pair[], c text);
CREATE FUNCTION trigger_pair_json(trigger_pair) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  IF $1 = 'outer' THEN
    UPDATE domowf.workflow SET version = '2.0.0' WHERE name = 'plain';
    INSERT INTO trigger_nested VALUES ('inner', '{inner}', repeat('y', 10));
  END IF;
  RETURN jsonb_build_object('pair', $1::text);
END $$;
CREATE CAST (trigger_pair AS jsonb) WITH FUNCTION trigger_pair_json(trigger_pair);
CREATE TRIGGER t AFTER INSERT ON trigger_nested FOR EACH ROW EXECUTE FUNCTION domowf_trigger('plain', 'a', 'b', 'c', 'd:=constant');
INSERT INTO trigger_nested VALUES ('outer', '{outer,inner,outer}', repeat('x', 10));
SELECT request->>'version' AS version, request->'data' AS data FROM domowf.queue ORDER BY id;
SELECT count(*) FROM asked();
DROP TABLE trigger_nested;
DROP CAST (trigger_pair AS jsonb);
DROP FUNCTION trigger_pair_json(trigger_pair);
DROP TYPE trigger_pair;

-- rights
SET ROLE regress_domowf_owner;
CREATE TEMP TABLE trigger_none (id int);
CREATE TRIGGER t AFTER INSERT ON trigger_none FOR EACH ROW EXECUTE FUNCTION domowf_trigger('order');
RESET ROLE;
GRANT EXECUTE ON FUNCTION domowf_trigger() TO regress_domowf_owner;
CREATE SCHEMA trigger_shop AUTHORIZATION regress_domowf_owner;
SET ROLE regress_domowf_owner;
CREATE TABLE trigger_shop.sale (id int) PARTITION BY LIST (id);
CREATE TRIGGER t AFTER INSERT ON trigger_shop.sale FOR EACH ROW EXECUTE FUNCTION domowf_trigger('order');
CREATE FUNCTION trigger_shop.sell(int) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO trigger_shop.sale VALUES ($1)';
RESET ROLE;
CREATE TABLE trigger_shop.sale_rest PARTITION OF trigger_shop.sale DEFAULT;
GRANT USAGE ON SCHEMA trigger_shop TO regress_domowf_clerk;
GRANT INSERT ON trigger_shop.sale TO regress_domowf_clerk;
SET ROLE regress_domowf_clerk;
INSERT INTO trigger_shop.sale VALUES (1);
SELECT trigger_shop.sell(2);
SELECT * FROM domowf.queue;
SELECT domowf_enqueue('order', '{"id": 1}');
SET domowf.triggers = off;
RESET ROLE;
SELECT requested_by, request->'data' AS data, source FROM domowf.queue ORDER BY id;
DELETE FROM domowf.queue;
UPDATE domowf.workflow SET granted_to = 'regress_domowf_owner' WHERE name = 'order';
SET ROLE regress_domowf_clerk;
INSERT INTO trigger_shop.sale VALUES (3);
RESET ROLE;
ALTER TABLE trigger_shop.sale OWNER TO regress_domowf_clerk;
INSERT INTO trigger_shop.sale VALUES (4);
ALTER TABLE trigger_shop.sale OWNER TO regress_domowf_owner;
INSERT INTO trigger_shop.sale VALUES (5);
UPDATE domowf.workflow SET granted_to = 'regress_domowf_clerk' WHERE name = 'order';
SET ROLE regress_domowf_clerk;
INSERT INTO trigger_shop.sale VALUES (6);
RESET ROLE;
GRANT regress_domowf_clerk TO regress_domowf_owner;
INSERT INTO trigger_shop.sale VALUES (7);
UPDATE domowf.workflow SET granted_to = 'regress_domowf_none' WHERE name = 'order';
INSERT INTO trigger_shop.sale VALUES (8);
SELECT data FROM asked();
UPDATE domowf.workflow SET granted_to = NULL WHERE name = 'order';

-- what silences it
SET domowf.triggers = off;
INSERT INTO trigger_shop.sale VALUES (10);
RESET domowf.triggers;
SET session_replication_role = replica;
INSERT INTO trigger_shop.sale VALUES (11);
ALTER TABLE trigger_shop.sale_rest ENABLE ALWAYS TRIGGER t;
INSERT INTO trigger_shop.sale VALUES (12);
RESET session_replication_role;
ALTER TABLE trigger_shop.sale_rest DISABLE TRIGGER t;
INSERT INTO trigger_shop.sale VALUES (13);
SELECT data FROM asked();

DROP TABLE trigger_none;
DROP SCHEMA trigger_shop CASCADE;
DROP FUNCTION asked(), on_order(text, text[]), refused(text, text[]), triple();
REVOKE EXECUTE ON FUNCTION domowf_trigger() FROM regress_domowf_owner;
DROP ROLE regress_domowf_owner, regress_domowf_clerk;
DELETE FROM domowf.workflow;
