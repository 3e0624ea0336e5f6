
# What tests of chaos share: a server, sessions that commit, roll back, prepare
# and die, a Domo that breaks in every way, people who act by hand, all as a
# seeded generator wants it; and the judgement.  What disturbs them is for each
# test to say.
#
#   my $chaos = Chaos->new(domo => $domo, node => $node);
#   $chaos->begin;
#   $chaos->round($_) foreach 1 .. $chaos->{rounds};
#   $chaos->judge;
#
# A round has moments, which are given to new() as functions:
#
#   disturb  twice: when the transactions have been sent, and when their ends have
#   undo     ends whatever transactions would wait for
#   before, after   when no transaction is open but prepared ones
#
# and at_rest, before judge() ends the server, when nothing is to be sent.
#
# DOMOWF_SEED chooses another course of events, DOMOWF_ROUNDS a longer one.
# What was asked and how it is judged: Ledger.pm.  A seed repeats what is done,
# not how it falls into time.

package Chaos;

use strict;
use warnings;

use Asker;
use Chance qw(chance dice one_of one_of_weighted start_dice);
use Domowf;
use Ledger;
use PostgreSQL::Test::Utils;
use Test::More;

use constant SEED => $ENV{DOMOWF_SEED} // 1;
use constant SESSIONS => 3;

# The most of domowf.max_connections that is set.
use constant MAX_CONNECTIONS => 4;

# Settings of the server.
use constant CONF => Domowf::RETRY_AT_ONCE . <<'END';
domowf.poll_interval = '200ms'
domowf.timeout = '2s'
domowf.max_connections = 4
max_prepared_transactions = 10
track_commit_timestamp = on
deadlock_timeout = '100ms'
restart_after_crash = on
END

# Broken things that are shown, with all that is known of them.
use constant MAX_SHOWN => 20;

# What Domo does when nothing else is wanted: slow enough for requests to be
# in flight together.
use constant USUAL => 'delay:5';

# new(domo =>, node =>, disturb =>, undo =>, before =>, after =>, right => the
# true time of what the server called so, bulk => how many each transaction asks
# for besides)
sub new
{
	my ($class, %option) = @_;

	# sessions above READ COMMITTED that ask for a key at the same time; a
	# worker never should
	Domowf->expect_in_log(
		qr/\.pl ERROR:  could not serialize access due to concurrent update$/);
	my $ledger = Ledger->new(max_in_flight => MAX_CONNECTIONS);
	my $self = bless {
		(map { $_ => sub { } } qw(disturb undo before after at_rest)),
		right => sub { $_[0] },
		rounds => $ENV{DOMOWF_ROUNDS} // 10,
		bulk => 0,
		%option,
		ledger => $ledger,
		asker => Asker->new($ledger),
		sessions => [],
		locker => undef,
		tx => 0,
		round => 0,
		is => { map { $_ => 0 } qw(paused off refusing failing unheard) },
		prepared => {},    # by name: the transaction, and the round that ends it
		gone => {},    # sessions, by number, whose connection has ended
		told => {}    # by round: what has happened in it
	}, $class;

	$self->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt,
	max_attempts, order_scope)
VALUES ('hold', 'model', '1.0.0', 'Start it', 'hold', NULL, 'both'),
	('retry', 'model', '1.0.0', 'Start it', 'retry', NULL, 'both'),
	('few', 'model', '1.0.0', 'Start it', 'retry', 2, NULL);
CREATE SEQUENCE place;
CREATE TABLE marks (n text, tx int, id bigint, order_key text,
	place bigint DEFAULT nextval('place'));
-- a return writes these rows anew
CREATE TABLE orders (n text, tx int, key text, order_key text,
	place bigint DEFAULT nextval('place'),
	asked_in xid DEFAULT pg_current_xact_id()::xid);
CREATE TRIGGER start AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('hold', 'n', '@key=key',
		'@order_key=order_key');
END
	return $self;
}

# Says what happens, in which round, and keeps it for who reads of a failure.
sub tell
{
	my ($self, $what) = @_;

	note "round $self->{round}: $what";
	push @{ $self->{told}{ $self->{round} } }, $what;
	return;
}

