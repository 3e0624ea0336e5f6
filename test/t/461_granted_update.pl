
# What 1.0 granted, after ALTER EXTENSION UPDATE: to the roles that are called so
# then; its triggers go on, and domowf_check lists those of which nobody knows
# who made them.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domowf;
use File::Find;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

my $node =
  Domowf->start_node('main', undef, preload => 1, conf => own_installation());

# A copy of the installation that the tests run with, with 1.0's script.  The
# settings by which a server finds it.
sub own_installation
{
	my $conf = slurp_file($ENV{TEMP_CONFIG});
	my ($from) = $conf =~ /^extension_(?:destdir|control_path) = '([^':]+)/m
	  or die 'no installation';
	my $to = PostgreSQL::Test::Utils::tempdir . '/installation';
	my $dir;

	PostgreSQL::Test::RecursiveCopy::copypath($from, $to);
	find(sub { $dir = $File::Find::dir if $_ eq 'domowf.control' }, $to);
	append_to_file("$dir/domowf--1.0.sql",
		slurp_file("$FindBin::RealBin/../update/domowf--1.0.sql"))
	  unless -e "$dir/domowf--1.0.sql";
	$conf =~ s/\Q$from\E/$to/g;
	return $conf;
}

sub value
{
	return $node->safe_psql('old', $_[0]);
}

$node->safe_psql('postgres', 'CREATE DATABASE old');
value(<<'END');
CREATE EXTENSION domowf VERSION '1.0';
CREATE ROLE app;
CREATE ROLE "Odd ""role";
CREATE ROLE "123";
CREATE ROLE clerk;
CREATE ROLE thief;
INSERT INTO domowf.workflow (name, model_id, version, message_name, granted_to)
SELECT coalesce(r, 'anybody'), 'model', '1.0.0', 'Start it', r
FROM unnest(ARRAY['app', 'Odd "role', '123', '-', 'gone', NULL]) r;

CREATE TABLE orders (n text);
CREATE TABLE parts (n int) PARTITION BY LIST (n);
CREATE TABLE part PARTITION OF parts DEFAULT;
CREATE SCHEMA "Odd schema";
CREATE TABLE "Odd schema".t (n text);
GRANT TRIGGER ON orders, domowf.workflow TO clerk, thief;
GRANT CREATE ON SCHEMA public TO thief;
GRANT USAGE ON SCHEMA domowf TO thief;
GRANT EXECUTE ON FUNCTION domowf_trigger() TO clerk;
CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql
	AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER theirs AFTER INSERT ON parts FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('app');
CREATE TRIGGER t AFTER INSERT ON "Odd schema".t FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('app');
CREATE TRIGGER other AFTER INSERT ON parts FOR EACH ROW
	EXECUTE FUNCTION other();
SET ROLE clerk;
CREATE TRIGGER clerks AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('app');

-- whoever may make triggers waits for the update
SET ROLE thief;
CREATE FUNCTION steal() RETURNS trigger LANGUAGE plpgsql
	AS 'BEGIN EXECUTE ''ALTER ROLE thief SUPERUSER''; RETURN NEW; END';
CREATE TRIGGER steal BEFORE UPDATE ON domowf.workflow FOR EACH ROW
	EXECUTE FUNCTION steal()
END

# ---- a trigger that is being made is not there yet

value('ALTER ROLE clerk LOGIN; CREATE TABLE late (n text);'
	  . ' ALTER TABLE late OWNER TO app; GRANT TRIGGER ON late TO clerk');
my $clerk = Domowf->session($node, dbname => 'old', user => 'clerk');
$clerk->value('BEGIN; CREATE TRIGGER lately AFTER INSERT ON late FOR EACH ROW'
	  . q{ EXECUTE FUNCTION domowf_trigger('app')});
my $updater = Domowf->session($node, dbname => 'old');
my $got = $updater->run('ALTER EXTENSION domowf UPDATE');
is("$got->{sqlstate} $got->{message}", '55000 a trigger may be being made on table public.late by process '
	  . $clerk->pid, 'no update while somebody makes a trigger');
like($got->{hint}, qr/when that transaction has ended/, '... it says what to do');
$clerk->value('COMMIT');
$got = $updater->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; ALTER EXTENSION domowf UPDATE');
is($got->{sqlstate}, '25001', '... nor with a snapshot that may be older than one');
$updater->run('ROLLBACK');
$_->quit foreach $clerk, $updater;

