
# A token in what is kept: whoever answers may repeat it, in a header, in any
# field, in an escape or an encoding that somebody will undo.  Nothing of what
# a call returns, an error says, the log or the queue keeps, the worker shows
# or the server's log has it in a form that can be read back.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $token = 'Tok/en+1&2~0123456789-abcdef';
my $domo = Domo->new(tokens => [$token]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . "log_error_verbosity = verbose\n");
my $session = Domowf->session($node);
my @forms = qw(plain json json-twice percent percent-lower percent-twice html
  base64-0 base64-1 base64-2 base64url-0 base64url-1 base64url-2);
my @refusals = qw(retry-after location content-type message reason path toe
  unknown text html);
my @successes = qw(id model-name status key deep numbers);

# Those whose reply is shown with stars.
my %is_shown = map { $_ => 1 } qw(retry-after message reason toe text html
  permissions), @successes;

# Whether a text has the token in any form that can be read back.
sub leaks
{
	my ($text) = @_;
	my @needles = ($token);

	foreach my $before (0 .. 2)
	{
		my $base64 = encode_base64(('y' x $before) . $token, '');

		push @needles, substr($base64, 4, 28), substr($base64, 4, 28) =~ tr{+/}{-_}r;
	}
	foreach my $pass (0 .. 3)
	{
		foreach my $needle (@needles)
		{
			return 1 if index($text, $needle) >= 0;
		}
		$text =~
		  s{\\u00([0-9a-fA-F]{2})|%([0-9a-fA-F]{2})|&[#]([0-9]+);}
		  {chr(defined $3 ? $3 : hex($1 // $2))}ge;
		$text =~ s/\\\\/\\/g;
	}
	return 0;
}

ok(leaks('\\\\u0054ok%2Fen+1%2526&#50;~0123456789-abcdef'), 'the test sees it');

foreach my $form (@forms)
{
	foreach my $place (@refusals, @successes, 'permissions')
	{
		my $name = "$place, $form";
		my $model = "scenario:echo:$place:$form";
		my $sql =
		  $place eq 'permissions'
		  ? Domowf->permissions_sql($model) =~ s/count\(\*\)/p.*/r
		  =~ s/\)\s*\z/) p/r
		  : Domowf->start_sql($model) =~ s/SELECT i.id/SELECT i.*/r;
		my $got = $session->run($sql);
		my $all = $got->{out} . $got->{err};

		ok(!leaks($all), "$name: not in what a call says") or diag $all;
		is($got->{sqlstate} eq '', scalar(grep { $_ eq $place } @successes, 'permissions') > 0,
			"$name: the outcome is what it was")
		  or diag $all;
		like($all, qr/\*{8}/, "$name: stars in its place")
		  if $is_shown{$place} && $place ne 'permissions';
	}
}
is( $session->value("SELECT count(*) FROM domowf.log WHERE origin = 'call'"
		  . " AND operation = 'start'"),
	@forms * @successes,
	'every success is in the log');

# an id with stars is an instance that did start
like( $session->value(
		Domowf->start_sql('scenario:echo:id:json')), qr/^\*+$/,
	'an id that has the token is an id');
like($session->run('BEGIN; ' . Domowf->start_sql('scenario:echo:id:json')
		. '; ROLLBACK')->{warnings}[0]{message} // '',
	qr/\*{8}/, '... also in the warning of a rollback');

# ---- by the worker

foreach my $form (qw(plain json percent base64-1))
{
	foreach my $place (qw(retry-after message text), @successes)
	{
		my $name = "worker, $place, $form";
		my $id = $session->value(sprintf q{SELECT domowf_enqueue_call('start',
			'{"messageName": "Start it", "version": "1.0.0",
			"modelId": "scenario:echo:%s:%s", "data": {}}')}, $place, $form);

		if ($place eq 'retry-after')
		{
			$node->poll_query_until('postgres', "SELECT jsonb_array_length(errors) > 1"
				  . " FROM domowf.queue WHERE id = $id")
			  or die "$name: no error";
			ok(!leaks($session->value('SELECT w.* FROM domowf.worker w')),
				"$name: not in the worker view");
			my $row = $session->value(
				"SELECT errors FROM domowf.queue WHERE id = $id");

			ok(!leaks($row), "$name: not in the queue") or diag $row;
			like($row, qr/Retry-After.*\*{8}/, '... but stars');
			# not while it is sent, as it is again and again
			$node->poll_query_until('postgres', "SELECT domowf_discard($id)")
			  or die "$name: not discarded";
			$session->value('SELECT domowf_resume()');
		}
		else
		{
			$session->outcome($id);
		}
		my $row = $session->value("SELECT l.* FROM domowf.log l WHERE id = $id");

		ok(!leaks($row), "$name: not in the log") or diag $row;
		like($row, qr/\*{8}/, '... but stars');
	}
}
my $everything = $session->value(<<'END');
SELECT l.* FROM domowf.log l;
SELECT q.* FROM domowf.queue q;
SELECT w.* FROM domowf.worker w;
SELECT r.* FROM domowf.request r
END
ok(!leaks($everything), 'not in any table or view');

# a short token may be part of an id, so that a success is left as it is
my $short = 'short';
$domo->accept_tokens($token, $short);
$session->value("SET domowf.token = '$short'");
is($session->value(Domowf->start_sql('scenario:echo:id:plain')), $short,
	'a short token is left in a success');
like($session->run(Domowf->start_sql('scenario:echo:message:percent'))->{detail},
	qr/bad \*+!/, '... and not in a refusal');
$session->quit;
$node->stop;
ok(!leaks(Domowf->log_since($node)), 'not in the server\'s log');
is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
