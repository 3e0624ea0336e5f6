-- A workflow is started from a query, and the reply is a row
-- The argument has the keys of Domo's own API. `response` is Domo's whole reply.
-- expect: ^id .*\| [0-9a-f-]{36}$
-- expect: ^model_name .*\| AddTwoNumbers
-- expect: ^response .*"id":
-- executes: 1
\x on
SELECT i.*
FROM domowf_start('{"messageName": "Start AddTwoNumbers",
                    "version": "1.1.0",
                    "modelId": "a8afdc89-9491-4ee4-b7c3-b9e9b86c0138",
                    "data": {"parameter1": 13, "parameter2": 7}}') i;
