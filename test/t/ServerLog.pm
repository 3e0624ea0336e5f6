
# What the servers of a test have written to their logs and never should: that
# memory or a reference leaked, that an assertion failed, that a process crashed
# or panicked, that something "could not" be done of what domowf does itself; and
# a token that the test has the stand-in accept, in whatever form.
#
# Domowf.pm has this looked for at the end of each test, which needs to say no
# more than what it provokes:
#
#   Domowf->expect_in_log(qr/could not read domowf\.token_file/);
#
# Which words are domowf's is read from its sources: messages that could not
# come, elog()'s, and all that have "could not" in them.

package ServerLog;

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Secret;

my $sources = "$FindBin::RealBin/../../src";

my $first = qr/\b(PANIC|FATAL|ERROR|WARNING|NOTICE|INFO|LOG|DEBUG\d?|STATEMENT|DETAIL|HINT|CONTEXT|QUERY|LOCATION|BACKTRACE):  (.*)/;
my $leak = qr/\b(?:leak|leaked|not closed|still referenced)\b|snapshot \S+ still active|problem in alloc set|past chunk end/;
my $crash = qr/terminated by signal (?!9\b|15\b|2\b|3\b)/;
my $raw = qr/^TRAP:|AddressSanitizer|LeakSanitizer|runtime error:|^free\(\)|^malloc\(\)|corrupted/;

# PostgreSQL's own, which one of ours also fits; and what came of an attempt, in
# words that are a caller's error otherwise
my $not_ours = qr/could not send (?:data to client|data to WAL stream|end-of-streaming message)|^domowf: attempt \d+ failed: class=/;

# faults([ TOKEN, ... ], REGEX, ...): the lines of this test's servers that should
# not be there, but for those that are expected, and where the tokens are.
sub faults
{
	my ($tokens, @expected) = @_;
	my ($name) = $0 =~ m{([^/]+?)(?:\.pl)?$};
	my $ours = _ours();
	my @faults;

	my $secret = Secret->new(@$tokens);

	foreach my $file (glob "$PostgreSQL::Test::Utils::log_path/${name}_*.log")
	{
		my $log = slurp_file($file);

		push @faults, map { "a token ($_->{form}): $_->{around}" }
		  $secret->find(Secret::log_without_statements($log))
		  if $secret->find($log);
		foreach my $line (split /\n/, $log)
		{
			next unless _is_fault($line, $ours);
			next if grep { $line =~ $_ } @expected;
			push @faults, $line;
		}
	}
	return @faults;
}

sub _is_fault
{
	my ($line, $ours) = @_;

	return $line =~ $raw unless $line =~ $first;
	my ($severity, $message) = ($1, $2);

	return 1 if $severity eq 'PANIC';
	return 0 unless $severity =~ /^(?:FATAL|ERROR|WARNING|LOG)$/;
	return
	     $message =~ $leak
	  || $message =~ $crash
	  || ($message =~ $ours && $message !~ $not_ours);
}

# The messages of the sources, as one regular expression.
sub _ours
{
	my %messages;

	foreach my $file (glob "$sources/*.c $sources/*/*.c")
	{
		my $text = slurp_file($file);

		$text =~ s{/\*.*?\*/}{}gs;
		$messages{$_} = 1
		  foreach $text =~ /\belog\(\w+,\s*"((?:\\.|[^"\\])*)"/g,
		  grep { /could not/ } $text =~ /"((?:\\.|[^"\\\n])*)"/g;
	}
	die "no messages in $sources" unless %messages;
	return join '|', map { _regex($_) } sort keys %messages;
}

# A format as a regular expression.
sub _regex
{
	my ($format) = @_;

	$format =~ s/\\(.)/$1/g;
	return join '.*?', map { quotemeta } split /%[-+ #0-9.*lhz]*[a-zA-Z]/,
	  $format, -1;
}

1;
