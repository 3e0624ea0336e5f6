
# PostgreSQL evaluates a VOLATILE function once for a row, but for: a row that
# somebody else changes meanwhile, a sub-select that is joined, rows that are
# left out, a cursor that goes back.  There a call or request is refused, with
# the form that works; and what works is run where it would be called twice if
# it could be.  What was called is counted at the stand-in and in the queue.

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
	conf => "domowf.worker = off\n");

$node->safe_psql('postgres', <<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('w', 'model', '1.0.0', 'Start it');
CREATE TABLE o (id int PRIMARY KEY, n int DEFAULT 0, i text, r bigint);
INSERT INTO o SELECT g FROM generate_series(1, 3) g;
CREATE TABLE many AS SELECT g AS id, g % 5 AS n FROM generate_series(1, 1000) g;
ANALYZE o, many;
CREATE FUNCTION wrapped(x int) RETURNS bigint LANGUAGE sql VOLATILE
	AS $$ SELECT domowf_enqueue('w', jsonb_build_object('x', x)) $$;
CREATE FUNCTION hidden(x int) RETURNS bigint LANGUAGE plpgsql
	AS $$ BEGIN RETURN domowf_enqueue('w', jsonb_build_object('x', x)); END $$;
END
my $session = Domowf->session($node);
my $other = Domowf->session($node);
my $start = q{domowf_start('w', jsonb_build_object('x', 1))};
my $ask = q{domowf_enqueue('w', jsonb_build_object('x', 1))};

# How many were called, and asked for, so far.
sub calls
{
	return scalar($domo->executed) +
	  $session->value('SELECT count(*) FROM domowf.queue');
}

sub refused
{
	my ($name, $sql, $hint) = @_;
	my $before = calls();
	my $got = $session->run($sql);

	is($got->{sqlstate}, '0A000', "$name is refused");
	like($got->{err}, $hint // qr/HINT:.*LATERAL f\(/, "$name: the form that works");
	is(calls() - $before, 0, "$name: nothing is called");
	return;
}

# Runs it while another session changes row 1, and commits when it waits.
sub once
{
	my ($name, $sql, $expected, $quiet) = @_;
	my $before = calls();
	my $got;

	$other->value('BEGIN; UPDATE o SET n = n + 1 WHERE id = 1');
	$session->send($sql);
	$node->poll_query_until('postgres',
		'SELECT wait_event_type = $$Lock$$ FROM pg_stat_activity WHERE pid = '
		  . $session->pid)
	  or die;
	$other->value('COMMIT');
	$got = $session->wait;
	is($got->{sqlstate} // '', '', "$name works");
	is(calls() - $before, $expected // 1, "$name: so many calls");
	return;
}

# evaluated again for a row that somebody has changed
foreach my $f ([ 'a start', "($start).id", 'i' ], [ 'a request', $ask, 'r' ],
	[ 'a wrapped request', 'wrapped(1)', 'r' ])
{
	my ($what, $call, $column) = @$f;

	refused("$what in SET", "UPDATE o SET $column = $call WHERE id = 1");
	refused("$what in SET of its own row's",
		"UPDATE o SET $column = (SELECT $call WHERE o.n >= 0) WHERE id = 1");
	refused("$what in WHERE of UPDATE",
		"UPDATE o SET n = 1 WHERE id = 1 AND $call IS NULL");
	refused("$what in WHERE of DELETE",
		"DELETE FROM o WHERE id = 1 AND $call IS NULL");
	refused("$what in ANY of DELETE",
		"DELETE FROM o WHERE $column = ANY (SELECT $call)");
	refused("$what with FOR UPDATE", "SELECT $call FROM o WHERE id = 1 FOR UPDATE");
	refused("$what with FOR SHARE",
		"INSERT INTO many (id) SELECT n FROM (SELECT n, $call FROM o WHERE id = 1 FOR SHARE) s");
	refused("$what in MERGE",
		"MERGE INTO o USING many m ON m.id = o.id WHEN MATCHED THEN UPDATE SET $column = $call");
	refused("$what in a condition of MERGE",
		"MERGE INTO o USING many m ON m.id = o.id WHEN MATCHED AND $call IS NULL THEN DELETE");
	refused("$what in ON of MERGE",
		"MERGE INTO o USING many m ON m.id = o.id AND $call IS NULL WHEN MATCHED THEN DELETE");
}
refused('a call through a view',
	"CREATE VIEW v AS SELECT o.*, $ask AS asked FROM o; UPDATE o SET n = 1 FROM v WHERE v.id = o.id");

my $before = calls();

# in a policy, which PostgreSQL adds to the statements of others
$session->value("CREATE ROLE ruled; GRANT ALL ON o TO ruled; ALTER TABLE o ENABLE ROW LEVEL SECURITY;
	CREATE POLICY asks ON o USING ($ask > 0)");
foreach my $sql ('UPDATE o SET n = 1 WHERE id = 1', 'DELETE FROM o WHERE id = 1',
	'SELECT n FROM o FOR UPDATE')
{
	$session->value('SET ROLE ruled');
	my $got = $session->run($sql);
	$session->value('RESET ROLE');
	is($got->{sqlstate}, '0A000', "a request in a policy: $sql is refused");
	is(calls(), $before, '... nothing is asked for');
}
$session->value('DROP POLICY asks ON o; ALTER TABLE o DISABLE ROW LEVEL SECURITY');

once('a call in FROM of UPDATE',
	"UPDATE o SET i = s.id FROM $start s WHERE o.id = 1");
once('a call in WITH',
	"WITH s AS MATERIALIZED (SELECT t.id, i.id AS i FROM (VALUES (1)) t(id) CROSS JOIN LATERAL domowf_start('w', jsonb_build_object('x', t.id)) i) UPDATE o SET i = s.i FROM s WHERE o.id = s.id");
once('a call in a sub-select of its own',
	"UPDATE o SET i = (SELECT s.id FROM $start s) WHERE id = 1");
once('calls for several columns',
	"UPDATE o SET (i, n) = (SELECT s.id, 1 FROM $start s) WHERE id = 1");
once('RETURNING', "UPDATE o SET n = 1 WHERE id = 1 RETURNING $ask");
once('RETURNING of DELETE',
	"BEGIN; DELETE FROM o WHERE id = 1 RETURNING $ask; SELECT 1; COMMIT; INSERT INTO o VALUES (1)");
once('ON CONFLICT',
	"INSERT INTO o VALUES (1) ON CONFLICT (id) DO UPDATE SET r = $ask");
once('rows chosen FOR UPDATE in WITH',
	"WITH chosen AS MATERIALIZED (SELECT id FROM o WHERE id = 1 FOR UPDATE) SELECT domowf_enqueue('w', jsonb_build_object('x', id)) FROM chosen");
once('MERGE that inserts',
	"MERGE INTO o USING (VALUES (1), (77)) m(id) ON m.id = o.id WHEN MATCHED THEN UPDATE SET n = 3 WHEN NOT MATCHED THEN INSERT (id, r) VALUES (m.id, $ask)");
once('a function that PostgreSQL does not inline, which README tells of',
	'UPDATE o SET r = hidden(1) WHERE id = 1', 2);

# joined
my $of = q{domowf_enqueue('w', jsonb_build_object('x', m.n))};
my $each = q{domowf_enqueue('w', jsonb_build_object('x', id))};
refused('LATERAL (SELECT f())',
	"SELECT count(s.y) FROM many m, LATERAL (SELECT $of AS y) s");
refused('LATERAL (SELECT ... LIMIT)',
	"SELECT count(s.y) FROM many m, LATERAL (SELECT $of AS y LIMIT 1) s");
refused('LEFT JOIN LATERAL',
	"SELECT count(s.y) FROM many m LEFT JOIN LATERAL (SELECT $of AS y) s ON true");
refused('LATERAL (WITH ...)',
	"SELECT count(s.y) FROM many m, LATERAL (WITH c AS (SELECT $of AS y) SELECT * FROM c) s");
refused('a wrapped request in LATERAL',
	'SELECT count(s.y) FROM many m, LATERAL (SELECT wrapped(m.n) AS y) s');
refused('a sub-select that is joined',
	"SELECT count(s.y) FROM o JOIN (SELECT id, $each AS y FROM many) s ON s.id % 7 = o.id");
refused('VALUES that are joined', "SELECT * FROM o, (VALUES ($ask), ($ask)) s");
refused('a view that is joined',
	'SELECT count(v.asked) FROM v JOIN many m ON m.id = v.id');
refused('UNION ALL that is joined',
	"SELECT count(s.y) FROM many m, LATERAL (SELECT $of UNION ALL SELECT $of) s(y)");
refused('OFFSET', "SELECT $each FROM many OFFSET 5", qr/HINT:.*sub-select/);
refused('DISTINCT ON', "SELECT DISTINCT ON (n) n, $each FROM many", qr/HINT:.*sub-select/);
refused('WITH TIES',
	"SELECT $each FROM many ORDER BY id FETCH FIRST 2 ROWS WITH TIES",
	qr/HINT:.*sub-select/);

sub counted
{
	my ($name, $sql, $expected) = @_;
	my $before = calls();
	my $got = $session->run($sql);

	is($got->{sqlstate} // '', '', "$name works: $got->{err}");
	is(calls() - $before, $expected, "$name: so many calls");
	return;
}

my $none = 'SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;'
  . ' SET LOCAL enable_material = off;';
foreach my $how ('', $none)
{
	my $run = sub { counted("$_[0] ($how)", "BEGIN; $how $_[1]; COMMIT", $_[2]) };

	$run->('LATERAL f()',
		"SELECT count(s.y) FROM many m, LATERAL $of s(y)", 1000);
	$run->('LATERAL (SELECT FROM f())',
		"SELECT count(s.y) FROM many m, LATERAL (SELECT y FROM $of i(y)) s", 1000);
	$run->('f() in FROM, joined', "SELECT count(s.y) FROM o, $ask s(y)", 1);
	$run->('WITH, joined',
		"WITH s AS (SELECT id, $each AS y FROM many) SELECT count(s.y) FROM o JOIN s ON s.id % 7 = o.id",
		1000);
	$run->('a sub-select by itself',
		"SELECT count(s.y) FROM (SELECT id, $each AS y FROM many) s", 1000);
	$run->('WITH in a sub-select that is joined',
		"SELECT count(s.y) FROM o JOIN (WITH c AS (SELECT id, $each AS y FROM many) SELECT * FROM c) s ON s.id % 7 = o.id",
		1000);
	$run->('ORDER BY ... LIMIT',
		"SELECT $each FROM many ORDER BY n, id LIMIT 3 OFFSET 0", 3);
}

# cursors
sub cursor
{
	my ($name, $sql, $expected, $state) = @_;
	my $before = calls();
	my $got = $session->run("BEGIN; $sql");

	is($got->{sqlstate} // '', $state, "cursor: $name");
	like($got->{err}, qr/HINT: +Declare it with NO SCROLL/, "cursor: $name: what to do")
	  if $state;
	$session->run('ROLLBACK; CLOSE ALL');
	$got = calls() - $before;
	is($got, $state ? 0 : $expected, "cursor: $name: so many calls");
	return;
}
my $c = "DECLARE c CURSOR WITH HOLD FOR SELECT $each FROM many ORDER BY id LIMIT 10";
my $no = $c =~ s/CURSOR/NO SCROLL CURSOR/r;
my $scroll = $c =~ s/CURSOR/SCROLL CURSOR/r;
cursor('forward, in steps', "$c; FETCH 3 FROM c; FETCH 3 FROM c; CLOSE c; COMMIT", 6, '');
cursor('backward', "$c; FETCH 3 FROM c; FETCH PRIOR FROM c", 0, '0A000');
cursor('the same row again', "$c; FETCH 3 FROM c; FETCH 0 FROM c", 0, '0A000');
$session->value("BEGIN; $c");
$session->value($c =~ s/DECLARE c/DECLARE d/r);
$session->value('FETCH 3 FROM c');
$session->value('FETCH 3 FROM d');
is($session->run('FETCH FIRST FROM c')->{sqlstate}, '0A000', 'cursor: FETCH FIRST');
$session->run('ROLLBACK');
cursor('held after rows were fetched', "$c; FETCH 3 FROM c; COMMIT", 0, '0A000');
cursor('held, SCROLL', "$scroll; FETCH 3 FROM c; COMMIT", 0, '0A000');
cursor('held, nothing fetched', "$scroll; COMMIT; FETCH 3 FROM c; FETCH PRIOR FROM c", 10, '');
cursor('held, NO SCROLL', "$no; FETCH 3 FROM c; COMMIT; FETCH 3 FROM c", 10, '');
counted('a loop with COMMIT', <<"END", 5);
DO \$\$ DECLARE x record; BEGIN
	FOR x IN SELECT $each FROM many WHERE id <= 5 LOOP COMMIT; END LOOP;
END \$\$
END
is( $session->run(<<"END")->{sqlstate}, '0A000', 'a loop over a cursor, with COMMIT');
DO \$\$ DECLARE c CURSOR FOR SELECT $each FROM many WHERE id <= 5; BEGIN
	FOR x IN c LOOP COMMIT; END LOOP;
END \$\$
END
counted('a loop over a cursor that does not scroll, with COMMIT', <<"END", 5);
DO \$\$ DECLARE c NO SCROLL CURSOR FOR SELECT $each FROM many WHERE id <= 5; BEGIN
	FOR x IN c LOOP COMMIT; END LOOP;
END \$\$
END

done_testing();
