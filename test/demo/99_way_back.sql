-- An order's row fills itself, the instance first and its end later, and starts the next workflow
-- The first trigger writes back what came of its request: 'column<-field'. The instance is followed
-- to its end by tracking, which looks at it five seconds after its start. A second trigger, on the
-- column that has the state, starts the next workflow. No program is part of it. (Two starts, a read.)
-- runs: COMPLETED
-- expect: ^ inserted +\| +\| +\| *$
-- expect: ^ started +\| [0-9a-f-]{36} \| +\| *$
-- expect: ^ ended +\| [0-9a-f-]{36} \| COMPLETED +\| [0-9a-f-]{36}
-- executes: 3
INSERT INTO domowf.workflow (name, model_id, version, message_name, track)
VALUES ('pack', '4b0f2a7e-6c1d-4e8f-9a3b-5d7c8e9f0a1b', '1.0.0', 'Start Packing', true),
       ('invoice', '8c1e3d5f-7a2b-4c9d-8e0f-6b5a4c3d2e1f', '1.0.0', 'Start Invoice', false);

CREATE TABLE shop.purchase (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text,
  instance_id text, run text, invoice_id text);

CREATE TRIGGER pack AFTER INSERT ON shop.purchase FOR EACH ROW
EXECUTE FUNCTION domowf_trigger('pack', 'orderId=id', 'customer',
                                'instance_id<-id', 'run<-status');
CREATE TRIGGER then_invoice AFTER UPDATE OF run ON shop.purchase FOR EACH ROW
WHEN (NEW.run = 'COMPLETED')
EXECUTE FUNCTION domowf_trigger('invoice', 'orderId=id', 'invoice_id<-id');

INSERT INTO shop.purchase (customer) VALUES ('Ada')
RETURNING 'inserted' AS "when", instance_id, run, invoice_id;

DO $$ BEGIN
  WHILE EXISTS (SELECT FROM shop.purchase WHERE instance_id IS NULL) LOOP PERFORM pg_sleep(0.05); END LOOP;
END $$;
SELECT 'started' AS "when", instance_id, run, invoice_id FROM shop.purchase;

DO $$ BEGIN
  WHILE EXISTS (SELECT FROM shop.purchase WHERE invoice_id IS NULL) LOOP PERFORM pg_sleep(0.05); END LOOP;
END $$;
SELECT 'ended' AS "when", instance_id, run, invoice_id FROM shop.purchase;
