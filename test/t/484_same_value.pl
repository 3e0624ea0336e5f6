
# What a trigger sends depends on the row, not on what the session has set.  And
# domowf_resolve() records an id as everywhere.  Exists because regclass and money
# were sent as quote_all_identifiers and lc_monetary had it, and an empty id
# settled a request.

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
	conf => "domowf.worker = off\nlc_monetary = 'C'\n");
my $session = Domowf->session($node);
my ($got, $id);

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it');
CREATE TYPE pair AS (a regclass, b money);
CREATE TYPE cased AS ENUM ('x');
CREATE FUNCTION to_json_by_settings(cased) RETURNS json LANGUAGE sql IMMUTABLE
	AS $$ SELECT json_build_object('at', to_timestamp(0)::text, 'class', 'pg_class'::regclass::text) $$;
CREATE CAST (cased AS json) WITH FUNCTION to_json_by_settings(cased);
CREATE TABLE orders (id int, class regclass, type regtype, proc regprocedure,
	price money, period tstzrange, took interval, bytes bytea, share float8,
	two pair, own cased, list regclass[]);
CREATE TRIGGER it AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('it')
END

sub sent
{
	$id = $session->value(q{INSERT INTO orders VALUES (1, 'orders', 'pair',
		'abs(int)', '12.34', '[2020-01-01 00:00Z,2020-02-01 00:00Z)', '1 day 2 hours',
		'\\x00ff', 0.1, ('pg_catalog.pg_class', '5.60'), 'x', '{orders,pg_catalog.pg_class}');
		SELECT max(id) FROM domowf.queue});
	return $session->value("SELECT request -> 'data' FROM domowf.queue WHERE id = $id");
}

$session->value(q{SET TimeZone = 'UTC'});
my $as_it_is = sent();
like($as_it_is, qr/\$12\.34/, 'a row is sent');
my ($locale) = grep { $_ !~ /^(?:C|POSIX|C\.)/ } split /\n/,
  $session->value(q{SELECT collcollate FROM pg_collation WHERE collprovider = 'c'});
my %other = (
	quote_all_identifiers => 'on',
	standard_conforming_strings => 'on',
	DateStyle => 'German, DMY',
	IntervalStyle => 'sql_standard',
	bytea_output => 'escape',
	extra_float_digits => '-5',
	search_path => 'pg_temp, public',
	lc_monetary => $locale // 'C',
	lc_numeric => $locale // 'C',
	xmloption => 'document',
	TimeZone => 'Asia/Tokyo');
foreach my $name (sort keys %other)
{
	my $cast = $name eq 'search_path' ? 'CREATE TEMP TABLE IF NOT EXISTS pg_class (n int); ' : '';

	$got = $session->run(
		"BEGIN; ${cast}SET LOCAL $name = '$other{$name}'; SET LOCAL search_path = "
		  . ($name eq 'search_path' ? 'pg_temp, pg_catalog, public' : 'public')
		  . ';');
	is($got->{sqlstate}, '', "$name is set");
	is(sent(), $as_it_is, '... and of no effect');
	$session->run('ROLLBACK');
}

# ---- an id as everywhere

$id = $session->enqueue('it', 'n');
foreach my $wrong ('', '.', '..', 'x' x 1025)
{
	$got = $session->run(sprintf 'SELECT domowf_resolve(%s, %s)', $id, Domowf->literal($wrong));
	is($got->{sqlstate}, '22023', 'no id: ' . (length $wrong > 9 ? 'a long one' : "'$wrong'"));
}
is($session->request($id), 'queued', '... settles nothing');
is($session->value("SELECT domowf_resolve($id, 'i-1')"), 't', 'an id does');
is($session->request($id, 'state, instance_id'), 'done|i-1', '... and is recorded');

done_testing();
