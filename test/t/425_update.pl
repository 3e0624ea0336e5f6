
# ALTER EXTENSION UPDATE of a database of 1.0: it has the objects of a new one,
# keeps its rows and what was granted on them, is rid of what somebody's
# operators and ALTER DEFAULT PRIVILEGES did to 1.0, and falls into no trap
# while it is updated.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Traps;

my $node = Domowf->start_node('main', undef, conf => Domowf->own_installation);
my ($offset, $session, $got);
my $scripts = join "\n",
  map { Domowf->script($_) } '../sql/domowf--1.1.sql',
  '../sql/domowf--1.0--1.1.sql', 'update/domowf--1.0.sql';
my @tables = qw(workflow workflow_input queue key log state);

$node->safe_psql('postgres',
	'CREATE ROLE mallory LOGIN; CREATE ROLE anon; CREATE ROLE app; CREATE ROLE ops');
my $superuser = $node->safe_psql('postgres', 'SELECT quote_ident(current_user)');

sub value
{
	my ($database, $sql) = @_;

	return $node->safe_psql($database, $sql);
}

# A database with 1.0 and rows of each kind.
sub create_old
{
	my ($database, $schema) = @_;

	value('postgres', "CREATE DATABASE $database");
	value($database, "CREATE SCHEMA IF NOT EXISTS $schema");
	value($database, "CREATE EXTENSION domowf SCHEMA $schema VERSION '1.0'");
	fill($database);
	return;
}

sub fill
{
	my ($database) = @_;

	# the library of today does nothing for 1.0, its triggers neither
	value($database, <<'END');
SET session_replication_role = replica;
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt,
	track, max_attempts, expire_after, granted_to)
VALUES ('plain', 'model', '1.0.0', 'Start it', 'hold', false, NULL, NULL, NULL),
	('granted', 'model', '12.3.4', 'Start', 'retry', true, 3, '1 day', 'app'),
	('orphaned', 'model', '1.0.0', 'Start it', 'hold', false, 1, NULL, 'nobody any more');
INSERT INTO domowf.workflow_input
VALUES ('plain', 'n', 'number', false, true), ('granted', 'list', 'text', true, false);
INSERT INTO domowf.queue (id, state, waiting, operation, workflow, request, on_doubt,
	max_attempts, attempts, failures, claim, owner, key, order_key, source,
	requested_by, requested_by_oid, batch, enqueued_at, run_at, due, expires_at,
	sent_at, http_status, error, errors)
SELECT pg_catalog.nextval('domowf.request_id'), state, waiting, operation, workflow,
	'{"modelId": "m"}', 'hold', 12, 2, 1, 3, 77, key, 'k', 'public.orders', 'app',
	(SELECT oid FROM pg_catalog.pg_roles WHERE rolname = 'app'), '900', t, t,
	CASE WHEN waiting THEN 'infinity' ELSE t END, t, t, 500, 'no', '[{"class": "x"}]'
FROM (VALUES ('queued', false, 'start', 'plain', 'one', timestamptz '2026-01-02 3:04+0'),
	('queued', true, 'start', 'granted', NULL, '2026-01-02 3:05+0'),
	('queued', true, 'start', 'gone', NULL, '2026-01-02 3:05+0'),
	('queued', true, 'cancel', NULL, NULL, '2026-01-02 3:05+0'),
	('sending', false, 'set_permissions', NULL, NULL, '2026-01-02 3:06+0'),
	('in_doubt', false, 'start', NULL, 'two', 'infinity'))
	q (state, waiting, operation, workflow, key, t);
INSERT INTO domowf.log (id, operation, workflow, outcome, origin, key, attempts,
	instance_id, request, response, requested_by, requested_by_oid, enqueued_at,
	settled_at, batch)
SELECT pg_catalog.nextval('domowf.request_id'), 'start', 'plain', outcome, origin, outcome, 1, 'i',
	'{"data": {}}', '{"id": "i"}', 'app', 10, '2026-01-02', '2026-01-03', '901'
