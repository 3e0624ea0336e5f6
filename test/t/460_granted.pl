
# Who may start what a workflow's granted_to says: the role that it named when
# it was written, whatever is called so today; by a trigger nobody but who has
# the rights of the table's owner; and by domowf_retry() nobody who has lost the
# right since.  Exists because a name, a TRIGGER privilege and an old request
# are each less than the right to start a workflow.

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
	conf => Domowf::RETRY_AT_ONCE . "domowf.poll_interval = '200ms'\n");
my $one = Domowf->session($node);
my ($got, $id);

$one->value(<<'END');
CREATE ROLE boss;
CREATE ROLE clerk;
CREATE ROLE member IN ROLE boss;
CREATE ROLE maker CREATEROLE;
CREATE ROLE intruder;
CREATE SCHEMA shop AUTHORIZATION boss;
GRANT USAGE, CREATE ON SCHEMA shop TO clerk, maker;
GRANT EXECUTE ON FUNCTION domowf_trigger() TO PUBLIC;
GRANT EXECUTE ON FUNCTION domowf_enqueue, domowf_enqueue_call, domowf_retry
	TO clerk, member, intruder;
INSERT INTO domowf.workflow (name, model_id, version, message_name, granted_to)
VALUES ('bosses', 'model', '1.0.0', 'Start it', 'boss');
CREATE FUNCTION shop.other() RETURNS trigger LANGUAGE plpgsql
	AS 'BEGIN RETURN NULL; END';
SET ROLE boss;
CREATE TABLE shop.orders (n text);
CREATE TABLE shop.parts (n int) PARTITION BY LIST (n);
CREATE VIEW shop.seen AS SELECT * FROM shop.orders;
GRANT ALL ON shop.orders, shop.parts, shop.seen TO clerk;
RESET ROLE
END

# What a role's statement comes to.
sub as_role
{
	my ($role, $sql) = @_;

	$one->value("SET ROLE $role");
	my $result = $one->run($sql);
	$one->run('ROLLBACK') if $sql =~ /^BEGIN/;
	$one->value('RESET ROLE');
	return $result;
}

sub make_sql
{
	my ($name, $table, $function) = @_;

	$function //= q{public.domowf_trigger('bosses')};
	return "CREATE TRIGGER $name AFTER INSERT ON $table FOR EACH ROW"
	  . " EXECUTE FUNCTION $function";
}

sub triggers_of
{
	my ($table) = @_;

	return $one->value(
		"SELECT string_agg(tgname, ' ' ORDER BY tgname) FROM pg_trigger"
		  . " WHERE tgrelid = '$table'::regclass");
}

# ---- who makes a trigger

$got = as_role('clerk', make_sql('theft', 'shop.orders'));
is($got->{sqlstate}, '42501', 'TRIGGER and EXECUTE are not enough');
like($got->{message}, qr/permission denied to make trigger "theft" on table shop\.orders/,
	'... it says which');
like($got->{detail}, qr/the rights of "boss"/, '... whose rights it takes');
like($got->{hint}, qr/Have the owner/, '... and what to do');
foreach my $way (
	make_sql('theft', 'shop.parts'),
	'CREATE CONSTRAINT TRIGGER theft AFTER INSERT ON shop.orders DEFERRABLE'
	. q{ FOR EACH ROW EXECUTE FUNCTION domowf_trigger('bosses')},
	'CREATE TRIGGER theft AFTER INSERT ON shop.orders REFERENCING NEW TABLE AS n'
	. q{ FOR EACH STATEMENT EXECUTE FUNCTION domowf_trigger('bosses')},
	'CREATE TRIGGER theft INSTEAD OF INSERT ON shop.seen FOR EACH ROW'
	. q{ EXECUTE FUNCTION domowf_trigger('bosses')},
	'DO $$ BEGIN ' . make_sql('theft', 'shop.orders') . '; END $$',
	'BEGIN; SET CONSTRAINTS ALL DEFERRED; ' . make_sql('theft', 'shop.orders'),
	'SET search_path = pg_temp, shop, public; CREATE TEMP VIEW pg_trigger AS'
	. ' SELECT 1 AS oid; CREATE TEMP TABLE pg_proc (oid oid); '
	. make_sql('theft', 'orders'))
{
	is(as_role('clerk', $way)->{sqlstate}, '42501', "... nor by: $way");
}
$one->value('DISCARD TEMP; RESET search_path');
$one->value('SET session_replication_role = replica');
is(as_role('clerk', make_sql('theft', 'shop.orders'))->{sqlstate},
	'42501', '... nor in a session that fires no triggers');
