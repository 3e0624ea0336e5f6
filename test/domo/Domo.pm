
# The stand-in for Domo, as TAP tests use it: starts domo.py, programs it
# through its control port and asks it what it saw. README.md beside this file
# explains scenarios, rules and the fields of the record.
#
#   use FindBin;
#   use lib "$FindBin::RealBin/../domo";
#   use Domo;
#
#   my $domo = Domo->new(tls => 1);
#   my $url = $domo->url;
#   $node->append_conf('postgresql.conf', "domowf.base_url = '$url'");
#   $domo->script('status:502', count => 3);
#   ...
#   $domo->wait_for(executed => 1);
#   is(scalar $domo->executed, 1, 'started once');
#   is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
#
# Every method dies when the stand-in does not do what it was asked.

package Domo;

use strict;
use warnings;

use Carp;
use File::Basename qw(dirname);
use File::Spec;
use File::Temp;
use HTTP::Tiny;
use IO::Select;
use IPC::Run;
use JSON::PP;
use Scalar::Util qw(weaken);
use Symbol qw(gensym);

use constant START_SECONDS => 60;
use constant WAIT_SECONDS  => 180;

my $here = dirname(File::Spec->rel2abs(__FILE__));

# The record nests as deep as what was sent.
my $json = JSON::PP->new->utf8->allow_nonref->max_depth(100_000);

# All that run, so that none is left when a test dies.
my %running;

# All tokens that any has accepted.
my %used;

sub tokens_used
{
	my @tokens = sort keys %used;
	return @tokens;
}

# new(tls => 0 or 1, dir => directory for record.jsonl, tokens => [...])
sub new
{
	my ($class, %option) = @_;
	my $self = bless { owner => $$ }, $class;
	my @command = ($ENV{PYTHON} || 'python3', "$here/domo.py");

	push @command, '--tls' if $option{tls};
	push @command, '--dir', $option{dir} if defined $option{dir};
	push @command, '--token', $_ foreach @{ $option{tokens} || [] };

	($self->{in}, $self->{out}) = (gensym, gensym);
	$self->{stderr} = File::Temp->new;
	$self->{harness} = IPC::Run::start(
		\@command,
		'<pipe' => $self->{in},
		'>pipe' => $self->{out},
		'2>' => $self->{stderr}->filename);
	$self->{where} = $self->_first_line;
	$used{$_} = 1 foreach $self->token, @{ $option{tokens} || [] };

	$running{$self} = $self;
	weaken($running{$self});
	return $self;
}

# The line of JSON that tells where it listens.
sub _first_line
{
	my ($self) = @_;
	my $line = '';
	my $deadline = time + START_SECONDS;
	my $select = IO::Select->new($self->{out});

	while ($line !~ /\n/ && $select->can_read($deadline - time))
	{
		sysread($self->{out}, $line, 4096, length $line) or last;
	}
	return $json->decode($line) if $line =~ /\n/;

	$self->{harness}->kill_kill;
	delete $self->{harness};
	croak "domo.py did not start: $line" . $self->stderr;
}

# What it wrote to standard error so far; it should be nothing.
sub stderr
{
	my ($self) = @_;
	open my $file, '<', $self->{stderr}->filename or return "(lost: $!)";
	local $/;
	my $text = <$file>;
	close $file;
	return $text // '';
}

# Ends it; called by itself when the object goes away.
sub stop
{
	my ($self) = @_;
	my $harness = delete $self->{harness} or return;
	delete $running{$self};
	local ($?, $@, $!);
	close $self->{in};
	eval { $harness->signal('TERM'); };
	eval { $harness->finish; };
	close $self->{out};
	return;
}

# Not in a forked child, whose parent still needs it.
sub DESTROY
{
	my ($self) = @_;
	$self->stop if ($self->{owner} || 0) == $$;
	return;
}

END
{
	foreach my $domo (grep { defined } values %running)
	{
		$domo->stop if $domo->{owner} == $$;
	}
}

# ---- where it is

foreach my $key (
	qw(port tls_port wrong_name_port unknown_ca_port other_port
	other_tls_port silent_tls_port blackhole_port refused_port proxy_port
	control_port ca_file token pid))
{
	no strict 'refs';    ## no critic
	*{$key} = sub { return $_[0]->{where}{$key}; };
}

my %url = (
	url => [ 'http', 'port' ],
	tls_url => [ 'https', 'tls_port' ],
	wrong_name_url => [ 'https', 'wrong_name_port' ],
	unknown_ca_url => [ 'https', 'unknown_ca_port' ],
	silent_url => [ 'https', 'silent_tls_port' ],
	blackhole_url => [ 'http', 'blackhole_port' ],
	refused_url => [ 'http', 'refused_port' ],
	proxy_url => [ 'http', 'proxy_port' ],
	control_url => [ 'http', 'control_port' ],);

foreach my $name (keys %url)
{
	my ($scheme, $port) = @{ $url{$name} };
	my $host = $scheme eq 'https' ? 'localhost' : '127.0.0.1';

	no strict 'refs';    ## no critic
	*{$name} = sub {
		my $number = $_[0]->{where}{$port}
		  or croak "$name: start it with tls => 1";
		return "$scheme://$host:$number";
	};
}

# ---- the control port

