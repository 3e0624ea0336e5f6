
# What polls of tracked instances cost: nothing that is sent waits for one, many
# instances cost their polls and no more, and a crash at any point costs a poll.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new;
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . Domowf::POLLED_WHEN_DUE . <<'END');
domowf.track_instances = on
domowf.poll_interval = '100ms'
restart_after_crash = on
domowf.max_connections = 8
END
my $session = Domowf->session($node);
my ($polled_when_due) = Domowf::POLLED_WHEN_DUE =~ /'(.*)'/;
my ($id, $instance, @ids);

$session->value(q{INSERT INTO domowf.workflow (name, model_id, version, message_name, track)
	VALUES ('followed', 'm', '1.0.0', 's', true), ('plain', 'm', '1.0.0', 's', false)});

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub start
{
	my ($n) = @_;
	my $request = $session->enqueue('followed', $n);

	$session->outcome($request);
	return ($request, $session->request($request, 'instance_id'));
}

# Makes instances, tracked as if requests had started them.
sub track
{
	my ($count, $instance_of, $due) = @_;

	$session->value(qq{WITH n AS (SELECT nextval('domowf.request_id') AS id, g
			FROM generate_series(1, $count) g),
		l AS (INSERT INTO domowf.log (id, operation, outcome, origin, attempts, instance_id,
			requested_by, requested_by_oid, settled_at, batch)
			SELECT id, 'start', 'done', 'request', 1, $instance_of, current_user,
				current_user::regrole, now(), pg_current_xact_id() FROM n)
		INSERT INTO domowf.tracked (request_id, instance_id, lane, due, tries, started_at)
			SELECT id, $instance_of, (SELECT min(lane) FROM domowf.tracked), $due, 0, now() FROM n});
	return;
}

sub due_now
{
	return $session->value(q{UPDATE domowf.tracked SET due = now() WHERE due > now()});
}

sub reads
{
	return scalar $domo->record(operation => 'read');
}

# ---- at most a quarter, and nothing waits for it

start('first');
track(20, q{'scenario:gate:polls'}, 'now()');
ok($domo->wait_for(held => 2), 'polls take a quarter');
@ids = map { $session->enqueue('plain', "beside $_") } 1 .. 20;
is($session->outcome($ids[-1]), 'done', 'what is sent goes beside them');
ok($domo->wait_for(held => '=2'), '... and they are no more than that');
$domo->script('gate:sends', operation => 'start', contains => 'all', count => 8);
my $asked = $domo->record(operation => 'start') + 8;
$session->enqueue('plain', "all $_") foreach 1 .. 8;
ok($domo->wait_for(requests => $asked, operation => 'start') && $domo->wait_for(held => '=8'),
	'what is to be sent gets all the places');
is(scalar(grep { !defined $_->{ended} } $domo->record(operation => 'start')), 8,
	'... those of polls included');
is(scalar(grep { !defined $_->{ended} } $domo->record(operation => 'read')), 0,
	'... which are given up');
is($session->value(q{SELECT count(*) FROM domowf.tracked WHERE error IS NOT NULL}), 0,
	'... and that is no failure');
$domo->release('sends');
ok($domo->wait_for(held => '=2'), 'then they are made again');
$session->configure('domowf.max_connections', 1);
ok(Domowf->until_taken_up($node), 'a single place');
is($session->outcome($session->enqueue('plain', 'alone')), 'done', 'a request gets it at once');
$session->configure('domowf.max_connections', 8);
$domo->release('polls');
until_true(q{SELECT count(*) = 0 FROM domowf.tracked WHERE due <= now()}, 'all have been polled');
cmp_ok(scalar $domo->record(operation => 'read', status => 200), '>=', 20, '... and answered');

# ---- the rate

$session->value(q{DELETE FROM domowf.tracked WHERE instance_id LIKE 'scenario%'});
$session->configure('domowf.rate_limit', 2);
ok(Domowf->until_taken_up($node), 'a rate');
my $before = reads();
track(10, q{'scenario:normal'}, 'now()');
ok($domo->wait_for(requests => $before + 1, operation => 'read'), 'a poll counts in the rate');
is($session->outcome($session->enqueue('plain', 'rated')), 'done', '... but no request waits for it');
cmp_ok(reads(), '<=', $before + 1, '... which polls do');
$session->configure('domowf.rate_limit', 0);
until_true(q{SELECT count(*) = 0 FROM domowf.tracked WHERE due <= now()}, '... and go on then');

# ---- rest: a 429 is about the token, all else about polls alone

