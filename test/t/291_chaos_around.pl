
# The promise whatever happens around domowf, as 290 has it for what happens to
# it: owners who change the tables and what hangs on them, followers and pg_repack,
# clocks that are set, processes that are frozen, a synchronous standby that
# stops and dies, restarts under load; in the end the primary dies, and the
# standby takes over.  Exists because each of these has once had requests lost,
# started twice, or stuck.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Chance qw(chance dice one_of);
use Chaos;
use Domo;
use Domowf;
use Follower;
use IPC::Run;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WrongClock;

use constant HOUR => 3600;
use constant NAMES => 'synchronous_standby_names';

# Errors of a statement that gives way: to a lock, a deadlock, a shutdown.
use constant GAVE_WAY => qr/^(?:|55P03|40P01|57P0[123]|08\w+)$/;

# a walreceiver whose primary is gone
Domowf->expect_in_log(qr/could not send end-of-streaming message/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $clock = WrongClock->new;
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	streaming => 'logical',
	conf => Chaos::CONF . <<'END');
wal_sender_timeout = 0
wal_receiver_timeout = 0
wal_retrieve_retry_interval = '100ms'
END
my $chaos = Chaos->new(
	domo => $domo,
	node => $node,
	rounds => $ENV{DOMOWF_ROUNDS} // 12,
	right => sub { $clock->right($_[0]) },
	before => \&set_back,
	disturb => \&disturb,
	undo => \&undo,
	after => \&follow);
my $is = $chaos->{is};
my $standby;
my (@kinds, @frozen, %followed, $repack);
my %met = map { $_ => 0 } qw(changes followed repacked);

# ---- the standby

sub start_standby
{
	$node->backup('copy');
	$standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($node, 'copy', has_streaming => 1);
	$standby->start;
	wait_for_sync();
	return;
}

sub wait_for_sync
{
	$chaos->set_config(NAMES, 'standby');
	return $chaos->until_true(q{SELECT count(*) = 1 FROM pg_stat_replication
		WHERE sync_state = 'sync' AND state = 'streaming'});
}

# From now on commits wait, until it is started again.
sub stop_standby
{
	my ($how) = @_;

	return if $is->{unheard};
	$is->{unheard} = 1;
	return $standby->stop($how) if $how ne 'kill';
	my $postmaster = (split /\n/, slurp_file($standby->data_dir . '/postmaster.pid'))[0];

	$standby->kill9;
	return Domowf->wait_for_end($postmaster);
}

# Where it was killed, its processes may take their time to see that.
sub begin_standby
{
	for (1 .. $PostgreSQL::Test::Utils::timeout_default)
	{
		last if $standby->start(fail_ok => 1);
	}
	$is->{unheard} = 0;
	return;
}

# ---- freezes

# Stops a process for a while, whatever happens meanwhile; by a process of its
# own, since who waits for one that is stopped might wait for ever.
sub freeze
{
	my ($pid, $seconds) = @_;

	return if !$pid || !kill 'STOP', $pid;
	my $child = fork // die "could not fork: $!";

	if ($child == 0)
	{
		select undef, undef, undef, $seconds;
		kill 'CONT', $pid;
		POSIX::_exit(0);
	}
	push @frozen, $child;
	return;
}

# ---- owners

my $ddl;

