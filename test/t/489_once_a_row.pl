
# Where PostgreSQL 15 to 19 call a VOLATILE function more or less often than
# there are rows, besides what 488_evaluated has: LATERAL is planned so that
# each row calls; arguments of aggregates with GROUP BY and of window functions,
# what the parser doubles, and cursors that go back in any way are refused.
# What was called is counted at the stand-in and in the queue.

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

# not preloaded: each session loads the library by what it does first
my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo);

$node->safe_psql('postgres', <<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('w', 'model', '1.0.0', 'Start it');
CREATE TABLE many AS SELECT g AS id, g % 5 AS n FROM generate_series(1, 200) g;
CREATE TABLE big AS SELECT g AS id, repeat('k', 100) || g AS k FROM generate_series(1, 1000) g;
ANALYZE many, big;
CREATE FUNCTION fine(status text) RETURNS boolean LANGUAGE plpgsql STABLE
	AS $$ BEGIN RETURN status IS NOT NULL; END $$;
CREATE FUNCTION wrapped(x int) RETURNS bigint LANGUAGE sql VOLATILE
	AS $$ SELECT domowf_enqueue('w', jsonb_build_object('x', x)) $$;
END
my $session = Domowf->session($node);
my $ask = q{domowf_enqueue('w', jsonb_build_object('x', id))};
my $of = q{domowf_enqueue('w', jsonb_build_object('x', m.n))};

# How many were called, and asked for, so far; what is known of the record is not
# read again.
my ($executed, $last) = (0, 0);

sub calls
{
	my @new = $domo->executed(since => $last);

	$executed += @new;
	$last = $new[-1]{seq} if @new;
	return $executed + $session->value('SELECT count(*) FROM domowf.queue');
}

sub refused
{
	my ($name, $sql, $hint) = @_;
	my $before = calls();
	my $got = $session->run($sql);

	$session->run('ROLLBACK') if $got->{sqlstate};
	is($got->{sqlstate}, '0A000', "$name is refused");
	like($got->{err}, $hint, "$name: the form that works");
	is(calls() - $before, 0, "$name: nothing is called");
	return;
}

sub counted
{
	my ($name, $sql, $expected) = @_;
	my $before = calls();
	my $got = $session->run($sql);

	$session->run('ROLLBACK') if $got->{sqlstate};
	is($got->{sqlstate} // '', '', "$name works: $got->{err}");
	is(calls() - $before, $expected, "$name: so many calls");
	return;
}

# what LATERAL has delivered is kept for equal values, but not of a call: in the
# first statement of a session, and in later ones
my $lists = q{FROM many m, LATERAL domowf_start_all(ARRAY[jsonb_build_object('workflow', 'w', 'data', jsonb_build_object('x', m.n))]) s};
foreach my $when ('a first statement', 'a later one')
{
	counted("LATERAL domowf_start_all(), $when",
		"SELECT count(s.ordinality) $lists", 200);
}
my $other = Domowf->session($node);
$other->value(
	"SELECT count(*) FROM many m, LATERAL $of s(y) WHERE m.id <= s.y - s.y + 100");
is(calls(), 600, 'LATERAL domowf_enqueue() in a first statement');
counted('a call that a stable function looks at',
	q{SELECT count(*) FROM many m, LATERAL domowf_start('w', jsonb_build_object('x', m.n)) i WHERE fine(i.status)},
	200);
counted('a condition of the join',
	"SELECT count(*) FROM many m, LATERAL $of s(y) WHERE s.y + m.id > 0 AND s.y = s.y + m.id - m.id",
	200);
counted('a wrapped request in LATERAL',
	'SELECT count(*) FROM many m, LATERAL wrapped(m.n) s(y)', 200);
counted('one of several functions',
	"SELECT count(*) FROM many m, LATERAL ROWS FROM (generate_series(1, m.n), $of) s",
	200);
counted('a call inside an expression',
	"SELECT count(*) FROM many m, LATERAL abs($of) s", 200);
like(
	$session->value('EXPLAIN SELECT count(*) FROM many m, LATERAL generate_series(1, m.n) s'),
	qr/Memoize/, 'what does not call is kept as ever');

my $permissions = q{'[{"id": "1", "type": "USER", "permissions": ["READ"]}]'};
counted('LATERAL domowf_set_permissions()',
	"SELECT count(*) FROM many m, LATERAL domowf_set_permissions('m' || m.n, $permissions) s",
	200);

# arguments of aggregates
my $aggregate = qr/HINT:.*AS MATERIALIZED .* aggregate over/;
my $spill = q{SET LOCAL work_mem = '64kB'; SET LOCAL hash_mem_multiplier = 1; SET LOCAL enable_sort = off};
my $sorted = 'SET LOCAL enable_hashagg = off';
refused('a hashed GROUP BY',
	"BEGIN; $spill; SELECT count(*) FROM (SELECT k, max($ask) FROM big GROUP BY k OFFSET 0) s; COMMIT",
	$aggregate);
refused('GROUPING SETS',
	"BEGIN; $sorted; SELECT count($ask) FROM many GROUP BY GROUPING SETS ((n), (id)); COMMIT",
	$aggregate);
refused($_->[0], $_->[1], $aggregate)
  foreach (
	[ 'FILTER', "SELECT count(*) FILTER (WHERE $ask > 0) FROM many GROUP BY n" ],
	[ 'HAVING', "SELECT n FROM many GROUP BY n HAVING count($ask) > 0" ],
	[ 'ORDER BY of an aggregate',
		"SELECT array_agg(id ORDER BY $ask) FROM many GROUP BY n" ],
	[ 'a direct argument',
		"SELECT percentile_cont(n * 0 + domowf_enqueue('w', '{}') * 0) WITHIN GROUP (ORDER BY id) FROM many GROUP BY n" ],
	[ 'a start', q{SELECT count((domowf_start('w', jsonb_build_object('x', id))).id) FROM many GROUP BY n} ],
	[ 'a sub-select in an aggregate',
		"SELECT count((SELECT $ask WHERE many.id > 0)) FROM many GROUP BY n" ],
	[ 'an aggregate of the query outside',
		'SELECT (SELECT count(' . ($ask =~ s/id/m.id/r) . ') FROM (SELECT 1) s) FROM many m GROUP BY n' ],
	[ 'a wrapped request in an aggregate', 'SELECT count(wrapped(id)) FROM many GROUP BY n' ],
	[ 'GROUP BY without a column', "SELECT count($ask) FROM many GROUP BY ()" ]);
counted($_->[0], "BEGIN; $spill; $_->[1]; COMMIT", $_->[2])
  foreach (
	[ 'an aggregate without GROUP BY', "SELECT count($ask) FROM many", 200 ],
	[ 'the highest', "SELECT max($ask) FROM many", 200 ],
	[ 'DISTINCT in an aggregate', "SELECT count(DISTINCT $ask) FROM many", 200 ],
	[ 'ORDER BY in an aggregate', "SELECT array_agg($ask ORDER BY $ask) FROM many", 200 ],
	[ 'ORDER BY in an aggregate, by another', "SELECT array_agg($ask ORDER BY n DESC) FROM many", 200 ],
	[ 'the key of groups', "SELECT count(*) FROM (SELECT $ask, k FROM big GROUP BY 1, 2 OFFSET 0) s", 1000 ],
	[ 'DISTINCT', "SELECT count(*) FROM (SELECT DISTINCT $ask, k FROM big OFFSET 0) s", 1000 ],
	[ 'a call for each group',
		q{SELECT count(s.r) FROM (SELECT n, domowf_enqueue('w', jsonb_build_object('x', sum(id))) AS r FROM many GROUP BY n OFFSET 0) s}, 5 ],
	[ 'a call first, then GROUP BY',
		"WITH c AS MATERIALIZED (SELECT n, $ask AS r FROM many) SELECT n, count(r) FROM c GROUP BY n", 200 ],
	[ 'a call in FROM, then GROUP BY',
		"SELECT m.n, count(s.r) FROM many m CROSS JOIN LATERAL $of s(r) GROUP BY m.n", 200 ],
	[ 'one call in an aggregate of GROUP BY',
		"SELECT max((SELECT domowf_enqueue('w', '{}'))) FROM many GROUP BY n", 1 ]);
counted('the key of GROUPING SETS',
	"BEGIN; $sorted; SELECT count(*) FROM (SELECT n, $ask AS r FROM many GROUP BY GROUPING SETS ((n), (2))) s; COMMIT",
	200);

# window functions
my $window = qr/HINT:.*AS MATERIALIZED .* use the window function over/;
refused($_->[0], $_->[1], $window)
  foreach (
	[ 'a frame',
		"SELECT sum($ask) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM many" ],
	[ 'lag()', "SELECT lag($ask) OVER (ORDER BY id) FROM many" ],
	[ 'FILTER of a window function',
		"SELECT count(*) FILTER (WHERE $ask > 0) OVER (ORDER BY id) FROM many" ],
	[ 'a sub-select in a window function',
		"SELECT sum((SELECT $ask WHERE many.id > 0)) OVER (ORDER BY id) FROM many" ]);
counted($_->[0], $_->[1], $_->[2])
  foreach (
	[ 'PARTITION BY', "SELECT count(*) OVER (PARTITION BY $ask) FROM many", 200 ],
	[ 'ORDER BY of a window', "SELECT rank() OVER (ORDER BY $ask ROWS 2 PRECEDING) FROM many", 200 ],
	[ 'the offset of a frame',
		"SELECT count(*) OVER (ORDER BY id ROWS domowf_enqueue('w', '{}') PRECEDING) FROM many", 1 ],
	[ 'a call beside a window function', "SELECT $ask, lag(id) OVER (ORDER BY n) FROM many", 200 ]);

# what the parser doubles
my $from = qr/HINT:.*CROSS JOIN LATERAL domowf_enqueue\(/;
refused($_->[0], $_->[1], $from)
  foreach (
	[ 'BETWEEN', "SELECT $ask BETWEEN 1 AND 100000000 FROM many LIMIT 10" ],
	[ 'NOT BETWEEN', "SELECT id FROM many WHERE $ask NOT BETWEEN 1 AND 2" ],
	[ 'BETWEEN SYMMETRIC', "SELECT $ask BETWEEN SYMMETRIC 9 AND 1 FROM many" ],
	[ 'a sub-select BETWEEN', "SELECT (SELECT $ask WHERE many.id > 0) BETWEEN 1 AND 2 FROM many" ],
	[ 'IN with columns', "SELECT $ask IN (id, n) FROM many" ],
	[ 'BETWEEN in a view', "CREATE TEMP VIEW v AS SELECT $ask BETWEEN 1 AND 9 AS y FROM many; SELECT y FROM v" ]);
counted($_->[0], $_->[1], $_->[2])
  foreach (
	[ 'IN with constants', "SELECT $ask IN (1, 2) FROM many", 200 ],
	[ 'two that are written twice', "SELECT $ask > 0 AND $ask > 0 FROM many", 400 ],
	[ 'CASE', "SELECT CASE $ask WHEN 1 THEN 2 WHEN 2 THEN 3 END FROM many", 200 ],
	[ 'ORDER BY the same', "SELECT $ask FROM many ORDER BY $ask", 200 ],
	[ 'BETWEEN of what was called',
		"SELECT s.r BETWEEN 1 AND 9 FROM many m CROSS JOIN LATERAL $of s(r)", 200 ],
	[ 'EXISTS, which README tells of', "SELECT EXISTS (SELECT $ask FROM many)", 0 ],
	[ 'WITH that nothing refers to, which README tells of',
		"WITH c AS MATERIALIZED (SELECT $ask FROM many) SELECT 1", 0 ]);

# cursors that go back: in one statement, over rows that did not call, many
my $again = qr/HINT: +Declare it with NO SCROLL/;

# Runs all, and then the last one, which is refused and calls nothing.
sub goes_back
{
	my ($name, $expected, @statements) = @_;
	my $last = pop @statements;
	my $before = calls();
	my $got;

	$session->value('BEGIN');
	$session->value($_) foreach @statements;
	is(calls() - $before, $expected, "cursor: $name: so many calls");
	$got = $session->run($last);
	is($got->{sqlstate}, '0A000', "cursor: $name");
	like($got->{err}, $again, "cursor: $name: what to do");
	$session->run('ROLLBACK; CLOSE ALL');
	return;
}
my $some = "SELECT CASE WHEN id % 2 = 0 THEN $ask END FROM many WHERE id <= 10";
my $c = "DECLARE c CURSOR FOR SELECT $ask FROM many WHERE id <= 10";

refused($_->[0], $_->[1], $again)
  foreach (
	[ 'FETCH FIRST in PL/pgSQL',
		"DO \$\$ DECLARE c CURSOR FOR SELECT $ask FROM many WHERE id <= 10; r bigint;
		BEGIN OPEN c; FETCH c INTO r; FETCH FIRST FROM c INTO r; END \$\$" ],
	[ 'FETCH FIRST twice of SCROLL',
		"DO \$\$ DECLARE c SCROLL CURSOR FOR SELECT $ask FROM many; r bigint;
		BEGIN OPEN c; FETCH FIRST FROM c INTO r; FETCH FIRST FROM c INTO r; END \$\$" ],
	[ 'FETCH FIRST in one string', "$c\\; FETCH 1 FROM c\\; FETCH FIRST FROM c" ]);
$some = "DECLARE c CURSOR FOR $some";
goes_back('to its start, over a first row that does not call', 1, $some,
	'FETCH 1 FROM c', 'FETCH 1 FROM c', 'MOVE ABSOLUTE 0 FROM c', 'FETCH 2 FROM c');
goes_back('to its start, all in one fetch', 1, $some,
	'FETCH 2 FROM c', 'MOVE ABSOLUTE 0 FROM c', 'FETCH 2 FROM c');
goes_back('to its start, and on from there row by row', 1, $some,
	'FETCH 3 FROM c', 'MOVE ABSOLUTE 0 FROM c', 'FETCH 1 FROM c', 'FETCH 1 FROM c');
goes_back('after its end', 5, $some,
	'FETCH ALL FROM c', 'MOVE ABSOLUTE 0 FROM c', 'MOVE 2 FROM c');
goes_back('held, at its start again', 1, $some =~ s/CURSOR/SCROLL CURSOR WITH HOLD/r,
	'FETCH 2 FROM c', 'MOVE ABSOLUTE 0 FROM c', 'COMMIT');
goes_back('by a row, which does not call', 1, $some,
	'FETCH 2 FROM c', 'FETCH 1 FROM c', 'MOVE RELATIVE -1 FROM c');
goes_back('one of many', 17,
	(map { ($c =~ s/ c / c$_ /r, "FETCH 1 FROM c$_") } 1 .. 17),
	'FETCH FIRST FROM c1');

# and those that do not
counted($_->[0], $_->[1], $_->[2])
  foreach (
	[ 'a cursor in steps', "BEGIN; $some; FETCH 1 FROM c; FETCH 1 FROM c; MOVE 3 FROM c; COMMIT", 2 ],
	[ 'a cursor that is moved before it has called',
		"BEGIN; $some; FETCH 1 FROM c; MOVE ABSOLUTE 0 FROM c; FETCH ALL FROM c; COMMIT", 5 ],
	[ 'a cursor by the same name', "BEGIN; $c; FETCH 1 FROM c; CLOSE c; $c; FETCH 1 FROM c; COMMIT", 2 ],
	[ 'two cursors in turn',
		"BEGIN; $c; " . ($c =~ s/ c / d /r)
		  . '; FETCH 2 FROM c; FETCH 1 FROM d; FETCH 2 FROM c; FETCH 3 FROM d; COMMIT', 8 ],
	[ 'a cursor that keeps its rows',
		"BEGIN; DECLARE c SCROLL CURSOR FOR SELECT $ask AS y FROM many WHERE id <= 5 ORDER BY 1; FETCH 3 FROM c; FETCH FIRST FROM c; FETCH ALL FROM c; COMMIT", 5 ],
	[ 'a row that calls several times', <<"END", 30 ],
CREATE FUNCTION thrice(x int) RETURNS int LANGUAGE plpgsql AS \$\$
BEGIN
	FOR id IN 1 .. 3 LOOP PERFORM $ask; END LOOP;
	RETURN 1;
END \$\$;
BEGIN; DECLARE c CURSOR FOR SELECT thrice(id) FROM many WHERE id <= 10;
FETCH 4 FROM c; FETCH 4 FROM c; FETCH 4 FROM c; FETCH 1 FROM c; COMMIT
END
	[ 'a condition that calls', "BEGIN; DECLARE c CURSOR FOR SELECT id FROM many WHERE id <= 10 AND $ask % 3 = 0;
		FETCH 1 FROM c; FETCH 1 FROM c; FETCH ALL FROM c; FETCH ALL FROM c; COMMIT", 10 ],
	[ 'loops in PL/pgSQL', <<"END", 230 ]);
DO \$\$ DECLARE c CURSOR FOR SELECT $ask AS y FROM many WHERE id <= 10; r bigint; x record; BEGIN
	FOR x IN SELECT $ask FROM many LOOP NULL; END LOOP;
	FOR x IN c LOOP NULL; END LOOP;
	OPEN c; LOOP FETCH c INTO r; EXIT WHEN NOT FOUND; END LOOP; CLOSE c;
	OPEN c; MOVE FORWARD 5 FROM c; LOOP FETCH NEXT FROM c INTO r; EXIT WHEN NOT FOUND; END LOOP; CLOSE c;
END \$\$
END

done_testing();
