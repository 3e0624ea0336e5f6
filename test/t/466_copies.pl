
# Whoever may create databases cannot take the workers of the others: a copy, and
# whatever else sends nothing until somebody acts, keeps no process and makes room
# in the launcher's table.  It says why, is looked after, and sends when it may.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# As many as have room in a build for tests (shared.h).
use constant MAX_DATABASES => 8;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);

# The launcher, and workers for four databases.
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
max_worker_processes = 5
max_logical_replication_workers = 0
max_prepared_transactions = 5
END
my $id;

sub value
{
	my ($database, $sql) = @_;

	return $node->safe_psql($database, $sql);
}

sub equip
{
	my ($database) = @_;

	value($database, <<'END');
CREATE EXTENSION IF NOT EXISTS domowf;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('plain', 'model', '1.0.0', 'Start it')
END
	return;
}

sub enqueue
{
	my ($database, @request) = @_;

	return value($database, Domowf->enqueue_sql('plain', @request));
}

sub outcome
{
	my ($database, $request, $timeout) = @_;

	return value($database, Domowf->outcome_sql($request, undef, $timeout));
}

sub works
{
	my ($database, $name) = @_;

	return is(outcome($database, enqueue($database, "$database $name")),
		'done', $name);
}

# Paused, with a reason, and without a process.
sub is_dormant
{
	my ($database, $reason, $name) = @_;

	return ok(
		$node->poll_query_until($database,
			"SELECT pid IS NULL AND state = 'paused' AND in_flight = 0"
			  . " AND paused_until = 'infinity' AND pause_reason ~ '$reason'"
			  . ' FROM domowf.worker'),
		"$database $name");
}

sub until_workers
{
	my ($names, $name) = @_;

	return ok(
		$node->poll_query_until('postgres',
			"SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') = '$names'"
			  . " FROM pg_stat_activity WHERE backend_type = 'domowf worker'"),
		$name);
}

equip('postgres');
value('postgres', 'CREATE ROLE maker LOGIN CREATEDB');
value('postgres', 'CREATE DATABASE mine OWNER maker');
equip('mine');
works($_, 'sends') foreach 'postgres', 'mine';

# ---- more copies than slots

my $maker = Domowf->session($node, user => 'maker');
my @copies = map { "copy$_" } 1 .. 5;
$maker->value("CREATE DATABASE $_ TEMPLATE mine") foreach @copies;
is_dormant($_, 'copy of another one', 'is paused, says why, and has no process')
  foreach @copies;
is( value($copies[0],
		q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'worker'}),
	'f|the worker is paused: this database is a copy of another one',
	'... so does domowf_check');
value('postgres', 'CREATE DATABASE late');
equip('late');
works('late', 'a database that comes later has a worker all the same');
until_workers('late mine postgres', '... and the copies have none');

# ---- it is looked after: a visit each time

Domowf->set_test_point($node, 'visit-wait=200');
$id = enqueue('copy2', 'not in time',
	expires_at => q{clock_timestamp() + interval '300 ms'});
is(outcome('copy2', $id), 'expired', 'a request in a copy expires');
is_dormant('copy2', 'copy', 'is dormant again');
$id = enqueue('copy2', 'in a copy');
is(outcome('copy2', $id, '600 ms'), 'queued', '... and sends nothing');
value('copy2', "SELECT domowf_discard($id)");

value('copy2', q{SELECT domowf_pause('by hand')});
is_dormant('copy2', 'copy', 'was paused, too');
value('copy2', q{BEGIN; SELECT domowf_resume(); ROLLBACK});
is_dormant('copy2', 'copy', 'is as it was after a rollback');
value('copy2',
	q{BEGIN; SELECT domowf_resume(); PREPARE TRANSACTION 'resume'; COMMIT PREPARED 'resume'});
works('copy2', 'resumed by a prepared transaction, which tells nobody: it sends');
value('postgres', 'DROP DATABASE copy2');

# ---- domowf_resume(), also while a visit ends

