-- Declared inputs, and data that does or does not fit them.  What is known of
-- a wrong type is that Domo may mis-handle it in silence: each value that
-- passes here is sent.
\set VERBOSITY terse
-- no worker here, and no need to hear of it
SET client_min_messages = error;
INSERT INTO domowf.workflow (name, model_id, version, message_name) VALUES
	('registry_order', 'm', '1.0.0', 'Start it'),
	('registry_one', 'm', '1.0.0', 'Start it'),
	('registry_free', 'm', '1.0.0', 'Start it');

-- a server has a name
UPDATE domowf.workflow SET server = '' WHERE name = 'registry_free';

-- what a declaration is
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_none', 'x', 'text');
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_order', '', 'text');
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_order', 'x', 'datetime');
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_order', 'x', 'integer');
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_order', 'x', '');
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_order', 'x', NULL);
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_order', NULL, 'text');
INSERT INTO domowf.workflow_input VALUES ('registry_order', 'x', 'text', NULL);
INSERT INTO domowf.workflow_input VALUES ('registry_order', 'x', 'text', false, NULL);
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_order', 'x', 'text'), ('registry_order', 'x', 'date');
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_order', 'x', 'text');
SELECT * FROM domowf.workflow_input;
UPDATE domowf.workflow_input SET workflow = 'registry_none';
INSERT INTO domowf.workflow_input (workflow, name, type)
	SELECT 'registry_' || CASE g WHEN 3 THEN 'none' ELSE 'one' END, 'x' || g, 'text' FROM generate_series(1, 3) g;
UPDATE domowf.workflow SET name = 'registry_renamed' WHERE name = 'registry_order';
SELECT * FROM domowf.workflow_input;
UPDATE domowf.workflow_input SET type = 'dateTime', name = 'X';
SELECT * FROM domowf.workflow_input;
DELETE FROM domowf.workflow WHERE name = 'registry_renamed';
SELECT * FROM domowf.workflow_input;
-- with its workflow in one statement, and as a dump is restored, in any order
WITH w AS (INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('registry_new', 'm', '1.0.0', 'Start it') RETURNING name)
INSERT INTO domowf.workflow_input (workflow, name, type) SELECT name, 'x', 'text' FROM w;
BEGIN;
SET LOCAL check_function_bodies = off;
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_later', 'x', 'text');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('registry_later', 'm', '1.0.0', 'Start it');
UPDATE domowf.workflow SET name = name || '!' WHERE name = 'registry_later';
SELECT * FROM domowf.workflow_input ORDER BY workflow;
ROLLBACK;
TRUNCATE domowf.workflow;
DELETE FROM domowf.workflow WHERE name = 'registry_new';
SELECT count(*) FROM domowf.workflow_input;

-- what a value of each type is: x is declared, the request made, and nothing
-- of it stays
CREATE FUNCTION fault(type text, is_list boolean, required boolean, data jsonb)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text;
BEGIN
	INSERT INTO domowf.workflow_input
		VALUES ('registry_one', 'x', fault.type, fault.is_list, fault.required);
	PERFORM domowf_enqueue('registry_one', data);
	RAISE no_data_found;
EXCEPTION
	WHEN no_data_found THEN RETURN 'fits';
	WHEN invalid_parameter_value THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT,
			detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		IF message <> 'data does not fit the inputs of workflow "registry_one"' THEN
			RAISE 'another message: %', message;
		END IF;
		RETURN concat_ws(E'\n  ', detail, nullif(hint, ''));
END $$;
CREATE FUNCTION fault(type text, value jsonb, is_list boolean DEFAULT false)
RETURNS text LANGUAGE sql
RETURN fault(type, is_list, true, jsonb_build_object('x', value));

CREATE TABLE type (n int, type text, good jsonb);
INSERT INTO type VALUES (1, 'text', '"some"'), (2, 'number', '42'),
	(3, 'decimal', '3.14'), (4, 'boolean', 'true'), (5, 'date', '"2026-04-23"'),
	(6, 'dateTime', '"2026-04-23T12:00:00Z"'), (7, 'time', '"14:30:00"'),
	(8, 'duration', '"PT1H30M"'), (9, 'object', '{"a": {"b": [1]}}'),
	(10, 'person', '"481303514"'), (11, 'group', '"1324037627"'),
	(12, 'dataset', '"a8afdc89-9491-4ee4-b7c3-b9e9b86c0138"');
\pset format unaligned
SELECT type, string_agg(value::text, ' | ' ORDER BY i) AS fits
FROM type, unnest(ARRAY['"some"', '""', '42', '42.0', '-1e2', '9007199254740993', '42.5',
	'true', 'false', 'null', '[]', '{}', '{"a": 1}', '["some"]', '[42]',
	'"2026-04-23"', '"2026-04-23T12:00:00Z"', '"14:30:00"', '"PT1H30M"',
	'"42"', '"true"']::jsonb[]) WITH ORDINALITY v(value, i)
