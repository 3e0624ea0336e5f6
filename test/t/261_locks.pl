
# What people do to domowf's tables while the worker runs: row locks, table
# locks, VACUUM FULL, REINDEX, TRUNCATE, columns of their own.  Exists because a
# worker that waits for a person's lock would hold up everybody else, and
# because what keeps a result from being written must be known before anything
# is sent.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# However slow the machine is; what would not be quick would take minutes.
use constant SOON => 30;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.timeout = '10min'
domowf.poll_interval = '500ms'
END
my $session = Domowf->session($node);
my $person = Domowf->session($node);
my ($id, @ids, $offset, $start);
my $hour = q{now() + interval '1 hour'};

$session->value(q{INSERT INTO domowf.workflow (name, model_id, version,
	message_name) VALUES ('plain', 'model', '1.0.0', 'Start it')});

sub enqueue
{
	return $session->enqueue('plain', @_);
}

sub worker
{
	$node->poll_query_until('postgres',
		'SELECT pid IS NOT NULL FROM domowf.worker');
	return $session->value('SELECT pid FROM domowf.worker');
}

# Requests that hang, of which `open` lets them go.
sub hang
{
	my ($gate, $count) = @_;

	$domo->script("gate:$gate", count => $count, contains => "\"$gate ");
	$session->run('BEGIN');
	my @requests = map { enqueue("$gate $_") } 1 .. $count;
	$session->run('COMMIT');
	$domo->wait_for(held => $count);
	return @requests;
}

# ---- columns that somebody adds are left null, and what they hold stays;
# indexes that somebody adds are kept up

$session->value(q{CREATE INDEX mine ON domowf.log ((request->'data'->>'n'));
	CREATE INDEX ours ON domowf.queue (order_key, state)
		WHERE state = 'in_doubt'});

foreach my $table (qw(queue key log))
{
	$session->value("ALTER TABLE domowf.$table ADD gone int DEFAULT 1,"
		  . ' ADD mine int');
	$session->value("ALTER TABLE domowf.$table DROP gone");
}
my $check = q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'tables'};
is($session->value($check), 't|the tables of schema domowf are there',
	'columns that somebody adds: no fault');
$id = enqueue('with columns', key => q{'with columns'});
is($session->outcome($id), 'done', '... requests are done');
is($session->value("SELECT mine IS NULL FROM domowf.log WHERE id = $id"),
	't', '... the columns are null');
is($session->value("SELECT mine IS NULL FROM domowf.key WHERE request_id = $id"),
	't', '... also with a key');
is($session->run(Domowf->start_sql('model'))->{sqlstate}, '', '... calls, too');
$domo->script('reset-after', count => 1, contains => '"kept"');
$id = enqueue('kept', run_at => $hour);
$session->value("UPDATE domowf.queue SET mine = 7 WHERE id = $id");
$session->value("SELECT domowf_retry($id)");
is($session->outcome($id), 'in_doubt', 'a request that somebody has noted');
is($session->value("SELECT mine FROM domowf.queue WHERE id = $id"),
	'7', '... keeps what was noted');
$session->value('SET enable_seqscan = off');
is( $session->value(q{SELECT count(*) FROM domowf.queue
		WHERE order_key IS NULL AND state = 'in_doubt'}),
	1, '... an index of their own finds it');
is( $session->value(q{SELECT count(*) FROM domowf.log
		WHERE request->'data'->>'n' = 'with columns'}),
	1, '... also one of expressions');
$session->value('RESET enable_seqscan; DROP INDEX domowf.mine, domowf.ours');
$session->value("SELECT domowf_discard($id)");

