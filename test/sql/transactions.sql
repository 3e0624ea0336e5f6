-- A call is outside of transactions: what rolls back is said, and what could
-- not be said later is refused.
CREATE FUNCTION start() RETURNS void LANGUAGE plpgsql AS $$
DECLARE i domowf_instance;
BEGIN
  i := domowf_start('{"messageName": "X", "version": "1.0.0", "modelId": "scenario:reply:id-odd", "data": {}}');
END $$;

-- 25006 where nothing may change
BEGIN READ ONLY;
SELECT domowf_start('{}');
ROLLBACK;
BEGIN READ ONLY;
SELECT domowf_start_all('{}');
ROLLBACK;
BEGIN READ ONLY;
SELECT domowf_cancel('x'::text);
ROLLBACK;
BEGIN READ ONLY;
SELECT domowf_set_permissions('x', '[]');
ROLLBACK;

-- committed: nothing to say
BEGIN;
SELECT start();
COMMIT;

-- rolled back, in whatever way
BEGIN;
SELECT start();
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT start();
ROLLBACK TO a;
COMMIT;
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
SELECT start();
RELEASE b;
ROLLBACK TO a;
COMMIT;
BEGIN;
SELECT start();
SAVEPOINT a;
SELECT start();
RELEASE a;
ROLLBACK;
DO $$ BEGIN
  PERFORM start();
  RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
  NULL;
END $$;

-- a cancel and a permission change stand, too; a refused call does not count
BEGIN;
SELECT count(*) FROM domowf_cancel('scenario:reply:full'::text);
SELECT count(*) FROM domowf_set_permissions('m1', '[{"id": "1", "type": "USER", "permissions": []}]');
SAVEPOINT a;
SELECT domowf_start('{"messageName": "X", "version": "1.0.0", "modelId": "scenario:empty:404", "data": {}}');
ROLLBACK TO a;
ROLLBACK;

-- (a transaction that fails, and PREPARE TRANSACTION: test/t/050, since error
-- and warning come in an order that psql does not keep)
DROP FUNCTION start();
