
# The registry, and what backends keep of it.  A start costs no query, so that each session holds workflows of its own; a change
# applies to the next start all the same, in every session, at once in the one
# that makes it, and not at all where it is rolled back.  Exists because a stale
# workflow starts the wrong thing, silently, for as long as a connection lives.

use strict;
use warnings;
use utf8;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/could not serialize access/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	conf => "max_prepared_transactions = 2\n");

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
EXCEPTION WHEN undefined_object OR insufficient_privilege
	OR invalid_parameter_value THEN
	RETURN sqlerrm;
END $$;
END
$node->safe_psql('postgres', $functions);

my $one = Domowf->session($node);
my $two = Domowf->session($node);
my $got;

sub change
{
	my ($session, $model) = @_;

	$session->value(
		"UPDATE domowf.workflow SET model_id = '$model' WHERE name = 'w'");
	return;
}

sub used
{
	my ($session, $name) = @_;

	return $session->value(sprintf "SELECT used('%s')", $name // 'w');
}

# Waits until a session waits for a lock.
sub until_waits
{
	my ($session) = @_;

	return $node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = "
		  . $session->pid);
}

# How many workflows a session keeps in memory.
sub kept
{
	my ($session) = @_;

	return $session->value('SELECT count(*) FROM pg_backend_memory_contexts'
		  . " WHERE name = 'domowf workflow'");
}

$one->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('w', 'm1', '1.0.0', 'Start it'),
	('other', 'o1', '1.0.0', 'Start it'),
	('typed', 't1', '1.0.0', 'Start it');
INSERT INTO domowf.workflow_input (workflow, name, type, required)
VALUES ('typed', 'n', 'number', true)
END

# ---- it is kept

# The scans of both tables by 200 starts of two workflows.
sub scans
{
	my ($session) = @_;
	my $sql = q{SELECT sum(pg_stat_get_xact_numscans(oid)) FROM pg_class
		WHERE relname ~ '^workflow' AND relkind IN ('r', 'i')};

	$session->value('BEGIN');
	my $before = $session->value($sql);
	is( $session->value(q{SELECT count(used('w'))
			+ count(used('typed', '{"n": 1}')) FROM generate_series(1, 100)}),
		200,
		'200 starts');
	my $after = $session->value($sql);
	$session->value('COMMIT');
	return $after - $before;
}

my $scans = scans($one);
cmp_ok($scans, '>', 0, '... read what is registered');
cmp_ok($scans, '<', 10, '... once');
is(scans($one), 0, '... and never again while nothing changes');
$one->value('VACUUM ANALYZE domowf.workflow');
is(used($one), 'm1', '... nor is it lost over maintenance');

# ---- a change in another session

change($one, 'm2');
is(used($two), 'm2', 'a change applies to the next start in another session');
$one->value('BEGIN');
change($one, 'm3');
is(used($one), 'm3', '... at once in the one that makes it');
is(used($two), 'm2', '... and nowhere else before it is committed');
$one->value('COMMIT');
is(used($two), 'm3', '... but then');
$one->value('BEGIN');
change($one, 'm4');
is(used($one), 'm4', 'a change that is rolled back ...');
$one->value('ROLLBACK');
is(used($one), 'm3', '... is forgotten where it was made');
is(used($two), 'm3', '... and was never seen elsewhere');

$one->value(<<'END');
INSERT INTO domowf.workflow_input (workflow, name, type, required)
VALUES ('w', 'n', 'number', true)
END
is(used($two), 'data does not fit the inputs of workflow "w"',
	'a declaration applies to the next start in another session');
$one->value("DELETE FROM domowf.workflow_input WHERE workflow = 'w'");
is(used($two), 'm3', '... and so does its end');
$one->value("DELETE FROM domowf.workflow WHERE name = 'other'");
is(used($two, 'other'), 'workflow "other" is not registered',
	'... and the end of a workflow');
$one->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('other', 'o2', '1.0.0', 'Start it')
END
is(used($two, 'other'), 'o2', '... and a new one');

