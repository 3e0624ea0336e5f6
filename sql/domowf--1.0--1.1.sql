/* sql/domowf--1.0--1.1.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION domowf UPDATE TO '1.1'" to load this file. \quit

-- As in domowf--1.1.sql: a name without a schema is PostgreSQL's own.
SET LOCAL search_path = pg_catalog, pg_temp;
