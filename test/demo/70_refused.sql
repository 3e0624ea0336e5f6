-- Domo refuses, and PL/pgSQL can catch that
-- SQLSTATE: 38 and the HTTP status. The detail has Domo's words and the toe, the id that its
-- support asks for. (The stand-in refuses where the model id says scenario:status:404.)
-- expect: ^ERROR:  Domo refused start .* HTTP status 404
-- expect: ^DETAIL:  .* HTTP status 404, message ".*", toe "[0-9A-F]+"
-- expect: ^SQLSTATE 38404$
-- expect: ^NOTICE:  no such instance, nothing to cancel
SELECT i.id
FROM domowf_start('{"messageName": "Start Approval", "version": "1.0.0",
                    "modelId": "scenario:status:404", "data": {}}') i;
\echo SQLSTATE :LAST_ERROR_SQLSTATE
\echo

DO $$
BEGIN
  PERFORM domowf_cancel('00000000-0000-0000-0000-000000000000');
EXCEPTION
  WHEN SQLSTATE '38404' THEN
    RAISE NOTICE 'no such instance, nothing to cancel';
END $$;
