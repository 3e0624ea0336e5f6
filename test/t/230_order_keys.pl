
# `key` and `order_key` where transactions meet: who waits for whom, who gets
# which id, what goes after what; with rollback, savepoints, prepared
# transactions and requests in doubt.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/could not serialize access/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '500ms'
max_prepared_transactions = 10
END
my ($one, $two) = map { Domowf->session($node) } 1 .. 2;
my ($got, $first, $second, $third);

$one->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name,
	order_scope)
VALUES ('plain', 'model', '1.0.0', 'Start it', 'shared'),
	('other', 'model', '1.0.0', 'Start it', 'shared'),
	('slow', 'scenario:delay:30', '1.0.0', 'Start it', 'shared'),
	('refused', 'scenario:status:404', '1.0.0', 'Start it', 'shared'),
	('doubtful', 'scenario:status:502', '1.0.0', 'Start it', 'shared')
END

my $hour = q{now() + interval '1 hour'};

sub outcome
{
	return $node->safe_psql('postgres', Domowf->outcome_sql(@_));
}

sub now_is
{
	my ($request) = @_;

	return $node->safe_psql('postgres',
		"SELECT state FROM domowf.request WHERE id = $request");
}

sub until_waits
{
	my ($session) = @_;

	return $node->poll_query_until('postgres',
		q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = }
		  . $session->pid);
}

# The n of what arrived, in order of arrival.
sub arrivals
{
	my ($text) = @_;

	return map { $_->{data}{n} } $domo->record(contains => $text);
}

# ---- key: two transactions at a time

$one->run('BEGIN');
$first = $one->enqueue('plain', 'k1 first', key => q{'k1'});
is($one->enqueue('plain', 'k1 twice', key => q{'k1'}),
	$first, 'key: again in the same transaction gives the same id');
$two->send(Domowf->enqueue_sql('plain', 'k1 second', key => q{'k1'}));
ok(until_waits($two), 'key: another transaction waits');
$one->run('COMMIT');
is($two->wait->{out}, $first, '... and gets the id of the first');
is(outcome($first), 'done', '... which is sent');
is($one->enqueue('plain', 'k1 third', key => q{'k1'}),
	$first, '... also when it is done');
is($domo->started($_->[0]), $_->[1], "... executed: $_->[0]")
  foreach [ 'k1 first', 1 ], [ 'k1 twice', 0 ], [ 'k1 second', 0 ],
  [ 'k1 third', 0 ];
isnt($one->enqueue('other', 'k1 other', key => q{'k1'}),
	$first, 'another workflow has keys of its own');
isnt( $one->value(q{SELECT domowf_enqueue_call('cancel',
		'{"id": "none"}', key => 'k1')}),
	$first,
	'... and so has an operation');

# both have seen that nobody holds it, and then insert it
my $offset = Domowf->log_size($node);
$one->configure('domowf.test_point', 'before-key=wait');
ok( $node->poll_query_until('postgres',
		q{SELECT setting <> '' FROM pg_settings WHERE name = 'domowf.test_point'}),
	'key: two at once');
$_->send(Domowf->enqueue_sql('plain', 'at once ' . $_->pid, key => q{'at once'}))
  foreach $one, $two;
$node->wait_for_log(qr/"before-key" waits.*"before-key" waits/s, $offset);
$node->safe_psql('postgres', 'ALTER SYSTEM RESET domowf.test_point');
$node->reload;
($first, $second) = map { $_->wait } $one, $two;
is($first->{err} . $second->{err}, '', '... without an error');
is($first->{out}, $second->{out}, '... get one id');
is( $one->value(q{SELECT string_agg(scope || ' ' || key || ' ' || request_id, ',')
		FROM domowf.key WHERE key LIKE 'at%' OR request_id = } . $first->{out}),
	"plain at once $first->{out}",
	'... of the one that holds the key');
is(outcome($first->{out}), 'done', '... which is sent');

$one->run('BEGIN');
$first = $one->enqueue('plain', 'k2 first', key => q{'k2'});
$two->send(Domowf->enqueue_sql('plain', 'k2 second', key => q{'k2'}));
ok(until_waits($two), 'key: another transaction waits');
$one->run('ROLLBACK');
$second = $two->wait->{out};
isnt($second, $first, '... and inserts when the first rolls back');
is(outcome($second), 'done', '... which is sent');
is($domo->started('k2 first') . $domo->started('k2 second'), '01', '... that alone');

$one->run('BEGIN; SAVEPOINT s');
$first = $one->enqueue('plain', 'k3 first', key => q{'k3'});
$one->run('ROLLBACK TO s');
$second = $one->enqueue('plain', 'k3 second', key => q{'k3'});
$one->run('COMMIT');
isnt($second, $first, 'key: a savepoint that rolls back gives it back');
is(outcome($second), 'done', '... so that it can be taken');
is($domo->started('k3 first') . $domo->started('k3 second'), '01', '... by one');

