
# A clock that people set: servers that are started after this take it for the
# wall clock's, and what a test does not set is right (wrong_clock.c).
#
#   my $clock = WrongClock->new;    # before the servers, after the stand-in
#   $clock->set(-3600);             # an hour late from now on
#   $clock->right($time)            # what it was when the server said that time

package WrongClock;

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Time::HiRes ();

# What is said may be written down so much sooner or later than it is set.
use constant SLACK => 0.5;

sub new
{
	my ($class) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $shim = "$dir/wrong_clock.so";

	system_or_bail($ENV{CC} || 'cc', '-shared', '-fPIC', '-o', $shim,
		"$FindBin::RealBin/../t/wrong_clock.c", '-ldl');
	append_to_file("$dir/clock", pack 'q', 0);
	$ENV{LD_PRELOAD} = $shim;
	$ENV{DWF_CLOCK} = "$dir/clock";
	return bless {
		file => "$dir/clock",
		steps => [ { since => 0, wrong_by => 0 } ]
	}, $class;
}

# By how many seconds it is wrong from now on.
sub set
{
	my ($self, $seconds) = @_;

	open my $file, '+<', $self->{file} or die "$self->{file}: $!";
	syswrite $file, pack 'q', $seconds;
	close $file;
	push @{ $self->{steps} },
	  { since => Time::HiRes::time(), wrong_by => $seconds };
	return;
}

sub wrong_by
{
	return $_[0]->{steps}[-1]{wrong_by};
}

# The true time of what a server has called $time, where no two steps that are
# near each other in time are near each other in size.
sub right
{
	my ($self, $time) = @_;
	my $until = 9e9;

	foreach my $step (reverse @{ $self->{steps} })
	{
		my $right = $time - $step->{wrong_by};

		return $right
		  if $right > $step->{since} - SLACK && $right < $until + SLACK;
		$until = $step->{since};
	}
	die "no clock has said $time";
}

1;
