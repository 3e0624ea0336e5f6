
# A configured token goes only where the configuration itself says, whichever
# way a session tries to have it sent elsewhere, and whether or not the library
# is preloaded: a client can set every placeholder of a library that is not
# loaded yet, and PostgreSQL drops what it was not allowed to set together with
# the value that the configuration gave.  Judged by what arrives elsewhere.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($in_file, $own) = ('file-token-0123456789-abcdef', 'own-token-0123456789-abcdef');
my $domo = Domo->new(tls => 1, tokens => [ $in_file, $own ]);
my $stranger = Domo->new(tls => 1, tokens => [ $in_file, $own ]);
my $dir = PostgreSQL::Test::Utils::tempdir();
my $file = "$dir/token";
my $conf = <<"END" . Domowf::RETRY_AT_ONCE;
log_min_error_statement = panic
domowf.token_file = '$file'
domowf.base_url = '@{[ $domo->tls_url ]}'
domowf.ca_file = '@{[ $domo->ca_file ]}'
domowf.proxy = '@{[ $domo->proxy_url ]}'
domowf.log_payload = off
domowf.max_response_size = 2kB
END
my $got;

append_to_file($file, "$in_file\n");
chmod 0600, $file;
append_to_file("$dir/other", "$own\n");
chmod 0600, "$dir/other";

my %node = map { $_ => Domowf->start_node(
		$_, undef,
		preload => $_ eq 'preloaded',
		conf => $conf . ($_ eq 'lazy' ? "domowf.worker = off\n" : '')) }
  qw(preloaded lazy);
my ($node, $kind, $super);

# What a start makes arrive: here by the proxy, here past it, elsewhere.
sub arrivals
{
	my ($in) = @_;
	my @before = map { $_->stats } $domo, $stranger;

	$got = $in->run(Domowf->start_sql('m'));
	my @after = map { $_->stats } $domo, $stranger;
	return join ' ', map { $after[ $_->[0] ]{ $_->[1] } - $before[ $_->[0] ]{ $_->[1] } }
	  [ 0, 'requests' ], [ 1, 'requests' ], [ 1, 'proxied' ];
}

sub accepted
{
	my ($name, $in) = @_;

	is(arrivals($in), '1 0 0', "$kind: $name: is sent where it belongs");
	is($got->{sqlstate}, '', '... and succeeds') or diag $got->{err};
	return;
}

sub refused
{
	my ($name, $in, $setting) = @_;

	is(arrivals($in), '0 0 0', "$kind: $name: nothing is sent");
	is($got->{sqlstate}, '55000', '... 55000') or diag $got->{err};
	like($got->{message},
		qr/token_file is not used, because domowf\.$setting is not as|no Domo instance is set/,
		'... says why');
	return;
}

sub reload
{
	my ($in) = @_;
	my $before = $in->value('SELECT pg_conf_load_time()');
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	$node->reload;
	while ($in->value('SELECT pg_conf_load_time()') eq $before)
	{
		die 'no reload' if time > $deadline;
	}
	return;
}

# Settings that steer where a token goes, or who reads it on its way.
my %diversion = (
	base_url => $stranger->tls_url,
	ca_file => $stranger->ca_file,
	proxy => $stranger->proxy_url);

foreach (sort keys %node)
{
	$kind = $_;
	$node = $node{$kind};
	$super = Domowf->session($node);
	$super->value(<<'END');
CREATE ROLE ordinary LOGIN;
CREATE ROLE chooser LOGIN;
CREATE ROLE owner LOGIN;
GRANT SET ON PARAMETER domowf.base_url, domowf.proxy, domowf.ca_file,
	domowf.instance TO chooser;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO ordinary, chooser, owner;
GRANT CREATE ON SCHEMA public TO ordinary, chooser;
ALTER DATABASE postgres OWNER TO owner
END
	accepted('as configured', $super);
	foreach my $name (sort keys %diversion)
	{
		foreach my $value ($diversion{$name}, '')
		{
			try_all_ways($name, $value);
		}
	}
	try_others();
	try_moving();
	$super->quit;
}

sub with_session
{
	my ($what, $user, $options, $try) = @_;
	my $in = Domowf->session($node, user => $user, options => $options);

	$try->($in);
	$in->quit;
	return;
}

