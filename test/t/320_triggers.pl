
# Triggers as they fire in earnest, with a worker that sends: what Domo gets of
# rows that were committed, and nothing of others; whoever changes the row,
# however it is changed; in copies of the database; after changes by another
# session; and that a session that fires many stays as it was.

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

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	streaming => 'logical',
	conf => "max_prepared_transactions = 10\n");
my $one = Domowf->session($node);
my $two = Domowf->session($node);
my $got;

my $registry = <<'END';
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('order', 'model', '1.0.0', 'Start it'),
		('orders', 'model', '1.0.0', 'Start it'),
		('any', 'model', '1.0.0', 'Start it');
INSERT INTO domowf.workflow_input VALUES
	('order', 'id', 'number', false, true),
	('order', 'customer', 'text', false, true),
	('order', 'total', 'decimal', false, false),
	('order', 'placed', 'dateTime', false, false),
	('orders', 'id', 'number', true, true),
	('orders', 'total', 'decimal', true, true);
END
my $tables = <<'END';
CREATE TABLE orders (id bigint PRIMARY KEY, customer text,
	total numeric, placed timestamptz);
CREATE TRIGGER start AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('order', '@key=id', 'id', 'customer',
		'total', 'placed');
END
$one->value($registry . $tables);

# Waits until nothing is queued, in a database.
sub until_sent
{
	my ($dbname) = @_;

	$node->poll_query_until($dbname // 'postgres',
		'SELECT NOT EXISTS (SELECT FROM domowf.queue)')
	  or die 'the queue is not sent';
	return;
}

