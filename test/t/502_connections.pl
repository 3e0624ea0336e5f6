
# Connections of the worker: each server and token has its own pause, limit and
# rate, and they are served in turn.  Exists because one Domo that is down, slow,
# refused or at its limit must not hold up another one.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @tokens = map { "$_-0123456789-abcdef" } qw(home-token one-token two-token);
my ($home_token, $one_token, $two_token) = @tokens;
my $home = Domo->new(tokens => [$home_token]);
my $eu = Domo->new(tokens => [ $one_token, $two_token ]);
my $node = Domowf->start_node(
	'main', $home,
	preload => 1,
	conf => <<'END');
domowf.poll_interval = '200ms'
domowf.retry_base = '2h'
domowf.retry_cap = '2h'
domowf.max_connections = 8
END
my $session = Domowf->session($node);
my ($id, @ids);

$session->value(sprintf <<'END', $eu->url, $one_token, $two_token);
CREATE ROLE one LOGIN; CREATE ROLE two LOGIN;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO one, two;
GRANT USAGE ON SCHEMA domowf TO one;
GRANT SELECT ON domowf.connection TO one;
CREATE SERVER eu FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
GRANT USAGE ON FOREIGN SERVER eu TO one, two;
CREATE USER MAPPING FOR one SERVER eu OPTIONS (token '%s');
CREATE USER MAPPING FOR PUBLIC SERVER eu OPTIONS (token '%s');
INSERT INTO domowf.workflow (name, model_id, version, message_name, server)
VALUES ('there', 'm', '1.0.0', 's', 'eu'), ('here', 'm', '1.0.0', 's', NULL);
END
my ($one, $two) = map { Domowf->session($node, user => $_) } qw(one two);

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub connection
{
	my ($columns, $where) = @_;

	return $session->value("SELECT $columns FROM domowf.connection WHERE $where");
}

sub enqueue_many
{
	my ($role, $workflow, $what, $count) = @_;

	$role->value("SELECT count(domowf_enqueue('$workflow',"
		  . " jsonb_build_object('n', '$what ' || g)))"
		  . " FROM generate_series(1, $count) g");
	return;
}

# ---- a 401 is about one token

is($two->outcome($two->enqueue('there', 'a 1')), 'done', 'all is well');
is($one->outcome($one->enqueue('there', 'a 2')), 'done', '... with the other, too');
is($one->outcome($one->enqueue('here', 'a 3')), 'done', '... and here');
until_true(q{SELECT string_agg(concat_ws('/', server, role, state), ' ' ORDER BY server, role)
	= 'eu/one/idle eu/public/idle idle' FROM domowf.connection}, 'the view shows each');
isnt(($eu->record(contains => 'a 1'))[0]{connection},
	($eu->record(contains => 'a 2'))[0]{connection},
	'they do not share sockets');

$eu->accept_tokens($two_token);
$id = $one->enqueue('there', 'b 1');
until_true(q(SELECT count(*) = 1 FROM domowf.connection WHERE role = 'one'
	AND state = 'paused' AND paused_until > now() AND reason ~ '401'),
	'a token that is refused pauses its connection');
is($two->outcome($two->enqueue('there', 'b 2')), 'done', 'not that of another');
is($one->outcome($one->enqueue('here', 'b 3')), 'done', 'nor that of the settings');
until_true(q(SELECT state = 'idle' FROM domowf.worker), 'the worker is not paused');
is($session->value(q(SELECT ok, detail ~ 'server "eu" is paused'
	FROM domowf_check() WHERE check_name = 'servers')), 'f|t',
	'domowf_check() says so');
is($one->value(q(SELECT reason IS NULL FROM domowf.connection WHERE role = 'one')),
	't', 'what failed is for who may see all requests');
is($session->request($id, 'attempts'), 0, 'it has used no attempt');
$session->value("ALTER USER MAPPING FOR one SERVER eu OPTIONS (SET token '$two_token')");
is($one->outcome($one->enqueue('there', 'b 4')), 'done',
	'with another token it goes on at once');
$session->value("SELECT domowf_retry($id)");
is($session->outcome($id), 'done', '... and so does what was refused');
$eu->accept_tokens($one_token, $two_token);

# ---- one that is down

$session->value(q(INSERT INTO domowf.workflow (name, model_id, version, message_name, server)
	VALUES ('too', 'm', '1.0.0', 's', 'eu')));
$eu->script('status:503', count => undef);
enqueue_many($two, $_, 'c', 4) foreach qw(there too);
until_true(q(SELECT count(*) = 1 FROM domowf.connection WHERE role = 'public'
	AND state = 'paused'), 'one that fails in every lane is paused');