FROM (VALUES ('done', 'request'), ('rejected', 'request'), ('expired', 'request'),
	('discarded', 'request'), ('done', 'call')) l (outcome, origin);
INSERT INTO domowf.key (scope, key, request_id) VALUES ('plain', 'one', 1), ('start', 'two', 6),
	('plain', 'done', 7);
UPDATE domowf.state SET paused = true, pause_reason = 'for the update';
END
	value($database, 'CREATE TABLE public.kept AS '
		  . join(' UNION ALL ',
			map { "SELECT '$_' AS name, pg_catalog.to_jsonb(t) AS was FROM domowf.$_ t" } @tables));
	return;
}

# What a log of 1.0 has at the bounds of the buckets of bucket.c, and times that
# are not Domo's.
sub log_of_times
{
	return <<'END';
SET session_replication_role = replica;
INSERT INTO domowf.log (id, operation, workflow, outcome, origin, attempts, http_status, error,
	requested_by, requested_by_oid, enqueued_at, sent_at, settled_at, batch)
SELECT pg_catalog.nextval('domowf.request_id'), 'start', workflow, outcome, 'request', 1, status, error,
	'app', 10, '2026-01-02', CASE WHEN status <> 400 THEN timestamptz '2026-01-02' END,
	timestamptz '2026-01-02' + took, '902'
FROM (SELECT 'bound', CASE beyond WHEN 0 THEN 'done' ELSE 'rejected' END, 200, CASE beyond WHEN 1 THEN 'no' END,
		make_interval(secs => bound) + beyond * interval '1 microsecond'
	FROM unnest(ARRAY[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300,
			3600, 86400]) bound, generate_series(0, 1) beyond
	UNION ALL VALUES ('untimed', 'done', 200, 'in doubt, settled by a person', interval '1 h'),
		('untimed', 'done', NULL, NULL, '1 h'), ('untimed', 'rejected', NULL, 'not sent', '1 h'),
		('untimed', 'expired', 429, 'too late', '1 h'), ('untimed', 'discarded', 502, 'in doubt', '1 h'),
		('untimed', 'rejected', 400, 'with no time of sending', '1 h'))
	l (workflow, outcome, status, error, took)
END
}

# How many of a workflow are in each bucket.
sub buckets
{
	my ($database, $workflow, $what) = @_;

	return value($database, 'SELECT concat_ws($$ $$, ' . join(', ', map { "sum(${what}_$_)" } 0 .. 18)
		  . ") FROM domowf.counter WHERE workflow = '$workflow'");
}

sub lost
{
	my ($database) = @_;

	return value($database, <<"END");
SELECT name || ': ' || was FROM kept k WHERE NOT EXISTS (SELECT FROM (@{[
	join ' UNION ALL ', map { "SELECT '$_' AS name, to_jsonb(t) AS is FROM domowf.$_ t" } @tables]}) n
	WHERE n.name = k.name AND n.is @> k.was)
END
}

# What leaves domowf, but for triggers that are set on its tables.
sub leaves
{
	my ($database) = @_;

	return join "\n",
	  grep { !/^trigger zzz / }
	  split /\n/, Domowf->look($node, $database, 'leaves');
}

# The first lines in which two descriptions differ.
sub differences
{
	my (@descriptions) = @_;
	my %count;

	foreach my $side (0, 1)
	{
		$count{$_} += $side ? 1 : -1 foreach split /\n/, $descriptions[$side];
	}
	return join "\n",
	  map { ($count{$_} < 0 ? '< ' : '> ') . $_ }
	  grep { $count{$_} } sort keys %count;
}

sub describe
{
	my ($database) = @_;

	return Domowf->look($node, $database, 'describe');
}

# ---- object by object

