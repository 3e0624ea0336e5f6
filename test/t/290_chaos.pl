
# The promise under whatever comes: sessions that commit, roll back, prepare
# and die, a Domo that breaks in every way, servers and workers that are
# stopped and killed, locks, settings, and people who act by hand, all as a
# seeded generator wants it.  Exists because the other tests try what somebody
# has thought of.
#
# DOMOWF_SEED chooses another course of events, DOMOWF_ROUNDS a longer one.
# What was asked and how it is judged: Ledger.pm.  A seed repeats what is done,
# not how it falls into time.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Asker;
use Chance qw(chance dice one_of one_of_weighted start_dice);
use Domo;
use Domowf;
use Ledger;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant SEED => $ENV{DOMOWF_SEED} // 1;
use constant ROUNDS => $ENV{DOMOWF_ROUNDS} // 10;
use constant SESSIONS => 3;

# The most of domowf.max_connections that is set.
use constant MAX_CONNECTIONS => 4;

# Broken things that are shown, with all that is known of them.
use constant MAX_SHOWN => 20;

# What Domo does when nothing else is wanted: slow enough for requests to be
# in flight together.
use constant USUAL => 'delay:5';

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.timeout = '2s'
domowf.max_connections = 4
max_prepared_transactions = 10
track_commit_timestamp = on
deadlock_timeout = '100ms'
restart_after_crash = on
END
my $ledger = Ledger->new(max_in_flight => MAX_CONNECTIONS);
my $asker = Asker->new($ledger);

$node->safe_psql('postgres', <<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt,
	max_attempts, order_scope)
VALUES ('hold', 'model', '1.0.0', 'Start it', 'hold', NULL, 'both'),
	('retry', 'model', '1.0.0', 'Start it', 'retry', NULL, 'both'),
	('few', 'model', '1.0.0', 'Start it', 'retry', 2, NULL);
CREATE SEQUENCE place;
CREATE TABLE marks (n text, tx int, id bigint, order_key text,
	place bigint DEFAULT nextval('place'));
CREATE TABLE orders (n text, tx int, key text, order_key text,
	place bigint DEFAULT nextval('place'));
CREATE TRIGGER start AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('hold', 'n', '@key=key',
		'@order_key=order_key');
END

my (@sessions, $locker);
my ($tx, $round) = (0, 0);
my %is = map { $_ => 0 } qw(paused off refusing failing);
my %prepared;    # by name: the transaction, and the round that ends it
my %gone;    # sessions, by number, whose connection has ended

# ---- the server

sub value
{
	return $node->safe_psql('postgres', $_[0]);
}

sub until_true
{
	my ($sql) = @_;

	return $node->poll_query_until('postgres', $sql);
}

sub set_config
{
	my ($name, $value) = @_;

	value("ALTER SYSTEM SET $name = '$value'; SELECT pg_reload_conf()");
	return;
}

# ---- transactions

# A transaction: { tx, body, end }.
sub make_transaction
{
	my ($may_prepare) = @_;
	my $made = { tx => ++$tx };
	my $end = one_of_weighted(
		65 => 'COMMIT',
		17 => 'ROLLBACK',
		($may_prepare ? 18 : 0) => 'PREPARE');
	my $plain = $end eq 'PREPARE' && chance(40);
	my %asked = (tx => $tx, plain => $plain, round => $round);

	$made->{body} =
	  chance(12) ? "BEGIN ISOLATION LEVEL REPEATABLE READ;\n" : "BEGIN;\n";
	foreach (0 .. dice(4))
	{
		my $undone = chance(15);
		my $nested = $undone || chance(15);

		$made->{body} .= "SAVEPOINT s;\n" if $nested;
		$made->{body} .= $asker->ask(%asked, $undone ? (undone => 1) : ());
		$made->{body} .= $undone ? "ROLLBACK TO s;\n" : "RELEASE s;\n" if $nested;
	}

	# psql loses its way where nothing but a semicolon follows COPY's data
	$made->{body} .= 'SELECT 1';
	$made->{end} =
	    "$end"
	  . ($end eq 'PREPARE' ? " TRANSACTION 't$tx'" : '')
	  . ";\nSELECT 'tx $tx ' || (EXISTS (SELECT FROM marks WHERE tx = $tx)"
	  . " OR EXISTS (SELECT FROM orders WHERE tx = $tx)"
	  . " OR EXISTS (SELECT FROM pg_prepared_xacts WHERE gid = 't$tx'))";

	# a plain one may outlast what happens in other rounds
	$prepared{"t$tx"} = { tx => $tx, until => $round + ($plain ? 3 : 0) }
	  if $end eq 'PREPARE';
	$made->{is_prepared} = $end eq 'PREPARE';
	return $made;
}