is($one->outcome($one->enqueue('here', 'c 2')), 'done', '... it alone');
$eu->clear_script;
$session->value('SELECT domowf_resume()');
until_true(q(SELECT count(*) = 0 FROM domowf.queue WHERE state = 'queued'),
	'domowf_resume() ends that pause, too');

# it has one workflow, whose rest is that of the connection; there are more
# requests than can be sent before the first of them has failed
$eu->script('status:503', count => undef);
enqueue_many($two, 'there', 'c alone', 40);
until_true(q(SELECT count(*) = 1 FROM domowf.connection WHERE server = 'eu' AND role = 'public'
	AND state = 'paused' AND paused_until > now() AND reason ~ 'there.* rests after failures'),
	'one that fails in its only lane is paused');
is($session->value(q(SELECT ok, detail ~ 'server "eu" is paused: .*there.* rests'
	FROM domowf_check() WHERE check_name = 'servers')), 'f|t',
	'... domowf_check() says so');
is($one->value(q(SELECT reason IS NULL FROM domowf.connection WHERE server = 'eu' AND role = 'public')),
	't', '... and why to who may see all requests');
is($one->outcome($one->enqueue('here', 'c 4')), 'done', '... that of the settings is not');
until_true(q(SELECT state = 'idle' FROM domowf.worker), '... nor is the worker');
$eu->clear_script;
$session->value('SELECT domowf_resume()');
until_true(q(SELECT count(*) = 0 FROM domowf.queue WHERE state = 'queued'), '... and goes on');
until_true(q(SELECT bool_and(ok) FROM domowf_check()), '... when all is well');

# that of the settings is refused, while a server is busy, so that the worker is not paused
$eu->script('gate:busy', count => undef, contains => 'c busy');
enqueue_many($two, 'there', 'c busy', 1);
$eu->wait_for(held => '=1');
$home->accept_tokens('another-token-0123456789-abcdef');
enqueue_many($one, 'here', 'c refused', 3);
until_true(q(SELECT count(*) = 1 FROM domowf.connection WHERE server IS NULL AND state = 'paused'),
	'the token of the settings is refused');
is($session->value(q(SELECT state FROM domowf.worker)), 'sending', '... while a server is busy');
is($session->value(q(SELECT ok, detail ~ 'connection of the settings is paused: .*401'
	FROM domowf_check() WHERE check_name = 'worker')), 'f|t', '... domowf_check() says so');
$home->accept_tokens($home_token);
$session->value(q(SELECT domowf_retry(id) FROM domowf.queue WHERE state = 'queued'; SELECT domowf_resume()));
$eu->release('busy');
$eu->clear_script;
until_true(q(SELECT count(*) = 0 FROM domowf.queue WHERE state = 'queued'), '... and goes on');
until_true(q(SELECT bool_and(ok) FROM domowf_check()), '... when all is well');

# ---- one that is slow: what it has in flight leaves room for others

$eu->script('gate:slow', count => undef, contains => 'slow');
enqueue_many($two, 'there', 'slow', 30);
ok($eu->wait_for(held => 4), 'a slow one is full');
is($one->outcome($one->enqueue('here', 'd 1')), 'done', 'another one gets through');
enqueue_many($one, 'here', 'd', 20);
until_true(q(SELECT count(*) = 0 FROM domowf.queue WHERE workflow = 'here'),
	'as often as it has to');
is($eu->stats->{held}, 4, 'it takes no more than half, though nothing else is due');
until_true(q(SELECT in_flight = 4 FROM domowf.connection WHERE role = 'public'),
	'the view counts what is in flight');
