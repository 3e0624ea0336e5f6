
# The library and the extension's SQL of different versions: a worker serves
# what it knows, waits while the SQL is newer, and goes on by itself.  Exists
# because a running server keeps its library over ALTER EXTENSION UPDATE.
# Scripts of versions that there are not are put into a copy of the
# installation.

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

# About a second, and a busy machine.
use constant SOON => 3;

my %scripts = (

	# another shape, and back
	'1.1--1.2' => q{ALTER TABLE domowf.queue RENAME errors TO faults;
		ALTER TABLE domowf.log RENAME errors TO faults;},
	'1.2--1.1' => q{ALTER TABLE domowf.queue RENAME faults TO errors;
		ALTER TABLE domowf.log RENAME faults TO errors;},

	# one that even an INSERT meets
	'1.1--2.0' => q{ALTER TABLE domowf.queue ADD COLUMN later text;},

	# no table is touched
	'1.1--1.10' => q{COMMENT ON SCHEMA domowf IS 'of later';},
	'1.10--1.1' => q{COMMENT ON SCHEMA domowf IS 'of 1.1';},);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf->own_installation(%scripts) . Domowf::RETRY_AT_ONCE . <<'END');
domowf.timeout = '10min'
domowf.poll_interval = '500ms'
END
my ($id, $got, $offset);

sub value
{
	my ($sql, $database) = @_;

	return $node->safe_psql($database // 'postgres', $sql);
}

sub register
{
	my ($database) = @_;

	value(q{INSERT INTO domowf.workflow (name, model_id, version,
		message_name) VALUES ('plain', 'model', '1.0.0', 'Start it')},
		$database);
	return;
}

sub enqueue
{
	my ($n, $database) = @_;

	return value(Domowf->enqueue_sql('plain', $n), $database);
}

sub outcome
{
	my ($request, $database) = @_;

	return value(Domowf->outcome_sql($request), $database);
}

sub now_is
{
	my ($request, $database) = @_;

	return value("SELECT state FROM domowf.request WHERE id = $request",
		$database);
}

# A request that hangs.
sub hang
{
	my ($n, $database) = @_;

	$domo->script("gate:$n", count => 1, contains => "\"$n\"");
	my $held = $domo->stats->{held};
	my $request = enqueue($n, $database);
	$domo->wait_for(held => '=' . ($held + 1));
	return $request;
}

# ALTER EXTENSION UPDATE; it must be quick.
sub update
{
	my ($version, $database) = @_;
	my $start = time;

	value("ALTER EXTENSION domowf UPDATE TO '$version'", $database);
	cmp_ok(time - $start, '<', SOON, "ALTER EXTENSION UPDATE TO $version: quick");
	return;
}

sub until_paused
{
	my ($name, $reason, $database) = @_;

	ok( $node->poll_query_until($database // 'postgres',
			"SELECT state = 'paused' AND pause_reason ~ '$reason'
				FROM domowf.worker"),
		$name);
	return;
}

sub until_outdated
{
	my ($name, $database) = @_;

	until_paused("$name: the worker says that a restart is due",
		'restart', $database);
	return;
}

# What is not as it should be, and whether it says what to do.
sub skew_checks
{
	my ($what, $database) = @_;

	return value("SELECT check_name, detail ~ '$what' FROM domowf_check()"
		  . ' WHERE NOT ok ORDER BY 1', $database);
}

sub count_lines
{
	my ($pattern) = @_;

	return scalar(
		my @lines = Domowf->log_since($node, $offset) =~ /$pattern/g);
}

register();
is( value("SELECT ok, detail ~ extversion FROM domowf_check(),"
		  . " pg_extension WHERE check_name = 'version'"
		  . " AND extname = 'domowf'"),
	't|t',
	'domowf_check tells the versions');
is(outcome(enqueue('first')), 'done', 'a library serves its own version');

# ---- newer SQL, with another shape, while something is in flight

$offset = Domowf->log_size($node);
my @hung = map { hang("hung $_") } 1 .. 2;
update('1.2');
until_outdated('a newer version');
is(now_is($_), 'sending', '... what was in flight is left alone') foreach @hung;
$node->wait_for_log(
	qr/domowf: request $_ was being sent when the extension was updated/,
	$offset)
  foreach @hung;
$node->wait_for_log(
	qr/domowf: nothing is sent from this database: the extension is version 1\.2, newer than the library/,
	$offset);
is(skew_checks('restart'), "objects|t\nreturns|t\ntables|t\nversion|t\nworker|t",
	'... domowf_check says so');
# once more for a look, several times
ok( $node->poll_query_until('postgres',
		q{SELECT pid IS NULL FROM domowf.worker}),
	'... and the worker has left');
foreach (1 .. 2)
{
	my $before = value('SELECT started_at FROM domowf.worker');

	$node->poll_query_until('postgres',
		"SELECT started_at > '$before' FROM domowf.worker");
}
pass('... but for a look at times');
is(count_lines(qr/nothing is sent from this database/),
	1, '... and has said it once');

$offset = Domowf->log_size($node);
$node->restart;
until_outdated('restarted with the same library');
is(now_is($_), 'sending', '... and nothing is recovered') foreach @hung;
$domo->close_all;

update('1.1');
is(outcome($hung[$_]), 'in_doubt',
	'known again: it goes on, and what was in flight is in doubt')
  foreach 0, 1;
is(outcome(enqueue('known again')), 'done', '... and it sends');
is($domo->arrived("hung $_"), 1, '... each was sent once') foreach 1, 2;
is( value("SELECT string_agg(check_name, ' ') FROM domowf_check() WHERE NOT ok"
	),
	'',
	'... domowf_check finds nothing wrong');

# ---- newer SQL, with the same tables

update('1.10');
until_outdated('a version that changes no table');
$id = enqueue('stored');
is(now_is($id), 'queued', '... a request is stored');
is(value("SELECT state FROM domowf_wait($id, '0')"), 'queued', '... waits');
is($domo->arrived('stored'), 0, '... and not sent');
update('1.1');
is(outcome($id), 'done', '... until it is known');
is($domo->arrived('stored'), 1, '... once');

# ---- in nobody's way while it waits

value('CREATE DATABASE two');
value('CREATE EXTENSION domowf', 'two');
register('two');
my $session = Domowf->session($node, dbname => 'two');
$session->value(q{SELECT domowf_enqueue('plain')});
update('2.0', 'two');
until_outdated('in another database', 'two');
foreach my $who ($session, Domowf->session($node, dbname => 'two'))
{
	$got = $who->run(q{SELECT domowf_enqueue('plain')});
	is($got->{sqlstate}, '55000', '... enqueueing is refused');
	like($got->{hint}, qr/Restart/, '... with a hint');
	$who->quit;
}

my $start = time;
value('ALTER DATABASE two RENAME TO three');
cmp_ok(time - $start, '<', SOON, '... RENAME is quick');
until_outdated('renamed', 'three');
value('DROP EXTENSION domowf CASCADE', 'three');
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity
			WHERE datname = 'three' AND backend_type = 'domowf worker'}),
	'DROP EXTENSION: the worker goes');
