
# A Domo that does not answer, or answers nonsense, while a long queue waits:
# the connection pauses as a whole and probes, so that a handful of requests
# pays for it and not the queue; what was not sent costs nothing; times that
# are over, and attempts that are used up, end a request.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Requests that wait, and how many of them an outage may touch: three in a row
# pause the connection, eight may be in flight, and then one for each pause.
use constant QUEUED => 2000;
use constant IN_FLIGHT => 8;
use constant PROBES => 6;
use constant HANDFUL => 3 + 2 * IN_FLIGHT + 2 * PROBES;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => <<'END');
domowf.retry_base = '100ms'
domowf.retry_cap = '500ms'
domowf.poll_interval = '200ms'
END
my $session = Domowf->session($node);
my ($id, @ids, @entries);
my $hour = q{now() + interval '1 hour'};

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('hold', 'model', '1.0.0', 'Start it', 'hold'),
	('retry', 'model', '1.0.0', 'Start it', 'retry');
INSERT INTO domowf.workflow (name, model_id, version, message_name, expire_after)
VALUES ('short', 'model', '1.0.0', 'Start it', '100 ms'),
	('long', 'model', '1.0.0', 'Start it', '1 day')
END

# Enqueues many at once.
sub enqueue_many
{
	my ($workflow, $what) = @_;

	$session->value("SELECT count(domowf_enqueue('$workflow',"
		  . " jsonb_build_object('n', '$what ' || g)))"
		  . ' FROM generate_series(1, '
		  . QUEUED
		  . ') g');
	return;
}

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub until_all_are
{
	my ($what, $outcome, $count) = @_;

	return until_true(
		"SELECT count(*) = $count FROM domowf.log WHERE outcome = '$outcome'"
		  . " AND request->'data'->>'n' LIKE '$what %'",
		"$what: $count are $outcome");
}

sub set_config
{
	my ($name, $value) = @_;

	$session->configure($name, $value);
	return until_true("SELECT current_setting('$name') = '$value'",
		"$name = $value");
}

# ---- a gateway that answers for Domo

my $began = time;
$domo->script('status:502', count => undef, contains => '"gateway ');
enqueue_many('hold', 'gateway');
until_true('SELECT count(*) >= '
	  . (IN_FLIGHT + PROBES)
	  . q{ FROM domowf.queue WHERE state = 'in_doubt'},
	'a gateway answers 502, for many probes');
until_true('SELECT state = $$paused$$ AND pause_reason IS NOT NULL AND'
	  . " paused_until < now() + interval '1 s' FROM domowf.worker",
	'... the worker says that it is paused, and no longer than retry_cap');
$domo->clear_script;