# what demands more is refused before anything is sent; each has words of its
# own, since what was said is not said again for a minute
my $sent = $domo->stats->{requests};
foreach my $demand ('ADD wrong int DEFAULT 1', 'ADD wrong int NOT NULL',
	q{ADD made text GENERATED ALWAYS AS ('x') STORED})
{
	my $pid = worker();
	$offset = Domowf->log_size($node);
	$session->value('DELETE FROM domowf.log') if $demand =~ /NOT NULL/;
	$session->value("ALTER TABLE domowf.log $demand");
	my ($column) = $demand =~ /ADD (\w+)/;
	my $words = $demand =~ /NOT NULL/ ? 'is NOT NULL' : 'has a default';
	my $got = $session->run(Domowf->start_sql('model'));

	is($got->{sqlstate}, '55000', "$demand: a call is refused");
	is($got->{message}, qq(column "$column" of table domowf.log $words),
		'... it says why');
	$got = $session->run("SELECT domowf_start_all(ARRAY[jsonb_build_object("
		  . "'messageName', 'm', 'version', '1', 'modelId', 'model',"
		  . " 'data', '{}'::jsonb)])");
	is($got->{sqlstate}, '55000', '... and so is domowf_start_all');
	is($session->value($check),
		qq(f|column "$column" of table domowf.log $words),
		'... domowf_check says so');
	$id = enqueue("for later, $column $words");
	$node->wait_for_log(qr/\[$pid\] ERROR:  column "$column" .* $words/, $offset);
	is($session->request($id), 'queued', '... the worker sends nothing');
	is($domo->stats->{requests}, $sent, '... as Domo knows');
	$session->value("ALTER TABLE domowf.log DROP $column");
	is($session->outcome($id), 'done', '... but when it is gone');
	$sent = $domo->stats->{requests};
}
is($session->run(Domowf->start_sql('model'))->{sqlstate}, '',
	'... and all is well without the column');

# ---- a log that cannot be written now

$person->run('BEGIN; LOCK TABLE domowf.log IN SHARE MODE');
$sent = $domo->stats->{requests};
$session->run("SET lock_timeout = '50ms'");
is($session->run(Domowf->start_sql('model'))->{sqlstate},
	'55P03', 'a call waits for the log before it is made');
is($domo->stats->{requests}, $sent, '... not afterwards');
$session->run('RESET lock_timeout');
$person->run('COMMIT');

# ---- nothing is held while the network is

my $worker = worker();
@ids = hang('holds nothing', 1);
is( $session->value(
		"SELECT a.xact_start IS NULL AND a.backend_xmin IS NULL
			AND a.backend_xid IS NULL, string_agg(l.locktype, ' ')
		FROM pg_stat_activity a JOIN pg_locks l USING (pid)
		WHERE pid = $worker GROUP BY 1"),
	't|userlock',
	'no transaction, snapshot or lock while the network is waited for');
foreach my $process ('worker', 'launcher')
{
	my $pid = $session->value('SELECT pid FROM pg_stat_activity'
		  . " WHERE backend_type = 'domowf $process'");

	$offset = Domowf->log_size($node);
	$session->value("SELECT pg_log_backend_memory_contexts($pid)");
	$node->wait_for_log(qr/\[$pid\] LOG:  logging memory contexts/, $offset);
	is($session->request($ids[0]), 'sending', "... and the $process serves interrupts");
}
$domo->release('holds nothing');
is($session->outcome($ids[0]), 'done', '... it ends as usual');

# ---- rows in `sending` that a person has locked

$offset = Domowf->log_size($node);
@ids = hang('locked', 6);
$person->run('BEGIN');
is( $person->value(
		"SELECT count(*) FROM (SELECT id FROM domowf.queue"
		  . " WHERE id < $ids[5] FOR UPDATE) q"),
	5,
	'a person locks rows that are being sent');
$domo->release('locked');
is($session->outcome($ids[5]), 'done', '... the one that is not locked is settled');
$start = time;
is($session->outcome(enqueue("beside $_")), 'done', '... others are sent meanwhile')
  foreach 1 .. 10;
cmp_ok(time - $start, '<', SOON, '... without much delay');
is($session->request($_), 'sending', '... the locked ones wait') foreach @ids[ 0 .. 4 ];
$node->wait_for_log(qr/lock timeout/, $offset);
$person->run('COMMIT');
is($session->outcome($_), 'done', '... until they are let go') foreach @ids[ 0 .. 4 ];
is($domo->arrived("locked $_"), 1, '... each was sent once') foreach 1 .. 6;
is(worker(), $worker, '... by the same worker');
is( scalar(
		my @lines = Domowf->log_since($node, $offset) =~ /lock timeout/g),
	1,
	'... which has said so once');

# ---- an order key whose next request a person has locked

$domo->script('gate:order', count => 1, contains => 'order 1');
@ids = map { enqueue("order $_", order_key => q{'o'}) } 1 .. 2;
$domo->wait_for(held => 1);
$person->run('BEGIN');
$person->value("SELECT id FROM domowf.queue WHERE id = $ids[1] FOR UPDATE");
$domo->release('order');
is($session->outcome($ids[0]), 'done', 'a locked row does not hold up the one before it');
$id = enqueue('expires', run_at => $hour, expires_at => 'clock_timestamp()');
is($session->outcome($id), 'expired', '... nor what is done at times');
$person->run('COMMIT');
is($session->outcome($ids[1]), 'done', '... and it goes when it is let go');

# ---- a worker that starts while rows in `sending` are locked

@ids = hang('recovered', 2);
$person->run('BEGIN');
$person->value("SELECT id FROM domowf.queue WHERE id = $ids[0] FOR UPDATE");
$session->value("SELECT pg_terminate_backend($worker, 100000)");
is($session->outcome($ids[1]), 'in_doubt', 'a new worker recovers what it can');
is($session->outcome(enqueue('beside recovered')), 'done', '... and sends');
is($session->request($ids[0]), 'sending', '... what is locked waits');
$person->run('COMMIT');
is($session->outcome($ids[0]), 'in_doubt', '... and is recovered when it is let go');
$domo->close_all;
is($domo->arrived("recovered $_"), 1, '... each was sent once') foreach 1, 2;
$worker = worker();

# ---- a table that a person has locked

foreach my $table (qw(queue log key state))
{
	my $lock = $table eq 'state' ? 'ACCESS EXCLUSIVE' : 'SHARE';

	@ids = hang("table $table", 1);
	$person->run("BEGIN; LOCK TABLE domowf.$table IN $lock MODE");
	if ($table eq 'state')
	{
		# it wants to read that, too
		$session->value('SELECT pg_reload_conf()');
		ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pid = $worker"),
			'the worker waits for domowf.state');
	}
	$domo->release("table $table");
	# what goes on does so while the lock is held, however busy the machine is
	is( $session->value(sprintf q{SELECT state FROM domowf_wait(%d, '%s')},
			$ids[0], $table =~ /queue|log/ ? '700 ms' : '170 s'),
		$table =~ /queue|log/ ? 'sending' : 'done',
		"LOCK TABLE domowf.$table: the worker "
		  . ($table =~ /queue|log/ ? 'waits' : 'goes on'));
	$session->value('SELECT pg_reload_conf()') if $table eq 'state';
	$person->run('COMMIT');
	is($session->outcome($ids[0]), 'done', '... and goes on afterwards');
	is($domo->arrived("table $table 1"), 1, '... it was sent once');
}
is(worker(), $worker, '... all by the same worker');

