/* sql/domowf--1.0--1.1.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION domowf UPDATE TO '1.1'" to load this file. \quit

-- As in domowf--1.1.sql: a name without a schema is PostgreSQL's own.
SET LOCAL search_path = pg_catalog, pg_temp;

--
-- Keys: whose they are (src/key.c).  Those that are there go by their requests.
--

ALTER TABLE domowf.key
	ADD COLUMN key_owner oid,
	ADD COLUMN source_oid oid;
COMMENT ON COLUMN domowf.key.key_owner IS
	'whose key it is: of a trigger, who owned the table; NULL: the requester''s';
COMMENT ON COLUMN domowf.key.source_oid IS
	'table whose trigger took it, whose owner of today may have it, too';
