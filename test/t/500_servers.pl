
# Servers: calls go to the Domo that a server names, with the token of the
# caller's user mapping.  Exists because several Domos meet in one database here:
# a token must never reach another server's host, whatever a session sets, nor
# be shown to anybody whom PostgreSQL would not show it to.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(
	qr/could not open token_file of server "[a-z]+": No such file/,
	qr/could not (?:start|send)/,
	qr/Domo refused/);

my @tokens = map { "$_-0123456789-abcdef" } qw(home-token eu-token all-token);
my ($home_token, $eu_token, $all_token) = @tokens;
my $secret = qr/(?:home|eu|all)-token-\w+/;

# the one of the settings, and that of the servers
my $home = Domo->new(tokens => [$home_token]);
my $eu = Domo->new(tokens => [ $eu_token, $all_token ]);
my $node = Domowf->start_node('main', $home, preload => 1);
my $session = Domowf->session($node);
my $dir = PostgreSQL::Test::Utils::tempdir;
my $got;

sub start_on
{
	my ($server, $model) = @_;

	return sprintf q{SELECT i.id FROM domowf_start(jsonb_build_object(
		'server', '%s', 'messageName', 'Start it', 'version', '1.0.0',
		'modelId', '%s', 'data', '{}'::jsonb)) i}, $server, $model // 'm';
}

# How many requests reach each of the two.
sub sent
{
	my ($in, $sql) = @_;
	my @before = map { $_->stats->{requests} } $home, $eu;

	$got = $in->run($sql);
	return join ',', $home->stats->{requests} - $before[0],
	  $eu->stats->{requests} - $before[1];
}

sub dump_by
{
	my ($role) = @_;
	my ($out, $err) = run_command(
		[ 'pg_dump', '-d', $node->connstr('postgres') . " user=$role" ]);

	is($err, '', "pg_dump by $role");
	return $out;
}

sub refused
{
	my ($name, $in, $sql, $code, $words) = @_;

	is(sent($in, $sql), '0,0', "$name: nothing is sent");
	is($got->{sqlstate}, $code, "... $code") or diag $got->{err};
	like($got->{message}, $words, '... and says why');
	unlike($got->{err}, $secret, '... without a token');
	return;
}

sub goes_to_eu
{
	my ($name, $in, $sql) = @_;

	is(sent($in, $sql), '0,1', "$name: goes to the server");
	is($got->{sqlstate}, '', '... and succeeds') or diag $got->{err};
	return;
}

# ---- options are checked as the settings of their names

foreach my $case (
	[ "base_url 'ftp://x'", '22023', qr/domowf\.base_url/ ],
	[ "base_url 'http://example.com'", '22023', qr/domowf\.base_url/ ],
	[ "instance 'a b'", '22023', qr/domowf\.instance/ ],
	[ "proxy 'socks5://x'", '22023', qr/domowf\.proxy/ ],
	[ "timeout 'soon'", '22023', qr/domowf\.timeout/ ],
	[ "connect_timeout '0'", '22023', qr/domowf\.connect_timeout/ ],
	[ "max_connections '0'", '22023', qr/domowf\.max_connections/ ],
	[ "rate_limit '-1'", '22023', qr/domowf\.rate_limit/ ],
	[ "token 'x'", 'HV00D', qr/invalid option "token"/ ])
{
	my ($options, $code, $words) = @$case;

	$got = $session->run("CREATE SERVER bad FOREIGN DATA WRAPPER domowf OPTIONS ($options)");
	is($got->{sqlstate}, $code, "OPTIONS ($options) of a server: $code");
	like($got->{message}, $words, '... says which');
}
is($got->{hint},
	'Valid options in this context are: base_url, ca_file, connect_timeout,'
	  . ' instance, max_connections, proxy, rate_limit, timeout.',
	'an unknown option: those that there are');
$session->value("CREATE SERVER wide FOREIGN DATA WRAPPER domowf OPTIONS (
	instance 'acme', proxy 'http://localhost:1', ca_file '/x', timeout '5s',
	connect_timeout '100ms', max_connections '3', rate_limit '60')");
