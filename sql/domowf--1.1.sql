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
-- each column, and where PostgreSQL may call more or less than once for a row.
--

CREATE FUNCTION @extschema@.domowf_call_support(internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'domowf_call_support'
LANGUAGE C STRICT;
COMMENT ON FUNCTION @extschema@.domowf_call_support(internal) IS
	'planner support: refuses a call that PostgreSQL may make more or less than once for a row';

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

CREATE FUNCTION @extschema@.domowf_instance(instance_id text, server name DEFAULT NULL)
RETURNS @extschema@.domowf_instance
AS 'MODULE_PATHNAME', 'domowf_instance'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000
SUPPORT @extschema@.domowf_call_support;
COMMENT ON FUNCTION @extschema@.domowf_instance(text, name) IS
	'read an instance of a Domo Workflow as it stands, by a call that Domo does not document (domowf.track_instances)';

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
	on_settled text,
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
	CONSTRAINT "server must not be empty" CHECK (server <> ''),
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
	'whether instances that requests start are polled until they end, by a call that Domo does not document (domowf.track_instances)';
COMMENT ON COLUMN domowf.workflow.max_attempts IS
	'attempts that a request may use; NULL: domowf.max_attempts';
COMMENT ON COLUMN domowf.workflow.expire_after IS
	'how long a request may wait to be sent; NULL: domowf.expire_after';
COMMENT ON COLUMN domowf.workflow.granted_to IS
	'role whose members may start it, followed through a rename, nobody once it is dropped; NULL: whoever may execute the function';
COMMENT ON COLUMN domowf.workflow.server IS
	'server of foreign data wrapper domowf that it is started on; NULL: where the settings point';
COMMENT ON COLUMN domowf.workflow.order_scope IS
	'workflows of one order_scope share their order keys; NULL: it has its own';
COMMENT ON COLUMN domowf.workflow.granted_oid IS
	'oid of the role that granted_to named when it was written, which is what counts; 0: there was no such role. Always set by a trigger: NULL has the name looked up anew';
COMMENT ON COLUMN domowf.workflow.on_settled IS
	'function f(domowf.request) that is called, as its owner, with each outcome of a request: its signature, with its schema';
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

-- The function is known by its signature, since a reg type would stop
-- pg_upgrade.
CREATE FUNCTION domowf.set_on_settled()
RETURNS trigger
AS 'MODULE_PATHNAME', 'domowf_set_on_settled'
LANGUAGE C;
COMMENT ON FUNCTION domowf.set_on_settled() IS
	'looks up the function that on_settled names, which takes its owner''s rights, and writes its signature';
CREATE TRIGGER set_on_settled
	BEFORE INSERT OR UPDATE ON domowf.workflow
	FOR EACH ROW EXECUTE FUNCTION domowf.set_on_settled();
ALTER TABLE domowf.workflow ENABLE ALWAYS TRIGGER set_on_settled;
COMMENT ON TRIGGER set_on_settled ON domowf.workflow IS
	'on_settled is the signature of a function of whoever writes it';
CREATE TRIGGER set_on_settled_checked
	AFTER INSERT OR UPDATE ON domowf.workflow
	FOR EACH ROW EXECUTE FUNCTION domowf.set_on_settled();
ALTER TABLE domowf.workflow ENABLE ALWAYS TRIGGER set_on_settled_checked;
COMMENT ON TRIGGER set_on_settled_checked ON domowf.workflow IS
	'no other trigger has made on_settled another function';

CREATE SEQUENCE domowf.request_id;
COMMENT ON SEQUENCE domowf.request_id IS 'ids of requests and logged calls';

-- The C code knows the columns of this table by name, type and NOT NULL
-- (columns.c), and rests on no order: in a queue that was updated from 1.0 it is
-- another one.  What is always there and has a length comes first, so that a row is
-- taken apart faster; what a claim changes comes last, since of an update all is
-- logged from the first byte that changes to the last.
CREATE TABLE domowf.queue (
	id bigint NOT NULL,
	lane bigint NOT NULL,
	batch xid8 NOT NULL,
	enqueued_at timestamptz NOT NULL,
	run_at timestamptz NOT NULL,
	due timestamptz NOT NULL,
	requested_by_oid oid NOT NULL,
	max_attempts int NOT NULL,
	requested_by name NOT NULL,
	waiting boolean NOT NULL,
	operation text NOT NULL,
	workflow text,
	request jsonb NOT NULL,
	on_doubt text NOT NULL,
	key text,
	order_key text,
	order_space text,
	source text,
	source_oid oid,
	expires_at timestamptz,
	server name,
	server_owner oid,
	server_role oid,
	track boolean,
	returns_to jsonb,
	depth int,
	http_status int,
	error text,
	errors jsonb,
	attempts int NOT NULL,
	failures int NOT NULL,
	claim int NOT NULL,
	state text NOT NULL,
	owner bigint,
	sent_at timestamptz
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
COMMENT ON COLUMN domowf.queue.source_oid IS
	'table whose trigger asked for it, by whose owner''s rights it is sent again';
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
	'whose order_key it is: scope:NAME, workflow:NAME, role:OID or model:SERVER';
COMMENT ON COLUMN domowf.queue.lane IS
	'requests of one role, one server and one workflow or operation; they take turns with others';
COMMENT ON COLUMN domowf.queue.server IS
	'server that it goes to; NULL: where the settings point';
COMMENT ON COLUMN domowf.queue.server_owner IS
	'who owned the server when it was enqueued: to a server of another owner it is not sent';
COMMENT ON COLUMN domowf.queue.server_role IS
	'role by whose user mapping it is sent';
COMMENT ON COLUMN domowf.queue.track IS
	'whether the instance that it starts is polled until it ends; NULL: it is not';
COMMENT ON COLUMN domowf.queue.returns_to IS
	'row and columns that what comes of it is written back into';
COMMENT ON COLUMN domowf.queue.depth IS
	'how many returns it comes of, one after the other; NULL: none';

-- Predicates are of this form alone: those the C code looks at itself, while to
-- have others evaluated costs an enqueue more than an entry (table.c).  A claim
-- changes no indexed column, so it can be HOT.
CREATE INDEX queue_lane ON domowf.queue (lane, due, id);
CREATE INDEX queue_order ON domowf.queue
	(order_space, order_key, waiting, id) WHERE order_space IS NOT NULL;
CREATE INDEX queue_expires ON domowf.queue (expires_at)
	WHERE expires_at IS NOT NULL;
CREATE INDEX queue_key ON domowf.queue (key) WHERE key IS NOT NULL;
CREATE INDEX queue_batch ON domowf.queue (batch);
-- The last one: where two cost the same, the planner takes the newest index, and
-- by the statistics of an empty table all that have the id in them do.
ALTER TABLE domowf.queue ADD PRIMARY KEY (id);

CREATE FUNCTION domowf.refuse_replication()
RETURNS trigger
AS 'MODULE_PATHNAME', 'domowf_refuse_replication'
LANGUAGE C;
COMMENT ON FUNCTION domowf.refuse_replication() IS
	'drops what logical replication would do to a table';
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
	order_space text,
	server name,
	returns_to jsonb,
	depth int,
	source_oid oid
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
COMMENT ON COLUMN domowf.log.source_oid IS
	'table whose trigger asked for it, by whose owner''s rights it is sent again';
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
	'transaction that enqueued or called it; of a row that has come from a publisher the one there, and 4611686018427387904 more';
COMMENT ON COLUMN domowf.log.on_doubt IS 'hold or retry';
COMMENT ON COLUMN domowf.log.max_attempts IS
	'attempts that the request may use';
COMMENT ON COLUMN domowf.log.expires_at IS 'not sent after this time';
COMMENT ON COLUMN domowf.log.instance_finished_at IS
	'when tracking saw the instance end, or gave it up, and then error says why';
COMMENT ON COLUMN domowf.log.order_space IS
	'whose order_key it is, as in domowf.queue';
COMMENT ON COLUMN domowf.log.server IS
	'server that it went to; NULL: where the settings pointed';
COMMENT ON COLUMN domowf.log.returns_to IS
	'row and columns that what comes of it is written back into';
COMMENT ON COLUMN domowf.log.depth IS
	'how many returns it comes of, one after the other; NULL: none';
-- Predicates of these forms alone, as above (table.c).  A call has an entry in
-- one of these.  The first two serve the keys and batches of requests, the last
-- two what people ask of a long log: what was not done, and one instance.
CREATE INDEX log_key ON domowf.log (key) WHERE key IS NOT NULL;
CREATE INDEX log_batch ON domowf.log (batch) WHERE origin <> 'call';
CREATE INDEX log_undone ON domowf.log (id) WHERE outcome <> 'done';
CREATE INDEX log_instance ON domowf.log (instance_id)
	WHERE instance_id IS NOT NULL;
CREATE INDEX log_settled ON domowf.log USING brin (settled_at);

-- The C code knows the columns of this table by name, type and NOT NULL
-- (columns.c).
CREATE TABLE domowf.tracked (
	request_id bigint NOT NULL,
	instance_id text NOT NULL,
	lane bigint NOT NULL,
	due timestamptz NOT NULL,
	tries int NOT NULL,
	started_at timestamptz NOT NULL,
	server name,
	server_owner oid,
	server_role oid,
	error text,
	missing_since timestamptz
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02,
	autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE domowf.tracked IS
	'instances that are polled until they end, by a call that Domo does not document (domowf.track_instances)';
COMMENT ON COLUMN domowf.tracked.request_id IS 'request that has started it';
COMMENT ON COLUMN domowf.tracked.instance_id IS 'the instance';
COMMENT ON COLUMN domowf.tracked.lane IS
	'instances of one server and role; those of one that rests wait, and no others';
COMMENT ON COLUMN domowf.tracked.due IS 'when it is polled next';
COMMENT ON COLUMN domowf.tracked.tries IS 'polls so far, which decide how long the next one waits';
COMMENT ON COLUMN domowf.tracked.started_at IS 'when its start was settled';
COMMENT ON COLUMN domowf.tracked.server IS
	'server that it runs on; NULL: where the settings point';
COMMENT ON COLUMN domowf.tracked.server_owner IS
	'who owned the server when it was enqueued, as in domowf.queue';
COMMENT ON COLUMN domowf.tracked.server_role IS
	'role by whose user mapping it is polled';
COMMENT ON COLUMN domowf.tracked.error IS
	'why the last poll failed; NULL: it did not';
COMMENT ON COLUMN domowf.tracked.missing_since IS
	'since when each poll was answered that there is no such instance (404); NULL: the last was not';
CREATE INDEX tracked_lane ON domowf.tracked (lane, due, request_id);
-- the last one, as queue's
ALTER TABLE domowf.tracked ADD PRIMARY KEY (request_id);

CREATE TRIGGER refuse_replication
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.tracked
	FOR EACH ROW EXECUTE FUNCTION domowf.refuse_replication();
ALTER TABLE domowf.tracked ENABLE ALWAYS TRIGGER refuse_replication;
COMMENT ON TRIGGER refuse_replication ON domowf.tracked IS
	'a subscriber does not poll what its publisher polls';

-- What has happened to requests (src/queue/counter.c).  The C code knows the
-- columns by name, type and NOT NULL (columns.c).  No index: it has few rows,
-- and all of them are read; so all of a row is its identity.  No more of a dump
-- than the log: who dumps and may not pass by row security could not.
CREATE TABLE domowf.counter (
	operation text NOT NULL,
	workflow text,
	server name,
	requested_by name NOT NULL,
	requested_by_oid oid NOT NULL,
	class text,
	outcome text,
	slot timestamptz,
	n bigint NOT NULL,
	reopened bigint,
	attempts bigint,
	waited bigint,
	took bigint,
	waited_0 bigint, waited_1 bigint, waited_2 bigint, waited_3 bigint,
	waited_4 bigint, waited_5 bigint, waited_6 bigint, waited_7 bigint,
	waited_8 bigint, waited_9 bigint, waited_10 bigint, waited_11 bigint,
	waited_12 bigint, waited_13 bigint, waited_14 bigint, waited_15 bigint,
	waited_16 bigint, waited_17 bigint, waited_18 bigint, took_0 bigint,
	took_1 bigint, took_2 bigint, took_3 bigint, took_4 bigint,
	took_5 bigint, took_6 bigint, took_7 bigint, took_8 bigint,
	took_9 bigint, took_10 bigint, took_11 bigint, took_12 bigint,
	took_13 bigint, took_14 bigint, took_15 bigint, took_16 bigint,
	took_17 bigint, took_18 bigint,
	folded boolean
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE domowf.counter REPLICA IDENTITY FULL;
COMMENT ON TABLE domowf.counter IS
	'what has happened to requests, counted in the transactions that did it: rows of the same labels are to be added up';
COMMENT ON COLUMN domowf.counter.operation IS
	'start, cancel or set_permissions';
COMMENT ON COLUMN domowf.counter.workflow IS
	'registered workflow, if any; empty: all beyond the 1000 most used combinations of workflow, server and role';
COMMENT ON COLUMN domowf.counter.server IS
	'server that it goes to; NULL: where the settings point';
COMMENT ON COLUMN domowf.counter.requested_by IS 'role that asked for it';
COMMENT ON COLUMN domowf.counter.requested_by_oid IS
	'oid of the role that asked for it';
COMMENT ON COLUMN domowf.counter.class IS
	'class of the attempt that ended; NULL: none did';
COMMENT ON COLUMN domowf.counter.outcome IS
	'done, rejected, expired, discarded, or in_doubt; moved: it is sent again to another server; NULL: it is queued again';
COMMENT ON COLUMN domowf.counter.slot IS
	'five minutes in which it was counted; NULL: more than an hour ago';
COMMENT ON COLUMN domowf.counter.n IS 'how many';
COMMENT ON COLUMN domowf.counter.reopened IS
	'how many no longer have this outcome: sent again, or settled anew; of moved: how many came from another server';
COMMENT ON COLUMN domowf.counter.attempts IS
	'attempts that what was settled has used';
COMMENT ON COLUMN domowf.counter.waited IS
	'microseconds from enqueueing to settlement, all together';
COMMENT ON COLUMN domowf.counter.took IS
	'microseconds that Domo took, all attempts together';
DO LANGUAGE plpgsql $$
BEGIN
	FOR i IN 0 .. 18 LOOP
		EXECUTE format('COMMENT ON COLUMN domowf.counter.%I IS %L',
			'waited_' || i, 'how many waited no longer than bucket '
			|| i || ' reaches, and longer than the one before');
		EXECUTE format('COMMENT ON COLUMN domowf.counter.%I IS %L',
			'took_' || i, 'how many attempts took no longer than bucket '
			|| i || ' reaches, and longer than the one before');
	END LOOP;
END $$;
COMMENT ON COLUMN domowf.counter.folded IS
	'true: rows that were added up; NULL: what one transaction did. The worker adds up where these are more than those';

CREATE TABLE domowf.state (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	database oid NOT NULL,
	paused boolean NOT NULL DEFAULT false,
	pause_reason text,
	paused_at timestamptz,
	timeline bigint,
	system_identifier bigint
);
COMMENT ON TABLE domowf.state IS
	'whether sending is paused, and which database this queue belongs to';
COMMENT ON COLUMN domowf.state.only_row IS 'there is one row';
COMMENT ON COLUMN domowf.state.database IS
	'database whose queue it is: a copy sends nothing until domowf_resume() there';
COMMENT ON COLUMN domowf.state.paused IS 'set by domowf_pause()';
COMMENT ON COLUMN domowf.state.pause_reason IS 'why, in the words given';
COMMENT ON COLUMN domowf.state.paused_at IS 'since when';
COMMENT ON COLUMN domowf.state.timeline IS
	'timeline of the server on which the queue was served last: on another one it was taken over';
COMMENT ON COLUMN domowf.state.system_identifier IS 'that server''s';
-- What is new was never served elsewhere. The checkpoint of the control file may
-- be one of before a promotion: the name of the WAL file that is written is not.
INSERT INTO domowf.state (database, timeline, system_identifier)
	SELECT d.oid,
		('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))
			::bit(32)::bigint,
		s.system_identifier
	FROM pg_database d, pg_control_system() s
	WHERE d.datname = current_database();

CREATE TRIGGER refuse_replication
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.key
	FOR EACH ROW EXECUTE FUNCTION domowf.refuse_replication();
ALTER TABLE domowf.key ENABLE ALWAYS TRIGGER refuse_replication;
COMMENT ON TRIGGER refuse_replication ON domowf.key IS
	'a subscriber has keys of its own';
CREATE TRIGGER refuse_replication
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.state
	FOR EACH ROW EXECUTE FUNCTION domowf.refuse_replication();
ALTER TABLE domowf.state ENABLE ALWAYS TRIGGER refuse_replication;
COMMENT ON TRIGGER refuse_replication ON domowf.state IS
	'a subscriber is not paused by its publisher';

CREATE TRIGGER refuse_replication
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.counter
	FOR EACH ROW EXECUTE FUNCTION domowf.refuse_replication();
ALTER TABLE domowf.counter ENABLE ALWAYS TRIGGER refuse_replication;
COMMENT ON TRIGGER refuse_replication ON domowf.counter IS
	'a subscriber counts what it has done itself';

-- What is here already stays (src/queue/replica.c).
CREATE FUNCTION domowf.keep_own()
RETURNS trigger
AS 'MODULE_PATHNAME', 'domowf_keep_own'
LANGUAGE C;
COMMENT ON FUNCTION domowf.keep_own() IS
	'drops what logical replication would put in the place of a row of this database''s own';
CREATE TRIGGER keep_own
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.log
	FOR EACH ROW EXECUTE FUNCTION domowf.keep_own();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER keep_own;
COMMENT ON TRIGGER keep_own ON domowf.log IS
	'a row of its own stays';
CREATE TRIGGER keep_own
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.workflow
	FOR EACH ROW EXECUTE FUNCTION domowf.keep_own();
ALTER TABLE domowf.workflow ENABLE ALWAYS TRIGGER keep_own;
COMMENT ON TRIGGER keep_own ON domowf.workflow IS
	'a workflow that is registered here stays, until the publisher changes or removes the one of that name';
CREATE TRIGGER keep_own
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.workflow_input
	FOR EACH ROW EXECUTE FUNCTION domowf.keep_own();
ALTER TABLE domowf.workflow_input ENABLE ALWAYS TRIGGER keep_own;
COMMENT ON TRIGGER keep_own ON domowf.workflow_input IS
	'an input that is declared here stays, until the publisher changes or removes the one of that name';

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

ALTER TABLE domowf.counter ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_requests ON domowf.counter FOR SELECT USING (
	(requested_by_oid = (SELECT r.oid FROM pg_catalog.pg_roles r
						 WHERE r.rolname = current_user)
	 AND requested_by = current_user)
	OR (SELECT pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')));
COMMENT ON POLICY own_requests ON domowf.counter IS
	'each role sees what it asked for, pg_read_all_data all';

--
-- Views
--

-- The condition stands outside, since the planner makes one relation of tables
-- in a UNION ALL only where none has a condition of its own, and then reads the
-- newest rows by their indexes.
CREATE VIEW domowf.request WITH (security_invoker = true) AS
	SELECT id, operation, workflow, state, attempts, http_status,
		   instance_id, instance_status, error, key, order_key, source,
		   requested_by, batch, enqueued_at, run_at, settled_at, waits_for
	FROM (
		SELECT id, operation, workflow, state, attempts, http_status,
			   NULL::text AS instance_id, NULL::text AS instance_status, error,
			   key, order_key, source, requested_by, batch, enqueued_at, run_at,
			   NULL::timestamptz AS settled_at,
			   CASE WHEN waiting THEN
					(SELECT f.id FROM domowf.queue f
					 WHERE f.order_space = q.order_space
						AND f.order_key = q.order_key AND NOT f.waiting
					 ORDER BY f.id LIMIT 1)
			   END AS waits_for, 'request'::text AS origin
		FROM domowf.queue q
		UNION ALL
		SELECT id, operation, workflow, outcome, attempts, http_status,
			   instance_id, instance_status, error,
			   key, order_key, source, requested_by, batch, enqueued_at,
			   NULL::timestamptz, settled_at, NULL::bigint, origin
		FROM domowf.log) r
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

ALTER TABLE domowf.tracked ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_requests ON domowf.tracked FOR SELECT USING (
	EXISTS (SELECT FROM domowf.request r WHERE r.id = tracked.request_id));
COMMENT ON POLICY own_requests ON domowf.tracked IS
	'each role sees the instances of the requests that it sees';

-- Of what is in the queue, with what of the same transactions was settled, and of
-- all others, of which nothing waits: so that a condition on `waiting` leaves
-- out the log.  Each by its index of batches.  Not by counters: most batches are
-- of one request, so that they would be a second log.
CREATE VIEW domowf.batch WITH (security_invoker = true) AS
	SELECT batch, total, done, failed, in_doubt, waiting,
		   round(100.0 * (total - waiting) / total, 1) AS percent,
		   round(settled / nullif(extract(epoch FROM last - first), 0), 1)
			AS per_second,
		   CASE WHEN waiting > 0 AND settled > 0 AND last > first THEN
				make_interval(secs => ceil(waiting * extract(epoch FROM last - first)
					/ settled)::float8)
		   END AS eta,
		   rpad(repeat('#', (50 * (total - waiting) / total)::int), 50, '.')
			AS progress
	FROM (
		SELECT q.batch, q.total + l.settled AS total, l.done, l.failed,
			   q.in_doubt, q.waiting, l.settled, l.last,
			   least(q.first, l.first) AS first
		FROM (SELECT batch, count(*) AS total,
					 count(*) FILTER (WHERE state = 'in_doubt') AS in_doubt,
					 count(*) FILTER (WHERE state <> 'in_doubt') AS waiting,
					 min(enqueued_at) AS first
			  FROM domowf.queue GROUP BY batch) q,
			LATERAL (
				SELECT count(*) AS settled,
					   count(*) FILTER (WHERE outcome = 'done') AS done,
					   count(*) FILTER (WHERE outcome <> 'done') AS failed,
					   max(settled_at) AS last, min(enqueued_at) AS first
				FROM domowf.log
				WHERE log.batch = q.batch AND origin = 'request') l
		UNION ALL
		(SELECT batch, count(*), count(*) FILTER (WHERE outcome = 'done'),
			   count(*) FILTER (WHERE outcome <> 'done'), 0::bigint, 0::bigint,
			   count(*), max(settled_at), min(enqueued_at)
		FROM domowf.log
		WHERE origin = 'request'
			AND NOT EXISTS (SELECT FROM domowf.queue q WHERE q.batch = log.batch)
		GROUP BY batch ORDER BY batch DESC)) b;
COMMENT ON VIEW domowf.batch IS
	'the requests of one transaction each: how many are through';

-- Reads with its owner's rights, so that members of pg_monitor see counts of
-- requests whose rows they may not see: a barrier, since a condition of its
-- reader that is cheap would else be evaluated before the view's own.
--
-- A role that was renamed, or has come from a dump of elsewhere, has the oid or
-- the name of another one: what is counted is shown to who has both.  What was
-- settled elsewhere, and came with the log, may be opened again here: less than
-- none is none.
CREATE VIEW domowf.stats WITH (security_barrier = true) AS
	WITH reader AS (
		SELECT (SELECT r.oid FROM pg_catalog.pg_roles r
				WHERE r.rolname = current_user) AS role,
			   pg_has_role('pg_read_all_data', 'USAGE')
			   OR pg_has_role('pg_monitor', 'USAGE')
			   OR pg_has_role((SELECT c.relowner FROM pg_catalog.pg_class c
							   WHERE c.oid = 'domowf.queue'::regclass), 'USAGE')
			   AS sees_all),
	seen AS (
		SELECT operation, workflow,
			   count(*) FILTER (WHERE state = 'queued') AS queued,
			   count(*) FILTER (WHERE state = 'sending') AS sending,
			   count(*) FILTER (WHERE state = 'in_doubt') AS in_doubt,
			   0::numeric AS done, 0::numeric AS rejected,
			   0::numeric AS expired, 0::numeric AS discarded,
			   min(due) FILTER (WHERE state = 'queued' AND due <= now())
				AS oldest_waiting,
			   sum(attempts) AS attempts, NULL::numeric[] AS took
		FROM domowf.queue, reader
		WHERE sees_all OR requested_by_oid = role
		GROUP BY operation, workflow
		UNION ALL
		SELECT operation, workflow, 0, 0, 0,
			   sum(n - coalesce(reopened, 0)) FILTER (WHERE outcome = 'done'),
			   sum(n - coalesce(reopened, 0)) FILTER (WHERE outcome = 'rejected'),
			   sum(n - coalesce(reopened, 0)) FILTER (WHERE outcome = 'expired'),
			   sum(n - coalesce(reopened, 0)) FILTER (WHERE outcome = 'discarded'),
			   NULL, sum(attempts)::bigint, NULL
		FROM domowf.counter, reader
		WHERE sees_all OR (requested_by_oid = role
						   AND requested_by = current_user)
		GROUP BY operation, workflow
		UNION ALL
		SELECT operation, workflow, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, ARRAY[
				sum(took_0), sum(took_1), sum(took_2), sum(took_3),
				sum(took_4), sum(took_5), sum(took_6), sum(took_7),
				sum(took_8), sum(took_9), sum(took_10), sum(took_11),
				sum(took_12), sum(took_13), sum(took_14), sum(took_15),
				sum(took_16), sum(took_17), sum(took_18)]
		FROM domowf.counter, reader
		WHERE (sees_all OR (requested_by_oid = role
							AND requested_by = current_user))
			AND outcome IN ('done', 'rejected')
			AND slot > now() - interval '1 hour'
		GROUP BY operation, workflow),
	added AS (
		SELECT operation, workflow, sum(queued)::bigint AS queued,
			   sum(sending)::bigint AS sending,
			   sum(in_doubt)::bigint AS in_doubt, sum(done)::bigint AS done,
			   sum(rejected)::bigint AS rejected,
			   sum(expired)::bigint AS expired,
			   sum(discarded)::bigint AS discarded,
			   min(oldest_waiting) AS oldest_waiting,
			   coalesce(sum(attempts), 0)::bigint AS attempts,
			   max(took) AS took
		FROM seen GROUP BY operation, workflow)
	SELECT operation, workflow, coalesce(queued, 0) AS queued,
		   coalesce(sending, 0) AS sending, coalesce(in_doubt, 0) AS in_doubt,
		   greatest(done, 0) AS done, greatest(rejected, 0) AS rejected,
		   greatest(expired, 0) AS expired,
		   greatest(discarded, 0) AS discarded,
		   oldest_waiting, attempts, latency_p50, latency_p95, latency_p99
	FROM added, LATERAL (
		SELECT max(reached) FILTER (WHERE share = 0.5) AS latency_p50,
			   max(reached) FILTER (WHERE share = 0.95) AS latency_p95,
			   max(reached) FILTER (WHERE share = 0.99) AS latency_p99
		FROM (VALUES (0.5), (0.95), (0.99)) s (share), LATERAL (
			SELECT make_interval(secs => (shortest + (longest - shortest)
				* (share * total - (upto - n)) / n)::float8) AS reached
			FROM (
				SELECT *, sum(n) OVER (ORDER BY bucket) AS upto,
					   sum(n) OVER () AS total
				FROM unnest(added.took, ARRAY[
				0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1,
				2, 5, 10, 30, 60, 300, 3600, 86400]::numeric[], ARRAY[
				0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2,
				5, 10, 30, 60, 300, 3600, 86400, 86400]::numeric[])
					WITH ORDINALITY u (n, shortest, longest, bucket)
				WHERE n > 0) b
			WHERE upto >= share * total
			ORDER BY bucket LIMIT 1) r) p;
COMMENT ON VIEW domowf.stats IS
	'per operation and workflow: counts, since when the oldest that is due waits, percentiles of Domo''s time of the last hour';

--
-- The way back: outcomes to be written into rows, or told to functions
--

CREATE SEQUENCE domowf.return_id;
COMMENT ON SEQUENCE domowf.return_id IS
	'numbers of domowf.return_entry, in the order of outcomes';

-- The C code knows the columns of this table by name, type and NOT NULL
-- (columns.c).
CREATE TABLE domowf.return_entry (
	id bigint PRIMARY KEY,
	request_id bigint NOT NULL,
	target text NOT NULL,
	state text NOT NULL,
	returns_to jsonb,
	outcome jsonb NOT NULL,
	depth int,
	requested_by name NOT NULL,
	requested_by_oid oid NOT NULL,
	since timestamptz NOT NULL,
	due timestamptz NOT NULL,
	tries int NOT NULL,
	tried_at timestamptz,
	error text
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE domowf.return_entry IS
	'what is still to be written back, or a function to be called with; a row goes in the transaction that does it';
COMMENT ON COLUMN domowf.return_entry.id IS 'number, in the order of outcomes';
COMMENT ON COLUMN domowf.return_entry.request_id IS 'request whose outcome it is';
COMMENT ON COLUMN domowf.return_entry.target IS
	'table:OID whose row is written, or function:SIGNATURE that is called';
COMMENT ON COLUMN domowf.return_entry.state IS 'the outcome, or in_doubt';
COMMENT ON COLUMN domowf.return_entry.returns_to IS
	'as in domowf.queue: the row and its columns; NULL: a function is called';
COMMENT ON COLUMN domowf.return_entry.outcome IS
	'values by field; of a function the row of domowf.request';
COMMENT ON COLUMN domowf.return_entry.depth IS 'as in domowf.queue';
COMMENT ON COLUMN domowf.return_entry.requested_by IS 'role that asked for the request';
COMMENT ON COLUMN domowf.return_entry.requested_by_oid IS
	'oid of the role that asked for the request';
COMMENT ON COLUMN domowf.return_entry.since IS
	'when it was noted, or tried anew by a person: tried for domowf.log_retention from then on';
COMMENT ON COLUMN domowf.return_entry.due IS
	'when it is tried next; infinity: it was given up';
COMMENT ON COLUMN domowf.return_entry.tries IS 'how often it was tried';
COMMENT ON COLUMN domowf.return_entry.tried_at IS 'when it was tried last';
COMMENT ON COLUMN domowf.return_entry.error IS 'why the last try failed';
-- One fits each statement, so that statistics of when next to nothing waited
-- cannot make the planner choose another (return_sql.h).
CREATE INDEX return_target ON domowf.return_entry (target, due);
CREATE INDEX return_request ON domowf.return_entry (request_id);

CREATE TRIGGER refuse_replication
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.return_entry
	FOR EACH ROW EXECUTE FUNCTION domowf.refuse_replication();
ALTER TABLE domowf.return_entry ENABLE ALWAYS TRIGGER refuse_replication;
COMMENT ON TRIGGER refuse_replication ON domowf.return_entry IS
	'a subscriber has outcomes of its own';

ALTER TABLE domowf.return_entry ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_requests ON domowf.return_entry FOR SELECT USING (
	requested_by_oid = (SELECT r.oid FROM pg_catalog.pg_roles r
						WHERE r.rolname = current_user)
	OR (SELECT pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')));
COMMENT ON POLICY own_requests ON domowf.return_entry IS
	'each role sees what it asked for, pg_read_all_data all';

CREATE VIEW domowf.returns WITH (security_invoker = true) AS
	SELECT request_id, state,
		   CASE WHEN target LIKE 'table:%' THEN 'row' ELSE 'function' END
			AS kind,
		   CASE WHEN target LIKE 'table:%'
				THEN substr(target, 7)::oid::regclass::text
				ELSE substr(target, 10) END AS target,
		   requested_by, since, tries, tried_at,
		   nullif(due, 'infinity') AS next_try,
		   CASE WHEN tries > 1 OR tries = 1
				AND error <> 'the process that was at it ended'
				THEN error END AS error
	FROM domowf.return_entry;
COMMENT ON VIEW domowf.returns IS
	'what is still to be written back into rows, or called, with tries and the last error';
COMMENT ON COLUMN domowf.returns.next_try IS
	'when it is tried next, at the earliest; NULL: it was given up, see domowf_retry_return()';

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
	'idle, sending, paused or stopped; stalled: what does not get on, and why';
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
-- Servers: named connections to several Domo instances
--

CREATE FUNCTION domowf.server_validator(options text[], catalog oid)
RETURNS void
AS 'MODULE_PATHNAME', 'domowf_server_validator'
LANGUAGE C STRICT;
COMMENT ON FUNCTION domowf.server_validator(text[], oid) IS
	'checks the options of servers and user mappings as the settings of their names';
CREATE FOREIGN DATA WRAPPER domowf VALIDATOR domowf.server_validator;
COMMENT ON FOREIGN DATA WRAPPER domowf IS
	'servers that calls and requests may name: a Domo instance each, with a token for each role';

-- The C code fills it by column position (connection_view.c).
CREATE FOREIGN TABLE domowf.connection_status (
	server text,
	role text,
	state text,
	in_flight int,
	sent bigint,
	failed bigint,
	paused_until timestamptz,
	reason text
) SERVER domowf_worker OPTIONS (shows 'connections');
COMMENT ON FOREIGN TABLE domowf.connection_status IS
	'what the worker of this database says of its connections';
COMMENT ON COLUMN domowf.connection_status.server IS
	'server; NULL: where the settings point';
COMMENT ON COLUMN domowf.connection_status.role IS
	'role whose user mapping has the token, public for all others; or whose requests wait';
COMMENT ON COLUMN domowf.connection_status.state IS
	'idle, sending, paused, or waiting: requests, or instances that are followed, have no connection';
COMMENT ON COLUMN domowf.connection_status.in_flight IS
	'attempts of which the reply is waited for';
COMMENT ON COLUMN domowf.connection_status.sent IS
	'attempts that ended, since it is known';
COMMENT ON COLUMN domowf.connection_status.failed IS 'of these: not done';
COMMENT ON COLUMN domowf.connection_status.paused_until IS
	'when it sends again; infinity: when it can be opened';
COMMENT ON COLUMN domowf.connection_status.reason IS
	'why it is paused, polls of instances rest, or requests or instances wait; of a request only for who may see all of them';

CREATE VIEW domowf.connection WITH (security_barrier = true) AS
	SELECT * FROM domowf.connection_status;
COMMENT ON VIEW domowf.connection IS
	'connections of the worker of this database, by server and token: what they do, why they are paused';

--
-- Metrics, by Prometheus' conventions
--
-- As in domowf.stats; a function in a view has its reader's rights, so that
-- what is read with the owner's is a view, and domowf_metrics() reads that.
-- To Prometheus a label that is empty is none: the workflow of what is counted
-- together (counter.c) is told as that of calls, which have none.
CREATE VIEW domowf.metric WITH (security_barrier = true) AS
	WITH reader AS (
		SELECT (SELECT r.oid FROM pg_catalog.pg_roles r
				WHERE r.rolname = current_user) AS role,
			   pg_has_role('pg_read_all_data', 'USAGE')
			   OR pg_has_role('pg_monitor', 'USAGE')
			   OR pg_has_role((SELECT c.relowner FROM pg_catalog.pg_class c
							   WHERE c.oid = 'domowf.queue'::regclass), 'USAGE')
			   AS sees_all),
	counted AS (
		SELECT c.*, jsonb_strip_nulls(jsonb_build_object('operation', operation,
			'workflow', nullif(workflow, ''), 'server', server)) AS labels
		FROM domowf.counter c, reader
		WHERE sees_all OR (requested_by_oid = role
						   AND requested_by = current_user)),
	waiting AS (
		SELECT operation, nullif(workflow, '') AS workflow, server,
			   requested_by, count(*) AS n,
			   count(*) FILTER (WHERE state = 'queued') AS queued,
			   count(*) FILTER (WHERE state = 'sending') AS sending,
			   count(*) FILTER (WHERE state = 'in_doubt') AS in_doubt,
			   count(*) FILTER (WHERE state = 'queued' AND due <= now()) AS due,
			   min(due) FILTER (WHERE state = 'queued' AND due <= now())
				AS oldest_due
		FROM domowf.queue, reader
		WHERE sees_all OR requested_by_oid = role
		GROUP BY 1, 2, 3, 4),
	kept AS (
		SELECT operation, workflow, server,
			   sum(queued) AS queued, sum(sending) AS sending,
			   sum(in_doubt) AS in_doubt, sum(due) AS due,
			   min(oldest_due) AS oldest_due
		FROM waiting GROUP BY 1, 2, 3),
	bound (le) AS (VALUES (ARRAY[
		'0.001', '0.002', '0.005', '0.01', '0.02', '0.05', '0.1', '0.2', '0.5',
		'1', '2', '5', '10', '30', '60', '300', '3600', '86400', '+Inf'])),
	request_duration AS (
		SELECT labels, coalesce(sum(waited), 0) AS total, ARRAY[
				sum(waited_0), sum(waited_1), sum(waited_2), sum(waited_3),
				sum(waited_4), sum(waited_5), sum(waited_6), sum(waited_7),
				sum(waited_8), sum(waited_9), sum(waited_10), sum(waited_11),
				sum(waited_12), sum(waited_13), sum(waited_14), sum(waited_15),
				sum(waited_16), sum(waited_17), sum(waited_18)] AS n
		FROM counted
		WHERE outcome IN ('done', 'rejected', 'expired', 'discarded')
		GROUP BY labels),
	attempt_duration AS (
		SELECT labels, coalesce(sum(took), 0) AS total, ARRAY[
				sum(took_0), sum(took_1), sum(took_2), sum(took_3),
				sum(took_4), sum(took_5), sum(took_6), sum(took_7),
				sum(took_8), sum(took_9), sum(took_10), sum(took_11),
				sum(took_12), sum(took_13), sum(took_14), sum(took_15),
				sum(took_16), sum(took_17), sum(took_18)] AS n
		FROM counted WHERE class IS NOT NULL OR took IS NOT NULL
		GROUP BY labels)
	SELECT 'domowf_requests_enqueued_total'::text AS name,
		'counter'::text AS type,
		'Requests that were enqueued'::text AS help,
		jsonb_strip_nulls(jsonb_build_object('operation', operation,
			'workflow', workflow, 'server', server,
			'requested_by', requested_by)) AS labels,
		greatest(sum(n), 0)::float8 AS value
	FROM (SELECT operation, workflow, server, requested_by, n FROM waiting
		  UNION ALL
		  SELECT operation, nullif(workflow, ''), server, requested_by,
				 n - coalesce(reopened, 0)
		  FROM counted
		  WHERE outcome IN ('done', 'rejected', 'expired', 'discarded',
							'moved')) e
	GROUP BY operation, workflow, server, requested_by
	UNION ALL
	SELECT 'domowf_requests_total', 'counter',
		'Requests that were settled, by outcome',
		labels || jsonb_build_object('requested_by', requested_by,
									 'outcome', outcome), sum(n)
	FROM counted WHERE outcome IN ('done', 'rejected', 'expired', 'discarded')
	GROUP BY labels, requested_by, outcome
	UNION ALL
	SELECT 'domowf_requests_reopened_total', 'counter',
		'Settled requests that were sent again or settled anew, by the outcome that they had',
		labels || jsonb_build_object('requested_by', requested_by,
									 'outcome', outcome), sum(reopened)
	FROM counted WHERE reopened > 0 AND outcome <> 'moved'
	GROUP BY labels, requested_by, outcome
	UNION ALL
	SELECT 'domowf_requests_doubted_total', 'counter',
		'Times that a request came in doubt',
		labels || jsonb_build_object('requested_by', requested_by), sum(n)
	FROM counted WHERE outcome = 'in_doubt'
	GROUP BY labels, requested_by
	UNION ALL
	SELECT 'domowf_attempts_total', 'counter',
		'Attempts of the worker that ended, by class',
		labels || jsonb_build_object('class', class), sum(n)
	FROM counted WHERE class IS NOT NULL
	GROUP BY labels, class
	UNION ALL
	SELECT 'domowf_request_duration_seconds_bucket', 'histogram',
		'Time from enqueueing to settlement',
		labels || jsonb_build_object('le', b.le), b.upto
	FROM request_duration, bound, LATERAL (
		SELECT u.le, coalesce(sum(u.n) OVER (ORDER BY u.number), 0) AS upto
		FROM unnest(bound.le, request_duration.n) WITH ORDINALITY u (le, n, number)) b
	UNION ALL
	SELECT 'domowf_request_duration_seconds_sum', 'histogram',
		'Time from enqueueing to settlement', labels, total / 1000000
	FROM request_duration
	UNION ALL
	SELECT 'domowf_request_duration_seconds_count', 'histogram',
		'Time from enqueueing to settlement', labels,
		(SELECT coalesce(sum(u.n), 0) FROM unnest(request_duration.n) u (n))
	FROM request_duration
	UNION ALL
	SELECT 'domowf_attempt_duration_seconds_bucket', 'histogram',
		'Time that Domo took for an attempt',
		labels || jsonb_build_object('le', b.le), b.upto
	FROM attempt_duration, bound, LATERAL (
		SELECT u.le, coalesce(sum(u.n) OVER (ORDER BY u.number), 0) AS upto
		FROM unnest(bound.le, attempt_duration.n) WITH ORDINALITY u (le, n, number)) b
	UNION ALL
	SELECT 'domowf_attempt_duration_seconds_sum', 'histogram',
		'Time that Domo took for an attempt', labels, total / 1000000
	FROM attempt_duration
	UNION ALL
	SELECT 'domowf_attempt_duration_seconds_count', 'histogram',
		'Time that Domo took for an attempt', labels,
		(SELECT coalesce(sum(u.n), 0) FROM unnest(attempt_duration.n) u (n))
	FROM attempt_duration
	UNION ALL
	SELECT v.name, 'gauge', v.help,
		jsonb_strip_nulls(jsonb_build_object('operation', operation,
			'workflow', workflow, 'server', server)), v.value
	FROM kept, LATERAL (VALUES
		('domowf_queue_waiting', 'Requests that wait to be sent', queued),
		('domowf_queue_due', 'Requests that wait, and whose time has come', due),
		('domowf_queue_sending', 'Requests that are being sent', sending),
		('domowf_queue_in_doubt', 'Requests in doubt, which wait for a person', in_doubt),
		('domowf_queue_oldest_due_seconds', 'How long the oldest request that is due has been due',
			coalesce(extract(epoch FROM now() - oldest_due), 0))
		) v (name, help, value)
	UNION ALL
	SELECT v.name, 'gauge', v.help, '{}', v.value
	FROM (VALUES (pg_is_in_recovery())) h (in_recovery)
		LEFT JOIN domowf.worker_status w ON true, LATERAL (VALUES
		('domowf_in_recovery', 'Whether this server is a standby, or recovers, and has no worker',
			in_recovery::int),
		('domowf_worker_up', 'Whether a worker serves this database',
			(w.pid IS NOT NULL)::int),
		('domowf_worker_in_flight', 'Attempts of which the reply is waited for',
			coalesce(w.in_flight, 0)),
		('domowf_worker_stalled', 'Whether something does not get on, as domowf.worker says',
			coalesce(w.state LIKE 'stalled%', false)::int),
		('domowf_worker_paused', 'Whether sending is paused, by a person or by itself',
			(coalesce(w.state = 'paused', false) OR coalesce(
				(SELECT bool_or(s.paused) FROM domowf.state s), false))::int)
		) v (name, help, value)
	UNION ALL
	SELECT v.name, 'gauge', v.help, '{}', v.value
	FROM (SELECT count(*) AS n, count(*) FILTER (WHERE tries > 1 OR tries = 1
				AND error <> 'the process that was at it ended') AS failing
		  FROM domowf.return_entry, reader
		  WHERE sees_all OR requested_by_oid = role) r, LATERAL (VALUES
		('domowf_returns_waiting', 'Outcomes that are still to be written back, or told', n),
		('domowf_returns_failing', 'Those of them whose last try failed', failing)
		) v (name, help, value)
	UNION ALL
	SELECT 'domowf_tracked_instances', 'gauge', 'Instances that are polled until they end',
		'{}', count(t.request_id)
	FROM reader LEFT JOIN domowf.tracked t ON sees_all
	GROUP BY sees_all HAVING sees_all
	UNION ALL
	SELECT 'domowf_table_bytes', 'gauge', 'Size of the table with its indexes',
		jsonb_build_object('table', v.name), pg_total_relation_size(v.oid)
	FROM (VALUES ('queue', 'domowf.queue'::regclass),
				 ('log', 'domowf.log'::regclass)) v (name, oid);
COMMENT ON VIEW domowf.metric IS
	'counters and gauges as domowf_metrics() returns them';

-- A monitor that waits for a lock for ever is blind for as long.
CREATE FUNCTION @extschema@.domowf_metrics(
	OUT name text,
	OUT type text,
	OUT help text,
	OUT labels jsonb,
	OUT value float8)
RETURNS SETOF record
LANGUAGE sql VOLATILE PARALLEL UNSAFE ROWS 100
SET lock_timeout = '5s'
BEGIN ATOMIC
	SELECT m.name, m.type, m.help, m.labels, m.value FROM domowf.metric m;
END;
COMMENT ON FUNCTION @extschema@.domowf_metrics() IS
	'counters and gauges for monitoring, by Prometheus'' conventions';

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
LANGUAGE C VOLATILE PARALLEL UNSAFE
SUPPORT @extschema@.domowf_call_support;
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
LANGUAGE C VOLATILE PARALLEL UNSAFE
SUPPORT @extschema@.domowf_call_support;
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

CREATE FUNCTION @extschema@.domowf_wait_finished(request_id bigint, timeout interval DEFAULT '30 s')
RETURNS domowf.request
AS 'MODULE_PATHNAME', 'domowf_wait_finished'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_wait_finished(bigint, interval) IS
	'wait until the instance that a request has started, and that is tracked, has ended';

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

CREATE FUNCTION @extschema@.domowf_retry_return(request_id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'domowf_retry_return'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_retry_return(bigint) IS
	'try again at once what of a request is to be written back or called, also where it was given up';

CREATE FUNCTION @extschema@.domowf_hold(enqueued_before timestamptz DEFAULT now())
RETURNS bigint
AS 'MODULE_PATHNAME', 'domowf_hold'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_hold(timestamptz) IS
	'put starts that wait into doubt, since they may have been sent elsewhere; returns how many';

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
-- A dump has a table by its name; one that is gone would stop the restore.
SELECT pg_catalog.pg_extension_config_dump('domowf.earlier_trigger',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_trigger t
			WHERE t.tgrelid = relation AND t.tgname = name)');

CREATE TRIGGER refuse_replication
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.earlier_trigger
	FOR EACH ROW EXECUTE FUNCTION domowf.refuse_replication();
ALTER TABLE domowf.earlier_trigger ENABLE ALWAYS TRIGGER refuse_replication;
COMMENT ON TRIGGER refuse_replication ON domowf.earlier_trigger IS
	'a subscriber has triggers of its own';

-- A TRUNCATE of a publisher's is taken of no table: what is there is kept, and put
-- in again behind it (src/queue/truncation.c).
DO LANGUAGE plpgsql $$
DECLARE
	emptied text;
BEGIN
	FOREACH emptied IN ARRAY ARRAY['queue', 'key', 'log', 'tracked', 'counter',
		'state', 'return_entry', 'earlier_trigger', 'workflow',
		'workflow_input']
	LOOP
		EXECUTE format('CREATE TRIGGER refuse_truncation BEFORE TRUNCATE ON domowf.%I FOR EACH STATEMENT EXECUTE FUNCTION domowf.refuse_replication()', emptied);
		EXECUTE format('CREATE TRIGGER undo_truncation AFTER TRUNCATE ON domowf.%I FOR EACH STATEMENT EXECUTE FUNCTION domowf.refuse_replication()', emptied);
		EXECUTE format('ALTER TABLE domowf.%I ENABLE ALWAYS TRIGGER refuse_truncation, ENABLE ALWAYS TRIGGER undo_truncation', emptied);
		EXECUTE format('COMMENT ON TRIGGER refuse_truncation ON domowf.%I IS %L',
			emptied, 'a publisher does not empty it: keeps what is there');
		EXECUTE format('COMMENT ON TRIGGER undo_truncation ON domowf.%I IS %L',
			emptied, 'a publisher does not empty it: puts in what was kept');
	END LOOP;
END $$;

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
GRANT SELECT ON domowf.stats, domowf.worker, domowf.connection, domowf.metric
	TO pg_monitor;
GRANT EXECUTE ON FUNCTION @extschema@.domowf_metrics() TO pg_monitor;
