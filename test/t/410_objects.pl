
# Only what the installed extension made is read, sent or run: impostors of its
# tables, tables that somebody has changed, and code that somebody has hung on
# them are refused by name, before anything is sent or stored.  Exists because
# each of these once made an ordinary role superuser, or the server crash.

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
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.timeout = '10min'
domowf.poll_interval = '300ms'
log_min_messages = debug1
END
my ($session, $offset, $id, $got);

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub register
{
	my ($database) = @_;

	$node->safe_psql($database, <<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('plain', 'model', '1.0.0', 'Start it')
END
	return;
}

sub call
{
	return $session->run(Domowf->start_sql('model', '{"n": "a call"}'));
}

sub superusers
{
	return $node->safe_psql('postgres',
		q{SELECT string_agg(rolname, ' ') FROM pg_roles
			WHERE rolsuper AND rolname IN ('mallory', 'ops', 'boss')});
}

my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
register('postgres');

# ---- a schema of that name in a database without the extension

# tables with the very columns, as the owner of a database can make them
my $tables = $node->safe_psql('postgres', <<'END');
SELECT format('CREATE TABLE domowf.%I (%s);', c.relname,
	string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)),
		', ' ORDER BY a.attnum))
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'domowf'::regnamespace AND c.relkind = 'r'
	AND a.attnum > 0 AND c.relname <> 'state'
GROUP BY c.relname
END
$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN');
$node->safe_psql('postgres', 'CREATE DATABASE trap OWNER mallory');
my $mallory = Domowf->session($node, dbname => 'trap', user => 'mallory');
$mallory->value(<<"END");
CREATE SCHEMA domowf;
CREATE SCHEMA own;
CREATE TABLE own.ran (who text);
CREATE FUNCTION own.own() RETURNS boolean LANGUAGE plpgsql AS \$\$
BEGIN
	RAISE LOG 'ran as %', current_user;
	INSERT INTO own.ran VALUES (current_user);
	ALTER ROLE mallory SUPERUSER;
	RETURN false;
END \$\$;
$tables
CREATE SEQUENCE domowf.request_id;
CREATE INDEX ON domowf.queue (due, id);
CREATE INDEX ON domowf.queue (id);
CREATE VIEW domowf.state AS SELECT own.own() AS paused, NULL::text AS pause_reason,
	oid AS database FROM pg_database WHERE datname = 'trap';
INSERT INTO domowf.queue (id, state, waiting, operation, request, on_doubt,
	max_attempts, attempts, failures, claim, requested_by, requested_by_oid,
	batch, enqueued_at, run_at, due)
VALUES (1, 'queued', false, 'start', '{"messageName": "m", "version": "1.0.0",
	"modelId": "trap", "data": {"n": "trap"}}', 'hold', 3, 0, 0, 0, 'mallory',
	'mallory'::regrole, '1', now(), now(), now())
END
my $probed = qr/background worker "domowf worker" \(PID \d+\) exited with|ran as/;
foreach my $way ('a restart', 'a probe that its owner asks for')
{
	$offset = Domowf->log_size($node);
	if ($way eq 'a restart')
	{
		$node->restart;
	}
	else
	{
		$mallory = Domowf->session($node, dbname => 'postgres', user => 'mallory');
		isnt( $mallory->run('ALTER DATABASE trap SET TABLESPACE nosuch')
			  ->{sqlstate},
			'', 'the owner of a database makes the launcher look again');
	}
	ok($node->wait_for_log($probed, $offset), "an impostor is met after $way");
	is($node->safe_psql('trap', 'SELECT count(*) FROM own.ran'),
		0, '... and none of it is run');
	is(superusers(), '', '... nobody becomes superuser');
	is($domo->arrived('trap'), 0, '... nothing of it is sent');
}

# the extension cannot be put there, and its functions do not take to impostors
isnt($node->psql('trap', 'CREATE EXTENSION domowf'), 0,
	'nor does the extension move in there');

# ---- what somebody has changed: refused by name

