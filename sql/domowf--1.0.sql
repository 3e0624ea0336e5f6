/* sql/domowf--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION domowf" to load this file. \quit

--
-- Types
--

CREATE TYPE domowf_instance AS (
	id text,
	model_id text,
	model_name text,
	model_version text,
	deployment_id text,
	bpmn_process_id text,
	bpmn_process_name text,
	created_by text,
	created_on timestamptz,
	updated_by text,
	updated_on timestamptz,
	status text,
	is_test_run boolean,
	response jsonb
);
COMMENT ON TYPE domowf_instance IS
	'one run of a Domo Workflow, as Domo''s reply describes it';
COMMENT ON COLUMN domowf_instance.id IS
	'id of the instance, the only column that Domo always fills';
COMMENT ON COLUMN domowf_instance.model_id IS 'id of the workflow';
COMMENT ON COLUMN domowf_instance.model_name IS 'name of the workflow';
COMMENT ON COLUMN domowf_instance.model_version IS 'version of the workflow';
COMMENT ON COLUMN domowf_instance.deployment_id IS 'id of the deployment';
COMMENT ON COLUMN domowf_instance.bpmn_process_id IS 'id of the BPMN process';
COMMENT ON COLUMN domowf_instance.bpmn_process_name IS
	'name of the BPMN process';
COMMENT ON COLUMN domowf_instance.created_by IS
	'id of the user who started the instance';
COMMENT ON COLUMN domowf_instance.created_on IS 'when it was created';
COMMENT ON COLUMN domowf_instance.updated_by IS
	'id of the user who changed the instance last';
COMMENT ON COLUMN domowf_instance.updated_on IS 'when it was changed last';
COMMENT ON COLUMN domowf_instance.status IS
	'IN_PROGRESS, CANCELED, COMPLETED or FAILED; NULL while it has not reported back';
COMMENT ON COLUMN domowf_instance.is_test_run IS 'whether it is a test run';
COMMENT ON COLUMN domowf_instance.response IS
	'the whole reply, with what the other columns do not hold';

CREATE TYPE domowf_permission AS (
	id text,
	type text,
	name text,
	permissions text[]
);
COMMENT ON TYPE domowf_permission IS
	'what a user or group may do with a Domo Workflow';
COMMENT ON COLUMN domowf_permission.id IS 'id of the user or group';
COMMENT ON COLUMN domowf_permission.type IS 'USER or GROUP';
COMMENT ON COLUMN domowf_permission.name IS
	'name of the user or group, for people to read';
COMMENT ON COLUMN domowf_permission.permissions IS
	'names of permissions, as in READ or EXECUTE';

--
-- The planner support function refuses (f(...)).*, which calls Domo once for
-- each column.
--

CREATE FUNCTION domowf_call_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'domowf_call_support'
LANGUAGE C STRICT;
COMMENT ON FUNCTION domowf_call_support(internal) IS
	'planner support: refuses a call whose result is expanded more than once';

--
-- Calls.  PARALLEL UNSAFE, as they act on the world and note what they did
-- for the transaction's end; not STRICT, so that a NULL is an error.
--

CREATE FUNCTION domowf_start(request jsonb)
RETURNS domowf_instance
AS 'MODULE_PATHNAME', 'domowf_start_jsonb'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000
SUPPORT domowf_call_support;
COMMENT ON FUNCTION domowf_start(jsonb) IS
	'start a Domo Workflow now: {"messageName", "version", "modelId", "data"}';

CREATE FUNCTION domowf_start_all(
	requests jsonb[],
	max_parallel int DEFAULT 8,
	OUT ordinality bigint,
	OUT instance domowf_instance,
	OUT sqlstate text,
	OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'domowf_start_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000
SUPPORT domowf_call_support;
COMMENT ON FUNCTION domowf_start_all(jsonb[], int) IS
	'start many Domo Workflows now, several at a time; one that fails does not stop the rest';

CREATE FUNCTION domowf_cancel(request jsonb)
RETURNS domowf_instance
AS 'MODULE_PATHNAME', 'domowf_cancel_jsonb'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000
SUPPORT domowf_call_support;
COMMENT ON FUNCTION domowf_cancel(jsonb) IS
	'cancel an instance of a Domo Workflow now: {"id"} or {"instanceId"}';

CREATE FUNCTION domowf_cancel(instance_id text)
RETURNS domowf_instance
AS 'MODULE_PATHNAME', 'domowf_cancel_text'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000
SUPPORT domowf_call_support;
COMMENT ON FUNCTION domowf_cancel(text) IS
	'cancel an instance of a Domo Workflow now';

CREATE FUNCTION domowf_set_permissions(request jsonb)
RETURNS SETOF domowf_permission
AS 'MODULE_PATHNAME', 'domowf_set_permissions_jsonb'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 10
SUPPORT domowf_call_support;
COMMENT ON FUNCTION domowf_set_permissions(jsonb) IS
	'change the permissions of a Domo Workflow now: {"modelId", "permissions"}';

CREATE FUNCTION domowf_set_permissions(model_id text, permissions jsonb)
RETURNS SETOF domowf_permission
AS 'MODULE_PATHNAME', 'domowf_set_permissions_text'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 ROWS 10
SUPPORT domowf_call_support;
COMMENT ON FUNCTION domowf_set_permissions(text, jsonb) IS
	'change the permissions of a Domo Workflow now';

--
-- Whoever may execute these may do whatever the token may do.
--

REVOKE EXECUTE ON FUNCTION domowf_call_support(internal) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION domowf_start(jsonb) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION domowf_start_all(jsonb[], int) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION domowf_cancel(jsonb) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION domowf_cancel(text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION domowf_set_permissions(jsonb) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION domowf_set_permissions(text, jsonb) FROM PUBLIC;