# Who may not set it has no effect; who may, has no token.
sub try_all_ways
{
	my ($name, $value) = @_;
	my $literal = Domowf->literal($value);
	my $words = "$name = $literal";

	# before the library is loaded, where it is not
	foreach my $user (qw(ordinary chooser))
	{
		my $expect = sub {
			my ($way, $in) = @_;

			return $user eq 'ordinary'
			  ? accepted("$user, $way, $words", $in)
			  : refused("$user, $way, $words", $in, $name);
		};

		# a preloaded library makes it an error at the start of the session
		with_session('', $user, "-c domowf.$name=$value",
			sub { $expect->('PGOPTIONS', @_) })
		  unless $user eq 'ordinary' && $kind eq 'preloaded';
		with_session('', $user, undef, sub {
				$_[0]->run("SET domowf.$name = $literal");
				$expect->('SET', @_);
				$_[0]->run('RESET ALL');
				accepted("$user, RESET, $words", @_);
		});
		with_session('', $user, undef, sub {
				$_[0]->run("BEGIN; SAVEPOINT s; SET LOCAL domowf.$name = $literal");
				$_[0]->run('ROLLBACK TO s') if $user eq 'ordinary';
				$expect->('SET LOCAL', @_);
				$_[0]->run('ROLLBACK');
				accepted("$user, after SET LOCAL, $words", @_);
		});
		with_session('', $user, undef, sub {
				my ($in) = @_;
				my $set = $in->run("CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql"
					  . " SET domowf.$name = $literal AS \$\$ DECLARE r text; BEGIN "
					  . Domowf->start_sql('m') =~ s/SELECT i.id/SELECT i.id INTO r/r
					  . '; RETURN r; END $$');
				my @before = map { $_->stats } $stranger;

				$in->run('SELECT f()');
				is($stranger->stats->{requests} + $stranger->stats->{proxied},
					$before[0]{requests} + $before[0]{proxied},
					"$kind: $user, SET of a function, $words: nothing goes elsewhere");
				accepted("$user, after the function, $words", $in);
				$in->run('DROP FUNCTION IF EXISTS f()');
		});
		$super->run("ALTER ROLE $user SET domowf.$name = $literal");
		with_session('', $user, undef,
			sub { refused("$user, ALTER ROLE by a superuser, $words", $_[0], $name) });
		$super->run("ALTER ROLE $user RESET domowf.$name");
		with_session('', $user, undef, sub {
				$_[0]->run("ALTER ROLE $user SET domowf.$name = $literal") });
		with_session('', $user, undef, sub { $expect->('ALTER ROLE by itself', @_) })
		  if $user eq 'ordinary';
		$super->run("ALTER ROLE $user RESET domowf.$name");
	}
	with_session('', 'owner', undef, sub {
			$_[0]->run("ALTER DATABASE postgres SET domowf.$name = $literal") });
	with_session('', 'ordinary', undef,
		sub { accepted("ALTER DATABASE by its owner, $words", @_) });
	$super->run("ALTER DATABASE postgres SET domowf.$name = $literal");
	with_session('', 'ordinary', undef,
		sub { refused("ALTER DATABASE by a superuser, $words", $_[0], $name) });
	$super->run("ALTER DATABASE postgres RESET domowf.$name");
	return;
}

