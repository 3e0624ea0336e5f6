-- Requests as SQL sees them, where the library is not preloaded and so no
-- worker takes anything away: what is stored, what is refused and in which
-- words, what the registry accepts.
\set VERBOSITY terse
SET domowf.log_payload = on;

-- the registry
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('queue_plain', 'm', '1.0.0', 'Start it');
INSERT INTO domowf.workflow VALUES ('', 'm', '1.0.0', 'Start it');
INSERT INTO domowf.workflow VALUES ('w', '..', '1.0.0', 'Start it');
INSERT INTO domowf.workflow VALUES ('w', 'm', '1.0', 'Start it');
INSERT INTO domowf.workflow VALUES ('w', 'm', '1.0.0', '');
INSERT INTO domowf.workflow VALUES ('w', 'm', '1.0.0', 'Start it', 'again');
INSERT INTO domowf.workflow (name, model_id, version, message_name, max_attempts)
	VALUES ('w', 'm', '1.0.0', 'Start it', 0);
INSERT INTO domowf.workflow (name, model_id, version, message_name, expire_after)
	VALUES ('w', 'm', '1.0.0', 'Start it', '0 s');

-- what is stored
\set VERBOSITY default
SELECT domowf_enqueue('queue_plain') > 0 AS stored;
SELECT domowf_enqueue('queue_plain', '{"d": 0.10}', key => 'k', order_key => 'o',
	run_at => '2100-01-01', expires_at => '2100-01-02') > 0 AS stored;
SELECT domowf_enqueue_call('cancel', '{"instanceId": "i", "other": 1}') > 0 AS stored;
SELECT domowf_enqueue_call('set_permissions', '{"modelId": "m", "permissions": []}') > 0 AS stored;
SELECT state, waiting, operation, workflow, request, on_doubt, attempts, key,
	order_key, source, requested_by = current_user AS mine,
	run_at > now() AS later, expires_at IS NOT NULL AS expires
	FROM domowf.queue ORDER BY id;
SELECT domowf_enqueue('queue_plain', key => 'k') =
	(SELECT id FROM domowf.queue WHERE key = 'k') AS same;
SELECT domowf_enqueue('queue_plain', order_key => 'o') > 0 AS stored;
SELECT order_key, waiting, due FROM domowf.queue WHERE order_key = 'o' AND waiting;
SELECT sum(total) AS total, sum(waiting) AS waiting, min(percent) AS percent,
	min(progress) AS progress FROM domowf.batch;
SELECT operation, workflow, queued, sending, done FROM domowf.stats ORDER BY 1, 2;

-- a later change of the registry does not reach it
UPDATE domowf.workflow SET model_id = 'other', on_doubt = 'retry'
	WHERE name = 'queue_plain';
SELECT DISTINCT request->>'modelId' AS model, on_doubt FROM domowf.queue
	WHERE workflow = 'queue_plain';

-- what is refused
SELECT domowf_enqueue(NULL);
SELECT domowf_enqueue('queue_plain', NULL);
SELECT domowf_enqueue('queue_none');
SELECT domowf_enqueue('queue_plain', '[]');
SELECT domowf_enqueue('queue_plain', key => '');
SELECT domowf_enqueue('queue_plain', order_key => '');
SELECT domowf_enqueue('queue_plain', key => repeat('x', 100000));
SELECT domowf_enqueue('queue_plain', run_at => 'infinity');
SELECT domowf_enqueue_call(NULL, '{}');
SELECT domowf_enqueue_call('stop', '{}');
SELECT domowf_enqueue_call('start', NULL);
SELECT domowf_enqueue_call('start', '{"modelId": 1}');
SELECT domowf_enqueue_call('start', '{"workflow": "queue_none", "data": {}}');
SELECT domowf_enqueue_call('cancel', '{}');
SELECT domowf_enqueue_call('set_permissions', '{"modelId": "m"}');
SELECT domowf_wait(NULL);
SELECT domowf_wait(-1);
SELECT domowf_retry(NULL);
SELECT domowf_discard(NULL);
SELECT domowf_resolve(1, NULL);
SELECT domowf_retry(-1), domowf_discard(-1), domowf_resolve(-1, 'i');

-- given up, with what they held
SELECT count(*) AS given_up FROM (SELECT id FROM domowf.queue OFFSET 0) q
	WHERE domowf_discard(id);
SELECT operation, outcome, origin, attempts, request IS NOT NULL AS has_request,
	response, error FROM domowf.log WHERE origin = 'request' ORDER BY id;
SELECT count(*) AS keys FROM domowf.key;
SELECT total, failed, percent, progress FROM domowf.batch LIMIT 1;

-- nothing is granted to PUBLIC
SELECT count(*) AS granted FROM pg_class c, aclexplode(c.relacl) a
	WHERE c.relnamespace = 'domowf'::regnamespace AND a.grantee = 0;
SELECT p.oid::regprocedure FROM pg_proc p
	JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
		AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'domowf'
	WHERE has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1;

-- everything is commented
SELECT c.oid::regclass, a.attname FROM pg_class c
	LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND c.relkind = 'r'
	WHERE c.relnamespace = 'domowf'::regnamespace AND c.relkind IN ('r', 'v', 'S')
		AND (obj_description(c.oid, 'pg_class') IS NULL
			OR a.attnum > 0 AND col_description(c.oid, a.attnum) IS NULL)
	ORDER BY 1, 2;

DELETE FROM domowf.workflow WHERE name = 'queue_plain';
