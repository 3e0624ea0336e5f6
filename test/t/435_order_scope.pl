
# Whose order keys are whose, who waits for whom and is told so, and what they
# cost: keys of others are out of reach however they are spelled, what waits
# costs nothing, and nobody is left behind when a worker ends.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Order keys that wait for the year 2099, and times that are over, each of which
# takes a poll to be seen.
use constant PARKED => 20000;
use constant POLLS => 20;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.timeout = '10min'
domowf.poll_interval = '1h'
max_prepared_transactions = 10
END
my $session = Domowf->session($node);
my ($first, $second, $third, $got);
my $later = q{'2099-01-01'};

$session->value(<<'END');
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT EXECUTE ON FUNCTION domowf_enqueue, domowf_enqueue_call, domowf_wait,
	domowf_discard, domowf_retry TO alice, bob;
GRANT USAGE ON SCHEMA domowf TO alice, bob;
GRANT SELECT ON domowf.request, domowf.queue, domowf.log TO alice, bob;
INSERT INTO domowf.workflow (name, model_id, version, message_name, order_scope)
VALUES ('own', 'model', '1.0.0', 'Start it', NULL),
	('other', 'model', '1.0.0', 'Start it', NULL),
	('one', 'model', '1.0.0', 'Start it', 'team'),
	('two', 'model', '1.0.0', 'Start it', 'team'),
	('team', 'model', '1.0.0', 'Start it', NULL)
END
my ($alice, $bob) = map { Domowf->session($node, user => $_) } qw(alice bob);

my $permissions = q{SELECT domowf_enqueue_call('set_permissions',
	'{"modelId": "%s", "permissions": [{"id": "7", "type": "USER",
	"permissions": ["READ"]}]}'%s)};

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub call_with
{
	my ($role, $order_key, %option) = @_;
	my $options = join '', map { ", $_ => $option{$_}" } sort keys %option;

	return $role->value("SELECT domowf_enqueue_call('cancel',"
		  . " '{\"id\": \"none\"}', order_key => '$order_key'$options)");
}

# ---- whose they are

$first = $alice->enqueue('own', 'own', order_key => q{'k'}, run_at => $later);
is($bob->outcome($bob->enqueue('other', 'other', order_key => q{'k'})),
	'done', 'a workflow\'s order keys are its own');
is($bob->outcome($bob->enqueue('one', 'of a scope', order_key => q{'k'})),
	'done', '... a scope\'s are others');
is($bob->outcome(call_with($bob, 'k')), 'rejected', '... and so are a role\'s');
$second = $bob->enqueue('own', 'second', order_key => q{'k'});
is($bob->request($second, 'state, waits_for'),
	'queued|', 'one of the same workflow waits, whoever asks for it');
is($session->request($second, 'waits_for'),
	$first, '... and who may see the one before is told its id');
is($bob->value("SELECT waits_for FROM domowf_wait($second, '0 s')"),
	'', 'domowf_wait() tells no more than the view');
$third = $alice->enqueue('own', 'third', order_key => q{'k'});
is($alice->request($third, 'waits_for'), $first, '... one\'s own is told');
is($alice->value("SELECT waits_for FROM domowf_wait($third, '0 s')"),
	$first, '... by domowf_wait(), too');
is($alice->request($first, 'waits_for'), '', 'who waits for nobody is told so');
is($alice->value("SELECT domowf_discard($first)"), 't', 'the first is given up');
is($bob->outcome($second), 'done', '... the second goes');
is($alice->outcome($third, 'state, waits_for'), 'done|', '... and then the third');

$first = $alice->enqueue('one', 'scope 1', order_key => q{'s'}, run_at => $later);
$second = $bob->enqueue('two', 'scope 2', order_key => q{'s'});
is($session->request($second, 'waits_for'),
	$first, 'workflows of one order_scope share their order keys');
is($bob->outcome($bob->enqueue('team', 'no scope', order_key => q{'s'})),
	'done', '... not with the workflow whose name is that of the scope');
$alice->value("SELECT domowf_discard($first)");
is($bob->outcome($second), 'done', '... the next one goes');

$first = call_with($alice, 'c', run_at => $later);
is($bob->outcome(call_with($bob, 'c')),
	'rejected', 'calls of another role have keys of their own');
$second = call_with($alice, 'c');
is($alice->request($second, 'waits_for'), $first, '... of the same one do not');
$first = $alice->value(q{SELECT domowf_enqueue_call('start',
	'{"workflow": "own", "data": {"n": "by call"}}', order_key => 'w',
	run_at => '2099-01-01')});
$second = $bob->enqueue('own', 'by name', order_key => q{'w'});
is($session->request($second, 'waits_for'),
	$first, 'a call that names a workflow has the keys of that workflow');
is($session->run(q{UPDATE domowf.workflow SET order_scope = ''})->{sqlstate},
	'23514', 'a scope has a name');

# ---- permissions are out of reach