# ---- the server

sub value
{
	my ($self, $sql) = @_;

	return $self->{node}->safe_psql('postgres', $sql);
}

sub until_true
{
	my ($self, $sql) = @_;

	return $self->{node}->poll_query_until('postgres', $sql);
}

sub set_config
{
	my ($self, $name, $value) = @_;

	$self->value("ALTER SYSTEM SET $name = '$value'; SELECT pg_reload_conf()");
	return;
}

# ---- transactions

# A transaction: { tx, body, end }.
sub _make_transaction
{
	my ($self, $may_prepare) = @_;
	my $tx = ++$self->{tx};
	my $made = { tx => $tx };
	my $end = one_of_weighted(
		65 => 'COMMIT',
		17 => 'ROLLBACK',
		($may_prepare ? 18 : 0) => 'PREPARE');
	my $plain = $end eq 'PREPARE' && chance(40);
	my %asked = (tx => $tx, plain => $plain, round => $self->{round});

	$made->{body} =
	  chance(12) ? "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" : "BEGIN;\n";
	foreach (0 .. dice(4))
	{
		my $undone = chance(15);
		my $nested = $undone || chance(15);

		$made->{body} .= "SAVEPOINT s;\n" if $nested;
		$made->{body} .= $self->{asker}->ask(%asked, $undone ? (undone => 1) : ());
		$made->{body} .= $undone ? "ROLLBACK TO s;\n" : "RELEASE s;\n" if $nested;
	}
	$made->{body} .= $self->{asker}->bulk($self->{bulk}, tx => $tx, plain => $plain)
	  if $self->{bulk};

	$made->{end} =
	    "$end"
	  . ($end eq 'PREPARE' ? " TRANSACTION 't$tx'" : '')
	  . ";\nSELECT 'tx $tx ' || (EXISTS (SELECT FROM marks WHERE tx = $tx)"
	  . " OR EXISTS (SELECT FROM orders WHERE tx = $tx)"
	  . " OR EXISTS (SELECT FROM pg_prepared_xacts WHERE gid = 't$tx'))";

	# a plain one may outlast what happens in other rounds
	$self->{prepared}{"t$tx"} =
	  { tx => $tx, until => $self->{round} + ($plain ? 3 : 0) }
	  if $end eq 'PREPARE';
	$made->{is_prepared} = $end eq 'PREPARE';
	return $made;
}

# psql may have ended, with its connection: that is heard when it is waited for.
sub send_to
{
	my ($self, $session, $sql) = @_;

	eval { $session->send($sql); };
	return;
}

