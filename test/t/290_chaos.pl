
# The promise under whatever comes: sessions that commit, roll back, prepare
# and die, a Domo that breaks in every way, servers and workers that are
# stopped and killed, locks, settings, and people who act by hand, all as a
# seeded generator wants it (Chaos.pm, Blows.pm).  Exists because the other tests
# try what somebody has thought of.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Blows;
use Chaos;
use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo, preload => 1, conf => Chaos::CONF);
my $blows;
my $chaos = Chaos->new(
	domo => $domo,
	node => $node,
	disturb => sub { $blows->strike($blows->choose) });

$blows = Blows->new($chaos);
$chaos->begin;
$chaos->round($_) foreach 1 .. $chaos->{rounds};
$chaos->judge;
done_testing();
