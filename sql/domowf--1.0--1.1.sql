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
REVOKE EXECUTE ON FUNCTION domowf.set_granted_oid() FROM PUBLIC;

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
REVOKE EXECUTE ON FUNCTION domowf.trigger_made() FROM PUBLIC;

-- Not the copies that partitions have.
INSERT INTO domowf.earlier_trigger
	SELECT t.tgrelid, t.tgname
	FROM pg_trigger t
		JOIN pg_proc p ON p.oid = t.tgfoid
		JOIN pg_language l ON l.oid = p.prolang
	WHERE l.lanname = 'c' AND p.prosrc = 'domowf_trigger'
		AND t.tgparentid = 0;
