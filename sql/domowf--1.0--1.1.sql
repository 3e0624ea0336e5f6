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
