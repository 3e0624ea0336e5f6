
# The registry in copies of its database: dumps, as they are restored in whatever
# order, and subscribers.  Exists because inputs that are lost on the way are
# inputs that nobody checks.

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
my $node = Domowf->start_node('main', $domo, streaming => 'logical');

# used() tells by which model id a workflow would be started, or why not; the
# request itself is taken back.
my $functions = <<'END';
CREATE FUNCTION used(name text, data jsonb DEFAULT '{}') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE request_id bigint; result text;
BEGIN
	request_id := domowf_enqueue(name, data);
	DELETE FROM domowf.queue WHERE id = request_id
		RETURNING request ->> 'modelId' INTO result;
	RETURN result;
EXCEPTION WHEN undefined_object OR invalid_parameter_value THEN
	RETURN sqlerrm;
END $$;
END
$node->safe_psql('postgres', "CREATE ROLE app; $functions");

sub used
{
	my ($session, $name) = @_;

	return $session->value("SELECT used('$name')");
}

my $one = Domowf->session($node);

# ---- dumps

# A registry whose rows were written in no helpful order.
$one->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt,
	max_attempts, expire_after, granted_to)
SELECT 'flow ' || g, 'm' || g, '1.0.' || g, E'Start\t"it"', 'retry', g,
	'1 day', 'app' FROM generate_series(20, 1, -1) g;
INSERT INTO domowf.workflow_input
SELECT 'flow ' || g, 'input ' || type, type, g % 2 = 0, g % 3 = 0
FROM generate_series(1, 20) g, unnest(ARRAY['text', 'number', 'decimal',
	'boolean', 'date', 'dateTime', 'time', 'duration', 'object', 'person',
	'group', 'dataset']) type ORDER BY random();
UPDATE domowf.workflow SET name = 'first' WHERE name = 'flow 1'
END
my $content = <<'END';
SELECT w, array_agg(i ORDER BY i.name)
FROM domowf.workflow w LEFT JOIN domowf.workflow_input i ON i.workflow = w.name
GROUP BY w ORDER BY w
END
my $whole = $node->safe_psql('postgres', $content);
my $dir = $node->basedir;

sub dump_registry
{
	my ($name, @option) = @_;

	command_ok(
		[ 'pg_dump', '-d', $node->connstr('postgres'), '-f', "$dir/$name",
			@option ],
		"a dump: $name");
	return;
}

# Whether what was restored into a database is all there, and starts.
sub check_restored
{
	my ($dbname) = @_;

	is($node->safe_psql($dbname, $content),
		$whole, "$dbname: the registry is as it was");
	my ($code, $out, $err) =
	  $node->psql($dbname, q{SELECT domowf_enqueue('first', '{"x": 1}')});
	like($err, qr/Input "x": found 1, but the workflow has no such input/,
		"$dbname: and applies");
	return;
}

dump_registry('full.sql', '-Fp');
dump_registry('full.custom', '-Fc');
dump_registry('inserts.sql', '-Fp', '--column-inserts');
dump_registry('data.sql', '-Fp', '--data-only');
dump_registry('data_disabled.sql', '-Fp', '--data-only',
	'--disable-triggers');

foreach my $dump (qw(full inserts))
{
	$node->safe_psql('postgres', "CREATE DATABASE from_$dump TEMPLATE template0");
	command_ok(
		[
			'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d',
			$node->connstr("from_$dump"), '-f', "$dir/$dump.sql"
		],
		"$dump is restored");
	check_restored("from_$dump");
}
foreach my $jobs (1, 2)
{
	$node->safe_psql('postgres', "CREATE DATABASE custom_$jobs TEMPLATE template0");
	command_ok(
		[
			'pg_restore', '-e', '-j', $jobs, '-d',
			$node->connstr("custom_$jobs"), "$dir/full.custom"
		],
		"a dump is restored by $jobs");
	check_restored("custom_$jobs");
}

# with nobody to see to the order
$node->safe_psql('postgres', 'CREATE DATABASE reversed TEMPLATE template0');
$node->safe_psql('reversed', 'CREATE EXTENSION domowf');
foreach my $table (qw(workflow_input workflow))
{
	command_ok(
		[
			'pg_restore', '-e', '--data-only', '-n', 'domowf', '-t', $table,
			'-d', $node->connstr('reversed'), "$dir/full.custom"
		],
		"$table alone is restored");
}
check_restored('reversed');