foreach my $case (
	[ "token 'a b'", '22023', qr/domowf\.token/ ],
	[ "token 'a', token_file 'b'", '42601', qr/not both/ ],
	[ "user 'x'", 'HV00D', qr/invalid option "user"/ ])
{
	my ($options, $code, $words) = @$case;

	$got = $session->run("CREATE USER MAPPING FOR PUBLIC SERVER wide OPTIONS ($options)");
	is($got->{sqlstate}, $code, "OPTIONS ($options) of a mapping: $code");
	like($got->{message}, $words, '... says which');
	unlike($got->{message} . $got->{detail}, qr/a b/, '... not what it is');
}

# ---- a server and its mappings

$session->value(sprintf q{
	CREATE ROLE app LOGIN; CREATE ROLE other LOGIN; CREATE ROLE stranger LOGIN;
	CREATE ROLE reader LOGIN;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app, other, stranger;
	CREATE SERVER eu FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
	GRANT USAGE ON FOREIGN SERVER eu TO app, other;
	GRANT SET ON PARAMETER domowf.base_url, domowf.proxy, domowf.ca_file TO app;
	CREATE USER MAPPING FOR app SERVER eu OPTIONS (token '%s')},
	$eu->url, $eu_token);
my $app = Domowf->session($node, user => 'app');
my $other = Domowf->session($node, user => 'other');
my $stranger = Domowf->session($node, user => 'stranger');

goes_to_eu('a start', $app, start_on('eu'));
is(sent($app, Domowf->start_sql('m')), '1,0', 'without one: the settings');
goes_to_eu('a cancel', $app,
	q(SELECT i.id FROM domowf_start(jsonb_build_object('server', 'eu',
	'messageName', 's', 'version', '1.0.0', 'modelId', 'm', 'data', '{}'::jsonb)) i));
goes_to_eu('a cancel', $app,
	"SELECT i.id FROM domowf_cancel('{\"server\": \"eu\", \"id\": \"$got->{out}\"}'::jsonb) i");