# savepoints, whose changes end before their transaction does
$one->value('BEGIN; SAVEPOINT a');
change($one, 's1');
is(used($one), 's1', 'a change after a savepoint');
$one->value('SAVEPOINT b');
change($one, 's2');
is(used($one), 's2', '... and one more');
$one->value('ROLLBACK TO b');
is(used($one), 's1', '... is undone with its own');
$one->value('ROLLBACK TO a');
is(used($one), 'm3', '... and so is the first');
$one->value('ROLLBACK TO a');
change($one, 's3');
is(used($one), 's3', '... which can be made again');
$one->value('RELEASE a; COMMIT');
is(used($_), 's3', '... and stays when it is released') foreach $one, $two;

# within one statement of another session, and within one transaction
foreach my $isolation ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $key = lc $isolation =~ s/ /_/r;

	change($one, "old $key");
	$one->value('SELECT pg_advisory_lock(1)');
	$two->value("BEGIN ISOLATION LEVEL $isolation");
	is(used($two), "old $key", "$isolation: before a change");
	$two->send(
		q{DO $$ BEGIN
		PERFORM pg_advisory_lock_shared(1);
		PERFORM set_config('my.used', used('w'), false);
	END $$});
	until_waits($two);
	change($one, "new $key");
	$one->value('SELECT pg_advisory_unlock(1)');
	is($two->wait->{sqlstate}, '', "$isolation: a statement goes on");
	is($two->value("SELECT current_setting('my.used')"),
		"new $key", '... with what was committed meanwhile');
	is(used($two), "new $key", '... as does its transaction');
	$two->value('COMMIT; SELECT pg_advisory_unlock_all()');
	is(used($two), "new $key", '... and the next one');
}

