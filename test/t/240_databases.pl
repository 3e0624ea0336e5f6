
# One worker for each database that has the extension, and in nobody's way:
# CREATE and DROP EXTENSION, statements that need a database for themselves,
# copies, the setting domowf.worker, shutdown, each while a request hangs.

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

# PostgreSQL itself waits 5 s for others to leave a database, and then fails; what
# hangs does so for ten minutes.
use constant SOON => 60;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.timeout = '10min'
domowf.poll_interval = '500ms'
END
my $admin = Domowf->session($node);
my ($id, $pid, $offset);

sub enqueue
{
	my ($database, @request) = @_;

	return $node->safe_psql($database, Domowf->enqueue_sql('plain', @request));
}

sub outcome
{
	my ($database, $request) = @_;

	return $node->safe_psql($database, Domowf->outcome_sql($request));
}

# The number of workers that are connected to a database.
sub until_workers
{
	my ($database, $number) = @_;

	return $node->poll_query_until('postgres',
		"SELECT count(*) = $number FROM pg_stat_activity"
		  . " WHERE backend_type = 'domowf worker' AND datname = '$database'");
}

sub worker_of
{
	my ($database) = @_;

	$node->poll_query_until($database,
		'SELECT pid IS NOT NULL FROM domowf.worker');
	return $node->safe_psql($database, 'SELECT pid FROM domowf.worker');
}

# Creates the extension and a workflow in a database.
sub equip
{
	my ($database) = @_;

	$node->safe_psql($database, <<'END');
CREATE EXTENSION IF NOT EXISTS domowf;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('plain', 'model', '1.0.0', 'Start it')
END
	return;
}

# A request that hangs.
sub hang
{
	my ($database, $n) = @_;

	$domo->script('hang', count => 1, contains => "\"$n\"");
	my $held = $domo->stats->{held};
	my $request = enqueue($database, $n);
	$domo->wait_for(held => '=' . ($held + 1));
	$node->poll_query_until($database,
		"SELECT state = 'sending' FROM domowf.request WHERE id = $request");
	return $request;
}

# Runs a statement; it must succeed, and soon.
sub is_quick
{
	my ($sql, $name) = @_;
	my $start = time;
	my $got = $admin->run($sql);

	is($got->{sqlstate}, '', $name) or diag $got->{err};
	cmp_ok(time - $start, '<', SOON, '... at once');
	return;
}

# ---- a second database

equip('postgres');
is(outcome('postgres', enqueue('postgres', 'first')),
	'done', 'requests are sent after CREATE EXTENSION');
$admin->value('CREATE DATABASE two');
is($node->safe_psql('two', 'SELECT 1'), 1, 'a database without the extension');
equip('two');
ok(until_workers('two', 1), 'a worker comes with CREATE EXTENSION');
is(outcome('two', enqueue('two', 'second')), 'done', '... and sends');
isnt(worker_of('two'), worker_of('postgres'), '... a worker of its own');
ok(until_workers($_, 0), "no worker in $_") foreach 'template1', 'template0';

$node->safe_psql('two', 'BEGIN; CREATE TABLE t (); ROLLBACK');
is( $node->safe_psql('two',
		"SELECT bool_and(ok) FROM domowf_check() WHERE check_name <> 'connection'"
	),
	't',
	'domowf_check finds nothing wrong');

$node->safe_psql('two', 'DROP EXTENSION domowf CASCADE');
ok(until_workers('two', 0), 'the worker goes with DROP EXTENSION');
equip('two');
ok(until_workers('two', 1), '... and comes back with the extension');

$offset = Domowf->log_size($node);
$id = hang('two', 'dropped');
my $two = Domowf->session($node, dbname => 'two');
my $start = time;
is($two->run('DROP EXTENSION domowf CASCADE')->{sqlstate},
	'', 'DROP EXTENSION while a request hangs');
cmp_ok(time - $start, '<', SOON, '... at once');
$two->quit;
ok(until_workers('two', 0), '... the worker goes');
$node->wait_for_log(
	qr/domowf: request $id was being sent when its tables were dropped/,
	$offset);
pass('... and the log tells of the request');
equip('two');
is(outcome('two', enqueue('two', 'made anew')), 'done', 'made anew, it works');

# ---- statements that need the database for themselves

my $tablespace = PostgreSQL::Test::Utils::tempdir_short;
$admin->value("CREATE TABLESPACE elsewhere LOCATION '$tablespace'");