WHERE fault(type, value) = 'fits' GROUP BY n, type ORDER BY n;

-- lists: none, one, several; not one value, nor one that is wrong, null or a list
SELECT type, bool_and(fault(type, value, true) = 'fits') AS fits
FROM type, LATERAL (VALUES ('[]'::jsonb), (jsonb_build_array(good)),
	(jsonb_build_array(good, good, good))) v(value)
GROUP BY n, type ORDER BY n;
SELECT type, fault(type, jsonb_build_array(good, value, good), true) AS fault
FROM type, LATERAL (VALUES (CASE type WHEN 'text' THEN '1'::jsonb ELSE '"wrong"' END)) v(value)
WHERE type NOT IN ('person', 'group', 'dataset') ORDER BY n;
SELECT type, fault(type, jsonb_build_array(NULL), true) AS fault FROM type ORDER BY n;
SELECT type, fault(type, jsonb_build_array(jsonb_build_array(good)), true) AS fault FROM type ORDER BY n;
SELECT type, fault(type, good, true) AS fault FROM type ORDER BY n;
SELECT type, fault(type, jsonb_build_array(good)) AS fault FROM type ORDER BY n;
SELECT fault('person', '["1", "", 2, "3"]', true);

-- missing and null, required or not
SELECT required, is_list, data,
	fault('number', is_list, required, data) AS fault
FROM unnest(ARRAY[false, true]) required, unnest(ARRAY[false, true]) is_list,
	unnest(ARRAY['{}', '{"x": null}']::jsonb[]) data
ORDER BY required, is_list, data;

-- why a string is not one (each form has its unit tests)
SELECT type, fault(type, to_jsonb(value))
FROM (VALUES ('date', '2026-02-30'), ('date', '2026-4-23'), ('date', ''),
	('dateTime', '2026-02-29T12:00:00Z'), ('dateTime', '2026-04-23T24:00:00Z'),
	('dateTime', '2026-04-23T12:00:00'), ('dateTime', '2026-04-23 12:00:00+02'),
	('dateTime', '2026-04-23T12:00:00+25:00'), ('time', '24:00:00'),
	('time', '23:59:60'), ('time', '14:30'), ('duration', 'PT'),
	('duration', '1 day'), ('person', ''), ('group', ''), ('dataset', '')) v(type, value);

-- numbers: what counts is the value, as jsonb prints it
SELECT value, fault('number', value) AS number, fault('decimal', value) AS decimal
FROM unnest(ARRAY['0', '-0', '1.0', '1.10', '1e2', '1e-2', '1e40', '1e-40',
	'123456789012345678901234567890', '0.1']::jsonb[]) value;

-- names are exact
SELECT name, fault('text', false, false, jsonb_build_object(name, 'a'))
FROM unnest(ARRAY['x', 'X', ' x', 'x ', '', 'xx']) name;

-- every fault at once, each value cut and made harmless
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('registry_order', 'm', '1.0.0', 'Start it');
INSERT INTO domowf.workflow_input VALUES
	('registry_order', 'amount', 'decimal', false, true),
	('registry_order', 'customer', 'person', false, true),
	('registry_order', 'due', 'date', false, false),
	('registry_order', 'items', 'object', true, true),
	('registry_order', 'tags', 'text', true, false);
\set VERBOSITY default
SELECT domowf_enqueue('registry_order', '{"amount": "3.14", "due": "2026-02-30",
	"items": {"sku": "a"}, "tags": ["a", null, "b", 7], "colour": "red", "size": null}');
SELECT domowf_enqueue('registry_order', jsonb_build_object(
	'amount', repeat('ü', 100), 'customer', jsonb_build_object('id', repeat('x', 100)),
	'due', E'20\x1b[31m\n\t"\\\u009b\x7f', 'items', 10::numeric ^ 100,
	repeat('k', 100), array_fill(1, ARRAY[100]),
	E'\u00e9\x01', true));
-- in a list, more than are told; the rest is counted
SELECT domowf_enqueue('registry_order', jsonb_build_object('amount', 1,
	'customer', '1', 'items', '[]'::jsonb, 'tags', array_agg(g))) FROM generate_series(1, 1000) g;
SELECT domowf_enqueue('registry_order', jsonb_object_agg('n' || g, g)) FROM generate_series(10, 27) g;
-- more inputs than the hint has room for
INSERT INTO domowf.workflow_input (workflow, name, type)
	SELECT 'registry_one', repeat(chr(96 + g), 44), 'text' FROM generate_series(1, 26) g;
SELECT domowf_enqueue('registry_one', '{"one": 1}');
DELETE FROM domowf.workflow_input WHERE workflow = 'registry_one';

