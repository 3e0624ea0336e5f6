
# A stall never looks healthy: whatever keeps something that is due from being
# sent or settled for longer than domowf.stall_after is named by worker.state and
# by domowf_check(), and the server's log has one line, then one a minute.  What
# waits as it should is no stall, nor is a standby.  Exists because the worker
# was idle, and all checks were ok, while the disk was full or a standby dead.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# what the worker meets
Domowf->expect_in_log(qr/violates check constraint|lock timeout|no space is left/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	streaming => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.stall_after = '300ms'
domowf.drain_timeout = '0'
max_prepared_transactions = 5
END
my $session = Domowf->session($node);
my $locker = Domowf->session($node);
my ($id, $offset, $pid, $asked, $told, $began);

sub value { return $session->value($_[0]); }

sub worker_pid { return value('SELECT pid FROM domowf.worker'); }

$session->value('SET synchronous_commit = local');
$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it'),
	('gated', 'scenario:gate-executed:way', '1.0.0', 'Start it'),
	('hangs', 'scenario:hang', '1.0.0', 'Start it');
INSERT INTO domowf.workflow (name, model_id, version, message_name, track)
VALUES ('followed', 'model', '1.0.0', 'Start it', true)
END

# Waits until worker.state is like $pattern, and so is domowf_check(), with what
# to do; and the log has one line.
sub stalls
{
	my ($name, $pattern, $hint) = @_;

	ok($node->poll_query_until('postgres',
		"SELECT state ~ '^stalled: .*$pattern' FROM domowf.worker"), "$name: the state says so")
	  or diag(value('SELECT state FROM domowf.worker'));
	ok( $node->poll_query_until('postgres',
			"SELECT NOT ok AND detail ~ '^for \\d+ s .*$pattern.*$hint' FROM domowf_check()
				WHERE check_name = 'worker'"),
		'... so does the check, and what to do')
	  or diag(value(q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'worker'}));
	$told = $pattern;
	ok( eval {
			$node->wait_for_log(
				qr/LOG: .*worker of database "postgres" \(process \d+\) has not got on for \d+ s: .*$pattern/,
				$offset);
		},
		'... and the log');
	return;
}

# Starts over with what is told.
sub begin
{
	$offset = Domowf->log_size($node);
	$began = time;
	return;
}

# Waits until all is well again, the request too.  A machine may be so slow that
# there are more minutes than one, and that it is a stall itself.
sub gets_on
{
	my ($request) = @_;
	my $lines = () = Domowf->log_since($node, $offset) =~ /has not got on for \d+ s: .*$told/g;

	ok($lines >= 1 && $lines <= 1 + int((time - $began) / 60), '... in one line, one a minute')
	  or diag("$lines lines");
	is($session->outcome($request), 'done', '... and in the end it is done')
	  || diag($session->request($request, 'error')) if $request;
	ok( $node->poll_query_until('postgres',
			q{SELECT w.state IN ('idle', 'sending') AND c.ok FROM domowf.worker w,
				domowf_check() c WHERE check_name = 'worker'}),
		'... when all is well');
	return;
}

sub enqueue
{
	my ($workflow) = @_;

	return $session->enqueue($workflow, ++$asked);
}

# One that is in flight, and then answered.
sub send_one
{
	my $request = enqueue('gated');

	$domo->wait_for(held => '=1');
	return $request;
}

is($session->outcome(enqueue('it')), 'done', 'a request is done');
ok($node->poll_query_until('postgres', q{SELECT state = 'idle' FROM domowf.worker}), 'the worker is idle');

# ---- locks

foreach my $mode ('EXCLUSIVE', 'ACCESS EXCLUSIVE')
{
	begin();
	value('SELECT domowf_pause()');
	$node->poll_query_until('postgres', q{SELECT state = 'paused' FROM domowf.worker});
	$id = enqueue('it');
	$locker->value("BEGIN; LOCK TABLE domowf.queue IN $mode MODE");
	value('SELECT domowf_resume()');
	stalls("the queue is locked, $mode", 'a lock on table domowf.queue, held by process ' . $locker->pid,
		'End the transaction that holds it');
	$locker->value('ROLLBACK');
	gets_on($id);
}

begin();
$id = send_one();
$locker->value('BEGIN; LOCK TABLE domowf.log IN SHARE MODE');
$domo->release('way', 1);
stalls('the log is locked', 'a lock on table domowf.log, held by process ' . $locker->pid,
	'End the transaction');
$locker->value('ROLLBACK');
gets_on($id);

# who waits for a table keeps out whoever comes behind him
begin();
value('SELECT domowf_pause()');
$node->poll_query_until('postgres', q{SELECT state = 'paused' FROM domowf.worker});
$id = enqueue('it');
my $reader = Domowf->session($node);
$reader->value('BEGIN; LOCK TABLE domowf.queue IN ACCESS SHARE MODE');
value('SELECT domowf_resume()');
$locker->value('BEGIN');
$locker->send('LOCK TABLE domowf.queue IN ACCESS EXCLUSIVE MODE');
stalls('somebody waits for the queue, behind who reads it',
	'a lock on table domowf.queue, held by process ' . $locker->pid, 'End the transaction');
$reader->value('ROLLBACK');
$locker->wait;
$locker->value('ROLLBACK');
gets_on($id);

begin();
my @sharers = ($reader, $locker, map { Domowf->session($node) } 1 .. 2);
$id = send_one();
$_->value('BEGIN; LOCK TABLE domowf.log IN SHARE MODE') foreach @sharers;
$domo->release('way', 1);
stalls('many lock the log: three are named', 'a lock on table domowf.log, held by process \d+(, process \d+){2}(?!,)',
	'End the transaction');
$_->value('ROLLBACK') foreach @sharers;
gets_on($id);
$_->quit foreach grep { $_ != $locker } @sharers;

begin();
$locker->value('BEGIN; LOCK TABLE domowf.log IN SHARE MODE');
stalls('the log is locked, with nothing to send', 'is old cannot be looked at.*a lock on table domowf.log, held by process ' . $locker->pid,
	'End the transaction');
$locker->value('ROLLBACK');
gets_on();

begin();
$locker->value('BEGIN; LOCK TABLE domowf.return_entry IN ACCESS EXCLUSIVE MODE');
stalls('what is to be written back is locked',
	'to be written back cannot be looked at.*a lock on table domowf.return_entry, held by process ' . $locker->pid,
	'End the transaction');

# each task has what is in its own way, and in no other's
my $other_locker = Domowf->session($node);
$other_locker->value('BEGIN; LOCK TABLE domowf.log IN SHARE MODE');
ok($node->poll_query_until('postgres', <<'END'), '... whatever else it waits for');
SELECT w.state ~ 'written back cannot be looked at: it waits for a lock on table domowf.return_entry'
FROM domowf.worker w, pg_stat_activity a
WHERE a.pid = w.pid AND a.wait_event_type = 'Lock' AND a.query ~ 'has expired or is old'
END
$other_locker->value('ROLLBACK');
$other_locker->quit;
$locker->value('ROLLBACK');
gets_on();

begin();
$id = send_one();
$locker->value("BEGIN; SELECT FROM domowf.queue WHERE id = $id FOR UPDATE");
$domo->release('way', 1);
stalls('a row that cannot be written', 'came of requests.* held by process ' . $locker->pid, 'End the transaction');
$locker->value('ROLLBACK');
gets_on($id);

begin();
value('SELECT domowf_pause()');
$id = enqueue('it');
$locker->value("BEGIN; SELECT FROM domowf.queue WHERE id = $id FOR UPDATE; PREPARE TRANSACTION 'p'");
value('SELECT domowf_resume()');
stalls('a row that cannot be claimed', 'cannot be claimed: .*held by a prepared transaction', 'pg_prepared_xacts');
is($session->outcome(enqueue('it')), 'done', '... while others can');
$locker->value(q{ROLLBACK PREPARED 'p'});
gets_on($id);

begin();
$locker->value('BEGIN; LOCK TABLE domowf.queue IN EXCLUSIVE MODE');
$pid = worker_pid();
value("SELECT pg_terminate_backend($pid, 60000)");
stalls('a worker that cannot start', 'before it begins.* held by process ' . $locker->pid, 'End the transaction');
$locker->value('ROLLBACK');
gets_on(enqueue('it'));

begin();
$id = enqueue('hangs');
$node->poll_query_until('postgres', 'SELECT in_flight = 1 FROM domowf.worker')
  or die 'it is not sent';
$locker->value("BEGIN; SELECT FROM domowf.queue WHERE id = $id FOR UPDATE");
$pid = worker_pid();
value("SELECT pg_terminate_backend($pid, 60000)");
stalls('a row that a dead worker left is locked', 'worker before.* locked it', 'pg_stat_activity');
$locker->value('ROLLBACK');
is($session->outcome($id), 'in_doubt', '... and is in doubt when it no longer is');
value("SELECT domowf_discard($id)");
gets_on();

# ---- a poll has told something that cannot be written

begin();
Domowf->set_test_point($node, 'poll-wait=900000');
$session->configure('domowf.track_instances', 'on');
Domowf->until_taken_up($node) or die 'not taken up';
$domo->set_states(undef, [ 'COMPLETED', 1 ]);
$id = enqueue('followed');
is($session->outcome($id), 'done', 'an instance that is followed');
$locker->value("BEGIN; SELECT FROM domowf.log WHERE id = $id FOR UPDATE");
value('UPDATE domowf.tracked SET due = now()');
stalls('a row of the log that a poll cannot write', 'become of tracked instances.*another transaction has locked it',
	'pg_stat_activity');
is($session->outcome(enqueue('it')), 'done', '... while requests are sent');
$locker->value('ROLLBACK');
gets_on();
is($session->request($id, 'instance_status'), 'COMPLETED', '... and it is written');
is(scalar $domo->record(operation => 'read'), 1, '... for which it was polled once');

begin();
$domo->set_states(undef, [ 'IN_PROGRESS', 1 ]);
$id = enqueue('followed');
is($session->outcome($id), 'done', 'one more');
value(q{ALTER TABLE domowf.tracked ADD CONSTRAINT untried CHECK (tries = 0)});
value('UPDATE domowf.tracked SET due = now()');
stalls('a poll that is refused in either form', 'become of tracked instances.*error 23514: .*"untried"', '');
my $other = enqueue('followed');
is($session->outcome($other), 'done', '... while another');
value(qq{ALTER TABLE domowf.tracked DROP CONSTRAINT untried,
	ADD CONSTRAINT untried CHECK (tries = 0 OR request_id <> $id)});
value("UPDATE domowf.tracked SET due = now() WHERE request_id = $other");
ok($node->poll_query_until('postgres', "SELECT tries > 0 FROM domowf.tracked WHERE request_id = $other"),
	'... is polled, and that written');
like(value('SELECT state FROM domowf.worker'), qr/error 23514: .*"untried"/, '... which does not hide it');
value(q{ALTER TABLE domowf.tracked DROP CONSTRAINT untried});
value('DELETE FROM domowf.tracked');
$session->set_worker($_) foreach qw(off on);	# it tries again after a minute only

# ---- what is switched off is not waited for

foreach my $case ([ 'tracked', 'track_instances', 'tracked instances' ], [ 'return_entry', 'returns', 'written back' ])
{
	my ($table, $setting, $words) = @$case;

	$locker->value("BEGIN; LOCK TABLE domowf.$table IN ACCESS EXCLUSIVE MODE");
	ok($node->poll_query_until('postgres', "SELECT state ~ '^stalled: .*$words' FROM domowf.worker"),
		"domowf.$table is locked");
	$session->configure("domowf.$setting", 'off');
	Domowf->until_taken_up($node) or die 'not taken up';
	ok($node->poll_query_until('postgres', q{SELECT state = 'idle' FROM domowf.worker}),
		"... and domowf.$setting is off: that is no stall");
	$locker->value('ROLLBACK');
	$session->configure("domowf.$setting", 'on');
	Domowf->until_taken_up($node) or die 'not taken up';
}
$locker->value('BEGIN; LOCK TABLE domowf.tracked IN ACCESS EXCLUSIVE MODE');
ok($node->poll_query_until('postgres', q{SELECT state ~ '^stalled: .*tracked instances' FROM domowf.worker}),
	'domowf.tracked is locked');
value('SELECT domowf_pause()');
ok($node->poll_query_until('postgres', q{SELECT state = 'paused' FROM domowf.worker}),
	'... and all is paused: that is no stall');
value('SELECT domowf_resume()');
$locker->value('ROLLBACK');
Domowf->set_test_point($node, '');

# ---- what the worker has in hand itself

# two are left over of what was read, when an earlier one of the lane is committed:
# one of them is read again and picked twice
$session->configure($_->[0], $_->[1]) foreach [ 'domowf.poll_interval', '5s' ],
  [ 'domowf.stall_after', '1s' ], [ 'domowf.max_connections', 4 ];
Domowf->until_taken_up($node) or die 'not taken up';
$locker->value('BEGIN');
$locker->enqueue('gated', ++$asked);
my @gated = split /\n/, value(q{SELECT domowf_enqueue('gated') FROM generate_series(1, 6)});
$domo->wait_for(held => '=4');
$locker->value('COMMIT');
$session->configure('domowf.max_connections', 8);
$domo->wait_for(held => '=7');
my $later = $session->enqueue('it', ++$asked, run_at => q{now() + interval '1 hour'});
value("SELECT domowf_wait($later, '2 s')");
is(value('SELECT state FROM domowf.worker'), 'sending', 'a request that was picked twice in a turn is no stall');
$domo->release('way', 7);
is($session->outcome($_), 'done', '... and is done') foreach @gated;
value("SELECT domowf_discard($later)");
$session->configure($_->[0], $_->[1]) foreach [ 'domowf.poll_interval', '200ms' ], [ 'domowf.stall_after', '300ms' ];
Domowf->until_taken_up($node) or die 'not taken up';

# ---- a standby that does not answer

sub lose_standby
{
	$node->append_conf('postgresql.auto.conf', "synchronous_standby_names = 'nobody'\n");
	$node->reload;
	Domowf->until_commits_wait($node);
	return;
}

sub find_standby
{
	$node->append_conf('postgresql.auto.conf', "synchronous_standby_names = ''\n");
	$node->reload;
	return;
}

begin();
lose_standby();
$id = enqueue('it');
stalls('a standby that does not answer', 'claimed: it waits for a synchronous standby', 'synchronous_standby_names');
find_standby();
gets_on($id);

begin();
$id = send_one();
lose_standby();
$domo->release('way', 1);
stalls('... when it is to be settled', 'it waits for a synchronous standby', 'synchronous_standby_names');
find_standby();
gets_on($id);

# ---- a full disk

begin();
Domowf->set_test_point($node, 'before-commit=disk-full');
Domowf->until_taken_up($node) or die 'not taken up';
$id = enqueue('it');
stalls('a full disk', 'the disk is full', 'Make room');
Domowf->set_test_point($node, '');
gets_on($id);

# ---- an error that comes again

begin();
Domowf->set_test_point($node, 'before-settle=error');
Domowf->until_taken_up($node) or die 'not taken up';
$id = enqueue('it');
stalls('an error that comes again', 'came of requests cannot be written: error XX000: test point', 'tried again');
$node->safe_psql('postgres', q{CREATE ROLE watcher; GRANT USAGE ON SCHEMA domowf TO watcher; GRANT SELECT ON domowf.worker TO watcher});
is($node->safe_psql('postgres', 'SET ROLE watcher; SELECT state FROM domowf.worker'),
	'stalled: what came of requests cannot be written: error XX000',
	'... not what it tells of a request, to who may not see that');
Domowf->set_test_point($node, '');
gets_on($id);

begin();
value('SELECT domowf_pause()');
$id = enqueue('it');
value(q{ALTER TABLE domowf.queue ADD CONSTRAINT mine CHECK (state <> 'sending') NOT VALID});
value('SELECT domowf_resume()');
ok( $node->poll_query_until('postgres',
		q{SELECT last_error ~ 'mine' FROM domowf.worker}),
	'a constraint of somebody\'s that refuses a claim: the worker names it');
stalls('... which is a stall',
	'a request that is due cannot be claimed: error 23514: .*mine', 'Mend what refuses it');
is($session->request($id, q{error ~ 'mine'}), 't', '... and so does the request');
value('ALTER TABLE domowf.queue DROP CONSTRAINT mine');
gets_on($id);

# ---- a worker that does not run

begin();
$pid = worker_pid();
kill 'STOP', $pid;
# it may be at anything, or at nothing, when it is stopped
stalls('a worker that does not run', 'its process does not run', 'was stopped');
kill 'CONT', $pid;
gets_on(enqueue('it'));

# ---- what is no stall

# Waits for as long as a stall would take to be one, and until the state is this:
# a stall would stay one, but a slow machine may look like one for a moment.
sub is_after_a_while
{
	my ($state, $name) = @_;
	my $now = value('SELECT clock_timestamp()');

	return ok($node->poll_query_until('postgres',
			"SELECT clock_timestamp() > '$now'::timestamptz + interval '900 ms'
				AND state = '$state' FROM domowf.worker"), $name);
}

begin();
$id = send_one();
$node->append_conf('postgresql.auto.conf', "domowf.rate_limit = 1\n");
$node->reload;
my @waiting = map { enqueue('it') } 1 .. 2;
is_after_a_while('sending', 'a slow Domo is no stall, nor a rate limit');
$node->append_conf('postgresql.auto.conf', "domowf.rate_limit = 0\ndomowf.max_connections = 1\n");
$node->reload;
is_after_a_while('sending', '... nor that all connections are in use');
$domo->release('way', 1);
is($session->outcome($_), 'done', '... and it is done') foreach ($id, @waiting);
$id = $session->enqueue('it', 'later', run_at => q{now() + interval '1 hour'}, order_key => q{'k'});
$session->enqueue('it', 'behind', order_key => q{'k'});
is_after_a_while('idle', '... nor what is meant for later, or stands behind that');
value('SELECT domowf_pause()');
enqueue('it');
is_after_a_while('paused', '... nor a pause');
value('SELECT domowf_resume()');
unlike(Domowf->log_since($node, $offset), qr/has not got on for \d+ s: (?!nothing is heard)/,
	'... and the log has nothing of it');

# ---- no worker

$node->append_conf('postgresql.auto.conf', "domowf.worker = off\n");
$node->reload;
$node->poll_query_until('postgres', q{SELECT state = 'stopped' FROM domowf.worker});
is(value(q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'worker'}),
	'f|domowf.worker is off', 'without a worker the check is not ok');
$node->append_conf('postgresql.auto.conf', "domowf.worker = on\n");
$node->reload;

# ---- a standby

$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
ok($standby->poll_query_until('postgres', q{SELECT count(*) = 0 FROM domowf_check() WHERE NOT ok}),
	'on a standby all is ok');
like($standby->safe_psql('postgres', q{SELECT detail FROM domowf_check() WHERE check_name = 'worker'}),
	qr/standby, which sends nothing/, '... and the check says why');
$standby->stop;

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach ($session, $locker);
$node->stop;
done_testing();