foreach my $schema (qw(public target))
{
	value('postgres', "CREATE DATABASE new_$schema");
	value("new_$schema", "CREATE SCHEMA IF NOT EXISTS $schema; CREATE EXTENSION domowf SCHEMA $schema");
	create_old("old_$schema", $schema);
	value("old_$schema", log_of_times());
	isnt(differences(describe("new_$schema"), describe("old_$schema")),
		'', "1.0 in schema $schema is not as a new installation");
	value("old_$schema", 'ALTER EXTENSION domowf UPDATE');
	is(value("old_$schema", <<'END'), 'queue_pkey,tracked_pkey', '... a primary key is the newest index (t/532)');
SELECT string_agg(n.name, ',' ORDER BY n.name) FROM (SELECT DISTINCT ON (indrelid)
	(SELECT relname FROM pg_class WHERE oid = indexrelid) AS name, indrelid FROM pg_index
	WHERE indrelid IN ('domowf.queue'::regclass, 'domowf.tracked'::regclass)
	ORDER BY indrelid, indexrelid DESC) n
END
	is(differences(describe("new_$schema"), describe("old_$schema")),
		'', '... but is after its update');
	is(lost("old_$schema"), '', '... with all its rows');
	is(value("old_$schema", <<'END'), '', '... and begins with what its log has counted');
SELECT workflow, outcome, count(*), sum(attempts), round(sum(greatest(extract(epoch
	FROM settled_at - enqueued_at), 0)))
FROM domowf.log WHERE origin = 'request' GROUP BY 1, 2
EXCEPT SELECT workflow, outcome, sum(n), sum(attempts), round(sum(waited) / 1000000)
FROM domowf.counter GROUP BY 1, 2
END
	is(value("old_$schema", <<'END'), 't|t', '... each in its bucket');
SELECT sum(n) > 0, sum(n) = sum((SELECT sum(value::bigint)
	FROM jsonb_each_text(jsonb_strip_nulls(to_jsonb(c))) e WHERE e.key ~ '^waited_'))
FROM domowf.counter c
END
	is(buckets("old_$schema", 'bound', $_), '1 ' . '2 ' x 17 . '1', "... $_: what is as long as a bucket reaches belongs to it")
	  foreach qw(waited took);
	is(value("old_$schema", q{SELECT sum(n), count(took) FROM domowf.counter WHERE workflow = 'untimed'}), '6|0',
		'... and takes no time for Domo\'s that is not known to be');
	is(buckets("old_$schema", 'untimed', 'took'), '0 ' x 18 . '0', '... nor counts it');
}

# ---- what was granted

create_old('granted', 'public');
value('granted', <<'END');
CREATE TABLE public.orders (id int);
CREATE TRIGGER t AFTER INSERT ON public.orders FOR EACH ROW
	EXECUTE FUNCTION public.domowf_trigger('plain');
GRANT USAGE ON SCHEMA domowf TO app;
GRANT SELECT, INSERT ON domowf.workflow, domowf.request, domowf.stats TO app WITH GRANT OPTION;
GRANT UPDATE (paused) ON domowf.state TO app;
GRANT EXECUTE ON FUNCTION public.domowf_start(jsonb), public.domowf_start(text, jsonb),
	domowf.may_see(oid, oid) TO app, PUBLIC;
REVOKE SELECT ON domowf.worker FROM pg_monitor;
END

# What others have, but for what everybody has of a new table's types, and of
# what is new for pg_monitor: the later
# minor releases of PostgreSQL make them members of an extension.
sub others_privileges
{
	return join "\n",
	  grep { /^(?:initial )?privilege.*\b(?:app|PUBLIC|pg_monitor)\b/ && !/ on type .*: PUBLIC USAGE$/ && !/ on (?:view domowf\.(?:connection|metric)|function public\.domowf_metrics\(\)):/ }
	  split /\n/, describe('granted');
}

my $before = others_privileges();
value('granted', 'ALTER EXTENSION domowf UPDATE');
is(differences($before, others_privileges()), '',
	'what an administrator granted and revoked stays');