value('copy1', 'SELECT domowf_resume()');
works('copy1', 'domowf_resume(): a copy sends');
until_workers('copy1 late mine postgres', '... it has a worker');
$node->restart;
works('copy1', '... also after a restart');
value('postgres', 'DROP DATABASE copy1');
is_dormant($_, 'copy', 'is dormant after a restart, too')
  foreach 'copy3', 'copy4', 'copy5';

# two slots are free: a visit of another copy may wait there as well
value('postgres', 'DROP DATABASE late');
Domowf->set_test_point($node, 'before-dormancy=wait');
$node->poll_query_until('postgres',
	q{SELECT current_setting('domowf.test_point') = 'before-dormancy=wait'});
value('copy3', 'SELECT domowf_pause()');
my $workers = q{FROM pg_stat_activity WHERE backend_type = 'domowf worker'
	AND datname = 'copy3'};
$node->poll_query_until('postgres',
	"SELECT count(*) = 1 $workers AND wait_event = 'Extension'");
my $pid = value('postgres', "SELECT pid $workers");
value('copy3', 'SELECT domowf_resume()');
Domowf->set_test_point($node, '');
works('copy3', 'domowf_resume() while a worker is about to leave');
is(value('copy3', 'SELECT pid FROM domowf.worker'), $pid, '... which stays');
value('postgres', 'DROP DATABASE copy3');

# ---- in nobody's way

$maker->quit;
$maker = Domowf->session($node, user => 'maker');
$maker->value('CREATE DATABASE copy6 TEMPLATE copy4');
is_dormant('copy6', 'copy', 'is the copy of a copy');
is_dormant('copy4', 'copy', 'is as it was');
$maker->value('ALTER DATABASE copy6 RENAME TO copy7');
is_dormant('copy7', 'copy', 'has another name');
$maker->value('DROP DATABASE copy7');

# ---- more copies than room in the launcher's table

$maker->value("CREATE DATABASE more$_ TEMPLATE mine")
  foreach 1 .. MAX_DATABASES;
value('postgres', 'CREATE DATABASE last');
equip('last');
works('last', 'a database for which there was no entry left has a worker');
works($_, '... as those that had one') foreach 'mine', 'postgres';
until_workers('last mine postgres', '... and nobody else has');
foreach (1 .. MAX_DATABASES)
{
	value("more$_", 'SELECT domowf_resume()');
	works("more$_", "domowf_resume(), whether it had an entry or not: more$_");
	value('postgres', "DROP DATABASE more$_");
}
unlike(
	slurp_file($node->logfile),
	qr/there is no room for the worker/,
	'... which was never too little');
value('postgres', 'DROP DATABASE last');

# ---- SQL that this library does not serve

my $set_version = q{UPDATE pg_extension SET extversion = '%s' WHERE extname = 'domowf'};

Domowf->set_test_point($node, 'visit-wait=200');
value('mine', sprintf $set_version, '9.9');
$node->restart;
$maker->quit;
$maker = Domowf->session($node, user => 'maker');
$maker->value("CREATE DATABASE odd$_ TEMPLATE mine") foreach 1 .. 3;
is_dormant($_, 'a restart of the server is due',
	'whose version is not known says so, and has no process')
  foreach 'mine', 'odd1', 'odd2', 'odd3';
until_workers('postgres', '... none of them has');
value($_, sprintf $set_version, '1.1') foreach 'mine', 'odd1';
works('mine', '... known again, it sends');
is_dormant('odd1', 'copy', 'is a copy now');

# ---- tables that are wrong for long

Domowf->set_test_point($node, 'fault-patience=0');
value('mine', 'ALTER TABLE domowf.key ALTER key TYPE varchar(40)');
is_dormant('mine', '"key"', 'whose tables are wrong has no process');
Domowf->set_test_point($node, 'visit-wait=200');
value('mine', 'ALTER TABLE domowf.key ALTER key TYPE text');
works('mine', '... until they are mended');

is($domo->arrived($_), 0, "never sent: $_") foreach 'not in time', 'in a copy';
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$node->stop;
done_testing();