foreach my $attack (
	[ 'enqueue', sub { $alice->enqueue('own', 'x', order_key => q{'model-77'}, run_at => $later) } ],
	[ 'enqueue, spelled', sub { $alice->enqueue('own', 'x', order_key => q{'model:model-77'}, run_at => $later) } ],
	[ 'scope', sub { $alice->enqueue('one', 'x', order_key => q{'model-77'}, run_at => $later) } ],
	[ 'call', sub { call_with($alice, 'model-77', run_at => $later) } ])
{
	$attack->[1]->();
	is($bob->outcome($bob->value(sprintf $permissions, 'model-77', '')),
		'done', "no order key holds back permissions: $attack->[0]");
}
$got = $bob->run(sprintf $permissions, 'm', q{, order_key => 'mine'});
is($got->{sqlstate}, '22023', 'an order key given with set_permissions is refused');
like($got->{message}, qr/^invalid order_key/, '... it says why');
$domo->script('gate:p', count => 1, operation => 'set_permissions');
$first = $alice->value(sprintf $permissions, 'shared', '');
$domo->wait_for(held => 1);
$second = $bob->value(sprintf $permissions, 'shared', '');
is($session->request($second, 'waits_for, order_key'),
	"$first|shared", 'two roles\' changes of one model go one after the other');
$domo->release('p');
is($bob->outcome($second), 'done', '... both');

# ---- nobody is left behind, without a poll

# The first of an order key is being sent.
sub hold_first
{
	my ($key) = @_;

	$domo->script("gate:$key", count => 1, contains => "\"$key first\"");
	my $request = $alice->enqueue('own', "$key first", order_key => "'$key'");
	$domo->wait_for(held => 1);
	return $request;
}

sub end_worker
{
	$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	return until_true(q{SELECT state = 'idle' FROM domowf.worker},
		'... another worker has begun');
}

$first = hold_first('a');
$bob->run('BEGIN');
$second = $bob->enqueue('own', 'a second', order_key => q{'a'});
$domo->release('a');
is($alice->outcome($first), 'done',
	'the first is done while somebody enqueues another one');
end_worker();
$bob->run('COMMIT');
is($bob->outcome($second), 'done', '... which is sent when it is committed');

# the transaction that gives it up has not seen the one behind, which is there
# when it commits
$first = $alice->enqueue('own', 'e first', order_key => q{'e'}, run_at => $later);
$alice->run('BEGIN');
is($alice->value("SELECT domowf_discard($first)"),
	't', 'one is given up, not yet committed');
$second = $bob->enqueue('own', 'e second', order_key => q{'e'});
$alice->run('COMMIT');
is($bob->outcome($second), 'done', '... who came meanwhile goes when it is');

# both give up: the one that goes and the one that is next, at once
$first = $alice->enqueue('own', 'd first', order_key => q{'d'}, run_at => $later);
$second = $bob->enqueue('own', 'd second', order_key => q{'d'});
$third = $bob->enqueue('own', 'd third', order_key => q{'d'});
$bob->run('BEGIN');
is($bob->value("SELECT domowf_discard($second)"), 't', 'the next one is given up');
is($alice->value("SELECT domowf_discard($first)"),
	't', '... and the first one, before that is committed');
$bob->run('COMMIT');
is($bob->outcome($third), 'done', '... the third one goes');

# ---- what waits costs nothing

$session->set_worker('off');
$session->value('SELECT count(domowf_discard(id)) FROM domowf.queue');
$alice->value(sprintf <<'END', PARKED / 1000, $later);
DO $$ BEGIN
	FOR i IN 1 .. %d LOOP
		PERFORM domowf_enqueue('own', order_key => 'parked ' || i * 1000 + g,
			run_at => %s) FROM generate_series(1, 1000) g;
		COMMIT;
	END LOOP;
END $$
END
is($session->value('SELECT count(DISTINCT order_key) FROM domowf.queue'),
	PARKED, PARKED . ' order keys are parked');
$session->value('VACUUM ANALYZE domowf.queue');
$session->configure('domowf.poll_interval', '100ms');
my $before = $session->entries_read('queue');
my $began = time;
$session->set_worker('on');
foreach (1 .. POLLS)
{
	$got = $bob->enqueue('own', 'over', run_at => $later,
		expires_at => 'clock_timestamp()');
	$bob->outcome($got);
	$got = $bob->enqueue('own', "goes $_", order_key => "'goes $_'");
	is($bob->outcome($got), 'done', 'others are sent');
}
$session->set_worker('off');

# round once, some at each poll, and a few for each request; ten polls a second
my $read = $session->entries_read('queue') - $before;
my $polls = 10 * (time - $began);

$polls = POLLS if $polls < POLLS;
cmp_ok($read, '<', 2 * PARKED + 1500 * $polls,
	"... and the worker has hardly looked at what waits: $read");

# ---- a backlog with an order key each

$bob->value(sprintf <<'END', 3);
DO $$ BEGIN
	FOR i IN 1 .. %d LOOP
		PERFORM domowf_enqueue('own', jsonb_build_object('n', 'each '
			|| i * 1000 + g), order_key => 'each ' || i * 1000 + g)
			FROM generate_series(1, 1000) g;
		COMMIT;
	END LOOP;
END $$
END
$session->set_worker('on');
until_true(q{SELECT count(*) = 3000 FROM domowf.log WHERE outcome = 'done'
		AND order_key LIKE 'each %'}, 'a backlog with an order key each is sent');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach $alice, $bob, $session;
$node->stop;
done_testing();