# Hears how transactions ended: a prepared one's first, for which others may
# wait.
sub _collect
{
	my ($self, @transactions) = @_;
	my $sessions = $self->{sessions};

	foreach my $i (
		sort {
			!$transactions[$a]{is_prepared} <=> !$transactions[$b]{is_prepared}
		} 0 .. $#transactions)
	{
		my $transaction = $transactions[$i];
		my $got = $sessions->[$i]->wait;
		my ($is_there) = $got->{out} =~ /^tx $transaction->{tx} (\w+)$/m;

		if (!defined $is_there)
		{
			note "transaction $transaction->{tx}: unknown";
			$self->{gone}{$i} = 1;
		}
		elsif ($is_there eq 'false')
		{
			$self->{ledger}->end($transaction->{tx}, 'rolled back');
		}
		elsif (!$transaction->{is_prepared})
		{
			$self->{ledger}->end($transaction->{tx}, 'committed');
		}
		$self->_end_prepared($self->{round}) if $transaction->{is_prepared};
	}
	$self->_reconnect;
	return;
}

# New sessions for those whose connection has ended.
sub _reconnect
{
	my ($self) = @_;

	foreach my $i (sort keys %{ $self->{gone} })
	{
		$self->{sessions}[$i]->quit;
		$self->{sessions}[$i] = Domowf->session($self->{node});
	}
	$self->{gone} = {};
	return;
}

# Another server has taken over.
sub move_to
{
	my ($self, $node) = @_;

	$self->{node} = $node;
	$self->lose_sessions;
	$self->_reconnect;
	return;
}

# Ends what was prepared, where its round has come.
sub _end_prepared
{
	my ($self, $now) = @_;
	my $prepared = $self->{prepared};
	my %there = map { $_ => 1 }
	  split /\n/, $self->value('SELECT gid FROM pg_prepared_xacts');

	foreach my $name (sort keys %$prepared)
	{
		my $end = one_of('COMMIT', 'COMMIT', 'ROLLBACK');

		next if $prepared->{$name}{until} > $now;
		if ($there{$name})
		{
			$self->value("$end PREPARED '$name'");
			$self->{ledger}->end($prepared->{$name}{tx},
				$end eq 'COMMIT' ? 'committed' : 'rolled back');
		}
		delete $prepared->{$name};
	}
	return;
}

sub end_all_prepared
{
	my ($self) = @_;

	return $self->_end_prepared($self->{round} + 1000);
}

# ---- Domo

my @weather = (
	(map { (6 => $_) } qw(reset-after close-after half-body half-headers
		  close-keepalive reset-before status:400)),
	(map { (4 => $_) } qw(status:500 status:502 status-executed:502 status:503
		  status-executed:504 status:408 status-executed:408 status:401
		  status:404 delay:100 gate-executed:shut)),
	(map { (2 => $_) } qw(garbage half-chunk missing-last-chunk bad-chunk
		  reply:object reply:no-id reply:truncated reply:empty html:200
		  empty:502 blocked redirect redirect-host early-reply:413
		  close extra-bytes trickle:1 until-close many-1xx http10 chunked)),
	(map { (1 => $_) } qw(hang hang-headers hang-body retry-after:429:1
		  retry-after:503:1)));

sub _change_weather
{
	my ($self) = @_;
	my $scenario = one_of_weighted(@weather);
	my $count = 1 + dice($scenario =~ /^hang|429/ ? 1 : 5);

	$self->tell("$count $scenario");
	$self->{domo}->script($scenario, count => $count);
	return;
}

# Makes Domo a good one again.
sub heal
{
	my ($self) = @_;

	$self->{domo}->clear_script;
	$self->{domo}->script(USUAL, count => undef);
	$self->{domo}->resume_accepting if $self->{is}{refusing};
	$self->{is}{refusing} = 0;
	return;
}

# ---- disturbances

sub worker
{
	my ($self) = @_;

	return $self->value('SELECT pid FROM domowf.worker');
}

# Sees to it that something is in flight when the next thing happens, where
# requests are sent at all.
sub catch_in_flight
{
	my ($self) = @_;

	$self->put_in_flight unless chance(30) || $self->{locker};
	return;
}

sub put_in_flight
{
	my ($self) = @_;

	return if grep { $self->{is}{$_} } qw(paused off refusing unheard);
	$self->{domo}->script(one_of('hang', 'gate-executed:shut', 'gate:shut'));
	$self->value(
		$self->{asker}->ask(tx => 0, plain => 1, round => $self->{round}));
	eval { $self->{domo}->wait_for(held => 1, timeout => 1); };
	return;
}

# Makes something go wrong at a test point from now on.
sub _begin_failing
{
	my ($self) = @_;
	my $point = one_of(
		qw(before-commit before-commit after-claim after-reply before-settle));

	$self->tell("$point fails");
	$self->set_config('domowf.test_point', "$point=error");
	$self->{is}{failing} = 1;
	return;
}

# Ends what test points make go wrong.
sub end_failing
{
	my ($self) = @_;

	$self->set_config('domowf.test_point', '') if $self->{is}{failing};
	$self->{is}{failing} = 0;
	return;
}

# Their connections have ended.
sub lose_sessions
{
	my ($self) = @_;

	$self->{gone}{$_} = 1 foreach 0 .. $#{ $self->{sessions} };
	return;
}

sub lose_session
{
	my ($self, $i) = @_;

	$self->{gone}{$i} = 1;
	return;
}

# Kills a server process; the server then starts anew.
sub kill_process
{
	my ($self, $pid) = @_;
	my $offset = Domowf->log_size($self->{node});

	return if $pid eq '' || !kill 'KILL', $pid;
	$self->{node}
	  ->wait_for_log(qr/all server processes terminated; reinitializing/,
		$offset);
	$self->until_true('SELECT true') or die 'the server has not come back';
	$self->lose_sessions;
	return;
}

# Stops the server and starts it again.
sub restart
{
	my ($self, $mode) = @_;

	$self->{node}->stop($mode);
	$self->{node}->start;
	$self->lose_sessions;
	return;
}

sub lock_something
{
	my ($self, $lock) = @_;

	return if $self->{locker};
	$self->{locker} = Domowf->session($self->{node});
	$self->{locker}->run("SET lock_timeout = '200ms'; BEGIN; $lock");
	return;
}

sub unlock
{
	my ($self) = @_;

	return unless $self->{locker};
	$self->{locker}->run('COMMIT');
	$self->{locker}->quit;
	undef $self->{locker};
	return;
}

# ---- people

my %by_hand = (
	retry => {
		call => 'domowf_retry(id)',
		states => q{'in_doubt', 'rejected', 'expired', 'sending'}
	},
	discard => {
		call => 'domowf_discard(id)',
		states => q{'in_doubt', 'rejected', 'expired', 'queued', 'sending'}
	},
	resolve => {
		call => q{domowf_resolve(id, 'by hand')},
		states => q{'in_doubt', 'queued', 'sending'}
	});

# Somebody retries, discards or resolves something for which that is true, and
# perhaps takes it back.
sub _act
{
	my ($self, $what, $condition) = @_;
	my ($call, $states) = @{ $by_hand{$what} }{qw(call states)};
	my $which = dice(1000);
	my $taken_back = $what eq 'retry' && chance(20);
	my (undef, $out, undef) = $self->{node}->psql('postgres',
			($taken_back ? "BEGIN;\n" : '')
		  . "WITH r AS MATERIALIZED (SELECT id, state, row_number() OVER o - 1"
		  . ' AS i, count(*) OVER () AS total FROM domowf.request'
		  . " WHERE state IN ($states) AND $condition"
		  . ' WINDOW o AS (ORDER BY id))'
		  . " SELECT id, state, $call FROM r WHERE i = $which % total;\n"
		  . ($taken_back ? 'ROLLBACK' : ''));

	return unless $out =~ /^(\d+)\|(\w+)\|t$/m;
	$self->tell("$what of $1, which was $2" . ($taken_back ? ', taken back' : ''));
	$self->{ledger}->act($1, $what, $2) unless $taken_back;
	return;
}

# ---- a course of events

# Sessions, and instances to cancel.
sub begin
{
	my ($self) = @_;

	note 'DOMOWF_SEED=', SEED, " DOMOWF_ROUNDS=$self->{rounds}";
	start_dice(SEED, 0);
	$self->{sessions} =
	  [ map { Domowf->session($self->{node}) } 1 .. SESSIONS ];
	foreach (1 .. 2 + $self->{rounds} / 4)
	{
		my $id = $self->value($self->{asker}->start(0) . ' RETURNING id');

		$self->{asker}->may_cancel($self->value(
				"SELECT instance_id FROM domowf_wait($id, '170 s')"));
	}
	$self->{ledger}->end(0, 'committed');
	return;
}

sub round
{
	my ($self, $round) = @_;
	my @transactions;

	$self->{round} = $round;
	start_dice(SEED, $round);
	$self->{before}->();
	$self->heal if chance(30);
	$self->end_failing if chance(70);
	$self->_begin_failing if chance(25);
	$self->_change_weather foreach 1 .. dice(4);
	foreach my $i (0 .. SESSIONS - 1)
	{
		push @transactions,
		  $self->_make_transaction(!grep { $_->{is_prepared} } @transactions);
		$self->send_to($self->{sessions}[$i], $transactions[-1]{body});
	}
	$self->{disturb}->();
	$self->send_to($self->{sessions}[$_], $transactions[$_]{end})
	  foreach 0 .. $#transactions;
	$self->{disturb}->();
	$self->{undo}->();
	$self->unlock;
	$self->_collect(@transactions);
	$self->_act(one_of(qw(retry retry discard resolve)), q{state <> 'sending'})
	  foreach 1 .. dice(3);

	# refused, unless it has ended meanwhile
	$self->_act(one_of(qw(retry discard resolve)), q{state = 'sending'});
	$self->_end_prepared($round);
	$self->{after}->();
	return;
}

# Until all that can be sent was, and nobody waits behind one in doubt.
sub _come_to_rest
{
	my ($self) = @_;

	start_dice(SEED, $self->{rounds} + 1);
	$self->heal;
	$self->end_failing;
	$self->{domo}->close_all;
	$self->value('SELECT domowf_resume()');
	$self->set_config('domowf.worker', 'on');
	$self->set_config('domowf.max_connections', MAX_CONNECTIONS);
	$self->end_all_prepared;
	for (;;)
	{
		$self->until_true(<<'END') or return 0;
SELECT NOT EXISTS (SELECT FROM domowf.queue q WHERE state <> 'in_doubt'
	AND NOT (waiting AND EXISTS (SELECT FROM domowf.queue d
		WHERE (d.order_space, d.order_key) = (q.order_space, q.order_key)
			AND state = 'in_doubt')))
END
		last if $self->value(<<'END') eq 'f';
SELECT EXISTS (SELECT FROM domowf.queue WHERE waiting)
END
		$self->_act(one_of(qw(retry discard resolve)),
			q{state = 'in_doubt' AND order_key IS NOT NULL});
	}
	return $self->until_true(q{SELECT count(*) = 0 FROM domowf.queue
		WHERE state <> 'in_doubt'});
}

# The marks of those that asked, in the order of their commits.
sub _marks
{
	my ($self) = @_;
	my @marks;

	foreach my $line (split /\n/, $self->value(<<'END'))
SELECT n, id, order_key, place,
	extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM marks
UNION ALL
SELECT n, NULL, order_key, place,
	extract(epoch FROM pg_xact_commit_timestamp(asked_in)) FROM orders
END
	{
		my ($n, $id, $order_key, $place, $time) = split /\|/, $line, -1;

		push @marks, [ $self->{right}->($time), $place, "$n|$id|$order_key" ];
	}
	return join "\n",
	  map { $_->[2] } sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } @marks;
}

