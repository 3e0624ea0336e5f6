
# What can be known before a call is sent is looked at before: the row types of
# its results, what a prepared statement expects, and the log's next id.  Exists
# because a column that somebody had added to domowf_instance made each start run
# in Domo and then fail, and so did an id that the log had already.

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
my $node = Domowf->start_node('main', $domo, preload => 1,
	conf => "domowf.worker = off\n" . Domowf->own_installation(
		'1.1--1.2' => 'ALTER TYPE @extschema@.domowf_instance ADD ATTRIBUTE y text;'));
my $session = Domowf->session($node);
my $instance = $session->value(Domowf->start_sql('model'));
my %calls = (
	'start' => Domowf->start_sql('model') =~ s/^SELECT i\.id FROM (.*) i$/SELECT ($1).id/sr,
	'start in FROM' => Domowf->start_sql('model') =~ s/i\.id/i.*/r,
	'cancel' => Domowf->cancel_sql($instance),
	'start_all' => q{SELECT (s.instance).id, s.error FROM domowf_start_all(ARRAY[
		'{"modelId": "model", "version": "1.0.0", "messageName": "Start it", "data": {}}'::jsonb]) s},);

sub sent
{
	return scalar $domo->record;
}

sub refused
{
	my ($sql, $why, $what) = @_;
	my $before = sent();
	my $got = $session->run($sql);

	is($got->{sqlstate}, '55000', "$what is refused");
	like($got->{err}, $why, '... and says why');
	is(sent(), $before, '... before anything is sent');
	return;
}

sub works
{
	my ($sql, $what) = @_;
	my $before = sent();
	my $got = $session->run($sql);

	is($got->{sqlstate}, '', "$what works");
	is(sent(), $before + 1, '... and is sent');
	return $got->{out};
}

# ---- a column of somebody's, and one that is gone again

$session->value('ALTER TYPE domowf_instance ADD ATTRIBUTE x text');
works($calls{$_}, "$_ with a column added") foreach sort keys %calls;
$session->value("BEGIN; DECLARE c CURSOR FOR $calls{'start in FROM'};
	ALTER TYPE domowf_instance ADD ATTRIBUTE z text");
refused('FETCH c', qr/was planned for/, 'a statement that expects other rows');
$session->value('ROLLBACK');
$session->value('ALTER TYPE domowf_instance DROP ATTRIBUTE x');
works($calls{$_}, "$_ with it dropped again") foreach sort keys %calls;

# ---- what is not what it was

my %changes = (
	'RENAME ATTRIBUTE status TO s' => 'RENAME ATTRIBUTE s TO status',
	'ALTER ATTRIBUTE status TYPE varchar(3)' => 'ALTER ATTRIBUTE status TYPE text');
foreach my $change (sort keys %changes)
{
	$session->value("ALTER TYPE domowf_instance $change");
	refused($calls{$_}, qr/column "status"/, "$_ after $change") foreach sort keys %calls;
	$session->value("ALTER TYPE domowf_instance $changes{$change}");
}
works($calls{start}, 'a start, when that is undone,');

# within one use of the function, which knows its result
$session->value(<<'END');
CREATE FUNCTION twice(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE got text;
BEGIN
	FOR i IN 1 .. 2 LOOP
		got := (domowf_start('{"modelId": "model", "version": "1.0.0", "messageName": "Start it", "data": {}}')).id;
		EXECUTE change;
	END LOOP;
	RETURN got;
END $$
END
my $before = sent();
my $got = $session->run("SELECT twice('ALTER TYPE domowf_instance RENAME ATTRIBUTE status TO s')");
is($got->{sqlstate}, '55000', 'a change between two calls of one place is seen');
is(sent(), $before + 1, '... before the second one is sent');

# ---- a function of somebody's that is made of domowf's

my ($library) = $session->value(q{SELECT probin FROM pg_proc WHERE proname = 'domowf_start_all'});
foreach my $rows ('n bigint, instance domowf_instance, state text',
	'n int, instance domowf_instance, state text, error text',
	'n bigint, instance text, state text, error text')
{
	$session->value("CREATE FUNCTION mine(jsonb[], int) RETURNS TABLE ($rows)
		LANGUAGE c AS '$library', 'domowf_start_all'");
	refused(q{SELECT * FROM mine(ARRAY['{"modelId": "model", "version": "1.0.0", "messageName": "Start it", "data": {}}'::jsonb], 1)},
		qr/does not return what the extension has made it return/, "start_all of ($rows)");
	$session->value('DROP FUNCTION mine');
}

# ---- permissions

my $permissions = Domowf->permissions_sql('model');
$session->value('ALTER TYPE domowf_permission ADD ATTRIBUTE x text');
works($permissions, 'set_permissions with a column added');
$session->value('ALTER TYPE domowf_permission RENAME ATTRIBUTE name TO n');
refused($permissions, qr/column "name"/, 'set_permissions without a column');
$session->value('ALTER TYPE domowf_permission RENAME ATTRIBUTE n TO name');

# ---- ids that the log has already, or somebody has just put in

delete $calls{'start in FROM'};
$calls{permissions} = $permissions;
foreach my $call (sort keys %calls)
{
	my $highest = $session->value('SELECT max(id) FROM domowf.log');

	$session->value(q{SELECT setval('domowf.request_id', 1, false)});
	works($calls{$call}, "$call after setval()");
	cmp_ok($session->value('SELECT max(id) FROM domowf.log'), '>', $highest,
		'... and has an id of its own');
}
my $other = Domowf->session($node);
my $next = $session->value('SELECT last_value + 1 FROM domowf.request_id');
$other->value("BEGIN; INSERT INTO domowf.log SELECT (jsonb_populate_record(l,
	jsonb_build_object('id', $next))).* FROM domowf.log l LIMIT 1");
works($calls{start}, 'a start whose id is in an open transaction');
$other->value('ROLLBACK');
$session->value(q{INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('it', 'model', '1.0.0', 'Start it')});
my $request = $session->value(q{SELECT domowf_enqueue('it')});
$session->value("SELECT setval('domowf.request_id', $request, false)");
works($calls{start}, 'a start whose id a request has');
is( $session->value("SELECT count(*) FROM domowf.log WHERE id = $request"),
	0, '... leaves it to that one');

# two that only look for ids do not depend on each other
$_->value('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM domowf.workflow')
  foreach $session, $other;
$_->value($calls{start}) foreach $session, $other;
is($_->run('COMMIT')->{sqlstate}, '', 'serializable transactions with calls commit')
  foreach $session, $other;

# ---- an index of somebody's on the log

$session->value(q{DELETE FROM domowf.log WHERE operation = 'cancel';
	CREATE UNIQUE INDEX mine ON domowf.log (instance_id) WHERE operation = 'cancel'});
$session->value($calls{cancel});
$got = $session->run($calls{cancel});
is($got->{sqlstate}, '', 'a call that the log refuses succeeds all the same');
like($got->{warnings}[0]{message}, qr/is not in domowf\.log: duplicate key/, '... with a warning');
$got = $session->run(
	"BEGIN; SELECT 1; $calls{cancel}; SAVEPOINT s; $calls{start}; COMMIT");
is($got->{sqlstate}, '', '... in a transaction of more, too');
$session->value('DROP INDEX domowf.mine');

# ---- SQL that is newer than the library

$session->value(q{ALTER EXTENSION domowf UPDATE TO '1.2'});
refused($calls{$_}, qr/newer than the library/, "$_ under newer SQL") foreach sort keys %calls;

done_testing();
