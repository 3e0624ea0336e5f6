-- Results are logged into a table of your own, one start for each row of a query
-- `data` arrives at Domo digit for digit, as the stand-in's record shows.
-- expect: INSERT INTO workflow_log
-- expect: ^ *1001 \| [0-9a-f-]{36} \|
-- expect: ^ *1002 \| [0-9a-f-]{36} \|
-- expect: ^\(2 rows\)
-- expect in domo/record.jsonl: "data_text": "[^}]*12345678901234567\.89[^}]*}"
-- executes: 2
CREATE TABLE orders (id int PRIMARY KEY, amount numeric);
INSERT INTO orders VALUES (1001, 19.90), (1002, 12345678901234567.89);
\echo

CREATE TABLE workflow_log (order_id int, logged_at timestamptz,
                           LIKE domowf_instance);
\echo

INSERT INTO workflow_log
SELECT o.id, now(), i.*
FROM orders o,
     domowf_start(jsonb_build_object(
         'messageName', 'Start Approval', 'version', '1.0.0',
         'modelId', '7f8b1c55-0e8e-4c1c-9d6b-0b1f6a1c2d3e',
         'data', jsonb_build_object('order', o.id, 'amount', o.amount))) i;
\echo

SELECT order_id, id, model_name, created_on FROM workflow_log ORDER BY order_id;
