
# What happens around domowf, in a course of events (Chaos.pm): owners who change
# the tables and what hangs on them, followers and pg_repack, clocks that are
# set, processes that are frozen, a synchronous standby that stops and dies, and
# takes over.
#
#   my $around = Around->new(domo => $domo, name => 'main', rounds => 12);
#   $around->begin;
#   $around->{chaos}->round($_) foreach 1 .. $around->{chaos}{rounds};
#   $around->fail_over;
#   $around->end;        which judges
#
# new() makes the server and the course of events.  Each round has twice one of
# %disturbance, each once in some order and then all again; or what a function
# `disturb` does, which strike() helps to do it by chance.

package Around;

use strict;
use warnings;

use Blows;
use Chance qw(chance dice one_of);
use Chaos;
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

# Whether the worker's commit waits for the standby.
use constant SYNC_WAIT => q{SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'domowf worker' AND wait_event = 'SyncRep'};

# Errors of a statement that gives way: to a lock, a deadlock, a shutdown.
use constant GAVE_WAY => qr/^(?:|55P03|40P01|57P0[123]|08\w+)$/;

# What is committed without waiting for the disk stays in memory for long, so that
# a crash loses what should have waited.
use constant CONF => <<'END';
wal_writer_delay = '10s'
wal_sender_timeout = 0
wal_receiver_timeout = 0
wal_retrieve_retry_interval = '100ms'
END

