
# The three calls end to end: what they put on the wire, as the stand-in for
# Domo saw it, what comes back, and who may call when.  Exists because only a
# server on the other side can tell that `data` arrived digit for digit and
# that an id stayed one path segment.

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
my $node = Domowf->start_node('primary', $domo, streaming => 1);
my $session = Domowf->session($node);
my ($got, $entry);

# The requests that arrive while a statement runs.
sub requests_of
{
	my ($sql, $in) = @_;
	my $before = $domo->stats->{requests};

	$got = ($in // $session)->run($sql);
	return $domo->stats->{requests} - $before;
}

# The last entry of the record.  Older ones are forgotten: 1 MB is slow to
# read in Perl.
my $violations = 0;

sub last_entry
{
	my $entry = ($domo->record)[-1];

	$violations += $domo->stats->{violations};
	$domo->clear_record;
	return $entry;
}

sub encoded
{
	my ($id) = @_;

	utf8::encode($id);
	$id =~ s/([^A-Za-z0-9\-._~])/sprintf '%%%02X', ord $1/ge;
	return $id;
}

# ---- a start

my $data = '{"n": 9007199254740993, "d": 0.10, "e": 1e400, "s": "1e-7",'
  . ' "tiny": 1e-30, "minus": -0.0, "text": "Größe 流程 🚀 \" \\\\ / \u0007",'
  . ' "key é": [1, [2, {"deep": [[[]], {}, null, true]}]], "": ""}';
my $fields =
  '"messageName": "Start \"it\" é", "version": "1.0.0", "modelId": "m/1"';

is( requests_of(
		'SELECT i.id, i.model_id, i.model_version, i.response->>\'id\''
		  . " FROM domowf_start('{$fields, \"data\": $data}') i"),
	1,
	'a start sends one request');
is($got->{sqlstate}, '', 'a start succeeds') or diag $got->{err};

$entry = last_entry();
my ($id, @columns) = split /\|/, $got->{out};
is_deeply(
	\@columns,
	[ 'm/1', '1.0.0', $id ],
	'the reply comes back as an instance');
is($entry->{instance}, $id, 'the id is the one that Domo gave');
is_deeply(
	[ @$entry{qw(operation method target token_ok message_name version)} ],
	[
		'start', 'POST', '/api/workflow/v1/instances/message',
		JSON::PP::true, 'Start "it" é', '1.0.0'
	],
	'method, path, token and members are those of the page');
is( $entry->{data_text},
	$session->value("SELECT '$data'::jsonb::text"),
	'data arrives as its jsonb text');
like($entry->{data_text}, qr/"n": 9007199254740993[,}]/, '... a big integer');
like($entry->{data_text}, qr/"d": 0\.10[,}]/, '... a trailing zero');
like($entry->{data_text}, qr/"e": 10{400}[,}]/, '... beyond a double');
like($entry->{data_text}, qr/"tiny": 0\.0{29}1[,}]/, '... a tiny fraction');
like($entry->{data_text}, qr/Größe 流程 🚀/, '... characters of all planes');

# a slash at the end of the base URL is no part of the path
foreach my $slashes ('/', '///')
{
	is(requests_of('SET domowf.base_url = ' . Domowf->literal($domo->url . $slashes)
			  . "; SELECT i.id FROM domowf_start('{$fields, \"data\": {}}') i; RESET domowf.base_url"),
		1, "a base URL that ends with $slashes");
	is($got->{sqlstate}, '', '... leads there');
	is(last_entry()->{target}, '/api/workflow/v1/instances/message', '... by the same path');
}

# ---- sizes

# '{"x": ""}' around the text
my $sized = q(SELECT i.id FROM domowf_start(jsonb_build_object(
	'messageName', 'm', 'version', '1', 'modelId', 'big',
	'data', jsonb_build_object('x', repeat('a', 1024 * 1024 - 9 + %d)))) i);

is(requests_of(sprintf $sized, 0), 1, '1 MB of data is sent');
is($got->{sqlstate}, '', '1 MB of data is accepted') or diag $got->{err};
$entry = last_entry();
is(length $entry->{data}{x}, 1024 * 1024 - 9, 'all of it arrived');
is(requests_of(sprintf $sized, 1), 0, '1 MB + 1 byte of data is not sent');
is($got->{sqlstate}, '22023', '1 MB + 1 byte of data is refused');
like($got->{message}, qr/1048577 bytes/, 'the message has the size');