$person->run('BEGIN; DROP EXTENSION domowf CASCADE');
@ids = ();
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks
	WHERE NOT granted AND pid = } . $worker);
$person->run('ROLLBACK');
is($session->outcome(enqueue('not dropped')),
	'done', 'DROP EXTENSION that is rolled back: the worker goes on');
is(worker(), $worker, '... the same one');

# ---- maintenance under traffic

$session->value(q{SELECT count(domowf_enqueue('plain',
	jsonb_build_object('n', 'later ' || g), run_at => now() + interval '1 hour'))
	FROM generate_series(1, 200) g});
my $traffic = Domowf->session($node);
$traffic->send(<<'END');
DO $$ BEGIN
	FOR i IN 1 .. 300 LOOP
		PERFORM domowf_enqueue('plain',
			jsonb_build_object('n', 'traffic', 'i', i));
		COMMIT;
	END LOOP;
END $$
END
foreach my $command (
	(map { "VACUUM FULL domowf.$_" } qw(queue log key state)),
	(map { ("REINDEX TABLE domowf.$_", "REINDEX TABLE CONCURRENTLY domowf.$_") }
		  qw(queue log key)),
	'CLUSTER domowf.queue USING queue_pkey',
	'ANALYZE domowf.queue, domowf.log',
	'VACUUM (FREEZE) domowf.queue')
{
	is($person->run($command)->{sqlstate}, '', "$command under traffic");
}
is($traffic->wait->{sqlstate}, '', 'the traffic has ended');
$traffic->quit;
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 300 FROM domowf.log
			WHERE request->'data'->>'n' = 'traffic' AND outcome = 'done'}),
	'... all is done');
my $count = $domo->count(
	by => 'data.i', contains => '"traffic"', executed => 1);
is_deeply([ @$count{qw(total distinct max)} ],
	[ 300, 300, 1 ], '... each exactly once');
is($session->value('SELECT count(*) FROM domowf.queue'),
	202, '... and the rest is still there');
is(worker(), $worker, '... by the same worker');

# rows that somebody takes away
@ids = hang('truncated', 2);
$offset = Domowf->log_size($node);
is($person->run('TRUNCATE domowf.queue')->{sqlstate},
	'', 'TRUNCATE while requests hang');
