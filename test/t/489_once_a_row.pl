
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

done_testing();
