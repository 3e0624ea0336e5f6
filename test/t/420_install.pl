
# CREATE EXTENSION in a database that is full of traps set by its owner, after
# any ALTER DEFAULT PRIVILEGES, and where something of its is there already.
# Exists because version 1.0 looked for operators in the schema of the
# extension, so that the owner of a database became superuser, and left default
# privileges as they were, so that they handed out the token.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Traps;

my $node = Domowf->start_node(
	'main', undef,
	conf => Domowf->own_installation
	  . (Domowf->has_old_strings ? "escape_string_warning = off\n" : ''));
my ($offset, $session, $got);
my $scripts = join "\n",
  map { Domowf->script($_) } '../sql/domowf--1.1.sql',
  '../sql/domowf--1.0--1.1.sql', 'update/domowf--1.0.sql';

$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; CREATE ROLE anon');
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

# What a database may be set to by its owner.
my %settings = (
	standard_conforming_strings => 'off',
	quote_all_identifiers => 'on',
	transform_null_equals => 'on',
	backslash_quote => 'off',
	IntervalStyle => 'sql_standard',
	check_function_bodies => 'off',
	'plpgsql.extra_errors' => 'all');
delete $settings{standard_conforming_strings} unless Domowf->has_old_strings;

# A database of mallory's, with these traps or without.
sub create_database
{
	my ($name, @schemas) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name OWNER mallory");
	my $mallory = Domowf->session($node, dbname => $name, user => 'mallory');
	Traps->set($mallory, $scripts, @schemas) if @schemas;
	# loads it, so that its settings are known
	$mallory->value(q{DO 'BEGIN END'});
	$mallory->value("ALTER DATABASE $name SET $_ = '$settings{$_}'")
	  foreach sort keys %settings;
	$mallory->value(
		"ALTER DATABASE $name SET search_path = public, target, pg_catalog")
	  if @schemas;
	$mallory->quit;
	return;
}

sub leaves
{
	my ($database) = @_;

	return Domowf->look($node, $database, 'leaves');
}

# Reads all that can be read, by names alone: what is bound is what counts.
sub use_it
{
	my ($who, $schema) = @_;

	$who->value("SELECT * FROM domowf.$_") foreach qw(request batch stats worker);
	$who->value("SELECT * FROM $schema.domowf_check()");
	$who->value(q{INSERT INTO domowf.workflow (name, model_id, version,
		message_name, expire_after) VALUES ('plain', 'model', '1.0.0', 'Start it', '1 h')});
	$who->value(q{INSERT INTO domowf.workflow_input (workflow, name, type)
		VALUES ('plain', 'n', 'text')});
	$who->value("SELECT $schema.domowf_enqueue('plain', '{}', 'key', 'order')");
	$who->value("SELECT * FROM domowf.$_") foreach qw(request batch stats key queue);
	$who->value("SELECT $schema.domowf_discard(1)");
	$who->value("SELECT * FROM domowf.$_") foreach qw(request batch stats log);
	return;
}

# ---- traps

create_database('trapped', 'public', 'target');
cmp_ok(
	$node->safe_psql('trapped', 'SELECT pg_catalog.count(*) FROM pg_catalog.pg_operator'
		  . ' WHERE oid OPERATOR(pg_catalog.>) 16383'),
	'>', 4000, 'traps are set');
my %schema_of = ('' => 'public', 'SCHEMA target' => 'target');

# that they are any good: 1.0 falls into them
foreach my $where (sort keys %schema_of)
{
	$offset = Domowf->log_size($node);
	$node->psql('trapped', "CREATE EXTENSION domowf $where VERSION '1.0'");
	cmp_ok(scalar(split /\n/, leaves('trapped')),
		'>=', 8, "1.0 $where depends on traps");
	ok( (grep { /ran as \Q$superuser\E$/ } Traps->sprung($node, $offset)),
		'... which run as superuser');
	$node->psql('trapped', 'DROP EXTENSION domowf CASCADE');
}

