
# Nobody stops another: a workflow that fails rests alone, roles and workflows
# take turns, a time in the past is no priority; and an outage, which many lanes
# see, is still paid for by a handful of requests.  Exists because one role's
# broken workflow held up everybody's.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# As in t/268_outage: three in a row, what was in flight meanwhile, and one for
# each pause.
use constant IN_FLIGHT => 8;
use constant PROBES => 6;
use constant HANDFUL => 3 + 2 * IN_FLIGHT + 2 * PROBES;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => <<'END');
domowf.retry_base = '2h'
domowf.retry_cap = '2h'
domowf.poll_interval = '200ms'
END
my $session = Domowf->session($node);
my (@entries, $got, $id);

$session->value(<<'END');
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT EXECUTE ON FUNCTION domowf_enqueue, domowf_enqueue_call, domowf_wait
	TO alice, bob;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
SELECT n, 'model', '1.0.0', 'Start it'
FROM unnest(ARRAY['broken', 'good', 'w1', 'w2', 'w3', 'w4', 'w5']) n
END
my ($alice, $bob) = map { Domowf->session($node, user => $_) } qw(alice bob);

# Enqueues many starts at once.
sub enqueue_many
{
	my ($role, $workflow, $what, $count) = @_;

	$role->value("SELECT count(domowf_enqueue('$workflow',"
		  . " jsonb_build_object('n', '$what ' || g)))"
		  . " FROM generate_series(1, $count) g");
	return;
}

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub set_config
{
	my ($name, $value) = @_;

	$session->configure($name, $value);
	return until_true("SELECT current_setting('$name') = '$value'",
		"$name = $value");
}

sub arrivals
{
	my ($text) = @_;

	return map { $_->{data}{n} } $domo->record(contains => $text);
}

sub set_paused
{
	my ($paused) = @_;

	$session->value($paused ? 'SELECT domowf_pause()' : 'SELECT domowf_resume()');
	return until_true(
		'SELECT paused_until IS '
		  . ($paused ? 'NOT DISTINCT' : 'DISTINCT')
		  . q{ FROM 'infinity' FROM domowf.worker},
		$paused ? 'paused' : 'resumed');
}

# ---- a workflow that fails

$domo->script('status:500', count => undef, contains => '"broken ');
enqueue_many($alice, 'broken', 'broken', 60);
until_true(q{SELECT state = 'paused' FROM domowf.worker},
	'60 starts of a workflow that Domo answers with 500: it rests');
is( $session->value(
		q{SELECT paused_until > now() + interval '30 min' AND paused_until < now() + interval '3 h',
			pause_reason ~ 'workflow "broken", asked for by "alice" rests',
			last_error ~ 'workflow "broken", asked for by "alice" rests'
			FROM domowf.worker}),
	't|t|t',
	'... the worker says which, and until when');
is($session->value(q{SELECT ok, detail ~ '"broken"' FROM domowf_check()
		WHERE check_name = 'worker'}),
	'f|t', '... and so does domowf_check()');
is($bob->outcome($bob->enqueue('good', 'of bob')),
	'done', 'what another role enqueues afterwards is sent');
is($bob->outcome($bob->enqueue('broken', 'of bob, too')),
	'done', '... also to the workflow that fails for others');
is($alice->outcome($alice->enqueue('good', 'of alice')),
	'done', '... and so is what the same role has for another workflow');
is($alice->outcome($alice->value(
			q{SELECT domowf_enqueue_call('cancel', '{"id": "none"}')})),
	'rejected', '... or for none');
cmp_ok(scalar(@entries = arrivals('"broken ')), '<=', 3 + IN_FLIGHT,
	'... while the one that fails was tried a few times');
is( $session->value(
		q{SELECT count(*) > 45, max(attempts) FROM domowf.queue
			WHERE state = 'queued' AND workflow = 'broken'}),
	't|0',
	'... and the rest of it waits');

