-- (f(x)).* would start once for each of 14 columns: it is refused, nothing is sent
-- expect: ^ERROR:  the result of domowf_start\(\) is expanded more than once
-- expect: ^SQLSTATE 0A000$
SELECT (domowf_start('{"messageName": "Start Approval", "version": "1.0.0",
                       "modelId": "7f8b1c55-0e8e-4c1c-9d6b-0b1f6a1c2d3e",
                       "data": {}}')).*;
\echo SQLSTATE :LAST_ERROR_SQLSTATE
