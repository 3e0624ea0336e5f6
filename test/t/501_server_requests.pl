
# Requests and triggers that go to a server: what they need is copied when they
# are enqueued, rights are checked then and before each attempt, and what cannot
# go waits, says why, and goes on.  Exists because a server, its owner, a mapping
# or a privilege may be gone, or be another one, by the time that a request is
# sent: then nothing may be sent, nor anything lost.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($home_token, $eu_token, $all_token) =
  map { "$_-0123456789-abcdef" } qw(home-token eu-token all-token);
my $secret = qr/(?:home|eu|all)-token-\w+/;
my $home = Domo->new(tokens => [$home_token]);
my $eu = Domo->new(tokens => [ $eu_token, $all_token ]);
my $node = Domowf->start_node('main', $home,
	preload => 1, conf => "domowf.poll_interval = '200ms'\n");
my $session = Domowf->session($node);
my ($got, $id, @ids);

$session->value(sprintf <<'END', $eu->url, $eu_token);
CREATE ROLE app LOGIN; CREATE ROLE other LOGIN; CREATE ROLE shop LOGIN;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app, other, shop;
CREATE SERVER eu FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
GRANT USAGE ON FOREIGN SERVER eu TO app, other;
CREATE USER MAPPING FOR app SERVER eu OPTIONS (token '%s');
INSERT INTO domowf.workflow (name, model_id, version, message_name, server)
VALUES ('there', 'm', '1.0.0', 's', 'eu'), ('here', 'm', '1.0.0', 's', NULL);
END
my ($app, $other) = map { Domowf->session($node, user => $_) } qw(app other);

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