# new(domo =>, rounds =>, conf => more settings, disturb => instead of its own,
# bulk and at_rest => as of Chaos.pm)
sub new
{
	my ($class, %option) = @_;

	my $clock = WrongClock->new;
	my $node = Domowf->start_node(
		'main', $option{domo},
		preload => 1,
		streaming => 'logical',
		conf => Chaos::CONF . CONF . ($option{conf} // ''));
	my $self = bless {
		domo => $option{domo},
		node => $node,
		clock => $clock,
		kinds => [],
		order => [],    # in which changes come
		frozen => [],
		followed => {},
		met => { map { $_ => 0 } qw(changes followed repacked), 'tries to change' }
	}, $class;
	my $disturb = $option{disturb} // sub { $self->disturb };

	$self->{chaos} = Chaos->new(
		domo => $option{domo},
		node => $node,
		map({ defined $option{$_} ? ($_ => $option{$_}) : () } qw(rounds bulk)),
		right => sub { $clock->right($_[0]) },
		before => sub { $self->_set_back },
		disturb => $disturb,
		undo => sub { $self->_undo },
		after => sub { $self->_follow },
		at_rest => sub {
			$option{at_rest}->() if $option{at_rest};
			$self->_check;
		});
	$self->{is} = $self->{chaos}{is};
	$self->{blows} = Blows->new($self->{chaos});
	return $self;
}

# ---- the standby

sub _start_standby
{
	my ($self) = @_;
	my $standby = $self->{standby} = PostgreSQL::Test::Cluster->new('standby');

	$self->{node}->backup('copy');
	$standby->init_from_backup($self->{node}, 'copy', has_streaming => 1);
	$standby->start;
	return $self->_wait_for_sync;
}

sub _wait_for_sync
{
	my ($self) = @_;

	$self->{chaos}->set_config(NAMES, 'standby');
	return $self->{chaos}->until_true(q{SELECT count(*) = 1 FROM pg_stat_replication
		WHERE sync_state = 'sync' AND state = 'streaming'});
}

# From now on commits wait, until it is started again.
sub _stop_standby
{
	my ($self, $how) = @_;
	my $standby = $self->{standby};

	return if $self->{is}{unheard};
	$self->{is}{unheard} = 1;
	return $standby->stop($how) if $how ne 'kill';
	my $postmaster = (split /\n/, slurp_file($standby->data_dir . '/postmaster.pid'))[0];

	$standby->kill9;
	return Domowf->wait_for_end($postmaster);
}

# Where it was killed, its processes may take their time to see that.
sub _begin_standby
{
	my ($self) = @_;

	for (1 .. $PostgreSQL::Test::Utils::timeout_default)
	{
		last if $self->{standby}->start(fail_ok => 1);
	}
	$self->{is}{unheard} = 0;
	return;
}

# ---- freezes

# Stops a process for a while, whatever happens meanwhile; by a process of its
# own, since who waits for one that is stopped might wait for ever.
sub _freeze
{
	my ($self, $pid, $seconds) = @_;

	return if !$pid || !kill 'STOP', $pid;
	my $child = fork // die "could not fork: $!";

	if ($child == 0)
	{
		select undef, undef, undef, $seconds;
		kill 'CONT', $pid;
		POSIX::_exit(0);
	}
	push @{ $self->{frozen} }, $child;
	return;
}

sub _thaw
{
	my ($self) = @_;

	waitpid $_, 0 foreach @{ $self->{frozen} };
	$self->{frozen} = [];
	return;
}

# ---- owners

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
# One of them, or its undoing; it gives way to whoever holds a lock for long.
sub _change
{
	my ($self) = @_;
	my $ddl = $self->{ddl};

	return if $ddl->{pending};
	$self->{order} = [ shuffle(0 .. $#changes) ] unless @{ $self->{order} };
	my $change = shift @{ $self->{order} };
	my ($do, $undo) = @{ $changes[$change] };
	my $sql = $ddl->{done}{$change} ? $undo : $do;

	$self->{chaos}->tell($sql);
	$self->{met}{'tries to change'}++;
	$ddl->{pending} = $sql;
	$ddl->{done}{$change} = $undo && !$ddl->{done}{$change};
	$self->{chaos}->send_to($ddl->{session}, $sql);
	return;
}

sub shuffle
{
	my (@left) = @_;

	return map { splice @left, dice(scalar @left), 1 } 0 .. $#left;
}

# Hears how it ended.
sub _end_change
{
	my ($self) = @_;
	my $sql = delete $self->{ddl}{pending};

	return $self->_begin_ddl unless defined $sql;
	my $got = $self->{ddl}{session}->wait;

	# what is there already, or has been left by one that gave way
	ok($got->{sqlstate} =~ GAVE_WAY || $got->{sqlstate} eq '42710',
		"no other error: $sql")
	  or diag $got->{err};
	$self->{met}{changes}++ if $got->{sqlstate} eq '';
	return $self->_begin_ddl;
}

# In a new session, since the one before may have been lost.
sub _begin_ddl
{
	my ($self) = @_;
	my $ddl = $self->{ddl} //= {};

	$ddl->{session}->quit if $ddl->{session};
	$ddl->{session} = Domowf->session($self->{chaos}{node});
	$ddl->{session}->run(q{SET lock_timeout = '300ms'});
	return;
}

# ---- followers

# Begins to follow a table, or compares it with what was told; where no
# transaction is open, but one that is prepared may be.
sub _follow
{
	my ($self) = @_;
	my $table = one_of(qw(queue log key));
	my $followed = $self->{followed};

	return if chance(30);
	$self->_compare($table) if $followed->{$table};
	return if $followed->{$table};
	my $got = $self->{ddl}{session}->run("SELECT follow.start('$table')");

	like($got->{sqlstate}, GAVE_WAY, "domowf.$table is followed, or somebody has it");
	$followed->{$table} = $got->{sqlstate} eq '';
	return;
}

sub _compare
{
	my ($self, $table) = @_;
	my $got = $self->{ddl}{session}->run("SELECT follow.differs('$table')");

	return 0 if $got->{sqlstate} eq '55P03';
	is("$got->{out}$got->{err}", 0,
		"domowf.$table: a copy and what was told of are the table");
	$self->{followed}{$table} = 0;
	return ++$self->{met}{followed};
}

# pg_repack, where it is installed; it gives way, too.
sub _repack
{
	my ($self) = @_;
	my $node = $self->{node};
	my $table = one_of(qw(queue log key));

	return $self->_change unless $self->{has_repack};
	return if $self->{repack};
	$self->{chaos}->tell("pg_repack of $table");
	my $repack = $self->{repack} = { err => '' };

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
sub _end_repack
{
	my ($self) = @_;
	my $repack = delete $self->{repack};

	return unless $repack;
	if (!$repack->{run}->finish)
	{
		note $repack->{err};
	}
	elsif ($repack->{err} !~ /WARNING|ERROR/)
	{
		$self->{met}{repacked}++;
	}
	return;
}

sub _clean_repack
{
	my ($self) = @_;
	my $chaos = $self->{chaos};

	return unless $self->{has_repack};
	$chaos->value('DROP EXTENSION IF EXISTS pg_repack CASCADE; CREATE EXTENSION pg_repack')
	  if $chaos->value(q{SELECT count(*) > 0 FROM pg_trigger WHERE tgname = 'repack_trigger'}) eq 't';
	return;
}

# ---- the clock

# Back, where nobody waits for a lock, since PostgreSQL's own timers then go off
# late by as much.
sub _set_back
{
	my ($self) = @_;

	return unless chance(35);
	$self->{chaos}->catch_in_flight;
	return $self->_step(-HOUR * (1 + dice(3)));
}

sub _step
{
	my ($self, $seconds) = @_;
	my $clock = $self->{clock};

	$self->{chaos}->tell("the clock is set by $seconds s");
	$clock->set($clock->wrong_by + $seconds);
	return;
}

# ---- disturbances

my %disturbance = (
	repack => sub { $_[0]->_repack },
	'repack again' => sub { $_[0]->_repack },
	'clock forward' => sub { $_[0]->_step(HOUR * (1 + dice(4))) },
	'freeze worker' => sub {
		my ($self, $chaos) = @_;
		$chaos->catch_in_flight;
		$self->_freeze($chaos->worker, one_of(0.2, 0.7));
	},
	'freeze worker for long' => sub {
		my ($self, $chaos) = @_;
		$chaos->catch_in_flight;
		$self->_freeze($chaos->worker, 2.5);
	},
	'freeze session' => sub {
		my ($self, $chaos) = @_;
		$self->_freeze(one_of(@{ $chaos->{sessions} })->pid, one_of(0.2, 1));
	},
	'freeze receiver' => sub {
		my ($self, $chaos) = @_;
		return if $self->{is}{unheard};
		$chaos->catch_in_flight;
		$self->_freeze($self->{standby}->safe_psql('postgres',
				'SELECT pid FROM pg_stat_wal_receiver'), one_of(0.3, 1));
	},
	'freeze walsender' => sub {
		my ($self, $chaos) = @_;
		$chaos->catch_in_flight;
		$self->_freeze($chaos->value('SELECT pid FROM pg_stat_replication LIMIT 1'), 0.5);
	},
	(
		map {
			my ($what, $how) = @$_;

			$what => sub {
				my ($self, $chaos) = @_;
				$chaos->catch_in_flight;
				$self->_stop_standby($how);
			  }
		} [ 'stop standby' => 'fast' ],
		[ 'crash standby' => 'immediate' ],
		[ 'kill standby' => 'kill' ]),
	'no names' => sub { $_[1]->set_config(NAMES, ''); },
	'terminate worker without standby' => sub {
		my ($self, $chaos) = @_;
		$chaos->catch_in_flight;
		$self->_stop_standby('immediate');
		$chaos->value(
			'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	},
	'restart again' => sub { $_[1]->restart('fast'); },
	(
		map {
			my $what = $_;

			$what => sub { $_[0]{blows}->strike_untold($what) }
		} 'kill worker',
		'restart',
		'immediate stop',
		'close all'));

# The names of those that there may be now: without a standby not all.
sub names
{
	my ($self) = @_;

	return sort grep { !$self->{is_alone} || !/standby|names|receiver|walsender|repack/ }
	  keys %disturbance;
}

# Each once, in some order, and then all again.
sub disturb
{
	my ($self) = @_;

	$self->{kinds} = [ shuffle($self->names) ] unless @{ $self->{kinds} };
	return $self->strike(shift @{ $self->{kinds} });
}

# One of names(), and mostly a change by an owner beside it.
sub strike
{
	my ($self, $what) = @_;

	$self->_change if chance(70);
	$self->{chaos}->tell($what);
	$disturbance{$what}->($self, $self->{chaos});
	return;
}

# What transactions would wait for comes to its end.
sub _undo
{
	my ($self) = @_;

	$self->_thaw;
	if (!$self->{is_alone})
	{
		$self->_begin_standby if $self->{is}{unheard};
		$self->_wait_for_sync;
	}
	$self->_end_change;
	$self->_end_repack;
	return;
}

# ---- the standby takes over

# While the standby hears nothing, the worker claims what the standby has, and
# its commit waits; then the primary dies.  The same course of events goes on
# there, but without a standby.
sub fail_over
{
	my ($self) = @_;
	my ($chaos, $node, $standby) = @$self{qw(chaos node standby)};
	my $is_frozen = chance(50);
	my $receiver = $standby->safe_psql('postgres',
		'SELECT pid FROM pg_stat_wal_receiver');

	$chaos->heal;
	$chaos->end_failing;
	$self->{domo}->close_all;
	$chaos->set_config('domowf.worker', 'on');
	$self->{is}{off} = $self->{is}{paused} = 0;
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
	$self->_wait_for_claim;
	my $worker = $chaos->worker;
	$self->_end_wait($worker);
	$self->_wait_for_claim;
	$node->kill9;
	ok(Domowf->wait_for_end($worker), 'without its postmaster the worker ends');
	$is_frozen ? kill('CONT', $receiver) : $standby->start;
	$standby->promote;
	note 'the standby has taken over, after it was ',
	  $is_frozen ? 'frozen' : 'stopped';

	$chaos->move_to($standby);
	$self->{is_alone} = 1;
	$self->{kinds} = [];
	return $self->_begin_ddl;
}

sub _wait_for_claim
{
	my ($self) = @_;

	$self->{chaos}->until_true(SYNC_WAIT) or die 'no claim waits for the standby';
	return;
}

# The names go and are there again while the worker stands still: its wait ends,
# and the standby, which it is to wait for, has nothing.
sub _end_wait
{
	my ($self, $worker) = @_;
	my $chaos = $self->{chaos};

	kill 'STOP', $worker;
	$chaos->set_config(NAMES, '');

	# until then it waits, too
	$chaos->value(q{SELECT pg_logical_emit_message(true, 'chaos', '')});
	$chaos->set_config(NAMES, 'standby');
	kill 'CONT', $worker;
	return;
}

# ---- beginning and end

sub begin
{
	my ($self) = @_;
	my $chaos = $self->{chaos};

	$chaos->value(Follower->sql . q{;
CREATE TABLE seen (line text);
CREATE FUNCTION chaos_see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.seen VALUES (TG_TABLE_NAME || TG_OP);
	RETURN NULL;
END $$});
	$self->{has_repack} =
	  eval { IPC::Run::run([ 'pg_repack', '--version' ], '>' => \my $out) }
	  && $chaos->value(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_repack'});
	$chaos->value('CREATE EXTENSION pg_repack') if $self->{has_repack};
	$self->_start_standby;
	$self->_begin_ddl;
	$chaos->begin;
	return;
}

# Nothing of what owners have done is left.
sub _clean_up
{
	my ($self) = @_;
	my $session = $self->{ddl}{session};

	# all that was meant for later
	$self->{clock}->set($self->{clock}->wrong_by + 24 * HOUR);
	$self->_clean_repack;
	$session->run('SET lock_timeout = 0');
	foreach my $sql (sort grep { defined } map { $_->[1] } @changes)
	{
		is($session->run($sql)->{sqlstate}, '', "in the end: $sql");
	}
	return;
}

# When nothing is to be sent, and nobody has switched anything off.
sub _check
{
	my ($self) = @_;

	is( $self->{chaos}->value(q{SELECT string_agg(check_name || ': ' || detail, ', ')
		FROM domowf_check() WHERE NOT ok AND check_name <> 'worker'}),
		'', 'domowf_check() finds nothing wrong');
	return;
}

# Whether all of it keeps the promise.  Ends the server.
sub end
{
	my ($self) = @_;
	my ($chaos, $followed, $met) = @$self{qw(chaos followed met)};

	$chaos->end_all_prepared;
	$self->_clean_up;
	foreach my $table (sort grep { $followed->{$_} } keys %$followed)
	{
		ok($self->_compare($table), "... and domowf.$table is what was told of, to the end");
	}
	$chaos->judge;
	note join ', ', map { "$met->{$_} $_" } sort keys %$met;

	# of a few, cut short, each may have given way
	cmp_ok($met->{changes}, '>', 0, 'owners have changed something')
	  if $met->{'tries to change'} > 4;
	return;
}

1;
