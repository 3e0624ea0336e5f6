
# Statements without a psql: what safe_psql() and poll_query_until() of
# PostgreSQL's module do, on a connection of the test's own.  A psql takes more
# time to start than most statements take, and tests ask thousands of times.
#
# Whoever has Domowf.pm has this.  Each safe_psql() is a session of its own, as
# ever, and its statements are transactions of their own; poll_query_until() asks
# over one connection for as long as that lasts, where nobody could want to drop
# the database.  What psql alone can do (its commands, COPY, parameters of the
# two) goes to psql.

package Wire;

use strict;
use warnings;

use Carp qw(croak);
use IO::Socket::UNIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Socket qw(MSG_NOSIGNAL);
use Test::More ();
use Time::HiRes qw(sleep time);

use constant {
	PROTOCOL => 196608,
	SHORTEST_WAIT => 0.01,
	LONGEST_WAIT => 0.1,
};

# What libpq would take from the environment, and this does not.
my @other_ways = qw(PGOPTIONS PGCLIENTENCODING PGSERVICE);

# What ends no statement; of what is quoted, all.
my $piece = qr{'[^']*'|"[^"]*"|\$(\w*)\$.*?\$\g{-1}\$|--[^\n]*|/\*.*?\*/
	|[^;'"\$/-]+|[\$/-]}sx;

{
	no warnings 'redefine';
	my $safe_psql = \&PostgreSQL::Test::Cluster::safe_psql;
	my $poll_query_until = \&PostgreSQL::Test::Cluster::poll_query_until;

	*PostgreSQL::Test::Cluster::safe_psql = sub {
		my ($node, $database, $sql, %option) = @_;
		my @statements = %option ? () : statements($sql);

		return @statements ? _run($node, $database, @statements) :
		  $safe_psql->(@_);
	};
	*PostgreSQL::Test::Cluster::poll_query_until = sub {
		my ($node, $database, $sql, $expected) = @_;
		my @statements = statements($sql);

		return @statements == 1 && $statements[0] =~ /^\s*(?:SELECT|WITH)\b/i ?
		  _poll($node, $database, $statements[0], $expected // 't') :
		  $poll_query_until->(@_);
	};
}

# The statements of a text; none where it takes psql to read it.
sub statements
{
	my ($sql) = @_;
	my @statements = ('');

	return if !defined $sql || grep { defined $ENV{$_} } @other_ways;
	return if $sql =~ /\\|\b(?:COPY|ATOMIC|RULE)\b/i || !utf8::downgrade($sql, 1);
	while ($sql =~ /\G(?:(;)|($piece))/gc)
	{
		push @statements, '' if defined $1;
		$statements[-1] .= $2 if defined $2;
	}
	return if (pos($sql) // 0) < length $sql;
	return grep { /\S/ } @statements;
}

# Returns nothing, and sets $error, where there is no connection to be had.
my $error;

sub new
{
	my ($class, $node, $database) = @_;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path);

	$error = "connection to server on socket \"$path\" failed: $!\n";
	return unless $socket;

	my $self = bless { socket => $socket, in => '' }, $class;
	my %as = (
		user => $ENV{PGUSER} // scalar getpwuid($>),
		database => $database,
		application_name => $ENV{PGAPPNAME} // 'psql');
	my $start = pack('N', PROTOCOL) . join("\0", %as) . "\0\0";

	$self->_send(pack('N', 4 + length $start) . $start);
	my $got = $self->_result;

	return $self unless $got->{failed};
	$error =~ s/[^:]*\z/ $got->{err}/;
	$error =~ s/psql:<stdin>:1: //;
	return;
}

# Runs one statement, for { out, err, failed }, as psql -Atq prints them.
sub run
{
	my ($self, $statement) = @_;

	$self->_send('Q' . pack('N Z*', 5 + length $statement, $statement));
	return $self->_result;
}

# Ends the session, as psql does.
sub quit
{
	my ($self) = @_;

	$self->_send('X' . pack('N', 4));
	close $self->{socket};
	return;
}

sub _run
{
	my ($node, $database, @statements) = @_;
	my $wire = Wire->new($node, $database) or croak "psql: error: $error";
	my ($out, $err) = ('', '');

	foreach my $statement (@statements)
	{
		my $got = $wire->run($statement);

		$out .= $got->{out};
		$err .= $got->{err};
		croak "error running SQL: '$err'\nwhile running '$statement'"
		  if $got->{failed};
	}
	$wire->quit;
	print "#### Begin standard error\n$err#### End standard error\n" if $err ne '';
	chomp $out;
	return $out;
}

# How long that goes on is what psql would take on a slow machine.
sub _poll
{
	my ($node, $database, $sql, $expected) = @_;
	my $end = time + 3 * $PostgreSQL::Test::Utils::timeout_default;
	my $wait = SHORTEST_WAIT;
	my ($wire, $got);

	while (1)
	{
		$wire //= Wire->new($node, $database);
		$got = $wire ? $wire->run($sql) : { out => '', err => $error };
		chomp $got->{out};

		my $is_it = $got->{out} eq $expected && $got->{err} eq '';
		my $is_kept = $got->{err} eq '' && $database eq 'postgres';

		$wire->quit if $wire && ($is_it || !$is_kept);
		return 1 if $is_it;
		last if time > $end;
		$wire = undef unless $is_kept;
		sleep $wait;
		$wait *= 1.5 if $wait < LONGEST_WAIT;
	}
	Test::More::diag("polled in vain: $sql\nexpected: $expected\n"
		  . "got: $got->{out}\nerror: $got->{err}");
	return 0;
}

sub _send
{
	my ($self, $message) = @_;

	send $self->{socket}, $message, MSG_NOSIGNAL;
	return;
}

# Everything up to the server's being ready, or gone.
sub _result
{
	my ($self) = @_;
	my %result = (out => '', err => '', failed => 0);

	while (1)
	{
		my ($type, $body) = $self->_message;

		if (!defined $type)
		{
			$result{err} .= "server closed the connection unexpectedly\n";
			$result{failed} = 1;
			return \%result;
		}
		croak 'a password is asked for' if $type eq 'R' && $body ne "\0" x 4;
		croak "message $type" if $type =~ /[GHW]/;
		$result{out} .= _row($body) if $type eq 'D';
		$result{err} .= _report($type, $body) if $type =~ /[EN]/;
		$result{failed} = 1 if $type eq 'E';
		return \%result if $type eq 'Z';
	}
	return;
}

sub _row
{
	my ($body) = @_;
	my ($count, $at, @values) = (unpack('n', $body), 2);

	return '' if $count == 0;
	while ($count-- > 0)
	{
		my $length = unpack 'l>', substr $body, $at, 4;

		push @values, $length < 0 ? '' : substr $body, $at + 4, $length;
		$at += 4 + ($length < 0 ? 0 : $length);
	}
	return join('|', @values) . "\n";
}

# As psql prints it, but for where in the statement that is.
sub _report
{
	my ($type, $body) = @_;
	my %field = map { /^(.)(.*)/s } split /\0/, $body;
	my $text = "psql:<stdin>:1: $field{S}:  $field{M}\n";

	$text .= "DETAIL:  $field{D}\n" if defined $field{D};
	$text .= "HINT:  $field{H}\n" if defined $field{H};
	$text .= "CONTEXT:  $field{W}\n" if defined $field{W} && $type eq 'E';
	return $text;
}

# Type and body; nothing: the server is gone.
sub _message
{
	my ($self) = @_;
	my $head = $self->_read(5) // return;
	my ($type, $length) = unpack 'a N', $head;
	my $body = $self->_read($length - 4) // return;

	return ($type, $body);
}

sub _read
{
	my ($self, $length) = @_;

	while (length $self->{in} < $length)
	{
		my $got = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};

		next if !defined $got && $!{EINTR};
		return unless $got;
	}
	return substr $self->{in}, 0, $length, '';
}

1;