value('ALTER EXTENSION domowf UPDATE');
is(value(q{SELECT rolsuper FROM pg_roles WHERE rolname = 'thief'}),
	'f', "the update runs nobody's trigger");
is( value(
		q{SELECT string_agg(name || ' ' || coalesce((SELECT rolname FROM pg_roles
			WHERE oid = granted_oid), granted_oid::text, 'NULL'), ', '
			ORDER BY name COLLATE "C") FROM domowf.workflow}),
	'- 0, 123 123, Odd "role Odd "role, anybody NULL, app app, gone 0',
	'granted to the roles that are called so');

# ---- triggers

my $check =
  q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'triggers'};

like(
	value($check),
	qr/^f\|.*: t on "Odd schema"\.t, lately on public\.late, clerks on public\.orders, theirs on public\.parts; look at each/,
	'domowf_check lists the triggers of 1.0');

# A dump has what is not known; of a table that is gone it has nothing.
my $earlier = value($check);
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
value(q{CREATE TABLE gone (n text); INSERT INTO domowf.earlier_trigger VALUES ('gone', 'x'); DROP TABLE gone});
command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('old'), '-f', $dump ], 'dumped');
foreach my $jobs (1, 2)
{
	$node->safe_psql('postgres', "CREATE DATABASE restored_$jobs TEMPLATE template0");
	command_ok([ 'pg_restore', '-e', '-j', $jobs, '-d', $node->connstr("restored_$jobs"), $dump ],
		"... and restored by $jobs");
	is($node->safe_psql("restored_$jobs", $check), $earlier, '... where it is not known either');
}
value(q{DELETE FROM domowf.earlier_trigger WHERE name = 'x'; DROP TABLE late});
value(q{GRANT INSERT ON orders TO clerk; SET ROLE clerk;
	INSERT INTO orders VALUES ('x')});
is(value('SELECT source FROM domowf.queue'), 'public.orders', '... which go on');
value(q{DROP TRIGGER clerks ON orders;
	DELETE FROM domowf.earlier_trigger WHERE relation = 'parts'::regclass;
	DROP TABLE "Odd schema".t});
like(value($check), qr/^t\|/,
	'... until they are gone, or somebody has looked at them');
is( $node->psql('old', 'SET ROLE clerk;'
		  . ' CREATE TRIGGER clerks AFTER INSERT ON orders FOR EACH ROW'
		  . q{ EXECUTE FUNCTION domowf_trigger('app')}),
	3, 'who could make one no longer can');
value('CREATE TRIGGER new AFTER INSERT ON orders FOR EACH ROW'
	  . q{ EXECUTE FUNCTION domowf_trigger('app')});
like(value($check), qr/^t\|/, '... and new ones are not listed');
value(q{DO $$ BEGIN FOR i IN 1 .. 12 LOOP
	EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON orders FOR EACH ROW
		EXECUTE FUNCTION domowf_trigger(''app'')', 'many ' || chr(96 + i));
	INSERT INTO domowf.earlier_trigger
		VALUES ('orders', 'many ' || chr(96 + i));
	END LOOP; END $$});
like(value($check), qr/: many a on .*, many j on public\.orders, \.\.\.;/,
	'at most ten are named');

# ---- the same objects as a new one

my $objects = <<'END';
SELECT pg_describe_object(classid, objid, 0),
	obj_description(objid, classid::regclass::name)
FROM pg_depend WHERE deptype = 'e' AND refobjid =
	(SELECT oid FROM pg_extension WHERE extname = 'domowf') ORDER BY 1;
SELECT attrelid::regclass, attnum, attname, format_type(atttypid, atttypmod),
	attnotnull, col_description(attrelid, attnum), attacl
FROM pg_attribute WHERE attnum > 0 AND attrelid IN
	('domowf.workflow'::regclass, 'domowf.earlier_trigger'::regclass)
ORDER BY 1, 2;
SELECT tgname, tgenabled, pg_get_triggerdef(oid),
	obj_description(oid, 'pg_trigger')
FROM pg_trigger WHERE tgrelid = 'domowf.workflow'::regclass
	AND tgname <> 'steal' AND NOT tgisinternal ORDER BY 1;
SELECT evtname, evtevent, evtenabled, evttags, evtfoid::regproc
FROM pg_event_trigger;
SELECT oid::regprocedure, proacl, proconfig, md5(prosrc) FROM pg_proc
WHERE proname IN ('trigger_made', 'set_granted_oid') ORDER BY 1;
END
is(value($objects), $node->safe_psql('postgres', $objects),
	'an updated database has the objects of a new one');
done_testing();
