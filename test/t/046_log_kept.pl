
# The log stays open from one call of a transaction to the next.  Exists because
# what is open must not be seen: by the session's own changes of that table, by
# savepoints and errors, by whoever takes the ids that come next.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo,
	conf => "max_prepared_transactions = 5\n");
my $session = Domowf->session($node);
my $admin = Domowf->session($node);
my $unique = 0;

# A start that no other equals.
sub start
{
	$unique++;
	return Domowf->start_sql("model-$unique");
}

# The last one once more.
sub again
{
	$unique--;
	return start();
}

# Runs statements; they and the calls among them succeed, and the log gets what
# is expected: a row for each of so many of these.
sub logs
{
	my ($name, $rows, @statements) = @_;
	my $offset = Domowf->log_size($node);

	$admin->value('TRUNCATE domowf.log');
	my $got = $session->run(join ";\n", @statements);
	is($got->{sqlstate}, '', $name) or diag $got->{err};
	is($admin->value('SELECT count(*) FROM domowf.log'), $rows, '... is in the log');
	unlike(Domowf->log_since($node, $offset), qr/leak|still referenced|not closed/i,
		'... and leaves nothing open');
	return $got;
}

# ---- statements of one transaction

logs('one call', 1, start());
logs('two calls in a transaction', 2, 'BEGIN', start(), start(), 'COMMIT');
is(logs('what has been called is seen at once', 2, 'BEGIN', start(),
		'SELECT count(*) FROM domowf.log', start(), 'COMMIT')->{out} =~ /^1$/m, 1, '... as one row');
logs('many in one statement', 500,
	q(SELECT count(domowf_start(format('{"messageName": "m", "version": "1", "modelId": "many", "data": {"n": "%s"}}', i)::jsonb)) FROM generate_series(1, 500) i));
logs('a cursor', 3, 'BEGIN',
	q(DECLARE c NO SCROLL CURSOR FOR SELECT (domowf_start(format('{"messageName": "m", "version": "1", "modelId": "cursor", "data": {"n": "%s"}}', i)::jsonb)).id FROM generate_series(1, 3) i),
	'FETCH 1 FROM c', 'FETCH 1 FROM c', 'FETCH 1 FROM c', 'CLOSE c', 'COMMIT');
logs('a procedure that commits', 4, <<'END');
DO $$
BEGIN
	FOR i IN 1..4 LOOP
		PERFORM domowf_start(format('{"messageName": "m", "version": "1", "modelId": "do", "data": {"n": "%s"}}', i)::jsonb);
		IF i % 2 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$
END

my $memory = 'SELECT count(*) FROM pg_catalog.pg_backend_memory_contexts';
my $out = logs('calls of one transaction', 401, 'BEGIN', start(), $memory, <<'END', $memory, 'COMMIT')->{out};
DO $$
BEGIN
	FOR i IN 1..400 LOOP
		PERFORM domowf_start('{"messageName": "m", "version": "1", "modelId": "memory", "data": {}}');
	END LOOP;
END $$
END
my @contexts = $out =~ /^(\d+)$/mg;
cmp_ok($contexts[1] - $contexts[0], '<', 100, '... leave nothing behind until its end') or diag $out;

# ---- savepoints and errors

sub in_loop
{
	my ($body) = @_;

	return <<"END";
DO \$\$
DECLARE
	request jsonb;
BEGIN
	FOR i IN 1..6 LOOP
		request := format('{"messageName": "m", "version": "1", "modelId": "loop $unique", "data": {"n": "%s"}}', i);
		$body
	END LOOP;
END \$\$
END
}

logs('what a savepoint takes back', 2, 'BEGIN', start(), 'SAVEPOINT a', start(), 'ROLLBACK TO a', start(), 'COMMIT');
logs('first opened behind a savepoint that is taken back', 1, 'BEGIN', 'SAVEPOINT a', start(), 'ROLLBACK TO a', start(),
	'COMMIT');
logs('a block of each call', 6, in_loop('BEGIN PERFORM domowf_start(request); EXCEPTION WHEN division_by_zero THEN END;'));
logs('an error in every second block, after the call', 3, in_loop(
		'BEGIN PERFORM domowf_start(request); PERFORM 1 / (i % 2); EXCEPTION WHEN division_by_zero THEN END;'));

logs('calls that fail in every second block', 3, in_loop(<<'END'));
BEGIN
			PERFORM domowf_start(CASE WHEN i % 2 = 0 THEN
				request || '{"modelId": "scenario:status:404"}' ELSE request END);
		EXCEPTION WHEN SQLSTATE '38404' THEN
		END;
END

# A unique index is somebody's: its refusal is a warning, and the next call is logged.
$admin->value('TRUNCATE domowf.log');
$admin->value(q{CREATE UNIQUE INDEX own ON domowf.log ((request ->> 'modelId'))});
logs('a row that the log refuses between two that it takes', 2, 'BEGIN', start(), again(), start(), 'COMMIT');
$admin->value('DROP INDEX domowf.own');