# Pairs of what is done and undone, and what is done again and again.
my @changes = (
	(map {
			[ "CREATE INDEX IF NOT EXISTS $_->[0] ON domowf.$_->[1]",
			  "DROP INDEX IF EXISTS domowf.$_->[0]" ]
		} [ chaos_due => 'queue (due DESC, id)' ],
		[ chaos_lane => 'queue (lane, due DESC, id)' ],
		[ chaos_order => 'queue (order_space, order_key COLLATE "POSIX")' ],
		[ chaos_log => 'log (instance_id)' ]),
	(map {
			my $table = $_;

			[ "ALTER TABLE domowf.$table ADD COLUMN IF NOT EXISTS chaos_note text",
			  "ALTER TABLE domowf.$table DROP COLUMN IF EXISTS chaos_note" ],
			[ "BEGIN; DROP TRIGGER IF EXISTS chaos ON domowf.$table;"
				. " CREATE TRIGGER chaos AFTER INSERT OR UPDATE OR DELETE ON domowf.$table"
				. ' FOR EACH ROW EXECUTE FUNCTION chaos_see();'
				. " ALTER TABLE domowf.$table ENABLE ALWAYS TRIGGER chaos; COMMIT",
			  "DROP TRIGGER IF EXISTS chaos ON domowf.$table" ],
			[ "ALTER TABLE domowf.$table ADD CONSTRAINT chaos CHECK (key <> '') NOT VALID",
			  "ALTER TABLE domowf.$table DROP CONSTRAINT IF EXISTS chaos" ],
			map({ [ $_ ] } "REINDEX TABLE CONCURRENTLY domowf.$table",
				"VACUUM FULL domowf.$table",
				"CLUSTER domowf.$table USING ${table}_pkey")
		} qw(queue log key)),
	[ 'CREATE PUBLICATION chaos FOR TABLE domowf.queue, domowf.log, domowf.key',
	  'DROP PUBLICATION IF EXISTS chaos' ],
	[ 'REINDEX INDEX CONCURRENTLY domowf.queue_lane' ],
	[ 'REINDEX INDEX CONCURRENTLY domowf.queue_order' ],
	[ 'VACUUM (FREEZE, ANALYZE) domowf.queue, domowf.log, domowf.key' ]);
my @order;    # in which they come