# What a client may not set stays as configured, whatever it steers.
sub try_others
{
	return if $kind eq 'preloaded';
	with_session('', 'ordinary', "-c domowf.token_file=$dir/other",
		sub { accepted('PGOPTIONS of token_file', @_) });
	with_session('', 'ordinary',
		'-c domowf.log_payload=on -c domowf.max_response_size=1GB'
		. ' -c domowf.timeout=7s',
		sub {
			my ($in) = @_;

			accepted('PGOPTIONS of others', $in);
			is( $in->value('SHOW domowf.log_payload; SHOW domowf.max_response_size;'
					  . ' SHOW domowf.timeout'),
				"off\n2kB\n7s",
				'... what a client may not set is as configured');
		});
	with_session('', 'ordinary', "-c domowf.base_url=@{[ $stranger->url ]}"
		  . ' -c domowf.ca_file= -c domowf.instance=evil -c domowf.proxy=',
		sub { accepted('PGOPTIONS of all', @_) });
	with_session('', 'chooser', "-c domowf.base_url= -c domowf.instance=evil",
		sub { refused('PGOPTIONS of base_url and instance', $_[0], 'base_url') });
	with_session('', 'chooser', "-c domowf.base_url=@{[ $stranger->url ]}"
		  . " -c domowf.proxy= -c domowf.token=$own", sub {
			is(arrivals($_[0]), '0 1 0', 'a token of the session may go there');
			is($got->{sqlstate}, '', '... and does');
	});

	# what cannot be read says nothing
	Domowf->expect_in_log(qr/could not read the server's configuration/);
	chmod 0, $node->data_dir . '/postgresql.conf';
	with_session('', 'ordinary', '-c domowf.proxy=', sub {
			my ($in) = @_;

			SKIP:
			{
				skip 'root reads everything', 2 if $> == 0;
				is(arrivals($in), '0 0 0', 'no configuration: nothing is sent');
				is($got->{sqlstate}, '55000', '... 55000');
			}
	});
	chmod 0600, $node->data_dir . '/postgresql.conf';
	return;
}

# The configuration moves under a session that has set what it said.
sub try_moving
{
	my $old = $domo->tls_url;
	my $new = $old =~ s/localhost/127.0.0.1/r;
	my $keeps = Domowf->session($node, user => 'chooser');
	my $follows = Domowf->session($node, user => 'ordinary');

	$keeps->value("SET domowf.base_url = '$old'");
	accepted('the same value as configured', $keeps);
	accepted('before it moves', $follows);
	$node->append_conf('postgresql.conf', "domowf.base_url = '$new'\n");
	reload($follows);
	$keeps->value('SELECT 1');
	refused('the same value, and it has moved', $keeps, 'base_url');
	accepted('who follows', $follows);
	$keeps->run('RESET ALL');
	accepted('who follows again', $keeps);

	# ALTER SYSTEM is the configuration, included files are, and the last goes
	$super->value("ALTER SYSTEM SET domowf.base_url = '$old'");
	reload($follows);
	accepted('moved by ALTER SYSTEM', $follows);
	$keeps->value("SET domowf.base_url = '$new'");
	refused('the value of postgresql.conf below', $keeps, 'base_url');
	$super->value('ALTER SYSTEM RESET domowf.base_url');
	append_to_file("$dir/$kind.conf", "DomoWF.base_url = '$old'\n");
	$node->append_conf('postgresql.conf', "include = '$dir/$kind.conf'\n");
	reload($follows);
	refused('an included file moves it', $keeps, 'base_url');
	accepted('an included file', $follows);

	# a value that PostgreSQL does not take changes nothing
	append_to_file("$dir/$kind.conf", "domowf.base_url = 'ftp://localhost'\n");
	reload($follows);
	accepted('a value that is none', $follows);
	truncate "$dir/$kind.conf", 0;
	reload($follows);
	accepted('a line less', $follows);
	$_->quit foreach $keeps, $follows;
	return;
}

# the command line goes before the files; it is known where it is preloaded
$node{preloaded}->stop;
$kind = 'command line';
$node = $node{preloaded};
my @pg_ctl = (
	'pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o',
	"--cluster-name=preloaded -c domowf.proxy=''");
PostgreSQL::Test::Utils::system_or_bail(@pg_ctl, 'start');
$node->_update_pid(1);
my $in = Domowf->session($node, user => 'chooser');
accepted('no proxy', $in);
$in->value(sprintf "SET domowf.proxy = '%s'", $domo->proxy_url);
refused('the proxy of the files', $in, 'proxy');
$in->value('RESET ALL');
reload($in);
accepted('no proxy, after a reload', $in);
$in->quit;

is($stranger->stats->{proxied}, 0, 'nothing went by a proxy elsewhere');
is_deeply(
	[ map { $_->{headers}{'x-domo-developer-token'} } $stranger->record ],
	['ok'], 'one request went elsewhere, with a token of its own');
is_deeply([ map { $_->{violations} } $domo->violations, $stranger->violations ],
	[], 'every request was as the page wants it');
unlike(Domowf->log_since($_), qr/\Q$in_file\E/, 'the token is in no log')
  foreach values %node;
$_->stop foreach values %node;
done_testing();
