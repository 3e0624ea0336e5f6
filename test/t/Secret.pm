
# Where a token stands in a text, in any form that somebody could read it back
# from, whole or half of it.
#
#   my $secret = Secret->new($token, ...);
#   foreach my $found ($secret->find($text)) { $found->{token}, form, around }
#
# PostgreSQL itself logs, shows and dumps the statements by which a token is
# given to it.  Secret::without_statements($text) is a text without the literals
# of these, and with everything else.

package Secret;

use strict;
use warnings;

use MIME::Base64 qw(encode_base64);

# Shorter ones may stand anywhere by chance.
use constant MIN_LENGTH => 12;
use constant MIN_HALVED => 24;

# How a text is written, by the name of the form.
my %form = (
	plain => sub { $_[0] },
	sql => sub { $_[0] =~ s/'/''/gr },
	json => \&_json,
	'json twice' => sub { _json(_json($_[0])) },
	'json with \/' => sub { _json($_[0]) =~ s{/}{\\/}gr },
	'json escapes' => sub { _each('\\u%04x', $_[0]) },
	'JSON escapes' => sub { _each('\\u%04X', $_[0]) },
	percent => sub { $_[0] =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger },
	'lower percent' => sub { $_[0] =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02x', ord $1/ger },
	'percent, form' => sub { $_[0] =~ s/([^A-Za-z0-9_.*-])/sprintf '%%%02X', ord $1/ger },
	'percent, all' => sub { _each('%%%02X', $_[0]) },
	'lower percent, all' => sub { _each('%%%02x', $_[0]) },
	html => sub {
		my %entity = ('&' => 'amp', '<' => 'lt', '>' => 'gt', '"' => 'quot', q(') => '#39');

		return $_[0] =~ s/([&<>"'])/&$entity{$1};/gr;
	},
	'html, all' => sub { _each('&#%d;', $_[0]) },
	hex => sub { _each('%02x', $_[0]) },
	HEX => sub { _each('%02X', $_[0]) },
	'node tree' => sub { join ' ', map { ord } split //, $_[0] },
	(   map {
			my $before = $_;
			("base64 $before" => sub { _base64($before, $_[0]) },
				"base64url $before" => sub { _base64($before, $_[0]) =~ tr{+/}{-_}r })
		} 0 .. 2));

sub _json
{
	return $_[0] =~ s/(["\\])/\\$1/gr;
}

sub _each
{
	my ($format, $text) = @_;

	return join '', map { sprintf $format, ord } split //, $text;
}

# What the text makes of base64 whatever stands around it, after so many bytes.
sub _base64
{
	my ($before, $text) = @_;
	my $base64 = encode_base64(('y' x $before) . $text, '') =~ s/=+$//r;

	$base64 = substr $base64, 4 if $before;
	return substr $base64, 0, -1;
}

sub new
{
	my ($class, @tokens) = @_;
	my %needles;

	foreach my $token (grep { length >= MIN_LENGTH } @tokens)
	{
		my $half = int(length($token) / 2);
		my @parts =
		  length $token < MIN_HALVED ? $token
		  : (substr($token, 0, $half), substr($token, $half));

		foreach my $name ('plain', sort keys %form)
		{
			$needles{ $form{$name}->($_) } //= { token => $token, form => $name } foreach @parts;
		}
	}
	my $regex = join '|', map { quotemeta } sort keys %needles;

	return bless { needles => \%needles, regex => %needles ? qr/($regex)/ : qr/(?!)/ }, $class;
}

# The first of each token and form.
sub find
{
	my ($self, $text) = @_;
	my (%seen, @found);

	while ($text =~ /$self->{regex}/g)
	{
		my $needle = $self->{needles}{$1};
		my ($from, $to) = ($-[0], $+[0]);

		next if $seen{$needle}++;
		my $start = $from > 100 ? $from - 100 : 0;

		push @found, { %$needle,
			around => substr($text, $start, $from - $start) . '>>>'
			  . substr($text, $from, $to - $from) . '<<<' . substr($text, $to, 100) };
	}
	return @found;
}

my $literal = qr/'(?:[^']|'')*'/;

sub without_statements
{
	my ($text) = @_;

	$text =~ s/\b(SET\s+(?:LOCAL\s+|SESSION\s+)?domowf\.token\s*(?:=|TO)\s*)$literal/$1''/gi;
	$text =~ s/\b((?:CREATE|ALTER)\s+USER\s+MAPPING\s(?:[^;']|$literal)*?\btoken\s+)E?$literal/$1''/gi;
	return $text;
}

# The same of a server's log, where it stands in what is told as a statement.
sub log_without_statements
{
	my ($log) = @_;
	my $statement = qr/(?:LOG:  (?:\w{5}: )?(?:duration: [\d.]+ ms  )?(?:statement|execute [^:]*)|STATEMENT):  ?/;

	# a record, with the lines that it goes on in
	$log =~ s/($statement)(.*(?:\n\t.*)*)/$1 . without_statements($2)/ge;
	return $log;
}

1;
