
# What has happened is counted, each way in which a request can end once, in the
# transaction that did it: over a crash of the worker, an emptied log, a fold, a
# rollback; no session waits for another one's count, nobody counts what
# replication brings, and a database that comes from 1.0 begins with what its log
# has (t/425_update has the objects).  Exists because what is asked of a log
# costs what the log is long.

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
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
END
my $session = Domowf->session($node);
my ($id, @ids);
my $hour = q{now() + interval '1 hour'};

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('plain', 'model', '1.0.0', 'Start it', 'hold'),
	('refused', 'scenario:status:404', '1.0.0', 'Start it', 'hold'),
	('doubtful', 'scenario:status:502', '1.0.0', 'Start it', 'hold');
CREATE ROLE alice;
CREATE ROLE monitor IN ROLE pg_monitor;
CREATE ROLE reader IN ROLE pg_read_all_data;
GRANT USAGE ON SCHEMA domowf TO alice, reader;
GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO alice;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO alice
END

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub as_role
{
	my ($role, $sql) = @_;

	$session->value("SET ROLE $role");
	my $result = $session->run($sql);
	$session->value('RESET ROLE');
	return $result;
}

# What is counted of a workflow: classes and outcomes.
sub counted
{
	my ($workflow) = @_;

	return $session->value(<<"END");
SELECT string_agg(concat_ws(':', class, outcome, nullif(n, 0), -reopened, w, t), ' '
	ORDER BY class COLLATE "C", outcome COLLATE "C")
FROM (SELECT class, outcome, sum(n) AS n, sum(reopened) AS reopened,
		'w' || nullif(sum(coalesce(waited_0, 0) + coalesce(waited_1, 0)
			+ coalesce(waited_2, 0) + coalesce(waited_3, 0) + coalesce(waited_4, 0)
			+ coalesce(waited_5, 0) + coalesce(waited_6, 0) + coalesce(waited_7, 0)
			+ coalesce(waited_8, 0) + coalesce(waited_9, 0) + coalesce(waited_10, 0)
			+ coalesce(waited_11, 0) + coalesce(waited_12, 0)
			+ coalesce(waited_13, 0) + coalesce(waited_14, 0)), 0) AS w,
		't' || nullif(count(took), 0) AS t
	FROM domowf.counter WHERE workflow = '$workflow' GROUP BY class, outcome) c
END
}

# ---- each way once

is($session->value('SELECT count(*) FROM domowf.counter'), 0, 'nothing has happened');
$session->outcome($session->enqueue('plain', 'done'));
is(counted('plain'), 'done:done:1:w1:t1', 'a request is done');
$session->outcome($id = $session->enqueue('refused', 'rejected'));
is(counted('refused'), 'rejected:rejected:1:w1:t1', 'one is rejected');
is($session->value("SELECT domowf_retry($id)"), 't', '... is sent again');
$session->outcome($id);
is(counted('refused'), 'rejected:rejected:2:w2:t2 rejected:-1', '... and again rejected, the first no longer counts as such');
is($session->value("SELECT domowf_resolve($id, 'x')"), 't', '... and settled by a person');
is(counted('refused'), 'rejected:rejected:2:w2:t2 done:1 rejected:-2',
	'... which is another outcome, and no other wait');
$session->outcome($id = $session->enqueue('doubtful', 'in doubt'));
is(counted('doubtful'), 'in doubt:in_doubt:1:t1', 'one comes in doubt');
$session->value("SELECT domowf_discard($id)");
is(counted('doubtful'), 'in doubt:in_doubt:1:t1 discarded:1:w1', '... and is discarded');
$session->outcome($session->enqueue('plain', 'expires', run_at => $hour,
	expires_at => 'clock_timestamp()'));
is(counted('plain'), 'done:done:1:w1:t1 expired:1:w1', 'one expires');
$domo->script('status:429', count => 1, contains => 'throttled');
$session->outcome($id = $session->enqueue('plain', 'throttled'));
is(counted('plain'), 'done:done:2:w2:t2 not executed:1:t1 expired:1:w1', 'one is put off once');
$id = $session->enqueue('plain', 'held', run_at => $hour);
is($session->value('SELECT domowf_hold()'), 1, 'one is held');
like(counted('plain'), qr/ in_doubt:1$/, '... and counted');
$session->value("SELECT domowf_discard($id)");

# ---- attempts that are used stay counted, whatever is sent again

sub attempts
{
	return $session->value(
		q{SELECT coalesce(sum(attempts), 0) FROM domowf.stats WHERE workflow = 'doubted'});
}

