
# The token: nobody sees it who may not, and it goes nowhere but where the
# server's configuration sends it.  Exists because a setting leaks along many
# paths, each found in the field: the log at a reload, catalogs, pg_monitor,
# error messages that quote a value, and whoever may choose the host that a
# token is sent to has the token.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use POSIX qw(mkfifo);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/could not open domowf\.token_file: No such file/,
	qr/could not send .*: Failed to connect/);

my $secret = qr/(?:test-token|own-token|new-token|file-token)-\w+/;
my @tokens = map { "$_-0123456789-abcdef" }
  qw(test-token own-token new-token file-token);
my ($configured, $own, $new, $in_file) = @tokens;

my $domo = Domo->new(tls => 1, tokens => \@tokens);
my $stranger = Domo->new(tls => 1, tokens => \@tokens);
my $node = Domowf->start_node(
	'preloaded', $domo,
	preload => 1,
	conf => "log_min_error_statement = panic\n");
my $session = Domowf->session($node);
my $got;

sub requests_of
{
	my ($in, $sql) = @_;
	my $before = $domo->stats->{requests} + $stranger->stats->{requests};

	$got = $in->run($sql);
	return $domo->stats->{requests} + $stranger->stats->{requests} - $before;
}

# That a call is refused with 55000 and nothing leaves the server.
sub refused
{
	my ($name, $in, $words) = @_;

	is(requests_of($in, Domowf->start_sql('m')), 0, "$name: nothing is sent");
	is($got->{sqlstate}, '55000', "$name: 55000") or diag $got->{err};
	like($got->{message}, $words, "$name: says why") if $words;
	unlike($got->{err}, $secret, "$name: no token in the error");
	return;
}

sub accepted
{
	my ($name, $in) = @_;

	is(requests_of($in, Domowf->start_sql('m')), 1, "$name: is sent");
	is($got->{sqlstate}, '', "$name: succeeds") or diag $got->{err};
	return;
}

# ---- nobody is shown a token

$session->run('CREATE ROLE watcher LOGIN IN ROLE pg_monitor;'
	  . ' CREATE ROLE ordinary LOGIN;'
	  . ' CREATE ROLE chooser LOGIN;'
	  . ' GRANT SET ON PARAMETER domowf.base_url, domowf.proxy,'
	  . ' domowf.instance, domowf.ca_file TO chooser;'
	  . ' GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO ordinary, chooser');
foreach my $user (undef, 'watcher', 'ordinary')
{
	my $in = Domowf->session($node, user => $user);
	my $who = $user // 'superuser';

	foreach my $own_set (0, 1)
	{
		$in->run("SET domowf.token = '$own'") if $own_set;
		foreach my $sql (
			'SHOW domowf.token',
			q(SELECT current_setting('domowf.token')),
			q(SELECT * FROM pg_settings WHERE name = 'domowf.token'),
			q(SELECT set_config('domowf.token', current_setting('domowf.token'), true)),
			'SHOW ALL')
		{
			my $all = $in->run($sql);

			unlike($all->{out} . $all->{err}, $secret, "$who: $sql");
		}
		is($in->value('SHOW domowf.token'), '********', "$who: it is set");
	}
	is($in->value("SELECT set_config('domowf.token', '$own', false)"),
		'********', "$who: set_config() does not return it");
	is($in->value(q(SELECT reset_val || boot_val FROM pg_settings
		WHERE name = 'domowf.token')), '', "$who: nor are there other values");
	$in->quit;
}
is($session->value(q(SET domowf.token = ''; SHOW domowf.token)),
	'', 'no token shows as none');
refused('no token', $session, qr/no Domo token is set/);
$session->run('RESET domowf.token');
accepted('the configured token', $session);

# ---- a refused value is not quoted

foreach my $bad ("$own with space", "$own\ttab", "$own\nnewline", " $own")
{
	$got = $session->run('SET domowf.token = ' . Domowf->literal($bad));
	is($got->{sqlstate}, '22023', 'a token that is none is refused');
	unlike($got->{message} . $got->{detail} . $got->{hint},
		$secret, '... and not quoted');
}
accepted('after refused values, the one before', $session);

# ---- it cannot be put into a catalog