# One of them, or its undoing; it gives way to whoever holds a lock for long.
sub change
{
	return if $ddl->{pending};
	@order = shuffle(0 .. $#changes) unless @order;
	my $change = shift @order;
	my ($do, $undo) = @{ $changes[$change] };
	my $sql = $ddl->{done}{$change} ? $undo : $do;

	note "round $chaos->{round}: $sql";
	$ddl->{pending} = $sql;
	$ddl->{done}{$change} = $undo && !$ddl->{done}{$change};
	$chaos->send_to($ddl->{session}, $sql);
	return;
}

sub shuffle
{
	my (@left) = @_;

	return map { splice @left, dice(scalar @left), 1 } 0 .. $#left;
}

# Hears how it ended.
sub end_change
{
	my $sql = delete $ddl->{pending};

	return begin_ddl() unless defined $sql;
	my $got = $ddl->{session}->wait;

	# what is there already, or has been left by one that gave way
	ok($got->{sqlstate} =~ GAVE_WAY || $got->{sqlstate} eq '42710',
		"no other error: $sql")
	  or diag $got->{err};
	$met{changes}++ if $got->{sqlstate} eq '';
	return begin_ddl();
}

# In a new session, since the one before may have been lost.
sub begin_ddl
{
	$ddl->{session}->quit if $ddl->{session};
	$ddl->{session} = Domowf->session($chaos->{node});
	$ddl->{session}->run(q{SET lock_timeout = '300ms'});
	return;
}

# ---- followers

# Begins to follow a table, or compares it with what was told; where no
# transaction is open, but one that is prepared may be.
sub follow
{
	my $table = one_of(qw(queue log key));

	return if chance(30);
	compare($table) if $followed{$table};
	return if $followed{$table};
	my $got = $ddl->{session}->run("SELECT follow.start('$table')");

	like($got->{sqlstate}, GAVE_WAY, "domowf.$table is followed, or somebody has it");
	$followed{$table} = $got->{sqlstate} eq '';
	return;
}

sub compare
{
	my ($table) = @_;
	my $got = $ddl->{session}->run("SELECT follow.differs('$table')");

	return 0 if $got->{sqlstate} eq '55P03';
	is("$got->{out}$got->{err}", 0,
		"domowf.$table: a copy and what was told of are the table");
	$followed{$table} = 0;
	return ++$met{followed};
}

# pg_repack, where it is installed; it gives way, too.
my $has_repack = eval { IPC::Run::run([ 'pg_repack', '--version' ], '>' => \my $out) }
  && $chaos->value(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_repack'});

sub repack
{
	my $table = one_of(qw(queue log key));

	return change() unless $has_repack;
	return if $repack;
	note "round $chaos->{round}: pg_repack of $table";
	$repack = { err => '' };
	$repack->{run} = IPC::Run::start(
		[
			'pg_repack', '--wait-timeout=1', '--no-kill-backend',
			'-h', $node->host, '-p', $node->port, '-d', 'postgres',
			'-t', "domowf.$table"
		],
		'>' => \$repack->{out}, '2>' => \$repack->{err});
	return;
}

# What it has left is for a person to remove, as its manual says.
sub end_repack
{
	return unless $repack;
	if ($repack->{run}->finish)
	{
		$met{repacked}++ if $repack->{err} !~ /WARNING|ERROR/;
	}
	else
	{
		note $repack->{err};
	}
	undef $repack;
	return;
}

sub clean_repack
{
	return unless $has_repack;
	$chaos->value('DROP EXTENSION IF EXISTS pg_repack CASCADE; CREATE EXTENSION pg_repack')
	  if $chaos->value(q{SELECT count(*) > 0 FROM pg_trigger WHERE tgname = 'repack_trigger'}) eq 't';
	return;
}

# ---- the clock

# Back, where nobody waits for a lock, since PostgreSQL's own timers then go off
# late by as much.
sub set_back
{
	return unless chance(35);
	$chaos->catch_in_flight;
	step(-HOUR * (1 + dice(3)));
	return;
}

sub step
{
	my ($seconds) = @_;

	note "round $chaos->{round}: the clock is set by $seconds s";
	$clock->set($clock->wrong_by + $seconds);
	return;
}

# ---- disturbances

my %disturbance = (
	repack => \&repack,
	'repack again' => \&repack,
	'clock forward' => sub { step(HOUR * (1 + dice(4))) },
	'freeze worker' => sub {
		$chaos->catch_in_flight;
		freeze($chaos->worker, one_of(0.2, 0.7));
	},
	'freeze worker for long' => sub {
		$chaos->catch_in_flight;
		freeze($chaos->worker, 2.5);
	},
	'freeze session' => sub {
		freeze(one_of(@{ $chaos->{sessions} })->pid, one_of(0.2, 1));
	},
	'freeze receiver' => sub {
		return if $is->{unheard};
		$chaos->catch_in_flight;
		freeze($standby->safe_psql('postgres',
				'SELECT pid FROM pg_stat_wal_receiver'), one_of(0.3, 1));
	},
	'freeze walsender' => sub {
		$chaos->catch_in_flight;
		freeze($chaos->value('SELECT pid FROM pg_stat_replication LIMIT 1'), 0.5);
	},
	'stop standby' => sub { $chaos->catch_in_flight; stop_standby('fast'); },
	'crash standby' => sub { $chaos->catch_in_flight; stop_standby('immediate'); },
	'kill standby' => sub { $chaos->catch_in_flight; stop_standby('kill'); },
	'no names' => sub { $chaos->set_config(NAMES, ''); },
	'terminate worker without standby' => sub {
		$chaos->catch_in_flight;
		stop_standby('immediate');
		$chaos->value(
			'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	},
	'kill worker' => sub {
		$chaos->catch_in_flight;
		$chaos->kill_process($chaos->worker);
	},
	restart => sub { $chaos->catch_in_flight; $chaos->restart('fast'); },
	'restart again' => sub { $chaos->restart('fast'); },
	'immediate stop' => sub {
		$chaos->catch_in_flight;
		$chaos->restart('immediate');
	},
	'close all' => sub { $chaos->catch_in_flight; $domo->close_all; });

# Each once, in some order, and then all again.
sub disturb
{
	@kinds = shuffle(sort keys %disturbance) unless @kinds;
	my $what = shift @kinds;

	change() if chance(70);

	note "round $chaos->{round}: $what";
	$disturbance{$what}->();
	return;
}

# What transactions would wait for comes to its end.
sub undo
{
	waitpid $_, 0 foreach @frozen;
	@frozen = ();
	begin_standby() if $is->{unheard};
	wait_for_sync();
	end_change();
	end_repack();
	return;
}

# ---- the standby takes over

# While the standby hears nothing, the worker claims what the standby has, and
# its commit waits; then the primary dies.
sub fail_over
{
	my $is_frozen = chance(50);
	my $receiver = $standby->safe_psql('postgres',
		'SELECT pid FROM pg_stat_wal_receiver');

	$chaos->heal;
	$chaos->end_failing;
	$domo->close_all;
	$chaos->value('SELECT domowf_resume()');
	foreach (1 .. 3)
	{
		$chaos->value($chaos->{asker}->start(0,
				q{run_at => clock_timestamp() + interval '1 s'}));
	}
	$node->wait_for_catchup($standby, 'flush', $node->lsn('insert'));
	$is_frozen ? kill('STOP', $receiver) : $standby->stop('immediate');

	# one that the standby will never have heard of
	$chaos->value('SET synchronous_commit = local; ' . $chaos->{asker}->start(-1));
	$chaos->until_true(q{SELECT count(*) = 1 FROM pg_stat_activity
		WHERE backend_type = 'domowf worker' AND wait_event = 'SyncRep'})
	  or die 'no claim waits for the standby';
	my $worker = $chaos->worker;
	$node->kill9;
	ok(Domowf->wait_for_end($worker), 'without its postmaster the worker ends');
	$is_frozen ? kill('CONT', $receiver) : $standby->start;
	$standby->promote;
	note 'the standby has taken over, after it was ',
	  $is_frozen ? 'frozen' : 'stopped';
	return;
}

# The same course of events goes on there, but without a standby.
sub go_on
{
	$chaos->move_to($standby);
	delete @disturbance{ grep { /standby|names|receiver|walsender|repack/ }
		  keys %disturbance };
	@kinds = ();
	$chaos->{undo} = sub {
		waitpid $_, 0 foreach @frozen;
		@frozen = ();
		end_change();
	};
	begin_ddl();
	$chaos->round($chaos->{rounds} + $_) foreach 1 .. 2;
	return;
}

# Nothing of what owners have done is left.
sub clean_up
{
	$clock->set($clock->wrong_by + 24 * HOUR);    # all that was meant for later
	clean_repack();
	$ddl->{session}->run('SET lock_timeout = 0');
	foreach my $sql (sort grep { defined } map { $_->[1] } @changes)
	{
		is($ddl->{session}->run($sql)->{sqlstate}, '', "in the end: $sql");
	}
	return;
}

# ---- the test

$chaos->value(Follower->sql . q{;
CREATE TABLE seen (line text);
CREATE FUNCTION chaos_see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.seen VALUES (TG_TABLE_NAME || TG_OP);
	RETURN NULL;
END $$});
$chaos->value('CREATE EXTENSION pg_repack') if $has_repack;
start_standby();
begin_ddl();
$chaos->begin;
$chaos->round($_) foreach 1 .. $chaos->{rounds};
fail_over();
go_on();
$chaos->end_all_prepared;
clean_up();
foreach my $table (sort grep { $followed{$_} } keys %followed)
{
	ok(compare($table), "... and domowf.$table is what was told of, to the end");
}
is( $chaos->value(q{SELECT string_agg(check_name || ': ' || detail, ', ')
		FROM domowf_check() WHERE NOT ok AND check_name <> 'worker'}),
	'', 'domowf_check() finds nothing wrong');
$chaos->judge;
note join ', ', map { "$met{$_} $_" } sort keys %met;
cmp_ok($met{changes}, '>', 0, 'owners have changed something');
done_testing();
