
# The launcher where there are many databases, few slots, databases that let
# nobody in or become templates, and workers that cannot start.

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

# As many as have room in a build for tests (shared.h).
use constant MAX_DATABASES => 8;

# Far below a minute.
use constant SOON => 30;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.timeout = '10min'
domowf.poll_interval = '200ms'
log_line_prefix = '%n [%p] '
max_worker_processes = 30
max_prepared_transactions = 5
END
my ($id, $pid, $start, $offset);

sub equip
{
	my ($database) = @_;

	$node->safe_psql($database, <<'END');
CREATE EXTENSION domowf;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('plain', 'model', '1.0.0', 'Start it')
END
	return;
}

sub enqueue
{
	my ($database, $n) = @_;

	return $node->safe_psql($database, Domowf->enqueue_sql('plain', $n));
}

sub outcome
{
	my ($database, $request, $timeout) = @_;

	return $node->safe_psql($database,
		Domowf->outcome_sql($request, undef, $timeout));
}

sub works
{
	my ($database, $name) = @_;

	$start = time;
	is(outcome($database, enqueue($database, "$database $name")),
		'done', $name);
	cmp_ok(time - $start, '<', SOON, '... soon');
	return;
}

sub until_workers
{
	my ($database, $number, $name) = @_;

	return ok(
		$node->poll_query_until('postgres',
			"SELECT count(*) = $number FROM pg_stat_activity"
			  . " WHERE backend_type = 'domowf worker' AND datname = '$database'"),
		$name);
}

sub oid_of
{
	my ($database) = @_;

	return $node->safe_psql('postgres',
		"SELECT oid FROM pg_database WHERE datname = '$database'");
}

sub count_lines
{
	my ($pattern) = @_;

	return scalar(
		my @lines = Domowf->log_since($node, $offset) =~ /$pattern/g);
}

# ---- more databases than there is room for, most of them without it

$node->safe_psql('postgres', 'DROP EXTENSION domowf');
my @databases = map { "db$_" } 1 .. MAX_DATABASES + 3;
$node->safe_psql('postgres', "CREATE DATABASE $_")
  foreach @databases;
my $last = $databases[-1];
equip($last);
works($last, 'the last of many databases has a worker');

# two slots, of which probes take one after the other
$offset = Domowf->log_size($node);
$node->append_conf('postgresql.conf',
	"max_worker_processes = 3\nmax_logical_replication_workers = 0\n");
$node->restart;
works($last, 'also after a restart, and with few slots');
is(count_lines(qr/no background worker is free/),
	0, '... which nobody has to wait for');
equip('postgres');
works('postgres', 'the extension where there was none');

# ---- no free slot

my $began = time;
$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
$node->restart;
Domowf->set_test_point($node, 'no-slot-wait=200');
$offset = Domowf->log_size($node);
my ($with) = grep {
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'domowf worker'}
	);
	$node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity"
		  . " WHERE backend_type = 'domowf worker' AND datname = '$_'")
} 'postgres', $last;
my ($without) = grep { $_ ne $with } 'postgres', $last;
$node->wait_for_log(qr/domowf: no background worker is free for database/, 0);
is( $node->safe_psql($without,
		q{SELECT detail FROM domowf_check() WHERE check_name = 'worker' AND NOT ok}
	),
	'no worker runs: see the server\'s log, and max_worker_processes',
	'no slot: domowf_check says so');
works($with, '... the other database goes on') foreach 1 .. 5;
$id = enqueue($without, 'no slot');
is(outcome($without, $id, '1 s'), 'queued', '... without one nothing is sent');

# ... neither for a process that writes back
$node->append_conf('postgresql.conf', "domowf.stall_after = '200ms'\n");
$node->reload;
$node->safe_psql($with, <<'END');
CREATE TABLE asked (id int PRIMARY KEY, state text);
CREATE TRIGGER go AFTER INSERT ON asked FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('plain', 'n=id', 'state<-state');
INSERT INTO asked VALUES (1);
END
$node->wait_for_log(
	qr/domowf: nothing is written back from this database: no background worker is free/, 0);