foreach my $sql (
	"ALTER DATABASE postgres SET domowf.token = '$own'",
	"ALTER ROLE ordinary SET domowf.token = '$own'",
	"ALTER ROLE ALL SET domowf.token = '$own'",
	"ALTER ROLE ordinary IN DATABASE postgres SET domowf.token = '$own'",
	"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET domowf.token = '$own'"
	. ' AS $$ SELECT 1 $$')
{
	my ($what) = $sql =~ /(.*?) SET/;

	$got = $session->run($sql);
	is($got->{sqlstate}, '22023', "$what: refused") or diag $got->{err};
	like($got->{message}, qr/cannot be set for a database, a role or a function/,
		"$what: with a message of its own");
	unlike($got->{message} . $got->{detail} . $got->{hint},
		$secret, "$what: the value is not quoted");
}
is( $session->value('SELECT (SELECT count(*) FROM pg_db_role_setting)'
		  . " + (SELECT count(*) FROM pg_proc WHERE proconfig::text ~ 'domowf')"),
	0,
	'the catalogs have nothing');

# ---- a reload with another token is used and not logged

my $offset = Domowf->log_size($node);

# Reloads, and waits until the session has noticed.
sub reload
{
	my ($in, $server) = @_;
	my $before = $in->value('SELECT pg_conf_load_time()');
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	($server // $node)->reload;
	while ($in->value('SELECT pg_conf_load_time()') eq $before)
	{
		die 'no reload' if time > $deadline;
	}
	return;
}

$node->append_conf('postgresql.conf', "domowf.token = '$new'\n");
reload($session);
$domo->accept_tokens($new);
accepted('a new token after a reload', $session);
$session->run("ALTER SYSTEM SET domowf.token = '$in_file'");
reload($session);
$domo->accept_tokens($in_file);
accepted('a token by ALTER SYSTEM', $session);
$session->run('ALTER SYSTEM RESET domowf.token');
$node->append_conf('postgresql.conf', "domowf.token = '$configured'\n");
reload($session);
$domo->accept_tokens(@tokens);
$session->quit;
unlike(Domowf->log_since($node), $secret, 'no token in the server\'s log');
like(Domowf->log_since($node, $offset), qr/SIGHUP/, '... which has reloads');

# ---- a configured token is not sent where a session likes

my $chooser = Domowf->session($node, user => 'chooser');
my $super = Domowf->session($node);
my @diversions = (
	[ 'base_url', $stranger->url ],
	[ 'proxy', $stranger->proxy_url ],
	[ 'ca_file', $stranger->ca_file ],
	[ 'base_url', '', 'instance', 'evil' ]);

sub divert
{
	my ($in, @settings) = @_;

	while (my ($name, $value) = splice @settings, 0, 2)
	{
		my $set =
		  $in->run("SET domowf.$name = " . Domowf->literal($value));
		is($set->{sqlstate}, '', "SET domowf.$name") or diag $set->{err};
	}
	return;
}

accepted('no diversion', $chooser);
foreach my $diversion (@diversions)
{
	my $name = "chooser, $diversion->[0]";

	divert($chooser, @$diversion);
	refused($name, $chooser, qr/domowf\.$diversion->[0] is not as/);
	refused("$name, RESET",
		(map { $_->run("SET domowf.token = '$own'; RESET domowf.token"); $_ } $chooser),
		qr/domowf\.token of the server's configuration/);
	$chooser->run('RESET ALL');
	accepted("$name, no more", $chooser);
}
divert($chooser, 'base_url', $domo->url);
accepted('chooser, the same value as the configuration', $chooser);
divert($chooser, 'base_url', $stranger->url);
$chooser->run("SET domowf.token = '$own'");
accepted('chooser, with a token of its own', $chooser);
is($stranger->stats->{requests}, 1, '... which goes there');
$chooser->run('RESET ALL');

# not by way of a role's settings, a transaction, or a function of the owner
$super->run('ALTER ROLE chooser SET domowf.base_url = '
	  . Domowf->literal($stranger->url));
my $by_role = Domowf->session($node, user => 'chooser');
refused('chooser, by ALTER ROLE', $by_role, qr/domowf\.base_url/);
$by_role->quit;
$super->run('ALTER ROLE chooser RESET ALL');
$super->run('CREATE FUNCTION as_owner() RETURNS text LANGUAGE sql'
	  . ' SECURITY DEFINER AS $$ '
	  . Domowf->start_sql('m')
	  . ' $$');
divert($chooser, 'base_url', $stranger->url);
is(requests_of($chooser, 'SELECT as_owner()'),
	0, 'chooser, by a SECURITY DEFINER function: nothing is sent');
is($got->{sqlstate}, '55000', '... 55000');
$chooser->quit;

# a superuser can read the configuration; its session user counts
divert($super, 'base_url', $stranger->url);
accepted('a superuser may send it elsewhere', $super);
$super->run('SET SESSION AUTHORIZATION chooser');
refused('a superuser as another', $super, qr/domowf\.base_url/);
$super->run('RESET SESSION AUTHORIZATION');
$super->run('RESET ALL');

my $ordinary = Domowf->session($node, user => 'ordinary');
foreach my $setting (
	qw(base_url instance proxy ca_file max_response_size token_file))
{
	like($ordinary->run("SET domowf.$setting = '1'")->{sqlstate},
		qr/^(?:42501|55P02)$/, "an ordinary role may not SET domowf.$setting");
}
$ordinary->quit;

# ---- where requests may go

sub settable
{
	my ($name, $value) = @_;

	return $super->run("SET domowf.$name = " . Domowf->literal($value))
	  ->{sqlstate};
}

is(settable('instance', $_), '', "instance '$_' is accepted")
  foreach 'acme', 'acme.domo.com', 'ACME', 'Acme.DOMO.com', 'a', 'a-b-c', '4u',
  'a' x 50, '';
is(settable('instance', $_), '22023', "instance '$_' is refused")
  foreach 'evil.com', 'acme.domo.com.evil.com', 'a/../b', 'evildomo.com',
  'a b', ' acme', 'acme ', 'acme.domo.com/', 'acme.domo.com:443', '-acme',
  'acme-', 'a--b', 'a' x 51, '.domo.com', 'domo.com', 'a.b.domo.com',
  'acme@evil.com', 'https://acme.domo.com', 'acme%2eevil', 'acme#', 'acme?',
  "acme\n", 'acme_x', '[::1]';
is(settable('base_url', $_), '', "base_url '$_' is accepted")
  foreach 'https://gateway.example.com', 'https://gateway.example.com:8443/domo/',
  'http://localhost', 'http://localhost:8080', 'http://127.0.0.1:1',
  'http://127.3.2.1', 'http://127.1', 'http://[::1]', 'http://[::1]:8080',
  'HTTPS://EXAMPLE.COM', '';
is(settable('base_url', $_), '22023', "base_url '$_' is refused")
  foreach 'http://example.com', 'http://127.0.0.1@evil.com',
  'https://user:pass@example.com', 'https://user@example.com',
  'http://localhost.evil.com', 'http://localhost:80@evil.com',
  'http://127.0.0.1.evil.com', 'http://evil.com/127.0.0.1',
  'http://evil.com#localhost', 'http://evil.com?localhost',
  'http://localhost\\@evil.com', 'http://128.0.0.1', 'http://0.0.0.0',
  'http://[::2]', 'http://[::ffff:8.8.8.8]', 'http://127.0.0.1%2eevil.com',
  'ftp://localhost', 'file:///etc/passwd', 'localhost', '//localhost',
  'gopher://127.0.0.1', 'https://', 'https://a b', ' https://example.com',
  "https://example.com\n", 'javascript:1', 'https://example.com?x=1',
  'https://example.com#x';

# the many ways to write a loopback address lead there, or are refused
foreach my $host ('127.1', '2130706433', '0x7f000001', '0177.0.0.1')
{
	my $port = $domo->port;

	next if settable('base_url', "http://$host:$port") eq '22023';
	accepted("http://$host", $super);
}
$super->run('RESET ALL');
$super->quit;

# ---- proxies: the setting's and no other

{
	my $proxy = $domo->refused_url;
	local @ENV{qw(http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY
		ALL_PROXY)} = ($proxy) x 6;
	$node->restart;
}
$super = Domowf->session($node);
accepted('with a proxy in the environment', $super);
$super->run(sprintf q(SET domowf.ca_file = '%s'; SET domowf.base_url = '%s'),
	$domo->ca_file, $domo->tls_url);
accepted('with a proxy in the environment, TLS', $super);
is($domo->stats->{proxied}, 0, 'no proxy was used');
$super->quit;

$node->append_conf('postgresql.conf',
	sprintf "domowf.proxy = '%s'\ndomowf.ca_file = '%s'\n",
	$domo->proxy_url, $domo->ca_file);
$node->restart;
$super = Domowf->session($node);
accepted('domowf.proxy', $super);
is($domo->stats->{proxied}, 1, '... is used');
$super->run(sprintf q(SET domowf.base_url = '%s'), $domo->tls_url);
accepted('domowf.proxy, TLS', $super);
is($domo->stats->{proxied}, 2, '... is used for TLS');
is(($domo->record)[-1]{port}, 'tls', '... end to end');
$super->run(sprintf q(SET domowf.proxy = '%s'), $domo->refused_url);
is(requests_of($super, Domowf->start_sql('m')), 0, 'a dead proxy: not sent');
is($got->{sqlstate}, '38U01', '... 38U01');
$super->quit;
$node->stop;

# ---- token_file, on a server that loads the library when it is used

my $dir = PostgreSQL::Test::Utils::tempdir();
my $file = "$dir/token";
my $lazy = Domowf->start_node(
	'lazy', undef,
	conf => "log_min_error_statement = panic\n"
	  . "domowf.token_file = '$file'\ndomowf.base_url = '"
	  . $domo->url . "'\n");

sub write_token
{
	my ($text, $mode) = @_;

	unlink $file;
	append_to_file($file, $text);
	chmod $mode // 0600, $file;
	return;
}

# A new session reads the file anew.
sub with_new_session
{
	my ($check, $name, @more) = @_;
	my $in = Domowf->session($lazy);

	$check->($name, $in, @more);
	$in->quit;
	return;
}

$domo->accept_tokens($in_file);
foreach my $good (
	[ 'without a newline', $in_file ],
	[ 'with a newline', "$in_file\n" ],
	[ 'with CR and LF', "$in_file\r\n" ],
	[ 'with mode 0400', $in_file, 0400 ])
{
	my ($name, $text, $mode) = @$good;

	write_token($text, $mode);
	with_new_session(\&accepted, "token_file, $name");
}
foreach my $bad (
	[ '0644', $in_file, 0644 ],
	[ '0640', $in_file, 0640 ],
	[ '0604', $in_file, 0604 ],
	[ '0660', $in_file, 0660 ],
	[ 'empty', '' ],
	[ 'a newline only', "\n" ],
	[ 'two lines', "$in_file\n$own\n" ],
	[ 'an empty line behind', "$in_file\n\n" ],
	[ 'an empty line before', "\n$in_file" ],
	[ 'a space behind', "$in_file \n" ],
	[ 'a space before', " $in_file" ],
	[ 'a space within', "$in_file $own" ],
	[ 'a tab', "$in_file\t" ],
	[ 'a control character', "$in_file\x01" ],
	[ 'DEL', "$in_file\x7f" ],
	[ 'a NUL', "$in_file\x00x" ],
	[ 'a NUL behind', "$in_file\x00" ],
	[ 'a header', "$in_file\r\nX-Evil: 1" ],
	[ 'not ASCII', "$in_file\xc3\xbc" ],
	[ 'too long', 'x' x 10_000 ])
{
	my ($name, $text, $mode) = @$bad;

	write_token($text, $mode);
	with_new_session(\&refused, "token_file, $name", qr/domowf\.token_file/);
}
unlink $file;
with_new_session(\&refused, 'token_file, missing', qr/domowf\.token_file/);
mkdir $file, 0700 or die "mkdir: $!";
with_new_session(\&refused, 'token_file, a directory',
	qr/domowf\.token_file/);
rmdir $file;
mkfifo($file, 0600) or die "mkfifo: $!";
with_new_session(\&refused, 'token_file, a fifo', qr/domowf\.token_file/);
unlink $file;

# kept, and read again after a 401 and after a reload
write_token($in_file);
my $keeping = Domowf->session($lazy);
accepted('token_file, first use', $keeping);
unlink $file;
accepted('token_file, kept in memory', $keeping);
write_token($new);
$domo->accept_tokens($new);
is(requests_of($keeping, Domowf->start_sql('m')), 1,
	'token_file, an old token is sent once');
is($got->{sqlstate}, '38401', '... and refused');
accepted('token_file, read again after a 401', $keeping);
write_token($own);
$domo->accept_tokens($own);
reload($keeping, $lazy);
accepted('token_file, read again after a reload', $keeping);
$keeping->quit;

# not sent elsewhere, by nobody
write_token($in_file);
$domo->accept_tokens(@tokens);
$super = Domowf->session($lazy);
foreach my $diversion (@diversions)
{
	divert($super, @$diversion);
	refused("token_file, $diversion->[0]", $super,
		qr/domowf\.token_file is not used, because domowf\.$diversion->[0]/);
	$super->run('RESET ALL');
}
accepted('token_file, no diversion', $super);
divert($super, 'base_url', $stranger->url);
$super->run("SET domowf.token = '$own'");
accepted('a token of the session goes before token_file', $super);
like($super->run("SET domowf.token_file = '/tmp/x'")->{sqlstate},
	qr/^55P02$/, 'token_file cannot be set in a session');
$super->quit;

# an instance counts as well; a proxy that is none lets nothing out
write_token($in_file);
$lazy->append_conf('postgresql.conf',
	"domowf.base_url = ''\ndomowf.instance = 'acme'\ndomowf.proxy = '" . $domo->refused_url . "'\n");
$lazy->reload;
$super = Domowf->session($lazy);
$got = $super->run(q(SELECT pg_sleep(0)))
  until $super->value(q(SELECT current_setting('domowf.instance', true))) eq 'acme';
is(requests_of($super, Domowf->start_sql('m')), 0, 'token_file, an instance: not sent');
is($got->{sqlstate}, '38U01', '... for want of its proxy');
divert($super, 'instance', 'evil');
refused('token_file, another instance', $super,
	qr/domowf\.token_file is not used, because domowf\.instance/);
$super->run('RESET ALL');
$lazy->append_conf('postgresql.conf', sprintf "domowf.base_url = '%s'\ndomowf.proxy = ''\n", $domo->url);
reload($super, $lazy);
accepted('token_file, a base URL again', $super);
$super->quit;

# ---- settings that come before the library

my $early = Domowf->session($lazy,
	options => '-c domowf.token=' . $own . ' -c domowf.timeout=7s');
$domo->accept_tokens($own);
accepted('PGOPTIONS before the library is loaded', $early);
is($early->value('SHOW domowf.timeout'), '7s', '... all of them hold');
is($early->value('SHOW domowf.token'), '********', '... masked by now');
$early->quit;

$early = Domowf->session($lazy);
$early->run("SET domowf.token = '$own'");
accepted('SET before the library is loaded', $early);
is($early->value('SHOW domowf.token'), '********', '... masked by now');
$early->quit;

# where the library is not loaded, nobody refuses to put it into the catalog
$early = Domowf->session($lazy);
unlink $file;
$early->run("ALTER DATABASE postgres SET domowf.token = '$own'");
$early->quit;
with_new_session(\&refused, 'ALTER DATABASE before the library is loaded');
$early = Domowf->session($lazy);
is($early->value('ALTER DATABASE postgres RESET domowf.token; LOAD \'domowf\';'
	  . ' SHOW domowf.token'), '', '... its value is not used');
$early->quit;

# a bad value is refused at use, and not quoted
$early = Domowf->session($lazy);
$early->run("SET domowf.token = '$own with space'");
refused('a token that is none, before the library is loaded', $early);
$early->quit;
$lazy->stop;
unlike(Domowf->log_since($lazy), $secret, 'no token in the server\'s log');

is($domo->count(by => 'token_ok')->{distinct},
	2, 'tokens were seen, good ones and an old one');
is_deeply([ map { $_->{violations} } $domo->violations, $stranger->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr . $stranger->stderr, '', 'the stand-ins had no trouble');
done_testing();