$domo->release('truncated');
$node->wait_for_log(
	qr/domowf: request $_ is no longer what was sent; its outcome is dropped/,
	$offset)
  foreach @ids;
is($session->outcome(enqueue('after TRUNCATE')), 'done', '... and the worker goes on');
is(worker(), $worker, '... the same one');

# ---- those who need it to leave

$session->value('CREATE DATABASE two');
$node->safe_psql('two', 'CREATE EXTENSION domowf');
$node->safe_psql('two', q{INSERT INTO domowf.workflow (name, model_id, version,
	message_name) VALUES ('plain', 'model', '1.0.0', 'Start it')});
$domo->script('gate:forced', count => 8, contains => '"forced"');
$node->safe_psql('two', q{SELECT count(domowf_enqueue('plain',
	'{"n": "forced"}')) FROM generate_series(1, 8)});
$domo->wait_for(held => 8);
my $other = Domowf->session($node, dbname => 'two');
$other->run('BEGIN');
is($other->value('SELECT count(*) FROM (SELECT FROM domowf.queue FOR UPDATE) q'),
	8, 'a person locks all that is being sent');
$domo->release('forced');
$node->poll_query_until('two',
	q{SELECT last_error ~ 'lock timeout' FROM domowf.worker});
$start = time;
is($session->run('DROP DATABASE two WITH (FORCE)')->{sqlstate},
	'', '... DROP DATABASE');
cmp_ok(time - $start, '<', SOON, '... is quick');
$other->quit;

@ids = hang('shutdown', 8);
$person->run('BEGIN');
$person->value(
	'SELECT count(*) FROM (SELECT FROM domowf.queue FOR UPDATE) q');
$domo->release('shutdown');
$node->poll_query_until('postgres',
	q{SELECT last_error ~ 'lock timeout' FROM domowf.worker});
$session->quit;
$start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', SOON, '... and so is a shutdown');
$person->quit;
$node->start;
$session = Domowf->session($node);
is($session->outcome($_), 'done', '... what was answered is settled before it ends')
  foreach @ids;
is($domo->arrived("shutdown $_"), 1, '... and was sent once') foreach 1 .. 8;

# ---- who asks why nothing gets on does not wait for the same lock

$person = Domowf->session($node);
$session->value(q{SET statement_timeout = '100s'});
foreach my $table (split /\n/, $session->value(q{SELECT oid::regclass FROM pg_class
	WHERE relnamespace = 'domowf'::regnamespace AND relkind = 'r' ORDER BY 1}))
{
	$person->value("BEGIN; LOCK TABLE $table");
	is($session->run('SELECT FROM domowf_check()')->{sqlstate}, '',
		"domowf_check() while $table is locked");
	$person->value('ROLLBACK');
}
$person->quit;

# ---- the extension is dropped while somebody looks whether it is as it was made,
# between any two of the looks at catalogs that this takes

$session->value('CREATE DATABASE dropped');
my $dropper = Domowf->session($node, dbname => 'dropped');
my $told = qr/^(?:|55000|42883)$/;
foreach my $catalog (qw(pg_namespace pg_class pg_attribute pg_depend pg_extension
	pg_index pg_proc pg_trigger))
{
	$dropper->value('CREATE EXTENSION domowf');
	my %asking = map { $_ => Domowf->session($node, dbname => 'dropped') }
	  ('SELECT ok FROM domowf_check()', q{SELECT domowf_enqueue('plain', '{}')});

	# the schema's name is known, but of its row no more than where such rows are
	$_->value(q{SELECT to_regclass('domowf.nothing'), text(regnamespace(11::oid))})
	  foreach values %asking;
	$dropper->value("BEGIN; DROP EXTENSION domowf CASCADE; LOCK TABLE $catalog");
	$asking{$_}->send($_) foreach keys %asking;
	until_waiting($dropper, $_) foreach values %asking;
	$dropper->value('COMMIT');
	foreach my $statement (sort keys %asking)
	{
		my $got = $asking{$statement}->wait;

		like($got->{sqlstate}, $told, "dropped, $catalog locked: $statement")
		  or diag $got->{err};
		$asking{$statement}->quit;
	}
}
$dropper->quit;

# Waits until it waits for a lock, or has its answer.
sub until_waiting
{
	my ($by, $other) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $other->is_answered;
		return
		  if $by->value('SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pid = '
			  . $other->pid) eq 't';
		$by->value('SELECT pg_sleep(0.1)');
	}
	die 'it neither waits nor answers';
}

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
