
# Waiting times are measured by a clock that nobody sets.  The wall clock, which
# people set, counts only for times that they gave, and a step back of it delays
# nothing else: not polls, pauses, waits after failures, expiry, nor what was
# enqueued while it was ahead.  Exists because a rest of 2 s became one of an
# hour.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WrongClock;

use constant HOUR => 3600;
use constant DAY => 24 * HOUR;

# before the stand-in, whose times the servers read
my $clock = WrongClock->new;
my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => <<'END');
domowf.poll_interval = '200ms'
domowf.retry_base = '2s'
domowf.retry_cap = '2s'
max_prepared_transactions = 5
END
my $session = Domowf->session($node);
my ($id, %id, $got);

# Has the worker see that the clock was set.
sub step
{
	my ($from, $to) = @_;
	my $offset = Domowf->log_size($node);

	$clock->set($to);
	$node->wait_for_log(
		'the clock was set ' . ($to < $from ? 'back' : 'forward'), $offset);
	return;
}

sub value { return $session->value($_[0]); }

sub enqueue
{
	my ($workflow, $n, %option) = @_;

	return $session->enqueue($workflow, $n, %option);
}

sub is_done
{
	my ($request, $name) = @_;

	return is($session->outcome($request), 'done', $name);
}

value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('it', 'model', '1.0.0', 'Start it', 'hold'),
	('again', 'model', '1.0.0', 'Start it', 'retry')
END

is_done(enqueue('it', 'before'), 'a request is done');

# ---- set back by an hour

value('BEGIN');
$id{prepared} = enqueue('it', 'prepared');
value(q{PREPARE TRANSACTION 'p'});
value('SELECT domowf_pause()');
$id{queued} = enqueue('it', 'queued');
$id{first} = enqueue('it', 'first', order_key => q{'k'});
$id{second} = enqueue('it', 'second', order_key => q{'k'});
$id{later} = enqueue('it', 'later', run_at => q{clock_timestamp() + interval '1 hour'});
step(0, -(HOUR));
$id{expires} = enqueue('it', 'expires',
	run_at => q{now() + interval '1 hour'},
	expires_at => 'clock_timestamp()');
is($session->outcome($id{expires}), 'expired', 'set back: what is over expires');
value('SELECT domowf_resume()');
is_done($id{$_}, "... and it is sent: $_") foreach qw(queued first second);
value(q{COMMIT PREPARED 'p'});
is_done($id{prepared}, '... also what is committed only then');
is_done(enqueue('it', 'since'), '... and what is enqueued since');
is($session->request($id{later}), 'queued', '... but what was meant for later');
is( value("SELECT due - clock_timestamp() > interval '110 minutes' FROM domowf.queue WHERE id = $id{later}"),
	't',
	'... which is a time that somebody gave');

# ---- a call that waits

$session->send("SELECT state FROM domowf_wait($id{later}, '1 s')");
$clock->set(-2 * HOUR);
is($session->wait->{out}, 'queued', 'a wait for a request ends when it should');

# ---- rests, and waits after a failure

# Waits until an attempt of a request has failed; when it is sent again.
sub failed
{
	my ($request) = @_;

	$node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM domowf.queue WHERE id = $request AND (failures = 0 OR state <> 'queued')"
	) or die 'no attempt has failed';
	return;
}

# Whether what is left of its wait is an hour still, but for a few minutes.
sub waits_an_hour
{
	my ($request, $name) = @_;

	return ok($node->poll_query_until('postgres',
		"SELECT due - clock_timestamp() BETWEEN '50 min' AND '60 min' AND run_at = due FROM domowf.queue WHERE id = $request"
	), $name);
}

$domo->script('retry-after:503:5', contains => 'one failed', count => 1);
$id = enqueue('again', 'one failed');
failed($id);
$clock->set(-3 * HOUR);
is_done($id, 'set back while a request waits after a failure: it is sent again');

$domo->script('retry-after:429:5', contains => 'connection', count => 1);
$id = enqueue('it', 'connection');
failed($id);
$clock->set(-4 * HOUR);
is_done($id, 'set back while the connection rests: it goes on');

