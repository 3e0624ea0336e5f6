
# Databases that are not in UTF-8.  Domo speaks UTF-8 only, and a reply holds
# whatever people named their workflows.  Exists because an instance that runs
# must not become an error, or lose its id, over a character that the database
# lacks, and because text in the database's encoding on the wire would be
# garbage in Domo.

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
my $node = Domowf->start_node('main', $domo);
my $got;

foreach my $encoding (qw(LATIN1 SQL_ASCII EUC_JP))
{
	$node->safe_psql('postgres',
		"CREATE DATABASE \L$encoding\E ENCODING '$encoding'"
		  . q( LOCALE 'C' TEMPLATE template0));
	$node->safe_psql(lc $encoding, 'CREATE EXTENSION domowf');
}

# A start that calls itself by odd names.  Returns its entry of the record.
sub start
{
	my ($session, $text) = @_;
	my $seen = ($domo->record)[-1];

	$got = $session->run(sprintf q{SELECT i.id FROM domowf_start(
		jsonb_build_object('messageName', %1$s::text, 'version', '1',
		'modelId', %1$s::text, 'data',
		jsonb_build_object(%1$s::text, %1$s::text))) i},
		Domowf->literal($text));
	return ($domo->record(since => $seen ? $seen->{seq} : 0))[0];
}

# ---- what the database holds is sent as UTF-8

foreach my $case (
	[ 'postgres', 'Größe 流程 🚀' ],
	[ 'latin1', 'Größe ÿ ¡' ],
	[ 'sql_ascii', 'Größe 流程 🚀' ],
	[ 'euc_jp', '流程 ソース' ])
{
	my ($dbname, $text) = @$case;
	my $session = Domowf->session($node, dbname => $dbname);
	my $entry = start($session, $text);

	is($got->{sqlstate}, '', "$dbname: a start succeeds") or diag $got->{err};
	is($entry->{message_name}, $text, "$dbname: the message name arrives");
	is($entry->{model_id}, $text, "$dbname: the model id arrives");
	is_deeply($entry->{data}, { $text => $text }, "$dbname: data arrives");

	$session->run(Domowf->cancel_sql($text));
	is(($domo->record)[-1]{id}, $text, "$dbname: cancel's id arrives");
	$session->run(sprintf q{SELECT * FROM domowf_set_permissions('m',
		jsonb_build_array(jsonb_build_object('id', '1', 'type', 'USER',
		'permissions', '[]'::jsonb, 'name', %s::text)))},
		Domowf->literal($text));
	is($domo->permissions('m')->[0]{name},
		$text, "$dbname: a permission's name arrives");

	# errors with names of the database's own, and of Domo's
	$got = $session->run(Domowf->start_sql('scenario:reply:error-unicode'));
	is($got->{sqlstate}, '38403', "$dbname: an error with odd characters");
	like($got->{detail}, qr/kein Zugriff auf .+, toe "T.{1,2}E"/,
		"$dbname: which can be read");
	$session->quit;
}

# SQL_ASCII may hold anything, UTF-8 may not
my $session = Domowf->session($node, dbname => 'sql_ascii');
my $before = $domo->stats->{requests};
foreach my $call (
	q{domowf_cancel(E'\\xff')},
	q{domowf_cancel(jsonb_build_object('id', 'a', E'\\xff', 1))},
	q{domowf_cancel(jsonb_build_object('id', E'a\\xc3('))},
	q{domowf_start(jsonb_build_object('messageName', 'm', 'version', '1',
		'modelId', 'm', 'data', jsonb_build_object('x', E'\\xff')))})
{
	$got = $session->run("SELECT * FROM $call i");
	is($got->{sqlstate}, '22023', 'sql_ascii: no UTF-8 is refused')
	  or diag $got->{err};
	like($got->{message}, qr/not valid UTF-8/, '... and it says why');
}
is($domo->stats->{requests}, $before, '... and nothing is sent');
$session->quit;

# ---- what Domo replies

my %lacks = (postgres => 0, sql_ascii => 0, latin1 => 1, euc_jp => 1);
foreach my $dbname (sort keys %lacks)
{
	$session = Domowf->session($node, dbname => $dbname);
	$session->run('CREATE TABLE kept (LIKE domowf_instance)');
	$got = $session->run(
		'INSERT INTO kept '
		  . Domowf->start_sql('scenario:reply:unicode') =~ s/i\.id/i.*/r);
	is($got->{sqlstate}, '', "$dbname: a reply with characters of all kinds")
	  or diag $got->{err};
	is( $session->value('SELECT id FROM kept'),
		($domo->record)[-1]{instance},
		"$dbname: the instance id is there");
	is( $session->value(
			'SELECT model_name IS NULL, response IS NULL, model_id,'
			  . ' created_on IS NULL FROM kept'),
		join('|', ((qw(f t))[ $lacks{$dbname} ]) x 2,
			'scenario:reply:unicode', 'f'),
		"$dbname: what cannot be stored is null, the rest is there");
	is( ($session->value('SELECT model_name FROM kept') // ''),
		$lacks{$dbname} ? '' : "Größe 流程 🚀 \x{202e}abc",
		"$dbname: the name");
	cmp_ok(scalar @{ $got->{warnings} },
		$lacks{$dbname} ? '>' : '==', 0, "$dbname: warnings");
	like($_->{message}, qr/^part of Domo's reply cannot be stored/,
		"$dbname: ... say what is missing")
	  foreach @{ $got->{warnings} };

	# it is a success in every respect: named when rolled back
	$got = $session->run('BEGIN; '
		  . Domowf->start_sql('scenario:reply:unicode')
		  . '; ROLLBACK');
	is( scalar(
			grep { $_->{message} =~ /started \Q$got->{out}\E/ }
			  @{ $got->{warnings} }),
		1,
		"$dbname: and is named when it is rolled back");

	# an id of odd characters itself
	$got = $session->run(Domowf->start_sql('scenario:reply:id-odd'));
	is($got->{sqlstate}, '', "$dbname: an odd id") or diag $got->{err};
	$session->quit;
}

is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
