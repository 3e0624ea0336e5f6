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
	ADD CONSTRAINT "server must be null: there are no servers yet"
		CHECK (server IS NULL);
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

CREATE OR REPLACE VIEW domowf.batch WITH (security_invoker = true) AS
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

CREATE OR REPLACE VIEW domowf.stats WITH (security_barrier = true) AS
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
							 'operation:' || operation))::bigint & 4294967295),
	ALTER COLUMN lane SET NOT NULL;
COMMENT ON COLUMN domowf.queue.order_space IS
	'whose order_key it is: scope:NAME, workflow:NAME, role:OID or model:';
COMMENT ON COLUMN domowf.queue.lane IS
	'requests of one role and one workflow or operation; they take turns with others';
COMMENT ON COLUMN domowf.queue.due IS
	'run_at, but not before it was enqueued; infinity while it waits or is in doubt';
COMMENT ON COLUMN domowf.queue.order_key IS
	'requests of one order_key and order_space are sent one after the other';
DROP INDEX domowf.queue_due;
DROP INDEX domowf.queue_order;
CREATE INDEX queue_lane ON domowf.queue (lane, due, id);
CREATE INDEX queue_order ON domowf.queue
	(order_space, order_key, waiting, id);

-- Not filled: to rewrite a long log takes long, and control.c knows what a
-- request of 1.0 had.
ALTER TABLE domowf.log ADD COLUMN order_space text;
COMMENT ON COLUMN domowf.log.order_space IS
	'whose order_key it is, as in domowf.queue';

CREATE OR REPLACE VIEW domowf.request WITH (security_invoker = true) AS
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

-- Not the copies that partitions have.
INSERT INTO domowf.earlier_trigger
	SELECT t.tgrelid, t.tgname
	FROM pg_trigger t
		JOIN pg_proc p ON p.oid = t.tgfoid
		JOIN pg_language l ON l.oid = p.prolang
	WHERE l.lanname = 'c' AND p.prosrc = 'domowf_trigger'
		AND t.tgparentid = 0;

--
-- Privileges; this stays the last section.  What is new has those that README
-- tells of, as in domowf--1.1.sql.  What 1.0 made keeps what was granted on it
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
END $$;
DROP TABLE domowf.of_1_0;

--
-- Comments that told less than is so
--
COMMENT ON COLUMN domowf.state.database IS
	'database whose queue it is: a copy sends nothing until domowf_resume() there';
COMMENT ON FUNCTION @extschema@.domowf_resolve(bigint, text) IS
	'record the instance that a request did start';

-- A database of 1.0 is dormant (src/base/dormancy.c): its worker comes back when
-- this commits.
COMMENT ON FUNCTION domowf.created() IS
	'wakes the launcher when CREATE EXTENSION, or an update of it, commits';
SELECT domowf.created();