# into a database where the extension is, and a session that has used it
foreach my $dump (qw(data data_disabled))
{
	$node->safe_psql('postgres', "CREATE DATABASE from_$dump TEMPLATE template0");
	$node->safe_psql("from_$dump", "CREATE EXTENSION domowf; $functions");
	my $session = Domowf->session($node, dbname => "from_$dump");
	is( used($session, 'first'),
		'workflow "first" is not registered',
		"$dump: before it is restored");
	command_ok(
		[
			'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d',
			$node->connstr("from_$dump"), '-f', "$dir/$dump.sql"
		],
		"$dump is restored");
	is(used($session, 'first'), 'm1', "$dump: a session finds what is new");
	check_restored("from_$dump");
	$session->quit;
}

# ---- what a dump would have otherwise: no worker follows a renamed role here

my $dumps = q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'dumps'};
is($one->value($dumps), 't|pg_dump has the registry as it is', 'domowf_check finds that dumps are right');
$one->value(<<'END');
CREATE ROLE payroll; CREATE ROLE dropped;
INSERT INTO domowf.workflow (name, model_id, version, message_name, granted_to)
VALUES ('pay', 'm', '1.0.0', 's', 'payroll'), ('nobodys', 'm', '1.0.0', 's', 'dropped'),
	('later', 'm', '1.0.0', 's', 'later');
ALTER ROLE payroll RENAME TO payroll_team;
DROP ROLE dropped;
END
like($one->value($dumps), qr/^f\|.*role's: pay \("payroll", granted to "payroll_team"\); UPDATE/,
	'... and names a workflow whose role was renamed');
$one->value('CREATE ROLE payroll; CREATE ROLE dropped; CREATE ROLE later');
like($one->value($dumps), qr/role's: later \("later", granted to nobody\), nobodys \("dropped", granted to nobody\), pay \("payroll", granted/,
	'... or was dropped, or came later');
$one->value(q{UPDATE domowf.workflow SET granted_to = pg_get_userbyid(granted_oid) WHERE name = 'pay';
	DELETE FROM domowf.workflow WHERE name IN ('nobodys', 'later')});
like($one->value($dumps), qr/^t/, '... until the name is written anew');
dump_registry('renamed.sql', '-Fp');
$node->safe_psql('postgres', 'CREATE DATABASE renamed TEMPLATE template0');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('renamed'), '-f', "$dir/renamed.sql" ],
	'... and a dump is restored');
is($node->safe_psql('renamed', q{SELECT granted_to, granted_oid::regrole FROM domowf.workflow WHERE name = 'pay'}),
	'payroll_team|payroll_team', '... which grants it to the same role');
$one->value(q{DELETE FROM domowf.workflow WHERE name = 'pay'; DROP ROLE payroll, payroll_team, dropped, later});

# columns of somebody's own, which a dump fills and does not make
$one->value('ALTER TABLE domowf.workflow ADD COLUMN team text; ALTER TABLE domowf.workflow_input ADD COLUMN note text');
like($one->value($dumps), qr/^f\|.*fails: domowf\.workflow\.team, domowf\.workflow_input\.note; keep them/,
	'domowf_check names columns of somebody\'s own');
$one->value(q{UPDATE domowf.workflow SET team = 'red' WHERE name = 'first'});
dump_registry('own.custom', '-Fc');
$node->safe_psql('postgres', 'CREATE DATABASE own TEMPLATE template0');
command_ok([ 'pg_restore', '-e', '--section=pre-data', '-d', $node->connstr('own'), "$dir/own.custom" ], '... what is made is restored');
$node->safe_psql('own', 'ALTER TABLE domowf.workflow ADD COLUMN team text; ALTER TABLE domowf.workflow_input ADD COLUMN note text');
command_ok([ 'pg_restore', '-e', '--section=data', '--section=post-data', '-d', $node->connstr('own'), "$dir/own.custom" ],
	'... then the columns, as README has it, then the data');
