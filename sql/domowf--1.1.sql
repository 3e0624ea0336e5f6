/* sql/domowf--1.1.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION domowf" to load this file. \quit

-- Every name below that has no schema is PostgreSQL's own.  Nothing is looked
-- for in a schema where somebody else could have put an operator, function or
-- type that fits better (CVE-2022-2625); what is made here in the schema of
-- the extension is called by it.
-- Backslashes are not used: what they mean depends on a setting.
SET LOCAL search_path = pg_catalog, pg_temp;

--
-- Types
--

CREATE TYPE @extschema@.domowf_instance AS (
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
COMMENT ON TYPE @extschema@.domowf_instance IS
	'one run of a Domo Workflow, as Domo''s reply describes it';
COMMENT ON COLUMN @extschema@.domowf_instance.id IS
	'id of the instance, the only column that Domo always fills';
COMMENT ON COLUMN @extschema@.domowf_instance.model_id IS 'id of the workflow';
COMMENT ON COLUMN @extschema@.domowf_instance.model_name IS 'name of the workflow';
COMMENT ON COLUMN @extschema@.domowf_instance.model_version IS 'version of the workflow';
COMMENT ON COLUMN @extschema@.domowf_instance.deployment_id IS 'id of the deployment';
COMMENT ON COLUMN @extschema@.domowf_instance.bpmn_process_id IS 'id of the BPMN process';
COMMENT ON COLUMN @extschema@.domowf_instance.bpmn_process_name IS
	'name of the BPMN process';
COMMENT ON COLUMN @extschema@.domowf_instance.created_by IS
	'id of the user who started the instance';
COMMENT ON COLUMN @extschema@.domowf_instance.created_on IS 'when it was created';
COMMENT ON COLUMN @extschema@.domowf_instance.updated_by IS
	'id of the user who changed the instance last';
COMMENT ON COLUMN @extschema@.domowf_instance.updated_on IS 'when it was changed last';
COMMENT ON COLUMN @extschema@.domowf_instance.status IS
	'IN_PROGRESS, CANCELED, COMPLETED or FAILED; NULL while it has not reported back';
COMMENT ON COLUMN @extschema@.domowf_instance.is_test_run IS 'whether it is a test run';
COMMENT ON COLUMN @extschema@.domowf_instance.response IS
	'the whole reply, with what the other columns do not hold';

CREATE TYPE @extschema@.domowf_permission AS (
	id text,
	type text,
	name text,
	permissions text[]
);
COMMENT ON TYPE @extschema@.domowf_permission IS
	'what a user or group may do with a Domo Workflow';
COMMENT ON COLUMN @extschema@.domowf_permission.id IS 'id of the user or group';
COMMENT ON COLUMN @extschema@.domowf_permission.type IS 'USER or GROUP';
COMMENT ON COLUMN @extschema@.domowf_permission.name IS
	'name of the user or group, for people to read';
COMMENT ON COLUMN @extschema@.domowf_permission.permissions IS
	'names of permissions, as in READ or EXECUTE';

--
-- The planner support function refuses (f(...)).*, which calls Domo once for
-- each column.
--

CREATE FUNCTION @extschema@.domowf_call_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'domowf_call_support'
LANGUAGE C STRICT;
COMMENT ON FUNCTION @extschema@.domowf_call_support(internal) IS
	'planner support: refuses a call whose result is expanded more than once';

--
-- Calls.  PARALLEL UNSAFE, as they act on the world and note what they did
-- for the transaction's end; not STRICT, so that a NULL is an error.
--

CREATE FUNCTION @extschema@.domowf_start(request jsonb)
RETURNS @extschema@.domowf_instance
AS 'MODULE_PATHNAME', 'domowf_start_jsonb'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000
SUPPORT @extschema@.domowf_call_support;
COMMENT ON FUNCTION @extschema@.domowf_start(jsonb) IS
	'start a Domo Workflow now: {"messageName", "version", "modelId", "data"}';

CREATE FUNCTION @extschema@.domowf_start(workflow text, data jsonb)
RETURNS @extschema@.domowf_instance
AS 'MODULE_PATHNAME', 'domowf_start_workflow'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000
SUPPORT @extschema@.domowf_call_support;
COMMENT ON FUNCTION @extschema@.domowf_start(text, jsonb) IS
	'start a registered workflow now';

CREATE FUNCTION @extschema@.domowf_start_all(
	requests jsonb[],
	max_parallel int DEFAULT 8,
	OUT ordinality bigint,
	OUT instance @extschema@.domowf_instance,
	OUT sqlstate text,
	OUT error text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'domowf_start_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000
SUPPORT @extschema@.domowf_call_support;
COMMENT ON FUNCTION @extschema@.domowf_start_all(jsonb[], int) IS
	'start many Domo Workflows now, several at a time; one that fails does not stop the rest';

CREATE FUNCTION @extschema@.domowf_cancel(request jsonb)
RETURNS @extschema@.domowf_instance
AS 'MODULE_PATHNAME', 'domowf_cancel_jsonb'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000
SUPPORT @extschema@.domowf_call_support;
COMMENT ON FUNCTION @extschema@.domowf_cancel(jsonb) IS
	'cancel an instance of a Domo Workflow now: {"id"} or {"instanceId"}';

CREATE FUNCTION @extschema@.domowf_cancel(instance_id text)
RETURNS @extschema@.domowf_instance
AS 'MODULE_PATHNAME', 'domowf_cancel_text'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000
SUPPORT @extschema@.domowf_call_support;
COMMENT ON FUNCTION @extschema@.domowf_cancel(text) IS
	'cancel an instance of a Domo Workflow now';

CREATE FUNCTION @extschema@.domowf_set_permissions(request jsonb)
RETURNS SETOF @extschema@.domowf_permission
AS 'MODULE_PATHNAME', 'domowf_set_permissions_jsonb'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000 ROWS 10
SUPPORT @extschema@.domowf_call_support;
COMMENT ON FUNCTION @extschema@.domowf_set_permissions(jsonb) IS
	'change the permissions of a Domo Workflow now: {"modelId", "permissions"}';

CREATE FUNCTION @extschema@.domowf_set_permissions(model_id text, permissions jsonb)
RETURNS SETOF @extschema@.domowf_permission
AS 'MODULE_PATHNAME', 'domowf_set_permissions_text'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000 ROWS 10
SUPPORT @extschema@.domowf_call_support;
COMMENT ON FUNCTION @extschema@.domowf_set_permissions(text, jsonb) IS
	'change the permissions of a Domo Workflow now';

--
-- Requests: what is asked of the worker, and what came of it
--

CREATE SCHEMA domowf;
COMMENT ON SCHEMA domowf IS
	'domowf: registered workflows, requests and their outcomes';

CREATE TABLE domowf.workflow (
	name text PRIMARY KEY,
	model_id text NOT NULL,
	version text NOT NULL,
	message_name text NOT NULL,
	on_doubt text NOT NULL DEFAULT 'hold',
	track boolean NOT NULL DEFAULT false,
	max_attempts int,
	expire_after interval,
	granted_to name,
	server name,
	order_scope text,
	granted_oid oid,
	CONSTRAINT "name must not be empty" CHECK (name <> ''),
	CONSTRAINT "model_id must not be empty"
		CHECK (model_id <> '' AND model_id NOT IN ('.', '..')),
	CONSTRAINT "version must be major.minor.patch"
		CHECK (version ~ '^[0-9]+[.][0-9]+[.][0-9]+$'),
	CONSTRAINT "message_name must not be empty" CHECK (message_name <> ''),
	CONSTRAINT "on_doubt must be hold or retry"
		CHECK (on_doubt IN ('hold', 'retry')),
	CONSTRAINT "max_attempts must be at least 1" CHECK (max_attempts >= 1),
	CONSTRAINT "expire_after must be longer than nothing"
		CHECK (expire_after > interval '0'),
	CONSTRAINT "server must be null: there are no servers yet"
		CHECK (server IS NULL),
	CONSTRAINT "order_scope must not be empty" CHECK (order_scope <> '')
);
COMMENT ON TABLE domowf.workflow IS
	'registered workflows: a name for what Domo needs to start one';
COMMENT ON COLUMN domowf.workflow.name IS
	'name by which it is started here';
COMMENT ON COLUMN domowf.workflow.model_id IS 'Domo''s id of the workflow';
COMMENT ON COLUMN domowf.workflow.version IS
	'version to start, major.minor.patch; it must be deployed and active';
COMMENT ON COLUMN domowf.workflow.message_name IS
	'title of the workflow''s Start shape, usually "Start {workflow name}"';
COMMENT ON COLUMN domowf.workflow.on_doubt IS
	'when a start may or may not have been executed: hold it for a person, or retry (it may then run twice)';
COMMENT ON COLUMN domowf.workflow.track IS
	'whether its instances are polled until they end; without effect yet';
COMMENT ON COLUMN domowf.workflow.max_attempts IS
	'attempts that a request may use; NULL: domowf.max_attempts';
COMMENT ON COLUMN domowf.workflow.expire_after IS
	'how long a request may wait to be sent; NULL: domowf.expire_after';
COMMENT ON COLUMN domowf.workflow.granted_to IS
	'role whose members may start it, followed through a rename, nobody once it is dropped; NULL: whoever may execute the function';
COMMENT ON COLUMN domowf.workflow.server IS
	'server that names the Domo instance; NULL, the settings, for now';
COMMENT ON COLUMN domowf.workflow.order_scope IS
	'workflows of one order_scope share their order keys; NULL: it has its own';
COMMENT ON COLUMN domowf.workflow.granted_oid IS
	'oid of the role that granted_to named when it was written, which is what counts; 0: there was no such role. Always set by a trigger: NULL has the name looked up anew';
SELECT pg_catalog.pg_extension_config_dump('domowf.workflow', '');

CREATE TABLE domowf.workflow_input (
	workflow text REFERENCES domowf.workflow (name)
		ON UPDATE CASCADE ON DELETE CASCADE,
	name text,
	type text NOT NULL,
	is_list boolean NOT NULL DEFAULT false,
	required boolean NOT NULL DEFAULT false,
	PRIMARY KEY (workflow, name),
	CONSTRAINT "name must not be empty" CHECK (name <> ''),
	CONSTRAINT "type must be one of the twelve that its comment names"
		CHECK (type IN ('text', 'number', 'decimal', 'boolean', 'date',
						'dateTime', 'time', 'duration', 'object', 'person',
						'group', 'dataset'))
);
COMMENT ON TABLE domowf.workflow_input IS
	'declared inputs: where a workflow has any, data is checked against them before anything is sent or queued';
COMMENT ON COLUMN domowf.workflow_input.workflow IS 'registered workflow';
COMMENT ON COLUMN domowf.workflow_input.name IS
	'name of the input, exactly as in the workflow';
COMMENT ON COLUMN domowf.workflow_input.type IS
	'text, number, decimal, boolean, date, dateTime, time, duration, object, person, group or dataset';
COMMENT ON COLUMN domowf.workflow_input.is_list IS
	'whether it takes a list of such values';
COMMENT ON COLUMN domowf.workflow_input.required IS
	'whether data must have it, and not as null';
SELECT pg_catalog.pg_extension_config_dump('domowf.workflow_input', '');

-- pg_restore with several jobs loads this table while it loads the other one,
-- so the check of the foreign key, and no more of it, is one that lets a dump
-- through.
DO $$
DECLARE
	own name;
BEGIN
	FOR own IN SELECT t.tgname FROM pg_catalog.pg_trigger t
		WHERE t.tgrelid = 'domowf.workflow_input'::regclass AND t.tgisinternal
	LOOP
		EXECUTE pg_catalog.format(
			'ALTER TABLE domowf.workflow_input DISABLE TRIGGER %I', own);
	END LOOP;
END $$;
CREATE FUNCTION domowf.workflow_exists()
RETURNS trigger
AS 'MODULE_PATHNAME', 'domowf_workflow_exists'
LANGUAGE C;
COMMENT ON FUNCTION domowf.workflow_exists() IS
	'refuses inputs of a workflow that is not registered';
CREATE TRIGGER workflow_exists
	AFTER INSERT OR UPDATE OF workflow ON domowf.workflow_input
	FOR EACH ROW EXECUTE FUNCTION domowf.workflow_exists();
COMMENT ON TRIGGER workflow_exists ON domowf.workflow_input IS
	'inputs are those of a workflow that is registered';

-- Backends keep what they read of the registry.  Row triggers, since an apply
-- worker of logical replication fires no others; and BEFORE, so that no
-- function which the same statement runs reads a change before it is told.
CREATE FUNCTION domowf.registry_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'domowf_registry_changed'
LANGUAGE C;
COMMENT ON FUNCTION domowf.registry_changed() IS
	'makes every session read the registered workflows afresh';
CREATE TRIGGER registry_changed
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.workflow
	FOR EACH ROW EXECUTE FUNCTION domowf.registry_changed();
CREATE TRIGGER registry_truncated BEFORE TRUNCATE ON domowf.workflow
	FOR EACH STATEMENT EXECUTE FUNCTION domowf.registry_changed();
CREATE TRIGGER registry_changed
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.workflow_input
	FOR EACH ROW EXECUTE FUNCTION domowf.registry_changed();
CREATE TRIGGER registry_truncated BEFORE TRUNCATE ON domowf.workflow_input
	FOR EACH STATEMENT EXECUTE FUNCTION domowf.registry_changed();
ALTER TABLE domowf.workflow
	ENABLE ALWAYS TRIGGER registry_changed,
	ENABLE ALWAYS TRIGGER registry_truncated;
ALTER TABLE domowf.workflow_input
	ENABLE ALWAYS TRIGGER registry_changed,
	ENABLE ALWAYS TRIGGER registry_truncated;
COMMENT ON TRIGGER registry_changed ON domowf.workflow IS
	'a change applies to the next start, in every session';
COMMENT ON TRIGGER registry_truncated ON domowf.workflow IS
	'a change applies to the next start, in every session';
COMMENT ON TRIGGER registry_changed ON domowf.workflow_input IS
	'a change applies to the next start, in every session';
COMMENT ON TRIGGER registry_truncated ON domowf.workflow_input IS
	'a change applies to the next start, in every session';

-- granted_oid is set wherever the row comes from: a statement, a dump of
-- another cluster, whose oids mean nothing here, or a subscription.
CREATE FUNCTION domowf.set_granted_oid()
RETURNS trigger
AS 'MODULE_PATHNAME', 'domowf_set_granted_oid'
LANGUAGE C;
COMMENT ON FUNCTION domowf.set_granted_oid() IS
	'looks up the role that granted_to names, where it is written';
CREATE TRIGGER set_granted_oid
	BEFORE INSERT OR UPDATE ON domowf.workflow
	FOR EACH ROW EXECUTE FUNCTION domowf.set_granted_oid();
ALTER TABLE domowf.workflow ENABLE ALWAYS TRIGGER set_granted_oid;
COMMENT ON TRIGGER set_granted_oid ON domowf.workflow IS
	'granted_oid is that of the role that granted_to named when it was written';

CREATE SEQUENCE domowf.request_id;
COMMENT ON SEQUENCE domowf.request_id IS 'ids of requests and logged calls';

-- The C code knows the columns of this table by name, type and NOT NULL
-- (columns.c).
CREATE TABLE domowf.queue (
	id bigint PRIMARY KEY,
	state text NOT NULL,
	waiting boolean NOT NULL,
	operation text NOT NULL,
	workflow text,
	request jsonb NOT NULL,
	on_doubt text NOT NULL,
	max_attempts int NOT NULL,
	attempts int NOT NULL,
	failures int NOT NULL,
	claim int NOT NULL,
	owner bigint,
	key text,
	order_key text,
	source text,
	requested_by name NOT NULL,
	requested_by_oid oid NOT NULL,
	batch xid8 NOT NULL,
	enqueued_at timestamptz NOT NULL,
	run_at timestamptz NOT NULL,
	due timestamptz NOT NULL,
	expires_at timestamptz,
	sent_at timestamptz,
	http_status int,
	error text,
	errors jsonb,
	order_space text,
	lane bigint NOT NULL
) WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.02,
	autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE domowf.queue IS
	'requests that are not settled: queued, sending or in doubt';
COMMENT ON COLUMN domowf.queue.id IS 'id of the request';
COMMENT ON COLUMN domowf.queue.state IS 'queued, sending or in_doubt';
COMMENT ON COLUMN domowf.queue.waiting IS
	'whether an earlier request of the same order_key goes first';
COMMENT ON COLUMN domowf.queue.operation IS
	'start, cancel or set_permissions';
COMMENT ON COLUMN domowf.queue.workflow IS 'registered workflow, if any';
COMMENT ON COLUMN domowf.queue.request IS
	'the request, with all that it needs copied when it was enqueued';
COMMENT ON COLUMN domowf.queue.on_doubt IS 'hold or retry';
COMMENT ON COLUMN domowf.queue.max_attempts IS
	'attempts that the request may use';
COMMENT ON COLUMN domowf.queue.attempts IS 'attempts used';
COMMENT ON COLUMN domowf.queue.failures IS
	'failures in a row, which decide the backoff';
COMMENT ON COLUMN domowf.queue.claim IS
	'how often it was claimed: guards the settlement';
COMMENT ON COLUMN domowf.queue.owner IS
	'random number of the worker that claimed it last';
COMMENT ON COLUMN domowf.queue.key IS 'key that makes it unique';
COMMENT ON COLUMN domowf.queue.order_key IS
	'requests of one order_key and order_space are sent one after the other';
COMMENT ON COLUMN domowf.queue.source IS 'table whose trigger asked for it';
COMMENT ON COLUMN domowf.queue.requested_by IS 'role that asked for it';
COMMENT ON COLUMN domowf.queue.requested_by_oid IS
	'oid of the role that asked for it';
COMMENT ON COLUMN domowf.queue.batch IS 'transaction that enqueued it';
COMMENT ON COLUMN domowf.queue.enqueued_at IS 'when it was enqueued';
COMMENT ON COLUMN domowf.queue.run_at IS 'not sent before this time';
COMMENT ON COLUMN domowf.queue.due IS
	'run_at, but not before it was enqueued; infinity while it waits or is in doubt';
COMMENT ON COLUMN domowf.queue.expires_at IS 'not sent after this time';
COMMENT ON COLUMN domowf.queue.sent_at IS
	'when the last attempt was claimed for sending';
COMMENT ON COLUMN domowf.queue.http_status IS
	'HTTP status of the last attempt';
COMMENT ON COLUMN domowf.queue.error IS 'error of the last attempt';
COMMENT ON COLUMN domowf.queue.errors IS
	'one object for each failed attempt';
COMMENT ON COLUMN domowf.queue.order_space IS
	'whose order_key it is: scope:NAME, workflow:NAME, role:OID or model:';
COMMENT ON COLUMN domowf.queue.lane IS
	'requests of one role and one workflow or operation; they take turns with others';

-- No partial indexes here: to evaluate their predicates costs an enqueue more
-- than the entries do.  A claim changes no indexed column, so it can be HOT.
CREATE INDEX queue_lane ON domowf.queue (lane, due, id);
CREATE INDEX queue_order ON domowf.queue
	(order_space, order_key, waiting, id);
CREATE INDEX queue_expires ON domowf.queue (expires_at);
CREATE INDEX queue_key ON domowf.queue (key);
CREATE INDEX queue_batch ON domowf.queue (batch);

CREATE FUNCTION domowf.refuse_replication()
RETURNS trigger
AS 'MODULE_PATHNAME', 'domowf_refuse_replication'
LANGUAGE C;
COMMENT ON FUNCTION domowf.refuse_replication() IS
	'drops what logical replication would do to the queue';
CREATE TRIGGER refuse_replication
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.queue
	FOR EACH ROW EXECUTE FUNCTION domowf.refuse_replication();
ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER refuse_replication;
COMMENT ON TRIGGER refuse_replication ON domowf.queue IS
	'a subscriber does not send what its publisher sends';

CREATE TABLE domowf.key (
	scope text,
	key text,
	request_id bigint NOT NULL,
	key_owner oid,
	source_oid oid,
	PRIMARY KEY (scope, key)
);
COMMENT ON TABLE domowf.key IS
	'keys in use, from enqueue until the request''s log row is removed';
COMMENT ON COLUMN domowf.key.scope IS
	'registered workflow, or operation; before the name of a workflow that is called like an operation stands "workflow "';
COMMENT ON COLUMN domowf.key.key IS 'the key';
COMMENT ON COLUMN domowf.key.request_id IS 'request that holds it';
COMMENT ON COLUMN domowf.key.key_owner IS
	'whose key it is: of a trigger, who owned the table; NULL: the requester''s';
COMMENT ON COLUMN domowf.key.source_oid IS
	'table whose trigger took it, whose owner of today may have it, too';

-- The C code knows the columns of this table by name, type and NOT NULL
-- (columns.c).
CREATE TABLE domowf.log (
	id bigint PRIMARY KEY,
	operation text NOT NULL,
	workflow text,
	outcome text NOT NULL,
	origin text NOT NULL,
	key text,
	order_key text,
	source text,
	attempts int NOT NULL,
	http_status int,
	instance_id text,
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
	instance_status text,
	is_test_run boolean,
	request jsonb,
	response jsonb,
	error text,
	errors jsonb,
	requested_by name NOT NULL,
	requested_by_oid oid NOT NULL,
	enqueued_at timestamptz,
	sent_at timestamptz,
	settled_at timestamptz NOT NULL,
	batch xid8 NOT NULL,
	on_doubt text,
	max_attempts int,
	expires_at timestamptz,
	instance_finished_at timestamptz,
	order_space text
);
COMMENT ON TABLE domowf.log IS 'settled requests and finished calls';
COMMENT ON COLUMN domowf.log.id IS 'id of the request or call';
COMMENT ON COLUMN domowf.log.operation IS 'start, cancel or set_permissions';
COMMENT ON COLUMN domowf.log.workflow IS 'registered workflow, if any';
COMMENT ON COLUMN domowf.log.outcome IS
	'done, rejected, expired or discarded';
COMMENT ON COLUMN domowf.log.origin IS 'request or call';
COMMENT ON COLUMN domowf.log.key IS 'key that makes it unique';
COMMENT ON COLUMN domowf.log.order_key IS 'its order_key';
COMMENT ON COLUMN domowf.log.source IS 'table whose trigger asked for it';
COMMENT ON COLUMN domowf.log.attempts IS 'attempts used';
COMMENT ON COLUMN domowf.log.http_status IS 'HTTP status of the last attempt';
COMMENT ON COLUMN domowf.log.instance_id IS 'instance that was started or canceled';
COMMENT ON COLUMN domowf.log.model_id IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.model_name IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.model_version IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.deployment_id IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.bpmn_process_id IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.bpmn_process_name IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.created_by IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.created_on IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.updated_by IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.updated_on IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.instance_status IS
	'status of the instance as Domo last told it';
COMMENT ON COLUMN domowf.log.is_test_run IS 'as in domowf_instance';
COMMENT ON COLUMN domowf.log.request IS 'the request (domowf.log_payload)';
COMMENT ON COLUMN domowf.log.response IS
	'Domo''s reply (domowf.log_payload)';
COMMENT ON COLUMN domowf.log.error IS 'why it was not done';
COMMENT ON COLUMN domowf.log.errors IS 'one object for each failed attempt';
COMMENT ON COLUMN domowf.log.requested_by IS 'role that asked for it';
COMMENT ON COLUMN domowf.log.requested_by_oid IS
	'oid of the role that asked for it';
COMMENT ON COLUMN domowf.log.enqueued_at IS 'when it was enqueued';
COMMENT ON COLUMN domowf.log.sent_at IS 'when the last attempt was sent';
COMMENT ON COLUMN domowf.log.settled_at IS 'when its outcome was final';
COMMENT ON COLUMN domowf.log.batch IS
	'transaction that enqueued or called it';
COMMENT ON COLUMN domowf.log.on_doubt IS 'hold or retry';
COMMENT ON COLUMN domowf.log.max_attempts IS
	'attempts that the request may use';
COMMENT ON COLUMN domowf.log.expires_at IS 'not sent after this time';
COMMENT ON COLUMN domowf.log.instance_finished_at IS
	'when tracking saw the instance end';
COMMENT ON COLUMN domowf.log.order_space IS
	'whose order_key it is, as in domowf.queue';
CREATE INDEX log_key ON domowf.log (key);
CREATE INDEX log_batch ON domowf.log (batch);
CREATE INDEX log_settled ON domowf.log USING brin (settled_at);

CREATE TABLE domowf.state (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	database oid NOT NULL,
	paused boolean NOT NULL DEFAULT false,
	pause_reason text,
	paused_at timestamptz
);
COMMENT ON TABLE domowf.state IS
	'whether sending is paused, and which database this queue belongs to';
COMMENT ON COLUMN domowf.state.only_row IS 'there is one row';
COMMENT ON COLUMN domowf.state.database IS
	'database whose queue it is: a copy sends nothing until domowf_resume() there';
COMMENT ON COLUMN domowf.state.paused IS 'set by domowf_pause()';
COMMENT ON COLUMN domowf.state.pause_reason IS 'why, in the words given';
COMMENT ON COLUMN domowf.state.paused_at IS 'since when';
INSERT INTO domowf.state (database)
	SELECT oid FROM pg_catalog.pg_database
	WHERE datname = pg_catalog.current_database();

--
-- Row security: each role sees what it asked for
--

ALTER TABLE domowf.queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE domowf.log ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_requests ON domowf.queue FOR SELECT USING (
	requested_by_oid = (SELECT r.oid FROM pg_catalog.pg_roles r
						WHERE r.rolname = current_user)
	OR (SELECT pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')));
COMMENT ON POLICY own_requests ON domowf.queue IS
	'each role sees what it asked for, pg_read_all_data all';
CREATE POLICY own_requests ON domowf.log FOR SELECT USING (
	requested_by_oid = (SELECT r.oid FROM pg_catalog.pg_roles r
						WHERE r.rolname = current_user)
	OR (SELECT pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')));
COMMENT ON POLICY own_requests ON domowf.log IS
	'each role sees what it asked for, pg_read_all_data all';

--
-- Views
--

CREATE VIEW domowf.request WITH (security_invoker = true) AS
	SELECT id, operation, workflow, state, attempts, http_status,
		   NULL::text AS instance_id, NULL::text AS instance_status, error,
		   key, order_key, source, requested_by, batch, enqueued_at, run_at,
		   NULL::timestamptz AS settled_at,
		   CASE WHEN waiting THEN
				(SELECT f.id FROM domowf.queue f
				 WHERE f.order_space = q.order_space
					AND f.order_key = q.order_key AND NOT f.waiting
				 ORDER BY f.id LIMIT 1)
		   END AS waits_for
	FROM domowf.queue q
	UNION ALL
	SELECT id, operation, workflow, outcome, attempts, http_status,
		   instance_id, instance_status, error,
		   key, order_key, source, requested_by, batch, enqueued_at, NULL,
		   settled_at, NULL
	FROM domowf.log
	WHERE origin = 'request';
COMMENT ON VIEW domowf.request IS
	'requests in the queue and in the log as one';
COMMENT ON COLUMN domowf.request.waits_for IS
	'request of the same order key that goes first, where its reader may see that one';

ALTER TABLE domowf.key ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_requests ON domowf.key FOR SELECT USING (
	EXISTS (SELECT FROM domowf.request r WHERE r.id = key.request_id));
COMMENT ON POLICY own_requests ON domowf.key IS
	'each role sees the keys of the requests that it sees';

CREATE VIEW domowf.batch WITH (security_invoker = true) AS
	SELECT batch, total, done, failed, in_doubt, waiting,
		   round(100.0 * (total - waiting) / total, 1) AS percent,
		   round(per_second, 1) AS per_second,
		   CASE WHEN waiting > 0 AND per_second > 0
				THEN make_interval(secs => ceil(waiting / per_second)::float8)
		   END AS eta,
		   rpad(repeat('#', (50 * (total - waiting) / total)::int), 50, '.')
			AS progress
	FROM (SELECT batch, count(*) AS total,
				 count(*) FILTER (WHERE state = 'done') AS done,
				 count(*) FILTER (WHERE state IN
					('rejected', 'expired', 'discarded')) AS failed,
				 count(*) FILTER (WHERE state = 'in_doubt') AS in_doubt,
				 count(*) FILTER (WHERE state IN ('queued', 'sending'))
					AS waiting,
				 count(settled_at) / nullif(extract(epoch FROM
					max(settled_at) - min(enqueued_at)), 0) AS per_second
		  FROM domowf.request GROUP BY batch) b;
COMMENT ON VIEW domowf.batch IS
	'the requests of one transaction each: how many are through';

-- Reads with its owner's rights, so that members of pg_monitor see counts of
-- requests whose rows they may not see: a barrier, since a condition of its
-- reader that is cheap would else be evaluated before the view's own.
CREATE VIEW domowf.stats WITH (security_barrier = true) AS
	WITH seen AS (
		SELECT operation, workflow, state, attempts,
			   NULL::timestamptz AS sent_at, NULL::timestamptz AS settled_at,
			   enqueued_at, requested_by_oid
		FROM domowf.queue
		UNION ALL
		SELECT operation, workflow, outcome, attempts, sent_at, settled_at,
			   enqueued_at, requested_by_oid
		FROM domowf.log WHERE origin = 'request')
	SELECT operation, workflow,
		   count(*) FILTER (WHERE state = 'queued') AS queued,
		   count(*) FILTER (WHERE state = 'sending') AS sending,
		   count(*) FILTER (WHERE state = 'in_doubt') AS in_doubt,
		   count(*) FILTER (WHERE state = 'done') AS done,
		   count(*) FILTER (WHERE state = 'rejected') AS rejected,
		   count(*) FILTER (WHERE state = 'expired') AS expired,
		   count(*) FILTER (WHERE state = 'discarded') AS discarded,
		   min(enqueued_at) FILTER (WHERE state = 'queued') AS oldest_waiting,
		   sum(attempts) AS attempts,
		   percentile_cont(0.5) WITHIN GROUP (ORDER BY settled_at - sent_at)
			FILTER (WHERE settled_at > now() - interval '1 hour')
			AS latency_p50,
		   percentile_cont(0.95) WITHIN GROUP (ORDER BY settled_at - sent_at)
			FILTER (WHERE settled_at > now() - interval '1 hour')
			AS latency_p95,
		   percentile_cont(0.99) WITHIN GROUP (ORDER BY settled_at - sent_at)
			FILTER (WHERE settled_at > now() - interval '1 hour')
			AS latency_p99
	FROM seen
	WHERE requested_by_oid = (SELECT r.oid FROM pg_catalog.pg_roles r
							  WHERE r.rolname = current_user)
		OR pg_has_role('pg_read_all_data', 'USAGE')
		OR pg_has_role('pg_monitor', 'USAGE')
		OR pg_has_role((SELECT c.relowner FROM pg_catalog.pg_class c
						WHERE c.oid = 'domowf.queue'::regclass), 'USAGE')
	GROUP BY operation, workflow;
COMMENT ON VIEW domowf.stats IS
	'per operation and workflow: counts, the oldest that waits, latencies of the last hour';

-- A function in a view runs with its reader's rights, a table with the view's:
-- so what the worker says of itself, in shared memory, is a foreign table.
CREATE FUNCTION domowf.worker_handler()
RETURNS fdw_handler
AS 'MODULE_PATHNAME', 'domowf_worker_handler'
LANGUAGE C;
COMMENT ON FUNCTION domowf.worker_handler() IS
	'handler of the foreign table domowf.worker_status';
CREATE FOREIGN DATA WRAPPER domowf_worker HANDLER domowf.worker_handler;
COMMENT ON FOREIGN DATA WRAPPER domowf_worker IS
	'what the worker of this database says of itself';
CREATE SERVER domowf_worker FOREIGN DATA WRAPPER domowf_worker;
COMMENT ON SERVER domowf_worker IS
	'what the worker of this database says of itself';

-- The C code fills it by column position (worker_view.c).
CREATE FOREIGN TABLE domowf.worker_status (
	pid int,
	state text,
	in_flight int,
	sent bigint,
	failed bigint,
	started_at timestamptz,
	paused_until timestamptz,
	pause_reason text,
	last_error text
) SERVER domowf_worker;
COMMENT ON FOREIGN TABLE domowf.worker_status IS
	'what the worker of this database says of itself';
COMMENT ON COLUMN domowf.worker_status.pid IS
	'its process; NULL: none runs';
COMMENT ON COLUMN domowf.worker_status.state IS
	'idle, sending, paused or stopped';
COMMENT ON COLUMN domowf.worker_status.in_flight IS
	'attempts of which the reply is waited for';
COMMENT ON COLUMN domowf.worker_status.sent IS
	'attempts that ended, since it was started';
COMMENT ON COLUMN domowf.worker_status.failed IS 'of these: not done';
COMMENT ON COLUMN domowf.worker_status.started_at IS 'when it was started';
COMMENT ON COLUMN domowf.worker_status.paused_until IS
	'when it sends again; infinity: when somebody lets it';
COMMENT ON COLUMN domowf.worker_status.pause_reason IS
	'why it is paused; of a request only for who may see all of them';
COMMENT ON COLUMN domowf.worker_status.last_error IS
	'the last failure, for who may see all requests and for pg_monitor';

CREATE VIEW domowf.worker WITH (security_barrier = true) AS
	SELECT * FROM domowf.worker_status;
COMMENT ON VIEW domowf.worker IS
	'the worker of this database: what it does, why it is paused';

--
-- Requests: functions
--

CREATE FUNCTION domowf.may_see(role oid, requested_by oid)
RETURNS boolean
RETURN role = requested_by
	OR pg_catalog.pg_has_role(role, 'pg_read_all_data', 'USAGE')
	OR pg_catalog.pg_has_role(role, (SELECT c.relowner
		FROM pg_catalog.pg_class c WHERE c.oid = 'domowf.queue'::regclass),
		'USAGE');
COMMENT ON FUNCTION domowf.may_see(oid, oid) IS
	'whether a role sees what another one asked for';

CREATE FUNCTION domowf.key_scope(operation text, workflow text)
RETURNS text
AS 'MODULE_PATHNAME', 'domowf_key_scope'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION domowf.key_scope(text, text) IS
	'the scope of a workflow''s keys, or of an operation''s where that is NULL';

CREATE FUNCTION @extschema@.domowf_enqueue(
	workflow text,
	data jsonb DEFAULT '{}',
	key text DEFAULT NULL,
	order_key text DEFAULT NULL,
	run_at timestamptz DEFAULT NULL,
	expires_at timestamptz DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'domowf_enqueue'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_enqueue(text, jsonb, text, text, timestamptz, timestamptz) IS
	'ask for a start of a registered workflow, sent after COMMIT; returns the request''s id';

CREATE FUNCTION @extschema@.domowf_enqueue_call(
	operation text,
	request jsonb,
	key text DEFAULT NULL,
	order_key text DEFAULT NULL,
	run_at timestamptz DEFAULT NULL,
	expires_at timestamptz DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'domowf_enqueue_call'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_enqueue_call(text, jsonb, text, text, timestamptz, timestamptz) IS
	'ask for a start, cancel or set_permissions, sent after COMMIT; returns the request''s id';

CREATE FUNCTION @extschema@.domowf_trigger()
RETURNS trigger
AS 'MODULE_PATHNAME', 'domowf_trigger'
LANGUAGE C;
COMMENT ON FUNCTION @extschema@.domowf_trigger() IS
	'trigger AFTER changes of a table: asks for a start of a registered workflow, with arguments ''workflow'', ''input=column'' and so on';

CREATE FUNCTION @extschema@.domowf_wait(request_id bigint, timeout interval DEFAULT '30 s')
RETURNS domowf.request
AS 'MODULE_PATHNAME', 'domowf_wait'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_wait(bigint, interval) IS
	'wait until a committed request is settled or in doubt';

CREATE FUNCTION @extschema@.domowf_retry(request_id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'domowf_retry'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_retry(bigint) IS
	'send a request (again) that is in doubt, rejected, expired or not yet sent';

CREATE FUNCTION @extschema@.domowf_discard(request_id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'domowf_discard'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_discard(bigint) IS
	'give up a request that is in doubt, rejected, expired or not yet sent';

CREATE FUNCTION @extschema@.domowf_resolve(request_id bigint, instance_id text)
RETURNS boolean
AS 'MODULE_PATHNAME', 'domowf_resolve'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_resolve(bigint, text) IS
	'record the instance that a request did start';

CREATE FUNCTION @extschema@.domowf_pause(reason text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'domowf_pause'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_pause(text) IS
	'stop sending the requests of this database';

CREATE FUNCTION @extschema@.domowf_resume()
RETURNS void
AS 'MODULE_PATHNAME', 'domowf_resume'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_resume() IS
	'go on sending the requests of this database';

CREATE FUNCTION @extschema@.domowf_check(
	OUT check_name text,
	OUT ok boolean,
	OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'domowf_check'
LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 6;
COMMENT ON FUNCTION @extschema@.domowf_check() IS 'whether everything is set up';

CREATE FUNCTION domowf.created()
RETURNS void
AS 'MODULE_PATHNAME', 'domowf_created'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION domowf.created() IS
	'wakes the launcher when CREATE EXTENSION, or an update of it, commits';

--
-- Who makes triggers
--
-- A trigger starts what the owner of its table may, and PostgreSQL does not
-- keep who made it: so the TRIGGER privilege alone must not be enough.
--

CREATE TABLE domowf.earlier_trigger (
	relation regclass,
	name name,
	PRIMARY KEY (relation, name)
);
COMMENT ON TABLE domowf.earlier_trigger IS
	'triggers with domowf_trigger() that were there when version 1.1 came: nobody knows who made them. Look at each, then delete its row';
COMMENT ON COLUMN domowf.earlier_trigger.relation IS 'its table';
COMMENT ON COLUMN domowf.earlier_trigger.name IS 'its name';

-- In PL/pgSQL, so that a library which is missing, or of another version, is
-- in nobody's way who makes some other trigger; and with the rights of whoever
-- makes it, of which the right to use a schema or to execute a function of
-- domowf's is none.  The function is known by what it calls: its name would
-- have to be looked up in a schema that not everybody may use.
--
-- Above READ COMMITTED a snapshot may be older than the table's present owner
-- or the function, so that only a superuser passes there, if not all is known.
-- 10 is the role that initdb makes.
CREATE FUNCTION domowf.trigger_made()
RETURNS event_trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	made record;
BEGIN
	-- as in REFRESH MATERIALIZED VIEW, inside which PostgreSQL does not tell
	-- what is made
	IF NOT EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
				   WHERE classid = 'pg_trigger'::regclass)
		AND NOT pg_has_role(10::oid, 'USAGE')
	THEN
		RAISE EXCEPTION 'permission denied to make a trigger inside this statement'
			USING ERRCODE = 'insufficient_privilege',
			DETAIL = 'domowf cannot see which one it is, and a trigger with domowf_trigger() starts what the owner of the table may.',
			HINT = 'Make it in a statement of its own.';
	END IF;
	FOR made IN
		SELECT t.tgname AS name, t.tgrelid::regclass AS relation,
			pg_get_userbyid(c.relowner) AS owner,
			pg_has_role(c.relowner, 'USAGE') AS is_owners
		FROM pg_event_trigger_ddl_commands() d
			JOIN pg_trigger t ON t.oid = d.objid
			LEFT JOIN pg_proc p ON p.oid = t.tgfoid
			LEFT JOIN pg_language l ON l.oid = p.prolang
			LEFT JOIN pg_class c ON c.oid = t.tgrelid
		WHERE d.classid = 'pg_trigger'::regclass
			AND (p.oid IS NULL
				 OR l.lanname = 'c' AND p.prosrc = 'domowf_trigger')
	LOOP
		IF current_setting('transaction_isolation')
				NOT IN ('read committed', 'read uncommitted')
			AND NOT pg_has_role(10::oid, 'USAGE')
		THEN
			RAISE EXCEPTION
				'trigger "%" on table % can be made at isolation level READ COMMITTED only',
				made.name, made.relation
				USING ERRCODE = 'active_sql_transaction',
				DETAIL = 'domowf_trigger() starts what the owner of the table may; who that is now cannot be seen.';
		END IF;
		IF made.is_owners IS NOT TRUE THEN
			RAISE EXCEPTION
				'permission denied to make trigger "%" on table %',
				made.name, made.relation
				USING ERRCODE = 'insufficient_privilege',
				DETAIL = format('domowf_trigger() starts what the owner of the table may, so it takes the rights of "%s" to make one.', made.owner),
				HINT = 'Have the owner, a member of that role or a superuser make it.';
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION domowf.trigger_made() IS
	'refuses a trigger with domowf_trigger() to whoever has not the rights of the table''s owner';
CREATE EVENT TRIGGER domowf_trigger_made ON ddl_command_end
	WHEN TAG IN ('CREATE TRIGGER')
	EXECUTE FUNCTION domowf.trigger_made();
ALTER EVENT TRIGGER domowf_trigger_made ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER domowf_trigger_made IS
	'domowf: to make a trigger with domowf_trigger() takes the rights of the table''s owner';

SELECT domowf.created();

--
-- Privileges, last of all: those that README tells of, whatever ALTER DEFAULT
-- PRIVILEGES has given to others, or taken from the owner, above
--

DO LANGUAGE plpgsql $$
DECLARE
	member record;
	role text;
BEGIN
	-- no privileges: PostgreSQL's, which are the owner's, but for functions
	FOR member IN SELECT m.kind, i.identity, m.owner,
			coalesce(m.acl, acldefault(m.type, m.owner)) AS acl
		FROM pg_depend d
			JOIN pg_extension e ON e.oid = d.refobjid,
			pg_identify_object(d.classid, d.objid, 0) i,
			LATERAL (
				SELECT 'FUNCTION', 'f'::"char", proowner, proacl FROM pg_proc
				WHERE oid = d.objid AND d.classid = 'pg_proc'::regclass
				UNION ALL
				SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
					   CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char",
					   relowner, relacl FROM pg_class
				WHERE oid = d.objid AND d.classid = 'pg_class'::regclass
				UNION ALL
				SELECT 'SCHEMA', 'n', nspowner, nspacl FROM pg_namespace
				WHERE oid = d.objid AND d.classid = 'pg_namespace'::regclass
				UNION ALL
				SELECT 'FOREIGN DATA WRAPPER', 'F', fdwowner, fdwacl
				FROM pg_foreign_data_wrapper WHERE oid = d.objid
					AND d.classid = 'pg_foreign_data_wrapper'::regclass
				UNION ALL
				SELECT 'FOREIGN SERVER', 'S', srvowner, srvacl
				FROM pg_foreign_server WHERE oid = d.objid
					AND d.classid = 'pg_foreign_server'::regclass
				UNION ALL
				SELECT 'TYPE', 'T', typowner, typacl FROM pg_type
				WHERE oid = d.objid AND d.classid = 'pg_type'::regclass
			) m (kind, type, owner, acl)
		WHERE e.extname = 'domowf'
			AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
			AND (m.acl IS NOT NULL OR m.kind = 'FUNCTION')
		ORDER BY m.kind, i.identity
	LOOP
		FOR role IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC'
				ELSE quote_ident(pg_get_userbyid(a.grantee)) END
			FROM aclexplode(member.acl) a WHERE a.grantee <> member.owner
		LOOP
			EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', member.kind,
						   member.identity, role);
		END LOOP;
		EXECUTE format('GRANT ALL ON %s %s TO %I', member.kind,
					   member.identity, pg_get_userbyid(member.owner));
		-- again PostgreSQL's: everybody may have a column of a type
		IF member.kind = 'TYPE' THEN
			EXECUTE format('GRANT USAGE ON TYPE %s TO PUBLIC',
						   member.identity);
		END IF;
	END LOOP;
END $$;

GRANT USAGE ON SCHEMA domowf TO pg_monitor;
GRANT SELECT ON domowf.stats, domowf.worker TO pg_monitor;
