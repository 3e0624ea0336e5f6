-- A row changes, a workflow runs
-- Orders of 100 and more start a workflow whose inputs are declared. Three are
-- inserted, one of them is rolled back; each instance is found by its key.
-- expect: ^ +1 +\| +250.00 +\| done +\| [0-9a-f-]{36} +\| 250.00 +\| "481303514"
-- expect: ^ +3 +\| 90071992547409.93 +\| done +\| [0-9a-f-]{36} +\| 90071992547409.93
-- executes: 2
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('order', '0b7c2f4e-2f0e-4c55-9d5b-9a4f2f3f1c77', '2.1.0', 'Start Order');
INSERT INTO domowf.workflow_input (workflow, name, type, required)
VALUES ('order', 'id', 'number', true), ('order', 'amount', 'decimal', true),
  ('order', 'buyer', 'person', true), ('order', 'due', 'date', false);

DROP TABLE orders;  -- that of an earlier step
CREATE TABLE orders (id int PRIMARY KEY, amount numeric, buyer bigint, due date);
CREATE TRIGGER start_order AFTER INSERT ON orders
  FOR EACH ROW WHEN (NEW.amount >= 100)
  EXECUTE FUNCTION domowf_trigger('order', 'id', 'amount', 'buyer', 'due', '@key=id');

INSERT INTO orders VALUES (1, 250.00, 481303514, '2026-12-24');
BEGIN;
INSERT INTO orders VALUES (2, 500.00, 481303514, '2026-12-24');
ROLLBACK;
INSERT INTO orders VALUES (3, 90071992547409.93, 481303514, NULL);

SELECT count(domowf_wait(id)) AS settled FROM domowf.request WHERE workflow = 'order';
SELECT o.id, o.amount, l.outcome, l.instance_id,
  l.request #> '{data,amount}' AS "amount sent", l.request #> '{data,buyer}' AS buyer
FROM orders o LEFT JOIN domowf.log l ON l.workflow = 'order' AND l.key = o.id::text
ORDER BY o.id;