# ---- ids are one path segment each

foreach my $odd (
	'...', 'a?b=c', 'a#b', '100%', 'a%2Fb', 'two words', 'a+b&c=d;e',
	q(quote"'), 'back\\slash', 'Größe-流程-🚀', '~._-', 'http:evil.com')
{
	check_id($odd, '38404', '');
}
is($violations, 0, 'so far every request was as the page wants it');

# Encoded just as well, but Domo's page has no such ids: the stand-in says 400,
# and counts a violation for what it had to decode.
foreach my $odd (
	'a/b', '/', '../../x', 'http://evil.com/', "new\nline",
	"cr\r\nX-Evil: 1", "tab\t")
{
	check_id($odd, '38400', '38400');
}
$violations = 0;

# A cancel and a permission change with an id.
sub check_id
{
	my ($odd, $cancel_state, $permissions_state) = @_;
	(my $name = encoded($odd)) =~ s/%/\\x/g;

	is(requests_of(Domowf->cancel_sql($odd)), 1, "$name: cancel sends");
	$entry = last_entry();
	is($entry->{id}, $odd, "$name: cancel's id arrives");
	is( $entry->{target},
		'/api/workflow/v1/instances/' . encoded($odd) . '/cancel',
		"$name: cancel's id is encoded once");
	is($got->{sqlstate}, $cancel_state, "$name: cancel's outcome");

	is(requests_of(Domowf->permissions_sql($odd)),
		1, "$name: set_permissions sends");
	is( last_entry()->{target},
		'/api/workflow/v1/models/' . encoded($odd) . '/permissions',
		"$name: set_permissions' id is encoded once");
	is($got->{sqlstate}, $permissions_state, "$name: its outcome");
	return;
}

foreach my $bad ('', '.', '..')
{
	foreach my $operation (qw(start cancel set_permissions))
	{
		is( requests_of(Domowf->operation_sql($operation, $bad)),
			0, "$operation: '$bad' is not sent");
		is($got->{sqlstate}, '22023', "$operation: '$bad' is refused");
	}
}

# ---- cancel and permissions

is(requests_of(Domowf->cancel_sql($id)), 1, 'a cancel sends one request');
is($got->{out}, $id, 'a cancel returns the instance');
$entry = last_entry();
is($entry->{body}, '', 'a cancel has no body');
is($domo->instance($id)->{status}, 'CANCELED', 'the instance is cancelled');

$session->run(
	'CREATE TABLE started AS SELECT i.* FROM domowf_start(\'{'
	  . $fields
	  . ', "data": {}}\') i');
is( requests_of(
		'SELECT i.id FROM started s, domowf_cancel(to_jsonb(s)) i'),
	1,
	'to_jsonb() of an instance row is a request to cancel it');
is($got->{sqlstate}, '', '... which succeeds') or diag $got->{err};

my $entries = '[{"id": "1", "type": "USER", "name": "Zoë",'
  . ' "permissions": ["READ", "EXECUTE"]},'
  . ' {"id": "2", "type": "GROUP", "permissions": ["ADMIN"]}]';
is( requests_of(
		"SELECT * FROM domowf_set_permissions('{\"modelId\": \"m-1\","
		  . " \"permissions\": $entries}')"),
	1,
	'set_permissions sends one request');
is( $got->{out},
	"1|USER|Zoë|{READ,EXECUTE}\n2|GROUP||{ADMIN}",
	'set_permissions returns the entries');
is(last_entry()->{operation}, 'set_permissions', 'it is that operation');
is_deeply(
	$domo->permissions('m-1'),
	[
		{
			id => '1',
			type => 'USER',
			name => 'Zoë',
			permissions => [ 'READ', 'EXECUTE' ]
		},
		{ id => '2', type => 'GROUP', permissions => ['ADMIN'] }
	],
	'Domo has the entries');

# ---- in statements that do more

$session->run('CREATE TABLE log (at timestamptz, LIKE domowf_instance)');
is( requests_of(
		"INSERT INTO log SELECT now(), i.* FROM domowf_start('{$fields,"
		  . " \"data\": {\"in\": \"log\"}}') i"),
	1,
	'INSERT ... SELECT i.* calls once');
is( $session->value('SELECT id FROM log'),
	last_entry()->{instance},
	'the row has the id');
is( requests_of("SELECT (domowf_start('{$fields, \"data\": {}}')).*"),
	0, 'an expanded result calls not at all');
is($got->{sqlstate}, '0A000', 'an expanded result is refused');

# ---- NULL

foreach my $call (
	'domowf_start(NULL::jsonb)', 'domowf_cancel(NULL::jsonb)',
	'domowf_cancel(NULL::text)', 'domowf_set_permissions(NULL)',
	q(domowf_set_permissions(NULL, '[]')), q(domowf_set_permissions('m', NULL)),
	'domowf_start_all(NULL)', q(domowf_start_all('{}', NULL)))
{
	is(requests_of("SELECT * FROM $call"), 0, "$call: nothing is sent");
	is($got->{sqlstate}, '22004', "$call: 22004");
}

# ---- who may call

my %calls = (
	'domowf_start(jsonb)' => Domowf->start_sql('m'),
	'domowf_start(text,jsonb)' => q(SELECT * FROM domowf_start('w', '{}')),
	'domowf_start_all(jsonb[],int)' => "SELECT * FROM domowf_start_all('{}')",
	'domowf_cancel(jsonb)' => q(SELECT * FROM domowf_cancel('{"id": "i"}'::jsonb)),
	'domowf_cancel(text)' => Domowf->cancel_sql('i'),
	'domowf_set_permissions(jsonb)' => q(SELECT * FROM domowf_set_permissions(
		'{"modelId": "m", "permissions": [{"id": "1", "type": "USER",
		  "permissions": ["READ"]}]}')),
	'domowf_set_permissions(text,jsonb)' => Domowf->permissions_sql('m'));
my $own = $session->value(
	q(SELECT string_agg(oid::regprocedure::text, ' ' ORDER BY oid::regprocedure::text COLLATE "C")
	  FROM pg_proc WHERE proname ~ '^domowf_(start|start_all|cancel|set_permissions)$'));

is($own,
	join(' ', sort map { s/int\)/integer)/r } keys %calls),
	'these are all the calls');