# what a transaction with an old snapshot reads is not kept for later ones
change($one, 'before');
$two->value('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
change($one, 'after');
is( $two->value("SELECT model_id FROM domowf.workflow WHERE name = 'w'"),
	'before',
	'a transaction with an old snapshot');
is(used($two), 'after', '... starts what is registered now');
$two->value('COMMIT');
is(used($two), 'after', '... and leaves nothing old behind');

# an invalidation that arrives after the snapshot, while the row is read: the
# reader waits for a lock, and with it comes the change
change($one, 'first');
is(used($two), 'first', 'a session that has read before');
change($one, 'second');
$one->value('BEGIN; LOCK TABLE domowf.workflow, domowf.workflow_input'
	  . ' IN ACCESS EXCLUSIVE MODE');
change($one, 'third');
$two->send("SELECT used('w')");
until_waits($two);
$one->value('COMMIT');
like($two->wait->{out}, qr/^(?:second|third)$/,
	'... reads what there was when it began, or later');
is(used($two), 'third', '... and does not miss what came while it read');

# ---- transactions that are prepared

change($one, 'unprepared');
$one->value('BEGIN');
change($one, 'prepared');
is(used($one), 'prepared', 'a change in a transaction that is prepared');
$one->value("PREPARE TRANSACTION 'p'");
is(used($_), 'unprepared', '... is not there yet') foreach $one, $two;
$two->value("COMMIT PREPARED 'p'");
is(used($_), 'prepared', '... but when that is committed') foreach $one, $two;
$one->value('BEGIN');
change($one, 'taken back');
used($one);
$one->value("PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p'");
is(used($_), 'prepared', '... and never when it is not') foreach $one, $two;

# ---- users' triggers are off, ours are not

$one->value('SET session_replication_role = replica');
change($one, 'by a replica');
is(used($_), 'by a replica', 'a change by a replica role applies')
  foreach $one, $two;
$one->value('RESET session_replication_role');
$one->value('ALTER TABLE domowf.workflow DISABLE TRIGGER ALL');
change($one, 'without triggers');
$one->value('ALTER TABLE domowf.workflow ENABLE TRIGGER ALL');
$one->value('ALTER TABLE domowf.workflow ENABLE ALWAYS TRIGGER registry_changed'
	  . ', ENABLE ALWAYS TRIGGER registry_truncated');
is(used($_), 'without triggers', '... and one that disabled all triggers')
  foreach $one, $two;

# ---- inputs of a workflow that goes away meanwhile

$one->value('BEGIN; INSERT INTO domowf.workflow_input (workflow, name, type)'
	  . " VALUES ('other', 'x', 'text')");
$two->send("DELETE FROM domowf.workflow WHERE name = 'other'");
until_waits($two);
$one->value('COMMIT');
is($two->wait->{sqlstate}, '', 'a workflow is removed after an input came');
is( $one->value(
		"SELECT count(*) FROM domowf.workflow_input WHERE workflow = 'other'"),
	0,
	'... which goes with it');
$one->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('other', 'o3', '1.0.0', 'Start it')
END
$one->value("BEGIN; DELETE FROM domowf.workflow WHERE name = 'other'");
$two->value('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$two->send('INSERT INTO domowf.workflow_input (workflow, name, type)'
	  . " VALUES ('other', 'x', 'text')");
until_waits($two);
$one->value('COMMIT');
like($two->wait->{sqlstate}, qr/^(?:23503|40001)$/,
	'no input comes to one that was removed meanwhile');
$two->value('ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$one->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('other', 'o4', '1.0.0', 'Start it')
END
is( $two->run('INSERT INTO domowf.workflow_input (workflow, name, type)'
		  . " VALUES ('other', 'x', 'text')")->{sqlstate},
	'',
	'an old snapshot does not hide a workflow');
$two->value('ROLLBACK');

# ---- memory: what nobody uses any more is freed

$one->value(<<'END');
DO $$ BEGIN
	FOR i IN 1 .. 500 LOOP
		UPDATE domowf.workflow SET model_id = 'm' || i WHERE name = 'w';
		PERFORM used('w'), used('typed'), used('other');
	END LOOP;
END $$;
END
cmp_ok(kept($one), '<=', 3, 'changes in one transaction leave nothing');
foreach my $i (1 .. 20)
{
	$one->value("BEGIN; UPDATE domowf.workflow SET model_id = 'm$i';"
		  . " SELECT used('w'), used('other'); ROLLBACK");
}
cmp_ok(kept($one), '<=', 3, '... nor do rolled back ones');

# a change while what was read is still in use
$one->value(<<'END');
CREATE FUNCTION change_it() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
	UPDATE domowf.workflow SET version = '1.0.1' WHERE name = 'w';
	RETURN 1;
END $$;
SELECT count(domowf_enqueue('w') + change_it() + domowf_enqueue('w'))
	FROM generate_series(1, 100)
END
cmp_ok(kept($one), '<=', 3, '... nor do changes under a statement');
$one->value('DELETE FROM domowf.workflow WHERE name <> '
	  . q{'w'; SELECT used('w')});
is(kept($one), 1, '... nor workflows that are gone');
is($one->value('SELECT count(*) FROM domowf.workflow_input'),
	0, '... with their inputs');

# a table that cannot be read: an error each time, and nothing stays of it
$one->value('BEGIN; ALTER TABLE domowf.workflow_input RENAME TO gone');
$one->value('SAVEPOINT a');
foreach my $i (1 .. 3)
{
	$got = $one->run("SELECT used('w')");
	is($got->{sqlstate}, '55000', 'a registry that is broken is an error');
	$one->value('ROLLBACK TO a');
}
is(kept($one), 0, '... of which nothing stays in memory');
$one->value('ROLLBACK');
is(used($one), 'm500', '... and which ends with its cause');

# ---- the extension dropped and made again, in one session

change($one, 'old tables');
used($_) foreach $one, $two;
$one->value('BEGIN; DROP EXTENSION domowf; CREATE EXTENSION domowf');
is(used($one), 'workflow "w" is not registered',
	'a new extension has no workflows');
$one->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('w', 'new tables', '1.0.0', 'Start it')
END
is(used($one), 'new tables', '... but its own');
change($one, 'changed tables');
is(used($one), 'changed tables', '... which can be changed');
$one->value('ROLLBACK');
is(used($_), 'old tables', '... and is gone with its transaction')
  foreach $one, $two;
$one->value('DROP EXTENSION domowf');
is($two->run(q{SELECT domowf_enqueue('w')})->{sqlstate},
	'42883', 'without the extension there is nothing to call');
$one->value('CREATE EXTENSION domowf');
is(used($_), 'workflow "w" is not registered', '... and then a new one')
  foreach $one, $two;
$two->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('w', 'new tables', '1.0.0', 'Start it')
END
is(used($_), 'new tables', '... with workflows of its own') foreach $one, $two;
change($two, 'changed tables');
is(used($_), 'changed tables', '... whose changes are seen')
  foreach $one, $two;

# ---- rights

$one->value(<<'END');
CREATE ROLE app;
CREATE ROLE clerk;
CREATE ROLE gone;
GRANT EXECUTE ON FUNCTION domowf_enqueue, domowf_start(text, jsonb) TO clerk;
INSERT INTO domowf.workflow (name, model_id, version, message_name, granted_to)
VALUES ('granted', 'm', '1.0.0', 'Start it', 'app'),
	('granted to none', 'm', '1.0.0', 'Start it', 'gone');
INSERT INTO domowf.workflow_input (workflow, name, type, required)
VALUES ('granted', 'n', 'number', true);
DROP ROLE gone;
SET ROLE clerk
END
foreach my $sql (
	'SELECT * FROM domowf.workflow',
	'SELECT * FROM domowf.workflow_input',
	'DELETE FROM domowf.workflow_input',
	q{CREATE TEMP TABLE t (); CREATE TRIGGER t AFTER INSERT ON t
		EXECUTE FUNCTION domowf.registry_changed()})
{
	is($one->run($sql)->{sqlstate},
		'42501', 'a role without a right on the registry has none');
}
like($one->value("SELECT domowf_enqueue('w')"),
	qr/^\d+$/, '... and starts what everybody may start');
$got = $one->run("SELECT domowf_enqueue('granted', '{\"wrong\": 1}')");
is($got->{sqlstate}, '42501', '... not what is granted to others');
is($got->{detail} . $got->{hint}, '', '... of which it learns no inputs');
$two->value('GRANT app TO clerk');
is( $one->run("SELECT domowf_enqueue('granted', '{\"wrong\": 1}')")
	  ->{sqlstate},
	'22023',
	'... until it becomes a member');
like($one->value("SELECT domowf_enqueue('granted', '{\"n\": 1}')"),
	qr/^\d+$/, '... and starts it');
$two->value('REVOKE app FROM clerk');
is($one->run("SELECT domowf_enqueue('granted', '{\"n\": 1}')")->{sqlstate},
	'42501', '... and no longer when it is none');
is($one->run("SELECT domowf_enqueue('granted to none')")->{sqlstate},
	'42501', 'a role that is gone grants nothing');
$one->value('RESET ROLE');

# ---- what does not fit is neither sent nor queued

$one->value('DELETE FROM domowf.queue');
my $seen = $domo->stats->{requests};
foreach my $sql (
	q{domowf_start('granted', '{"n": "1"}')},
	q{domowf_start('{"workflow": "granted", "data": {"n": "1"}}'::jsonb)},
	q{domowf_enqueue('granted', '{"n": "1"}')},
	q{domowf_enqueue_call('start',
		'{"workflow": "granted", "data": {"n": "1"}}')})
{
	$got = $one->run("SELECT $sql");
	is($got->{sqlstate}, '22023', 'data that does not fit is refused')
	  or diag $got->{err};
	is( $got->{detail},
		'Input "n": found "1", expected number (an integer).',
		'... with the reason');
}
$got = $one->value(q{SELECT string_agg(concat(sqlstate,
	(instance).id IS NOT NULL), ',' ORDER BY ordinality)
	FROM domowf_start_all(ARRAY[
	'{"workflow": "granted", "data": {"n": "1"}}',
	'{"workflow": "granted", "data": {"n": 1}}',
	'{"workflow": "granted", "data": {}}',
	'{"workflow": "none", "data": {}}']::jsonb[])});
is($got, '22023f,t,22023f,42704f', '... in domowf_start_all one by one');
is($domo->stats->{requests}, $seen + 1, '... and only what fits is sent');
is($one->value('SELECT count(*) FROM domowf.queue'), 0, '... or queued');

# ---- what is registered is no longer than what a request may have

# the registry takes it, so that a database that has some is updated and restored
foreach my $column (qw(name model_id message_name version))
{
	my %long = (name => 'long', model_id => 'm', message_name => 's', version => '1.0.0');
	my $bytes = 1025;

	$long{$column} = $column eq 'version' ? '1.0.' . '0' x 1021 : 'ü' x 512 . 'x';
	$got = join ', ', map { Domowf->literal($long{$_}) } qw(name model_id message_name version);
	$one->value("INSERT INTO domowf.workflow (name, model_id, message_name, version) VALUES ($got);"
		  . ' CREATE TABLE long (id int); CREATE TRIGGER long AFTER INSERT ON long FOR EACH ROW'
		  . ' EXECUTE FUNCTION domowf_trigger(' . Domowf->literal($long{name}) . ')');
	$seen = $domo->stats->{requests};
	foreach my $sql (
		'SELECT i.id FROM domowf_start(' . Domowf->literal($long{name}) . q{, '{}') i},
		'SELECT domowf_enqueue(' . Domowf->literal($long{name}) . ')',
		'INSERT INTO long VALUES (1)')
	{
		$got = $one->run($sql);
		is($got->{sqlstate}, '22023', "a $column of $bytes bytes: " . substr $sql, 0, 30);
		like(
			$got->{message},
			$column eq 'name'
			? qr/^invalid (?:workflow|name of workflow "ü+"): found $bytes bytes, expected at most 1024$/
			: qr/^invalid $column of workflow "long": found $bytes bytes, expected at most 1024$/,
			'... and it says so');
	}
	is($one->value(q{SELECT sqlstate FROM domowf_start_all(ARRAY[jsonb_build_object('workflow', }
			  . Domowf->literal($long{name}) . q{::text, 'data', '{}'::jsonb)])}),
		'22023', '... in domowf_start_all');
	is($domo->stats->{requests}, $seen, '... and nothing is sent');
	chop $long{$column};
	$one->value("UPDATE domowf.workflow SET $column = " . Domowf->literal($long{$column})
		  . ' WHERE length(name || model_id || message_name || version) > 500');
	is($one->run('SELECT domowf_enqueue(' . Domowf->literal($long{name}) . ')')->{sqlstate},
		'', '... and one byte less is fine');
	$one->value('DELETE FROM domowf.queue; DROP TABLE long;'
		  . ' DELETE FROM domowf.workflow WHERE length(name || model_id || message_name || version) > 500');
}

# ---- names and values in other encodings

foreach my $case (
	[ 'latin1', 'LATIN1', 'Größe', 'ÿ' x 100, 'ÿ' x 55 . '...' ],
	[ 'euc_jp', 'EUC_JP', '流程', '流' x 100, '流' x 28 . '...' ],
	[ 'ascii', 'SQL_ASCII', 'Größe 流程', '流' x 100, '流' x 19 . '...' ])
{
	my ($dbname, $encoding, $name, $value, $shown) = @$case;

	$node->safe_psql('postgres', "CREATE DATABASE $dbname ENCODING '$encoding'"
		  . " LOCALE 'C' TEMPLATE template0");
	my $session = Domowf->session($node, dbname => $dbname);
	$session->value('CREATE EXTENSION domowf');
	$session->value(sprintf <<'END', Domowf->literal($name));
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES (%1$s, 'm', '1.0.0', 'Start it');
INSERT INTO domowf.workflow_input (workflow, name, type)
VALUES (%1$s, %1$s, 'number')
END
	my $sql = sprintf 'SELECT domowf_enqueue(%1$s, jsonb_build_object(%1$s, ',
	  Domowf->literal($name);
	like($session->value("$sql 1))"), qr/^\d+$/,
		"$encoding: an input is found by its name");
	$got = $session->run("$sql " . Domowf->literal($value) . '::text))');
	is( $got->{detail},
		"Input \"$name\": found \"$shown\", expected number (an integer).",
		"$encoding: and its value is shown") or diag $got->{err};
	like($got->{message}, qr/^data does not fit/, "$encoding: by an error");
	$session->quit;
}

# where the database sorts otherwise than C does
$node->safe_psql('postgres', q{CREATE DATABASE icu ENCODING 'UTF8'
	LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C' TEMPLATE template0});
my $session = Domowf->session($node, dbname => 'icu');
$session->value(<<'END');
CREATE EXTENSION domowf;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('w', 'm', '1.0.0', 'Start it');
INSERT INTO domowf.workflow_input (workflow, name, type)
SELECT 'w', name, 'number'
FROM unnest(ARRAY['a', 'B', 'c', 'D', 'é', 'f', '_', '1']) name
END
is($session->value("SELECT min(name) FROM domowf.workflow_input"),
	'_', 'a database that sorts in its own way');
$got = $session->run(q{SELECT domowf_enqueue('w', '{"a": 1, "B": 1, "c": 1,
	"D": 1, "é": 1, "f": 1, "_": 1, "1": 1, "b": 1}')});
is( $got->{detail},
	'Input "b": found 1, but the workflow has no such input.',
	'... and what is known to be an input all the same');
$session->quit;

is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
