-- The worker is killed while it sends: what nobody can know is in doubt
-- Domo had started the instance, but the reply never came. It is not sent
-- again: whoever looks into Domo resolves it by hand.
-- expect: ^ sending$
-- expect: ^ t$
-- expect: in_doubt \| the worker ended while it was sending
-- expect: ^ t$
-- expect: done +\| an-instance-found-in-domo
-- executes: 1
SELECT domowf_enqueue_call('start', '{"messageName": "Start Approval",
  "version": "1.0.0", "modelId": "scenario:hang", "data": {}}') AS request \gset
DO $$ BEGIN
  WHILE NOT EXISTS (SELECT FROM domowf.worker WHERE in_flight = 1) LOOP
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;
SELECT state FROM domowf.queue;

SELECT pg_terminate_backend(pid, 10000) FROM domowf.worker;

SELECT (domowf_wait(:request)).state \gset
SELECT state, error FROM domowf.queue;

SELECT domowf_resolve(:request, 'an-instance-found-in-domo');
SELECT state, instance_id FROM domowf.request WHERE id = :request;