is( value('granted',
		q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'privileges'}),
	'f|PUBLIC has EXECUTE on function domowf.may_see(oid,oid), EXECUTE on function'
	  . ' public.domowf_start(jsonb), EXECUTE on function public.domowf_start(text,jsonb):'
	  . ' see REVOKE',
	'... domowf_check tells what PUBLIC has');

# ---- dumped and restored, before and after

my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
foreach my $database (qw(granted old_public new_public))
{
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr($database) ],
		"$database: pg_dump");
	value('postgres', "CREATE DATABASE copy_$database");
	$node->command_ok(
		[ 'pg_restore', '--exit-on-error', '-d', $node->connstr("copy_$database"), $dump ],
		'... pg_restore');
	is(differences(describe($database), describe("copy_$database")),
		'', '... with the same objects and privileges');
	is( value("copy_$database", q{SELECT jsonb_agg(to_jsonb(w) ORDER BY name) FROM domowf.workflow w}),
		value($database, q{SELECT jsonb_agg(to_jsonb(w) ORDER BY name) FROM domowf.workflow w}),
		'... and the registered workflows');
}
create_old('dumped', 'public');
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('dumped') ],
	'1.0: pg_dump');
value('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ],
	'... pg_restore, into a new version');
is(differences(describe('new_public'), describe('restored')), '',
	'... with the objects of that one');
is(value('restored', 'SELECT count(*) FROM domowf.workflow, domowf.workflow_input'), '6',
	'... and its registered workflows');

# ---- 1.0 was made in a database full of traps

value('postgres', 'CREATE DATABASE trapped OWNER mallory');
my $mallory = Domowf->session($node, dbname => 'trapped', user => 'mallory');
Traps->set($mallory, $scripts, 'public', 'target');
$mallory->value('ALTER DATABASE trapped SET search_path = public, target, pg_catalog');
$mallory->value('ALTER DATABASE trapped SET standard_conforming_strings = off')
  if Domowf->has_old_strings;
$mallory->value('ALTER DATABASE trapped SET quote_all_identifiers = on');
value('trapped', (Domowf->has_old_strings ? 'SET escape_string_warning = off;' : '')
	  . q{CREATE EXTENSION domowf SCHEMA target VERSION '1.0'});
cmp_ok(scalar(split /\n/, leaves('trapped')), '>=', 8, '1.0 depends on traps');

# who has the TRIGGER privilege may set more of them
value('trapped', 'GRANT USAGE ON SCHEMA domowf TO mallory');
value('trapped', "GRANT TRIGGER ON domowf.$_ TO mallory") foreach @tables;
$mallory->value(<<"END") foreach @tables;
CREATE OR REPLACE FUNCTION public.trap() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN RAISE LOG ''trap trigger ran as %'', current_user; RETURN NULL; END';
CREATE TRIGGER zzz BEFORE UPDATE OR DELETE OR TRUNCATE ON domowf.$_
	FOR EACH STATEMENT EXECUTE FUNCTION public.trap()
