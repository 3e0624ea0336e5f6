-- A row is inserted, a workflow runs: a trigger, and nothing else
-- The inputs are declared, so that each column goes as Domo's type. Of three inserts one is
-- rolled back; the other two have their instances in the log, found by the request's key.
-- expect: ^ +1 \| Ada +\| +9\.90 \| [0-9a-f-]{36} \| shop\.orders
-- expect: ^ +3 \| Cy +\| +0\.10 \| [0-9a-f-]{36} \| shop\.orders
-- expect: ^\(2 rows\)
-- expect: \{"total": 9\.90, "placed": "2026-04-23T12:00:00Z", "orderId": 1, "customer": "Ada"\}
-- executes: 2
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('fulfil', '5b6f5a0e-61a8-4b5b-8f0e-3a8f1f0c9d11', '1.0.0', 'Start Fulfilment');
INSERT INTO domowf.workflow_input (workflow, name, type, required)
VALUES ('fulfil', 'orderId', 'number', true), ('fulfil', 'customer', 'text', true),
       ('fulfil', 'total', 'decimal', true), ('fulfil', 'placed', 'dateTime', false);

CREATE SCHEMA shop;
CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text,
  total numeric(10,2), placed timestamptz, instance_id text);

CREATE TRIGGER fulfil AFTER INSERT ON shop.orders FOR EACH ROW
EXECUTE FUNCTION domowf_trigger('fulfil', '@key=id', 'orderId=id', 'customer', 'total', 'placed');

INSERT INTO shop.orders (customer, total, placed) VALUES ('Ada', 9.90, '2026-04-23 14:00+02');
BEGIN;
INSERT INTO shop.orders (customer, total) VALUES ('Bob', 1000);
ROLLBACK;
INSERT INTO shop.orders (customer, total) VALUES ('Cy', 0.10);

SELECT count(domowf_wait(id)) AS settled FROM domowf.request WHERE workflow = 'fulfil';

UPDATE shop.orders o SET instance_id = l.instance_id
FROM domowf.log l WHERE l.workflow = 'fulfil' AND l.key = o.id::text;

SELECT o.id, o.customer, o.total, o.instance_id, l.source
FROM shop.orders o JOIN domowf.log l ON l.instance_id = o.instance_id
ORDER BY o.id;

SELECT request->'data' AS "what Domo got for the first" FROM domowf.log
WHERE workflow = 'fulfil' AND key = '1';