# psql may have ended, with its connection: that is heard when it is waited for.
sub send_to
{
	my ($session, $sql) = @_;

	eval { $session->send($sql); };
	return;
}

# Hears how transactions ended: a prepared one's first, for which others may
# wait.
sub collect
{
	my (@transactions) = @_;

	foreach my $i (
		sort {
			!$transactions[$a]{is_prepared} <=> !$transactions[$b]{is_prepared}
		} 0 .. $#transactions)
	{
		my $transaction = $transactions[$i];
		my $name = "t$transaction->{tx}";
		my $got = $sessions[$i]->wait;
		my ($is_there) = $got->{out} =~ /^tx $transaction->{tx} (\w+)$/m;

		if (!defined $is_there)
		{
			note "transaction $transaction->{tx}: unknown";
			$gone{$i} = 1;
		}
		elsif ($is_there eq 'false')
		{
			$ledger->end($transaction->{tx}, 'rolled back');
		}
		elsif (!$transaction->{is_prepared})
		{
			$ledger->end($transaction->{tx}, 'committed');
		}
		end_prepared($round) if $transaction->{is_prepared};
	}
	foreach my $i (sort keys %gone)
	{
		$sessions[$i]->quit;
		$sessions[$i] = Domowf->session($node);
	}
	%gone = ();
	return;
}

# Ends what was prepared, where its round has come.
sub end_prepared
{
	my ($now) = @_;
	my %there = map { $_ => 1 }
	  split /\n/, value('SELECT gid FROM pg_prepared_xacts');

	foreach my $name (sort keys %prepared)
	{
		my $end = one_of('COMMIT', 'COMMIT', 'ROLLBACK');

		next if $prepared{$name}{until} > $now;
		if ($there{$name})
		{
			value("$end PREPARED '$name'");
			$ledger->end($prepared{$name}{tx},
				$end eq 'COMMIT' ? 'committed' : 'rolled back');
		}
		delete $prepared{$name};
	}
	return;
}

# ---- Domo

my @weather = (
	(map { (6 => $_) } qw(reset-after close-after half-body half-headers
		  close-keepalive reset-before)),
	(map { (4 => $_) } qw(status:500 status:502 status-executed:502 status:503
		  status-executed:504 status:408 status-executed:408 status:401
		  status:404 delay:100 gate-executed:shut)),
	(map { (2 => $_) } qw(garbage half-chunk missing-last-chunk bad-chunk
		  reply:object reply:no-id reply:truncated reply:empty html:200
		  empty:502 blocked redirect redirect-host early-reply:413 status:400
		  close extra-bytes trickle:1 until-close many-1xx http10 chunked)),
	(map { (1 => $_) } qw(hang hang-headers hang-body retry-after:429:1
		  retry-after:503:1)));

sub change_weather
{
	my $scenario = one_of_weighted(@weather);
	my $count = 1 + dice($scenario =~ /^hang|429/ ? 1 : 5);

	note "round $round: $count $scenario";
	$domo->script($scenario, count => $count);
	return;
}

# Makes Domo a good one again.
sub heal
{
	$domo->clear_script;
	$domo->script(USUAL, count => undef);
	$domo->resume_accepting if $is{refusing};
	$is{refusing} = 0;
	return;
}

# ---- disturbances

sub worker
{
	return value('SELECT pid FROM domowf.worker');
}

# Sees to it that something is in flight when the next thing happens, where
# requests are sent at all.
sub catch_in_flight
{
	return if chance(30) || $is{paused} || $is{off} || $is{refusing} || $locker;
	$domo->script(one_of('hang', 'gate-executed:shut', 'gate:shut'));
	value($asker->ask(tx => 0, plain => 1, round => $round));
	eval { $domo->wait_for(held => 1, timeout => 1); };
	return;
}

# Makes something go wrong at a test point from now on.
sub begin_failing
{
	my $point = one_of(
		qw(before-commit before-commit after-claim after-reply before-settle));

	note "round $round: $point fails";
	set_config('domowf.test_point', "$point=error");
	$is{failing} = 1;
	return;
}

# Ends what test points make go wrong.
sub end_failing
{
	set_config('domowf.test_point', '') if $is{failing};
	$is{failing} = 0;
	return;
}

sub lose_sessions
{
	$gone{$_} = 1 foreach 0 .. $#sessions;
	return;
}

# Kills a server process; the server then starts anew.
sub kill_process
{
	my ($pid) = @_;
	my $offset = Domowf->log_size($node);

	return if $pid eq '' || !kill 'KILL', $pid;
	$node->wait_for_log(qr/all server processes terminated; reinitializing/,
		$offset);
	until_true('SELECT true') or die 'the server has not come back';
	lose_sessions();
	return;
}

sub lock_something
{
	my ($lock) = @_;

	return if $locker;
	$locker = Domowf->session($node);
	$locker->run("SET lock_timeout = '200ms'; BEGIN; $lock");
	return;
}

sub unlock
{
	return unless $locker;
	$locker->run('COMMIT');
	$locker->quit;
	undef $locker;
	return;
}

my %disturbance = (
	nothing => sub { },
	'close all' => sub { catch_in_flight(); $domo->close_all; },
	'close idle' => sub { $domo->close_idle; },
	'refuse connections' => sub {
		$domo->stop_accepting;
		$domo->close_idle;
		$is{refusing} = 1;
	},
	'open gate' => sub { $domo->release('shut', 3); },
	'terminate worker' => sub {
		catch_in_flight();
		value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	},
	'kill worker' => sub { catch_in_flight(); kill_process(worker()); },
	'terminate session' => sub {
		my $i = dice(SESSIONS);
		value('SELECT pg_terminate_backend(' . $sessions[$i]->pid . ')');
		$gone{$i} = 1;
	},
	'kill session' => sub {
		catch_in_flight();
		kill_process(one_of(@sessions)->pid);
	},
	'immediate stop' => sub {
		catch_in_flight();
		$node->stop('immediate');
		$node->start;
		lose_sessions();
	},
	restart => sub {
		catch_in_flight();
		$node->restart;
		lose_sessions();
	},
	'other max_connections' => sub {
		set_config('domowf.max_connections',
			one_of(1, 2, MAX_CONNECTIONS, MAX_CONNECTIONS));
	},
	'worker off' => sub { set_config('domowf.worker', 'off'); $is{off} = 1; },
	'worker on' => sub { set_config('domowf.worker', 'on'); $is{off} = 0; },
	pause => sub { value('SELECT domowf_pause()'); $is{paused} = 1; },
	resume => sub { value('SELECT domowf_resume()'); $is{paused} = 0; },
	'lock rows' => sub {
		lock_something('SELECT FROM domowf.queue FOR UPDATE SKIP LOCKED');
	},
	'lock table' => sub {
		lock_something('LOCK TABLE domowf.queue IN ACCESS EXCLUSIVE MODE');
	},
	'lock log' => sub {
		lock_something('LOCK TABLE domowf.log IN SHARE MODE');
	},
	unlock => \&unlock);

sub disturb
{
	my $what = one_of_weighted(
		36 => 'nothing',
		($is{off} ? 12 : 5) => $is{off} ? 'worker on' : 'worker off',
		($is{paused} ? 12 : 5) => $is{paused} ? 'resume' : 'pause',
		(map { (5 => $_) } 'close all', 'refuse connections',
			'terminate worker', 'terminate session', 'open gate', 'lock rows',
			'other max_connections', 'unlock'),
		(map { (3 => $_) } 'close idle', 'lock table', 'lock log',
			'kill worker', 'immediate stop'),
		(map { (2 => $_) } 'kill session', 'restart'));

	note "round $round: $what";
	$disturbance{$what}->();
	return;
}

# ---- people

my %by_hand = (
	retry => {
		call => 'domowf_retry(id)',
		states => q{'in_doubt', 'rejected', 'expired'}
	},
	discard => {
		call => 'domowf_discard(id)',
		states => q{'in_doubt', 'rejected', 'expired', 'queued'}
	},
	resolve => {
		call => q{domowf_resolve(id, 'by hand')},
		states => q{'in_doubt', 'queued'}
	});

# Somebody retries, discards or resolves something for which that is true, and
# perhaps takes it back.
sub act
{
	my ($what, $condition) = @_;
	my ($call, $states) = @{ $by_hand{$what} }{qw(call states)};
	my $which = dice(1000);
	my $taken_back = $what eq 'retry' && chance(20);
	my (undef, $out, undef) = $node->psql('postgres',
			($taken_back ? "BEGIN;\n" : '')
		  . "WITH r AS MATERIALIZED (SELECT id, state, row_number() OVER o - 1"
		  . ' AS i, count(*) OVER () AS total FROM domowf.request'
		  . " WHERE state IN ($states) AND $condition"
		  . ' WINDOW o AS (ORDER BY id))'
		  . " SELECT id, state, $call FROM r WHERE i = $which % total;\n"
		  . ($taken_back ? 'ROLLBACK' : ''));

	return unless $out =~ /^(\d+)\|(\w+)\|t$/m;
	note "round $round: $what of $1, which was $2",
	  $taken_back ? ', taken back' : '';
	$ledger->act($1, $what, $2) unless $taken_back;
	return;
}

# ---- the test

sub run_round
{
	my @transactions;

	start_dice(SEED, $round);
	heal() if chance(30);
	end_failing() if chance(70);
	begin_failing() if chance(25);
	change_weather() foreach 1 .. dice(4);
	foreach my $i (0 .. SESSIONS - 1)
	{
		push @transactions,
		  make_transaction(!grep { $_->{is_prepared} } @transactions);
		send_to($sessions[$i], $transactions[-1]{body});
	}
	disturb();
	send_to($sessions[$_], $transactions[$_]{end}) foreach 0 .. $#transactions;
	disturb();
	unlock();
	collect(@transactions);
	act(one_of(qw(retry retry discard resolve)), 'true') foreach 1 .. dice(3);
	end_prepared($round);
	return;
}

# Until all that can be sent was, and nobody waits behind one in doubt.
sub come_to_rest
{
	heal();
	end_failing();
	$domo->close_all;
	value('SELECT domowf_resume()');
	set_config('domowf.worker', 'on');
	set_config('domowf.max_connections', MAX_CONNECTIONS);
	end_prepared($round + 1000);
	for (;;)
	{
		until_true(<<'END') or return 0;
SELECT NOT EXISTS (SELECT FROM domowf.queue q WHERE state <> 'in_doubt'
	AND NOT (waiting AND EXISTS (SELECT FROM domowf.queue d
		WHERE (d.order_space, d.order_key) = (q.order_space, q.order_key)
			AND state = 'in_doubt')))
END
		last if value(<<'END') eq 'f';
SELECT EXISTS (SELECT FROM domowf.queue WHERE waiting)
END
		act(one_of(qw(retry discard resolve)),
			q{state = 'in_doubt' AND order_key IS NOT NULL});
	}
	return until_true(q{SELECT count(*) = 0 FROM domowf.queue
		WHERE state <> 'in_doubt'});
}

note 'DOMOWF_SEED=', SEED, ' DOMOWF_ROUNDS=', ROUNDS;
start_dice(SEED, 0);
@sessions = map { Domowf->session($node) } 1 .. SESSIONS;

# instances to cancel
foreach (1 .. 2 + ROUNDS / 4)
{
	my $id = value($asker->start(0) . ' RETURNING id');

	$asker->may_cancel(
		value("SELECT instance_id FROM domowf_wait($id, '170 s')"));
}
$ledger->end(0, 'committed');

foreach (1 .. ROUNDS)
{
	$round = $_;
	run_round();
}
start_dice(SEED, ROUNDS + 1);
ok(come_to_rest(), 'all that can be sent is sent in the end');
$_->quit foreach @sessions;

$ledger->read_marks(value(<<'END'));
SELECT n, id, order_key FROM (
	SELECT n, id, order_key, place, pg_xact_commit_timestamp(xmin) AS time
	FROM marks
	UNION ALL
	SELECT n, NULL, order_key, place, pg_xact_commit_timestamp(xmin)
	FROM orders) m ORDER BY time, place
END
$ledger->read_rows(value(Ledger->rows_sql));
$ledger->read_record($domo->record);
my @broken = $ledger->broken;
my %states = $ledger->states;
is(scalar @broken, 0, 'the promise is kept, DOMOWF_SEED=' . SEED);
diag join "\n", @broken[ 0 .. (@broken < MAX_SHOWN ? $#broken : MAX_SHOWN - 1) ]
  if @broken;
is( value(<<'END'),
SELECT count(*) FROM domowf.key k FULL JOIN (
	SELECT id, coalesce(workflow, operation) AS scope, key
	FROM domowf.request WHERE key IS NOT NULL
	AND state NOT IN ('rejected', 'expired', 'discarded')) r
ON (r.id, r.scope, r.key) = (k.request_id, k.scope, k.key)
WHERE r.id IS NULL OR k.request_id IS NULL
END
	0, 'a key is held by what may be or is done, and by nothing else');
cmp_ok($states{done}, '>', ROUNDS, 'most of it was done');
note join ', ', (map { "$states{$_} $_" } sort keys %states),
  $ledger->most_in_flight . ' in flight at most';
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
is($domo->stderr, '', 'the stand-in has nothing to say');
$node->stop;
is( join("\n", grep { /PANIC:|terminated by signal (?!9:)/ } split /\n/,
		slurp_file($node->logfile)),
	'', 'no process ended by itself');
done_testing();