$eu->release('slow');
until_true(q(SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'),
	'all is sent in the end');

# two that hang, before anything was sent to a third one
$eu->clear_script;
$eu->script('gate:hung', count => undef, contains => 'hung');
$session->value('SELECT domowf_pause()');
enqueue_many($_, 'there', 'hung', 30) foreach $two, $one;
$session->value('SELECT pg_terminate_backend(pid, 60000) FROM domowf.worker');
$session->value('SELECT domowf_resume()');
ok($eu->wait_for(held => '=7'), 'two that hang leave a place');
until_true(q(SELECT count(*) = 2 AND max(in_flight) = 4 FROM domowf.connection
	WHERE server IS NOT NULL AND in_flight >= 3), '... one has half, the other less');
is($one->outcome($one->enqueue('here', 'd 2')), 'done',
	'... so that one to which nothing was sent before need not wait');
$eu->release('hung');
until_true(q(SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'),
	'all is sent in the end');

# of two that have something to send each gets half, where there is no other
$session->value('DROP USER MAPPING FOR one SERVER eu');
$eu->clear_script;
$eu->script('gate:half', count => undef, contains => 'half');
$home->script('gate:half', count => undef, contains => 'half');
$session->value(q(SELECT domowf_pause()));
enqueue_many($two, 'there', 'half', 30);
enqueue_many($one, 'here', 'half', 30);
$session->value(q(SELECT domowf_resume()));
ok($_->wait_for(held => '=4'), 'half of the places') foreach $eu, $home;
$_->release('half') foreach $eu, $home;
until_true(q(SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'),
	'... until all are sent');
$session->value("CREATE USER MAPPING FOR one SERVER eu OPTIONS (token '$one_token')");

# ---- its own limit

$session->value(q(ALTER SERVER eu OPTIONS (ADD max_connections '2')));
$eu->script('gate:two', count => undef, contains => 'limit');
enqueue_many($two, 'there', 'limit', 10);
ok($eu->wait_for(held => 2), 'as many as its max_connections');
is($one->outcome($one->enqueue('here', 'e 1')), 'done', '... others go on');
is($eu->stats->{held}, 2, '... and no more');
$eu->release('two');
until_true(q(SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'),
	'... which are sent one after the other');

# ---- its own rate

$session->value(q(ALTER SERVER eu OPTIONS (ADD rate_limit '1')));
my $before = $eu->stats->{requests};
enqueue_many($two, 'there', 'rate', 5);
ok($eu->wait_for(requests => $before + 1), 'its rate lets one go');
enqueue_many($one, 'here', 'f', 20);
until_true(q(SELECT count(*) = 0 FROM domowf.queue WHERE workflow = 'here'),
	'... others have none');
cmp_ok($eu->stats->{requests}, '<=', $before + 2, '... and it waits');
$session->value(q(ALTER SERVER eu OPTIONS (DROP rate_limit)));
until_true(q(SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'),
	'... until it need not');

# ---- a catalog that is locked: what has changed is looked at later

my $holder = Domowf->session($node);
$eu->clear_script;
my $offset = Domowf->log_size($node);
# a session that has looked at the servers before does not read them again
$session->value("ALTER USER MAPPING FOR one SERVER eu OPTIONS (SET token '$two_token')");
is($one->outcome($one->enqueue('there', 'before')), 'done', 'a token');
$holder->value('BEGIN; LOCK TABLE pg_foreign_server');
$session->value("ALTER USER MAPPING FOR one SERVER eu OPTIONS (SET token '$one_token')");
$node->wait_for_log(qr/lock timeout/, $offset);
$holder->value('ROLLBACK');
$eu->accept_tokens($one_token);
is($one->outcome($one->enqueue('there', 'after')), 'done',
	'the servers could not be looked at when it changed: the new one is sent');
$eu->accept_tokens($one_token, $two_token);
$holder->quit;

# ---- a database of servers alone

$session->configure('domowf.base_url', '');
$session->configure('domowf.token', '');
ok(Domowf->until_taken_up($node), 'no setting');
is($two->outcome($two->enqueue('there', 'g 1')), 'done', 'servers need none');
until_true(q(SELECT state = 'idle' FROM domowf.worker), '... and the worker is not paused for it');
until_true(q(SELECT count(*) = 0 FROM domowf_check() WHERE NOT ok), '... nor is anything wrong');

# what a role that is dropped has asked for
$session->value(q(SELECT domowf_pause()));
$session->value(<<'END');
CREATE ROLE gone;
GRANT USAGE ON FOREIGN SERVER eu TO gone;
GRANT EXECUTE ON FUNCTION domowf_enqueue(text, jsonb, text, text, timestamptz, timestamptz) TO gone;
SET ROLE gone;
END
$id = $session->enqueue('there', 'of nobody');
$session->value(q(RESET ROLE; DROP OWNED BY gone; DROP ROLE gone; SELECT domowf_resume()));
is($session->outcome($id), 'rejected', 'what a role that is dropped has asked for is rejected');
is(scalar $eu->record(contains => 'of nobody'), 0, '... and not sent');

ok(!(grep { !$_->{token_ok} && $_->{status} != 401 } $eu->record),
	'no token has come where it does not belong');
ok(!(grep { !$_->{token_ok} && $_->{status} != 401 } $home->record), '... nor to the other host');
is_deeply([ map { $_->{violations} } $home->violations, $eu->violations ],
	[], 'Domo had no complaints');
done_testing();
