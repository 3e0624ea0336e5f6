-- A row with values that have no place in the declared types is refused, every fault named
-- What Domo does with a wrong type is not known, so it is not left to find out.
-- expect: ^ERROR:  data does not fit the inputs of workflow "ship"
-- expect: ^DETAIL:  Input "parcels": found 1\.5, expected number .*it has a fraction\.
-- expect: ^Input "weight": found NaN, expected decimal
-- expect: ^Input "due": found "infinity", expected date
-- expect: ^Input "transit": found "1 day -02:00:00", expected duration .*different signs\.
-- expect: ^Input "tags", element 2: found null, expected text
-- expect: ^Input "carrier": found null, expected text
-- expect: ^SQLSTATE 22023$
-- expect: ^ +0$
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('ship', '0d3c8f56-0a3a-4f9c-9a83-8a4b1a0e7f21', '1.0.0', 'Start Shipping');
INSERT INTO domowf.workflow_input (workflow, name, type, is_list, required)
VALUES ('ship', 'parcels', 'number', false, true), ('ship', 'weight', 'decimal', false, false),
       ('ship', 'due', 'date', false, false), ('ship', 'transit', 'duration', false, false),
       ('ship', 'tags', 'text', true, false), ('ship', 'carrier', 'text', false, true);

CREATE TABLE shipment (parcels numeric, weight float8, due date, transit interval,
  tags text[], carrier text);
CREATE TRIGGER ship AFTER INSERT ON shipment FOR EACH ROW EXECUTE FUNCTION domowf_trigger('ship');

INSERT INTO shipment VALUES (1.5, 'NaN', 'infinity', '1 day -2 hours', '{fragile,NULL}', NULL);
\echo SQLSTATE :LAST_ERROR_SQLSTATE
SELECT count(*) FROM shipment;