$one->value('RESET session_replication_role');
is(triggers_of('shop.orders'), '', '... none was made');

# one that is there already becomes another one
is(as_role('clerk', make_sql('mine', 'shop.orders', 'shop.other()'))->{sqlstate},
	'', 'a trigger with another function can be made');
(my $replace = make_sql('mine', 'shop.orders')) =~ s/CREATE/CREATE OR REPLACE/;
is(as_role('clerk', $replace)->{sqlstate},
	'42501', '... and not be replaced by one with domowf_trigger()');
$one->value(make_sql('theirs', 'shop.orders'));
($replace = make_sql('theirs', 'shop.orders', q{domowf_trigger('other')})) =~
  s/CREATE/CREATE OR REPLACE/;
is(as_role('clerk', $replace)->{sqlstate},
	'42501', '... nor what somebody else made be given other arguments');

# a function of another name that calls the same is the same
$one->value(q{DO $$ BEGIN EXECUTE format('CREATE FUNCTION shop.alias()
	RETURNS trigger LANGUAGE c AS %L, ''domowf_trigger''',
	(SELECT probin FROM pg_proc WHERE proname = 'domowf_trigger')); END $$});
is(as_role('clerk', make_sql('theft', 'shop.orders', 'shop.alias()'))
	  ->{sqlstate},
	'42501', '... nor under another name of the function');

foreach my $case (
	[ 'boss', 'shop.orders', 'the owner' ],
	[ 'member', 'shop.orders', 'a member of the owner' ],
	[ 'boss', 'shop.parts', 'the owner of a partitioned table' ])
{
	my ($role, $table, $who) = @$case;

	is(as_role($role, make_sql("by_$role", $table))->{sqlstate},
		'', "$who makes one");
}
$one->value(make_sql('by_superuser', 'shop.orders'));
is( triggers_of('shop.orders'),
	'by_boss by_member by_superuser mine theirs',
	'... and a superuser');
$one->value('CREATE TABLE shop.part PARTITION OF shop.parts DEFAULT');
is(triggers_of('shop.part'), 'by_boss', 'a partition gets its copy');
$got = as_role('clerk', 'CREATE TABLE shop.own (n text); '
	  . make_sql('t', 'shop.own'));
is($got->{sqlstate}, '', 'on a table of his own he makes one');
$got = as_role('clerk', q{INSERT INTO shop.own VALUES ('x')});
is($got->{sqlstate}, '42501', '... which starts what he may');
$one->value(q{CREATE SCHEMA for_boss AUTHORIZATION boss
	CREATE TABLE orders (n text)
	CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW
		EXECUTE FUNCTION public.domowf_trigger('bosses')});
is(triggers_of('for_boss.orders'), 't', 'CREATE SCHEMA makes them, too');
$one->value('DROP TRIGGER theirs ON shop.orders; DROP TRIGGER by_superuser ON'
	  . ' shop.orders; DROP TRIGGER by_member ON shop.orders');

# An old snapshot shows an old owner.
my $old = Domowf->session($node);
$one->value('CREATE TABLE shop.moved (n text); ALTER TABLE shop.moved OWNER TO clerk');
$old->value('SET ROLE clerk');
$old->run('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$old->value('SELECT count(*) FROM pg_class');
$one->value(
	'ALTER TABLE shop.moved OWNER TO boss; GRANT ALL ON shop.moved TO clerk');
is($old->run(make_sql('theft', 'shop.moved'))->{sqlstate},
	'25001', 'who owned the table when his snapshot was taken makes none');
$old->run('ROLLBACK');
$old->run('BEGIN ISOLATION LEVEL SERIALIZABLE');
is($old->run(make_sql('other', 'shop.moved', 'shop.other()'))->{sqlstate},
	'', '... others are made at any isolation level');
$old->run('ROLLBACK');
$old->value('RESET ROLE');
$old->run('BEGIN ISOLATION LEVEL SERIALIZABLE');
is($old->run(make_sql('t', 'shop.moved'))->{sqlstate},
	'', '... and by a superuser all');
$old->run('ROLLBACK');
$old->quit;

# ---- a table that is given away

$one->value('CREATE TABLE shop.given (n text)');
$one->value('ALTER TABLE shop.given OWNER TO clerk');
as_role('clerk', make_sql('t', 'shop.given'));
is(as_role('clerk', 'ALTER TABLE shop.given OWNER TO boss')->{sqlstate},
	'42501', 'a table is given only to a role whose rights the giver has');

# ---- dumps

my $dump = $node->basedir . '/dump.sql';

command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ],
	'a dump');
unlike(slurp_file($dump), qr/EVENT TRIGGER/, '... has no event trigger');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
command_ok(
	[
		'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d',
		$node->connstr('restored'), '-f', $dump
	],
	'... is restored');
is( $node->safe_psql('restored',
		q{SELECT string_agg(tgname, ' ' ORDER BY tgname) FROM pg_trigger
			WHERE tgrelid = 'shop.orders'::regclass}),
	'by_boss mine',
	'... with its triggers');
$node->safe_psql('restored',
	'SET SESSION AUTHORIZATION boss; '
	  . make_sql('as_dumped', 'shop.orders'));
$node->safe_psql('postgres', 'DROP DATABASE restored');

# ---- what must not be in anybody's way

$node->safe_psql('postgres', <<'END');
CREATE ROLE stranger;
CREATE DATABASE apart;
END
$node->safe_psql('apart', <<'END');
CREATE SCHEMA api;
CREATE EXTENSION domowf SCHEMA api;
CREATE SCHEMA his AUTHORIZATION stranger;
SET ROLE stranger;
CREATE TABLE his.t (n int);
CREATE FUNCTION his.f() RETURNS trigger LANGUAGE plpgsql
	AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER t AFTER INSERT ON his.t FOR EACH ROW EXECUTE FUNCTION his.f()
END
pass('who may use no schema of domowf makes triggers');
my $apart = Domowf->session($node, dbname => 'apart');
$apart->value('SET allow_system_table_mods = on');
$apart->value(q{UPDATE pg_proc SET probin = '$libdir/nowhere'
	WHERE probin LIKE '%domowf%'});
$apart->quit;
$apart = Domowf->session($node, dbname => 'apart');
is($apart->run('SELECT api.domowf_check()')->{sqlstate},
	'58P01', 'without its library domowf does nothing');
is( $apart->run('SET ROLE stranger; DROP TRIGGER t ON his.t; CREATE TRIGGER t'
		  . ' AFTER INSERT ON his.t FOR EACH ROW EXECUTE FUNCTION his.f()')
	  ->{sqlstate},
	'',
	'... and triggers are made');
$apart->quit;
$one->value('DROP DATABASE apart');

# ---- domowf_check

my $triggers =
  q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'triggers'};

is($one->value($triggers), 't|the triggers of the tables fire always',
	'domowf_check: all is well');
foreach my $state ('ENABLE', 'DISABLE')
{
	$one->value("ALTER EVENT TRIGGER domowf_trigger_made $state");
	like(
		$one->value($triggers),
		qr/^f\|event trigger domowf_trigger_made does not fire always/,
		"... not with the event trigger: $state");
}
$one->value('ALTER EVENT TRIGGER domowf_trigger_made ENABLE ALWAYS');
$one->value('ALTER EVENT TRIGGER domowf_trigger_made RENAME TO other');
like(
	$one->value($triggers),
	qr/^f\|event trigger domowf_trigger_made does not fire always/,
	'... nor under another name');
$one->value('ALTER EVENT TRIGGER other RENAME TO domowf_trigger_made');

# ---- the role that was meant

sub granted
{
	return $one->value(q{SELECT granted_to, granted_oid = coalesce(
		to_regrole(quote_ident(granted_to))::oid, 0)
		FROM domowf.workflow WHERE name = 'bosses'});
}

sub may
{
	my ($role) = @_;

	$got = as_role($role, Domowf->enqueue_sql('bosses', "by $role"));
	return $got->{sqlstate} eq '' ? 'may' : $got->{sqlstate};
}

is(granted(), 'boss|t', 'the role is looked up when its name is written');
is(may('member'), 'may', '... its members may');
is(may('clerk'), '42501', '... and nobody else');
$one->value('ALTER ROLE boss RENAME TO chief');
is(may('member'), 'may', 'after a rename they still may');
$one->value('CREATE ROLE boss; GRANT boss TO clerk');
is(may('clerk'), '42501', '... and not those of a new role of the old name');
ok( $node->poll_query_until('postgres',
		q{SELECT granted_to = 'chief' FROM domowf.workflow
			WHERE name = 'bosses'}),
	'the worker writes the new name');
is(granted(), 'chief|t', '... of the same role');
is(may('member'), 'may', '... its members may');

# Who is called as the one who is gone.
$one->value('DROP ROLE boss');
$one->value('CREATE ROLE temp_boss; GRANT temp_boss TO member');
$one->value(q{UPDATE domowf.workflow SET granted_to = 'temp_boss'});
is(may('member'), 'may', 'a role that will be dropped');
$one->value('DROP ROLE temp_boss');
is(may('member'), '42501', '... is dropped: nobody may');
is($one->run(Domowf->enqueue_sql('bosses', 'nobody'))->{sqlstate},
	'42501', '... no superuser either');
is(as_role('maker', 'CREATE ROLE temp_boss; GRANT temp_boss TO intruder')
	  ->{sqlstate},
	'', '... somebody makes one of its name');
is(may('intruder'), '42501', '... which gets him nothing');
foreach my $set (
	'granted_to = granted_to',
	q{version = '1.0.1'},
	q{granted_to = 'temp_boss', version = '1.0.0', track = false},
	q{granted_oid = (SELECT oid FROM pg_roles WHERE rolname = 'intruder')},
	'name = name')
{
	$one->value("UPDATE domowf.workflow SET $set");
	is(may('intruder'), '42501', "... nor does SET $set");
}
$one->value(q{INSERT INTO domowf.workflow (name, model_id, version,
	message_name, granted_to) VALUES ('bosses', 'model', '1.0.0', 'Start it',
	'temp_boss') ON CONFLICT (name) DO UPDATE SET granted_to =
	EXCLUDED.granted_to, granted_oid = EXCLUDED.granted_oid});
is(may('intruder'), '42501', '... nor ON CONFLICT DO UPDATE');
$one->value('UPDATE domowf.workflow SET granted_oid = NULL');
is(may('intruder'), 'may', 'SET granted_oid = NULL looks the name up anew');
$one->value(q{UPDATE domowf.workflow SET granted_to = 'chief'});
is(may('intruder') . ' ' . may('member'), '42501 may', 'so does another name');

# A name that is nobody's yet.
$one->value(q{UPDATE domowf.workflow SET granted_to = 'yet to come'});
is($one->value('SELECT granted_oid FROM domowf.workflow'),
	'0', 'a role that is not there');
$one->value('CREATE ROLE "yet to come"');
$one->value('GRANT "yet to come" TO intruder');
is(may('intruder'), '42501', '... and is made later');
$one->value('UPDATE domowf.workflow SET granted_to = NULL');
is( $one->value('SELECT granted_oid IS NULL FROM domowf.workflow')
	  . may('intruder'),
	'tmay', 'granted to nobody in particular: to whoever may execute');

# Rows that come from elsewhere, with oids of elsewhere.
my $intruder = $one->value(q{SELECT 'intruder'::regrole::oid});
my $copy = sub {
	return <<"END";
DELETE FROM domowf.workflow;
COPY domowf.workflow (name, model_id, version, message_name, granted_to,
	granted_oid) FROM STDIN;
bosses	model	1.0.0	Start it	chief	$intruder
\\.
END
};
foreach my $role ('origin', 'replica')
{
	$one->run("SET session_replication_role = $role");
	$one->run($copy->());
	$one->run('SET session_replication_role = origin');
	is(granted(), 'chief|t', "a dump or a subscription, as $role: by its name");
	is(may('intruder') . ' ' . may('member'), '42501 may', '... who was meant may');
}
$one->run('SET session_replication_role = replica');
$one->value("UPDATE domowf.workflow SET granted_oid = $intruder, version = '1.0.2'");
$one->run('SET session_replication_role = origin');
is(granted(), 'chief|t', '... an UPDATE of it, too');

# --disable-triggers, into another cluster
$one->value('ALTER TABLE domowf.workflow DISABLE TRIGGER ALL');
$one->run($copy->());
$one->value('ALTER TABLE domowf.workflow ENABLE TRIGGER ALL');
is(may('intruder') . ' ' . may('member'),
	'42501 42501', 'with triggers disabled: nobody, as the oid is of elsewhere');
like(
	$one->value($triggers),
	qr/^f\|trigger \w+ of domowf\.workflow does not fire always/,
	'... domowf_check says so');
$one->quit;
$node->restart;
ok( $node->poll_query_until('postgres',
		q{SELECT wait_event_type = 'Extension' FROM pg_stat_activity
			WHERE backend_type = 'domowf worker'}),
	'... a worker has begun and looked around');
$one = Domowf->session($node);
is(granted(), 'chief|f', '... and the worker leaves it as it is');
$one->value("UPDATE domowf.workflow SET granted_oid = NULL");
$one->value("ALTER TABLE domowf.workflow ENABLE ALWAYS TRIGGER $_")
  foreach qw(keep_own refuse_truncation undo_truncation registry_changed registry_truncated set_granted_oid set_on_settled
	  set_on_settled_checked);
is(granted(), 'chief|t', '... until it is looked up anew');
is(may('intruder') . ' ' . may('member'), '42501 may', '... who was meant may');
like($one->value($triggers), qr/^t/, '... and all is well');

# ---- somebody who holds the row holds up nobody

my $holder = Domowf->session($node);
$one->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('other', 'model', '1.0.0', 'Start it')
END
foreach my $hold (
	q{UPDATE domowf.workflow SET track = false WHERE name = 'bosses'},
	'LOCK TABLE domowf.workflow IN SHARE MODE')
{
	$holder->run('BEGIN');
	$holder->value($hold);
	$one->value('ALTER ROLE chief RENAME TO captain');
	foreach my $n (1 .. 3)
	{
		is($one->outcome($one->enqueue('other', "$n while it is held")),
			'done', "$hold: the worker works");
	}
	is( $one->value(
			q{SELECT granted_to FROM domowf.workflow WHERE name = 'bosses'}),
		'chief',
		'... the name comes later');
	$holder->run('COMMIT');
	ok( $node->poll_query_until('postgres',
			q{SELECT granted_to = 'captain' FROM domowf.workflow
				WHERE name = 'bosses'}),
		'... when it is let go');
	$one->value('ALTER ROLE captain RENAME TO chief');
	ok( $node->poll_query_until('postgres',
			q{SELECT granted_to = 'chief' FROM domowf.workflow
				WHERE name = 'bosses'}),
		'... and back');
}
$holder->quit;

# What fails there is said once, and stops nothing.
my $offset = Domowf->log_size($node);
my $began = time;
$one->value(<<'END');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
	AS $$ BEGIN RAISE EXCEPTION 'no new names'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON domowf.workflow FOR EACH ROW
	EXECUTE FUNCTION refuse();
ALTER TABLE domowf.workflow ENABLE ALWAYS TRIGGER refuse;
ALTER ROLE chief RENAME TO captain
END
$node->wait_for_log(qr/no new names/, $offset);
foreach my $n (1 .. 3)
{
	is($one->outcome($one->enqueue('other', "$n though it fails")),
		'done', 'a name that cannot be written stops nothing');
}
cmp_ok(scalar(() = Domowf->log_since($node, $offset) =~ /ERROR:.*no new names/g),
	'<=', 1 + (time - $began) / 60, '... and is said once, or once a minute');
$one->value('DROP TRIGGER refuse ON domowf.workflow; DROP FUNCTION refuse()');
ok( $node->poll_query_until('postgres',
		q{SELECT granted_to = 'captain' FROM domowf.workflow
			WHERE name = 'bosses'}),
	'... and comes when it can');
$one->value('ALTER ROLE captain RENAME TO chief');

# ---- a retry asks anew

# A request of member's that Domo refused.
sub rejected
{
	my ($sql, $key) = @_;

	$domo->script('status:404', count => 1, contains => "\"$key\"");
	$got = as_role('member', $sql);
	my $request = $got->{out};
	is($one->outcome($request), 'rejected', "$key: rejected");
	return $request;
}

# What a retry by a role comes to.
sub retried
{
	my ($request, $role) = @_;

	$got = defined $role ? as_role($role, "SELECT domowf_retry($request)") :
	  $one->run("SELECT domowf_retry($request)");
	return $got->{sqlstate} || $got->{out};
}

$id = rejected(Domowf->enqueue_sql('bosses', 'retry me'), 'retry me');
$one->value('REVOKE chief FROM member');
is(retried($id, 'member'), '42501', 'a retry by a role that may no longer start it');
like($got->{detail}, qr/"member" may no longer start workflow "bosses"/,
	'... says why');
is(retried($id), '42501', '... nor does it go by the rights of who retries it');
is($one->request($id), 'rejected', '... nothing has changed');
is(retried($id, 'intruder'), 'f', 'who may not see it learns nothing');
$one->value('GRANT chief TO member');
$one->value('REVOKE EXECUTE ON FUNCTION domowf_enqueue, domowf_enqueue_call FROM member');
is(retried($id, 'member'), '42501', 'nor one that may no longer enqueue');
$one->value('GRANT EXECUTE ON FUNCTION domowf_enqueue TO member');

# model, version and message name are those of now, and data is checked again
$one->value(<<'END');
UPDATE domowf.workflow SET version = '2.0.0', model_id = 'later',
	message_name = 'Start later' WHERE name = 'bosses';
INSERT INTO domowf.workflow_input VALUES ('bosses', 'n', 'number')
END
is(retried($id, 'member'), '22023', 'data that no longer fits');
like($got->{detail}, qr/Input "n": found "retry me", expected number/, '... is told');
$one->value('DELETE FROM domowf.workflow_input');
is(retried($id, 'member'), 't', 'what may be sent is retried');
is($one->outcome($id), 'done', '... and sent');
is_deeply(
	[
		map { @$_{qw(version model_id message_name)} }
		  $domo->executed(contains => 'retry me')
	],
	[ '2.0.0', 'later', 'Start later' ],
	'... as it is registered now');
$id = rejected(Domowf->enqueue_sql('bosses', 'unregistered'), 'unregistered');
$one->value(q{UPDATE domowf.workflow SET name = 'renamed' WHERE name = 'bosses'});
is(retried($id, 'member'), '42704', 'a workflow that is not registered any more');
$one->value(q{UPDATE domowf.workflow SET name = 'bosses' WHERE name = 'renamed'});

# what waits in the queue is asked for anew, too
$one->value('SELECT domowf_pause()');
$id = as_role('member', Domowf->enqueue_sql('bosses', 'waits'))->{out};
$one->value('REVOKE chief FROM member');
is(retried($id, 'member'), '42501', 'also one that was not sent yet');
$one->value('GRANT chief TO member');
is(retried($id, 'member'), 't', '... that may');
$one->value('SELECT domowf_resume()');
is($one->outcome($id), 'done', '... is sent');

# one that names no workflow
$one->value('GRANT EXECUTE ON FUNCTION domowf_enqueue_call TO member');
$id = rejected(
	q{SELECT domowf_enqueue_call('start', '{"messageName": "Start it",
		"version": "1.0.0", "modelId": "m", "data": {"n": "by call"}}')},
	'by call');
$one->value('REVOKE EXECUTE ON FUNCTION domowf_enqueue_call FROM member');
is(retried($id, 'member'), '42501', 'a request that its role may no longer make');
like($got->{detail}, qr/"member" may no longer execute domowf_enqueue_call\(\)/,
	'... says why');
$one->value('GRANT EXECUTE ON FUNCTION domowf_enqueue_call TO member');
is(retried($id, 'member'), 't', '... and one that it may');
is($one->outcome($id), 'done', '... is sent');

# a trigger's goes by the owner of its table
$one->value(<<'END');
GRANT INSERT ON shop.orders TO intruder;
GRANT USAGE ON SCHEMA shop TO intruder
END
$domo->script('status:404', count => 1, contains => '"by trigger"');
is(as_role('intruder', q{INSERT INTO shop.orders VALUES ('by trigger')})
	  ->{sqlstate},
	'', "a trigger's request");
$id = $one->value('SELECT max(id) FROM domowf.request');
is($one->outcome($id), 'rejected', '... is rejected');
$one->value('ALTER TABLE shop.orders OWNER TO clerk');
is(retried($id, 'intruder'), '42501', '... not retried where the owner may not start it');
like($got->{detail}, qr/"clerk", the owner of shop\.orders, may no longer/,
	'... says why');
$one->value('ALTER TABLE shop.orders RENAME TO sold');
is(retried($id, 'intruder'), '42501', '... nor where the table is gone');
$one->value('ALTER TABLE shop.sold RENAME TO orders');
$one->value('ALTER TABLE shop.orders OWNER TO chief');
is(retried($id, 'intruder'), 't', '... but where he may');
is($one->outcome($id), 'done', '... it is sent');

$one->quit;
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
