
# Values of all kinds, by chance, as a trigger sends them, against to_jsonb() of
# the same row and against a JSON parser that is not ours: what two readers
# understand is the same, to the digit.  Of what has a form of its own (times,
# intervals) the value is that of the row.  DOMOWF_SEED chooses other ones.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Chance qw(chance dice one_of start_dice);
use Domowf;
use Encode ();
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant SEED => $ENV{DOMOWF_SEED} // 1;
use constant TABLES => 12;
use constant COLUMNS => 12;
use constant ROWS => 20;

# the row's number g makes a subselect one of its row
my $text = q{(SELECT coalesce(string_agg(chr(CASE WHEN random() < 0.6 THEN 1 + floor(random() * 126)::int
	WHEN random() < 0.5 THEN 160 + floor(random() * 50000)::int
	ELSE 65536 + floor(random() * 900000)::int END), ''), '')
	FROM generate_series(1, floor(random() * 20)::int + g * 0))};
my $numeric = q{((random() - 0.5)::numeric * 10::numeric ^ (floor(random() * 60)::int - 30))};
my %values = (
	int2 => 'floor(random() * 65536)::int - 32768',
	int4 => '(random() - 0.5) * 4294967294',
	int8 => '(random() - 0.5) * 18446744073709000000',
	numeric => $numeric,
	'numeric(20, 5)' => '(random() - 0.5) * 1e14',
	'numeric(5, -2)' => 'random() * 9e6',
	float4 => '(random() - 0.5) * 10 ^ (random() * 60 - 30)',
	float8 => '(random() - 0.5) * 10 ^ (random() * 600 - 300)',
	bool => 'random() < 0.5',
	text => $text,
	varchar => $text,
	name => "left($text, 12)",
	'"char"' => q{chr(65 + floor(random() * 26)::int)},
	uuid => 'gen_random_uuid()',
	bytea => q{decode(md5(random()::text), 'hex')},
	inet => q{'10.0.0.0'::inet + floor(random() * 16777216)::bigint},
	oid => 'floor(random() * 4294967296)::bigint',
	varbit => 'floor(random() * 65536)::int::bit(16)',
	int4range => 'int4range(floor(random() * 10)::int, 10 + floor(random() * 10)::int)',
	time => q{'00:00'::time + random() * '1 day'::interval},
	date => q{'epoch'::date + floor(random() * 40000)::int},
	mood => q{(ARRAY['fine', 'so "so"', 'böse'])[1 + floor(random() * 3)::int]::mood},
	short => "left($text, 5)",
	jsonb => "jsonb_build_object($text, $text, 'n', $numeric, 'l', jsonb_build_array($numeric, NULL, $text, '{}'::jsonb))",
	json => "json_build_object('a', $text, 'n', $numeric, 'l', json_build_array(true, $text))",
	'int4[]' => q{CASE WHEN random() < 0.2 THEN '{}'::int[] ELSE ARRAY[floor(random() * 100)::int, NULL, -1] END},
	'text[]' => "ARRAY[[$text, $text], [NULL, $text]]",
	'numeric[]' => "ARRAY[$numeric, $numeric]",
	pair => "ROW($text, ARRAY[$numeric], ROW(1, $text)::inner_pair)::pair",
	'pair[]' => "ARRAY[ROW($text, '{}', NULL)::pair, NULL]");

# those with a form of their own, from which the value is read: domowf leaves out the
# blanks at the end of a char(n)
my %own = (
	'char(30)' => $text,
	timestamptz => q{'epoch'::timestamptz + floor(random() * 4e12) * '1 ms'::interval},
	timestamp => q{'epoch'::timestamp + floor(random() * 4e12) * '1 ms'::interval},
	interval => q{make_interval(floor(random() * 9)::int, floor(random() * 12)::int, 0,
		floor(random() * 30)::int, floor(random() * 24)::int, floor(random() * 60)::int,
		floor(random() * 60000) / 1000)});

my $node = Domowf->start_node('main');
my $session = Domowf->session($node);

$session->value('SET client_min_messages = error');
$session->value(sprintf 'SELECT setseed(%f)', (SEED % 1000) / 1000);
$session->value(<<'END');
SET TimeZone = 'Asia/Kathmandu';
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('any', 'model', '1.0.0', 'Start it');
CREATE TYPE mood AS ENUM ('fine', 'so "so"', 'böse');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 10);
CREATE TYPE inner_pair AS (a int, b text);
CREATE TYPE pair AS (t text, n numeric[], "in ner" inner_pair)
END
foreach my $number (1 .. TABLES)
{
	start_dice(SEED, $number);
	my @types = map { chance(15) ? one_of(sort keys %own) : one_of(sort keys %values) } 1 .. COLUMNS;
	my $i = 0;
	my @columns = map { "\"c " . ++$i . "\" $_" } @types;
	my @made = map { "CASE WHEN random() > 0.15 THEN ($_) END" } map { $values{$_} // $own{$_} } @types;
	my @own = grep { $own{ $types[ $_ - 1 ] } } 1 .. COLUMNS;
	my $without = @own ? " - ARRAY['" . join("', '", map { "c $_" } @own) . "']" : '';
	my $same = join ' AND ', 'true',
	  map { "(r.d->>'c $_')::" . ($types[ $_ - 1 ] =~ s/^(?=timestamp$)/timestamptz::/r)
		  . " IS NOT DISTINCT FROM t.\"c $_\"" } @own;

	$session->value(sprintf q{DELETE FROM domowf.queue; DROP TABLE IF EXISTS t;
		CREATE TABLE t (id int PRIMARY KEY, %s);
		CREATE TRIGGER go AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION domowf_trigger('any')},
		join ', ', @columns);
	my $got = $session->run(sprintf 'INSERT INTO t SELECT g, %s FROM generate_series(1, %d) g',
		join(', ', @made), ROWS);
	is($got->{sqlstate}, '', "seed @{[ SEED ]}, table $number: rows of " . join ', ', @types)
	  or diag $got->{err};

	my $sent = q{(SELECT (request->'data'->>'id')::int AS id, request->'data' AS d FROM domowf.queue)};
	is( $session->value("SELECT count(*) FROM $sent r JOIN t USING (id)"
			  . " WHERE (r.d$without)::text = (to_jsonb(t)$without)::text AND $same"),
		ROWS, '... are sent as to_jsonb() has them')
	  or diag $session->value("SELECT r.d, to_jsonb(t) FROM $sent r JOIN t USING (id)"
		  . " WHERE (r.d$without)::text <> (to_jsonb(t)$without)::text OR NOT ($same) LIMIT 2");
	my $data = $session->value("SELECT d FROM $sent r ORDER BY id");
	my ($in, $out) = (Encode::encode('UTF-8', "$data\n"));

	IPC::Run::run([ 'python3', "$FindBin::RealBin/reparse.py" ], '<', \$in, '>', \$out)
	  or fail('another parser');
	my $values = join ', ', map { Domowf->literal($_) . '::jsonb' } split /\n/, $out;
	is( $session->value("SELECT (SELECT array_agg(d::text ORDER BY id) FROM $sent r)"
			  . " = (SELECT array_agg(j::text ORDER BY o) FROM unnest(ARRAY[$values]) WITH ORDINALITY u (j, o))"),
		't', '... and another parser reads the same');
}
$session->quit;
$node->stop;
done_testing();
