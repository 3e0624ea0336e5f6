
# Indexes of somebody's own on domowf's tables, which README welcomes: in
# another order, of another collation or operator class, of some rows only, and
# the extension's own made anew, so that theirs come first.  What domowf looks
# for by an index it finds all the same; and where none serves, nothing is sent
# or queued, and everybody is told which is missing.

use strict;
use warnings;
use utf8;

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
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.max_connections = 32
END
my $register = <<'END';
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('plain', 'model', '1.0.0', 'Start it'),
	('other', 'model', '1.0.0', 'Start it'),
	('gated', 'scenario:gate:order', '1.0.0', 'Start it')
END
my @letters = qw(B a _ Z z A - b é c D 1 É E f);
my ($n, $got) = (0);

# a collation that is not C's, so that an index in C's order has another one
$node->safe_psql('postgres',
	q{CREATE DATABASE words TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'
	LOCALE_PROVIDER icu ICU_LOCALE 'en'});
$node->safe_psql($_, "CREATE EXTENSION IF NOT EXISTS domowf; $register")
  foreach qw(postgres words);
my $session = Domowf->session($node);
my $words = Domowf->session($node, dbname => 'words');

# Two requests of each of some order keys: the second is not sent before the
# first is settled.
sub keeps_order
{
	my ($name, $before) = @_;
	my @keys = map { "$_$n" } @letters;
	my @ids;

	$n++;
	foreach my $i (1, 2)
	{
		push @ids,
		  map { $words->enqueue('gated', "$n $_ $i", order_key => "'$_'") } @keys;
	}
	is( $words->value(sprintf 'SELECT count(*) FROM domowf.queue
			WHERE waiting AND id IN (%s)', join ',', @ids),
		scalar @keys, "$name: the second of each order key waits");
	foreach (1, 2)
	{
		$domo->wait_for(held => '=' . @keys);
		$domo->release('order', scalar @keys);
	}
	is_deeply([ map { $words->outcome($_) } @ids ],
		[ ('done') x @ids ], '... until the first one is settled');
	return;
}

# ---- others in the way; scheduled requests stand before and behind

$session->enqueue('plain', ++$n, run_at => q{now() + '1 hour'});

foreach my $mine (
	'(lane DESC, due, id)', '(lane, due DESC, id)',
	'(lane, due, id DESC)', '(lane NULLS FIRST, due, id)',
	'(lane, due, id) WHERE waiting', 'USING hash (lane)',
	'(lane, due)', '(id DESC)',
	'(id) WHERE id < 0')
{
	$session->value("CREATE INDEX mine ON domowf.queue $mine");
	$session->value("REINDEX INDEX CONCURRENTLY domowf.$_")
	  foreach qw(queue_lane queue_pkey);
	my @ids = map { $session->enqueue($_, ++$n) } qw(plain other);
	is_deeply([ map { $session->outcome($_) } @ids ],
		[ 'done', 'done' ], "an index $mine: requests are sent");
	$session->value('DROP INDEX domowf.mine');
}
foreach my $mine (
	'(order_space, order_key COLLATE "C", waiting, id)',
	'(order_space COLLATE "C", order_key, waiting, id)',
	'(order_space text_pattern_ops, order_key, waiting, id)',
	'(order_space, order_key text_pattern_ops, waiting, id)',
	'(order_space, order_key DESC, waiting, id)',
	'(order_space, order_key, waiting DESC, id)',
	'(order_space, order_key, waiting, id DESC)',
	'(order_space, order_key, waiting, id) WHERE order_space IS NULL',
	'(order_space, order_key, waiting, id) WHERE order_key IS NOT NULL',
	q{(order_space, order_key, waiting, id)
		WHERE order_space IS NOT NULL AND order_space < 's'})
{
	$words->value("CREATE INDEX mine ON domowf.queue $mine");
	$words->value('REINDEX INDEX CONCURRENTLY domowf.queue_order');
	keeps_order("an index $mine");
	$words->value('DROP INDEX domowf.mine');
}
foreach my $mine ('(scope, key COLLATE "C")', '(scope, key DESC)')
{
	$words->value("CREATE UNIQUE INDEX mine ON domowf.key $mine");
	$words->value('REINDEX INDEX CONCURRENTLY domowf.key_pkey');
	my $key = q{'of } . ++$n . q{'};
	my $id = $words->enqueue('plain', $n, key => $key);

	is($words->enqueue('plain', $n, key => $key),
		$id, "an index $mine: a key is one request");
	is($words->outcome($id), 'done', '... which is sent');
	$words->value('DROP INDEX domowf.mine');
}

# ---- a row has an entry where the index's predicate says so, and nowhere else

$session->value(q(CREATE INDEX mine ON domowf.queue (requested_by)
	WHERE run_at IS NOT NULL));
$session->value(q(CREATE INDEX other ON domowf.queue (id) WHERE key IS NULL));
$session->enqueue('plain', ++$n, run_at => q{now() + '1 hour'}) foreach 1 .. 3;
$session->enqueue('plain', ++$n, run_at => q{now() + '1 hour'}, key => "'k$_'")
  foreach 1 .. 2;
$session->enqueue('plain', ++$n, run_at => q{now() + '1 hour'},
	order_key => "'o'", expires_at => q{now() + '1 day'});
$session->value('VACUUM (FREEZE) domowf.queue');
foreach my $index (
	[ 'queue_key', 'key IS NOT NULL', 2 ],
	[ 'queue_order', 'order_space IS NOT NULL', 1 ],
	[ 'queue_expires', 'expires_at IS NOT NULL', 1 ],
	[ 'mine', 'run_at IS NOT NULL', '[1-9]\d*' ],
	[ 'other', 'key IS NULL', '[1-9]\d*' ])
{
	my ($name, $predicate, $count) = @$index;
	my $rows = $session->value(
		"SELECT count(*) FROM domowf.queue WHERE $predicate");

	like($rows, qr/^$count$/, "rows: $predicate");
	is( $session->value("SELECT reltuples FROM pg_class
			WHERE oid = 'domowf.$name'::regclass"),
		$rows, "... as many are in $name");
}
$session->value('DROP INDEX domowf.mine, domowf.other');

# ---- none that serves

foreach my $case (
	[ 'DROP INDEX domowf.queue_lane', 'index on (lane, due, id)' ],
	[ 'DROP INDEX domowf.queue_order',
		'index on (order_space, order_key, waiting, id)' ],
	[ 'ALTER TABLE domowf.queue DROP CONSTRAINT queue_pkey',
		'unique index on (id)' ],
	[ 'ALTER TABLE domowf.key DROP CONSTRAINT key_pkey',
		'unique index on (scope, key)' ],
	[ 'ALTER TABLE domowf.log DROP CONSTRAINT log_pkey',
		'unique index on (id)', 'queued all the same' ])
{
	my ($ddl, $missing, $is_queued) = @$case;
	my $id = $session->enqueue('plain', ++$n, run_at => q{now() + '1 hour'});

	$session->value($ddl);
	$got = $session->run(
		Domowf->enqueue_sql('plain', ++$n, key => "'key of $n'"));
	is($got->{sqlstate}, $is_queued ? '' : '55000', "$ddl: what needs it fails");
	like($got->{message}, qr/has lost its \Q$missing\E/, '... with its name')
	  unless $is_queued;
	$got = $session->value(
		q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'objects'});
	like($got, qr/^f\|.*has lost its \Q$missing\E: CREATE /,
		'... and domowf_check() tells of it');
	ok( $node->poll_query_until('postgres',
			q{SELECT pause_reason LIKE '%has lost its %' FROM domowf.worker}),
		'... and the worker sends nothing');
	my ($mend) = $got =~ /: (CREATE .*)$/;
	$session->value($mend);
	$session->value("SELECT domowf_retry($id)");
	is($session->outcome($id), 'done', '... until it is there again');
}

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$words->quit;
$node->stop;
done_testing();
