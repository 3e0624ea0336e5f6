
# What servers need and do not get: room on the disk, and memory.  Servers that
# are started after this find what a test says (scarce.c).
#
#   my $scarce = Scarce->new;       # before the servers, after the stand-in
#   $scarce->set(data_is_full => 1);
#   $scarce->fail(libcurl => 100, 50);    # each 100th, 50 times
#   $scarce->failed('libcurl')            # how many have

package Scarce;

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More ();

my @who = qw(libcurl libcjson domowf postgres);

# As in scarce.c, eight bytes each.
my @names = (
	qw(data_is_full wal_is_full),
	(map { "every $_" } @who),
	(map { "left $_" } @who),
	'backend',
	(map { "calls $_" } @who),
	(map { "failed $_" } @who));
my %place = map { $names[$_] => 8 * $_ } 0 .. $#names;

sub new
{
	my ($class) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $shim = "$dir/scarce.so";

	# which is not ready yet when the shim begins
	Test::More::plan(skip_all => 'AddressSanitizer has the allocations')
	  if defined $ENV{ASAN_OPTIONS};
	system_or_bail($ENV{CC} || 'cc', '-O1', '-shared', '-fPIC', '-o', $shim,
		"$FindBin::RealBin/scarce.c", '-ldl');
	append_to_file("$dir/scarce", pack 'q*', (0) x @names);
	$ENV{LD_PRELOAD} = $shim;
	$ENV{DWF_SCARCE} = "$dir/scarce";
	open my $file, '+<', "$dir/scarce" or die "$dir/scarce: $!";
	return bless { file => $file }, $class;
}

sub set
{
	my ($self, %values) = @_;

	foreach my $name (sort keys %values)
	{
		sysseek $self->{file}, $place{$name} // die("no $name"), 0;
		syswrite $self->{file}, pack 'q', $values{$name};
	}
	return;
}

sub get
{
	my ($self, $name) = @_;
	my $value;

	sysseek $self->{file}, $place{$name} // die("no $name"), 0;
	sysread $self->{file}, $value, 8;
	return unpack 'q', $value;
}

# Of the allocations of $who each $every-th fails, $times times; 0: none.
sub fail
{
	my ($self, $who, $every, $times) = @_;

	$self->set("every $who" => $every, "left $who" => $times // 1_000_000_000);
	return;
}

sub failed
{
	my ($self, $who) = @_;

	return $self->get("failed $who");
}

1;
