
# A worker or a session that is kept from running for longer than domowf.timeout
# reads the reply that has come meanwhile, and then judges.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo,
	preload => 1,
	conf => "domowf.timeout = '3s'\n");
my $session = Domowf->session($node);
my $caller = Domowf->session($node);

$session->value(q{INSERT INTO domowf.workflow (name, model_id, version,
	message_name) VALUES ('gated', 'scenario:gate-executed:way', '1.0.0', 'Start it')});

# Has a process frozen when it has sent something, until it was in time: a slow
# machine may take longer to stop it than it waits.
sub until_frozen
{
	my ($ask, $pid, $end) = @_;
	my $since;

	do
	{
		$end->() if $since;
		$since = time;
		$ask->();
	} while (freeze($pid) - $since > 2);
	return;
}

# Stops a process while what it has sent is not answered, has that answered, and
# lets it go on when its time is over.
sub freeze
{
	my ($pid) = @_;

	$domo->wait_for(held => '=1');
	kill 'STOP', $pid or die "could not stop $pid: $!";
	my $stopped = time;
	$domo->release('way', 1);
	my $now = $session->value('SELECT clock_timestamp()');
	$node->poll_query_until('postgres',
		"SELECT clock_timestamp() > '$now'::timestamptz + interval '3 s'")
	  or die 'time does not pass';
	kill 'CONT', $pid or die "could not go on with $pid: $!";
	return $stopped;
}

# ---- the worker

my $n = 0;
my $id;
until_frozen(
	sub { $id = $session->enqueue('gated', 'worker' . ++$n) },
	$session->value('SELECT pid FROM domowf.worker'),
	sub { $session->outcome($id) });
is($session->outcome($id, 'state, attempts'),
	'done|1', 'a worker that did not run for a while reads the reply first');

# ---- a session

$n = 0;
until_frozen(
	sub {
		$n++;
		$caller->send(qq{SELECT (domowf_start('gated', '{"n": "session$n"}')).id IS NOT NULL});
	},
	$caller->pid,
	sub { $caller->wait });
is($caller->wait->{out}, 't', '... and so does a session');

# ---- what has not come is not waited for

$caller->send(q{SELECT domowf_start('gated', '{"n": "nothing"}')});
$domo->wait_for(held => '=1');
is($caller->wait->{sqlstate}, '38U02', 'where there is none, the time is over');
$domo->release('way', 1);

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
is(scalar $domo->arrived($_), 1, "once: $_") foreach 'worker1', 'session1', 'nothing';
$session->quit;
$caller->quit;
$node->stop;
done_testing();