$session = Domowf->session($node);
$session->value(<<'END');
CREATE ROLE ops;
GRANT CREATE ON SCHEMA domowf TO ops;
END
is(call()->{sqlstate}, '', 'a call');
is($session->outcome($session->enqueue('plain', 'first')), 'done', 'a request');
is($session->value(q{SELECT ok FROM domowf_check() WHERE check_name = 'objects'}),
	't', 'domowf_check: the objects are right');

# SQL, how to undo it, the fault; the row that is missing: a call is not
# concerned
my @changes = (
	[
		'ALTER TABLE domowf.queue ALTER on_doubt TYPE boolean USING false',
		q{ALTER TABLE domowf.queue ALTER on_doubt TYPE text USING 'hold'},
		'column "on_doubt" of table domowf.queue is of type boolean, expected text'
	],
	[
		'ALTER TABLE domowf.log ALTER request TYPE json',
		'ALTER TABLE domowf.log ALTER request TYPE jsonb',
		'column "request" of table domowf.log is of type json, expected jsonb'
	],
	[
		'ALTER TABLE domowf.key ALTER key TYPE varchar(40)',
		'ALTER TABLE domowf.key ALTER key TYPE text',
		'column "key" of table domowf.key is of type character varying(40), expected text'
	],
	[
		'ALTER TABLE domowf.key ALTER key TYPE text COLLATE "POSIX"',
		'ALTER TABLE domowf.key ALTER key TYPE text',
		'column "key" of table domowf.key has another collation'
	],
	[
		'ALTER TABLE domowf.state ALTER pause_reason TYPE int USING 7',
		'ALTER TABLE domowf.state ALTER pause_reason TYPE text USING NULL',
		'column "pause_reason" of table domowf.state is of type integer, expected text'
	],
	[
		'ALTER TABLE domowf.workflow ALTER expire_after TYPE interval hour to minute',
		'ALTER TABLE domowf.workflow ALTER expire_after TYPE interval',
		'column "expire_after" of table domowf.workflow is of type interval hour to minute, expected interval'
	],
	[
		'ALTER TABLE domowf.workflow_input ALTER required DROP DEFAULT, ALTER required TYPE int USING 1',
		'ALTER TABLE domowf.workflow_input ALTER required TYPE boolean USING true, ALTER required SET DEFAULT false',
		'column "required" of table domowf.workflow_input is of type integer, expected boolean'
	],
	[
		'ALTER TABLE domowf.return_entry ALTER since DROP NOT NULL',
		'ALTER TABLE domowf.return_entry ALTER since SET NOT NULL',
		'column "since" of table domowf.return_entry is not NOT NULL'
	],
	[
		'ALTER TABLE domowf.tracked SET UNLOGGED',
		'ALTER TABLE domowf.tracked SET LOGGED',
		'table domowf.tracked is not safe in a crash'
	],
	[
		'ALTER TABLE domowf.queue ALTER request DROP NOT NULL',
		'ALTER TABLE domowf.queue ALTER request SET NOT NULL',
		'column "request" of table domowf.queue is not NOT NULL'
	],
	[
		'DELETE FROM domowf.log; ALTER TABLE domowf.log ALTER instance_id SET NOT NULL',
		'ALTER TABLE domowf.log ALTER instance_id DROP NOT NULL',
		'column "instance_id" of table domowf.log is NOT NULL'
	],
	[
		'ALTER TABLE domowf.queue ALTER id ADD GENERATED BY DEFAULT AS IDENTITY',
		'ALTER TABLE domowf.queue ALTER id DROP IDENTITY',
		'column "id" of table domowf.queue is generated'
	],
	[
		'ALTER FUNCTION domowf.key_scope(text, text) RENAME TO real_scope;'
		  . ' CREATE FUNCTION domowf.key_scope(text, text) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;'
		  . ' ALTER EXTENSION domowf ADD FUNCTION domowf.key_scope(text, text)',
		'ALTER EXTENSION domowf DROP FUNCTION domowf.key_scope(text, text);'
		  . ' DROP FUNCTION domowf.key_scope(text, text);'
		  . ' ALTER FUNCTION domowf.real_scope(text, text) RENAME TO key_scope',
		'function domowf.key_scope is another function'
	],
	[
		'ALTER TABLE domowf.queue RENAME on_doubt TO in_doubt',
		'ALTER TABLE domowf.queue RENAME in_doubt TO on_doubt',
		'table domowf.queue has lost its column "on_doubt"'
	],
	[
		'CREATE DOMAIN little AS text; ALTER TABLE domowf.log ADD more little',
		'ALTER TABLE domowf.log DROP more; DROP DOMAIN little',
		'column "more" of table domowf.log is of a domain, which may demand something'
	],
	[
		'ALTER TABLE domowf.log SET UNLOGGED',
		'ALTER TABLE domowf.log SET LOGGED',
		'table domowf.log is not safe in a crash'
	],
	[
		'CREATE TABLE child () INHERITS (domowf.queue)',
		'DROP TABLE child',
		'table domowf.queue inherits, or is inherited from'
	],
	[
		'ALTER TABLE domowf.state RENAME TO status; '
		  . 'CREATE VIEW domowf.state AS SELECT * FROM domowf.status',
		'DROP VIEW domowf.state; ALTER TABLE domowf.status RENAME TO state',
		'table domowf.state is not a member of extension domowf'
	],
	[
		'ALTER TABLE domowf.key RENAME TO keys',
		'ALTER TABLE domowf.keys RENAME TO key',
		'table domowf.key is missing'
	],
	[
		'ALTER SCHEMA domowf RENAME TO elsewhere; CREATE SCHEMA domowf',
		'DROP SCHEMA domowf; ALTER SCHEMA elsewhere RENAME TO domowf',
		'schema domowf is not a member of extension domowf'
	],
	[
		'ALTER EXTENSION domowf DROP TABLE domowf.log',
		'ALTER EXTENSION domowf ADD TABLE domowf.log',
		'table domowf.log is not a member of extension domowf'
	],
	map {
		my ($kind, $name) = @$_;

		[
			"ALTER $kind $name OWNER TO ops",
			"ALTER $kind $name OWNER TO CURRENT_USER",
			lc($kind) . ($kind eq 'FUNCTION' ? ' domowf.may_see' : " $name")
			  . ' belongs to "ops", who does not have the rights of the'
			  . " extension's owner"
		]
	} (
		[ 'TABLE', 'domowf.queue' ],
		[ 'TABLE', 'domowf.log' ],
		[ 'TABLE', 'domowf.workflow' ],
		[ 'TABLE', 'domowf.return_entry' ],
		[ 'SEQUENCE', 'domowf.request_id' ],
		[ 'SEQUENCE', 'domowf.return_id' ],
		[ 'VIEW', 'domowf.request' ],
		[ 'FUNCTION', 'domowf.may_see(oid, oid)' ],
		[ 'SCHEMA', 'domowf' ]));

