
# What takes long and can be done beside the sending has a process of its own
# (domowf upkeep): it counts a queue that is long, and removes what is old from the
# log, while requests are sent; it stands in nobody's way, and what it does is
# done without it where no background worker is free.  Exists because each count
# of 100,000 requests kept all others waiting for 0.2 seconds.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant OLD => 5000;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '100ms'
max_prepared_transactions = 5
END
my $session = Domowf->session($node);

sub value { return $session->value($_[0]); }

sub until_true
{
	my ($query, $name) = @_;

	return ok($node->poll_query_until('postgres', $query), $name);
}

sub processes
{
	my ($count, $database) = @_;

	return sprintf q{SELECT count(*) = %d FROM pg_stat_activity
		WHERE backend_type = 'domowf upkeep' AND datname = '%s'}, $count, $database // 'postgres';
}

value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('it', 'model', '1.0.0', 'Start it');
-- whether so many wait, as far as is known: then no other one is taken
CREATE FUNCTION wait_that_many(n int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('domowf.max_queue_length', n::text, true);
	PERFORM domowf_enqueue('it');
	RAISE 'taken back' USING ERRCODE = 'DW001';
EXCEPTION WHEN SQLSTATE '53400' THEN RETURN true;
	WHEN SQLSTATE 'DW001' THEN RETURN false;
END $$;
END

# Requests of which nobody tells the worker: the count alone knows them.
sub enqueue_untold
{
	my ($count) = @_;

	value("BEGIN; SELECT count(domowf_enqueue('it', run_at => now() + interval '1 h'))
		FROM generate_series(1, $count); PREPARE TRANSACTION 'p'");
	value("COMMIT PREPARED 'p'");
	return;
}

# ---- it counts, and nothing waits for it

Domowf->set_test_point($node, 'upkeep=wait');
until_true(processes(1), 'a queue that takes long to count has a process for that');
my $pid = value(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'domowf upkeep'});
is($session->outcome($session->enqueue('it', "beside $_")), 'done', 'while it works requests are sent')
  foreach 1 .. 3;
enqueue_untold(7);
is($session->outcome($session->enqueue('it', 'after')), 'done', '... and others enqueued');
is(value(processes(1)), 't', 'there is one, not another one at each poll');
is(value(q{SELECT ok FROM domowf_check() WHERE check_name = 'worker'}), 't', '... and no stall');
Domowf->set_test_point($node, '');
until_true('SELECT wait_that_many(7) AND NOT wait_that_many(8)', 'what it has counted is the length of the queue');
value(q{SELECT domowf_discard(id) FROM domowf.queue});
until_true('SELECT NOT wait_that_many(1)', '... and less again');

# ---- who wants the database for himself

$node->safe_psql('postgres', 'CREATE DATABASE two');
$node->safe_psql('two', 'CREATE EXTENSION domowf');
Domowf->set_test_point($node, 'upkeep=wait');
until_true(processes(1, 'two'), 'a database has its own');
is($session->run('DROP DATABASE two')->{sqlstate}, '', 'it keeps nobody from dropping its database');
until_true(processes(0, 'two'), '... and is gone');

value(q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'domowf upkeep'});
until_true(processes(1), 'one that was ended has a successor');
is($session->outcome($session->enqueue('it', 'successor')), 'done', '... and the worker goes on');
Domowf->set_test_point($node, '');

# ---- a table that is locked, and one that is not right: it ends, and waits for
# ---- nobody

my $offset = Domowf->log_size($node);
my $locker = Domowf->session($node);
$locker->value('BEGIN; LOCK TABLE domowf.queue IN ACCESS EXCLUSIVE MODE');
Domowf->set_test_point($node, 'upkeep=0');
until_true(processes(0), 'a queue that is locked is not counted');
$locker->value('ROLLBACK');
$locker->quit;
is($session->outcome($session->enqueue('it', 'locked')), 'done', '... and all goes on');
unlike(Domowf->log_since($node, $offset), qr/ERROR:.*(?:count|queue|upkeep)/, '... and it says nothing');
Domowf->set_test_point($node, '');

# ---- what is old in the log

sub fill_log
{
	value(sprintf q{INSERT INTO domowf.log (id, operation, outcome, origin, attempts,
			requested_by, requested_by_oid, settled_at, batch)
		SELECT nextval('domowf.request_id'), 'start', 'done', 'request', 1, current_user,
			current_user::regrole, now() - interval '2 days', '1'::xid8
		FROM generate_series(1, %d)}, OLD);
	return;
}

my $old = q{SELECT count(*) FROM domowf.log WHERE settled_at < now() - interval '1 day'};

