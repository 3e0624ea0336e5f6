
# Nothing is sent twice.  libcurl by itself sends a POST again when a kept
# connection turns out to be closed before the first byte of the reply; Domo
# would start two instances and the caller would see one.  Exists to show that
# this does not happen, while connections are kept and idle ones that were
# closed meanwhile cost no error.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tls => 1, tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo);
my $session;
my $unique = 0;

# A call that no other call equals, and the filter that finds it.
sub unique_call
{
	my ($operation) = @_;

	$unique++;
	return (
		Domowf->start_sql("model-$unique", "{\"n\": $unique}"),
		model_id => "model-$unique") if $operation eq 'start';

	# an instance that the stand-in knows, until another scenario has its turn
	my $id = "scenario:delay:$unique";
	return (Domowf->operation_sql($operation, $id), id => $id);
}

# Waits until the connections are idle, and has Domo close them.
sub close_idle
{
	$domo->wait_for(idle => '=' . $domo->stats->{open});
	$domo->close_idle;
	$domo->wait_for(open => '=0');
	return;
}

# A closing that crosses a request on the wire: the request was carried out,
# nobody said so.
sub check_close
{
	my ($name, $operation) = @_;

	$domo->script('close-keepalive');
	is($session->run(Domowf->start_sql('first'))->{sqlstate},
		'', "$name: the first request of the connection succeeds");
	my ($sql, %filter) = unique_call($operation);
	my $got = $session->run($sql);

	is($got->{sqlstate}, '38U02', "$name: in doubt") or diag $got->{err};
	is(scalar $domo->record(%filter), 1, "$name: arrived exactly once");
	is(scalar $domo->executed(%filter), 1, "$name: executed exactly once");

	($sql, %filter) = unique_call('start');
	is($session->run($sql)->{sqlstate}, '', "$name: the next start succeeds");
	is(scalar $domo->executed(%filter), 1, "$name: ... and runs once");
	return;
}

foreach my $url ($domo->url, $domo->tls_url)
{
	my $scheme = $url =~ /^https/ ? 'TLS' : 'plain';

	$session = Domowf->session($node);
	$session->run("SET domowf.base_url = '$url'");
	$session->run("SET domowf.ca_file = '" . $domo->ca_file . q('));

	# ---- one connection for many calls

	my $before = $domo->stats->{connections};
	foreach my $turn (1 .. 20)
	{
		my $operation = (qw(start set_permissions))[ $turn % 2 ];
		my ($sql, %filter) = unique_call($operation);

		$session->value($sql);
		is(scalar $domo->executed(%filter), 1, "$scheme: call $turn, once");
	}
	is($domo->stats->{connections} - $before,
		1, "$scheme: 20 calls, one connection");

	# a refusal does not cost the connection, nor does a rollback
	is($session->run(Domowf->cancel_sql('no-such-instance'))->{sqlstate},
		'38404', "$scheme: a call that Domo refuses");
	$session->run('BEGIN; ' . Domowf->start_sql('undone') . '; ROLLBACK');
	$session->value(Domowf->start_sql('again'));
	is($domo->stats->{connections} - $before,
		1, "$scheme: still the same connection");

	# ---- a connection that Domo closed while it was idle

	foreach my $operation (qw(start set_permissions))
	{
		my ($sql, %filter) = unique_call($operation);

		close_idle();
		is($session->run($sql)->{sqlstate},
			'', "$scheme: $operation after the idle connection was closed");
		is(scalar $domo->executed(%filter), 1, "$scheme: ... runs once");
	}
	is($domo->stats->{connections} - $before,
		3, "$scheme: a new connection each time");

	# ---- closed with the request on the wire

	foreach my $operation (qw(start cancel set_permissions))
	{
		close_idle();
		check_close("$scheme, $operation", $operation);
	}

	# the same with a body that needs many packets
	close_idle();
	$domo->script('close-keepalive');
	$session->value(Domowf->start_sql('first'));
	my $got = $session->run(
		Domowf->start_sql("large-$scheme", '{"n": "' . $scheme . 'x' x 300_000 . '"}'));
	is($got->{sqlstate}, '38U02', "$scheme: a large start is in doubt");
	is(scalar $domo->executed(model_id => "large-$scheme"),
		1, "$scheme: ... and ran once");

	# ---- bytes that nobody asked for are no reply to the next request

	close_idle();
	$domo->script('extra-bytes');
	$session->value(Domowf->start_sql('with extra bytes'));
	my ($sql, %filter) = unique_call('start');
	$got = $session->run($sql);
	is($got->{sqlstate}, '', "$scheme: a start after stray bytes")
	  or diag $got->{err};
	is(scalar $domo->executed(%filter), 1, "$scheme: ... runs once");
	is($got->{out}, ($domo->executed(%filter))[0]{instance},
		"$scheme: ... and has its own reply");
	$session->quit;
}

is($domo->count(by => 'data.n', operation => 'start', contains => '"n": ')
	  ->{max},
	1, 'no start arrived twice');
is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
