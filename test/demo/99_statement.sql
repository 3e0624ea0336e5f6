-- The rows of a statement are one start, its inputs lists in the order of the rows
-- expect: ^ +1 \| +100 \| \["sku-1", "sku-2", "sku-3"\] \| \[1\.50, 3\.00, 4\.50\]
-- executes: 1
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('restock', '9f1f1c86-7f6b-4b3b-a1ba-52b0a1c3e0d4', '1.0.0', 'Start Restock');
INSERT INTO domowf.workflow_input (workflow, name, type, is_list, required)
VALUES ('restock', 'sku', 'text', true, true), ('restock', 'price', 'decimal', true, true),
       ('restock', 'reason', 'text', false, false);

CREATE TABLE stock (sku text, price numeric(8,2));
CREATE TRIGGER restock AFTER INSERT ON stock REFERENCING NEW TABLE AS n FOR EACH STATEMENT
EXECUTE FUNCTION domowf_trigger('restock', 'sku', 'price', 'reason:=new goods');

INSERT INTO stock SELECT 'sku-' || n, n * 1.50 FROM generate_series(1, 100) n;

SELECT count(domowf_wait(id)) AS settled FROM domowf.request WHERE workflow = 'restock';

SELECT count(*) OVER () AS starts, jsonb_array_length(data->'sku') AS skus,
       jsonb_path_query_array(data, '$.sku[0 to 2]') AS "first skus",
       jsonb_path_query_array(data, '$.price[0 to 2]') AS "first prices"
FROM domowf.log, LATERAL (SELECT request->'data' AS data) d
WHERE workflow = 'restock';