# What needs an object is refused, in a session that knew the objects before
# and in one that has not looked yet; what does not need it goes on.
sub is_refused
{
	my ($fault, $name) = @_;
	my ($object) = $fault =~ /domowf\.(\w+)/;
	my $fresh = Domowf->session($node);
	my %needs = (
		q{SELECT domowf_enqueue('plain', '{"n": "refused"}')} =>
		  qr/^(?:queue|request_id|workflow|workflow_input)$/,
		q{SELECT domowf_enqueue('plain', '{"n": "refused"}', key => 'refused')} =>
		  qr/^(?:queue|request_id|workflow|workflow_input|key)$/,
		'SELECT domowf_discard(0)' => qr/./,
		Domowf->start_sql('model') => qr/^(?:log|request_id)$/);

	is( $fresh->value(q{SELECT ok, split_part(detail, ', "', 1)
			FROM domowf_check() WHERE check_name = 'objects'}) =~
		  s/: (?:undo|remove|create|drop|make|ALTER).*//sr,
		"f|$fault",
		"$name: domowf_check names it");
	unlike($fresh->value(q{SELECT detail FROM domowf_check() WHERE check_name = 'triggers'}),
		qr/does not fire/, '... and says nothing false of triggers');
	foreach my $who ($session, $fresh)
	{
		foreach my $sql (sort keys %needs)
		{
			next if defined $object && $object !~ $needs{$sql};
			$got = $who->run($sql);
			is($got->{sqlstate}, '55000', "... refused: $sql");
			like($got->{message}, qr/^\Q$fault\E/, '... by name');
			like($got->{hint}, qr/^To mend it: \S/, '... with what to do');
		}
	}
	is($domo->arrived('refused'), 0, '... nothing is sent');
	$fresh->quit;
	return;
}

