-- Each SQL type as an input of each declared type, and without a declaration,
-- by way of a trigger: what is sent, and in which words what has no place is
-- refused.
SET client_min_messages = error;
SET TimeZone = 'America/New_York';
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('types', 'm', '1.0.0', 'Start it');

-- What becomes of a value of a SQL type where the input `v` is declared as a
-- Domo type ("number", "number[]" for a list, "number!" where it is required).
CREATE FUNCTION sent(sql_type text, value text, declared text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  got text;
  detail text;
BEGIN
  INSERT INTO domowf.workflow_input
    SELECT 'types', 'v', rtrim(declared, '[]!'), declared LIKE '%[]%',
      declared LIKE '%!' WHERE declared IS NOT NULL;
  EXECUTE format('CREATE TABLE types_table (v %s)', sql_type);
  CREATE TRIGGER types_trigger AFTER INSERT ON types_table
    FOR EACH ROW EXECUTE FUNCTION domowf_trigger('types');
  EXECUTE format('INSERT INTO types_table VALUES (%s)', value);
  DELETE FROM domowf.queue RETURNING (request->'data'->'v')::text INTO STRICT got;
  DROP TABLE types_table;
  DELETE FROM domowf.workflow_input;
  RETURN got;
EXCEPTION WHEN invalid_parameter_value THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
  RETURN detail;
END $$;

CREATE TYPE types_color AS ENUM ('red', 'green');
CREATE TYPE types_pair AS (a int, b text);
CREATE DOMAIN types_count AS bigint CHECK (VALUE >= 0);
CREATE DOMAIN types_counts AS int[];
CREATE DOMAIN types_pair_domain AS types_pair;

CREATE TABLE types_values (n serial, sql_type text, value text);
INSERT INTO types_values (sql_type, value) VALUES
	('text', $$'a "b" é'$$),
	('text', $$'2026-04-23'$$),
	('text', $$'2026-04-23T12:00:00Z'$$),
	('text', $$'14:30:00'$$),
	('text', $$'PT1H30M'$$),
	('text', $$'42'$$),
	('text', $$''$$),
	('varchar(10)', $$'a'$$),
	('char(5)', $$'a'$$),
	('name', $$'a'$$),
	('"char"', $$'a'$$),
	('types_color', $$'green'$$),
	('uuid', $$'2052e10a-d142-4391-a731-2be1ab1c0188'$$),
	('inet', $$'10.0.0.1/8'$$),
	('bytea', $$'\x00ff'$$),
	('int4range', $$'[1,3)'$$),
	('smallint', '-7'),
	('integer', '42'),
	('bigint', '9007199254740993'),
	('types_count', '5'),
	('oid', '7'),
	('numeric', '12345678901234567890'),
	('numeric', '42.00'),
	('numeric', '0.10'),
	('numeric(10,2)', '0.10'),
	('real', '0.1'),
	('double precision', '0.1'),
	('double precision', '3'),
	('boolean', 'true'),
	('date', $$'2026-04-23'$$),
	('timestamptz', $$'2026-04-23 14:00:00.25+02'$$),
	('timestamp', $$'2026-04-23 08:00:00'$$),
	('time', $$'14:30:00'$$),
	('timetz', $$'14:30:00+05:30'$$),
	('interval', $$'1 hour 30 minutes'$$),
	('json', $$'{"b": 1, "a": [0.10]}'$$),
	('jsonb', $$'{"b": 1, "a": [0.10]}'$$),
	('jsonb', '$$"2026-04-23"$$'),
	('jsonb', $$'42'$$),
	('jsonb', $$'true'$$),
	('jsonb', $$'[1, 2]'$$),
	('jsonb', $$'null'$$),
	('types_pair', $$'(1,x)'$$),
	('types_pair_domain', $$'(1,x)'$$),
	('integer[]', $$'{1,2}'$$),
	('types_counts', $$'{1,2}'$$);

\pset format unaligned
\pset tuples_only on
\pset fieldsep ' '

-- each of them without a declaration, and as each Domo type
SELECT format('%s %s', t.sql_type, t.value), E'\n  is', sent(t.sql_type, t.value, NULL),
	string_agg(E'\n    ' || d || ' ' || s, '' ORDER BY o) FILTER (WHERE s NOT LIKE 'Input%'),
	E'\n    refused: ' || string_agg(d, ', ' ORDER BY o) FILTER (WHERE s LIKE 'Input%')
FROM types_values t,
	unnest('{text,number,decimal,boolean,date,dateTime,time,duration,object,person,group,dataset,number[],text[]}'::text[])
		WITH ORDINALITY u (d, o),
	sent(t.sql_type, t.value, d) s
GROUP BY t.n, t.sql_type, t.value ORDER BY t.n;

-- no setting changes what is sent; only timestamp depends on TimeZone
CREATE TABLE types_sent AS SELECT n, d, sent(sql_type, value, d) AS s
	FROM types_values, unnest('{NULL,text,decimal,date,dateTime,duration,object,number[]}'::text[]) d;
SET DateStyle = 'SQL, DMY';
SET IntervalStyle = 'sql_standard';
SET TimeZone = 'Asia/Kathmandu';
SET extra_float_digits = -10;
SET bytea_output = 'escape';
SELECT v.sql_type, v.value, t.d, t.s, '->', sent(v.sql_type, v.value, t.d)
	FROM types_sent t JOIN types_values v USING (n)
	WHERE sent(v.sql_type, v.value, t.d) IS DISTINCT FROM t.s ORDER BY n, d;
RESET bytea_output;
RESET extra_float_digits;
RESET IntervalStyle;
RESET DateStyle;
SET TimeZone = 'America/New_York';

-- numbers, digit for digit
SELECT sent('numeric', '123456789012345678901234567890.12345678901234567890', 'decimal');
SELECT sent('numeric', '1.50', 'number');
SELECT sent('numeric', '-0.00', 'number');
SELECT sent('numeric', '1e30', 'number');
SELECT sent('numeric', $$'NaN'$$, 'decimal');
SELECT sent('numeric', $$'-Infinity'$$, 'decimal');
SELECT sent('numeric', $$'NaN'$$, 'number');
SELECT sent('numeric', $$'Infinity'$$, NULL);
SELECT sent('numeric', '7.5', 'person');
SELECT sent('numeric', '7.0', 'person');
SELECT sent('bigint', '-9223372036854775808', 'number');
SELECT sent('double precision', '1e22', 'decimal');
SELECT sent('double precision', '0.1::float8 + 0.2', 'decimal');
SELECT sent('double precision', $$'-0'$$, 'decimal');
SELECT sent('double precision', $$'NaN'$$, 'decimal');
SELECT sent('real', $$'Infinity'$$, NULL);
SELECT sent('double precision', '5e-324', 'decimal') = '0.' || repeat('0', 323) || '5' AS smallest;
SELECT sent('double precision', '3', 'number');
SELECT sent('text', $$'42'$$, 'number');
SELECT sent('boolean', 'false', 'number');

-- dates and times
SELECT sent('date', $$'0001-01-01'$$, 'date');
SELECT sent('date', $$'9999-12-31'$$, 'date');
SELECT sent('date', $$'0001-12-31 BC'$$, 'date');
SELECT sent('date', $$'10000-01-01'$$, 'date');
SELECT sent('date', $$'infinity'$$, 'date');
SELECT sent('date', $$'-infinity'$$, NULL);
SELECT sent('date', $$'2026-04-23'$$, 'dateTime');
SELECT sent('text', $$'2026-02-30'$$, 'date');
SELECT sent('text', $$'soon'$$, 'date');
SELECT sent('timestamptz', $$'2026-04-23 12:00:00Z'$$, 'dateTime');
SELECT sent('timestamptz', $$'2026-04-23 12:00:00.000001Z'$$, 'dateTime');
SELECT sent('timestamptz', $$'2026-04-23 12:00:00.120Z'$$, 'dateTime');
SELECT sent('timestamptz', $$'0001-01-01 00:00:00Z'$$, 'dateTime');
SELECT sent('timestamptz', $$'0001-12-31 23:59:59Z BC'$$, 'dateTime');
SELECT sent('timestamptz', $$'10000-01-01 00:00:00Z'$$, 'dateTime');
SELECT sent('timestamptz', $$'infinity'$$, 'dateTime');
SELECT sent('timestamptz', $$'-infinity'$$, NULL);
SELECT sent('timestamp', $$'2026-01-01 00:00:00'$$, 'dateTime');
SELECT sent('timestamp', $$'2026-03-08 02:30:00'$$, 'dateTime');
SELECT sent('timestamp', $$'9999-12-31 20:00:00'$$, 'dateTime');
SELECT sent('timestamp', $$'infinity'$$, 'dateTime');
SELECT sent('timestamp', $$'294276-12-31 23:59:59'$$, 'dateTime');
SELECT sent('timestamp', $$'4713-01-01 BC'$$, 'dateTime');
SELECT sent('time', $$'23:59:59.999999'$$, 'time');
SELECT sent('time', $$'00:00'$$, 'time');
SELECT sent('time', $$'24:00'$$, 'time');
SELECT sent('time', $$'24:00'$$, NULL);
SELECT sent('timetz', $$'14:30:00+02'$$, 'time');
SELECT sent('timetz', $$'24:00:00+02'$$, 'text');
SELECT sent('timestamptz', 'now()', 'time') LIKE '%; its SQL type is timestamp with time zone.' AS told;

-- durations
SELECT i, sent('interval', quote_literal(i), 'duration')
	FROM unnest('{0,1 year,1 year 2 months,14 months,3 days,2 weeks,36 hours,1 year 2 months 3 days 4:05:06.7,
		0.000001 s,-1 day,-1 year -2 months -3 days -4:05:06.7,-0.5 s,-1 day +1 hour,1 month -1 day,
		178956970 years 6 months 2147483647 days 2562047788:00:54.775807}'::text[]) i;
SELECT sent('interval', $$interval '-178956970 years -7 months -2147483648 days -2562047788:00:54.775807' - interval '0.000001'$$, 'duration');

-- ids
SELECT sent('bigint', '-1', 'person');
SELECT sent('text', $$'481303514'$$, 'group');
SELECT sent('char(12)', $$'481303514'$$, 'person');
SELECT sent('text', $$''$$, 'person');
SELECT sent('integer', '1', 'dataset');
SELECT sent('boolean', 'true', 'person');

-- what is null: sent as null where it may be
SELECT sent('integer', 'NULL', 'number');
SELECT sent('integer', 'NULL', 'number!');
SELECT sent('integer', 'NULL', NULL);
SELECT sent('text', 'NULL', 'number');
SELECT sent('integer[]', 'NULL', 'number[]!');
SELECT sent('jsonb', $$'null'$$, 'object');
SELECT sent('jsonb', $$'null'$$, 'object!');

-- lists
SELECT sent('text[]', $$'{a,"b c",""}'$$, 'text[]');
SELECT sent('text[]', $$'{}'$$, 'text[]!');
SELECT sent('bigint[]', $$'{1,2}'$$, 'person[]');
SELECT sent('timestamptz[]', $$'{"2026-04-23 14:00+02"}'$$, 'dateTime[]');
SELECT sent('numeric[]', $$'{1.0,1.5,NaN,NULL,2}'$$, 'number[]');
SELECT sent('date[]', $$'[5:6]={2026-04-23,infinity}'$$, 'date[]');
SELECT sent('types_pair[]', $$ARRAY[(1,'x'),(2,NULL)]::types_pair[]$$, 'object[]');
SELECT sent('types_color[]', $$'{red}'$$, 'text[]');
SELECT sent('types_count[]', $$'{1}'$$, 'number[]');
SELECT sent('jsonb[]', $$ARRAY['{"a": 1}', '2']::jsonb[]$$, 'object[]');
SELECT sent('jsonb', $$'[1, 1.5]'$$, 'number[]');
SELECT sent('integer[]', $$'{{1,2},{3,4}}'$$, 'number[]');
SELECT sent('integer[]', $$'{1,2}'$$, 'number');
SELECT sent('integer', '1', 'number[]');
SELECT sent('integer[]', $$'{1}'$$, 'text');
SELECT sent('types_counts[]', $$ARRAY['{1}'::types_counts]$$, 'number[]');
SELECT sent('integer[]', $$'{1,NULL}'$$, NULL);
SELECT sent('integer[]', $$'{{1,2},{3,4}}'$$, NULL);
SELECT sent('integer[]', $$'{}'$$, NULL);
SELECT sent('text[]', $$'{{{a},{b}},{{c},{NULL}}}'$$, NULL);
SELECT sent('float8[]', $$'{1,NaN}'$$, NULL);

-- objects
CREATE TYPE types_inner AS (at timestamptz, pause interval, "Sum" numeric(6,2));
CREATE TYPE types_outer AS (id int, "inner" types_inner, more types_pair[], grid int[], j jsonb, gone text);
ALTER TYPE types_outer DROP ATTRIBUTE gone;
SELECT sent('types_outer', $$ROW(1, ROW('2026-04-23 14:00+02', '90 min', 1.50), ARRAY[(1,'x')]::types_pair[],
	'{{1,2},{3,NULL}}', '{"k": null}')::types_outer$$, 'object');
SELECT sent('types_outer', $$ROW(NULL, NULL, NULL, NULL, NULL)::types_outer$$, 'object');
SELECT sent('types_outer', $$ROW(1, ROW('infinity', '1 day -1 h', 'NaN'), NULL, NULL, NULL)::types_outer$$, 'object');
SELECT sent('types_outer', $$ROW(1, ROW('infinity', NULL, NULL), NULL, NULL, NULL)::types_outer$$, NULL);
SELECT sent('types_pair', $$'(1,x)'$$, 'text');
SELECT sent('json', $$'[1]'$$, 'object');
SELECT sent('json', $$'"x"'$$, 'object');
SELECT sent('json', $$'{"a": 1, "a": 2}'$$, 'object');
SELECT sent('text', $$'{"a": 1}'$$, 'object');

-- a composite type that changes while a session has used it
INSERT INTO domowf.workflow_input VALUES ('types', 'v', 'object');
CREATE TABLE types_table (v types_pair);
CREATE TRIGGER types_trigger AFTER INSERT ON types_table
	FOR EACH ROW EXECUTE FUNCTION domowf_trigger('types');
INSERT INTO types_table VALUES ('(1,x)');
ALTER TYPE types_pair ADD ATTRIBUTE c date;
INSERT INTO types_table VALUES ('(2,y,2026-04-23)');
ALTER TYPE types_pair RENAME ATTRIBUTE a TO first;
ALTER TYPE types_pair DROP ATTRIBUTE b;
INSERT INTO types_table VALUES ('(3,2026-04-24)');
DELETE FROM domowf.queue RETURNING request->'data';
DROP TABLE types_table;
DELETE FROM domowf.workflow_input;

-- a type with a cast to JSON, as hstore has one
CREATE FUNCTION types_color_json(types_color) RETURNS jsonb IMMUTABLE LANGUAGE sql
	AS $$ SELECT jsonb_build_object('color', $1::text) $$;
CREATE CAST (types_color AS jsonb) WITH FUNCTION types_color_json(types_color);
SELECT sent('types_color', $$'red'$$, NULL);
SELECT sent('types_color', $$'red'$$, 'object');
SELECT sent('types_color', $$'red'$$, 'text');
SELECT sent('types_color[]', $$'{red,green}'$$, 'object[]');
DROP CAST (types_color AS jsonb);
CREATE FUNCTION types_color_text(types_color) RETURNS json IMMUTABLE LANGUAGE sql
	AS $$ SELECT json_build_object('shade', $1::text) $$;
CREATE CAST (types_color AS json) WITH FUNCTION types_color_text(types_color);
SELECT sent('types_color', $$'red'$$, 'object');
DROP CAST (types_color AS json);
SELECT sent('types_color', $$'red'$$, 'text');

-- values are shown cut, and no more than twenty faults one by one
SELECT sent('text', $$repeat('é', 100)$$, 'number');
SELECT sent('text', $$E'a\tb\u0085"\\'$$, 'number');
SELECT sent('numeric[]', $$(SELECT array_agg(n + 0.5) FROM generate_series(1, 25) n)$$, 'number[]');

-- 1 MB of data
SELECT length(sent('text', $$repeat('x', 1048576 - 9)$$, 'text'));
\set VERBOSITY terse
INSERT INTO domowf.workflow_input VALUES ('types', 'v', 'text');
CREATE TABLE types_table (v text, n numeric[]);
CREATE TRIGGER types_trigger AFTER INSERT ON types_table
	FOR EACH ROW EXECUTE FUNCTION domowf_trigger('types');
INSERT INTO types_table VALUES (repeat('x', 1048576 - 8));
INSERT INTO types_table VALUES (repeat(E'\u0001', 1048576 / 6));
UPDATE domowf.workflow_input SET name = 'n', type = 'decimal', is_list = true;
INSERT INTO types_table VALUES (NULL, ARRAY[1e130000, 1e130000, 1e130000, 1e130000, 1e130000, 1e130000, 1e130000]);
INSERT INTO types_table VALUES (NULL, ARRAY[1e130000, 1e130000, 1e130000, 1e130000, 1e130000, 1e130000, 1e130000, 1e130000, 1e130000]);
DELETE FROM domowf.queue RETURNING length(request::text);
\set VERBOSITY default

\pset fieldsep '|'
\pset tuples_only off
\pset format aligned
RESET client_min_messages;
DELETE FROM domowf.workflow WHERE name = 'types';
DROP TABLE types_table, types_values, types_sent;
DROP FUNCTION sent(text, text, text), types_color_json(types_color), types_color_text(types_color);
DROP DOMAIN types_pair_domain, types_counts, types_count;
DROP TYPE types_outer, types_inner, types_pair, types_color;