# of an outage that a slow machine makes longer, ten a second more
my $handful = HANDFUL + 10 * (time - $began);
my $doubtful = q{SELECT count(*) FROM domowf.queue WHERE state = 'in_doubt'};
until_true(
	q{SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'},
	'... then Domo is back, and all the others are sent');
my $doubt = $session->value($doubtful);
cmp_ok($doubt, '<=', $handful, "... a handful is in doubt: $doubt of " . QUEUED);
until_all_are('gateway', 'done', QUEUED - $doubt);
my $count = $domo->count(by => 'data.n', contains => '"gateway ');
is_deeply([ @$count{qw(total distinct max)} ],
	[ QUEUED, QUEUED, 1 ], '... each was sent once');
$session->value('SELECT count(domowf_discard(id)) FROM domowf.queue');

# the same where they may be repeated: not the same one twice running
$domo->clear_record;
$domo->script('status:502', count => undef, contains => '"repeated ');
$session->value(q{SELECT count(domowf_enqueue('retry',
	jsonb_build_object('n', 'repeated ' || g))) FROM generate_series(1, 20) g});
until_true('SELECT sum(attempts) >= '
	  . (IN_FLIGHT + 2 * PROBES)
	  . ' FROM domowf.queue', 'repeated: many probes');
@entries = map { $_->{data}{n} } $domo->record(contains => '"repeated ');
my @probes = @entries[ 3 + IN_FLIGHT .. $#entries ];
is(scalar(grep { $probes[$_] eq $probes[ $_ - 1 ] } 1 .. $#probes),
	0, '... not the same one twice running');
$domo->clear_script;
until_all_are('repeated', 'done', 20);
is( $session->value("SELECT count(*) FROM domowf.log WHERE jsonb_array_length(errors)"
		  . " <> attempts - 1 AND request->'data'->>'n' LIKE 'repeated %'"),
	0,
	'... attempts are counted, errors kept');

# two of which the last probe is due first; paused by hand meanwhile, so that
# nothing is sent until they are
$domo->script('status:429', count => undef, contains => '"probe again"');
my $last = $session->enqueue('retry', 'probe again');
my $other = $session->enqueue('retry', 'probe other', run_at => $hour);
until_true("SELECT failures >= 2 FROM domowf.queue WHERE id = $last",
	'one that is due alone is probed again and again');
$session->value(q{SELECT domowf_pause('by hand')});
until_true(q{SELECT pause_reason = 'by hand' AND in_flight = 0 FROM domowf.worker},
	'... until it is paused by hand');
until_true("SELECT state = 'queued' FROM domowf.queue WHERE id = $last", '... queued');
$domo->clear_script;
$domo->clear_record;
$domo->script('gate:probe', count => 1, contains => '"probe ');
$session->value('UPDATE domowf.queue SET due = now() - CASE id'
	  . " WHEN $last THEN interval '2 s' ELSE interval '1 s' END"
	  . " WHERE id IN ($last, $other)");

# domowf_resume() would end the pause of the connection as well
$session->value('UPDATE domowf.state SET paused = false');
$domo->wait_for(held => 1);
is_deeply([ map { $_->{data}{n} } $domo->record(contains => '"probe ') ],
	['probe other'], 'the next probe is the other one');
is( $session->value(
		"SELECT state FROM domowf_wait($last, '600 ms')"),
	'queued', '... and a single one');
$domo->release('probe');
is($session->outcome($_), 'done', '... then both are done') foreach $other, $last;

# ---- nobody there

$domo->clear_record;
$domo->stop_accepting;
$domo->close_idle;
$domo->wait_for(open => 0);
enqueue_many('hold', 'nobody');
until_true('SELECT count(*) >= '
	  . (IN_FLIGHT + PROBES)
	  . ' FROM domowf.queue WHERE failures > 0', 'nobody answers, for many probes');
is($session->value('SELECT max(attempts) FROM domowf.queue'),
	0, '... which uses no attempt');
is($session->value($doubtful), 0, '... and leaves nothing in doubt');
$domo->resume_accepting;
until_all_are('nobody', 'done', QUEUED);
$count = $domo->count(by => 'data.n', contains => '"nobody ');
is_deeply([ @$count{qw(total distinct max)} ],
	[ QUEUED, QUEUED, 1 ], '... each was sent once');
is( $session->value("SELECT count(*) FROM domowf.log WHERE attempts <> 1"
		  . " AND request->'data'->>'n' LIKE 'nobody %'"),
	0,
	'... with one attempt');

# ---- 429: all wait, not only the one

$domo->clear_record;
$domo->script('retry-after:429:2', count => 1, contains => '"throttled 1"');
@ids = ($session->enqueue('hold', 'throttled 1'));
until_true("SELECT failures = 1 FROM domowf.queue WHERE id = $ids[0]",
	'429: the worker knows');
push @ids, map { $session->enqueue('hold', "throttled $_") } 2 .. 5;
is($session->outcome($_, 'state, attempts'), 'done|1', '429: done') foreach @ids;
@entries = $domo->record(contains => '"throttled ');
is(scalar @entries, 6, '... one was sent twice');
cmp_ok($entries[1]{time} - $entries[0]{time},
	'>=', 1.9, '... and none before Retry-After is over');

# an answer to what was sent before is no leave to go on
$domo->clear_record;
$domo->script('gate:late', count => 1, contains => '"asked before"');
@ids = ($session->enqueue('hold', 'asked before'));
$domo->wait_for(held => 1);
$domo->script('retry-after:429:2', count => 1, contains => '"asked too much"');
push @ids, $session->enqueue('hold', 'asked too much');
until_true("SELECT failures = 1 FROM domowf.queue WHERE id = $ids[1]",
	'429 while another one is in flight');
$domo->release('late');
is($session->outcome($ids[0]), 'done', '... which is done');
push @ids, $session->enqueue('hold', 'asked afterwards');
is($session->outcome($_), 'done', '... all are') foreach @ids;
@entries = grep { $_->{data}{n} ne 'asked before' }
  $domo->record(contains => '"asked ');
cmp_ok($entries[1]{time} - $entries[0]{time},
	'>=', 1.9, '... but none before Retry-After is over');

# ---- times that are over

$session->value(q{SELECT domowf_pause('so that nothing is sent')});
until_true(q{SELECT state = 'paused' FROM domowf.worker}, 'paused');
is($session->outcome($session->enqueue('short', 'x'), 'state, attempts'),
	'expired|0', 'expire_after of the workflow');
$id = $session->enqueue('short', 'given', expires_at => $hour);
my $soon = $session->enqueue('hold', 'soon', run_at => $hour,
	expires_at => q{now() + interval '10 min'});
set_config('domowf.expire_after', '1s');
$session->quit;
$session = Domowf->session($node);
is($session->outcome($session->enqueue('hold', 'x')), 'expired', 'domowf.expire_after');
my $long = $session->enqueue('long', 'x');
is($session->outcome($session->value(
			q{SELECT domowf_enqueue_call('cancel', '{"id": "i"}')})),
	'expired', '... for all operations');
is( $session->value(
		"SELECT string_agg(state, ' ') FROM domowf.request WHERE id IN ($id, $long, $soon)"
	),
	'queued queued queued',
	'... but the workflow\'s own, and what was given, go before it, and none is early');
$session->value("SELECT domowf_discard($soon)");
is( $session->value(
		"SELECT error FROM domowf.request WHERE state = 'expired' ORDER BY id DESC LIMIT 1"
	),
	'it was not sent before it expired',
	'... the view says why');

# the time begins with the request, and is not over while it is sent
set_config('domowf.expire_after', '1h');
$session->quit;
$session = Domowf->session($node);
my $before = $session->value('SELECT clock_timestamp()');
my $timely = $session->enqueue('hold', 'timely');
is( $session->value("SELECT expires_at - interval '1 hour' BETWEEN"
		  . " '$before' AND clock_timestamp()"
		  . " FROM domowf.queue WHERE id = $timely"),
	't',
	'domowf.expire_after: an hour is an hour from now');
$session->value('SELECT domowf_resume()');
is($session->outcome($_), 'done', '... resumed') foreach $id, $long, $timely;
is($domo->arrived('timely'), 1, '... it was sent');
set_config('domowf.expire_after', 0);

# one that expires while it waits for another attempt, which Domo may have executed
$domo->script('status:502', count => undef, contains => '"expires"');
$id = $session->enqueue('retry', 'expires',
	expires_at => $hour);
until_true("SELECT attempts > 0 FROM domowf.queue WHERE id = $id", 'one that is tried again');
until_true("WITH u AS (UPDATE domowf.queue SET expires_at = clock_timestamp()"
	  . " WHERE id = $id AND state = 'queued' RETURNING id) SELECT count(*) = 1 FROM u",
	'... until its time is over');
is($session->outcome($id), 'in_doubt', 'expired between two attempts: in doubt');
cmp_ok($session->value("SELECT attempts FROM domowf.request WHERE id = $id"),
	'>', 0, '... of which some were used');
is( $session->value(
		"SELECT error ~ '502' FROM domowf.request WHERE id = $id"),
	't',
	'... the view says what the last one met');
$domo->clear_script;
$session->value("SELECT domowf_discard($id)");

# one that a person sends again after its time
$domo->script('status:502', count => 1, contains => '"too late"');
$id = $session->enqueue('hold', 'too late',
	expires_at => $hour);
is($session->outcome($id), 'in_doubt', 'in doubt before it expired');
$session->value("UPDATE domowf.queue SET expires_at = clock_timestamp() WHERE id = $id");
is($session->value("SELECT domowf_retry($id)"), 't', '... retried by hand');
is($session->outcome($id), 'done', '... sent all the same');

# ---- attempts that are used up

set_config('domowf.max_attempts', 3);
$session->quit;
$session = Domowf->session($node);
$domo->script('status:502', count => undef, contains => '"used up"');
$id = $session->enqueue('retry', 'used up');
until_true(
	"SELECT state = 'in_doubt' AND attempts = 3 FROM domowf.queue WHERE id = $id",
	'domowf.max_attempts used up: in doubt');
is(scalar(@entries = $domo->record(contains => '"used up"')),
	3, '... sent so often');
$domo->clear_script;
is($session->value("SELECT domowf_retry($id)"), 't', '... retried by hand');
is($session->outcome($id, 'state, attempts'), 'done|1', '... with attempts anew');

# ---- the last errors are kept, a hundred

foreach my $errors (99, 100)
{
	$domo->script('status:502', count => 1, contains => "many errors $errors");
	$session->value(q{SELECT domowf_pause()});
	until_true(q{SELECT state = 'paused' FROM domowf.worker}, 'paused');
	$id = $session->enqueue('retry', "many errors $errors");
	$session->value("UPDATE domowf.queue SET errors = (SELECT jsonb_agg("
		  . "jsonb_build_object('n', g)) FROM generate_series(1, $errors) g)"
		  . " WHERE id = $id");
	$session->value('SELECT domowf_resume()');
	is($session->outcome($id, 'state, attempts'), 'done|2', 'one error more');
	is( $session->value("SELECT jsonb_array_length(errors), errors->0->>'n',"
			  . " errors->99->>'status' FROM domowf.log WHERE id = $id"),
		'100|' . ($errors - 98) . '|502',
		"... after $errors: the last hundred are kept");
}

# ---- settings that a worker takes over

set_config('domowf.poll_interval', '1h');
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
until_true(q{SELECT state = 'idle' FROM domowf.worker}, 'a worker that seldom polls');
is($session->outcome($session->enqueue('hold', 'seldom')), 'done', '... sends when it is woken');
$id = $session->enqueue('hold', 'x', run_at => $hour, expires_at => 'clock_timestamp()');
is($session->value("SELECT state FROM domowf_wait($id, '600 ms')"),
	'queued', '... and sees no time that is over');
my $over = $session->enqueue('hold', 'over',
	expires_at => q{clock_timestamp() - interval '1 s'});
is($session->outcome($session->enqueue('hold', 'beside over')), 'done', '... sends others');
set_config('domowf.poll_interval', '200ms');
is($session->outcome($id), 'expired', '... until it polls more often');
is($session->outcome($over), 'expired', '... also what was due');
is(scalar(@entries = $domo->record(contains => '"over"')),
	0, '... which was never sent');

# a reload is a poll
set_config('domowf.poll_interval', '1h');
$session->value("SELECT count(domowf_enqueue('hold', run_at => $hour,"
	  . ' expires_at => clock_timestamp())) FROM generate_series(1, 3500)');
set_config('domowf.poll_interval', '50min');
until_true('SELECT count(*) = 0 FROM domowf.queue',
	'all that is over, batch after batch, not one for each poll');

# ---- calls and the log

foreach my $case ([ 'on', 'on', '1|t|t' ], [ 'on', 'off', '1|f|f' ],
	[ 'off', 'on', '0||' ])
{
	my ($calls, $payload, $expected) = @$case;

	$session->value('TRUNCATE domowf.log');
	$session->value("SET domowf.log_calls = $calls; SET domowf.log_payload = $payload");
	$session->value(Domowf->start_sql('model', '{"n": "a call"}'));
	is( $session->value(
			'SELECT count(*), bool_and(request IS NOT NULL),'
			  . ' bool_and(response IS NOT NULL) FROM domowf.log'),
		$expected,
		"log_calls = $calls, log_payload = $payload");
}

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
