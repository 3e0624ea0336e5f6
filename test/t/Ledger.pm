
# What a test asked of domowf, and whether what came of it keeps the promise:
# a rolled-back transaction starts nothing, a committed request is never lost,
# and nothing is started twice unless its owner said that it may be.
#
#   my $ledger = Ledger->new(max_in_flight => 4);
#   $ledger->ask('n1', tx => 1, kind => 'hold', key => 'k', order_key => 'o');
#   $ledger->ask('n2', tx => 1, kind => 'hold', undone => 1);
#   $ledger->end(1, 'committed');
#   $ledger->act(17, 'retry', 'in_doubt');
#   $ledger->read_marks($text);
#   $ledger->read_rows($text);
#   $ledger->read_record($domo->record);
#   is_deeply([ $ledger->broken ], [], 'the promise is kept');
#
# Each request has an own name, `n`, which it carries in its data.  Three
# witnesses are heard: the client, which may not know whether its transaction
# was committed; the marks, rows of other tables written by the transactions
# that enqueued, in the order of their commits; and the stand-in's record.  It
# must not ask domowf what is true, but only compare what it says.

package Ledger;

use strict;
use warnings;

# By so much later may the stand-in notice that a client has closed a
# connection than it gets the client's next request.
use constant LATE => 0.1;

# By so much a settlement is to lie within an attempt, since neither has an exact
# time: the stand-in may stand still for a moment, as any process.
use constant WHILE => 0.25;

sub new
{
	my ($class, %option) = @_;

	return bless {
		max_in_flight => $option{max_in_flight},
		asked => {}, fate => {}, acts => {}, marks => [], rows => {},
		name_of => {}, entries => {}, record => [], broken => []
	}, $class;
}

# ---- what the client knows

# ask(NAME, tx =>, kind => workflow or operation, key =>, order_key =>,
# instance => to be cancelled, undone => 1 where a savepoint takes it back)
sub ask
{
	my ($self, $n, %asked) = @_;

	$self->{asked}{$n} = {%asked};
	$self->{name_of}{ $asked{instance} } = $n if defined $asked{instance};
	return;
}

# A transaction was committed or rolled back; of others it is not known.
sub end
{
	my ($self, $tx, $fate) = @_;

	$self->{fate}{$tx} = $fate;
	return;
}

# What a session was told of a transaction that it ran whole; one that has ended
# meanwhile knows nothing.
sub hear
{
	my ($self, $tx, $result) = @_;

	$self->end($tx, $result->{sqlstate} eq '' ? 'committed' : 'rolled back')
	  unless $result->{is_lost};
	return;
}

# A person did retry, discard or resolve, with a request in that state.
sub act
{
	my ($self, $id, $what, $state) = @_;
	my $acts = $self->{acts}{$id} //= { retry => 0, discard => 0, resolve => 0 };

	$acts->{$what}++;
	# or may have been, where it was being sent a moment before
	$acts->{was_settled} = 1 if $state =~ /^(?:rejected|expired|sending)$/;
	return;
}

# ---- the witnesses

# Lines "n|id|order_key" in the order of commits; id as it was returned.
sub read_marks
{
	my ($self, $text) = @_;

	foreach my $line (split /\n/, $text)
	{
		my %mark;

		@mark{qw(n id order_key)} = split /\|/, $line, -1;
		push @{ $self->{marks} }, \%mark;
	}
	return;
}

