
# What libcurl and its libraries read of the server's environment: nothing of
# it decides where a token goes, who is trusted, or writes down the keys of a
# connection, and README names each variable that is asked for, so that this
# test fails where a later library asks for one more.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $shim = "$dir/environment.so";
system_or_bail($ENV{CC} || 'cc', '-shared', '-fPIC', '-o', $shim,
	"$FindBin::RealBin/environment.c", '-ldl');

my $domo = Domo->new(tls => 1, tokens => [ Domowf::TOKEN ]);
my $stranger = Domo->new(tls => 1, tokens => [ Domowf::TOKEN ]);
my $conf = sprintf <<'END', $domo->tls_url, $domo->ca_file, $domo->proxy_url, Domowf::TOKEN;
domowf.base_url = '%s'
domowf.ca_file = '%s'
domowf.proxy = '%s'
domowf.token = '%s'
END
my %hostile = (
	CURL_CA_BUNDLE => $stranger->ca_file,
	CURL_HOME => $dir,
	HOME => $dir,
	NETRC => "$dir/.netrc",
	SSL_CERT_DIR => '/nosuch',
	SSL_CERT_FILE => $domo->ca_file,
	(map { $_ => $stranger->proxy_url, uc $_ => $stranger->proxy_url }
		  qw(http_proxy https_proxy all_proxy)),
	(map { $_ => '*', uc $_ => '*' } 'no_proxy'));
my (%node, $session);

append_to_file("$dir/.curlrc", 'proxy = "' . $stranger->proxy_url . "\"\n");
append_to_file("$dir/.netrc", "default login other password other\n");

# A server, and what a call and a request of it need to succeed.
sub start
{
	my ($name, %environment) = @_;
	local %ENV = (
		%ENV, %hostile, %environment,
		LD_PRELOAD => $shim,
		DWF_NOTE => "$dir/$name.asked",
		SSLKEYLOGFILE => "$dir/$name.keys");

	$node{$name} = Domowf->start_node($name, undef, preload => 1, conf => $conf);
	$session = Domowf->session($node{$name});
	return;
}

sub try
{
	my ($name) = @_;
	my @before = map { $_->stats } $domo, $domo, $stranger;
	my $got = $session->run(Domowf->start_sql('model'));
	my $id = $session->value(q{SELECT domowf_enqueue_call('start',
		'{"messageName": "Start it", "version": "1.0.0", "modelId": "model",
		"data": {}}')});

	is($got->{sqlstate}, '', "$name: a call") or diag $got->{err};
	is($session->outcome($id), 'done', '... and a request');
	my @after = map { $_->stats } $domo, $domo, $stranger;
	my @what = qw(requests proxied proxied);

	is_deeply([ map { $after[$_]{ $what[$_] } - $before[$_]{ $what[$_] } } 0 .. 2 ],
		[ 2, 2, 0 ], '... go by the proxy of the configuration and no other');
	return;
}

# ---- libcurl is domowf's

start('own');
try('own');
ok(!-e "$dir/own.keys", 'no key log has been opened');
$session->value('CREATE TABLE seen (value text)');
$session->value(q{COPY seen FROM PROGRAM 'echo "$SSLKEYLOGFILE"'});
is($session->value('SELECT value FROM seen'), "$dir/own.keys",
	'... and others still find the variable');
Domowf->expect_in_log(qr/SSL certificate/);
$session->value(q{SET domowf.ca_file = ''});
my $before = $domo->stats->{requests};
my $got = $session->run(Domowf->start_sql('model'));
is($got->{sqlstate}, '38U01', 'no authority of the environment is trusted');
is($domo->stats->{requests}, $before, '... nothing was sent');
$session->quit;

# ---- somebody else has initialized it before, and opened the log

start('second', DWF_CURL_FIRST => 1);
try('second');
ok(-e "$dir/second.keys", 'a key log that another library has opened');
is(-s "$dir/second.keys", 0, '... has no keys of ours');
$session->quit;
$_->stop foreach values %node;

# ---- what was asked for

my ($named) = slurp_file("$FindBin::RealBin/../.." . '/README.md') =~
  /^### Environment\n(.*?)^#/ms;
my @patterns = map { s/\*/.*/r } $named =~ /`(\w+\*?)`/g;
my %asked;
my $curl;

foreach my $line (split /\n/, slurp_file("$dir/own.asked"))
{
	my ($path, $variable) = $line =~ /^(\S+) (\S+)$/;
	my ($library) = $path =~ m{([^/]+)$};

	$curl = $path if $library =~ /^libcurl/;
	$asked{$library}{$variable} = 1;
}
ok($asked{'libcurl.so.4'}{SSLKEYLOGFILE},
	'the record knows what libcurl asks for, even where it finds nothing');

# the libraries that libcurl is made of
my %part = map { m{^\s*(\S+)} ? ($1 => 1) : () } qx(ldd '$curl');

foreach my $library (sort grep { $part{$_} || /^libcurl/ } keys %asked)
{
	is( join(' ', grep { my $name = $_; !grep { $name =~ /^(?:$_)$/i } @patterns }
			  sort keys %{ $asked{$library} }),
		'', "README names what $library asks for");
}
is_deeply([ map { $_->{violations} } $domo->violations, $stranger->violations ],
	[], 'every request was as the page wants it');
done_testing();
