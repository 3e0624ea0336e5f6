
# What the queue's speed and meaning must not depend on: how many requests one
# statement enqueues, how many there are, what plans a session or the worker
# has made before; that a settlement and a claim share a transaction; and that
# a settlement finds the row as it was claimed, or leaves it alone.

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
	conf => <<'END');
shared_preload_libraries = 'domowf, pg_stat_statements'
pg_stat_statements.track_planning = on
domowf.timeout = '10min'
domowf.poll_interval = '1h'
autovacuum = off
END
my $session = Domowf->session($node);
my $person = Domowf->session($node);
my ($first, @ids);

$session->value(q{INSERT INTO domowf.workflow (name, model_id, version,
	message_name) VALUES ('plain', 'model', '1.0.0', 'Start it'),
	('poisoned', 'model', '1.0.0', 'Start it')});

my $call = q{domowf_enqueue_call('start', jsonb_build_object(
	'messageName', 'Start it', 'version', '1.0.0', 'modelId', 'model',
	'data', jsonb_build_object('n', %s))%s)};

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

sub until_log_has
{
	my ($count, $condition) = @_;

	return $node->poll_query_until('postgres',
		"SELECT count(*) = $count FROM domowf.log WHERE $condition");
}

# ---- many requests of one statement

$session->value('SELECT domowf_pause()');
my $of_one_key = sprintf $call, "'in order ' || g", q{, order_key => 'o'};
@ids = split /\n/,
  $session->value("SELECT $of_one_key FROM generate_series(1, 5) g");
is( $session->value(
		'SELECT string_agg(waiting::text, \' \' ORDER BY id) FROM domowf.queue'),
	'false true true true true',
	'requests of one order key in one statement stand behind the first');
$domo->script('delay:50', count => 5, contains => '"in order ');
$session->value('SELECT domowf_resume()');
is($session->outcome($_), 'done', '... they are sent') foreach @ids;
is( $session->value(
		q{SELECT bool_and(after) FROM (SELECT sent_at >= lag(settled_at)
			OVER (ORDER BY id) AS after FROM domowf.log
			WHERE order_key = 'o') l}),
	't',
	'... each when the one before was settled');

my $keyed = sprintf $call, q{'the same'}, q{, key => 'k'};
is( $session->value(
		"SELECT count(DISTINCT $keyed) FROM generate_series(1, 5) g"),
	1,
	'requests of one key in one statement are one request');
is( $session->value(
		"SELECT $keyed = request_id FROM domowf.key WHERE key = 'k'"),
	't',
	'... which a later transaction finds');

# ---- plans of the session

enqueue('warm');
$session->value('CREATE EXTENSION pg_stat_statements');
$session->value(q{PREPARE mine (int) AS SELECT $1 + 1 AS mine});
foreach my $i (1 .. 20)
{
	$session->value("EXECUTE mine ($i)");
	enqueue("plans $i", key => "'plans $i'", order_key => "'plans $i'");
}
cmp_ok(
	$session->value(
		q{SELECT max(plans) FROM pg_stat_statements
			WHERE query LIKE 'PREPARE mine%' AND calls >= 20}),
	'<=', 6,
	'an enqueue with a key and an order key leaves plans of the session alone');

# ---- one transaction for a settlement and the next claim