ok( $node->poll_query_until($with,
		q{SELECT detail ~ '^no process writes back 1 outcomes: ' FROM domowf_check()
			WHERE check_name = 'returns' AND NOT ok}),
	'... neither is anything written back: domowf_check says so, too');
$node->safe_psql($with, 'DROP EXTENSION domowf CASCADE');
is(outcome($without, $id), 'done', '... it is tried again, until there is one');
is($domo->arrived('no slot'), 1, '... sent once');
$offset = 0;
my @lines = slurp_file($node->logfile) =~ /no background worker is free for/g;
ok(@lines >= 1 && @lines <= 1 + (time - $began) / 60, '... and was said once, or once a minute')
  or diag(scalar @lines);
Domowf->set_test_point($node, '');

# ---- full

$node->append_conf('postgresql.conf', "max_worker_processes = 30\n");
$node->restart;
$node->safe_psql($without, 'DROP EXTENSION domowf');
my @full = @databases[ 0 .. MAX_DATABASES - 1 ];
my $one_more = $databases[MAX_DATABASES];
equip($_) foreach @full;
works($_, "as many as there is room for: $_") foreach @full;

# of one that has not told of itself it is not known whether it needs any
$offset = Domowf->log_size($node);
Domowf->set_test_point($node, 'look-interval=200');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
my $plain = oid_of('plain');
my $not_looked_at =
  qr/domowf: whether database $plain has the extension cannot be looked at/;
my $no_room = qr/domowf: there is no room for the worker of database/;
ok($node->wait_for_log($not_looked_at, $offset) > 0,
	'a new database, while there is no room: what is not known is said');
equip($one_more);
$id = enqueue($one_more, 'one more');
ok($node->wait_for_log(qr/$no_room @{[ oid_of($one_more) ]}$/m, $offset) > 0,
	'no room for one more: it is said');
is(count_lines(qr/$no_room $plain/),
	0, '... and not of one that has no extension');
equip('plain');
ok($node->wait_for_log(qr/$no_room $plain$/m, $offset) > 0,
	'... but when it has it');
enqueue($one_more, "one more $_") foreach 1 .. 3;
is(count_lines($not_looked_at), 1, '... all once');
is(count_lines($no_room), 2, '... each');
$node->safe_psql('postgres', 'DROP DATABASE plain');
Domowf->set_test_point($node, '');
is(outcome($one_more, $id, '1 s'), 'queued', '... it has no worker');
is( $node->safe_psql($one_more,
		q{SELECT count(*) FROM domowf_check() WHERE check_name = 'worker' AND NOT ok}
	),
	1,
	'... domowf_check says so');
$node->safe_psql('postgres', "DROP DATABASE $full[0]");
is(outcome($one_more, $id), 'done', '... until another one is gone');

# ---- whom a database lets in

my $db = $full[1];
$node->safe_psql('postgres', "ALTER DATABASE $db CONNECTION LIMIT 0");
$node->safe_psql($db,
	'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
works($db, 'CONNECTION LIMIT 0 is not for a worker');

Domowf->set_test_point($node, 'look-interval=200,upkeep=60000000');
foreach my $case (
	[ 'ALLOW_CONNECTIONS false', 'ALLOW_CONNECTIONS true' ],
	[ 'IS_TEMPLATE true', 'IS_TEMPLATE false' ])
{
	my ($off, $on) = @$case;

	$domo->script("gate:$off", count => 1, contains => "\"$off\"");
	my $session = Domowf->session($node, dbname => $db);
	$id = enqueue($db, $off);
	$domo->wait_for(held => 1);
	$node->safe_psql('postgres', "ALTER DATABASE $db $off");
	ok( poll_in($session,
			q{SELECT state = 'paused' AND pause_reason ~ 'template' FROM domowf.worker}
		),
		"$off: the worker claims nothing more");
	$domo->release($off);
	until_workers($db, 0, '... and leaves');
	is( $session->value("SELECT state FROM domowf.request WHERE id = $id"),
		'done',
		'... when what was in flight is settled');
	$id = $session->value(
		"SELECT domowf_enqueue('plain', '{\"n\": \"$off later\"}')");
	is($session->value("SELECT state FROM domowf_wait($id, '600 ms')"),
		'queued', '... nothing is sent');
	$node->safe_psql('postgres', "ALTER DATABASE $db $on");
	$session->quit;
	is(outcome($db, $id), 'done', "$on: it is sent");
}

# A DROP DATABASE that was interrupted leaves one that lets nobody in at all,
# since 15.4.
my $broken = $full[3];
SKIP:
{
	skip 'no interrupted DROP DATABASE is known here', 1
	  if $node->safe_psql('postgres', 'SHOW server_version_num') < 150004;
	$node->safe_psql('postgres', 'UPDATE pg_database SET datconnlimit = -2'
		  . " WHERE datname = '$broken'");
	$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid, 100000)'
		  . " FROM pg_stat_activity WHERE datname = '$broken'");
	until_workers($broken, 0, 'an interrupted DROP DATABASE: the worker goes');
}