foreach my $where (sort keys %schema_of)
{
	$offset = Domowf->log_size($node);
	$session = Domowf->session($node, dbname => 'trapped');
	$got = $session->run("CREATE EXTENSION domowf $where");
	is($got->{err}, '', "CREATE EXTENSION $where, with traps");
	is(leaves('trapped'), '', '... depends on nobody else\'s objects');
	use_it($session, $schema_of{$where});
	is(join("\n", Traps->sprung($node, $offset)), '', '... no trap runs, then or later');
	$got = $session->run(q{INSERT INTO domowf.workflow (name, model_id, version,
		message_name) VALUES ('bad', 'model', '1x0y0', 'Start it')});
	is($got->{sqlstate}, '23514', '... a version is checked, whatever a backslash means');
	$session->run('DROP EXTENSION domowf CASCADE');
	$session->quit;
}

# ---- something is there already

create_database('taken');
foreach my $case (
	[ 'SCHEMA domowf', 'DROP SCHEMA domowf' ],
	[ 'TYPE public.domowf_instance AS (id text)', 'DROP TYPE public.domowf_instance' ],
	[   'FUNCTION public.domowf_check(OUT check_name text, OUT ok boolean, OUT detail text)'
		  . ' RETURNS SETOF record LANGUAGE sql RETURN (NULL::text, true, NULL::text)',
		'DROP FUNCTION public.domowf_check()' ],
	[   'FUNCTION public.domowf_start(jsonb) RETURNS text LANGUAGE sql RETURN 1',
		'DROP FUNCTION public.domowf_start(jsonb)' ])
{
	my ($make, $drop) = @$case;

	my $mallory = Domowf->session($node, dbname => 'taken', user => 'mallory');
	$mallory->value("CREATE $make");
	$session = Domowf->session($node, dbname => 'taken');
	$got = $session->run('CREATE EXTENSION domowf');
	like($got->{message}, qr/already exists/, "refused: CREATE $make");
	$mallory->value($drop);
	$mallory->quit;
	is($session->run('CREATE EXTENSION domowf')->{err}, '', '... until it is gone');
	$session->value('DROP EXTENSION domowf');
	$session->quit;
}

# ---- privileges, whatever the defaults are

# Every object with what everybody has on it.
sub privileges
{
	my ($database) = @_;

	return join "\n",
	  grep { /^privilege/ } split /\n/, Domowf->look($node, $database, 'describe');
}

my $expected = privileges('postgres');
my @kinds = qw(TABLES SEQUENCES FUNCTIONS TYPES SCHEMAS);
create_database('given');
create_database('taken_away');
foreach my $kind (@kinds)
{
	$node->safe_psql('given',
		"ALTER DEFAULT PRIVILEGES GRANT ALL ON $kind TO anon WITH GRANT OPTION");
	$node->safe_psql('given', "ALTER DEFAULT PRIVILEGES GRANT ALL ON $kind TO PUBLIC");
	$node->safe_psql('given',
		"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON $kind TO anon, PUBLIC")
	  unless $kind eq 'SCHEMAS';
	$node->safe_psql('taken_away',
		"ALTER DEFAULT PRIVILEGES REVOKE ALL ON $kind FROM CURRENT_USER, PUBLIC");
}
foreach my $database (qw(given taken_away))
{
	$node->safe_psql($database, 'CREATE EXTENSION domowf');
	is(privileges($database), $expected,
		"default privileges, $database: all is as without them");
	is( $node->safe_psql($database,
			q{SELECT ok FROM domowf_check() WHERE check_name = 'privileges'}),
		't',
		'... domowf_check finds nothing wrong');
}

# ---- what is granted since

$node->safe_psql('given', <<'END');
ALTER DATABASE given RESET ALL;
GRANT EXECUTE ON FUNCTION domowf_start(jsonb) TO PUBLIC, anon;
GRANT SELECT (id, error) ON domowf.log TO PUBLIC;
GRANT USAGE ON SCHEMA domowf TO PUBLIC;
GRANT USAGE ON FOREIGN SERVER domowf_worker TO PUBLIC;
END
is( $node->safe_psql('given',
		q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'privileges'}),
	'f|PUBLIC has SELECT on column error of table domowf.log,'
	  . ' SELECT on column id of table domowf.log,'
	  . ' EXECUTE on function public.domowf_start(jsonb), USAGE on schema domowf,'
	  . ' USAGE on server domowf_worker: see REVOKE',
	'domowf_check names what is granted to PUBLIC');
$node->stop;
done_testing();