# The ids of the starts whose `customer` is this, in their order.
sub started
{
	my ($customer) = @_;

	until_sent();
	return
	  join ' ',
	  map { $_->{data}{id} }
	  sort { $a->{data}{id} <=> $b->{data}{id} }
	  grep { ($_->{data}{customer} // '') eq $customer } $domo->executed;
}

# ---- one row, digit for digit, and its instance joined to it

$one->value(<<'END');
INSERT INTO orders VALUES (9007199254740993, 'first “é”', 0.10,
	'2026-04-23 14:00:00.5+02')
END
is(started('first “é”'), 9007199254740993, 'a row starts a workflow');
my ($entry) = $domo->executed;
is( $entry->{data_text},
	'{"id": 9007199254740993, "total": 0.10, "placed": "2026-04-23T12:00:00.5Z", "customer": "first “é”"}',
	'... with its values as Domo takes them');
is( $one->value(<<'END'),
SELECT o.id, l.instance_id, l.source, l.requested_by, l.outcome
FROM orders o JOIN domowf.log l ON l.workflow = 'order' AND l.key = o.id::text
END
	"9007199254740993|$entry->{instance}|public.orders|"
	  . $one->value('SELECT current_user')
	  . '|done',
	'... and its instance is joined by the key');

# ---- transactions

$one->run("BEGIN; INSERT INTO orders VALUES (10, 'x', 1)");
$one->run("SAVEPOINT s; INSERT INTO orders VALUES (11, 'x', 1)");
$one->run("ROLLBACK TO s; INSERT INTO orders VALUES (12, 'x', 1)");
is($domo->executed(contains => '"x"'), 0, 'nothing is sent before COMMIT');
$one->run('COMMIT');
$one->run("BEGIN; INSERT INTO orders VALUES (13, 'x', 1); ROLLBACK");
$one->run("INSERT INTO orders VALUES (14, 'x', 1), (14, 'x', 1)");
$one->run("BEGIN; INSERT INTO orders VALUES (15, 'x', 1)");
$one->run("PREPARE TRANSACTION 'kept'");
$one->run("BEGIN; INSERT INTO orders VALUES (16, 'x', 1)");
$one->run("PREPARE TRANSACTION 'given up'");
$one->run("COMMIT PREPARED 'kept'; ROLLBACK PREPARED 'given up'");
$one->run('BEGIN ISOLATION LEVEL SERIALIZABLE');
$one->run("INSERT INTO orders VALUES (17, 'x', 1); COMMIT");
is(started('x'), '10 12 15 17', 'what is committed is sent, and nothing else');
$two->run('BEGIN');
$two->run("INSERT INTO orders VALUES (18, 'x', 1)");
$two->quit;
undef $two;
$two = Domowf->session($node);
is(started('x'), '10 12 15 17', 'a session that ends has asked for nothing');

# ---- ways to change rows

$one->value(<<'END');
COPY orders (id, customer) FROM PROGRAM 'printf "20\tcopied\n21\tcopied\n"'
END
is(started('copied'), '20 21', 'COPY');
$one->value(<<'END');
MERGE INTO orders o USING (VALUES (20, 'merged'), (22, 'merged')) v (id, c)
ON o.id = v.id WHEN MATCHED THEN UPDATE SET customer = v.c
WHEN NOT MATCHED THEN INSERT (id, customer) VALUES (v.id, v.c)
END
is(started('merged'), '22', 'MERGE: the trigger is for INSERT');
$one->value(<<'END');
INSERT INTO orders VALUES (22, 'upserted'), (23, 'upserted')
ON CONFLICT (id) DO UPDATE SET customer = excluded.customer
END
is(started('upserted'), '23', 'ON CONFLICT DO UPDATE');
$got = $one->run("INSERT INTO orders VALUES (20, 'again', 1)");
is($got->{sqlstate}, '23505', 'a row that is refused by the table');
is(started('again'), '', '... starts nothing');
$one->value(<<'END');
CREATE TABLE part (customer text, id bigint) PARTITION BY RANGE (id);
CREATE TABLE part_1 (gone int, id bigint, customer text);
ALTER TABLE part_1 DROP COLUMN gone;
ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES FROM (0) TO (50);
CREATE TRIGGER start AFTER INSERT ON part FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('order');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (50) TO (100);
INSERT INTO part VALUES ('parted', 30), ('parted', 60)
END
is(started('parted'), '30 60', 'partitions, with numbers of their own');
is( $one->value(
		q{SELECT DISTINCT source FROM domowf.log WHERE request->'data'->>'customer' = 'parted'}
	),
	'public.part',
	'... by the table that the trigger was made on');

# ---- a trigger for each statement

$one->value(<<'END');
CREATE TABLE lines (id int, total numeric(8,2));
CREATE TRIGGER start AFTER INSERT ON lines REFERENCING NEW TABLE AS n
	FOR EACH STATEMENT EXECUTE FUNCTION domowf_trigger('orders');
INSERT INTO lines SELECT g, g + 0.50 FROM generate_series(100, 1, -1) g;
INSERT INTO lines SELECT 1, 1 WHERE false
END
until_sent();
my @lists = grep { ref $_->{data}{id} } $domo->executed;
is(scalar @lists, 1, '100 rows of a statement are one start, no rows none');
is_deeply(
	$lists[0]{data}{id},
	[ reverse 1 .. 100 ],
	'... with a list in the order of the rows');
like($lists[0]{data_text}, qr/"total": \[100\.50, 99\.50, .* 1\.50\]/,
	'... for each input, digit for digit');

# ---- whoever changes the row

$one->value(<<'END');
CREATE ROLE clerk LOGIN;
GRANT INSERT ON orders TO clerk
END
my $clerk = Domowf->session($node, user => 'clerk');
$clerk->value("INSERT INTO orders VALUES (40, 'by a clerk')");
is(started('by a clerk'), '40', 'a role without rights fires it');
is($clerk->run($_)->{sqlstate}, '42501', "... and may not: $_")
  foreach 'SELECT FROM domowf.log', 'SELECT FROM domowf.workflow',
  q{SELECT domowf_enqueue('order', '{}')}, q{SET domowf.triggers = off};
is( $one->value("SELECT requested_by FROM domowf.log WHERE key = '40'"),
	'clerk', '... it is recorded who did');
$one->value('CREATE ROLE boss; GRANT clerk TO boss');
$one->value(
	"UPDATE domowf.workflow SET granted_to = 'boss' WHERE name = 'order'");
$one->value('ALTER TABLE orders OWNER TO clerk');
$got = $clerk->run("INSERT INTO orders VALUES (41, 'not granted')");
is($got->{sqlstate}, '42501', 'a table whose owner may not start it');
$one->value('ALTER TABLE orders OWNER TO boss; GRANT INSERT ON orders TO clerk');
$clerk->value("INSERT INTO orders VALUES (42, 'granted')");
is(started('granted'), '42', '... and one whose owner may');
$one->value('UPDATE domowf.workflow SET granted_to = NULL');
$clerk->quit;

# ---- changes by another session apply to the next firing

$one->run('BEGIN');
$one->value("INSERT INTO orders VALUES (50, 'before')");
$two->value("UPDATE domowf.workflow_input SET name = 'buyer'"
	  . " WHERE name = 'customer'");
$got = $one->run("INSERT INTO orders VALUES (51, 'after')");
is($got->{sqlstate}, '22023', 'an input that another session has renamed');
like($got->{message}, qr/"order" has no input "customer"/, '... is told');
$one->run('ROLLBACK');
$two->value(<<'END');
CREATE OR REPLACE TRIGGER start AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('order', 'id', 'buyer=customer')
END
$one->value("INSERT INTO orders VALUES (52, 'replaced')");
until_sent();
is( join(' ', map { $_->{data}{id} } $domo->executed(contains => 'buyer')),
	'52', 'a trigger that another session has replaced');
$two->value('ALTER TABLE orders RENAME customer TO buyer');
$got = $one->run("INSERT INTO orders VALUES (53, 'renamed')");
like($got->{message}, qr/there is no column "customer"/,
	'a column that another session has renamed');
$two->value("UPDATE domowf.workflow_input SET name = 'customer'"
	  . " WHERE name = 'buyer'");
$two->value('ALTER TABLE orders RENAME buyer TO customer');
$two->value(<<'END');
CREATE OR REPLACE TRIGGER start AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('order', '@key=id', 'id', 'customer',
		'total', 'placed')
END

# ---- a queue that is full

# counted anew, since nobody has told of the COMMIT PREPARED above
$one->value('SELECT domowf_pause()');
$one->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
$node->poll_query_until('postgres',
	q{SELECT state = 'paused' FROM domowf.worker});
$one->value('SET domowf.max_queue_length = 2');
$one->value("INSERT INTO orders VALUES (60 + $_, 'full')") foreach 1 .. 2;
is($one->run("INSERT INTO orders VALUES (63, 'full')")->{sqlstate},
	'53400', 'a queue that is full refuses the row');
$one->value('RESET domowf.max_queue_length');
$one->value('SELECT domowf_resume()');
is(started('full'), '61 62', '... and the others are sent');

# ---- copies

my $dir = $node->basedir;
my $before = $domo->stats->{executed};
my $rows = $one->value('SELECT count(*) FROM orders');

sub restore
{
	my ($dbname, $file) = @_;

	command_ok(
		[
			'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d',
			$node->connstr($dbname), '-f', "$dir/$file"
		],
		"$file is restored into $dbname");
	return;
}
command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', "$dir/all" ],
	'a dump');
command_ok(
	[
		'pg_dump', '-d', $node->connstr('postgres'), '-a', '-t', 'orders',
		'--disable-triggers', '-f', "$dir/disabled"
	],
	'a dump of data, with triggers disabled');
command_ok(
	[
		'pg_dump', '-d', $node->connstr('postgres'), '-a', '-t', 'orders',
		'-f', "$dir/data"
	],
	'a dump of data');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE template0');
restore('copy', 'all');
is($node->safe_psql('copy', 'SELECT count(*) FROM orders'),
	$rows, 'a database that is restored has its rows');
is( $node->safe_psql('copy',
		'SELECT count(*) FROM domowf.request WHERE source IS NOT NULL'),
	0,
	'... of which none has fired');
$node->safe_psql('copy', "INSERT INTO orders VALUES (70, 'copied database')");
until_sent('copy');
is( scalar(my @copied = $domo->executed(contains => 'copied database')),
	1, '... and its triggers work');
$node->safe_psql('copy', 'TRUNCATE orders');
restore('copy', 'disabled');
until_sent('copy');
is($domo->stats->{executed}, $before + 1,
	'data that is restored with triggers disabled starts nothing');
$node->safe_psql('copy',
	'SELECT domowf_pause(); TRUNCATE orders; TRUNCATE domowf.key');
restore('copy', 'data');
is($node->safe_psql('copy', 'SELECT count(*) FROM domowf.queue'),
	$rows, '... without that, each row asks for a start');
$node->safe_psql('copy',
	'TRUNCATE orders; TRUNCATE domowf.key, domowf.queue; SELECT domowf_resume()');
my $loader = Domowf->session($node, dbname => 'copy');
$loader->value('SET session_replication_role = replica');
$loader->value("INSERT INTO orders VALUES (71, 'as a replica')");
$loader->quit;

# ---- logical replication: the subscriber's triggers

$node->safe_psql('copy', <<'END');
CREATE TABLE lines_seen (n int);
ALTER TABLE lines RENAME TO lines_2;
CREATE TABLE lines (id int, total numeric(8,2));
CREATE TRIGGER start AFTER INSERT ON lines FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('any', 'id', 'at:=subscriber');
CREATE TRIGGER each AFTER INSERT ON lines REFERENCING NEW TABLE AS n
	FOR EACH STATEMENT EXECUTE FUNCTION domowf_trigger('any', 'id', 'at:=statement');
ALTER TABLE lines ENABLE ALWAYS TRIGGER each;
END
$one->value('TRUNCATE lines; CREATE PUBLICATION lines FOR TABLE lines');
$one->value(
	"SELECT pg_create_logical_replication_slot('lines', 'pgoutput')");
$node->safe_psql('copy',
	    "CREATE SUBSCRIPTION lines CONNECTION '"
	  . $node->connstr
	  . " dbname=postgres' PUBLICATION lines WITH (create_slot = false, slot_name = 'lines')");
$node->wait_for_subscription_sync($node, 'lines', 'copy');
$one->value('INSERT INTO lines VALUES (801, 1)');
$node->wait_for_catchup('lines', 'replay', $node->lsn('insert'));
is($node->safe_psql('copy', 'SELECT count(*) FROM lines'),
	1, 'a row is replicated');
$node->safe_psql('copy', 'ALTER TABLE lines ENABLE REPLICA TRIGGER start');
$one->value('INSERT INTO lines VALUES (802, 1)');
$node->wait_for_catchup('lines', 'replay', $node->lsn('insert'));
until_sent('copy');
until_sent();
is( join(' ',
		map { "$_->{data}{at} $_->{data}{id}" }
		  $domo->executed(contains => '"at"')),
	'subscriber 802',
	'a subscriber starts only where ENABLE REPLICA or ALWAYS says so');
is( scalar(my @own = grep { ref $_->{data}{id} && "@{$_->{data}{id}}" =~ /^80/ }
		  $domo->executed),
	2,
	'... and the publisher as ever');
$node->safe_psql('copy', 'DROP SUBSCRIPTION lines');
is(started('as a replica'), '',
	'session_replication_role = replica starts nothing');

# ---- JSON that a json column holds and jsonb does not

$one->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('json', 'model', '1.0.0', 'Start it');
INSERT INTO domowf.workflow_input VALUES
	('json', 'id', 'number', false, true), ('json', 'j', 'object', false, false),
	('json', 'l', 'object', true, false);
CREATE TYPE holder AS (inside json);
CREATE TABLE jsons (id int, j json, l json[], c holder);
CREATE TRIGGER start AFTER INSERT ON jsons FOR EACH ROW WHEN (NEW.c IS NULL)
	EXECUTE FUNCTION domowf_trigger('json', 'id', 'j', 'l');
CREATE TRIGGER other AFTER INSERT ON jsons FOR EACH ROW WHEN (NEW.c IS NOT NULL)
	EXECUTE FUNCTION domowf_trigger('any', 'id', 'j', 'c');
END
my %unfit = (
	'{"a":"\\u0000"}' => 'unsupported Unicode escape sequence',
	'{"a":1e200000}' => 'value overflows numeric format',
	'{"a":"\\ud83d"}' => 'invalid input syntax for type json');
foreach my $json (sort keys %unfit)
{
	my $shown = qr/found "?\Q$json\E"?, expected/;
	my $why = qr/; jsonb cannot hold it: $unfit{$json}\.$/m;

	$got = $one->run("INSERT INTO jsons VALUES (1, '$json', ARRAY['{}', '$json']::json[])");
	is($got->{sqlstate}, '22023', "$json in a column is refused");
	like($got->{message}, qr/^data does not fit the inputs of workflow "json"$/, '... as data that does not fit');
	like($got->{detail}, qr/^Input "j": $shown object .*$why/m, '... and the input is named');
	like($got->{detail}, qr/^Input "l", element 2: $shown object .*$why/m, '... each that has one');
	$got = $one->run("INSERT INTO jsons VALUES (1, '$json', NULL, ROW('$json'))");
	is($got->{sqlstate}, '22023', '... where none is declared, too');
	like($got->{detail}, qr/^Input "j": $shown .*$why/m, '... with its name');
	like($got->{detail}, qr/^Input "c": $shown .*; in its member "inside": jsonb cannot hold it: $unfit{$json}\.$/m,
		'... within others');
	$got = $one->run(
		"BEGIN; CREATE TABLE constant (id int); CREATE TRIGGER start AFTER INSERT ON constant FOR EACH ROW"
		  . " EXECUTE FUNCTION domowf_trigger('json', 'id', 'j:=$json'); INSERT INTO constant VALUES (1)");
	is($got->{sqlstate}, '22023', '... as a constant');
	like($got->{detail}, qr/^Input "j": $shown object/, '... of which the input is named');
	$one->run('ROLLBACK');
}
$one->value(q{INSERT INTO jsons VALUES (2, '{"json": 1, "json": 2.50}', ARRAY['{"n": 1e3}']::json[])});
until_sent();
is_deeply([ map { $_->{data}{j} } $domo->executed(contains => '"json"') ],
	[ { json => 2.5 } ], 'what jsonb can hold is sent as that has it');

# ---- encodings: Domo gets UTF-8, or the row is refused

foreach my $encoding (qw(LATIN1 SQL_ASCII))
{
	my $dbname = lc $encoding;

	$node->safe_psql('postgres',
		"CREATE DATABASE $dbname TEMPLATE template0 ENCODING $encoding LC_COLLATE 'C' LC_CTYPE 'C'"
	);
	$node->safe_psql($dbname, "CREATE EXTENSION domowf; $registry $tables");
	$node->safe_psql($dbname, <<'END');
UPDATE domowf.workflow SET name = convert_from('\xe9', 'LATIN1') WHERE name = 'any'
	AND getdatabaseencoding() = 'LATIN1';
CREATE TABLE codes (t text, n text);
DO $$ BEGIN
	EXECUTE format('CREATE TRIGGER start AFTER INSERT ON codes FOR EACH ROW
		EXECUTE FUNCTION domowf_trigger(%L)',
		(SELECT name FROM domowf.workflow WHERE name NOT LIKE 'order%'));
END $$;
END
}
$node->safe_psql('latin1',
	q{INSERT INTO codes (t, n) VALUES (convert_from('\xe9', 'LATIN1'), 'latin one')}
);
until_sent('latin1');
is($_->{data}{t}, 'é', 'a text in LATIN1 arrives in UTF-8')
  foreach $domo->executed(contains => 'latin one');
is( $node->safe_psql('latin1',
		q{SELECT workflow = convert_from('\xe9', 'LATIN1') FROM domowf.log}),
	't',
	'... and its workflow is named in LATIN1');
my $bytes = Domowf->session($node, dbname => 'sql_ascii');
$bytes->value('SET client_encoding = SQL_ASCII');
$bytes->value('CREATE FUNCTION bytes(bytea) RETURNS text LANGUAGE sql AS '
	  . q{$$ SELECT convert_from($1, 'SQL_ASCII') $$});
$bytes->value(q{INSERT INTO codes (t, n) VALUES (bytes('\xc3a9'), 'ascii')});
$got =
  $bytes->run(q{INSERT INTO codes (t, n) VALUES (bytes('\xe9'), 'not UTF-8')});
is($got->{sqlstate}, '22023', 'bytes that are no UTF-8 are refused');
is( $got->{detail},
	'Input "t": found "\\xe9", expected text (a string); it is not valid UTF-8.',
	'... with the name of the input');
$got = $bytes->run(<<'END');
BEGIN;
ALTER TABLE codes ADD l text[], ADD j jsonb;
INSERT INTO codes (t, n, l, j) VALUES ('a', bytes('\x61c328'), ARRAY['b', bytes('\xff')],
	jsonb_build_object('k', bytes('\xc3')))
END
is($got->{sqlstate}, '22023', '... all of them');
is($got->{detail} =~ s/, expected .*?; /; /gr, <<'END' =~ s/\n\z//r, '... wherever they are');
Input "n": found "a\xc3("; it is not valid UTF-8.
Input "l", element 2: found "\xff"; it is not valid UTF-8.
Input "j": found {"k": "\xc3"}; it is not valid UTF-8.
END
$bytes->run('ROLLBACK');
$got = $bytes->run(<<'END');
BEGIN;
DO $$ BEGIN
	EXECUTE format('CREATE TRIGGER constant AFTER INSERT ON codes FOR EACH ROW'
		' EXECUTE FUNCTION domowf_trigger(''any'', %L)', 't:=' || bytes('\xe9'));
END $$;
INSERT INTO codes (n) VALUES ('constant')
END
is($got->{sqlstate} . ' ' . $got->{detail},
	'22023 Input "t": found \xe9, expected text (a string); it is not valid UTF-8.',
	'... and as a constant');
$bytes->run('ROLLBACK');
until_sent('sql_ascii');
is($_->{data}{t}, 'é', '... and those that are arrive')
  foreach $domo->executed(contains => 'ascii');
$bytes->quit;

# ---- a session that fires many stays as it was

$one->value('SELECT domowf_pause()');
$one->value(<<'END');
CREATE TABLE many (id int, tags text[], pair orders);
CREATE TRIGGER start AFTER INSERT ON many FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('any', '@key=id', 'id', 'tags', 'pair');
CREATE PROCEDURE fire(first int, last int) LANGUAGE plpgsql AS $$ BEGIN
	FOR i IN first..last LOOP
		INSERT INTO many VALUES (i, '{a,b}', ROW(i, 'x', 1, now()));
		COMMIT;
	END LOOP;
END $$;
CREATE PROCEDURE make(first int, last int) LANGUAGE plpgsql AS $$ BEGIN
	FOR i IN first..last LOOP
		CREATE TABLE made (id int);
		CREATE TRIGGER start AFTER INSERT ON made FOR EACH ROW
			EXECUTE FUNCTION domowf_trigger('any');
		INSERT INTO made VALUES (i);
		DROP TABLE made;
		COMMIT;
	END LOOP;
END $$
END
my $memory =
  q{SELECT sum(used_bytes) FROM pg_backend_memory_contexts WHERE name !~ 'Portal|Message|SPI|Exec'};
my $mappings =
  q{SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'domowf mapping'};
$one->value('CALL fire(1, 1000)');
$one->value($memory);
my $used = $one->value($memory);
$one->value('CALL fire(1001, 5000)');
cmp_ok($one->value($memory) - $used,
	'<', 20_000, '4,000 transactions leave nothing behind');
cmp_ok($one->value($mappings), '<=', 8, 'one mapping for each trigger');
$one->value('CALL make(1, 50)');
cmp_ok($one->value($mappings), '<=', 8,
	'... and none of triggers that are gone');
$one->value("INSERT INTO many SELECT g, '{a,b}', NULL"
	  . ' FROM generate_series(5001, 15000) g');
is( $one->value(
		"SELECT count(*), max(key::int) FROM domowf.queue WHERE source = 'public.many'"
	),
	'15000|15000',
	'10,000 rows of a statement ask for as many starts');

# ---- interrupted while it fires for many rows

$one->value('CREATE TABLE late (id int); CREATE CONSTRAINT TRIGGER start'
	  . ' AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED'
	  . q{ FOR EACH ROW EXECUTE FUNCTION domowf_trigger('any')});
my $last = $one->value('SELECT last_value FROM domowf.request_id');
$one->run('BEGIN; INSERT INTO late SELECT generate_series(1, 100000)');
$one->run(q{SET LOCAL statement_timeout = '50ms'});
is($one->run('SET CONSTRAINTS ALL IMMEDIATE')->{sqlstate},
	'57014', 'statement_timeout ends a statement while triggers fire');
$one->run('ROLLBACK');
cmp_ok($one->value('SELECT last_value FROM domowf.request_id') - $last,
	'<', 100_000, '... before they have fired for all rows');
$one->value('TRUNCATE domowf.queue; TRUNCATE domowf.key');

# ---- a table of many columns: what is said of them ends

$one->value(q{DO $$ BEGIN EXECUTE (SELECT 'CREATE TABLE wide (' ||
	string_agg('column_' || g || ' int', ', ') || ')' FROM generate_series(1, 300) g); END $$;
	CREATE TRIGGER t AFTER INSERT ON wide FOR EACH ROW EXECUTE FUNCTION domowf_trigger('any', 'n=none')});
$got = $one->run('INSERT INTO wide VALUES (1)');
like($got->{detail}, qr/^The columns of public\.wide are "column_1", .*"column_\d+", \.\.\.\.$/,
	'of many columns the first are named');
cmp_ok(length $got->{detail}, '<', 1100, '... so that it can be read');

is(scalar $domo->violations, 0, 'the stand-in saw no violation');
is($domo->stderr, '', '... and had no trouble');
done_testing();