-- every way in
SELECT domowf_start('registry_order', '{"amount": 1}');
SELECT domowf_start('{"workflow": "registry_order", "data": {"amount": 1}}'::jsonb);
SELECT domowf_enqueue_call('start', '{"workflow": "registry_order", "data": {"amount": 1}}');
SELECT domowf_enqueue('registry_order', '{"amount": 1}');
SELECT domowf_enqueue('registry_order');
SELECT ordinality, (instance).model_id, sqlstate, error FROM domowf_start_all(ARRAY[
	'{"workflow": "registry_order", "data": {"amount": 1, "customer": 7}}',
	'{"workflow": "registry_order", "data": {"amount": 1, "customer": "7", "items": []}}',
	'{"workflow": "registry_order", "data": {"amount": 1, "customer": "7", "items": [1], "tags": null}}',
	'{"workflow": "registry_free", "data": {"any": [null, "thing"]}}',
	'{"messageName": "Start it", "version": "1.0.0", "modelId": "m", "data": {"any": "thing"}}']::jsonb[]);
-- what fits is sent as it is
SELECT (i).id IS NOT NULL AS started
FROM domowf_start('registry_order', '{"amount": 0.10, "customer": "7", "items": [{}], "due": null}') i;
SELECT request -> 'data' AS data FROM domowf.log WHERE workflow = 'registry_order' ORDER BY id;
SELECT domowf_enqueue('registry_order', '{"amount": 0.10, "customer": "7", "items": []}') > 0 AS stored;
SELECT domowf_enqueue('registry_free', '{"any": [null, "thing"]}') > 0 AS stored;

-- a change applies to the next start, and no longer than it stands
\set VERBOSITY terse
CREATE FUNCTION try() RETURNS text LANGUAGE plpgsql AS $$
DECLARE request_id bigint; result text;
BEGIN
	request_id := domowf_enqueue('registry_one', '{"x": 1}');
	DELETE FROM domowf.queue WHERE id = request_id RETURNING request ->> 'modelId' INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN RETURN sqlerrm;
END $$;
\pset tuples_only on
SELECT try();
UPDATE domowf.workflow SET model_id = 'm2' WHERE name = 'registry_one';
SELECT try();
BEGIN;
UPDATE domowf.workflow SET model_id = 'm3' WHERE name = 'registry_one';
SELECT try();
SAVEPOINT a;
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_one', 'x', 'text');
SELECT try();
SAVEPOINT b;
DELETE FROM domowf.workflow_input WHERE workflow = 'registry_one';
SELECT try();
ROLLBACK TO b;
SELECT try();
RELEASE b;
SELECT try();
ROLLBACK TO a;
SELECT try();
TRUNCATE domowf.workflow_input;
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('registry_one', 'x', 'date');
SELECT try();
TRUNCATE domowf.workflow_input;
SELECT try();
DELETE FROM domowf.workflow WHERE name = 'registry_one';
SELECT try();
ROLLBACK;
SELECT try();
BEGIN;
TRUNCATE domowf.workflow CASCADE;
SELECT try();
ROLLBACK;
SELECT try();
-- in the middle of a statement, which then fails
CREATE FUNCTION try_and_fail() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'meanwhile: %', try();
	RAISE 'undone';
END $$;
SET client_min_messages = warning;
UPDATE domowf.workflow SET model_id = 'm4' WHERE name = 'registry_one' RETURNING try_and_fail();
DO $$ BEGIN
	UPDATE domowf.workflow SET model_id = 'm5' WHERE name = 'registry_one' RETURNING try_and_fail();
EXCEPTION WHEN raise_exception THEN
	RAISE WARNING 'afterwards: %', try();
END $$;
SET client_min_messages = error;
SELECT try();
-- and by all that changes rows
MERGE INTO domowf.workflow w USING (VALUES ('m5')) v(model_id) ON w.name = 'registry_one'
	WHEN MATCHED THEN UPDATE SET model_id = v.model_id;
SELECT try();
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('registry_one', 'm6', '1.0.0', 'Start it')
	ON CONFLICT (name) DO UPDATE SET model_id = excluded.model_id;
SELECT try();
COPY domowf.workflow_input (workflow, name, type) FROM stdin;
registry_one	y	text
\.
SELECT try();
UPDATE domowf.workflow SET name = 'registry_two' WHERE name = 'registry_one';
SELECT try();
UPDATE domowf.workflow SET name = 'registry_one' WHERE name = 'registry_two';
SELECT try();
SET session_replication_role = replica;
DELETE FROM domowf.workflow_input WHERE workflow = 'registry_one';
SELECT try();
RESET session_replication_role;
\pset tuples_only off

-- read without a right on it, and not to be called by hand
SELECT domowf.registry_changed();
SELECT domowf.workflow_exists();

DROP FUNCTION fault(text, boolean, boolean, jsonb), fault(text, jsonb, boolean), try(), try_and_fail();
DROP TABLE type;
SELECT count(*) FROM (SELECT id FROM domowf.queue WHERE workflow LIKE 'registry%' OFFSET 0) q
	WHERE domowf_discard(id);
DELETE FROM domowf.workflow WHERE name LIKE 'registry%';
SELECT count(*) FROM domowf.workflow_input;