sub commits
{
	$node->safe_psql('postgres',
		'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	worker();
	return $session->value(
		q{SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'});
}

$session->configure('domowf.max_connections', '1');
my $before = commits();
$session->value(q{SELECT count(domowf_enqueue('plain',
	jsonb_build_object('n', 'one by one'))) FROM generate_series(1, 300)});
ok(until_log_has(300, q{request->'data'->>'n' = 'one by one'}),
	'with one connection, one after the other');
cmp_ok(commits() - $before, '<', 500,
	'... and each is settled in the transaction that claims the next');
$session->value('ALTER SYSTEM RESET domowf.max_connections');
$session->value('SELECT pg_reload_conf()');

# ---- a queue that grows a thousandfold after the worker has made its plans

# How often the worker, from its start to its end, has read the whole queue:
# that is known when it has ended.
sub scans_of_worker
{
	my ($work) = @_;
	my $scans = q{SELECT seq_scan FROM pg_stat_user_tables
		WHERE relid = 'domowf.queue'::regclass};

	$node->safe_psql('postgres',
		'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	my $start = $session->value($scans);
	worker();
	$work->();
	$node->safe_psql('postgres',
		'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	return $session->value($scans) - $start;
}

sub deliver
{
	my ($name, $count) = @_;

	$session->value(qq{SELECT count(domowf_enqueue('plain',
		jsonb_build_object('n', '$name'), order_key => 'g' || g % 50,
		expires_at => now() + interval '1 day'))
		FROM generate_series(1, $count) g});
	ok(until_log_has($count, "request->'data'->>'n' = '$name'"),
		"$count requests are sent");
	return;
}

my $idle = scans_of_worker(sub { deliver('one', 1) });
$session->value('VACUUM ANALYZE domowf.queue');
my $busy = scans_of_worker(sub {
	deliver('few', 20);
	deliver('many', 2000);
});
cmp_ok($busy - $idle, '<', 20,
	'... and the worker has hardly ever read the whole queue');

# ---- a row that somebody changes while it is being sent

$domo->script('gate:changed', count => 2, contains => '"changed ');
@ids = map { enqueue("changed $_") } 1 .. 2;
$domo->wait_for(held => 2);
$session->value("UPDATE domowf.queue SET source = 'by hand' WHERE id = $ids[0]");
$person->run('BEGIN');
$person->value("UPDATE domowf.queue SET source = 'later' WHERE id = $ids[1]");
$domo->release('changed');
is($session->outcome($ids[0]), 'done', 'a row that was changed by hand is settled');
is($session->outcome(enqueue('beside changed')), 'done', '... others are not held up');
$person->run('COMMIT');
is($session->outcome($ids[1]), 'done', '... one that is just being changed, afterwards');
is( $session->value(
		"SELECT string_agg(source, ' ' ORDER BY id) FROM domowf.log"
		  . " WHERE id IN ($ids[0], $ids[1])"),
	'by hand later',
	'... with what was changed');

# ---- a worker that has to wait uses no processor

# Hundredths of a second that a process has used so far.
sub ticks
{
	my ($process) = @_;
	my ($fields) = slurp_file("/proc/$process/stat") =~ /\) (.*)/s;

	return (split / /, $fields)[11] + (split / /, $fields)[12];
}

my $later = enqueue('later', run_at => q{now() + interval '1 day'});

sub is_at_rest
{
	my ($name) = @_;

  SKIP:
	{
		skip 'needs /proc', 1 unless -e "/proc/$$/stat";
		my $worker = worker();
		my $start = ticks($worker);

		$session->value("SELECT state FROM domowf_wait($later, '1 s')");
		cmp_ok(ticks($worker) - $start, '<', 20, "at rest: $name");
	}
	return;
}

is_at_rest('nothing is due');
$domo->script('gate:rest', count => 1, contains => '"rest"');
@ids = (enqueue('rest'));
$domo->wait_for(held => 1);
is_at_rest('a reply is waited for');
$domo->release('rest');
is($session->outcome($ids[0]), 'done', '... it comes');

$session->value('SELECT domowf_pause()');
@ids = (enqueue('locked'));
is_at_rest('a person has paused it');
$person->run('BEGIN');
$person->value("SELECT id FROM domowf.queue WHERE id = $ids[0] FOR UPDATE");
$session->value('SELECT domowf_resume()');
is_at_rest('a person has locked what is due');
$person->run('COMMIT');
$session->value('SELECT domowf_resume()');
is($session->outcome($ids[0]), 'done', '... no longer');

$domo->script('retry-after:429:3', count => 1, contains => '"throttled"');
@ids = (enqueue('throttled'), enqueue('behind throttled'));
$node->poll_query_until('postgres',
	q{SELECT state = 'paused' FROM domowf.worker});
is_at_rest('Domo wants it to wait');
is($session->outcome($_), 'done', '... not for ever') foreach @ids;

$session->configure('domowf.rate_limit', '1');
$node->poll_query_until('postgres',
	q{SELECT setting = '1' FROM pg_settings WHERE name = 'domowf.rate_limit'});
@ids = map { enqueue("limited $_") } 1 .. 3;
is_at_rest('domowf.rate_limit');
$session->value('ALTER SYSTEM RESET domowf.rate_limit');
$session->value('SELECT pg_reload_conf()');
is($session->outcome($_), 'done', '... until it is lifted') foreach @ids;

# ---- a reply to an attempt that is no longer the one that counts

# Waits until a reply was dropped.
sub dropped
{
	my ($request, $offset) = @_;

	return $node->wait_for_log(
		qr/request $request is no longer what was sent; its outcome is dropped/,
		$offset);
}

my $offset = Domowf->log_size($node);
$domo->script('gate:first', count => 1, contains => '"claimed again"');
$domo->script('gate:second', count => 1, contains => '"claimed again"');
@ids = (enqueue('claimed again'));
$domo->wait_for(held => 1);
$session->value(qq{UPDATE domowf.queue SET state = 'queued', owner = NULL
	WHERE id = $ids[0]});
$session->value('SELECT domowf_resume()');
$domo->wait_for(held => 2);
$domo->release('first');
dropped($ids[0], $offset);
is( $session->value("SELECT state, claim FROM domowf.queue WHERE id = $ids[0]"),
	'sending|2',
	'a late reply does not settle a request that is being sent again');
$domo->release('second');
is($session->outcome($ids[0]), 'done', '... the reply to that does');

$offset = Domowf->log_size($node);
$domo->script('gate:owner', count => 1, contains => '"of another"');
@ids = (enqueue('of another'));
$domo->wait_for(held => 1);
$session->value("UPDATE domowf.queue SET owner = 1 WHERE id = $ids[0]");
$domo->release('owner');
dropped($ids[0], $offset);
is( $session->value("SELECT state FROM domowf.queue WHERE id = $ids[0]"),
	'sending', 'nor one that is another worker\'s');
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
is($session->outcome($ids[0]), 'in_doubt', '... which the next worker takes as in doubt');
$session->value("SELECT domowf_discard($ids[0])");

# ---- results that cannot be written make no room

$session->configure('domowf.max_connections', '2');
$session->configure('domowf.stall_after', '1500ms');
worker();
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
worker();
Domowf->set_test_point($node, 'before-settle=error');
Domowf->until_taken_up($node) or die 'not taken up';
$session->value(q{SELECT count(domowf_enqueue('poisoned', '{"n": "no room"}'))
	FROM generate_series(1, 5)});

# tried again by then, so that the worker would claim if there were room
ok( $node->poll_query_until('postgres',
		q{SELECT state LIKE 'stalled: what came of requests cannot be written%' FROM domowf.worker}
	),
	'results that cannot be written are a stall');
is(scalar(my @sent = $domo->record(contains => '"no room"')),
	2, 'no more are sent while results cannot be written');
is( $session->value(
		q{SELECT count(*) FROM domowf.queue WHERE state = 'sending'}),
	2,
	'... than may be in flight');
is_at_rest('results cannot be written, and others wait');
Domowf->set_test_point($node, '');
ok(until_log_has(5, q{workflow = 'poisoned'}), '... all are, when they can');
is(scalar(@sent = $domo->record(contains => '"no room"')),
	5, '... each was sent once');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$person->quit;
$node->stop;
done_testing();
