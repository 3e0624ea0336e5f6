-- A start without a reply is in doubt, and is told as just that
-- Nobody on this side can know whether it was executed, so domowf does not guess and does not
-- send it again. Here Domo did execute it, as the last line says. (scenario:hang never replies.)
-- expect: ^ERROR:  start of workflow .* is in doubt: .*timed out
-- expect: ^HINT:  Domo may have started an instance
-- expect: ^SQLSTATE 38U02$
-- executes: 1
SET domowf.timeout = '500ms';
\echo

SELECT i.id
FROM domowf_start('{"messageName": "Start Approval", "version": "1.0.0",
                    "modelId": "scenario:hang", "data": {}}') i;
\echo SQLSTATE :LAST_ERROR_SQLSTATE