$session->configure('domowf.retry_base', '2h');
$session->configure('domowf.retry_cap', '2h');
ok(Domowf->until_taken_up($node), 'long rests');
$domo->script('status:500', operation => 'read', count => undef);
due_now();
until_true(q{SELECT count(*) >= 3 FROM domowf.tracked WHERE error ~ '500'}, 'polls fail side by side');
is($session->outcome($session->enqueue('plain', 'in spite')), 'done', '... which no request rests for');
$before = reads();
track(5, q{'scenario:normal'}, 'now()');
is($session->outcome($session->enqueue('plain', 'in spite 2')), 'done', '... nor later');
is(reads(), $before, '... but polls do');
$domo->clear_script;
$session->value('SELECT domowf_resume()');
until_true(q{SELECT count(*) = 0 FROM domowf.tracked WHERE due <= now()}, 'domowf_resume() ends that');
$domo->script('status:401', operation => 'read', count => undef);
due_now();
until_true(q{SELECT count(*) >= 1 FROM domowf.tracked WHERE error ~ '401'}, 'the token is refused for polls');
is($session->outcome($session->enqueue('plain', 'in spite of a 401')), 'done', '... which no request rests for');
$before = reads();
track(5, q{'scenario:normal'}, 'now()');
is($session->outcome($session->enqueue('plain', 'in spite of a 401, 2')), 'done', '... nor later');
is(reads(), $before, '... but polls do');
$domo->clear_script;
$session->value('SELECT domowf_resume()');
until_true(q{SELECT count(*) = 0 FROM domowf.tracked WHERE due <= now()}, 'domowf_resume() ends that, too');
$domo->script('status:429', operation => 'read');
due_now();
until_true(q{SELECT state = 'paused' AND reason ~ '429' FROM domowf.connection}, 'after a 429 all rests');
$before = reads();
$id = $session->enqueue('plain', 'after 429');
is($session->value("SELECT w.state FROM domowf_wait($id, '300 ms') w"), 'queued', '... requests, too');
is(reads(), $before, '... and polls');
$session->value('SELECT domowf_resume()');
is($session->outcome($id), 'done', '... until somebody resumes');
$session->value(q{SELECT domowf_pause('test')});
until_true(q{SELECT state = 'paused' FROM domowf.worker}, 'paused');
$before = reads();
due_now();
is($session->value(q{SELECT pg_sleep(0) IS NULL, count(*) > 0 FROM domowf.tracked WHERE due <= now()}),
	'f|t', '... nothing is polled');
$session->configure('domowf.retry_base', '10ms');
$session->configure('domowf.retry_cap', '50ms');
is(reads(), $before, '... really');
$session->value('SELECT domowf_resume()');
until_true(q{SELECT count(*) = 0 FROM domowf.tracked WHERE due <= now()}, '... until it is resumed');

# ---- a hundred thousand cost their polls

track(100_000, q{'scenario:normal'}, q{now() + interval '10 min' + g * interval '1 ms'});
$session->value('VACUUM ANALYZE domowf.tracked');
$session->value('VACUUM ANALYZE domowf.log');
track(3, q{'scenario:normal'}, 'now()');
until_true(q{SELECT count(*) = 0 FROM domowf.tracked WHERE due <= now()}, 'some of many are polled');
my $read_sql = q{SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
	WHERE indexrelname = 'tracked_lane')};
# what it has read until now, past rows that were not committed yet, is told first
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
until_true('SELECT pid IS NOT NULL FROM domowf.worker', 'a worker that has told nothing');
$session->value('SELECT pg_stat_reset()');
track(3, q{'scenario:normal'}, 'now()');
until_true(q{SELECT count(*) = 0 FROM domowf.tracked WHERE due <= now()}, 'some more are');
# at its end a worker tells what it has read
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
until_true(q{SELECT idx_tup_read > 0 FROM pg_stat_user_indexes WHERE indexrelname = 'tracked_lane'},
	'... by the index');
cmp_ok($session->value($read_sql), '<', 5_000, '... which is read as far as what is due');

# ---- limits and connections that change

# what was sent while nobody polled is no debt where the limit is lowered
$session->value(q{DELETE FROM domowf.tracked});
$session->configure('domowf.rate_limit', 60_000);
ok(Domowf->until_taken_up($node), 'a high limit');
($id, $instance) = start('before');
due_now();
until_true('SELECT tries > 0 FROM domowf.tracked', 'an instance is polled');
$session->value('DELETE FROM domowf.tracked');
$session->value(q{SELECT domowf_enqueue('plain', '{"n": "many"}') FROM generate_series(1, 3000)});
until_true(q{SELECT count(*) = 0 FROM domowf.queue}, '... and much is sent');
$session->configure('domowf.rate_limit', 60);
ok(Domowf->until_taken_up($node), 'a low one');
($id, $instance) = start('after');
due_now();
until_true('SELECT tries > 0 FROM domowf.tracked', '... and the next instance is polled as soon');
$session->value('DELETE FROM domowf.tracked');
$session->configure('domowf.rate_limit', 0);
ok(Domowf->until_taken_up($node), 'none');