END
value('trapped', <<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('plain', 'model', '1.0.0', 'Start it');
INSERT INTO domowf.queue (id, state, waiting, operation, workflow, request, on_doubt,
	max_attempts, attempts, failures, claim, requested_by, requested_by_oid, batch,
	enqueued_at, run_at, due) VALUES (1, 'in_doubt', false, 'start', 'plain', '{}', 'hold', 1,
	1, 0, 1, 'mallory', 10, '1', '2026-01-02', '2026-01-02', 'infinity')
END
$offset = Domowf->log_size($node);
$session = Domowf->session($node, dbname => 'trapped');
$got = $session->run('ALTER EXTENSION domowf UPDATE');
is($got->{sqlstate}, '', '... updated');
is( join("\n", sort map { $_->{message} } @{ $got->{warnings} }),
	join("\n",
		map { "view \"domowf\".\"$_\" used functions or operators of others:"
			  . ' it is made anew, and what was granted on it is gone' } qw(batch stats)),
	'... views whose columns may have changed are made anew');
is(leaves('trapped'), '', '... it depends on none any more');
$session->value("SELECT * FROM domowf.$_")
  foreach qw(request batch stats worker queue log key);
$session->value('SELECT target.domowf_check(), target.domowf_discard(1)');
is(join("\n", Traps->sprung($node, $offset)), '', '... and no trap runs, then or later');
is( join("\n", grep { !/trigger|privilege .*: (?:mallory|\Q$superuser\E) / }
		  split /\n/, differences(describe('new_target'), describe('trapped'))),
	'', '... as a new installation, but for what was granted');
$session->quit;
$mallory->quit;

# ---- 1.0 gave away what ALTER DEFAULT PRIVILEGES said

value('postgres', 'CREATE DATABASE given');
value('given', "ALTER DEFAULT PRIVILEGES GRANT ALL ON $_ TO anon") 
  foreach qw(TABLES SEQUENCES FUNCTIONS SCHEMAS);
value('given', 'ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC');
value('given', q{CREATE EXTENSION domowf VERSION '1.0'});
value('given', 'GRANT EXECUTE ON FUNCTION domowf_check() TO app');
$session = Domowf->session($node, dbname => 'given');
$got = $session->run('ALTER EXTENSION domowf UPDATE');
$session->quit;
is($got->{sqlstate}, '', 'default privileges: updated');
is( join("\n", grep { !/^. initial/ } split /\n/, differences(describe('new_public'), describe('given'))),
	join("\n", map { "> privilege on function public.domowf_check(): $_ EXECUTE" } qw(anon app)),
	'... they are revoked, but where a dump would forget others with them');
is(scalar(grep { $_->{message} =~ /^what default privileges gave anon on function public.domowf_start\(pg_catalog.jsonb\) is revoked$/ } @{ $got->{warnings} }),
	1, '... a warning names what was');
is(join("\n", map { $_->{message} } grep { $_->{message} =~ /not revoked/ } @{ $got->{warnings} }),
	'default privileges gave anon rights on function public.domowf_check(), which are not revoked',
	'... and what was not');

# ---- a table was given to somebody

create_old('owned', 'public');
value('owned', <<'END');
GRANT USAGE ON SCHEMA domowf TO ops;
ALTER TABLE domowf.log OWNER TO ops;
CREATE SCHEMA ops AUTHORIZATION ops;
SET ROLE ops;
CREATE FUNCTION ops.f(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE RETURN 1;
CREATE FUNCTION ops.less(bigint, bigint) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN true;
CREATE OPERATOR ops.< (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = ops.less);
CREATE DOMAIN ops.d AS text CHECK (ops.f(1) > 0);
END
$session = Domowf->session($node, dbname => 'owned');
$got = $session->run('ALTER EXTENSION domowf UPDATE');
is("$got->{sqlstate} $got->{message}",
	'55000 table domowf.log belongs to "ops", who is no superuser',
	'refused: his code would run');
$session->value('ALTER TABLE domowf.log OWNER TO CURRENT_USER');
foreach my $made (
	'CREATE INDEX mine ON domowf.queue (ops.f(id))',
	'CREATE INDEX mine ON domowf.log (id) WHERE id OPERATOR(ops.<) 1::bigint',
	'ALTER TABLE domowf.workflow ADD CHECK (ops.f(max_attempts) > 0)',
	'ALTER TABLE domowf.queue ALTER error SET DEFAULT ops.f(1)',
	'ALTER TABLE domowf.queue ADD mine ops.d')
{
	$got = $session->run('BEGIN; '
		  . "$made; ALTER EXTENSION domowf UPDATE");
	is($got->{sqlstate}, '55000', "refused: $made");
	like($got->{message}, qr/ uses .* of "ops", who is no superuser/, '... names it');
	$session->run('ROLLBACK');
}
is($session->run('ALTER EXTENSION domowf UPDATE')->{err}, '', '... until it is given back');
$session->quit;
$node->stop;
done_testing();