$session->run('CREATE ROLE ordinary LOGIN');

my $ordinary = Domowf->session($node, user => 'ordinary');
foreach my $call (sort keys %calls)
{
	is(requests_of($calls{$call}, $ordinary),
		0, "$call: an ordinary role sends nothing");
	is($got->{sqlstate}, '42501', "$call: an ordinary role may not");
	$session->run("GRANT EXECUTE ON FUNCTION $call TO ordinary");
	requests_of($calls{$call}, $ordinary);
	isnt($got->{sqlstate}, '42501', "$call: with a GRANT it may");
}
requests_of($calls{'domowf_start(jsonb)'}, $ordinary);
is($got->{sqlstate}, '', 'and the configured token is used for it');
$ordinary->quit;

# ---- where nothing may be written, nothing may be called

$session->run('SET default_transaction_read_only = on');
foreach my $call (sort keys %calls)
{
	is(requests_of($calls{$call}), 0, "$call: read only, nothing is sent");
	is($got->{sqlstate}, '25006', "$call: read only, refused");
}
$session->run('RESET default_transaction_read_only');

$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
my $on_standby = Domowf->session($standby);
foreach my $call (sort keys %calls)
{
	is(requests_of($calls{$call}, $on_standby),
		0, "$call: on a standby nothing is sent");
	is($got->{sqlstate}, '25006', "$call: on a standby refused");
}
$on_standby->quit;
$standby->stop;

# ---- the library loaded at server start; until here it was loaded by use

$session->quit;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'domowf'\n");
$node->restart;
$session = Domowf->session($node);
is(requests_of(Domowf->start_sql('preloaded')), 1, 'preloaded, a start sends');
is($got->{sqlstate}, '', 'preloaded, a start succeeds') or diag $got->{err};
$session->quit;

is($violations + $domo->stats->{violations},
	0, 'every other request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