$session->value(q{INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('doubted', 'scenario:status:502', '1.0.0', 'Start it')});
$session->outcome($id = $session->enqueue('doubted', 'in doubt twice'));
is(attempts(), 1, 'attempts: of one in doubt');
$session->value("BEGIN; SELECT domowf_retry($id); ROLLBACK");
is(attempts(), 1, '... and that is not sent again, after all');
$session->value("SELECT domowf_retry($id)");
$session->outcome($id);
is(attempts(), 2, '... and of one that is sent again');
is(counted('doubted'), 'in doubt:in_doubt:2:t2 1', '... which is no outcome');
is($session->value(q{SELECT sum(value) FROM domowf_metrics()
	WHERE name = 'domowf_attempts_total' AND labels->>'workflow' = 'doubted'}), 2, '... as the metric has it');
$session->value("SELECT domowf_discard($id)");
is(attempts(), 2, '... each once, when it is settled');
$session->value(q{DELETE FROM domowf.counter WHERE workflow = 'doubted';
	DELETE FROM domowf.workflow WHERE name = 'doubted'});

# ---- each attempt that did not succeed is a line in the server's log

my $log = Domowf->log_since($node, 0);
like($log, qr/LOG:  domowf: attempt 1 failed: class=$_->[1] status=$_->[2] request=\d+ \(workflow "$_->[0]", /,
	"an attempt in the log: $_->[1]")
  foreach [ 'refused', 'rejected', 404 ], [ 'doubtful', 'in_doubt', 502 ],
  [ 'plain', 'not_executed', 429 ];
is(() = $log =~ /domowf: attempt /g, 6, '... one line each, and none for what is done');
until_true(q{SELECT query = 'domowf: waits for requests' FROM pg_stat_activity
	WHERE backend_type = 'domowf worker'}, 'pg_stat_activity tells what the worker does');

# ---- not what did not happen, and without a wait

my $before = $session->value('SELECT sum(n) FROM domowf.counter');
$id = $session->enqueue('plain', 'given up', run_at => $hour);
my $other_id = $session->enqueue('plain', 'given up, too', run_at => $hour);
my $other = Domowf->session($node);
$session->run('BEGIN');
$session->value("SELECT domowf_discard($id)");
$other->value(q{SET lock_timeout = '100s'});
is($other->value("SELECT domowf_discard($other_id)"), 't',
	'two settle at once, one with its transaction open');
$session->outcome($other->enqueue('plain', 'beside it'));
$session->run('ROLLBACK');
is($session->value('SELECT sum(n) FROM domowf.counter') - $before, 2,
	'... of which one is rolled back, and not counted');
$session->value("SELECT domowf_discard($id)");

# ---- the log goes, rows are folded, the worker is killed

my $stats = <<'END';
SELECT workflow, queued, in_doubt, done, rejected, expired, discarded, attempts,
	oldest_waiting IS NULL, latency_p50 > interval '0' AND latency_p50 <= latency_p99
FROM domowf.stats ORDER BY workflow
END
my $all = $session->value($stats);
is($all, <<'END' =~ s/\n\z//r, 'stats: what is counted');
doubtful|0|0|0|0|0|1|1|t|
plain|0|0|3|0|1|3|3|t|t
refused|0|0|1|0|0|0|2|t|t
END
$session->value('TRUNCATE domowf.log, domowf.key');
is($session->value($stats), $all, '... without the log');
$session->value(<<'END');
DO $$ BEGIN FOR i IN 1 .. 1000 LOOP
	INSERT INTO domowf.counter (operation, workflow, requested_by, requested_by_oid, outcome, n)
		VALUES ('start', 'many', current_user, current_user::regrole, 'done', 1);
END LOOP; END $$
END
until_true('SELECT count(*) < 100 FROM domowf.counter', 'rows are folded');
is($session->value($stats), <<"END" =~ s/\n\z//r, '... to the same');
doubtful|0|0|0|0|0|1|1|t|
many|0|0|1000|0|0|0|0|t|
plain|0|0|3|0|1|3|3|t|t
refused|0|0|1|0|0|0|2|t|t
END
$session->value(q{UPDATE domowf.counter SET slot = slot - interval '2 hours'});
is($session->value('SELECT count(latency_p50) FROM domowf.stats'), 0,
	'percentiles are of the last hour');
$session->value(<<'END');
INSERT INTO domowf.counter (operation, workflow, requested_by, requested_by_oid, outcome, n)
	SELECT 'start', 'many' || i, 'somebody', 1, 'done', 1 FROM generate_series(1, 3000) i;
INSERT INTO domowf.counter (operation, workflow, requested_by, requested_by_oid, outcome, n, reopened)
VALUES ('start', 'opened again', 'somebody', 1, 'rejected', 0, 1)
END
until_true(q{SELECT count(*) < 1100 FROM domowf.counter}, 'labels do not grow for ever');
is($session->value(q{SELECT sum(n) FILTER (WHERE workflow LIKE 'many_%' OR workflow = ''),
	count(*) FILTER (WHERE workflow = ''), sum(n) FILTER (WHERE workflow = 'plain') > 0
	FROM domowf.counter}), '3000|1|t', '... and all of them are counted');
is($session->value(q{SELECT reopened FROM domowf.counter WHERE workflow = 'opened again'}), 1,
	'... what is in the queue again by its own labels, of which fewer were enqueued than none');
my $folded = q{SELECT count(*) > 1000, md5(string_agg(concat(ctid, xmin), ' ' ORDER BY ctid))
	FROM domowf.counter WHERE folded};
my $rows = $session->value($folded);
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
$session->outcome($session->enqueue('plain', 'is over', run_at => $hour, expires_at => 'clock_timestamp()'));
like($rows, qr/^t/, 'many rows were folded');
is($session->value($folded), $rows, '... and a worker that begins does not fold them again');
$session->value(q{DELETE FROM domowf.counter WHERE workflow LIKE 'many%' OR workflow IN ('', 'opened again')});

$domo->script('gate:killed', count => 1, contains => 'killed');
$id = $session->enqueue('plain', 'killed');
$domo->wait_for(held => 1);
$before = counted('plain') =~ /in doubt:/ ? 1 : 0;
my $pid = $session->value('SELECT pid FROM domowf.worker');
$session->value(qq{SELECT pg_terminate_backend($pid, 60000)});
$domo->release('killed');
$session->outcome($id);
like(counted('plain'), qr/in doubt:in_doubt:1( |$)/,
	'what a worker was sending when it ended is counted by the next one');

# ---- the time of a transaction is its own, not that of its process

$session->value(<<'END');
CREATE SCHEMA own;
CREATE TABLE own.time (id bigint, what text, at timestamptz DEFAULT now());
CREATE FUNCTION own.note_log() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO own.time VALUES (NEW.id, 'log'); RETURN NULL; END $$;
CREATE TRIGGER mine AFTER INSERT ON domowf.log FOR EACH ROW EXECUTE FUNCTION own.note_log();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER mine;
CREATE FUNCTION own.note_return(r domowf.request) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO own.time VALUES (r.id, 'return') $$;
UPDATE domowf.workflow SET on_settled = 'own.note_return(domowf.request)' WHERE name = 'plain';
END
# the second one finds the processes that the first one had
foreach my $nth ('first', 'second')
{
	$id = $session->enqueue('plain', "time of the $nth");
	$session->outcome($id);
	until_true("SELECT count(*) = 2 FROM own.time WHERE id = $id", "$nth: its end is noted");
	is($session->value(qq{SELECT string_agg(what, ' ' ORDER BY what) FROM own.time t
			JOIN domowf.log l USING (id) WHERE id = $id AND at BETWEEN l.enqueued_at AND clock_timestamp()}),
		'log return', '... at now(), which is after it was enqueued');
}
$session->value(q{DROP TRIGGER mine ON domowf.log; UPDATE domowf.workflow SET on_settled = NULL});

# ---- who sees what

my $mine = as_role('alice', Domowf->enqueue_sql('plain', 'of alice'))->{out};
$session->outcome($mine);
my $see = 'SELECT sum(done) FROM domowf.stats';
is(as_role('alice', $see)->{out}, 1, 'a role sees what it asked for');
is(as_role('alice', 'SELECT sum(n) FROM domowf.counter')->{out}, 1, '... and no more of what is under it');
is(as_role('monitor', $see)->{out}, 7, 'pg_monitor sees all');
is(as_role('monitor', 'SELECT FROM domowf.counter')->{sqlstate}, '42501', '... but not each row');
$session->value('ALTER ROLE alice RENAME TO alicia');
is(as_role('alicia', $see)->{out} // '', '', 'nobody sees what was counted of an oid by another name');
$session->value('ALTER ROLE alicia RENAME TO alice');

# ---- a dump has no more of it than of the log, so that whoever reads all data
# ---- can dump; what is restored counts from nothing

$session->value('SELECT domowf_pause(); CREATE ROLE dumper LOGIN IN ROLE pg_read_all_data');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres') . ' user=dumper', '-f', '/dev/null' ],
	'who reads all data can dump');
$node->command_ok([
	'bash', '-c', 'pg_dump -d ' . "'" . $node->connstr('postgres') . "'"
	  . " | psql -v ON_ERROR_STOP=1 -qX -d '" . $node->connstr('restored') . "'" ],
	'a dump is restored');
is($node->safe_psql('restored', 'SELECT count(*) FROM domowf.counter'), 0, '... without what was counted');

done_testing();
