
# What the options of a server do, each of them and not the setting of its name,
# for calls and for requests; and whose mapping counts where several roles share
# one session, as behind a pooler.  Exists because an option that is read and not
# used, or a token that a session keeps for the next role, is seen by nobody
# until it matters.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/could not (?:start|send)/, qr/Domo refused/);

my @tokens = map { "$_-0123456789-abcdef" } qw(home-token app-token other-token);
my ($home_token, $app_token, $other_token) = @tokens;
my $home = Domo->new(tokens => [$home_token]);
my $eu = Domo->new(tls => 1, tokens => [ $app_token, $other_token ]);
my $node = Domowf->start_node(
	'main', $home,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.timeout = '10min'
domowf.connect_timeout = '10min'
END
my $session = Domowf->session($node);
my ($got, $id);

$session->value(sprintf <<'END', $app_token, $other_token, $app_token);
CREATE ROLE app LOGIN; CREATE ROLE other; CREATE ROLE pooler LOGIN NOINHERIT;
GRANT app, other TO pooler;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app, other, pooler;
GRANT SET ON PARAMETER domowf.proxy, domowf.ca_file, domowf.base_url TO app;
CREATE SERVER eu FOREIGN DATA WRAPPER domowf;
GRANT USAGE ON FOREIGN SERVER eu TO app, other;
CREATE USER MAPPING FOR app SERVER eu OPTIONS (token '%s');
CREATE USER MAPPING FOR other SERVER eu OPTIONS (token '%s');
CREATE USER MAPPING FOR CURRENT_USER SERVER eu OPTIONS (token '%s');
INSERT INTO domowf.workflow (name, model_id, version, message_name, server)
VALUES ('there', 'm', '1.0.0', 's', 'eu'), ('here', 'm', '1.0.0', 's', NULL);
END
my $app = Domowf->session($node, user => 'app');

sub start_on_eu
{
	my ($n) = @_;

	return sprintf q{SELECT i.id IS NOT NULL FROM domowf_start(jsonb_build_object(
		'server', 'eu', 'messageName', 'Start it', 'version', '1.0.0',
		'modelId', 'm', 'data', jsonb_build_object('n', '%s'))) i}, $n;
}

# The server has these options and no others.
sub set_options
{
	my (%option) = @_;
	my $names = $session->value(
		q{SELECT string_agg('DROP ' || option_name, ', ') FROM pg_options_to_table(
			(SELECT srvoptions FROM pg_foreign_server WHERE srvname = 'eu'))});
	my $options = join ', ', map { "ADD $_ '$option{$_}'" } sort keys %option;

	$session->value("ALTER SERVER eu OPTIONS ($names)") if $names;
	$session->value("ALTER SERVER eu OPTIONS ($options)");
	return;
}

sub call
{
	my ($n) = @_;

	$got = $app->run(start_on_eu($n));
	return $got->{sqlstate} || $got->{out};
}

# ---- timeout

# The same once more, where the machine was too slow to send it in that time.
sub timed_out
{
	my ($n) = @_;
	my $code;

	do { $code = call($n) } while ($code eq '38U01' && $got->{message} =~ /timed out/i);
	return $code;
}

set_options(base_url => $eu->url, timeout => '200ms');
$eu->script('gate:never', count => undef, contains => 'slow');
is(timed_out('slow call'), '38U02', 'a call is given up after the timeout of the server');
like($got->{message}, qr/timed out/i, '... for that') or diag $got->{err};
is($app->outcome($id = $app->enqueue('there', 'slow request')), 'in_doubt', 'a request, too');
like($session->request($id, 'error'), qr/timed out/i, '... for that');
$session->value("SELECT domowf_discard($id)");
$app->value(q{SET domowf.timeout = '100ms'});
is(timed_out('slow again'), '38U02', 'whatever a session has');
$eu->clear_script;
set_options(base_url => $eu->url, timeout => '10min');
$eu->script('delay:1000', contains => 'late');
is(call('late call'), 't', 'a longer one than that of the session');
$app->value('RESET domowf.timeout');
$session->configure('domowf.timeout', '100ms');
Domowf->until_taken_up($node) or die;
$session->value('SELECT pg_sleep(0)') until $session->value('SHOW domowf.timeout') eq '100ms';
$eu->script('delay:1000', contains => 'late');
is($app->outcome($app->enqueue('there', 'late request')), 'done', '... or of the configuration');
$session->value('ALTER SYSTEM RESET domowf.timeout; SELECT pg_reload_conf()');
$session->value('SELECT pg_sleep(0)') until $session->value('SHOW domowf.timeout') eq '10min';

# ---- connect_timeout

set_options(base_url => $eu->blackhole_url, connect_timeout => '200ms');
is(call('into a hole'), '38U01', 'connecting ends after the connect_timeout of the server');
$id = $app->enqueue('there', 'into a hole');
ok($node->poll_query_until('postgres',
		"SELECT failures > 0 FROM domowf.queue WHERE id = $id"), '... of a request, too');
set_options(base_url => $eu->url);
is($app->outcome($id), 'done', '... which goes on elsewhere');

# ---- proxy

sub proxied
{
	my ($what) = @_;
	my $before = $eu->stats->{proxied};

	is($what->(), 't', '... it is done');
	return $eu->stats->{proxied} - $before;
}

sub request
{
	my ($workflow, $n) = @_;

	return $app->outcome($app->enqueue($workflow, $n), "state = 'done'");
}

set_options(base_url => $eu->url, proxy => $eu->proxy_url);
is(proxied(sub { call('by proxy') }), 1, 'a call goes through the proxy of its server');
is(proxied(sub { request('there', 'by proxy') }), 1, 'a request, too');
is(proxied(sub { request('here', 'directly') }), 0, '... of that server alone');
$app->value(q{SET domowf.proxy = 'http://127.0.0.1:1'});
is(proxied(sub { call('not by that of a session') }), 1, 'a session\'s proxy changes nothing');
set_options(base_url => $eu->url);
is(proxied(sub { call('by none') }), 0, '... nor where the server has none');
$app->value('RESET domowf.proxy');
$session->configure('domowf.proxy', 'http://127.0.0.1:1');
$session->value('SELECT pg_sleep(0)') until $session->value('SHOW domowf.proxy') ne '';
$app->value('SELECT pg_sleep(0)') until $app->value('SHOW domowf.proxy') ne '';
Domowf->until_taken_up($node) or die;
is(proxied(sub { call('by none') }), 0, '... nor does that of the configuration');
is(proxied(sub { request('there', 'by none') }), 0, '... for requests');
$session->value('ALTER SYSTEM RESET domowf.proxy; SELECT pg_reload_conf()');

# ---- ca_file

set_options(base_url => $eu->tls_url);
is(call('not trusted'), '38U01', 'TLS without the authority that is right');
$app->value(sprintf q{SET domowf.ca_file = '%s'}, $eu->ca_file);
is(call('not trusted'), '38U01', '... which a session\'s ca_file is not');
$app->value('RESET domowf.ca_file');
$id = $app->enqueue('there', 'trusted later');
ok($node->poll_query_until('postgres',
		"SELECT failures > 0 FROM domowf.queue WHERE id = $id"), '... and no request is sent');
is(scalar $eu->record(port => 'tls'), 0, '... nothing at all');
set_options(base_url => $eu->tls_url, ca_file => $eu->ca_file);
is(call('trusted'), 't', 'ca_file of the server names it');
is($app->outcome($id), 'done', '... for requests, too');
is(scalar $eu->record(port => 'tls'), 2, '... by TLS');
set_options(base_url => $eu->tls_url, ca_file => "$FindBin::RealBin/none");
is(call('trusted no more'), '38U01', 'no socket is used that another authority was good for');
set_options(base_url => $eu->tls_url, ca_file => $eu->ca_file);

# ---- one session, several roles

my $pooler = Domowf->session($node, user => 'pooler');

# That what a statement sends has this token.
sub goes_with
{
	my ($name, $token, $sql) = @_;

	$eu->accept_tokens($token);
	$got = $pooler->run($sql);
	$eu->accept_tokens($app_token, $other_token);
	return is($got->{sqlstate} || $got->{out}, 't', $name) || diag $got->{err};
}

sub request_goes_with
{
	my ($name, $token, $sql) = @_;

	$eu->accept_tokens($token);
	is($session->outcome($pooler->value($sql)), 'done', $name);
	$eu->accept_tokens($app_token, $other_token);
	return;
}

my $enqueue = Domowf->enqueue_sql('there', 'pooled');

is($pooler->run(start_on_eu('nobody'))->{sqlstate}, '42501', 'a pooler\'s role may nothing itself');
is($pooler->run($enqueue)->{sqlstate}, '42501', '... nor ask for it');
$pooler->value('SET ROLE app');
goes_with('SET ROLE', $app_token, start_on_eu('p 1'));
request_goes_with('... for requests', $app_token, $enqueue);
$pooler->value('SET ROLE other');
goes_with('another one', $other_token, start_on_eu('p 2'));
request_goes_with('... for requests', $other_token, $enqueue);
is($session->value(q{SELECT string_agg(DISTINCT requested_by, ' ') FROM domowf.log
	WHERE request->'data'->>'n' = 'pooled'}), 'app other', '... each asked in his own name');
$pooler->value('RESET ROLE');
is($pooler->run(start_on_eu('nobody'))->{sqlstate}, '42501', 'and then nobody again');

$pooler->value('BEGIN; SET LOCAL ROLE app');
goes_with('SET LOCAL ROLE', $app_token, start_on_eu('p 3'));
my $asked = $pooler->value($enqueue);
$pooler->value('SAVEPOINT s; SET LOCAL ROLE other');
goes_with('... in a savepoint', $other_token, start_on_eu('p 4'));
$pooler->value('ROLLBACK TO s');
goes_with('... and behind it', $app_token, start_on_eu('p 5'));
$pooler->value('COMMIT');
is($session->outcome($asked), 'done', 'what it has asked for is sent');
is($pooler->run(start_on_eu('nobody'))->{sqlstate}, '42501', '... and ends with the transaction');
$pooler->value('BEGIN; SET LOCAL ROLE other');
request_goes_with('the next client of the session', $other_token, "$enqueue; COMMIT");
$session->value(sprintf q{CREATE FUNCTION start_as_app() RETURNS boolean LANGUAGE sql
	SECURITY DEFINER AS $$%s$$; ALTER FUNCTION start_as_app() OWNER TO app}, start_on_eu('p 6'));
$pooler->value('SET ROLE other');
goes_with('a function goes by its own user', $app_token, 'SELECT start_as_app()');
goes_with('... and its caller by his', $other_token, start_on_eu('p 7'));

ok(!(grep { !$_->{token_ok} } $home->record), 'no token of a server has come to another host');
is_deeply([ map { $_->{violations} } $home->violations, $eu->violations ],
	[], 'Domo had no complaints');
done_testing();