goes_to_eu('permissions', $app,
	q(SELECT count(*) FROM domowf_set_permissions('{"server": "eu", "modelId": "m",
	"permissions": [{"id": "1", "type": "USER", "permissions": ["READ"]}]}')));
is(sent($app, q(SELECT domowf_cancel('{"id": "x", "server": null}'::jsonb))),
	'1,0', 'no server is none');
refused('a server that is a number', $app,
	q(SELECT domowf_cancel('{"id": "x", "server": 1}'::jsonb)),
	'22023', qr/key "server" is a number/);

refused('no such server', $app, start_on('mars'), '42704',
	qr/server "mars" does not exist/);
refused('another wrapper\'s', $session, start_on('domowf_worker'), '42809',
	qr/none of foreign data wrapper domowf/);
refused('no USAGE', $stranger, start_on('eu'), '42501', qr/permission denied/);
refused('no mapping', $other, start_on('eu'), '55000',
	qr/no user mapping for "other"/);
$session->value("CREATE USER MAPPING FOR PUBLIC SERVER eu OPTIONS (token '$all_token')");
$eu->accept_tokens($all_token);
goes_to_eu('PUBLIC\'s mapping', $other, start_on('eu'));
is(sent($app, start_on('eu')), '0,1', 'who has one of his own');
is($got->{sqlstate}, '38401', '... sends that one');
unlike($got->{err}, $secret, '... and is not shown it');
$eu->accept_tokens($eu_token, $all_token);

# ---- no setting of a session has anything to do with it

foreach my $set (
	sprintf("SET domowf.base_url = '%s'", $home->url),
	q(SET domowf.proxy = 'http://127.0.0.1:1'),
	q(SET domowf.ca_file = '/nothing'),
	"SET domowf.token = '$home_token'")
{
	my ($what) = $set =~ /(domowf\.\w+)/;

	$app->value($set);
	goes_to_eu($what, $app, start_on('eu'));
	$app->value("RESET $what");
}
$session->configure('domowf.base_url', '');
$app->value(q(SELECT pg_sleep(0)))
  until $app->value('SHOW domowf.base_url') eq '';
goes_to_eu('no setting at all', $app, start_on('eu'));
is( $app->value(sprintf q{SELECT string_agg(coalesce(sqlstate, 'ok'), ',')
	FROM domowf_start_all(ARRAY[%s::jsonb, %s::jsonb])},
		(Domowf->literal('{"server": "eu", "messageName": "s",'
			  . ' "version": "1.0.0", "modelId": "m", "data": {}}')) x 2),
	'ok,ok', '... for many at once');
$session->value('ALTER SYSTEM RESET domowf.base_url; SELECT pg_reload_conf()');
$app->value(q(SELECT pg_sleep(0)))
  until $app->value('SHOW domowf.base_url') ne '';

# ---- many at once, each to its own

my $element = sub {
	my ($server) = @_;

	return Domowf->literal('{' . ($server ? "\"server\": \"$server\", " : '')
		  . '"messageName": "s", "version": "1.0.0", "modelId": "m", "data": {}}')
	  . '::jsonb';
};
is( sent($app, 'SELECT string_agg(coalesce(sqlstate, \'ok\'), \',\''
		  . ' ORDER BY ordinality) FROM domowf_start_all(ARRAY['
		  . join(', ', map { $element->($_) } 'eu', undef, 'mars', 'eu', 'wide')
		  . '])'),
	'1,2', 'elements go where each says');
is($got->{out}, 'ok,ok,42704,ok,42501', 'one that cannot stops no other');

# ---- connections are not shared between tokens

$session->value('CREATE USER MAPPING FOR CURRENT_USER SERVER eu OPTIONS (token ' . Domowf->literal($eu_token) . ')');
$session->value(start_on('eu'));
$session->value("ALTER USER MAPPING FOR CURRENT_USER SERVER eu OPTIONS (SET token '$all_token')");
$session->value(start_on('eu'));
my @after = $eu->record(operation => 'start');
isnt($after[-1]{connection}, $after[-2]{connection},
	'another token, another connection');
$session->value('DROP USER MAPPING FOR CURRENT_USER SERVER eu');

# ---- registered workflows

$session->value(q(INSERT INTO domowf.workflow (name, model_id, version, message_name, server)
	VALUES ('there', 'm', '1.0.0', 's', 'eu')));
goes_to_eu('a registered workflow', $app, q(SELECT domowf_start('there', '{}')));
refused('... without USAGE', $stranger, q(SELECT domowf_start('there', '{}')),
	'42501', qr/permission denied/);
$session->value(q(UPDATE domowf.workflow SET server = NULL));
is(sent($app, q(SELECT domowf_start('there', '{}'))), '1,0',
	'... without a server any more');

# ---- token_file, and what a superuser alone may

my $file = "$dir/token";
append_to_file($file, "$eu_token\n");
chmod 0600, $file;
refused('a token_file by who has USAGE', $other,
	"CREATE USER MAPPING FOR other SERVER eu OPTIONS (token_file '$file')",
	'42501', qr/token_file/);
$session->value("CREATE USER MAPPING FOR other SERVER eu OPTIONS (token_file '$file')");
goes_to_eu('a token_file', $other, start_on('eu'));
$session->value("ALTER USER MAPPING FOR other SERVER eu OPTIONS (SET token_file '$dir/none')");
refused('a token_file that is not there', $other, start_on('eu'), '55000',
	qr/could not open token_file of server "eu"/);
is( sent($other, q{SELECT string_agg(concat_ws(' ', ordinality, sqlstate, error), ', ' ORDER BY ordinality)
	FROM domowf_start_all(ARRAY[} . join(', ', map { $element->($_) } 'eu', undef, 'eu') . '])'),
	'1,0', '... stops no other of many');
is($got->{out},
	join(', ', map { /2/ ? $_ : "$_ 55000 could not open token_file of server \"eu\": No such file or directory" } 1 .. 3),
	'... whose own error it is');
append_to_file("$dir/empty", '');
chmod 0600, "$dir/empty";
$session->value("ALTER USER MAPPING FOR other SERVER eu OPTIONS (SET token_file '$dir/empty')");
refused('an empty token_file', $other, start_on('eu'), '55000',
	qr/^token_file of server "eu" is empty$/);
$session->value("ALTER USER MAPPING FOR other SERVER eu OPTIONS (SET token_file '$file')");

# a token that is refused is read again
$eu->accept_tokens($all_token);
is(sent($other, start_on('eu')), '0,1', 'a refused one');
is($got->{sqlstate}, '38401', '... is 401');
truncate $file, 0;
append_to_file($file, "$all_token\n");
goes_to_eu('... and read again', $other, start_on('eu'));
$eu->accept_tokens($eu_token, $all_token);

$session->value('GRANT USAGE ON FOREIGN DATA WRAPPER domowf TO app; ALTER SERVER eu OWNER TO app');
refused('base_url of a server of no superuser', $app, start_on('eu'), '55000',
	qr/option "base_url" of server "eu" cannot be used/);
$app->value(q(CREATE SERVER own FOREIGN DATA WRAPPER domowf OPTIONS (instance 'acme')));
$session->value("CREATE USER MAPPING FOR app SERVER own OPTIONS (token_file '$file')");
refused('a token_file of one', $app, start_on('own'), '55000',
	qr/option "token_file" of a mapping for server "own" cannot be used/);
foreach my $option ("base_url 'https://example.com'",
	"proxy 'http://127.0.0.1:1'", "ca_file '/etc/passwd'")
{
	my ($name) = $option =~ /(\w+)/;

	$app->value("ALTER SERVER own OPTIONS (ADD $option)");
	refused("$name of one", $app, start_on('own'), '55000',
		qr/option "$name" of server "own" cannot be used/);
	$app->value("ALTER SERVER own OPTIONS (DROP $name)");
}
$session->value('ALTER SERVER eu OWNER TO CURRENT_USER; GRANT USAGE ON FOREIGN SERVER eu TO app');
$session->value('DROP SERVER own CASCADE');
$session->value(q(CREATE SERVER bare FOREIGN DATA WRAPPER domowf OPTIONS (instance 'acme');
	GRANT USAGE ON FOREIGN SERVER bare TO app; CREATE USER MAPPING FOR app SERVER bare));
refused('a mapping that has nothing', $app, start_on('bare'), '55000',
	qr/the mapping of "app" for server "bare" has no token/);
$session->value('DROP SERVER bare CASCADE');
$session->value(q(CREATE SERVER nowhere FOREIGN DATA WRAPPER domowf;
	GRANT USAGE ON FOREIGN SERVER nowhere TO app;
	CREATE USER MAPPING FOR app SERVER nowhere OPTIONS (token 'x')));
refused('a server without an instance', $app, start_on('nowhere'), '55000',
	qr/server "nowhere" names no Domo instance/);
$session->value('DROP SERVER nowhere CASCADE');
goes_to_eu('a superuser\'s again', $app, start_on('eu'));

# ---- nobody sees a token who may not

$session->value('CREATE ROLE watcher LOGIN IN ROLE pg_monitor; GRANT USAGE ON SCHEMA domowf TO watcher, reader');
foreach my $user (qw(other stranger watcher reader))
{
	my $in = Domowf->session($node, user => $user);

	foreach my $sql (
		'SELECT * FROM pg_user_mappings',
		'SELECT * FROM pg_user_mapping',
		'SELECT * FROM pg_foreign_server',
		'SELECT * FROM information_schema.user_mapping_options',
		'SELECT * FROM pg_stat_activity',
		'SELECT * FROM domowf.log',
		'SELECT * FROM domowf_check()')
	{
		my $all = $in->run($sql);

		unlike($all->{out} . $all->{err},
			qr/\Q$eu_token\E|\Q$home_token\E/, "$user: $sql");
	}
	$in->quit;
}
is($session->value(qq(SELECT count(*) FROM domowf.log l WHERE l::text ~ 'token-0123')),
	'0', 'no token in domowf.log');
unlike(Domowf->log_since($node), $secret, 'no token in the server\'s log');

# a dump has them where its role might read them, and no others
$session->value('CREATE ROLE dumper LOGIN IN ROLE pg_read_all_data');
my $by_dumper = dump_by('dumper');
like($by_dumper, qr/CREATE SERVER eu/, 'who reads all data dumps servers');
like($by_dumper, qr/CREATE USER MAPPING FOR app SERVER eu/, '... and mappings');
unlike($by_dumper, $secret, '... but no token');
like(dump_by($session->value("SELECT current_user")), qr/\Q$eu_token\E/, 'a superuser does');

# what Domo's side answers may repeat it
foreach my $form (qw(plain json base64-0))
{
	foreach my $place (qw(message retry-after text))
	{
		$got = $app->run(start_on('eu', "scenario:echo:$place:$form"));
		unlike($got->{out} . $got->{err},
			$secret, "a reply that repeats it: $place, $form");
	}
}
ok(!(grep { !$_->{token_ok} } $home->record),
	'no token of a server has come to another host');
is_deeply([ map { $_->{violations} } $home->violations, $eu->violations ],
	[], 'Domo had no complaints');
done_testing();
