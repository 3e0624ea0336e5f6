
# The promise under whatever comes: sessions that commit, roll back, prepare
# and die, a Domo that breaks in every way, servers and workers that are
# stopped and killed, locks, settings, and people who act by hand, all as a
# seeded generator wants it (Chaos.pm).  Exists because the other tests try what
# somebody has thought of.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Chance qw(dice one_of one_of_weighted);
use Chaos;
use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo, preload => 1, conf => Chaos::CONF);
my $chaos = Chaos->new(domo => $domo, node => $node, disturb => \&disturb);
my $is = $chaos->{is};

my %disturbance = (
	nothing => sub { },
	'close all' => sub { $chaos->catch_in_flight; $domo->close_all; },
	'close idle' => sub { $domo->close_idle; },
	'refuse connections' => sub {
		$domo->stop_accepting;
		$domo->close_idle;
		$is->{refusing} = 1;
	},
	'open gate' => sub { $domo->release('shut', 3); },
	'terminate worker' => sub {
		$chaos->catch_in_flight;
		$chaos->value(
			'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	},
	'kill worker' => sub {
		$chaos->catch_in_flight;
		$chaos->kill_process($chaos->worker);
	},
	'terminate session' => sub {
		my $i = dice(Chaos::SESSIONS);
		$chaos->value('SELECT pg_terminate_backend('
			  . $chaos->{sessions}[$i]->pid . ')');
		$chaos->lose_session($i);
	},
	'kill session' => sub {
		$chaos->catch_in_flight;
		$chaos->kill_process(one_of(@{ $chaos->{sessions} })->pid);
	},
	'immediate stop' => sub {
		$chaos->catch_in_flight;
		$chaos->restart('immediate');
	},
	restart => sub {
		$chaos->catch_in_flight;
		$chaos->restart('fast');
	},
	'other max_connections' => sub {
		$chaos->set_config('domowf.max_connections',
			one_of(1, 2, (Chaos::MAX_CONNECTIONS) x 2));
	},
	'worker off' => sub {
		$chaos->set_config('domowf.worker', 'off');
		$is->{off} = 1;
	},
	'worker on' => sub {
		$chaos->set_config('domowf.worker', 'on');
		$is->{off} = 0;
	},
	pause => sub { $chaos->value('SELECT domowf_pause()'); $is->{paused} = 1; },
	resume => sub { $chaos->value('SELECT domowf_resume()'); $is->{paused} = 0; },
	'lock rows' => sub {
		$chaos->lock_something(
			'SELECT FROM domowf.queue FOR UPDATE SKIP LOCKED');
	},
	'lock table' => sub {
		$chaos->lock_something(
			'LOCK TABLE domowf.queue IN ACCESS EXCLUSIVE MODE');
	},
	'lock log' => sub {
		$chaos->lock_something('LOCK TABLE domowf.log IN SHARE MODE');
	},
	unlock => sub { $chaos->unlock; });

sub disturb
{
	my $what = one_of_weighted(
		36 => 'nothing',
		($is->{off} ? 12 : 5) => $is->{off} ? 'worker on' : 'worker off',
		($is->{paused} ? 12 : 5) => $is->{paused} ? 'resume' : 'pause',
		(map { (5 => $_) } 'close all', 'refuse connections',
			'terminate worker', 'terminate session', 'open gate', 'lock rows',
			'other max_connections', 'unlock'),
		(map { (3 => $_) } 'close idle', 'lock table', 'lock log',
			'kill worker', 'immediate stop'),
		(map { (2 => $_) } 'kill session', 'restart'));

	note "round $chaos->{round}: $what";
	$disturbance{$what}->();
	return;
}

$chaos->begin;
$chaos->round($_) foreach 1 .. $chaos->{rounds};
$chaos->judge;
done_testing();
