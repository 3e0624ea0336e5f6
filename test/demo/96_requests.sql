-- A request is part of the transaction: sent after COMMIT, logged by itself
-- 1,000 starts are enqueued in one transaction, one more is rolled back, and
-- domowf.batch tells how far the worker is.
-- expect: NOTICE:  .*#+.* 100.0 %
-- expect: ^ done +\| +1000$
-- executes: 1000
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('approval', '7f8b1c55-0e8e-4c1c-9d6b-0b1f6a1c2d3e', '1.0.0', 'Start Approval');

BEGIN;
SELECT count(domowf_enqueue('approval', jsonb_build_object('order', n)))
FROM generate_series(1, 1000) n;
COMMIT;

BEGIN;
SELECT domowf_enqueue('approval', '{"order": 1001}') > 0 AS enqueued;
ROLLBACK;

DO $$
DECLARE b record;
BEGIN
  LOOP
    SELECT * INTO b FROM domowf.batch WHERE total = 1000;
    RAISE NOTICE '% % %%', b.progress, b.percent;
    EXIT WHEN b.percent = 100;
    PERFORM pg_sleep(0.5);
  END LOOP;
END $$;

SELECT state, count(*) FROM domowf.request GROUP BY state;