$domo->script('retry-after:503:5', contains => 'lane', count => 3);
value(q{SELECT domowf_enqueue('again', jsonb_build_object('n', 'lane ' || g)) FROM generate_series(1, 3) g});
$node->poll_query_until('postgres',
	q{SELECT count(*) = 3 FROM domowf.queue WHERE workflow = 'again' AND failures > 0})
  or die 'the lane does not rest';
my @resting = split /\n/, value('SELECT id FROM domowf.queue WHERE failures > 0');
$clock->set(-5 * HOUR);
is_done($_, 'set back while a lane rests: it goes on') foreach @resting;

$domo->script('retry-after:502:3600', contains => 'of a gateway', count => 1);
$id{gateway} = enqueue('again', 'of a gateway');
failed($id{gateway});
value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
is_done(enqueue('it', 'by a new worker'), 'nobody sets the clock, and a new worker comes');
waits_an_hour($id{gateway}, '... which does not shorten what Domo has told to wait');
ok(value("SELECT domowf_retry($id{gateway})"), '... but a person may');
is_done($id{gateway}, '... and it is sent');

$domo->script('retry-after:429:3600', contains => 'an hour', count => 1);
$id = enqueue('it', 'an hour');
failed($id);
step(-5 * HOUR, -6 * HOUR);
waits_an_hour($id, 'set back: a wait is as long as it was');
$node->poll_query_until('postgres',
	q{SELECT paused_until - clock_timestamp() BETWEEN '50 min' AND '60 min' FROM domowf.worker})
  or die 'the worker does not say until when it rests';
step(-6 * HOUR, DAY);
waits_an_hour($id, '... also set forward');
step(DAY, 0);
waits_an_hour($id, '... and back');

# a worker that has not seen it
step(0, DAY);
waits_an_hour($id, '... and forward');
value(q{SELECT domowf_resume()});
$domo->script('retry-after:429:3600', contains => 'restarted', count => 1);
$id{restarted} = enqueue('it', 'restarted');
failed($id{restarted});
$session->quit;
$node->stop;
$clock->set(0);
$node->start;
$session = Domowf->session($node);
ok( $node->poll_query_until('postgres',
		"SELECT due - clock_timestamp() BETWEEN '50 min' AND '61 min' FROM domowf.queue WHERE id = $id{restarted}"
	),
	'set back while no server ran: a wait is about as long as it was');
$session->quit;
$node->restart;
$session = Domowf->session($node);
waits_an_hour($id{restarted}, '... and after one more start');
ok(value("SELECT domowf_retry($id{restarted})"), '... and nobody has to wait for it');
is_done($id{restarted}, '... who sends it himself');
is_done($id, 'the other one is sent at its time') if value("SELECT domowf_retry($id)");

# ---- forward by a day, and back again

step(0, DAY);
$domo->script('status:404', contains => 'rejected', count => 1);
$id{rejected} = enqueue('it', 'rejected');
is($session->outcome($id{rejected}), 'rejected', 'forward: one is rejected');
value('SELECT domowf_pause()');
$id{held} = enqueue('it', 'held', run_at => q{now() + interval '1 hour'});
ok(value("SELECT domowf_retry($_)"), 'one is to be sent again')
  foreach @id{qw(rejected held)};
$id{queued} = enqueue('it', 'queued in it');
value('BEGIN');
$id{prepared} = enqueue('it', 'prepared in it');
value(q{PREPARE TRANSACTION 'p'});
$id{moment} = enqueue('it', 'meant', run_at => q{now() + interval '1 min'});
step(DAY, 0);
value('SELECT domowf_resume()');
is_done($id{$_}, "and back: it is sent: $_") foreach qw(rejected held queued);
value(q{COMMIT PREPARED 'p'});
is_done($id{prepared}, '... also what is committed only then');
is($session->request($id{moment}), 'queued', '... but what was meant for a time is not');

# ---- what is tracked

value('ALTER SYSTEM SET domowf.track_instances = on');
value('SELECT pg_reload_conf()');
ok(Domowf->until_taken_up($node), 'instances are tracked');
value(q{UPDATE domowf.workflow SET track = true WHERE name = 'it'});
step(0, DAY);
$id{tracked} = enqueue('it', 'tracked');
is_done($id{tracked}, 'forward: what is tracked is started');
step(DAY, 0);
my $looks = $domo->record(operation => 'read');
$domo->wait_for(requests => $looks + 1, operation => 'read');
ok($node->poll_query_until('postgres',
	'SELECT due - clock_timestamp() < \'16 min\' FROM domowf.tracked'), 'and back: it is read again');