foreach my $case (
	[ 'ALTER DATABASE two RENAME TO three', 'RENAME', 'three' ],
	[ 'ALTER DATABASE three SET TABLESPACE elsewhere', 'SET TABLESPACE',
		'three' ],
	[ 'CREATE DATABASE copy TEMPLATE three', 'TEMPLATE', 'three' ])
{
	my ($sql, $name, $after) = @$case;
	my $before = $sql =~ /DATABASE two/ ? 'two' : 'three';

	$id = hang($before, $name);
	my $queued = enqueue($before, "$name queued", run_at => q{now() + interval '1 hour'});
	is_quick($sql, "$name while a request hangs");
	is(outcome($after, $id), 'in_doubt', '... which is then in doubt');
	is(outcome($after, enqueue($after, "$name after")),
		'done', '... and the worker is back');
	is( $node->safe_psql($after,
			"SELECT state FROM domowf.request WHERE id = $queued"),
		'queued',
		'... nothing else has changed');
	$domo->close_all;
}

# ---- the copy

ok( $node->poll_query_until('copy',
		q{SELECT state = 'paused' AND pause_reason ~ 'copy' FROM domowf.worker}),
	'a copy is paused and says why');
$node->safe_psql('copy', "SELECT domowf_retry(id) FROM domowf.queue");
my $in_copy = enqueue('copy', 'in the copy');
is( $node->safe_psql('copy',
		"SELECT state FROM domowf_wait($in_copy, '1200 ms')"),
	'queued', '... it sends nothing');
is($domo->arrived("$_ queued"), 0, "... nothing of what the original has: $_")
  foreach 'RENAME', 'SET TABLESPACE', 'TEMPLATE';
is($domo->arrived('in the copy'), 0, '... nor what was enqueued in it');
$node->safe_psql('copy', 'SELECT domowf_discard(id) FROM domowf.queue'
	  . " WHERE id <> $in_copy; SELECT domowf_resume()");
is(outcome('copy', $in_copy), 'done', '... until somebody says that it may');

# ---- whoever may not do it does not disturb

$id = hang('three', 'undisturbed');
$pid = worker_of('three');
$admin->value('CREATE ROLE stranger LOGIN');
$admin->value('CREATE ROLE creator LOGIN CREATEDB');
my %codes;
foreach my $case (
	[ 'stranger', 'DROP DATABASE three' ],
	[ 'stranger', 'ALTER DATABASE three RENAME TO four' ],
	[ 'stranger', 'ALTER DATABASE three SET TABLESPACE pg_default' ],
	[ 'stranger', 'CREATE DATABASE mine TEMPLATE three' ],
	[ 'creator', 'CREATE DATABASE mine TEMPLATE three' ])
{
	my $session = Domowf->session($node, user => $case->[0]);

	is($session->run($case->[1])->{sqlstate},
		'42501', "$case->[1], by $case->[0]: refused");
	$session->quit;
}
is(worker_of('three'), $pid, '... and the worker has stayed');
is( $node->safe_psql('three',
		"SELECT state FROM domowf.request WHERE id = $id"),
	'sending',
	'... and what it is sending is not in doubt');
$domo->close_all;

# ---- DROP DATABASE

$id = hang('three', 'drop');
is_quick('DROP DATABASE copy', 'DROP DATABASE of another one');
is( $node->safe_psql('three',
		"SELECT state FROM domowf.request WHERE id = $id"),
	'sending',
	'... which disturbs nobody');
is_quick('DROP DATABASE three', 'DROP DATABASE while a request hangs');
is(outcome('postgres', enqueue('postgres', 'after the drop')),
	'done', 'the worker of another database goes on');
$admin->value('CREATE DATABASE three');
equip('three');
is(outcome('three', enqueue('three', 'new')),
	'done', 'a new database of the same name works');
is_quick('DROP DATABASE three WITH (FORCE)', 'DROP DATABASE WITH (FORCE)');
$domo->close_all;

# who is terminated while he waits for the others leaves no worker locked out
$admin->value('CREATE DATABASE three');
equip('three');
is(outcome('three', enqueue('three', 'before')), 'done', 'a database that somebody is in');
my $inside = Domowf->session($node, dbname => 'three');
my $dropping = Domowf->session($node);
my $dropper = $dropping->pid;
$dropping->send('DROP DATABASE three');
ok(until_workers('three', 0), '... a DROP DATABASE sends its worker away');
is($admin->value("SELECT pg_terminate_backend($dropper, 60000)"), 't', '... and is terminated');
is(outcome('three', enqueue('three', 'after')), 'done', '... the worker comes back');
$inside->quit;
is_quick('DROP DATABASE three', '... and leaves for the next one');