# where connections cannot be looked through, the worker does not turn in vain
($id, $instance) = start('stale');
my $commits = q{SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'};
my $holder = Domowf->session($node);
$holder->value('BEGIN; LOCK TABLE pg_foreign_server IN ACCESS EXCLUSIVE MODE');
$session->value('SELECT pg_reload_conf()');
due_now();
$before = $session->value($commits);
my $waiting = $session->enqueue('plain', 'waits', run_at => q{now() + interval '1 hour'});
$session->value("SELECT domowf_wait($waiting, '2 s')");
cmp_ok($session->value($commits) - $before, '<', 500, 'servers are locked: it does not turn in vain');
$holder->value('ROLLBACK');
$holder->quit;
until_true('SELECT tries > 0 FROM domowf.tracked', '... and polls then');
$session->value("SELECT domowf_discard($waiting); DELETE FROM domowf.tracked");

# ---- locks, and what the log refuses

$session->value(q{DELETE FROM domowf.tracked});
$domo->set_states(undef, [ 'COMPLETED', 1 ]);
($id, $instance) = start('locked');
my $locker = Domowf->session($node);
$locker->value("BEGIN; LOCK domowf.tracked IN EXCLUSIVE MODE");
is($session->outcome($session->enqueue('plain', 'beside a lock')), 'done', 'a lock holds up polls alone');
$locker->value('COMMIT');
$locker->value("BEGIN; SELECT FROM domowf.log WHERE id = $id FOR UPDATE");
due_now();
ok($domo->wait_for(requests => 1, operation => 'read'), 'polled');
is($session->outcome($session->enqueue('plain', 'beside a row')), 'done', 'nor does a row of the log');
$locker->value('COMMIT');
until_true("SELECT instance_status = 'COMPLETED' FROM domowf.log WHERE id = $id", '... and is written then');
($id, $instance) = start('refused');
$session->value(q{ALTER TABLE domowf.log ADD CONSTRAINT mine CHECK (instance_status <> 'COMPLETED') NOT VALID});
my ($other, $other_instance) = start('not refused');
$domo->set_states($other_instance, [ 'FAILED', 1 ]);
due_now();
until_true("SELECT instance_status = 'FAILED' FROM domowf.log WHERE id = $other", 'what the log refuses stops no other');
until_true("SELECT error ~ 'could not be written' FROM domowf.tracked WHERE request_id = $id", '... and is told');
$session->value(q{ALTER TABLE domowf.log DROP CONSTRAINT mine});
due_now();
until_true("SELECT instance_status = 'COMPLETED' FROM domowf.log WHERE id = $id", '... and written in the end');

# ---- a step of the clock, as it leaves the table

($id, $instance) = start('long ahead');
$session->value(q{UPDATE domowf.tracked SET due = now() + interval '2 hours'});
until_true("SELECT instance_status = 'COMPLETED' FROM domowf.log WHERE id = $id",
	'what is due later than anything waits is due now');

# ---- crashes

foreach my $point ('after-poll', 'after-poll-reply', 'before-track')
{
	($id, $instance) = start("killed $point");
	my $old = $session->value('SELECT pid FROM domowf.worker');

	# not before the point is set
	$session->value(q{UPDATE domowf.tracked SET due = now() + interval '10 minutes'});
	Domowf->set_test_point($node, "$polled_when_due,$point=kill");
	ok(Domowf->until_taken_up($node), $point);
	due_now();
	wait_for_crash($old);
	Domowf->set_test_point($node, $polled_when_due);
	$session = again();
	ok(Domowf->until_taken_up($node), '... and no more');
	due_now();
	until_true("SELECT instance_status = 'COMPLETED' AND outcome = 'done' FROM domowf.log WHERE id = $id",
		"a crash at $point costs a poll");
	is($domo->started("killed $point"), 1, '... and starts nothing again');
}
($id, $instance) = start('restart');
$session->quit;
$node->restart;
$session = again();
due_now();
until_true("SELECT instance_status = 'COMPLETED' FROM domowf.log WHERE id = $id", 'it survives a restart');

# The server has taken all sessions with it.
sub wait_for_crash
{
	my ($old) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if !kill 0, $old;
		select undef, undef, undef, 0.05;
	}
	die "process $old lives";
}

sub again
{
	$node->poll_query_until('postgres', 'SELECT pid IS NOT NULL FROM domowf.worker');
	return Domowf->session($node);
}

is_deeply([ map { $_->{violations} } $domo->violations ], [], 'Domo had no complaints');
done_testing();