sub poll_in
{
	my ($session, $sql) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $session->value($sql) eq 't';
		$session->value('SELECT pg_sleep(0.1)');
	}
	return 0;
}

# ---- ways in which the extension comes, and does not

my $new = $full[2];
$node->safe_psql($new, 'DROP EXTENSION domowf');
until_workers($new, 0, 'DROP EXTENSION: the worker goes');
$node->safe_psql($new, 'BEGIN; CREATE EXTENSION domowf; ROLLBACK');
until_workers($new, 0, 'CREATE EXTENSION, rolled back: none comes');
$id = $node->safe_psql($new, q{BEGIN; CREATE EXTENSION domowf;
	INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('plain', 'model', '1.0.0', 'Start it');
	SELECT domowf_enqueue('plain', '{"n": "at once"}'); COMMIT});
is(outcome($new, $id), 'done', 'a request of the transaction that creates it');
$node->safe_psql($new, 'DROP EXTENSION domowf CASCADE');
until_workers($new, 0, 'DROP EXTENSION once more');
$node->safe_psql($new, q{BEGIN; CREATE EXTENSION domowf;
	INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('plain', 'model', '1.0.0', 'Start it'); PREPARE TRANSACTION 'new'});
$node->safe_psql($new, q{COMMIT PREPARED 'new'});
works($new, 'CREATE EXTENSION in a prepared transaction');
$node->safe_psql($new, 'CREATE SCHEMA api; DROP EXTENSION domowf CASCADE;'
	  . ' CREATE EXTENSION domowf SCHEMA api;'
	  . q{ INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('plain', 'model', '1.0.0', 'Start it')});
$id = $node->safe_psql($new,
	q{SELECT api.domowf_enqueue('plain', '{"n": "in api"}', key => 'k', order_key => 'o')});
is( $node->safe_psql($new, "SELECT state FROM api.domowf_wait($id, '170 s')"),
	'done', 'its functions in another schema');
is( $node->safe_psql($new,
		'SELECT count(*) FROM api.domowf_check() WHERE NOT ok'),
	0,
	'... api.domowf_check finds nothing wrong');

unlike(slurp_file($node->logfile), qr/invalid database/,
	'a database that lets nobody in is not tried');
$node->safe_psql('postgres', "DROP DATABASE $broken");

# ---- an extension that is made while a worker looks for it

Domowf->set_test_point($node, 'before-absent=wait');
Domowf->until_taken_up($node) or die 'not taken up';
$node->safe_psql('postgres', 'CREATE DATABASE made_late');
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'domowf worker' AND datname = 'made_late' AND wait_event = 'Extension'})
  or die 'nobody looks';
$node->safe_psql('made_late', <<'END');
BEGIN;
CREATE EXTENSION domowf;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('plain', 'model', '1.0.0', 'Start it');
SELECT domowf_enqueue('plain', '{}');
COMMIT
END
Domowf->set_test_point($node, '');
ok($node->poll_query_until('made_late', 'SELECT count(*) = 1 FROM domowf.log'),
	'a worker that has found no extension, which is made meanwhile: another comes');
$node->safe_psql('postgres', 'DROP DATABASE made_late');

# ---- the launcher ends

$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 100000)
	FROM pg_stat_activity WHERE backend_type = 'domowf launcher'});
$pid = $node->safe_psql($db, 'SELECT pid FROM domowf.worker');
works($db, 'without a launcher the workers go on');
is($node->safe_psql($db, 'SELECT pid FROM domowf.worker'),
	$pid, '... the same ones');