# Whether all of it keeps the promise.  Ends the server.
sub judge
{
	my ($self) = @_;
	my $domo = $self->{domo};
	my $node = $self->{node};
	my $ledger = $self->{ledger};

	ok($self->_come_to_rest, 'all that can be sent is sent in the end');
	$self->{at_rest}->();
	$_->quit foreach @{ $self->{sessions} };

	$ledger->read_marks($self->_marks);
	$ledger->read_rows($self->value(Ledger->rows_sql), $self->{right});
	$ledger->read_record($domo->record);
	my @broken = $ledger->broken;
	my %states = $ledger->states;
	is(scalar @broken, 0, 'the promise is kept, DOMOWF_SEED=' . SEED);
	diag join "\n",
	  @broken[ 0 .. (@broken < MAX_SHOWN ? $#broken : MAX_SHOWN - 1) ]
	  if @broken;
	is( $self->value(<<'END'),
SELECT count(*) FROM domowf.key k FULL JOIN (
	SELECT id, coalesce(workflow, operation) AS scope, key
	FROM domowf.request WHERE key IS NOT NULL
	AND state NOT IN ('rejected', 'expired', 'discarded')) r
ON (r.id, r.scope, r.key) = (k.request_id, k.scope, k.key)
WHERE r.id IS NULL OR k.request_id IS NULL
END
		0, 'a key is held by what may be or is done, and by nothing else');
	is($self->value('SELECT count(*) FROM domowf.queue JOIN domowf.log USING (id)'),
		0, 'nothing is both waiting and settled');
	cmp_ok($states{done}, '>', $self->{rounds}, 'most of it was done');
	note join ', ', (map { "$states{$_} $_" } sort keys %states),
	  $ledger->most_in_flight . ' in flight at most';
	is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
	is($domo->stderr, '', 'the stand-in has nothing to say');
	$node->stop;
	is( join("\n", grep { /PANIC:|terminated by signal (?!9:)/ } split /\n/,
			slurp_file($node->logfile)),
		'', 'no process ended by itself');
	return;
}

1;