# ---- the session's own changes of the table

$session->value('SET client_min_messages = error');
my @changes = (
	'ALTER TABLE domowf.log ADD COLUMN mine text',
	'ALTER TABLE domowf.log DROP COLUMN mine',
	'CREATE INDEX mine ON domowf.log (error)',
	'DROP INDEX domowf.mine',
	'CREATE TABLE domowf_log_copy AS SELECT * FROM domowf.log',
	'DROP TABLE domowf_log_copy',
	'LOCK TABLE domowf.log IN ACCESS EXCLUSIVE MODE',
	'REINDEX TABLE domowf.log',
	'CLUSTER domowf.log USING log_pkey',
	'ANALYZE domowf.log',
	'ALTER TABLE domowf.log ALTER COLUMN error SET STATISTICS 10',
	q{DO $$ BEGIN EXECUTE 'ALTER TABLE domowf.log ADD CONSTRAINT mine CHECK (attempts >= 0)'; END $$},
	'ALTER TABLE domowf.log DROP CONSTRAINT mine',
);
logs("between two calls: $_", 2, 'BEGIN', start(), $_, start(), 'COMMIT') foreach @changes;
logs('between two calls, taken back: ' . $changes[0], 2, 'BEGIN', start(), 'SAVEPOINT a', $changes[0], start(),
	'ROLLBACK TO a', start(), 'COMMIT');
logs('between two calls: TRUNCATE', 1, 'BEGIN', start(), 'TRUNCATE domowf.log', start(), 'COMMIT');

# A call's own trigger changes a table while the log is in use.
$admin->value(<<'END');
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE public.noted ();
	DROP TABLE public.noted;
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON domowf.log FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER note
END
logs('with a trigger that makes tables', 3, 'BEGIN', start(), start(), start(), 'COMMIT');
$admin->value('DROP TRIGGER note ON domowf.log');

# An event trigger's own call, before the table is changed.
my $audit = start();
$admin->value(<<"END");
CREATE FUNCTION audit() RETURNS event_trigger LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM q.* FROM ($audit) q;
END \$\$;
CREATE EVENT TRIGGER audit ON ddl_command_start EXECUTE FUNCTION audit()
END
logs("with an event trigger that calls: $_", 2, 'BEGIN', start(), $_, 'COMMIT')
  foreach 'ALTER TABLE domowf.log ADD COLUMN mine text', 'ALTER TABLE domowf.log DROP COLUMN mine';
$admin->value('DROP EVENT TRIGGER audit');

# ---- the lock

$session->run(join ";\n", 'BEGIN', start(), 'CREATE TABLE closes ()');
my $lock = "SET lock_timeout = '50ms';\nBEGIN;\nLOCK TABLE domowf.log IN SHARE MODE";
is($admin->run($lock)->{sqlstate}, '55P03',
	'who changes the log waits for the end of the transaction');
$session->run('ROLLBACK');
is($admin->run("ROLLBACK;\n$lock")->{sqlstate}, '', '... and no longer');
$admin->run('ROLLBACK');

# ---- ids

$admin->value('TRUNCATE domowf.log');
my $next = $admin->value(q{SELECT nextval('domowf.request_id')});
$admin->value(<<"END");
INSERT INTO domowf.log (id, operation, outcome, origin, attempts, requested_by, requested_by_oid, settled_at, batch)
SELECT $next + i, 'start', 'done', 'call', 1, 'by hand', 1, now(), '1' FROM generate_series(1, 5) i
END
is($session->run(join ";\n", 'BEGIN', start(), start(), 'COMMIT')->{sqlstate}, '', 'ids that the log has');
is($admin->value(q{SELECT count(*) FROM domowf.log WHERE origin = 'call' AND requested_by <> 'by hand'}), 2,
	'... are passed by');

# ---- the end of a transaction

my $got = $session->run(join ";\n", 'BEGIN', 'SAVEPOINT a', 'SELECT domowf_start(NULL::jsonb)');
is($got->{sqlstate}, '22004', 'a call that sends nothing');
$session->run("ROLLBACK TO a;\nPREPARE TRANSACTION 'p'");
is($session->run("COMMIT PREPARED 'p'")->{sqlstate}, '', '... prevents no PREPARE');

$got = $session->run(join ";\n", 'BEGIN', start(), 'DROP EXTENSION domowf CASCADE', 'COMMIT');
is($got->{sqlstate}, '', 'DROP EXTENSION after a call');
is($admin->value(q{SELECT count(*) FROM pg_extension WHERE extname = 'domowf'}), 0, '... drops it');

$session->quit;
$admin->quit;
$node->stop;
done_testing();