# none that was begun to count
Domowf->set_test_point($node, 'upkeep=60000000');
ok(Domowf->until_taken_up($node), 'the worker counts by itself');
until_true(processes(0), '... and no process is left');
Domowf->set_test_point($node, 'upkeep=60000000,upkeep-remove=wait');
fill_log();
$offset = Domowf->log_size($node);
$session->configure('domowf.log_retention', '1d');
ok($node->wait_for_log(qr/test point "upkeep-remove" waits/, $offset),
	'many old rows are removed by the process');
cmp_ok(value($old), '>', OLD / 2, '... which has a transaction for each part of them');
is($session->outcome($session->enqueue('it', "removal $_")), 'done', '... while requests are sent')
  foreach 1 .. 3;
Domowf->set_test_point($node, '');
until_true("SELECT ($old) = 0", 'all of them are removed');
until_true(processes(0), '... and it has ended');
is(value('SELECT count(*) > 0 FROM domowf.log'), 't', '... and none that is not old');

# the worker is still at those by which it has seen that there are many
$session->configure('domowf.log_retention', 0);
fill_log();
$session->configure('domowf.poll_interval', '1h');
$session->configure('domowf.log_retention', '1d');
until_true("SELECT pg_reload_conf() AND ($old) < @{[ OLD ]}", 'some are removed');
until_true("SELECT ($old) = 0", '... and all of them, by one process');

# ... though one is refused
$session->configure('domowf.log_retention', 0);
fill_log();
value(<<'END');
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.id = current_setting('my.kept')::bigint THEN
		RAISE 'kept' USING ERRCODE = 'check_violation';
	END IF;
	RETURN NULL;
END $$;
DO $$ BEGIN
	EXECUTE format('ALTER FUNCTION keep() SET my.kept = %s',
		(SELECT min(id) FROM domowf.log WHERE settled_at < now() - interval '1 day'));
END $$;
CREATE TRIGGER keep AFTER DELETE ON domowf.log FOR EACH ROW EXECUTE FUNCTION keep();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER keep;
END
$session->configure('domowf.log_retention', '1d');
until_true("SELECT pg_reload_conf() AND ($old) < @{[ OLD ]}", 'some are removed beside one that is refused');
until_true("SELECT ($old) < 1000", '... and more than a batch of them');
value('DROP FUNCTION keep() CASCADE; DELETE FROM domowf.log WHERE settled_at < now() - interval \'1 day\'');
$session->configure('domowf.poll_interval', '100ms');

# ---- a process that fails each time

Domowf->set_test_point($node, 'upkeep=60000000,upkeep-remove=error');
ok(Domowf->until_taken_up($node), 'the process that removes them fails');
$session->configure('domowf.stall_after', '100ms');
fill_log();
until_true(q{SELECT state ~ 'stalled: old rows of the log cannot be removed: error XX000: its process has failed' FROM domowf.worker},
	'... which is a stall');
Domowf->set_test_point($node, 'upkeep=60000000');
until_true("SELECT ($old) = 0", '... until it does not any more');
until_true(q{SELECT state !~ 'stalled' FROM domowf.worker}, '... and none then');
$session->configure('domowf.stall_after', '30s');

# ---- code of somebody's on the log runs there as it does in the worker

value(<<'END');
CREATE SCHEMA own;
CREATE TABLE own.seen (how text);
CREATE FUNCTION own.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		CREATE TEMP TABLE left_behind ();
		INSERT INTO own.seen VALUES ('free');
	EXCEPTION WHEN insufficient_privilege THEN
		INSERT INTO own.seen VALUES ('restricted, ' || current_user || ', '
			|| current_setting('session_authorization') || ', ' || current_setting('role'));
	END;
	RETURN NULL;
END $$;
CREATE TRIGGER mine AFTER DELETE ON domowf.log
	FOR EACH ROW EXECUTE FUNCTION own.see();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER mine;
END
fill_log();
until_true("SELECT ($old) = 0", 'what is old is removed with a trigger of somebody\'s');
is(value('SELECT how, count(*) FROM own.seen GROUP BY 1'),
	value(sprintf q{SELECT 'restricted, ' || current_user || ', ' || current_user || ', none', %d}, OLD),
	'... which is restricted');
value('DROP TRIGGER mine ON domowf.log');

# ---- no background worker is free

$session->configure('domowf.log_retention', 0);
fill_log();
$session->quit;
# the launcher, the worker, and that of logical replication
$node->append_conf('postgresql.conf', "max_worker_processes = 3\ndomowf.returns = off");
Domowf->set_test_point($node, 'upkeep=0');
$node->restart;
$session = Domowf->session($node);
until_true('SELECT pid IS NOT NULL FROM domowf.worker', 'there is a worker and no room for more');
enqueue_untold(7);
until_true('SELECT wait_that_many(7) AND NOT wait_that_many(8)', '... which counts by itself');
$session->configure('domowf.log_retention', '1d');
until_true("SELECT ($old) = 0", '... and removes what is old');
is($session->outcome($session->enqueue('it', 'alone')), 'done', '... and sends');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;

done_testing();