# The query that read_rows() wants the result of.
sub rows_sql
{
	return <<'END';
WITH r AS (
	SELECT id, operation, workflow, state, attempts, key, on_doubt,
		max_attempts, request, errors, NULL::text AS instance_id,
		NULL::timestamptz AS settled_at
	FROM domowf.queue
	UNION ALL
	SELECT id, operation, workflow, outcome, attempts, key, on_doubt,
		max_attempts, request, errors, instance_id, settled_at
	FROM domowf.log WHERE origin = 'request')
SELECT id, coalesce(workflow, operation), operation, state, attempts, key,
	on_doubt, max_attempts, instance_id, extract(epoch FROM settled_at),
	CASE WHEN jsonb_path_exists(errors, '$[*] ? (@.class == "in doubt")')
		THEN 1 ELSE 0 END,
	CASE operation WHEN 'start' THEN request->'data'->>'n'
		WHEN 'cancel' THEN coalesce(request->>'id', request->>'instanceId')
		ELSE request->'permissions'->0->>'id' END
FROM r ORDER BY id
END
}

# The same, with the true time of what the server called so.
sub read_rows
{
	my ($self, $text, $right) = @_;

	foreach my $line (split /\n/, $text)
	{
		my %row;
		my $n;

		@row{qw(id scope operation state attempts key on_doubt max_attempts
			instance_id settled_at was_in_doubt n)} = split /\|/, $line, -1;
		$row{settled_at} = $right->($row{settled_at})
		  if $right && $row{settled_at} ne '';
		$n = $row{n};
		$n = $row{n} = $self->{name_of}{$n} // $n
		  if $row{operation} eq 'cancel';
		push @{ $self->{rows}{$n} }, \%row;
	}
	return;
}

# The stand-in's record, from the first request on.
sub read_record
{
	my ($self, @entries) = @_;

	$self->{record} = \@entries;
	foreach my $entry (@entries)
	{
		my $n = $self->_name($entry);

		push @{ $self->{entries}{$n} }, $entry if defined $n;
	}
	return;
}

# Which request an entry is of; undef for one whose body nobody has read.
sub _name
{
	my ($self, $entry) = @_;
	my $operation = $entry->{operation};
	my $n =
		$operation eq 'cancel' ? $self->{name_of}{ $entry->{id} }
	  : $operation eq 'start' ? $entry->{data} && $entry->{data}{n}
	  : $entry->{data} && $entry->{data}[0]{id};

	return $n if defined $n || !$entry->{complete};
	return "unknown (entry $entry->{seq})";
}

# ---- the judgement

# What is not as it was promised, in words, each with the request's history.
sub broken
{
	my ($self) = @_;

	$self->{broken} = [];
	$self->_check_presence;
	$self->_check_request($_) foreach sort keys %{ $self->{rows} };
	$self->_check_keys;
	$self->_check_order;
	$self->_check_in_flight;
	return @{ $self->{broken} };
}

# How many requests there are in each state.
sub states
{
	my ($self) = @_;
	my %count;

	$count{ $_->{state} }++ foreach map { @$_ } values %{ $self->{rows} };
	return %count;
}

sub _break
{
	my ($self, $n, $what) = @_;

	push @{ $self->{broken} }, "$n: $what; " . $self->history($n);
	return;
}

