
# What happens to domowf itself, in a course of events (Chaos.pm): connections
# and processes that end, settings, locks, pauses.
#
#   my $blows = Blows->new($chaos);
#   $blows->strike($blows->choose);
#
# They are chosen by chance, with weights.

package Blows;

use strict;
use warnings;

use Chance qw(dice one_of one_of_weighted);

# What a person does must not wait for a standby, which may be down until the
# round is over.
use constant AT_ONCE => 'SET synchronous_commit = local; ';

sub new
{
	my ($class, $chaos) = @_;

	return bless { chaos => $chaos, domo => $chaos->{domo} }, $class;
}

my %blow = (
	nothing => sub { },
	'close all' => sub {
		my ($self, $chaos) = @_;
		$chaos->catch_in_flight;
		$self->{domo}->close_all;
	},
	'close idle' => sub { $_[0]{domo}->close_idle; },
	'refuse connections' => sub {
		my ($self, $chaos) = @_;
		$self->{domo}->stop_accepting;
		$self->{domo}->close_idle;
		$chaos->{is}{refusing} = 1;
	},
	'open gate' => sub { $_[0]{domo}->release('shut', 3); },
	'terminate worker' => sub {
		my ($self, $chaos) = @_;
		$chaos->catch_in_flight;
		$chaos->value(
			'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	},
	'kill worker' => sub {
		my ($self, $chaos) = @_;
		$chaos->catch_in_flight;
		$chaos->kill_process($chaos->worker);
	},
	'terminate worker, its rows locked' => sub {
		my ($self, $chaos) = @_;
		return if $chaos->{locker};

		# the next one has to come back to them, and is sending by then
		$chaos->put_in_flight;
		$chaos->lock_something(
			q{SELECT FROM domowf.queue WHERE state = 'sending' FOR UPDATE SKIP LOCKED});
		$chaos->value(
			'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
		$chaos->put_in_flight;
	},
	'terminate session' => sub {
		my ($self, $chaos) = @_;
		my $i = dice(scalar @{ $chaos->{sessions} });
		$chaos->value('SELECT pg_terminate_backend('
			  . $chaos->{sessions}[$i]->pid . ')');
		$chaos->lose_session($i);
	},
	'kill session' => sub {
		my ($self, $chaos) = @_;
		$chaos->catch_in_flight;
		$chaos->kill_process(one_of(@{ $chaos->{sessions} })->pid);
	},
	'immediate stop' => sub {
		my ($self, $chaos) = @_;
		$chaos->catch_in_flight;
		$chaos->restart('immediate');
	},
	restart => sub {
		my ($self, $chaos) = @_;
		$chaos->catch_in_flight;
		$chaos->restart('fast');
	},
	'other max_connections' => sub {
		my ($self, $chaos) = @_;
		$chaos->set_config('domowf.max_connections',
			one_of(1, 2, (Chaos::MAX_CONNECTIONS()) x 2));
	},
	'worker off' => sub {
		my ($self, $chaos) = @_;
		$chaos->set_config('domowf.worker', 'off');
		$chaos->{is}{off} = 1;
	},
	'worker on' => sub {
		my ($self, $chaos) = @_;
		$chaos->set_config('domowf.worker', 'on');
		$chaos->{is}{off} = 0;
	},
	pause => sub {
		my ($self, $chaos) = @_;
		$chaos->value(AT_ONCE . 'SELECT domowf_pause()');
		$chaos->{is}{paused} = 1;
	},
	resume => sub {
		my ($self, $chaos) = @_;
		$chaos->value(AT_ONCE . 'SELECT domowf_resume()');
		$chaos->{is}{paused} = 0;
	},
	'lock rows' => sub {
		$_[1]->lock_something(
			'SELECT FROM domowf.queue FOR UPDATE SKIP LOCKED');
	},
	'lock table' => sub {
		$_[1]->lock_something(
			'LOCK TABLE domowf.queue IN ACCESS EXCLUSIVE MODE');
	},
	'lock log' => sub {
		$_[1]->lock_something('LOCK TABLE domowf.log IN SHARE MODE');
	},
	unlock => sub { $_[1]->unlock; });

# The name of one.
sub choose
{
	my ($self) = @_;
	my $is = $self->{chaos}{is};

	return one_of_weighted(
		36 => 'nothing',
		($is->{off} ? 12 : 5) => $is->{off} ? 'worker on' : 'worker off',
		($is->{paused} ? 12 : 5) => $is->{paused} ? 'resume' : 'pause',
		(map { (5 => $_) } 'close all', 'refuse connections',
			'terminate worker', 'terminate session', 'open gate', 'lock rows',
			'other max_connections', 'unlock'),
		(map { (3 => $_) } 'terminate worker, its rows locked', 'close idle',
			'lock table', 'lock log', 'kill worker', 'immediate stop'),
		(map { (2 => $_) } 'kill session', 'restart'));
}

sub strike
{
	my ($self, $what) = @_;

	$self->{chaos}->tell($what);
	return $self->strike_untold($what);
}

# By whoever has told of it.
sub strike_untold
{
	my ($self, $what) = @_;

	$blow{$what}->($self, $self->{chaos});
	return;
}

1;
