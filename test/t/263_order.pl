
# One request of an order key at a time, where people retry and give up, and
# the next one without waiting for a poll, whoever was quicker: the worker
# that settles the one before or the transaction of the one behind.

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

# Far below the poll interval.
use constant SOON => 170;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.timeout = '10min'
domowf.poll_interval = '1h'
END
my ($one, $two) = map { Domowf->session($node) } 1 .. 2;
my ($first, $second, $third, $start);
my $hour = q{now() + interval '1 hour'};

$one->value(q{INSERT INTO domowf.workflow (name, model_id, version,
	message_name) VALUES ('plain', 'model', '1.0.0', 'Start it')});

sub enqueue
{
	my ($session, $n, $order_key, %option) = @_;

	return $session->enqueue('plain', $n, order_key => "'$order_key'", %option);
}

sub outcome
{
	return $node->safe_psql('postgres', Domowf->outcome_sql(@_));
}

sub arrivals
{
	my ($text) = @_;

	return map { $_->{data}{n} } $domo->record(contains => "\"$text ");
}

sub is_soon
{
	my ($request, $name) = @_;

	$start = time;
	is(outcome($request), 'done', $name);
	cmp_ok(time - $start, '<', SOON, '... without waiting for a poll');
	return;
}

# ---- a time that comes

is_soon(enqueue($one, 'later', 'later',
		run_at => q{clock_timestamp() + interval '500 ms'}),
	'run_at: sent when its time has come');

# ---- nobody is left behind

$domo->script('gate:a', count => 1, contains => 'a first');
$first = enqueue($one, 'a first', 'a');
$domo->wait_for(held => 1);
$two->run('BEGIN');
$second = enqueue($two, 'a second', 'a');
$domo->release('a');
is(outcome($first), 'done', 'the first is done before the second is committed');
is($two->value("SELECT waiting FROM domowf.queue WHERE id = $second"),
	't', '... which stands behind nobody');
$two->run('COMMIT');
is_soon($second, '... and is sent when it is committed');

$first = enqueue($one, 'b first', 'b', run_at => $hour);
$one->run('BEGIN');
is($one->value("SELECT domowf_discard($first)"),
	't', 'the first is given up, not yet committed');
$second = enqueue($two, 'b second', 'b');
$one->run('COMMIT');
is_soon($second, '... the second is sent when it is');

$first = enqueue($one, 'c first', 'c', run_at => $hour);
$one->run('BEGIN');
$one->value("SELECT domowf_discard($first)");
$second = enqueue($two, 'c second', 'c');
$one->run('ROLLBACK');
$domo->script('gate:c', count => 1, contains => 'c other');
enqueue($one, 'c other', 'other');
$domo->wait_for(held => 1);
is($one->value("SELECT waiting FROM domowf.queue WHERE id = $second"),
	't', 'not given up after all: the second waits');
$domo->release('c');
$one->value("SELECT domowf_retry($first)");
is_soon($second, '... until the first, sent now, is done');
is_deeply([ arrivals('c') ],
	[ 'c other', 'c first', 'c second' ], '... in order');

# ---- one that is retried

$domo->script('status:404', count => 1, contains => 'd first');
$first = enqueue($one, 'd first', 'd');
is(outcome($first), 'rejected', 'the first is rejected');
$domo->script('gate:d', count => 1, contains => 'd second');
$second = enqueue($one, 'd second', 'd');
$domo->wait_for(held => 1);
is($one->value("SELECT domowf_retry($first)"),
	't', '... and retried while the second is being sent');

# makes the worker look for those that stand behind nobody
$third = enqueue($one, 'd third', 'd');
is_soon(enqueue($one, 'beside', 'e'), 'another order key goes on');
is_deeply([ arrivals('d') ],
	[ 'd first', 'd second' ], '... the first waits for the second');
is( $one->value(
		"SELECT string_agg(state || ' ' || waiting, ', ' ORDER BY id)"
		  . " FROM domowf.queue WHERE order_key = 'd'"),
	'queued true, sending false, queued true',
	'... and so does the third');
is($one->value('SELECT domowf_discard(' . enqueue($one, 'd gone', 'd') . ')'),
	't', '... one behind them is given up');
is_soon(enqueue($one, 'beside', 'e'), '... others go on');
is_deeply([ arrivals('d') ], [ 'd first', 'd second' ], '... they do not');
$domo->release('d');
is_soon($third, 'all are done, one after the other');
is_deeply(
	[ arrivals('d') ],
	[ 'd first', 'd second', 'd first', 'd third' ],
	'... each once');

# one that waits does not overtake
$domo->script('gate:w', count => 1, contains => 'w first');
enqueue($one, 'w first', 'w');
$domo->wait_for(held => 1);
$second = enqueue($one, 'w second', 'w');
is($one->value("SELECT domowf_retry($second)"), 't', 'one that waits is retried');
is_soon(enqueue($one, 'beside', 'e'), '... others go on');
is_deeply([ arrivals('w') ], ['w first'], '... it goes on waiting');
$domo->release('w');
is_soon($second, '... and is sent in its turn');

# the one before it is done before the retry is committed
$domo->script('status:404', count => 1, contains => 'g first');
$first = enqueue($one, 'g first', 'g');
is(outcome($first), 'rejected', 'again, the first is rejected');
$domo->script('gate:g', count => 1, contains => 'g second');
$second = enqueue($one, 'g second', 'g');
$domo->wait_for(held => 1);
$two->run('BEGIN');
is($two->value("SELECT domowf_retry($first)"),
	't', '... and retried behind the second, not yet committed');
$domo->release('g');
is(outcome($second), 'done', '... which is done before that');
$two->run('COMMIT');
is_soon($first, '... the first is sent when it is committed');

# behind one in doubt, and over the worker's end
$domo->script('status:404', count => 1, contains => 'f first');
$first = enqueue($one, 'f first', 'f');
is(outcome($first), 'rejected', 'once more, the first is rejected');
$domo->script('hang', count => 1, contains => 'f second');
$second = enqueue($one, 'f second', 'f');
$domo->wait_for(held => 1);
$third = enqueue($one, 'f third', 'f');
$one->value("SELECT domowf_retry($first)");
$one->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
is(outcome($second), 'in_doubt', '... the worker ends while it is sending');
enqueue($one, 'f fourth', 'f');
is_soon(enqueue($one, 'beside', 'e'), '... others go on');
is_deeply([ arrivals('f') ],
	[ 'f first', 'f second' ], '... those behind the one in doubt do not');
$one->value("SELECT domowf_resolve($second, 'by hand')");
is_soon($third, '... until it is resolved');
is_deeply(
	[ (arrivals('f'))[ 0 .. 3 ] ],
	[ 'f first', 'f second', 'f first', 'f third' ],
	'... then they go, one after the other');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach $one, $two;
$node->stop;
done_testing();
