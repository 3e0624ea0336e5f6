
# Requests of all kinds, by chance, as SQL: each is told to a ledger
# (Ledger.pm), and leaves a mark in the transaction that asks.
#
#   my $asker = Asker->new($ledger);
#   $sql .= $asker->ask(tx => 1, round => 1);
#
# It needs the workflows hold and retry, of one order_scope, and few, and the
# tables
#
#   marks (n, tx, id, order_key, place), of which place has a default
#   orders (n, tx, key, order_key), whose trigger starts the workflow hold

package Asker;

use strict;
use warnings;

use Chance qw(chance dice one_of one_of_weighted);

sub new
{
	my ($class, $ledger) = @_;

	return bless { ledger => $ledger, last => 0, instances => [] }, $class;
}

# An instance that is there, for a request to cancel.
sub may_cancel
{
	my ($self, $instance) = @_;

	push @{ $self->{instances} }, $instance;
	return;
}

# A start and nothing special, as a statement without its semicolon; but for
# $option, parameters in SQL.
sub start
{
	my ($self, $tx, $option) = @_;
	my $name = $self->_name;
	my $more = defined $option ? ", $option" : '';

	$self->{ledger}->ask($name, tx => $tx, kind => 'hold');
	return _mark($name, $tx, "domowf_enqueue('hold', '{\"n\": \"$name\"}'$more)");
}

sub _name
{
	my ($self) = @_;

	return 'n' . ++$self->{last};
}

sub _mark
{
	my ($name, $tx, $call, $order_key) = @_;

	return "INSERT INTO marks VALUES ('$name', $tx, $call, "
	  . (defined $order_key ? "'$order_key'" : 'NULL') . ')';
}

# ask(tx =>, round =>, plain => 1, undone => 1): one request, or several of one
# statement; returns statements.  A plain one locks nothing that others wait
# for; one that is undone is within a savepoint that is rolled back.
sub ask
{
	my ($self, %asked) = @_;
	my ($plain, $round) = delete @asked{qw(plain round)};
	my $way = one_of_weighted(
		60 => 'workflow',
		8 => 'start',
		10 => 'cancel',
		($plain ? 0 : 10) => 'set_permissions',
		6 => 'insert',
		6 => 'copy');

	unless ($plain)
	{
		# few, so that they meet; others later, since a key is kept
		$asked{key} = 'k' . int($round / 4) . '-' . dice(4)
		  if $way =~ /^(?:workflow|insert)$/ && chance(30);

		# others later here, too: behind one in doubt nothing would go
		$asked{order_key} = 'o' . int($round / 2) . '-' . dice(2) if chance(35);
	}
	return $self->_rows($way, %asked) if $way =~ /^(?:insert|copy)$/;
	$asked{order_key} = 'p' . dice(2) if $way eq 'set_permissions';
	$asked{kind} =
	  $way eq 'workflow' ? one_of(qw(hold hold hold retry few)) : $way;

	my $name = $self->_name;
	my $call =
	  $way eq 'workflow'
	  ? "domowf_enqueue('$asked{kind}', '{\"n\": \"$name\"}'"
	  : "domowf_enqueue_call('$way', '" . $self->_request($way, $name, \%asked) . "'";

	$call .= ", key => '$asked{key}'" if defined $asked{key};
	$call .= ", order_key => '$asked{order_key}'"
	  if defined $asked{order_key} && $way ne 'set_permissions';
	$call .= sprintf ", run_at => clock_timestamp() + interval '%d ms'",
	  50 + dice(300)
	  if chance(10);
	$call .= sprintf ", expires_at => clock_timestamp() + interval '%d ms'",
	  50 + dice(500)
	  if chance(6);
	$self->{ledger}->ask($name, %asked);
	return _mark($name, $asked{tx}, "$call)", $asked{order_key}) . ";\n";
}

# bulk(COUNT, tx =>, plain => 1): many that are alike, by one statement, of which
# some wait for each other.
sub bulk
{
	my ($self, $count, %asked) = @_;
	my $is_plain = delete $asked{plain};
	my $by_rows = chance(50);
	my $kind = $by_rows ? 'hold' : one_of(qw(hold retry few));
	my $keys = $is_plain || chance(50) ? 0 : 40;
	my $first = $self->{last} + 1;
	my $last = $self->{last} += $count;

	foreach my $i ($first .. $last)
	{
		$self->{ledger}->ask("n$i", %asked, kind => $kind,
			$keys ? (order_key => "b$asked{tx}-" . $i % $keys) : ());
	}
	my $order_key = $keys ? "'b$asked{tx}-' || i % $keys" : 'NULL';
	my $rows = "FROM generate_series($first, $last) i;\n";

	return "INSERT INTO orders (n, tx, order_key)"
	  . " SELECT 'n' || i, $asked{tx}, $order_key $rows"
	  if $by_rows;
	return "INSERT INTO marks SELECT 'n' || i, $asked{tx},"
	  . " domowf_enqueue('$kind', jsonb_build_object('n', 'n' || i),"
	  . " order_key => $order_key), $order_key $rows";
}

# The request of an operation, as domowf_enqueue_call() takes it.
sub _request
{
	my ($self, $operation, $name, $asked) = @_;

	if ($operation eq 'cancel')
	{
		# what Domo does not know is rejected
		$asked->{instance} = shift @{ $self->{instances} } // "unknown-$name";
		return "{\"id\": \"$asked->{instance}\"}";
	}
	return "{\"modelId\": \"$asked->{order_key}\", \"permissions\": [{\"id\":"
	  . " \"$name\", \"type\": \"USER\", \"permissions\": [\"READ\"]}]}"
	  if $operation eq 'set_permissions';
	return '{"messageName": "Start it", "version": "1.0.0",'
	  . " \"modelId\": \"model\", \"data\": {\"n\": \"$name\"}}";
}

# Rows of the table whose trigger enqueues.
sub _rows
{
	my ($self, $way, %asked) = @_;
	my @rows;

	foreach (1 .. ($way eq 'copy' ? 3 : 1))
	{
		my $name = $self->_name;

		push @rows,
		  [
			$name, $asked{tx}, $asked{key} // '\N', $asked{order_key} // '\N'
		  ];
		$self->{ledger}->ask($name, %asked, kind => 'hold');
	}
	return "COPY orders (n, tx, key, order_key) FROM STDIN;\n"
	  . join('', map { join("\t", @$_) . "\n" } @rows) . "\\.\n"
	  if $way eq 'copy';
	return join '', map {
		"INSERT INTO orders VALUES ("
		  . join(', ', map { $_ eq '\N' ? 'NULL' : "'$_'" } @$_) . ");\n"
	} @rows;
}

1;
