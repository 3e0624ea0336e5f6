-- An instance is cancelled, its id taken from the log
-- Cancelling is asynchronous: the status is the one at which Domo took the request.
-- expect: ^ *1001 \| [0-9a-f-]{36} \| IN_PROGRESS
-- executes: 1
SELECT l.order_id, c.id, c.status, c.updated_on
FROM workflow_log l, domowf_cancel(l.id) c
WHERE l.order_id = 1001;
