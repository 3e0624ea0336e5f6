
# What Domo did is recorded though a part of its reply is none that a text can
# hold, and what it says where it refuses, or where it cannot be reached, names
# all that may be the reason.  Exists because an escaped NUL in the name of a
# model put a start in doubt whose instance was known.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/unable to get local issuer certificate/);

my $domo = Domo->new(tls => 1, tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo, preload => 1);
my $session = Domowf->session($node);
my ($got, $id);

$session->value(q{INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('it', 'model', '1.0.0', 'Start it')});

foreach my $reply (qw(nul-escape-name lone-surrogate-name nul-escape lone-surrogate
	nul-escape-key lone-surrogate-key))
{
	my $is_name = $reply =~ /name/;

	$domo->script("reply:$reply", count => 1);
	$got = $session->run(Domowf->start_sql('model') =~
		  s/i\.id/i.id > '', i.model_name IS NULL, i.created_by > '', i.response IS NULL/r);
	is($got->{sqlstate}, '', "$reply: a call succeeds");
	is($got->{out}, $is_name ? 't|t|t|t' : 't|f|t|t', '... NULL is what no text can hold');
	ok(@{ $got->{warnings} } >= 1, '... with a warning');
	like($got->{warnings}[-1]{message}, qr/part of Domo's reply cannot be stored/,
		'... that says so');
	$domo->script("reply:$reply", count => 1);
	$id = $session->enqueue('it', $reply);
	is($session->outcome($id), 'done', "... a request, too");
	is( $session->value("SELECT instance_id > '', response IS NULL FROM domowf.log WHERE id = $id"),
		't|t', '... and its instance is recorded');
}
foreach my $reply (qw(nul-escape-id lone-surrogate-id))
{
	$domo->script("reply:$reply", count => 1);
	is($session->run(Domowf->start_sql('model'))->{sqlstate},
		'38U02', "$reply: an id that is none stays in doubt");
}

# ---- words

$domo->script('status:404', count => 1);
$got = $session->run(Domowf->start_sql('model'));
is($got->{sqlstate}, '38404', 'a start that is not found');
like($got->{hint}, qr/cannot see it.*no such version.*messageName/, '... names all reasons');
$domo->script('status:404', count => 1);
$got = $session->run(Domowf->cancel_sql('2052e10a-d142-4391-a731-2be1ab1c0188'));
unlike($got->{hint}, qr/version/, '... a cancel those of a cancel');
$got = $session->run('BEGIN; SET LOCAL domowf.base_url = '
	  . Domowf->literal($domo->tls_url) . '; ' . Domowf->start_sql('model'));
$session->run('ROLLBACK');
is($got->{sqlstate}, '38U01', 'an unknown certificate authority');
like($got->{hint}, qr/domowf\.ca_file/, '... says which setting is for that');

done_testing();