is($node->safe_psql('own', q{SELECT team, (SELECT count(*) FROM domowf.workflow_input) FROM domowf.workflow WHERE name = 'first'}),
	'red|240', '... and all is there');
$one->value('ALTER TABLE domowf.workflow DROP COLUMN team; ALTER TABLE domowf.workflow_input DROP COLUMN note');
like($one->value($dumps), qr/^t/, '... until they are gone');

# ---- logical replication: an apply worker fires row triggers only

my $subscriber = Domowf->start_node('subscriber', $domo);
$subscriber->safe_psql('postgres', "CREATE ROLE app; $functions");
my $reader = Domowf->session($subscriber);
$one->value('CREATE PUBLICATION registry'
	  . ' FOR TABLE domowf.workflow, domowf.workflow_input');
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION registry CONNECTION '"
	  . $node->connstr
	  . " dbname=postgres' PUBLICATION registry");
$subscriber->wait_for_subscription_sync($node, 'registry');
is($subscriber->safe_psql('postgres', $content),
	$whole, 'a subscriber has the registry');
is(used($reader, 'first'), 'm1', '... and uses it');
$one->value("UPDATE domowf.workflow SET model_id = 'm2' WHERE name = 'first'");
$node->wait_for_catchup('registry', 'replay', $node->lsn('insert'));
is(used($reader, 'first'), 'm2', '... and changes that are applied to it');
$one->value("INSERT INTO domowf.workflow_input VALUES"
	  . " ('first', 'more', 'text', false, true)");
$node->wait_for_catchup('registry', 'replay', $node->lsn('insert'));
like(used($reader, 'first'), qr/does not fit/, '... to its inputs, too');
$one->value('BEGIN; TRUNCATE domowf.workflow, domowf.workflow_input');
is($one->value('SELECT count(*) FROM domowf.workflow'), 0, 'a publisher empties its own');
$one->value('ROLLBACK; TRUNCATE domowf.workflow_input');
$node->wait_for_catchup('registry', 'replay', $node->lsn('insert'));
like(used($reader, 'first'), qr/does not fit/, '... but not a subscriber\'s');
$one->value('DELETE FROM domowf.workflow');
$node->wait_for_catchup('registry', 'replay', $node->lsn('insert'));
is( used($reader, 'first'),
	'workflow "first" is not registered',
	'... and its end');

# the function that a row names gets its owner's rights: a publisher may name for
# a subscription what its owner could, and no more
my @by_owner = $node->pg_version >= 16 ?
  'ALTER SUBSCRIPTION registry SET (run_as_owner = true, password_required = false)' : ();
$_->safe_psql('postgres', 'CREATE FUNCTION supers(domowf.request) RETURNS void LANGUAGE sql AS $$$$;'
	  . 'CREATE FUNCTION carols(domowf.request) RETURNS void LANGUAGE sql AS $$$$')
  foreach $node, $subscriber;
$subscriber->safe_psql('postgres', $_) foreach
  'CREATE ROLE carol SUPERUSER LOGIN', 'ALTER FUNCTION carols OWNER TO carol', @by_owner,
  'ALTER SUBSCRIPTION registry OWNER TO carol', 'ALTER ROLE carol NOSUPERUSER',
  'GRANT USAGE ON SCHEMA domowf TO carol',
  'GRANT ALL ON domowf.workflow, domowf.workflow_input TO carol';
$one->value(q{INSERT INTO domowf.workflow (name, model_id, version, message_name, on_settled) VALUES
	('with supers', 'm', '1.0.0', 's', 'supers(domowf.request)'),
	('with carols', 'm', '1.0.0', 's', 'carols(domowf.request)'), ('with none', 'm', '1.0.0', 's', NULL)});
$node->wait_for_catchup('registry', 'replay', $node->lsn('insert'));
is( $subscriber->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', name, on_settled), ', ' ORDER BY name)
		FROM domowf.workflow WHERE name LIKE 'with%'}),
	'with carols public.carols(domowf.request), with none, with supers',
	'a subscription of no superuser brings functions that are its owner\'s alone');
like(slurp_file($subscriber->logfile), qr/WARNING: .*column "on_settled" is left empty: must be owner of function supers/,
	'... and says so');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION registry');

is($domo->stats->{requests}, 0, 'nothing was sent by any of it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
