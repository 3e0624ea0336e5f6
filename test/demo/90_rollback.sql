-- A rollback undoes your log, not what Domo did: a warning names what stands
-- The warning goes to the server's log too.
-- expect: ^ [0-9a-f-]{36}$
-- expect: ^WARNING:  the transaction was rolled back, .*: started [0-9a-f-]{36}$
-- expect: ^HINT:  A call takes effect at once
-- expect in main.log: WARNING:  the transaction was rolled back, .*: started [0-9a-f-]{36}$
-- executes: 1
BEGIN;
SELECT i.id
FROM domowf_start('{"messageName": "Start Approval", "version": "1.0.0",
                    "modelId": "7f8b1c55-0e8e-4c1c-9d6b-0b1f6a1c2d3e",
                    "data": {}}') i;
ROLLBACK;