# many others, that is, and the lane that rests is passed by
enqueue_many($bob, 'good', 'many of bob', 500);
until_true(q{SELECT count(*) = 500 FROM domowf.log WHERE outcome = 'done'
		AND request->'data'->>'n' LIKE 'many of bob %'},
	'500 more are sent past it');
is(scalar(arrivals('"broken ')), scalar(@entries), '... and none of it');

# ---- a person ends the rest

$domo->clear_script;
$session->value('SELECT domowf_resume()');
until_true(q{SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'},
	'domowf_resume() ends its rest');
my $count = $domo->count(by => 'data.n', contains => '"broken ');
is_deeply([ @$count{qw(total distinct max)} ],
	[ 60, 60, 1 ], '... each was sent once');
$session->value('SELECT count(domowf_discard(id)) FROM domowf.queue');

# ---- turns

set_config('domowf.max_connections', 1);
set_paused(1);
$domo->clear_record;
enqueue_many($alice, 'w1', 'turn alice w1', 30);
enqueue_many($alice, 'w2', 'turn alice w2', 30);
enqueue_many($bob, 'w1', 'turn bob w1', 10);
$id = $bob->enqueue('w2', 'turn bob 1970', run_at => q{'1970-01-01'});
is( $session->value(
		"SELECT due >= enqueued_at, run_at < due FROM domowf.queue WHERE id = $id"),
	't|t',
	'a run_at in the past is due when it is enqueued');
set_paused(0);
until_true(q{SELECT count(*) = 0 FROM domowf.queue}, 'all are sent');
@entries = arrivals('"turn ');
my @first = @entries[ 0 .. 19 ];
is(scalar(grep { /bob/ } @first), 10, 'two roles take turns');
is(scalar(grep { /alice w1/ } @first), 5,
	'... and so do the workflows of one within its turns');
is_deeply(
	[ grep { /alice w1/ } @entries ],
	[ map { "turn alice w1 $_" } 1 .. 30 ],
	'... each in the order in which it was enqueued');

set_paused(1);
enqueue_many($bob, 'w1', 'past 2000', 3);
$bob->enqueue('w1', 'past 1970', run_at => q{'1970-01-01'});
enqueue_many($bob, 'w1', 'past 2001', 3);
set_paused(0);
until_true(q{SELECT count(*) = 0 FROM domowf.queue}, 'all are sent');
is_deeply(
	[ arrivals('"past ') ],
	[
		(map { "past 2000 $_" } 1 .. 3),
		'past 1970', map { "past 2001 $_" } 1 .. 3
	],
	'a run_at in the past does not overtake, nor falls behind');
$session->value('ALTER SYSTEM RESET domowf.max_connections');

# ---- an outage, which all see

$domo->clear_record;
set_config('domowf.retry_base', '100ms');
set_config('domowf.retry_cap', '500ms');
set_paused(1);
my $began = time;
$domo->script('status:502', count => undef, contains => '"outage ');
my @lanes;
foreach my $workflow (map { "w$_" } 1 .. 5)
{
	foreach my $role ([ alice => $alice ], [ bob => $bob ])
	{
		push @lanes, "$role->[0] $workflow";
		enqueue_many($role->[1], $workflow, "outage $lanes[-1]", 100);
	}
}
set_paused(0);
until_true('SELECT count(*) >= '
	  . (IN_FLIGHT + PROBES)
	  . q{ FROM domowf.queue WHERE state = 'in_doubt'},
	'a gateway answers 502 to ten lanes, for many probes');
until_true('SELECT state = $$paused$$ AND pause_reason IS NOT NULL FROM domowf.worker',
	'... the connection rests');
$domo->clear_script;

# of an outage that a slow machine makes longer, ten a second more
my $handful = HANDFUL + 10 * (time - $began);
until_true(q{SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'},
	'... then Domo is back, and all the others are sent');
my $doubt = $session->value(
	q{SELECT count(*) FROM domowf.queue WHERE state = 'in_doubt'});
cmp_ok($doubt, '<=', $handful, "... a handful is in doubt: $doubt of 1000");
my @probes = grep { $_->{status} == 502 } $domo->record(contains => '"outage ');
@probes = map { $_->{data}{n} =~ /^outage (\w+ \w+)/ } @probes[ IN_FLIGHT .. $#probes ];
is(scalar(grep { $probes[$_] eq $probes[ $_ - 1 ] } 1 .. $#probes),
	0, '... no lane was the probe twice running');
my %probed = map { $_ => 1 } @probes;
cmp_ok(scalar(keys %probed), '>=', PROBES - 2, '... they went in turn');
$session->value('SELECT count(domowf_discard(id)) FROM domowf.queue');

# ---- two that fail do not shut out a third one

$domo->clear_record;
$domo->script('status:500', count => undef, contains => '"bad ');
enqueue_many($alice, 'w1', 'bad w1', 500);
enqueue_many($alice, 'w2', 'bad w2', 500);
until_true(q{SELECT count(*) >= 12 FROM domowf.queue WHERE state = 'in_doubt'},
	'two workflows fail, again and again');
enqueue_many($bob, 'w3', 'third', 200);
until_true(q{SELECT count(*) = 200 FROM domowf.log WHERE outcome = 'done'
		AND request->'data'->>'n' LIKE 'third %'}, 'a third one is sent');
is( $session->value(
		q{SELECT count(*) > 0 FROM domowf.queue WHERE state = 'queued'}),
	't',
	'... while they still wait');
$domo->clear_script;
$session->value('SELECT domowf_resume()');
until_true(q{SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'},
	'... until they can be sent');

# ---- more lanes than a commit can tell of

$domo->clear_record;
$session->value('SELECT count(domowf_discard(id)) FROM domowf.queue');
$session->value(q{INSERT INTO domowf.workflow (name, model_id, version,
	message_name) SELECT 'many ' || g, 'model', '1.0.0', 'Start it'
	FROM generate_series(1, 600) g});
$session->value(q{SELECT count(domowf_enqueue('many ' || g,
	jsonb_build_object('n', 'lane ' || g))) FROM generate_series(1, 600) g});
until_true(q{SELECT count(*) = 0 FROM domowf.queue},
	'a transaction of 600 lanes is sent');
$count = $domo->count(by => 'data.n', contains => '"lane ');
is_deeply([ @$count{qw(total distinct max)} ],
	[ 600, 600, 1 ], '... each once');

# more than what the worker has not yet taken leaves room for, and no look of its
# own that would find them
set_config('domowf.poll_interval', '1h');
is($session->outcome($session->enqueue('good', 'last look')), 'done', 'a worker that hardly looks');
my $worker = $session->value('SELECT pid FROM domowf.worker');
until_true("SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = $worker",
	'... and waits');
kill 'STOP', $worker or die "could not stop $worker: $!";
$id = $session->enqueue('good', 'first news');
$session->value(q{SELECT count(domowf_enqueue('many ' || g,
	jsonb_build_object('n', 'merged ' || g))) FROM generate_series(1, 40) g});
kill 'CONT', $worker or die "could not go on with $worker: $!";
until_true('SELECT count(*) = 0 FROM domowf.queue', '... is told of many lanes behind one');
is($domo->count(by => 'data.n', contains => '"merged ')->{distinct}, 40, '... and sends all');

# what the worker cannot keep, for want of memory, it has not read
set_config('domowf.poll_interval', '200ms');
set_config('domowf.test_point', 'read-lane=error');
my $offset = Domowf->log_size($node);
$id = $session->enqueue('good', 'no memory');
ok($node->wait_for_log(qr/test point "read-lane" was reached/, $offset), 'what was read cannot be kept');
set_config('domowf.test_point', '');
is($session->outcome($id), 'done', '... and is read again');
is($session->value('SELECT pid FROM domowf.worker'), $worker, '... by the same worker');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach $alice, $bob, $session;
$node->stop;
done_testing();