# Without domowf's own doing, as where an extension calls dropdb().
SKIP:
{
	skip 'since 19 PostgreSQL itself ends the worker', 4
	  if $admin->value('SHOW server_version_num') < 190000;
	$admin->value('CREATE DATABASE three');
	equip('three');
	hang('three', 'unasked');
	$admin->configure('domowf.test_point', 'evict=0');
	$node->poll_query_until('postgres',
		"SELECT current_setting('domowf.test_point') = 'evict=0'");
	is_quick('DROP DATABASE three', 'DROP DATABASE by another way');
	$admin->configure('domowf.test_point', '');
	ok(until_workers('three', 0), '... the worker is gone');
	is(outcome('postgres', enqueue('postgres', 'after the drop by another way')),
		'done', '... the worker of another database goes on');
	$domo->close_all;
}

# ---- domowf.worker

$id = hang('postgres', 'switched off');
$admin->configure('domowf.worker', 'off');
$domo->close_all;
ok(until_workers('postgres', 0),
	'domowf.worker = off: the worker goes, when nothing is in flight');
$admin->configure('domowf.worker', 'on');
ok(until_workers('postgres', 1), '... on: it comes back, whom nobody has called');
$admin->configure('domowf.worker', 'off');
ok(until_workers('postgres', 0), '... off again');
my $waits = enqueue('postgres', 'waits');
is($admin->value("SELECT ok FROM domowf_check() WHERE check_name = 'worker'"),
	'f', '... domowf_check says so');
is($admin->value("SELECT (domowf_wait($waits, '600 ms')).state"),
	'queued', '... and nothing is sent');
$admin->quit;
$node->restart;
$admin = Domowf->session($node);
is($admin->value("SELECT (domowf_wait($waits, '600 ms')).state"),
	'queued', '... also after a restart');
$admin->value(q{ALTER SYSTEM RESET domowf.worker});
$admin->value('SELECT pg_reload_conf()');
is(outcome('postgres', $waits), 'done', 'on: it is sent');
is(outcome('postgres', $id), 'in_doubt', '... and what was in flight is in doubt');
is($domo->arrived('waits') . $domo->arrived('switched off'), '11', '... each was sent once');
$domo->close_all;

# ---- shutdown

$id = hang('postgres', 'shutdown');
$admin->quit;
$start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', SOON, 'a fast shutdown while a request hangs');
$node->start;
is(outcome('postgres', $id), 'in_doubt', '... which is in doubt afterwards');
$node->stop;

# ---- not preloaded

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->start;
$admin = Domowf->session($node);
my $got = $admin->run(q{SELECT domowf_enqueue('plain', '{"n": "stored"}')});
is($got->{warnings}[0]{sqlstate}, '01000', 'not preloaded: a warning');
$waits = $got->{out};
$admin->value(<<'END');
CREATE TABLE rows (id serial PRIMARY KEY, state text);
CREATE TRIGGER t AFTER INSERT ON rows FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('plain', 'id', 'state<-state');
INSERT INTO rows DEFAULT VALUES;
SELECT domowf_discard(id) FROM domowf.queue WHERE source = 'public.rows'
END
is(scalar @{ $admin->run(q{SELECT domowf_enqueue('plain')})->{warnings} },
	0, '... once in a session');
is($admin->value("SELECT (domowf_wait($waits, '100 ms')).state"),
	'queued', '... the request is stored');
is( $admin->value(
		"SELECT string_agg(check_name, ' ' ORDER BY check_name) FROM domowf_check() WHERE NOT ok"
	),
	'preload worker',
	'... domowf_check says so');
$admin->quit;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'domowf'\n");
$node->restart;
is(outcome('postgres', $waits), 'done', '... and sent when it is preloaded');
ok($node->poll_query_until('postgres', q{SELECT state = 'discarded' FROM rows}),
	'... what was settled meanwhile is returned');

# ---- no free slot for the worker

$offset = Domowf->log_size($node);
$node->append_conf('postgresql.conf',
	"max_worker_processes = 1\nmax_logical_replication_workers = 0\n");
$node->restart;
$node->wait_for_log(qr/domowf: no background worker is free/, $offset);
is( $node->safe_psql('postgres',
		"SELECT detail FROM domowf_check() WHERE check_name = 'worker' AND NOT ok"
	  ) =~ /max_worker_processes/ ? 1 : 0,
	1,
	'no free slot: in the log and in domowf_check');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$node->stop;
done_testing();