$two->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$first = $one->enqueue('plain', 'k4', key => q{'k4'});
is($two->run(Domowf->enqueue_sql('plain', 'k4', key => q{'k4'}))->{sqlstate},
	'40001', 'key: 40001 where the holder cannot be seen');
$two->run('ROLLBACK');
$one->run('BEGIN');
$first = $one->enqueue('plain', 'k5', key => q{'k5'});
$two->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$two->send(Domowf->enqueue_sql('plain', 'k5', key => q{'k5'}));
until_waits($two);
$one->run('COMMIT');
is($two->wait->{sqlstate}, '40001', '... also after waiting for it');
$two->run('ROLLBACK');
outcome($first);
is($domo->started('k4') + $domo->started('k5'), 2, '... and once each');

# ---- many order keys that a person frees at once

my @ids = split /\n/, $one->value(qq{SELECT domowf_enqueue('plain', '{}', order_key => 'f' || g,
	run_at => $hour) FROM generate_series(1, 70) g});
my @next = split /\n/, $one->value(q{SELECT domowf_enqueue('plain', '{}', order_key => 'f' || g)
	FROM generate_series(1, 70) g});
is( $one->value('SELECT count(*) FROM domowf.queue WHERE waiting AND id IN ('
		  . join(', ', @next) . ')'), 70, 'behind 70 others 70 wait');
$one->value("SELECT domowf_discard(id) FROM domowf.queue WHERE id IN (@{[ join ', ', @ids ]})");
ok( $node->poll_query_until('postgres', q{SELECT count(*) = 70 FROM domowf.log
		WHERE outcome = 'done' AND id IN (} . join(', ', @next) . ')'),
	'... those are discarded: all go');

# ---- key: until when

$first = $one->enqueue('refused', 'k6', key => q{'k6'});
is(outcome($first), 'rejected', 'rejected:');
isnt($one->enqueue('refused', 'k6', key => q{'k6'}), $first,
	'... the key is given back');

$first = $one->enqueue('plain', 'k7', key => q{'k7'}, run_at => $hour);
is($one->enqueue('plain', 'k7', key => q{'k7'}), $first, 'queued: the key is held');
$one->value("SELECT domowf_discard($first)");
isnt($one->enqueue('plain', 'k7', key => q{'k7'}),
	$first, '... discarded: given back');

$first = $one->enqueue('plain', 'k8', key => q{'k8'}, run_at => $hour,
	expires_at => 'clock_timestamp()');
is(outcome($first), 'expired', 'expired:');
isnt($one->enqueue('plain', 'k8', key => q{'k8'}), $first,
	'... the key is given back');

$first = $one->enqueue('doubtful', 'k9', key => q{'k9'});
is(outcome($first), 'in_doubt', 'in doubt:');
is($one->enqueue('doubtful', 'k9', key => q{'k9'}), $first, '... the key is held');
$one->value("SELECT domowf_resolve($first, 'instance')");
is($one->enqueue('doubtful', 'k9', key => q{'k9'}),
	$first, '... and when it is resolved, too');
$one->value("UPDATE domowf.log SET settled_at = now() - interval '31 d'"
	  . " WHERE id = $first");
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM domowf.log WHERE id = $first"),
	'retention removes the log row');
isnt($one->enqueue('doubtful', 'k9', key => q{'k9'}), $first,
	'... and the key with it');

# ---- order_key: order of commits

my @sessions = ($one, $two, map { Domowf->session($node) } 1 .. 2);
foreach my $s (0 .. 3)
{
	$sessions[$s]->send(<<"END");
DO \$\$ BEGIN
	FOR i IN 1 .. 12 LOOP
		PERFORM domowf_enqueue('slow',
			jsonb_build_object('n', 'strict $s ' || i), order_key => 'strict');
		COMMIT;
	END LOOP;
END \$\$
END
}
is($_->wait->{sqlstate}, '', 'order_key: several enqueue at a time')
  foreach @sessions;
$_->quit foreach @sessions[ 2, 3 ];
my @expected = split /\n/,
  $one->value(q{SELECT n FROM (
	SELECT id, request->'data'->>'n' AS n FROM domowf.queue
		WHERE order_key = 'strict'
	UNION ALL SELECT id, request->'data'->>'n' FROM domowf.log
		WHERE order_key = 'strict') r ORDER BY id});
is(scalar @expected, 48, '... none is lost');
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 48 FROM domowf.log WHERE outcome = 'done'
			AND order_key = 'strict'}),
	'... all are done');