value('CREATE EXTENSION domowf', 'three');
register('three');
is(outcome(enqueue('created anew', 'three'), 'three'),
	'done', 'made anew in a version that is known: it sends');

# ---- 1.0, which this library serves but for the worker, and its update

value('CREATE DATABASE four');
value(q{CREATE EXTENSION domowf VERSION '1.0'}, 'four');
register('four');
until_paused('version 1.0: the worker says that an update is due',
	'ALTER EXTENSION domowf UPDATE', 'four');
is(skew_checks('ALTER EXTENSION domowf UPDATE', 'four'),
	"returns|t\ntriggers|t\nversion|t\nworker|t",
	'... domowf_check says so');
$id = enqueue('of 1.0', 'four');
is(now_is($id, 'four'), 'queued', '... a request is stored');
$session = Domowf->session($node, dbname => 'four');
foreach my $call ("retry($id)", "discard($id)", "resolve($id, 'i')")
{
	$got = $session->run("SELECT domowf_$call");
	is($got->{sqlstate}, '55000', "... domowf_$call is refused");
	like($got->{hint}, qr/ALTER EXTENSION domowf UPDATE/, '... with a hint');
}
$session->quit;
is($domo->arrived('of 1.0'), 0, '... and nothing is sent');
update('1.1', 'four');
is(outcome($id, 'four'), 'done', '... until it is updated');
is($domo->arrived('of 1.0'), 1, '... once');
is(outcome(enqueue('of 1.1', 'four'), 'four'), 'done', '... updated: it sends');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$start = time;
update('1.2');
until_outdated('at last');
$node->stop('fast');
cmp_ok(time - $start, '<', 2 * SOON + 2, 'a shutdown while it waits');
done_testing();
