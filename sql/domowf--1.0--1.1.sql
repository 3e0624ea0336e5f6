/* sql/domowf--1.0--1.1.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION domowf UPDATE TO '1.1'" to load this file. \quit

-- As in domowf--1.1.sql: a name without a schema is PostgreSQL's own, and
-- there are no backslashes.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Whoever owns a table can hang code on it, and tables that are changed below
-- run it with the rights of the superuser who runs this: an index, a check, a
-- default, the checks of a domain.
DO LANGUAGE plpgsql $$
DECLARE
	member record;
BEGIN
	FOR member IN SELECT i.type, i.identity, r.rolname
		FROM pg_depend d
			JOIN pg_extension e ON e.oid = d.refobjid
			JOIN pg_shdepend s ON s.classid = d.classid AND s.objid = d.objid
				AND s.dbid = (SELECT oid FROM pg_database
							  WHERE datname = current_database())
				AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
			JOIN pg_roles r ON r.oid = s.refobjid,
			pg_identify_object(d.classid, d.objid, 0) i
		WHERE e.extname = 'domowf'
			AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
			AND NOT r.rolsuper
		ORDER BY i.identity
	LOOP
		RAISE EXCEPTION USING
			errcode = 'object_not_in_prerequisite_state',
			message = format('%s %s belongs to "%s", who is no superuser',
							 member.type, member.identity, member.rolname),
			hint = 'Give it back to a superuser with ALTER ... OWNER TO, see what hangs on it, and repeat the update.';
	END LOOP;
	FOR member IN SELECT pg_describe_object(h.classid, h.objid, 0) AS code,
			pg_describe_object(u.refclassid, u.refobjid, 0) AS used, r.rolname
		FROM pg_depend d
			JOIN pg_extension e ON e.oid = d.refobjid
			JOIN LATERAL (
				SELECT d.classid, d.objid
				UNION ALL
				SELECT 'pg_class'::regclass, indexrelid FROM pg_index
				WHERE indrelid = d.objid
				UNION ALL
				SELECT 'pg_constraint'::regclass, oid FROM pg_constraint
				WHERE conrelid = d.objid
				UNION ALL
				SELECT 'pg_attrdef'::regclass, oid FROM pg_attrdef
				WHERE adrelid = d.objid) h (classid, objid) ON true
			JOIN pg_depend u ON u.classid = h.classid AND u.objid = h.objid
			JOIN pg_shdepend s ON s.classid = u.refclassid
				AND s.objid = u.refobjid
				AND s.dbid = (SELECT oid FROM pg_database
							  WHERE datname = current_database())
				AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
			JOIN pg_roles r ON r.oid = s.refobjid
		WHERE e.extname = 'domowf' AND d.classid = 'pg_class'::regclass
			AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
			AND u.refclassid IN ('pg_proc'::regclass,
				'pg_operator'::regclass, 'pg_type'::regclass)
			AND NOT r.rolsuper
		ORDER BY 1, 2
	LOOP
		RAISE EXCEPTION USING
			errcode = 'object_not_in_prerequisite_state',
			message = format('%s uses %s of "%s", who is no superuser',
							 member.code, member.used, member.rolname),
			hint = 'Drop it, and repeat the update.';
	END LOOP;
END $$;

-- What was there before keeps the privileges that were granted on it.
CREATE TABLE domowf.of_1_0 AS
	SELECT d.classid, d.objid FROM pg_depend d
		JOIN pg_extension e ON e.oid = d.refobjid
	WHERE e.extname = 'domowf'
		AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';
COMMENT ON TABLE domowf.of_1_0 IS 'the members of 1.0, until the end of this';

--
-- What 1.0's script made by operators and functions that it looked for in the
-- schema of the extension, too, where somebody may have put others: all
-- conditions, views and functions in SQL are made again.  (domowf.request is,
-- below.)  It stands first, so that nothing below meets one of the old ones.
--

ALTER TABLE domowf.workflow
	DROP CONSTRAINT IF EXISTS "name must not be empty",
	ADD CONSTRAINT "name must not be empty"
		CHECK (name <> ''),
	DROP CONSTRAINT IF EXISTS "model_id must not be empty",
	ADD CONSTRAINT "model_id must not be empty"
		CHECK (model_id <> '' AND model_id NOT IN ('.', '..')),
	DROP CONSTRAINT IF EXISTS "version must be major.minor.patch",
	ADD CONSTRAINT "version must be major.minor.patch"
		CHECK (version ~ '^[0-9]+[.][0-9]+[.][0-9]+$'),
	DROP CONSTRAINT IF EXISTS "message_name must not be empty",
	ADD CONSTRAINT "message_name must not be empty"
		CHECK (message_name <> ''),
	DROP CONSTRAINT IF EXISTS "on_doubt must be hold or retry",
	ADD CONSTRAINT "on_doubt must be hold or retry"
		CHECK (on_doubt IN ('hold', 'retry')),
	DROP CONSTRAINT IF EXISTS "max_attempts must be at least 1",
	ADD CONSTRAINT "max_attempts must be at least 1"
		CHECK (max_attempts >= 1),
	DROP CONSTRAINT IF EXISTS "expire_after must be longer than nothing",
	ADD CONSTRAINT "expire_after must be longer than nothing"
		CHECK (expire_after > interval '0'),
	DROP CONSTRAINT IF EXISTS "server must be null: there are no servers yet",
	ADD CONSTRAINT "server must not be empty"
		CHECK (server <> '');
ALTER TABLE domowf.workflow_input
	DROP CONSTRAINT IF EXISTS "name must not be empty",
	ADD CONSTRAINT "name must not be empty"
		CHECK (name <> ''),
	DROP CONSTRAINT IF EXISTS "type must be one of the twelve that its comment names",
	ADD CONSTRAINT "type must be one of the twelve that its comment names"
		CHECK (type IN ('text', 'number', 'decimal', 'boolean', 'date',
						'dateTime', 'time', 'duration', 'object', 'person',
						'group', 'dataset'));
ALTER TABLE domowf.state
	DROP CONSTRAINT IF EXISTS state_only_row_check,
	ADD CONSTRAINT state_only_row_check CHECK (only_row);

ALTER POLICY own_requests ON domowf.queue USING (
	requested_by_oid = (SELECT r.oid FROM pg_catalog.pg_roles r
						WHERE r.rolname = current_user)
	OR (SELECT pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')));

ALTER POLICY own_requests ON domowf.log USING (
	requested_by_oid = (SELECT r.oid FROM pg_catalog.pg_roles r
						WHERE r.rolname = current_user)
	OR (SELECT pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')));

ALTER POLICY own_requests ON domowf.key USING (
	EXISTS (SELECT FROM domowf.request r WHERE r.id = key.request_id));

-- Somebody's operators may give a view's columns other types, which cannot be
-- replaced; such a view goes, with what was granted on it.
DO LANGUAGE plpgsql $$
DECLARE
	bound regclass;
BEGIN
	FOR bound IN SELECT DISTINCT w.ev_class
		FROM pg_rewrite w JOIN pg_depend d ON d.objid = w.oid
			AND d.classid = 'pg_rewrite'::regclass
			LEFT JOIN pg_proc p ON p.oid = d.refobjid
				AND d.refclassid = 'pg_proc'::regclass
			LEFT JOIN pg_operator o ON o.oid = d.refobjid
				AND d.refclassid = 'pg_operator'::regclass
		WHERE w.ev_class IN ('domowf.batch'::regclass, 'domowf.stats'::regclass)
			AND coalesce(p.pronamespace, o.oprnamespace)
				<> 'pg_catalog'::regnamespace
	LOOP
		RAISE WARNING USING message = format(
			'view %s used functions or operators of others: it is made anew, and what was granted on it is gone',
			bound);
		EXECUTE format('DROP VIEW %s', bound);
	END LOOP;
END $$;

CREATE OR REPLACE VIEW domowf.worker WITH (security_barrier = true) AS
	SELECT * FROM domowf.worker_status;
COMMENT ON VIEW domowf.worker IS
	'the worker of this database: what it does, why it is paused';

CREATE OR REPLACE FUNCTION domowf.may_see(role oid, requested_by oid)
RETURNS boolean
RETURN role = requested_by
	OR pg_catalog.pg_has_role(role, 'pg_read_all_data', 'USAGE')
	OR pg_catalog.pg_has_role(role, (SELECT c.relowner
		FROM pg_catalog.pg_class c WHERE c.oid = 'domowf.queue'::regclass),
		'USAGE');
COMMENT ON FUNCTION domowf.may_see(oid, oid) IS
	'whether a role sees what another one asked for';

ALTER FUNCTION @extschema@.domowf_start(text, jsonb) COST 1000;

--
-- Keys: whose they are (src/queue/key.c).  Those that are there go by their requests.
--

ALTER TABLE domowf.key
	ADD COLUMN key_owner oid,
	ADD COLUMN source_oid oid;
COMMENT ON COLUMN domowf.key.key_owner IS
	'whose key it is: of a trigger, who owned the table; NULL: the requester''s';
COMMENT ON COLUMN domowf.key.source_oid IS
	'table whose trigger took it, whose owner of today may have it, too';

COMMENT ON COLUMN domowf.key.scope IS
	'registered workflow, or operation; before the name of a workflow that is called like an operation stands "workflow "';

CREATE FUNCTION domowf.key_scope(operation text, workflow text)
RETURNS text
AS 'MODULE_PATHNAME', 'domowf_key_scope'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION domowf.key_scope(text, text) IS
	'the scope of a workflow''s keys, or of an operation''s where that is NULL';

-- Keys of workflows that are called like an operation, which shared them in 1.0.
-- By rewriting the table, so that one scope may be what another one was.
CREATE FUNCTION domowf.new_scope(scope text, id bigint)
RETURNS text STABLE
RETURN CASE
	WHEN EXISTS (SELECT FROM domowf.queue q
				 WHERE q.id = new_scope.id AND q.workflow = new_scope.scope)
		OR EXISTS (SELECT FROM domowf.log l
				   WHERE l.id = new_scope.id AND l.workflow = new_scope.scope)
	THEN domowf.key_scope(NULL, scope)
	ELSE scope END;
COMMENT ON FUNCTION domowf.new_scope(text, bigint) IS
	'for this script: the scope of a key of 1.0';
DO LANGUAGE plpgsql $$
BEGIN
	IF EXISTS (SELECT FROM domowf.key
			   WHERE domowf.key_scope(NULL, scope) <> scope) THEN
		ALTER TABLE domowf.key ALTER COLUMN scope TYPE text USING
			CASE WHEN domowf.key_scope(NULL, scope) = scope THEN scope
				 ELSE domowf.new_scope(scope, request_id) END;
	END IF;
END $$;
DROP FUNCTION domowf.new_scope(text, bigint);

--
-- Lanes and order keys
--
-- Nothing here is an UPDATE, whose triggers, of whoever may make some, would
-- run with the rights of this script: a column is filled by its default, or by
-- being rewritten.
--

-- What 1.0 did: all workflows share their order keys.
ALTER TABLE domowf.workflow ADD COLUMN order_scope text DEFAULT 'domowf 1.0';
ALTER TABLE domowf.workflow
	ALTER COLUMN order_scope DROP DEFAULT,
	ADD CONSTRAINT "order_scope must not be empty" CHECK (order_scope <> '');
COMMENT ON COLUMN domowf.workflow.order_scope IS
	'workflows of one order_scope share their order keys; NULL: it has its own';

-- The expressions are those of order.c and lanes.c.  What stood behind a
-- request of another kind, and stands behind nobody now, is let go by the
-- worker, which looks at every order key when it starts.
ALTER TABLE domowf.queue
	ADD COLUMN order_space text,
	ADD COLUMN lane bigint;
ALTER TABLE domowf.queue
	ALTER COLUMN order_space TYPE text USING
		CASE WHEN order_key IS NULL THEN NULL
			 WHEN workflow IS NOT NULL THEN 'scope:domowf 1.0'
			 WHEN operation = 'set_permissions'
				AND order_key = request->>'modelId' THEN 'model:'
			 ELSE 'role:' || requested_by_oid END,
	ALTER COLUMN lane TYPE bigint USING
		(requested_by_oid::bigint << 32)
		| (hashtext(coalesce('workflow:' || workflow,
							 'operation:' || operation))::bigint & 4294967294),
	ALTER COLUMN lane SET NOT NULL;
COMMENT ON COLUMN domowf.queue.order_space IS
	'whose order_key it is: scope:NAME, workflow:NAME, role:OID or model:SERVER';
COMMENT ON COLUMN domowf.queue.lane IS
	'requests of one role, one server and one workflow or operation; they take turns with others';
COMMENT ON COLUMN domowf.queue.due IS
	'run_at, but not before it was enqueued; infinity while it waits or is in doubt';
COMMENT ON COLUMN domowf.queue.order_key IS
	'requests of one order_key and order_space are sent one after the other';
DROP INDEX domowf.queue_due;
DROP INDEX domowf.queue_order;
CREATE INDEX queue_lane ON domowf.queue (lane, due, id);
CREATE INDEX queue_order ON domowf.queue
	(order_space, order_key, waiting, id) WHERE order_space IS NOT NULL;
DROP INDEX domowf.queue_expires;
CREATE INDEX queue_expires ON domowf.queue (expires_at)
	WHERE expires_at IS NOT NULL;
DROP INDEX domowf.queue_key;
CREATE INDEX queue_key ON domowf.queue (key) WHERE key IS NOT NULL;
-- The last one: where two cost the same, the planner takes the newest index, and
-- by the statistics of an empty table all that have the id in them do.
ALTER TABLE domowf.queue DROP CONSTRAINT queue_pkey;
ALTER TABLE domowf.queue ADD PRIMARY KEY (id);
DROP INDEX domowf.log_key;
CREATE INDEX log_key ON domowf.log (key) WHERE key IS NOT NULL;

-- Not filled: to rewrite a long log takes long, and control.c knows what a
-- request of 1.0 had.
ALTER TABLE domowf.log ADD COLUMN order_space text;
COMMENT ON COLUMN domowf.log.order_space IS
	'whose order_key it is, as in domowf.queue';

-- The condition stands outside, since the planner makes one relation of tables
-- in a UNION ALL only where none has a condition of its own, and then reads the
-- newest rows by their indexes.
CREATE OR REPLACE VIEW domowf.request WITH (security_invoker = true) AS
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

--
-- Whom a workflow is granted to
--
-- No UPDATE, as above: the column is filled by being rewritten.
--

ALTER TABLE domowf.workflow ADD COLUMN granted_oid oid;
ALTER TABLE domowf.workflow
	ALTER COLUMN granted_oid TYPE oid USING
		CASE WHEN granted_to IS NOT NULL THEN
			coalesce(to_regrole(quote_ident(granted_to::text))::oid, 0::oid)
		END;
COMMENT ON COLUMN domowf.workflow.granted_to IS
	'role whose members may start it, followed through a rename, nobody once it is dropped; NULL: whoever may execute the function';
COMMENT ON COLUMN domowf.workflow.granted_oid IS
	'oid of the role that granted_to named when it was written, which is what counts; 0: there was no such role. Always set by a trigger: NULL has the name looked up anew';

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

--
-- A server that takes over: what it does with the queue (src/queue/hold.c)
--

ALTER TABLE domowf.state
	ADD COLUMN timeline bigint,
	ADD COLUMN system_identifier bigint;
COMMENT ON COLUMN domowf.state.timeline IS
	'timeline of the server on which the queue was served last: on another one it was taken over';
COMMENT ON COLUMN domowf.state.system_identifier IS 'that server''s';

CREATE FUNCTION @extschema@.domowf_hold(enqueued_before timestamptz DEFAULT now())
RETURNS bigint
AS 'MODULE_PATHNAME', 'domowf_hold'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_hold(timestamptz) IS
	'put starts that wait into doubt, since they may have been sent elsewhere; returns how many';

--
-- What logical replication brings into the tables
--

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
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.earlier_trigger
	FOR EACH ROW EXECUTE FUNCTION domowf.refuse_replication();
ALTER TABLE domowf.earlier_trigger ENABLE ALWAYS TRIGGER refuse_replication;
COMMENT ON TRIGGER refuse_replication ON domowf.earlier_trigger IS
	'a subscriber has triggers of its own';

COMMENT ON FUNCTION domowf.refuse_replication() IS
	'drops what logical replication would do to a table';

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

ALTER TABLE domowf.queue
	ADD COLUMN server name,
	ADD COLUMN server_owner oid,
	ADD COLUMN server_role oid;
COMMENT ON COLUMN domowf.queue.server IS
	'server that it goes to; NULL: where the settings point';
COMMENT ON COLUMN domowf.queue.server_owner IS
	'who owned the server when it was enqueued: to a server of another owner it is not sent';
COMMENT ON COLUMN domowf.queue.server_role IS
	'role by whose user mapping it is sent';
ALTER TABLE domowf.log ADD COLUMN server name;
COMMENT ON COLUMN domowf.log.server IS
	'server that it went to; NULL: where the settings pointed';
COMMENT ON COLUMN domowf.workflow.server IS
	'server of foreign data wrapper domowf that it is started on; NULL: where the settings point';

--
-- Tracking: what becomes of an instance after its start (src/queue/tracked.c)
--

ALTER TABLE domowf.queue ADD COLUMN track boolean;
COMMENT ON COLUMN domowf.queue.track IS
	'whether the instance that it starts is polled until it ends; NULL: it is not';
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
ALTER TABLE domowf.tracked ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_requests ON domowf.tracked FOR SELECT USING (
	EXISTS (SELECT FROM domowf.request r WHERE r.id = tracked.request_id));
COMMENT ON POLICY own_requests ON domowf.tracked IS
	'each role sees the instances of the requests that it sees';

CREATE FUNCTION @extschema@.domowf_instance(instance_id text, server name DEFAULT NULL)
RETURNS @extschema@.domowf_instance
AS 'MODULE_PATHNAME', 'domowf_instance'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000
SUPPORT @extschema@.domowf_call_support;
COMMENT ON FUNCTION @extschema@.domowf_instance(text, name) IS
	'read an instance of a Domo Workflow as it stands, by a call that Domo does not document (domowf.track_instances)';

CREATE FUNCTION @extschema@.domowf_wait_finished(request_id bigint, timeout interval DEFAULT '30 s')
RETURNS domowf.request
AS 'MODULE_PATHNAME', 'domowf_wait_finished'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_wait_finished(bigint, interval) IS
	'wait until the instance that a request has started, and that is tracked, has ended';

COMMENT ON COLUMN domowf.workflow.track IS
	'whether instances that requests start are polled until they end, by a call that Domo does not document (domowf.track_instances)';
COMMENT ON COLUMN domowf.log.instance_finished_at IS
	'when tracking saw the instance end, or gave it up, and then error says why';

--
-- The way back: outcomes to be written into rows, or told to functions
--

ALTER TABLE domowf.queue
	ADD COLUMN returns_to jsonb,
	ADD COLUMN depth int,
	ADD COLUMN source_oid oid;
COMMENT ON COLUMN domowf.queue.source_oid IS
	'table whose trigger asked for it, by whose owner''s rights it is sent again';
COMMENT ON COLUMN domowf.queue.returns_to IS
	'row and columns that what comes of it is written back into';
COMMENT ON COLUMN domowf.queue.depth IS
	'how many returns it comes of, one after the other; NULL: none';
ALTER TABLE domowf.log
	ADD COLUMN returns_to jsonb,
	ADD COLUMN depth int,
	ADD COLUMN source_oid oid;
COMMENT ON COLUMN domowf.log.source_oid IS
	'table whose trigger asked for it, by whose owner''s rights it is sent again';
COMMENT ON COLUMN domowf.log.returns_to IS
	'row and columns that what comes of it is written back into';
COMMENT ON COLUMN domowf.log.depth IS
	'how many returns it comes of, one after the other; NULL: none';
ALTER TABLE domowf.workflow ADD COLUMN on_settled text;
COMMENT ON COLUMN domowf.workflow.on_settled IS
	'function f(domowf.request) that is called, as its owner, with each outcome of a request: its signature, with its schema';

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

CREATE FUNCTION @extschema@.domowf_retry_return(request_id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'domowf_retry_return'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.domowf_retry_return(bigint) IS
	'try again at once what of a request is to be written back or called, also where it was given up';

--
-- What has happened, counted; metrics
--

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

CREATE TRIGGER refuse_replication
	BEFORE INSERT OR UPDATE OR DELETE ON domowf.counter
	FOR EACH ROW EXECUTE FUNCTION domowf.refuse_replication();
ALTER TABLE domowf.counter ENABLE ALWAYS TRIGGER refuse_replication;
COMMENT ON TRIGGER refuse_replication ON domowf.counter IS
	'a subscriber counts what it has done itself';

COMMENT ON COLUMN domowf.log.batch IS
	'transaction that enqueued or called it; of a row that has come from a publisher the one there, and 4611686018427387904 more';

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

ALTER TABLE domowf.counter ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_requests ON domowf.counter FOR SELECT USING (
	(requested_by_oid = (SELECT r.oid FROM pg_catalog.pg_roles r
						 WHERE r.rolname = current_user)
	 AND requested_by = current_user)
	OR (SELECT pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')));
COMMENT ON POLICY own_requests ON domowf.counter IS
	'each role sees what it asked for, pg_read_all_data all';

-- Predicates of these forms alone, as above (table.c).  A call has an entry in
-- one of these.  The first two serve the keys and batches of requests, the last
-- two what people ask of a long log: what was not done, and one instance.
DROP INDEX domowf.log_batch;
CREATE INDEX log_batch ON domowf.log (batch) WHERE origin <> 'call';
CREATE INDEX log_undone ON domowf.log (id) WHERE outcome <> 'done';
CREATE INDEX log_instance ON domowf.log (instance_id)
	WHERE instance_id IS NOT NULL;

-- Of what is in the queue, with what of the same transactions was settled, and of
-- all others, of which nothing waits: so that a condition on `waiting` leaves
-- out the log.  Each by its index of batches.  Not by counters: most batches are
-- of one request, so that they would be a second log.
CREATE OR REPLACE VIEW domowf.batch WITH (security_invoker = true) AS
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

-- What the log has is counted once, by reading it from one end to the other; of
-- attempts it does not have all, so that these are counted from now on.  How long
-- Domo took 1.0 knew of the last attempt where its reply settled the request, not
-- where a person did that later, it expired, or no reply came.  What is as long as
-- a bucket reaches is in that one, as in C (bucket.c): less one in width_bucket().
INSERT INTO domowf.counter (operation, workflow, server, requested_by,
	requested_by_oid, outcome, slot, n, attempts, waited, took,
	waited_0, waited_1, waited_2, waited_3, waited_4, waited_5, waited_6,
	waited_7, waited_8, waited_9, waited_10, waited_11, waited_12,
	waited_13, waited_14, waited_15, waited_16, waited_17, waited_18,
	took_0, took_1, took_2, took_3, took_4, took_5, took_6, took_7, took_8,
	took_9, took_10, took_11, took_12, took_13, took_14, took_15, took_16,
	took_17, took_18, folded)
	SELECT operation, workflow, server, requested_by, requested_by_oid, outcome,
		CASE WHEN settled_at > now() - interval '1 hour' THEN
			date_bin(interval '5 min', settled_at, timestamptz 'epoch') END,
		count(*), sum(attempts), sum(waited)::bigint, sum(took)::bigint,
		count(*) FILTER (WHERE waited_in = 0),
		count(*) FILTER (WHERE waited_in = 1),
		count(*) FILTER (WHERE waited_in = 2),
		count(*) FILTER (WHERE waited_in = 3),
		count(*) FILTER (WHERE waited_in = 4),
		count(*) FILTER (WHERE waited_in = 5),
		count(*) FILTER (WHERE waited_in = 6),
		count(*) FILTER (WHERE waited_in = 7),
		count(*) FILTER (WHERE waited_in = 8),
		count(*) FILTER (WHERE waited_in = 9),
		count(*) FILTER (WHERE waited_in = 10),
		count(*) FILTER (WHERE waited_in = 11),
		count(*) FILTER (WHERE waited_in = 12),
		count(*) FILTER (WHERE waited_in = 13),
		count(*) FILTER (WHERE waited_in = 14),
		count(*) FILTER (WHERE waited_in = 15),
		count(*) FILTER (WHERE waited_in = 16),
		count(*) FILTER (WHERE waited_in = 17),
		count(*) FILTER (WHERE waited_in = 18),
		count(*) FILTER (WHERE took_in = 0),
		count(*) FILTER (WHERE took_in = 1),
		count(*) FILTER (WHERE took_in = 2),
		count(*) FILTER (WHERE took_in = 3),
		count(*) FILTER (WHERE took_in = 4),
		count(*) FILTER (WHERE took_in = 5),
		count(*) FILTER (WHERE took_in = 6),
		count(*) FILTER (WHERE took_in = 7),
		count(*) FILTER (WHERE took_in = 8),
		count(*) FILTER (WHERE took_in = 9),
		count(*) FILTER (WHERE took_in = 10),
		count(*) FILTER (WHERE took_in = 11),
		count(*) FILTER (WHERE took_in = 12),
		count(*) FILTER (WHERE took_in = 13),
		count(*) FILTER (WHERE took_in = 14),
		count(*) FILTER (WHERE took_in = 15),
		count(*) FILTER (WHERE took_in = 16),
		count(*) FILTER (WHERE took_in = 17),
		count(*) FILTER (WHERE took_in = 18), true
	FROM (SELECT operation, workflow, server, requested_by, requested_by_oid,
				 outcome, settled_at, attempts, waited, took,
				 width_bucket(waited - 1, bounds) AS waited_in,
				 width_bucket(took - 1, bounds) AS took_in
		  FROM domowf.log, LATERAL (SELECT
				greatest(extract(epoch FROM settled_at - enqueued_at) * 1000000, 0)::bigint,
				CASE WHEN sent_at IS NOT NULL AND http_status IS NOT NULL
					AND (outcome = 'rejected'
						 OR (outcome = 'done' AND error IS NULL)) THEN
					greatest(extract(epoch FROM settled_at - sent_at) * 1000000, 0)::bigint
				END,
				ARRAY[
					1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000,
					500000, 1000000, 2000000, 5000000, 10000000, 30000000,
					60000000, 300000000, 3600000000, 86400000000]::bigint[]) x (waited, took, bounds)
		  WHERE origin = 'request') l
	GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- Reads with its owner's rights, so that members of pg_monitor see counts of
-- requests whose rows they may not see: a barrier, since a condition of its
-- reader that is cheap would else be evaluated before the view's own.
--
-- A role that was renamed, or has come from a dump of elsewhere, has the oid or
-- the name of another one: what is counted is shown to who has both.  What was
-- settled elsewhere, and came with the log, may be opened again here: less than
-- none is none.
CREATE OR REPLACE VIEW domowf.stats WITH (security_barrier = true) AS
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
-- Privileges, of all that there is: what makes an object stands above, and below
-- is only what changes one.  What is new has those that README tells of, as in
-- domowf--1.1.sql.  What 1.0 made keeps what was granted on it
-- since, but not what ALTER DEFAULT PRIVILEGES gave away when it was made:
-- pg_init_privs tells of it where 1.0's script had a GRANT or REVOKE, which is
-- of functions, the schema and two views.  Who got something there loses it on
-- all tables, and on the sequence, which nobody needs.  After a REVOKE of an
-- extension's script a dump takes all that was granted on the object for the
-- script's, and leaves it out: where there is more, only a warning is given.
--

DO LANGUAGE plpgsql $$
DECLARE
	member record;
	role text;
BEGIN
	FOR member IN WITH member AS (
			SELECT d.classid, d.objid, m.kind, m.type, i.identity, m.owner, m.acl,
				   p.initprivs, b.objid IS NULL AS is_new
			FROM pg_depend d
				JOIN pg_extension e ON e.oid = d.refobjid
				LEFT JOIN domowf.of_1_0 b USING (classid, objid)
				LEFT JOIN pg_init_privs p ON p.classoid = d.classid
					AND p.objoid = d.objid AND p.objsubid = 0,
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
				AND d.refclassid = 'pg_extension'::regclass
				AND d.deptype = 'e'
				AND d.objid <> 'domowf.of_1_0'::regclass
		), privilege AS (
			-- what others than the owner have, and 1.0 did not give them
			SELECT m.classid, m.objid, m.kind, a.grantee, a.is_initial
			FROM member m, LATERAL (
				SELECT grantee, true FROM aclexplode(m.initprivs)
				UNION ALL
				SELECT grantee, false FROM aclexplode(m.acl)) a (grantee, is_initial)
			WHERE NOT m.is_new AND a.grantee NOT IN (m.owner, 'pg_monitor'::regrole)
		), verdict AS (
			SELECT p.classid, p.objid, bool_and(given.grantee IS NOT NULL) AS is_clean,
				   array_agg(DISTINCT given.grantee)
					FILTER (WHERE given.grantee IS NOT NULL) AS given
			FROM privilege p LEFT JOIN (
				SELECT DISTINCT kind, grantee FROM privilege WHERE is_initial
				UNION
				SELECT 'SEQUENCE', grantee FROM privilege WHERE is_initial
				) given USING (kind, grantee)
			WHERE NOT p.is_initial
			GROUP BY p.classid, p.objid
		)
		SELECT m.kind, m.identity, m.owner, m.is_new, v.is_clean,
			   CASE WHEN m.is_new THEN array(SELECT DISTINCT grantee
					FROM aclexplode(coalesce(m.acl, acldefault(m.type, m.owner)))
					WHERE grantee <> m.owner)
			   ELSE v.given END AS given
		FROM member m LEFT JOIN verdict v USING (classid, objid)
		WHERE CASE WHEN m.is_new THEN m.acl IS NOT NULL OR m.kind = 'FUNCTION'
			  ELSE v.given IS NOT NULL END
		ORDER BY m.kind, m.identity
	LOOP
		SELECT string_agg(CASE g WHEN 0 THEN 'PUBLIC'
				ELSE quote_ident(pg_get_userbyid(g)) END, ', ')
			INTO role FROM unnest(member.given) g;
		IF NOT member.is_new THEN
			RAISE WARNING USING message = format(
				CASE WHEN member.is_clean
				THEN 'what default privileges gave %s on %s %s is revoked'
				ELSE 'default privileges gave %s rights on %s %s, which are not revoked'
				END, role, lower(member.kind), member.identity);
			CONTINUE WHEN NOT member.is_clean;
		END IF;
		IF role IS NOT NULL THEN
			EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', member.kind,
						   member.identity, role);
		END IF;
		CONTINUE WHEN NOT member.is_new;
		EXECUTE format('GRANT ALL ON %s %s TO %I', member.kind,
					   member.identity, pg_get_userbyid(member.owner));
		IF member.kind = 'TYPE' THEN
			EXECUTE format('GRANT USAGE ON TYPE %s TO PUBLIC',
						   member.identity);
		END IF;
	END LOOP;
	-- GRANTs on what is new stand here
	IF NOT EXISTS (SELECT FROM domowf.of_1_0
				   WHERE objid = 'domowf.stats'::regclass) THEN
		GRANT SELECT ON domowf.stats TO pg_monitor;
	END IF;
	GRANT SELECT ON domowf.connection, domowf.metric TO pg_monitor;
	GRANT EXECUTE ON FUNCTION @extschema@.domowf_metrics() TO pg_monitor;
END $$;
DROP TABLE domowf.of_1_0;

--
-- Comments that told less than is so
--
COMMENT ON COLUMN domowf.state.database IS
	'database whose queue it is: a copy sends nothing until domowf_resume() there';
COMMENT ON FUNCTION @extschema@.domowf_resolve(bigint, text) IS
	'record the instance that a request did start';

--
-- Requests, too, are refused where PostgreSQL may call more or less than once
-- for a row
--
ALTER FUNCTION @extschema@.domowf_enqueue(text, jsonb, text, text, timestamptz, timestamptz)
	SUPPORT @extschema@.domowf_call_support;
ALTER FUNCTION @extschema@.domowf_enqueue_call(text, jsonb, text, text, timestamptz, timestamptz)
	SUPPORT @extschema@.domowf_call_support;
COMMENT ON FUNCTION @extschema@.domowf_call_support(internal) IS
	'planner support: refuses a call that PostgreSQL may make more or less than once for a row';

-- A database of 1.0 is dormant (src/base/dormancy.c): its worker comes back when
-- this commits.
COMMENT ON FUNCTION domowf.created() IS
	'wakes the launcher when CREATE EXTENSION, or an update of it, commits';
SELECT domowf.created();

---
--- A worker that does not get on
---

COMMENT ON COLUMN domowf.worker_status.state IS
	'idle, sending, paused or stopped; stalled: what does not get on, and why';

--
-- Triggers that are there: nobody knows who made them.  Last of all, since the
-- event trigger refuses those that are begun after this has committed.  One
-- that is being made is not seen yet, and was not refused: who has made one
-- holds this lock on its table, or waits for it, and has it until he commits.
--
DO LANGUAGE plpgsql $$
DECLARE
	held record;
BEGIN
	IF current_setting('transaction_isolation')
		NOT IN ('read committed', 'read uncommitted')
	THEN
		RAISE EXCEPTION 'domowf is updated at isolation level READ COMMITTED only'
			USING ERRCODE = 'active_sql_transaction',
			DETAIL = 'It lists the triggers with domowf_trigger() that are there, of which an older snapshot does not have all.';
	END IF;
	SELECT l.relation::regclass AS relation,
		coalesce('process ' || l.pid, 'a prepared transaction') AS holder
	INTO held
	FROM pg_locks l
	WHERE l.locktype = 'relation' AND l.mode = 'ShareRowExclusiveLock'
		AND l.database = (SELECT oid FROM pg_database
						  WHERE datname = current_database())
		AND l.pid IS DISTINCT FROM pg_backend_pid()
	ORDER BY l.relation, l.pid LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			errcode = 'object_not_in_prerequisite_state',
			message = format('a trigger may be being made on table %s by %s',
							 held.relation, held.holder),
			detail = 'The update lists the triggers with domowf_trigger() that are there, and would miss this one.',
			hint = 'Repeat the update when that transaction has ended.';
	END IF;
END $$;

-- Not the copies that partitions have.
INSERT INTO domowf.earlier_trigger
	SELECT t.tgrelid, t.tgname
	FROM pg_trigger t
		JOIN pg_proc p ON p.oid = t.tgfoid
		JOIN pg_language l ON l.oid = p.prolang
	WHERE l.lanname = 'c' AND p.prosrc = 'domowf_trigger'
		AND t.tgparentid = 0;