$node->safe_psql($db, "SELECT pg_terminate_backend($pid, 100000)");
works($db, 'a new launcher comes, and starts workers');

# ---- a worker that cannot start is started at growing intervals

$offset = Domowf->log_size($node);
Domowf->set_test_point($node, 'before-commit=error');
$pid = $node->safe_psql($db, 'SELECT pid FROM domowf.worker');
$node->safe_psql($db, "SELECT pg_terminate_backend($pid, 100000)");
my @times;
ok( poll_log(
		sub {
			my $log = Domowf->log_since($node, $offset);
			my %seen;

			@times = ();
			push @times, $1
			  while $log =~
			  /^([\d.]+) \[\d+\] LOG:  background worker "domowf worker" \(PID \d+\) exited with exit code 1/mg;
			return @times >= 4;
		}),
	'a worker that cannot start is started again');
Domowf->set_test_point($node, '');
my @gaps = map { $times[$_] - $times[ $_ - 1 ] } 1 .. $#times;
note "gaps: @gaps";
cmp_ok($gaps[0], '>', 0.9, '... not at once');
cmp_ok($gaps[2], '>', 3.9, '... and at growing intervals');
works($db, '... until it can');
foreach my $end (1 .. 3)
{
	$node->safe_psql($db,
		'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	works($db, "... and then at once, as before: $end");
}

# ---- one that dies before it is known to shared memory

$offset = Domowf->log_size($node);
Domowf->set_test_point($node, 'before-attach=error');
$pid = $node->safe_psql($db, 'SELECT pid FROM domowf.worker');
$node->safe_psql($db, "SELECT pg_terminate_backend($pid, 100000)");
my $died = qr/^([\d.]+) \[\d+\] ERROR:  test point "before-attach" was reached/m;
ok(poll_log(sub { return count_lines($died) >= 3 }),
	'a worker that dies before it attaches is started again');
@times = Domowf->log_since($node, $offset) =~ /$died/g;
cmp_ok($times[2] - $times[1], '>', 1.9, '... at growing intervals');
like(
	$node->safe_psql($db, q{SELECT detail FROM domowf_check()
		WHERE check_name = 'worker' AND NOT ok}),
	qr/^no worker runs: it has ended early, \d+ times in a row/,
	'... and domowf_check says so');

rename_and_back($db);
pass('... and it keeps nobody from its database');
Domowf->set_test_point($node, '');
works($db, '... until it can');

# ---- one that does not come

$offset = Domowf->log_size($node);
Domowf->set_test_point($node, 'before-attach=wait');
$pid = $node->safe_psql($db, 'SELECT pid FROM domowf.worker');
$node->safe_psql($db, "SELECT pg_terminate_backend($pid, 100000)");
$node->wait_for_log(qr/test point "before-attach" waits/, $offset);
rename_and_back($db);
pass('a worker that has not attached yet keeps nobody from its database');
Domowf->set_test_point($node, '');
works($db, '... and comes in the end');

sub rename_and_back
{
	my ($database) = @_;

	$node->safe_psql('postgres', <<"END");
SET statement_timeout = '100s';
ALTER DATABASE $database RENAME TO renamed;
ALTER DATABASE renamed RENAME TO $database
END
	return;
}

# ---- a place that another database had

my ($used) = grep { $_ ne $db } @full[ 4 .. 6 ];
works($used, 'a database that was used');
Domowf->set_test_point($node, 'look-interval=200,before-attach=error');
$node->safe_psql('postgres', "DROP DATABASE $used");
$node->safe_psql('postgres', 'CREATE DATABASE next');
equip('next');
is( $node->safe_psql('next',
		q{SELECT concat_ws(' ', in_flight, sent, failed) FROM domowf.worker}),
	'0 0 0',
	'... has left nothing of its worker to the next one');
Domowf->set_test_point($node, '');
works('next', '... which has its own');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$node->stop;
done_testing();

sub poll_log
{
	my ($is_there) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $is_there->();
		$node->safe_psql('postgres', 'SELECT pg_sleep(0.1)');
	}
	return 0;
}