# One request to the control port; %$query goes into the URL, $given is sent
# as JSON.
sub control
{
	my ($self, $method, $path, $query, $given, $timeout) = @_;
	my $http = HTTP::Tiny->new(
		timeout => ($timeout || 0) + 60,
		http_proxy => undef,
		all_proxy => undef);
	my $url = $self->control_url . "/$path";
	$url .= '?' . $http->www_form_urlencode($query) if $query && %$query;
	my %content =
	  defined $given
	  ? (content => $json->encode($given),
		headers => { 'Content-Type' => 'application/json' })
	  : ();
	my $reply = $http->request($method, $url, \%content);

	croak "domo: $method /$path: $reply->{status} $reply->{content}"
	  . $self->stderr
	  unless $reply->{success};
	return $json->decode($reply->{content});
}

sub _segment
{
	my ($text) = @_;
	utf8::encode($text);
	$text =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge;
	return $text;
}

# ---- what it saw

# The entries that match, in order of arrival; their number in scalar context.
# A filter names a field of an entry, or since, contains.
sub record
{
	my ($self, %filter) = @_;
	my @entries = @{ $self->control('GET', 'record', \%filter) };
	return @entries;
}

# Those that Domo carried out.
sub executed
{
	my ($self, %filter) = @_;
	return $self->record(%filter, executed => 1);
}

# How many starts whose data is {"n": $n} came, and how many of these Domo
# carried out.
sub arrived
{
	my ($self, $n) = @_;
	return scalar $self->record(contains => "\"n\": \"$n\"");
}

sub started
{
	my ($self, $n) = @_;
	return scalar $self->executed(contains => "\"n\": \"$n\"");
}

# Those that the page does not allow. Should be none in nearly all tests.
sub violations
{
	my ($self, %filter) = @_;
	return $self->record(%filter, violations => 1);
}

# How often each value of the field `by` (default id; data.n for an input n)
# occurs: { total, distinct, max, repeated }. Filters as for record.
sub count
{
	my ($self, %filter) = @_;
	return $self->control('GET', 'count', \%filter);
}

sub stats
{
	my ($self) = @_;
	return $self->control('GET', 'stats');
}

sub clear_record
{
	my ($self) = @_;
	return $self->control('DELETE', 'record');
}

# wait_for(executed => 3): until at least so many; open => 0, or '=3', means
# exactly. Of requests, executed, violations (all three with operation => ...
# if wanted), connections, open, idle, held, silent, proxied. Returns stats.
sub wait_for
{
	my ($self, %goal) = @_;
	my $timeout = $goal{timeout} //= WAIT_SECONDS;
	my $answer = $self->control('GET', 'wait', \%goal, undef, $timeout);

	return $answer->{stats} if $answer->{reached};
	my $wanted = join ', ', map { "$_ $goal{$_}" } sort keys %goal;
	croak "domo: waited in vain for $wanted: "
	  . $json->canonical->encode($answer->{stats});
}

# ---- what is to happen

# script('status:502', count => 3, operation => 'start', contains => 'x');
# script([ 'status:502', 'normal' ]) for one request each; count => undef for
# all until clear_script.
sub script
{
	my ($self, $scenario, %rule) = @_;
	my $key = ref $scenario ? 'scenarios' : 'scenario';
	$rule{count} += 0 if defined $rule{count};
	return $self->control('POST', 'script', {},
		{ %rule, $key => $scenario });
}

sub clear_script
{
	my ($self) = @_;
	return $self->control('DELETE', 'script');
}

# The rules that are not used up yet.
sub rules
{
	my ($self) = @_;
	my @rules = @{ $self->control('GET', 'script') };
	return @rules;
}

# Opens a gate for good, or for the next $count.
sub release
{
	my ($self, $name, $count) = @_;
	return $self->control(
		'POST',
		'release/' . _segment($name),
		defined $count ? { count => $count } : {});
}

# From now on these tokens are good, and no others.
sub accept_tokens
{
	my ($self, @tokens) = @_;
	$used{$_} = 1 foreach @tokens;
	return $self->control('POST', 'token', {}, { accept => \@tokens });
}

# ---- Domo's things

sub instance
{
	my ($self, $id) = @_;
	return $self->control('GET', 'instance/' . _segment($id));
}

sub set_instance
{
	my ($self, $id, $status) = @_;
	return $self->control('POST', 'instance/' . _segment($id),
		{}, { status => $status });
}

# What the reads of an instance tell from now on, or with undef those of every
# instance that will be started: set_states($id, [ 'IN_PROGRESS', 2 ],
# [ 'COMPLETED', 1 ]), each for so many reads, the last one for good.
sub set_states
{
	my ($self, $id, @states) = @_;
	my $path = defined $id ? 'instance/' . _segment($id) : 'course';
	return $self->control('POST', $path, {},
		{ states => [ map { [ $_->[0], $_->[1] + 0 ] } @states ] });
}

# The instance is not there any more: 404.
sub forget_instance
{
	my ($self, $id) = @_;
	return $self->control('DELETE', 'instance/' . _segment($id));
}

# The array last stored for a model, or undef.
sub permissions
{
	my ($self, $model) = @_;
	return $self->control('GET', 'permissions/' . _segment($model));
}

# ---- connections

foreach my $name (
	qw(close_idle close_all stop_accepting resume_accepting reset))
{
	(my $path = $name) =~ tr/_/-/;

	no strict 'refs';    ## no critic
	*{$name} = sub { return $_[0]->control('POST', $path); };
}

1;