# what is followed for seven days, and not found for ten minutes, is so by time
# that has passed
$domo->set_states(undef, [ 'IN_PROGRESS', 1000 ]);
value('DELETE FROM domowf.tracked');
is_done($id{followed} = enqueue('it', 'followed'), 'one is followed');
$looks = $domo->record(operation => 'read');
step(0, 8 * DAY);
$domo->wait_for(requests => $looks + 2, operation => 'read');
is(value('SELECT count(*) FROM domowf.tracked WHERE error IS NULL'), 1, 'eight days forward: it still is');
step(8 * DAY, 8 * DAY - 600);
$looks = $domo->record(operation => 'read');
$domo->wait_for(requests => $looks + 1, operation => 'read');
ok(value('SELECT due < clock_timestamp() + \'2 min\' FROM domowf.tracked') eq 't', 'ten minutes back: it is read as soon');
step(8 * DAY - 600, 0);
value('DELETE FROM domowf.tracked');
value(q{UPDATE domowf.workflow SET track = false WHERE name = 'it'});

# ---- the same while the server is down

value('SELECT domowf_pause()');
step(0, DAY);
$id{down} = enqueue('it', 'down');
$session->quit;
$node->stop;
$clock->set(0);
$node->start;
$session = Domowf->session($node);
value('SELECT domowf_resume()');
is_done($id{down}, 'what was enqueued while the clock was ahead is sent after a restart');

# what a worker was sending that died, and is known to be by another clock; and
# what failed, or was told to wait, by another one than it was sent by
foreach my $name ('recovered', 'failed late', 'throttled late')
{
	my $gate = $name eq 'throttled late' ? 'gate-throttled:late:5' : 'gate:shut';

	$domo->script($gate, contains => $name, count => 1);
	$id{$name} = enqueue('again', $name);
	$domo->wait_for(held => 1);
	value('SELECT domowf_pause()');
	if ($name eq 'recovered')
	{
		$session->quit;
		$node->stop('immediate');
		$clock->set(3 * HOUR);
		$node->start;
		$session = Domowf->session($node);
	}
	else
	{
		step(0, 3 * HOUR);
		$name eq 'failed late' ? $domo->close_all : $domo->release('late', 1);
	}
	failed($id{$name});
	$session->quit;
	$node->stop;
	$clock->set(0);
	$node->start;
	$session = Domowf->session($node);
	value('SELECT domowf_resume()');
	is_done($id{$name}, "set forward, and back while no server ran: it is sent: $name");
}

# ---- back, while a return waits for a row: PostgreSQL's timeouts are then far off

value(<<'END');
CREATE TABLE asked (n int PRIMARY KEY, state text);
CREATE TRIGGER ask AFTER INSERT ON asked FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('it', 'n', 'state<-state');
SELECT domowf_pause();
INSERT INTO asked VALUES (1), (2)
END
my $holder = Domowf->session($node);

$session->configure('domowf.return_timeout', '1s');
Domowf->until_taken_up($node, $session) or die 'not taken up';
$holder->value('BEGIN; SELECT FROM asked WHERE n = 1 FOR UPDATE');
value('SELECT domowf_resume()');
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'domowf returns' AND wait_event_type = 'Lock'}),
	'a return waits for a row');
step(0, -HOUR);
ok($node->poll_query_until('postgres', q{SELECT state = 'done' FROM asked WHERE n = 2}),
	'... not longer than domowf.return_timeout where the clock is set back: the next is done');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM domowf.returns WHERE error ~ 'return_timeout'}),
	'... and it is told why');
$holder->value('ROLLBACK');
$holder->quit;
ok($node->poll_query_until('postgres', q{SELECT state = 'done' FROM asked WHERE n = 1}), '... then it is, too');
step(-HOUR, 0);

# ---- what is meant for a time

step(0, DAY + HOUR);
is_done($id{$_}, 'forward: what was meant for a time is sent when the clock says so')
  foreach qw(later moment);

my %times;
$times{$_->{data}{n}}++ foreach $domo->executed(operation => 'start');
is_deeply([ grep { $times{$_} > 1 } keys %times ], [], 'nothing is started twice');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