# All that is known of a request, on one line.
sub history
{
	my ($self, $n) = @_;
	my $asked = $self->{asked}{$n};
	my @parts = (
		'asked '
		  . join(' ', map { "$_=" . ($asked->{$_} // '') } sort keys %$asked),
		'transaction ' . ($self->{fate}{ $asked->{tx} // '' } // 'unknown'));

	foreach my $row (@{ $self->{rows}{$n} || [] })
	{
		my $acts = $self->{acts}{ $row->{id} } || {};

		push @parts, 'row ' . join ' ',
		  (map { "$_=$row->{$_}" } grep { $row->{$_} ne '' } sort keys %$row),
		  (map { "$_:$acts->{$_}" } sort keys %$acts);
	}
	foreach my $entry (@{ $self->{entries}{$n} || [] })
	{
		push @parts, 'arrived ' . join ' ',
		  map { "$_=" . ($entry->{$_} // '') }
		  qw(seq time ended scenario executed status instance complete);
	}
	return join ' | ', @parts;
}

# Committed: one row (with a key: one, or another one of that key); rolled
# back: none, and Domo never heard of it.
sub _check_presence
{
	my ($self) = @_;
	my %marked = map { $_->{n} => $_ } @{ $self->{marks} };
	my (%holders, %ids);

	foreach my $row (map { @$_ } values %{ $self->{rows} })
	{
		$ids{ $row->{id} } = 1;
		$holders{"$row->{scope} $row->{key}"}++ if $row->{key} ne '';
	}
	foreach my $n (sort keys %{ $self->{asked} })
	{
		my $asked = $self->{asked}{$n};
		my $fate = $self->{fate}{ $asked->{tx} } // 'unknown';
		my $rows = @{ $self->{rows}{$n} || [] };
		my $mark = $marked{$n};

		$self->_break($n, 'its transaction was committed, and is not')
		  if !$mark && $fate eq 'committed' && !$asked->{undone};
		$self->_break($n, 'it was rolled back, and is committed')
		  if $mark && ($fate eq 'rolled back' || $asked->{undone});
		$self->_break($n, 'there are several of it') if $rows > 1;
		$self->_break($n, 'it was rolled back, and is there')
		  if !$mark && $rows;
		$self->_break($n, 'it is not there, and arrived')
		  if !$rows && $self->{entries}{$n};
		next if !$mark;
		$self->_break($n, 'it was committed, and is lost')
		  if $rows == 0 && !defined $asked->{key};
		$self->_break($n, 'it was committed, and nobody has its key')
		  if defined $asked->{key} && !$holders{"$asked->{kind} $asked->{key}"};
		$self->_break($n, 'the request that it was given is lost')
		  if $mark->{id} ne '' && !$ids{ $mark->{id} };
	}
	foreach my $n (sort keys %{ { %{ $self->{rows} }, %{ $self->{entries} } } })
	{
		$self->_break($n, 'nobody asked for it') unless $self->{asked}{$n};
	}
	return;
}

# What became of a request, and how often Domo heard of it.
sub _check_request
{
	my ($self, $n) = @_;
	my ($row) = @{ $self->{rows}{$n} };
	my @entries = @{ $self->{entries}{$n} || [] };
	my @executed = grep { $_->{executed} } @entries;
	my $acts = $self->{acts}{ $row->{id} } || {};
	my $by_hand = $acts->{retry} || 0;
	my $held = $row->{operation} eq 'start' && $row->{on_doubt} eq 'hold';

	# after a refusal of these two it may be sent again by anybody
	my $used = grep { ($_->{status} // 0) !~ /^(?:429|401)$/ } @entries;

	$self->_break($n, 'it was not waited for')
	  if $row->{state} =~ /^(?:queued|sending)$/;
	$self->_break($n, 'it was sent again without its owner\'s leave')
	  if $held && $used > 1 + $by_hand;
	$self->_break($n, 'it was sent more often than it has attempts')
	  if $used > $row->{max_attempts} * (1 + $by_hand);
	$self->_break($n, 'it was sent more often than it says')
	  if !$by_hand && $used > $row->{attempts};
	$self->_break($n, 'it was executed, and says that it never may have been')
	  if @executed && $row->{state} ne 'done' && !$row->{was_in_doubt};
	$self->_break($n, 'it was settled while it was in flight')
	  if grep { _is_in_flight($_, $row->{settled_at}) } @entries;
	$self->_check_done($n, $row, $held && !$by_hand, @executed)
	  if $row->{state} eq 'done' && !$acts->{resolve};
	return;
}

# A request that is done, but by nobody's word.
sub _check_done
{
	my ($self, $n, $row, $once, @executed) = @_;

	$self->_break($n, 'it is done, and was never executed') unless @executed;
	$self->_break($n, 'it is done, and was in doubt')
	  if $once && $row->{was_in_doubt};
	$self->_break($n, 'it has the instance of another one')
	  if @executed && $row->{operation} ne 'set_permissions'
	  && !grep { $_->{instance} eq $row->{instance_id} } @executed;
	return;
}

# Of one key, one request at most is done, or may yet be.
sub _check_keys
{
	my ($self) = @_;
	my %holder;

	foreach my $row (map { @$_ } values %{ $self->{rows} })
	{
		my $key = "$row->{scope} $row->{key}";

		next if $row->{key} eq '' || $row->{state} !~ /^(?:done|in_doubt)$/;
		$self->_break($row->{n}, "it has the key of $holder{$key}")
		  if $holder{$key};
		$holder{$key} = $row->{n};
	}
	return;
}

# Whose order keys a request's are, by what was asked: workflow or operation.
sub _order_space
{
	my ($self, $n) = @_;
	my $kind = $self->{asked}{$n}{kind};
	my %space = (
		hold => 'of both',
		retry => 'of both',
		start => 'of the role',
		cancel => 'of the role');

	return $space{$kind} // $kind;
}

# Of one order key, each was sent for the first time after those before it, in
# the order of commits, had been settled; and no two were in flight at once.
sub _check_order
{
	my ($self) = @_;
	my (%before, %entries);

	foreach my $mark (@{ $self->{marks} })
	{
		my ($n, $order_key) = @$mark{qw(n order_key)};
		my ($row) = @{ $self->{rows}{$n} || [] };
		my $first = $self->{entries}{$n} && $self->{entries}{$n}[0];

		next if $order_key eq '' || !$row;
		$order_key = $self->_order_space($n) . " $order_key";
		push @{ $entries{$order_key} }, @{ $self->{entries}{$n} || [] };
		foreach my $earlier (grep { $first } @{ $before{$order_key} || [] })
		{
			my $until = $earlier->{settled_at};

			$self->_break($n, "it overtook $earlier->{n}, "
				  . $self->history($earlier->{n}))
			  if $until eq '' || $until > $first->{time} + 0.001;
		}

		# one that was settled, and then again by a person, has lost its place
		push @{ $before{$order_key} }, $row
		  unless $self->{acts}{ $row->{id} }{was_settled};
	}
	foreach my $order_key (sort keys %entries)
	{
		my $last;

		foreach my $entry (sort { $a->{time} <=> $b->{time} }
			@{ $entries{$order_key} })
		{
			$self->_break($self->_name($entry), 'it was sent while '
				  . $self->_name($last) . ' was in flight')
			  if $last && _ended($last) > $entry->{time};
			$last = $entry;
		}
	}
	return;
}

# When a request was certainly in flight no longer than.
sub _ended
{
	my ($entry) = @_;
	my $ended = $entry->{ended} // 9e9;

	# a reply leaves before its end is written down, a client later
	$ended -= LATE
	  if !defined $entry->{status} || ($entry->{scenario} // '') =~ /^hang/;
	return $ended;
}

# Whether it certainly was at that time.
sub _is_in_flight
{
	my ($entry, $time) = @_;

	return $time ne ''
	  && $time > $entry->{time} + WHILE && $time < _ended($entry) - WHILE;
}

sub _check_in_flight
{
	my ($self) = @_;
	my @changes;
	my $in_flight = 0;

	foreach my $entry (@{ $self->{record} })
	{
		push @changes, [ $entry->{time}, 1, $entry ],
		  [ _ended($entry), -1, $entry ]
		  if _ended($entry) > $entry->{time};
	}
	$self->{most_in_flight} = 0;
	foreach my $change (
		sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } @changes)
	{
		$in_flight += $change->[1];
		$self->{most_in_flight} = $in_flight
		  if $in_flight > $self->{most_in_flight};
		$self->_break($self->_name($change->[2]) // 'one cut short',
			"$in_flight are in flight at once")
		  if $change->[1] > 0 && $in_flight > $self->{max_in_flight};
	}
	return;
}

sub most_in_flight
{
	return $_[0]{most_in_flight};
}

1;