foreach my $change (@changes)
{
	my ($do, $undo, $fault) = @$change;

	$offset = Domowf->log_size($node);
	$session->value($do);

	# of this one nobody is told: a new look finds it
	$session->value('SELECT count(*) FROM domowf_check()')
	  if $do =~ /ALTER EXTENSION/;
	is_refused($fault, $do);

	# a settlement may need any of them
	ok( $node->wait_for_log(
			qr/(?:ERROR: |nothing is sent from this database:) +\Q$fault\E/,
			$offset),
		'... the worker says so');
	my $schema = $do =~ /elsewhere/ ? 'elsewhere' : 'domowf';
	until_true("SELECT state = 'paused' AND paused_until = 'infinity'
		FROM $schema.worker", '... and waits');
	$session->value($undo);
	$got = call();
	is($got->{sqlstate}, '', '... undone: a call') or diag $got->{err};
	is($session->outcome($session->enqueue('plain', 'undone', key => 'now()::text')),
		'done', '... and a request');
}
until_true('SELECT count(*) = 0 FROM domowf_check() WHERE NOT ok', 'nothing is wrong in the end');
is($session->value('SELECT request IS NOT NULL FROM domowf.log LIMIT 1'),
	't', 'rows of the log can be read');

# ---- while something is in flight

$domo->script('gate:flight', count => 1, contains => '"flight"');
$id = $session->enqueue('plain', 'flight');
$domo->wait_for(held => 1);
$session->value('ALTER TABLE domowf.log ALTER request TYPE json');
$domo->release('flight');
until_true(q{SELECT pause_reason ~ 'is of type json' FROM domowf.worker},
	'a change under what is in flight: the worker waits');
is($session->request($id), 'sending', '... and writes nothing');
$session->value('ALTER TABLE domowf.log ALTER request TYPE jsonb');
is($session->outcome($id, 'state, attempts'), 'done|1', '... until it is undone');
is($domo->arrived('flight'), 1, '... sent once');

# ---- a start with a fault

$session->value('ALTER TABLE domowf.key ALTER key TYPE varchar(40)');
$offset = Domowf->log_size($node);
$session->quit;
$node->restart;
$started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
$node->wait_for_log(
	qr/domowf: nothing is sent from this database: column "key" of table domowf\.key is of type/,
	$offset);
$session = Domowf->session($node);
until_true(q{SELECT state = 'paused' AND pause_reason ~ '"key"'
	FROM domowf.worker}, 'a worker that starts with a fault waits');
$session->value('ALTER TABLE domowf.key ALTER key TYPE text');
is($session->outcome($session->enqueue('plain', 'mended', key => q{'m'})),
	'done', '... until it is mended');

# ---- code of those who have not the rights of the tables' owner

$session->value(<<'END');
REVOKE CREATE ON SCHEMA domowf FROM ops;
CREATE SCHEMA ops;
CREATE TABLE ops.ran (who text);
GRANT ALL ON SCHEMA ops TO ops, PUBLIC;
GRANT ALL ON ops.ran TO ops, PUBLIC;
CREATE FUNCTION ops.note() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ops.ran VALUES (current_user);
END $$;
CREATE FUNCTION ops.f(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM ops.note();
	RETURN $1;
END $$;
CREATE FUNCTION ops.is_so(text, text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM ops.note();
	RETURN true;
END $$;
CREATE FUNCTION ops.cmp(text, text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM ops.note();
	RETURN 0;
END $$;
CREATE OPERATOR ops.@@@ (FUNCTION = ops.is_so, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR CLASS ops.text_ops FOR TYPE text USING btree AS
	OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
	FUNCTION 1 ops.cmp(text, text);
CREATE DOMAIN ops.checked AS text CHECK (ops.f(VALUE) IS NULL OR true);
CREATE TYPE pack AS (part ops.checked);
CREATE TYPE ops.mood AS ENUM ('fine');
CREATE FUNCTION ops.to_mood(text) RETURNS ops.mood IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM ops.note();
	RETURN 'fine';
END $$;
CREATE CAST (text AS ops.mood) WITH FUNCTION ops.to_mood(text);
CREATE FUNCTION public.outer_f(t text) RETURNS text IMMUTABLE
	RETURN pg_catalog.btrim(ops.f(t));
CREATE FUNCTION ops.on_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM ops.note();
	RETURN NULL;
END $$;
END
my @functions = ('f(text)', 'is_so(text, text)', 'cmp(text, text)', 'to_mood(text)',
	'on_change()');
my @hung = (
	[ 'CREATE INDEX hung ON domowf.log (ops.f(error))',
		'DROP INDEX domowf.hung', 'index domowf.hung', 'f(text)' ],
	[ q{CREATE INDEX hung ON domowf.queue (id) WHERE ops.f(error) = 'x'},
		'DROP INDEX domowf.hung', 'index domowf.hung', 'f(text)' ],
	[ 'CREATE INDEX hung ON domowf.log (error ops.text_ops)',
		'DROP INDEX domowf.hung', 'index domowf.hung', 'cmp(text,text)' ],
	[ q{CREATE INDEX hung ON domowf.key ((key OPERATOR(ops.@@@) 'x'))},
		'DROP INDEX domowf.hung', 'index domowf.hung', 'is_so(text,text)' ],
	[ 'CREATE INDEX hung ON domowf.log (outer_f(error))',
		'DROP INDEX domowf.hung', 'index domowf.hung', 'f(text)' ],
	[
		'ALTER TABLE domowf.log ADD CONSTRAINT hung CHECK (ops.f(error) IS NULL OR true)',
		'ALTER TABLE domowf.log DROP CONSTRAINT hung',
		'constraint hung on table domowf.log', 'f(text)'
	],
	[
		'ALTER TABLE domowf.queue ADD CONSTRAINT hung CHECK (error::ops.checked IS NULL OR true)',
		'ALTER TABLE domowf.queue DROP CONSTRAINT hung',
		'constraint hung on table domowf.queue', 'f(text)'
	],
	[
		'ALTER TABLE domowf.workflow ADD CONSTRAINT hung CHECK (name::ops.mood IS NOT NULL)',
		'ALTER TABLE domowf.workflow DROP CONSTRAINT hung',
		'constraint hung on table domowf.workflow', 'to_mood(text)'
	],
	[
		'ALTER TABLE domowf.log ADD CONSTRAINT hung CHECK'
		  . q{ (jsonb_populate_record(NULL::pack, jsonb_build_object('part', error)) IS NULL OR true)},
		'ALTER TABLE domowf.log DROP CONSTRAINT hung',
		'constraint hung on table domowf.log', 'f(text)'
	],
	[
		q{ALTER TABLE domowf.log ALTER error SET DEFAULT ops.f('x')},
		'ALTER TABLE domowf.log ALTER error DROP DEFAULT',
		'default value for column error of table domowf.log', 'f(text)'
	],
	[
		'CREATE STATISTICS domowf.hung ON (ops.f(error)) FROM domowf.log',
		'DROP STATISTICS domowf.hung', 'statistics object domowf.hung', 'f(text)'
	],
	map {
		my ($table, $level) = @$_;

		[
			"CREATE TRIGGER hung AFTER INSERT OR UPDATE OR DELETE ON domowf.$table"
			  . " FOR EACH $level EXECUTE FUNCTION ops.on_change();"
			  . " ALTER TABLE domowf.$table ENABLE ALWAYS TRIGGER hung",
			"DROP TRIGGER hung ON domowf.$table",
			"trigger hung on table domowf.$table", 'on_change()'
		]
	} ([qw(queue ROW)], [qw(log STATEMENT)], [qw(state ROW)], [qw(key STATEMENT)]));

sub give
{
	my ($role) = @_;

	$session->value(join '; ',
		map { "ALTER FUNCTION ops.$_ OWNER TO $role" } @functions);
	# with what a transaction has done by right before, and commits only now
	$session->value('BEGIN; LOCK TABLE ops.ran; DELETE FROM ops.ran; COMMIT');
	return;
}

foreach my $case (@hung)
{
	my ($do, $undo, $hung, $function) = @$case;
	my ($table) = $do =~ /(?:ON|TABLE|FROM) (domowf\.\w+)/;

	give('CURRENT_USER');
	$session->value($do);
	is(call()->{sqlstate}, '', "$do: welcome where it is the owner's own code")
	  or diag $do;
	is($session->outcome($session->enqueue('plain', 'own code')), 'done', '... requests, too');
	give('ops');
	is_refused("table $table: $hung needs function ops.$function of \"ops\","
		  . ' who does not have the rights of its owner',
		"... of somebody else's");
	is($session->value('SELECT count(*) FROM ops.ran'), 0, '... it is not run');
	$session->value($undo);
	is(call()->{sqlstate}, '', '... undone: a call');
	is($session->outcome($session->enqueue('plain', 'undone')), 'done', '... and a request');
}
is($session->value('SELECT count(*) FROM ops.ran'), 0, 'nothing ran of what hung nowhere');

# a rule, whoever wrote it; one that does not fire for us is no matter
$session->value('CREATE RULE hung AS ON INSERT TO domowf.key DO INSTEAD NOTHING');
is($session->outcome($session->enqueue('plain', 'rule', key => q{'rule'})),
	'done', 'an ordinary rule does not fire');
$session->value('ALTER TABLE domowf.key ENABLE ALWAYS RULE hung');
is_refused('rule hung on table domowf.key would change what is done to table domowf.key',
	'one that always fires');
$session->value('DROP RULE hung ON domowf.key');

# neither does one fire when all is over, with whose rights there are then
$session->value('CREATE CONSTRAINT TRIGGER hung AFTER INSERT ON domowf.log'
	  . ' DEFERRABLE INITIALLY DEFERRED FOR EACH ROW'
	  . ' EXECUTE FUNCTION ops.on_change();'
	  . ' ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER hung');
is_refused("trigger hung on table domowf.log would fire when its owner's rights"
	  . ' are laid down again', 'a deferred trigger');
$session->value('DROP TRIGGER hung ON domowf.log');

# a trigger that does not fire for us is no matter either
$session->value('CREATE TRIGGER hung AFTER INSERT ON domowf.queue FOR EACH ROW'
	  . ' EXECUTE FUNCTION ops.on_change()');
is($session->outcome($session->enqueue('plain', 'trigger')), 'done',
	'an ordinary trigger does not fire');
$session->value('DROP TRIGGER hung ON domowf.queue');

# a change of rights is told
$session->value('CREATE INDEX hung ON domowf.log (ops.f(error))');
is(call()->{sqlstate}, '55000', "somebody's code");
$session->value('ALTER ROLE ops SUPERUSER');
is(call()->{sqlstate}, '', '... who becomes a superuser');
$session->value('ALTER ROLE ops NOSUPERUSER');
is(call()->{sqlstate}, '55000', '... and is one no more');
$session->value('DROP INDEX domowf.hung');

# ---- as whom it runs: an owner who is no superuser

$session->value('CREATE ROLE boss LOGIN SUPERUSER');
$session->value('CREATE DATABASE kept');
my $boss = Domowf->session($node, dbname => 'kept', user => 'boss');
$boss->value('CREATE EXTENSION domowf');
register('kept');
$boss->value(<<'END');
CREATE SCHEMA boss;
CREATE TABLE boss.ran (who text);
CREATE FUNCTION boss.note() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO boss.ran VALUES (current_user);
	BEGIN
		ALTER ROLE boss SUPERUSER;
	EXCEPTION WHEN insufficient_privilege THEN
	END;
END $$;
CREATE FUNCTION boss.f(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM boss.note();
	RETURN $1;
END $$;
CREATE FUNCTION boss.on_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM boss.note();
	RETURN NULL;
END $$;
END
$session->value('ALTER ROLE boss NOSUPERUSER');
$boss->value(<<'END');
CREATE INDEX hung ON domowf.log (boss.f(error));
CREATE INDEX hung2 ON domowf.queue (boss.f(error));
CREATE TRIGGER hung AFTER INSERT OR UPDATE OR DELETE ON domowf.queue
	FOR EACH ROW EXECUTE FUNCTION boss.on_change();
ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER hung
END
my $kept = Domowf->session($node, dbname => 'kept');
$kept->value('DELETE FROM boss.ran');
is($kept->outcome($kept->enqueue('plain', 'kept')), 'done',
	'tables of an owner who is no superuser');
is( $kept->outcome(
		$kept->enqueue('plain', 'kept', run_at => q{now() + interval '1 hour'},
			expires_at => q{now() + interval '100 ms'})),
	'expired', '... also what SQL writes');
is($kept->run(Domowf->start_sql('model'))->{sqlstate}, '', '... and a call');
is($kept->value(q{SELECT string_agg(DISTINCT who, ' '), count(*) > 3 FROM boss.ran}),
	'boss|t', '... the code on them runs as its owner, whoever writes a row');
is(superusers(), '', '... who gains nothing by that');
$boss->value('ALTER TABLE domowf.log FORCE ROW LEVEL SECURITY');
$got = $kept->run(Domowf->start_sql('model'));
is("$got->{sqlstate} $got->{message}",
	'55000 table domowf.log hides rows from its owner',
	'rows that its owner would not see');
$boss->value('ALTER TABLE domowf.log NO FORCE ROW LEVEL SECURITY');
is($kept->run(Domowf->start_sql('model'))->{sqlstate}, '', '... undone');
$kept->value(<<'END');
CREATE ROLE teller LOGIN;
CREATE SCHEMA private;
CREATE TABLE private.told (state text);
CREATE FUNCTION private."te""l(l"(r domowf.request) RETURNS void LANGUAGE sql AS
	'INSERT INTO private.told VALUES (r.state)';
GRANT USAGE ON SCHEMA private TO teller;
ALTER TABLE private.told OWNER TO teller;
ALTER FUNCTION private."te""l(l" OWNER TO teller;
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_settled)
	VALUES ('private', 'm', '1.0.0', 's', 'private."te""l(l"(domowf.request)')
END
is($kept->outcome($kept->enqueue('private', 'kept')), 'done',
	'a function in a schema that domowf\'s owner may not use');
ok($node->poll_query_until('kept', 'SELECT count(*) = 1 FROM private.told'), '... is called');

# ---- what it costs: the catalogs are read again after a change that counts

my $reads = q{SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_xact_sys_tables
	WHERE relname = 'pg_extension'};
$session->value(q{SELECT domowf_enqueue('plain')});
$session->run('BEGIN');
$session->value(q{SELECT domowf_enqueue('plain')});
$session->value('CREATE TEMP TABLE other (a int PRIMARY KEY, b text);'
	  . ' CREATE FUNCTION pg_temp.some() RETURNS int LANGUAGE sql AS $$SELECT 1$$;'
	  . ' CREATE DOMAIN pg_temp.other_text AS text');
my $before = $session->value($reads);
$session->value(q{SELECT domowf_enqueue('plain')}) foreach 1 .. 10;
is($session->value($reads), $before, "what is done to others' objects costs nothing");
$session->value('ALTER TABLE domowf.queue ADD mine int');
$before = $session->value($reads);
$session->value(q{SELECT domowf_enqueue('plain')});
cmp_ok($session->value($reads), '>', $before, '... a change of these is looked at');
$session->run('ROLLBACK');

is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'),
	$started, 'the server has never crashed');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach $mallory, $session, $boss, $kept;
$node->stop;
done_testing();
