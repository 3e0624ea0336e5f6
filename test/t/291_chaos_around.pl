
# The promise whatever happens around domowf, as 290 has it for what happens to
# it: owners who change the tables and what hangs on them, followers and pg_repack,
# clocks that are set, processes that are frozen, a synchronous standby that
# stops and dies, restarts under load; in the end the primary dies, and the
# standby takes over (Around.pm).  Exists because each of these has once had
# requests lost, started twice, or stuck.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Around;
use Domo;
use Domowf;
use Test::More;

my $around = Around->new(
	domo => Domo->new(tokens => [ Domowf::TOKEN ]),
	rounds => $ENV{DOMOWF_ROUNDS} // 12);
my $chaos = $around->{chaos};

$around->begin;
$chaos->round($_) foreach 1 .. $chaos->{rounds};
$around->fail_over;
$chaos->round($chaos->{rounds} + $_) foreach 1 .. 2;
$around->end;
done_testing();