is_deeply([ arrivals('strict') ], \@expected, '... in the order of their ids');
my @times = map { $_->{time} } $domo->record(contains => 'strict');
is(scalar(grep { $times[$_] - $times[ $_ - 1 ] < 0.029 } 1 .. $#times),
	0, '... one at a time');
foreach my $s (0 .. 3)
{
	is_deeply(
		[ grep { /strict $s / } @expected ],
		[ map { "strict $s $_" } 1 .. 12 ],
		"... those of session $s in its own order");
}

$one->run('BEGIN');
$first = $one->enqueue('plain', 'o1 first', order_key => q{'o1'},
	run_at => q{clock_timestamp() + interval '500 ms'});
$two->send(Domowf->enqueue_sql('plain', 'o1 second', order_key => q{'o1'}));
ok(until_waits($two), 'order_key: another transaction waits');
$one->run('COMMIT');
$second = $two->wait->{out};
is(outcome($second), 'done', '... goes on after COMMIT');
is_deeply([ arrivals('o1') ],
	[ 'o1 first', 'o1 second' ], '... and after the first one, even if that waits');

$one->run('BEGIN; SAVEPOINT s');
$one->enqueue('plain', 'o2 first', order_key => q{'o2'}, run_at => $hour);
$one->run('ROLLBACK TO s');
$two->send(Domowf->enqueue_sql('plain', 'o2 second', order_key => q{'o2'}));
is(outcome($two->wait->{out}),
	'done', 'order_key: a savepoint that rolls back lets it go');
$one->run('ROLLBACK');

$two->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$first = $one->enqueue('plain', 'o3 first', order_key => q{'o3'}, run_at => $hour);
$second = $two->enqueue('plain', 'o3 second', order_key => q{'o3'});
is($two->value("SELECT waiting FROM domowf.queue WHERE id = $second"),
	't', 'order_key: an old snapshot does not hide who was first');
$two->run('COMMIT');
$one->value("SELECT domowf_discard($first)");
is(outcome($second), 'done', '... and the next goes when that is given up');

# the first ends while the second is not committed yet
$domo->script('gate:o4', count => 1, contains => 'o4 first');
$first = $one->enqueue('plain', 'o4 first', order_key => q{'o4'});
$domo->wait_for(held => 1);
$two->run('BEGIN');
$second = $two->enqueue('plain', 'o4 second', order_key => q{'o4'});
$domo->release('o4');
is(outcome($first), 'done', 'order_key: the first ends before the second commits');
$two->run('COMMIT');
is(outcome($second), 'done', '... and the second is found');

# ---- order_key: in doubt

$first = $one->enqueue('doubtful', 'd1 first', order_key => q{'d1'});
$second = $one->enqueue('plain', 'd1 second', order_key => q{'d1'});
$third = $one->enqueue('plain', 'd1 third', order_key => q{'d1'});
is(outcome($first), 'in_doubt', 'the first of an order key is in doubt');
is(outcome($one->enqueue('plain', 'd2', order_key => q{'d2'})),
	'done', '... another key goes on');
is(outcome($one->enqueue('plain', 'd3')), 'done', '... and so does no key');
is(now_is($second), 'queued', '... but its own is held back');
$one->value("SELECT domowf_retry($first)");
ok( $node->poll_query_until('postgres',
		"SELECT state = 'in_doubt' AND jsonb_array_length(errors) = 2"
		  . " FROM domowf.queue WHERE id = $first"),
	'... tried again, it is in doubt again');
is(now_is($second), 'queued', '... and still holds back its own');
$one->value("SELECT domowf_resolve($first, 'instance')");
is(outcome($third), 'done', '... until it is resolved');
is_deeply(
	[ arrivals('d1') ],
	[ 'd1 first', 'd1 first', 'd1 second', 'd1 third' ],
	'... then the others go, in order');

foreach my $case (
	[ 'refused', 'rejected' ],
	[ 'plain', 'expired', run_at => $hour, expires_at => 'clock_timestamp()' ])
{
	my ($workflow, $state, %option) = @$case;

	$one->run('BEGIN');
	$first =
	  $one->enqueue($workflow, "$state 1", order_key => "'$state'", %option);
	$second = $one->enqueue('plain', "$state 2", order_key => "'$state'");
	$one->run('COMMIT');
	is(outcome($second), 'done', "the next one goes after one that is $state");
	is(now_is($first), $state, "... which is $state");
}

$domo->script([ ('status:502') x 2 ], contains => 'set back');
$one->value(q{UPDATE domowf.workflow SET on_doubt = 'retry'
	WHERE name = 'other'});
$first = $one->enqueue('other', 'set back 1', order_key => q{'r'});
$second = $one->enqueue('plain', 'set back 2', order_key => q{'r'});
is(outcome($second), 'done', 'one that is repeated holds back the next');
is_deeply(
	[ arrivals('set back') ],
	[ ('set back 1') x 3, 'set back 2' ],
	'... until it is done');

# ---- permissions of one model

my $permissions = q{SELECT domowf_enqueue_call('set_permissions',
	jsonb_build_object('modelId', 'm%s', 'permissions', jsonb_build_array(
	jsonb_build_object('id', '%s', 'type', 'USER',
	'permissions', jsonb_build_array('READ')))))};
$domo->script('delay:20', count => undef, operation => 'set_permissions');
my $last;
foreach my $i (1 .. 8)
{
	$last = $one->value(sprintf $permissions, 1, $i);
	$one->value(sprintf $permissions, 2, $i) if $i == 4;
}
is(outcome($last), 'done', 'permissions of a model are set');
$domo->clear_script;
is_deeply(
	[ map { $_->{data}[0]{id} // $_->{data}{permissions}[0]{id} }
		  $domo->record(operation => 'set_permissions', id => 'm1') ],
	[ 1 .. 8 ],
	'... in the order in which it was asked');
is($domo->permissions('m1')->[0]{id}, 8, '... so that the last one stands');

# ---- limits and deadlocks

my $many = q{SELECT count(domowf_enqueue('plain', order_key => 'many ' || g,
	run_at => now() + interval '1 hour')) FROM generate_series(1, %d) g};
$one->run('BEGIN');
is($one->run(sprintf $many, 1000)->{out}, 1000, '1000 order keys are accepted');
is($one->run(sprintf $many, 1000)->{out},
	1000, '... and the same again in the same transaction');
$one->run('ROLLBACK');

$one->run('BEGIN');
$two->run('BEGIN');
$one->enqueue('plain', 'x', order_key => q{'x'});
$two->run(Domowf->enqueue_sql('plain', 'y', order_key => q{'y'}));
$one->send(Domowf->enqueue_sql('plain', 'y', order_key => q{'y'}));
until_waits($one);
$two->send(Domowf->enqueue_sql('plain', 'x', order_key => q{'x'}));
my @codes;
foreach my $session ($two, $one)
{
	push @codes, $session->wait->{sqlstate};
	$session->run('ROLLBACK');
}
is(join(' ', sort @codes), ' 40P01', 'opposite orders: one gives in');

# ---- prepared transactions

$one->run('BEGIN');
$first = $one->enqueue('plain', 'p first', order_key => q{'p'}, key => q{'pk'});
is($one->run(q{PREPARE TRANSACTION 'p1'})->{sqlstate},
	'', 'a transaction that enqueued can be prepared');
$two->send(Domowf->enqueue_sql('plain', 'p second', order_key => q{'p'}));
ok(until_waits($two), '... it keeps its order key');
is($domo->started('p first'), 0, '... and nothing is sent');
$one->value(q{COMMIT PREPARED 'p1'});
is(outcome($first), 'done', 'COMMIT PREPARED: it is sent');
is(outcome($two->wait->{out}), 'done', '... and then the next one');
is_deeply([ arrivals('"n": "p ') ], [ 'p first', 'p second' ], '... in order');

$one->run('BEGIN');
$first = $one->enqueue('plain', 'q first', order_key => q{'q'}, key => q{'qk'});
$one->run(q{PREPARE TRANSACTION 'p2'});
$two->send(Domowf->enqueue_sql('plain', 'q second', order_key => q{'q'}));
until_waits($two);
$one->value(q{ROLLBACK PREPARED 'p2'});
is(outcome($two->wait->{out}), 'done', 'ROLLBACK PREPARED: the next one goes');
isnt($one->enqueue('plain', 'q third', key => q{'qk'}), $first,
	'... the key is given back');
is($domo->started('q first'), 0, '... and what was rolled back is not sent');

# prepared while the server is down
$one->run('BEGIN');
$first = $one->enqueue('plain', 's first', order_key => q{'s'});
$one->run(q{PREPARE TRANSACTION 'p3'});
$_->quit foreach $one, $two;
$node->stop('immediate');
$node->start;
($one, $two) = map { Domowf->session($node) } 1 .. 2;
$two->send(Domowf->enqueue_sql('plain', 's second', order_key => q{'s'}));
ok(until_waits($two), 'a prepared transaction keeps its order key over a crash');
$one->value(q{COMMIT PREPARED 'p3'});
is(outcome($two->wait->{out}), 'done', '... until it is committed');
is_deeply([ arrivals('"n": "s ') ], [ 's first', 's second' ], '... in order');

my $count = $domo->count(by => 'data.n', contains => 'strict', executed => 1);
is($count->{max}, 1, 'nothing was executed twice');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach $one, $two;
$node->stop;
done_testing();
