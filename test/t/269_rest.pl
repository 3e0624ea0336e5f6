
# A worker that a burst has left with many connections gives them back, with
# their memory, once nothing was sent for as long as they could be used again;
# as many as there are by default it keeps; and what comes then is sent as ever.
# Exists because what a burst had taken stayed for the worker's life.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs test points' unless Domowf::has_test_points();

use constant BURST => 24;
use constant KEPT => 8;    # at most, sender_wait.c

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => <<'END' . 'domowf.max_connections = ' . BURST);
domowf.poll_interval = '100ms'
domowf.returns = off
max_prepared_transactions = 2
END
my $session = Domowf->session($node);

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('held', 'scenario:gate:all', '1.0.0', 's'), ('good', 'model', '1.0.0', 's')
END

my $worker = $session->value('SELECT pid FROM domowf.worker');

# Opens so many connections at once, and leaves them idle.
sub burst
{
	my ($count) = @_;
	my @ids = map { $session->enqueue('held', $_) } 1 .. $count;

	$domo->wait_for(held => "=$count");
	$domo->release('all', $count);
	is(join(' ', map { $session->outcome($_) } @ids), join(' ', ('done') x $count), "$count at once");
	return;
}

burst(BURST);
is($domo->stats->{idle}, BURST, 'their connections are kept');
is($session->outcome($session->enqueue('good', 1)), 'done', 'one more goes');
is($domo->stats->{open}, BURST, '... on one of them');

Domowf->set_test_point($node, 'rest-seconds=0');
ok($domo->wait_for(open => 0), 'later all are given back');
is($session->outcome($session->enqueue('good', 2)), 'done', 'what comes then is sent');
burst(BURST);
ok($domo->wait_for(open => 0), '... and so on');

burst(KEPT);
# What was prepared is found when the worker polls, and no sooner.
$session->value($_)
  foreach 'BEGIN', q{SELECT domowf_enqueue('good', '{}')}, q{PREPARE TRANSACTION 'p'}, q{COMMIT PREPARED 'p'};
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM domowf.queue'), 'a poll later');
is($domo->stats->{open}, KEPT, '... a few connections are kept');

is($session->value('SELECT pid FROM domowf.worker'), $worker, 'all by the same worker');
is_deeply([ $domo->violations ], [], 'nothing that Domo does not allow');

done_testing();
