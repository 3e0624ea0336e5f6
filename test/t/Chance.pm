
# Chance that can be repeated: the numbers depend on a seed only, on no other
# user of rand() and no platform.
#
#   start_dice(SEED, $round);
#   my $what = one_of_weighted(10 => 'often', 1 => 'seldom');

package Chance;

use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(chance dice one_of one_of_weighted start_dice);

my $state = 0;

# Starts the numbers of a stretch of a course of events, so that they do not
# depend on what came before.
sub start_dice
{
	my ($seed, $stretch) = @_;

	$state = ($seed * 7919 + $stretch * 104729) % 2**31;

	# near seeds give near numbers at first
	dice(2) foreach 1 .. 5;
	return;
}

# A whole number from 0 on, below $sides.
sub dice
{
	my ($sides) = @_;

	$state = ($state * 1103515245 + 12345) % 2**31;
	return int($state / 2**31 * $sides);
}

sub chance
{
	my ($percent) = @_;

	return dice(100) < $percent;
}

sub one_of
{
	return $_[ dice(scalar @_) ];
}

# one_of_weighted(WEIGHT => VALUE, ...)
sub one_of_weighted
{
	my @table = @_;
	my $total = 0;

	$total += $table[ 2 * $_ ] foreach 0 .. $#table / 2;
	my $left = dice($total);
	while (@table)
	{
		my ($weight, $value) = splice @table, 0, 2;

		return $value if ($left -= $weight) < 0;
	}
	die 'no weight is left';
}

1;