# That a request waits, and the view and domowf_check() say why.
sub waits
{
	my ($name, $request, $why) = @_;

	until_true("SELECT count(*) > 0 FROM domowf.connection WHERE state = 'waiting'"
		  . " AND server = 'eu' AND reason ~ '$why'", "$name: the view says why");
	is($session->request($request), 'queued', '... it waits');
	is($session->value(q{SELECT ok, detail ~ '} . $why
			  . q{' FROM domowf_check() WHERE check_name = 'servers'}),
		'f|t', '... and domowf_check() says so');
	is($session->request($request, 'attempts'), 0, '... without an attempt');
	return;
}

sub goes_on
{
	my ($name, $request) = @_;

	is($session->outcome($request), 'done', "$name: it goes on");
	return;
}

# ---- each to its own

is($app->outcome($app->enqueue('there', 'a 1')), 'done', 'a workflow of a server');
is($app->outcome($app->enqueue('here', 'a 2')), 'done', 'one of the settings');
is($eu->started('a 1') . $home->started('a 1'), '10', 'the one is there');
is($eu->started('a 2') . $home->started('a 2'), '01', 'the other here');
$id = $app->value(q(SELECT domowf_enqueue_call('start', '{"server": "eu",
	"messageName": "s", "version": "1.0.0", "modelId": "m", "data": {"n": "a 3"}}')));
is($app->outcome($id), 'done', 'a call that is enqueued');
is($eu->started('a 3'), 1, 'is there');
my $instance = $session->request($id, 'instance_id');
$id = $app->value("SELECT domowf_enqueue_call('cancel', '{\"server\": \"eu\", \"id\": \"$instance\"}')");
is($app->outcome($id), 'done', 'a cancel, too');
is($session->value("SELECT server FROM domowf.log WHERE id = $id"), 'eu',
	'the log has the server');
my $permissions = q('{"server": "eu", "modelId": "m", "permissions":
	[{"id": "1", "type": "USER", "permissions": ["READ"]}]}');
$id = $app->value("SELECT domowf_enqueue_call('set_permissions', $permissions)");
is($app->outcome($id), 'done', 'permissions');
is($session->value("SELECT order_space || order_key FROM domowf.log WHERE id = $id"),
	'model:eum', '... go by the server and the model');

# ---- rights, when it is asked for

foreach my $case (
	[ $other, q(SELECT domowf_enqueue('there')), '55000', qr/no user mapping/ ],
	[ $other, q(SELECT domowf_enqueue_call('cancel', '{"server": "eu", "id": "x"}')), '55000', qr/no user mapping/ ],
	[ $app, q(SELECT domowf_enqueue_call('cancel', '{"server": "us", "id": "x"}')), '42704', qr/does not exist/ ])
{
	my ($who, $sql, $code, $words) = @$case;

	$got = $who->run($sql);
	is($got->{sqlstate}, $code, "$sql: $code") or diag $got->{err};
	like($got->{message}, $words, '... says why');
}
$session->value('REVOKE USAGE ON FOREIGN SERVER eu FROM other');
is($other->run(q(SELECT domowf_enqueue('there')))->{sqlstate},
	'42501', 'without USAGE');

# ---- before each attempt: the privilege, the mapping, the server, its owner

sub hold_and
{
	my ($name, $what, $why, $mend) = @_;

	$session->value('SELECT domowf_pause()');
	$id = $app->enqueue('there', $name);
	$session->value("$what; SELECT domowf_resume()");
	waits($name, $id, $why);
	is($app->outcome($app->enqueue('here', "$name, here")), 'done',
		'... and holds up nobody else');
	$session->value($mend);
	goes_on($name, $id);
	is($eu->arrived($name) . $home->arrived($name), '10', '... once');
	return;
}

hold_and('no USAGE', 'REVOKE USAGE ON FOREIGN SERVER eu FROM app',
	'permission denied', 'GRANT USAGE ON FOREIGN SERVER eu TO app');
hold_and('no mapping', 'DROP USER MAPPING FOR app SERVER eu',
	'no user mapping',
	"CREATE USER MAPPING FOR app SERVER eu OPTIONS (token '$eu_token')");
hold_and('the mapping of all', 'DROP USER MAPPING FOR app SERVER eu',
	'no user mapping',
	"CREATE USER MAPPING FOR PUBLIC SERVER eu OPTIONS (token '$all_token')");
$session->value("CREATE USER MAPPING FOR app SERVER eu OPTIONS (token '$eu_token')");
hold_and('no server', 'ALTER SERVER eu RENAME TO gone', 'does not exist',
	'ALTER SERVER gone RENAME TO eu');
$session->value('GRANT USAGE ON FOREIGN DATA WRAPPER domowf TO shop');
hold_and('another owner', 'ALTER SERVER eu OWNER TO shop',
	'cannot be used|another owner',
	'ALTER SERVER eu OWNER TO CURRENT_USER; GRANT USAGE ON FOREIGN SERVER eu TO app');
hold_and('another server of the name',
	'ALTER SERVER eu RENAME TO old; CREATE SERVER eu FOREIGN DATA WRAPPER domowf'
	  . ' OPTIONS (instance \'acme\'); ALTER SERVER eu OWNER TO shop;'
	  . ' GRANT USAGE ON FOREIGN SERVER eu TO app;'
	  . ' CREATE USER MAPPING FOR PUBLIC SERVER eu OPTIONS (token \'x\')',
	'another owner', 'DROP SERVER eu CASCADE; ALTER SERVER old RENAME TO eu');

# ---- a person who sends one again takes what the registry says now

$eu->script('status:403', count => 1);
$id = $app->enqueue('there', 'again');
is($app->outcome($id), 'rejected', 'one that was rejected');
$session->value(q(UPDATE domowf.workflow SET server = NULL WHERE name = 'there'));
$app->value("SELECT domowf_retry($id)");
is($app->outcome($id), 'done', '... is sent again');
is($home->started('again'), 1, '... where its workflow is now');
$session->value(q(UPDATE domowf.workflow SET server = 'eu' WHERE name = 'there'));
$eu->script('status:403', count => 1);
$id = $app->enqueue('there', 'once more');
is($app->outcome($id), 'rejected', 'another one');
$session->value('REVOKE USAGE ON FOREIGN SERVER eu FROM app');
$got = $session->run("SELECT domowf_retry($id)");
is($got->{sqlstate}, '42501', '... is not, where the role may not any more')
  or diag $got->{err};
$session->value('GRANT USAGE ON FOREIGN SERVER eu TO app');
$app->value("SELECT domowf_retry($id)");
is($app->outcome($id), 'done', '... and is, where it may');

# a call names its server itself
$eu->script('status:403', count => 1);
$id = $app->value(q(SELECT domowf_enqueue_call('start', '{"server": "eu",
	"messageName": "s", "version": "1.0.0", "modelId": "m", "data": {"n": "a call"}}')));
is($app->outcome($id), 'rejected', 'a call that was rejected');
$session->value('ALTER SERVER eu RENAME TO gone');
$got = $app->run("SELECT domowf_retry($id)");
is("$got->{sqlstate} $got->{message}", '42704 server "eu" does not exist',
	'... is not sent again, where its server is gone');
is($session->request($id), 'rejected', '... and stays what it is');
$session->value('ALTER SERVER gone RENAME TO eu');
$app->value("SELECT domowf_retry($id)");
is($app->outcome($id), 'done', '... until it is there');
is($eu->arrived('a call'), 2, '... once more');

# ---- triggers go by the owner of their table

$session->value('GRANT CREATE ON SCHEMA public TO shop');
my $shop = Domowf->session($node, user => 'shop');
$shop->value(q(CREATE TABLE orders (n text);
	CREATE TRIGGER start AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('there', 'n'); GRANT INSERT ON orders TO other));
$got = $other->run(q(INSERT INTO orders VALUES ('row 1')));
is($got->{sqlstate}, '42501', 'a trigger whose owner has no USAGE');
$session->value('GRANT USAGE ON FOREIGN SERVER eu TO shop');
$other->value(q(INSERT INTO orders VALUES ('row 1')));
until_true(q(SELECT count(*) = 1 FROM domowf.log WHERE source = 'public.orders'
	AND requested_by = 'other' AND outcome = 'done'),
	'one whose owner has it, and he alone');
is($eu->started('row 1'), 1, 'is there');

# ---- nothing of a token

unlike($session->value('SELECT string_agg(l::text, $$ $$) FROM domowf.log l')
	  . $session->value('SELECT coalesce(string_agg(q::text, $$ $$), $$$$) FROM domowf.queue q')
	  . $session->value('SELECT string_agg(c::text, $$ $$) FROM domowf.connection c')
	  . Domowf->log_since($node), $secret, 'no token in tables, views and log');
ok(!(grep { !$_->{token_ok} } $home->record, $eu->record),
	'no token of one has come to the other');
is_deeply([ map { $_->{violations} } $home->violations, $eu->violations ],
	[], 'Domo had no complaints');
done_testing();
