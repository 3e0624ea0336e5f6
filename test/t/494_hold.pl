
# What a server that took over does with the queue it finds, of which the one
# before it may have sent anything since: domowf.after_promotion, after every way
# in which a new timeline begins, with hot_standby = off and at a recovery target
# too; and not after a crash of the same server that somebody ends by a
# promotion.  And domowf_hold(), by which a person does the same.  The record of
# the stand-in shows that under hold nothing is started twice.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	streaming => 1,
	conf => Domowf::RETRY_AT_ONCE . "domowf.poll_interval = '200ms'\n");
my ($id, @ids, $got);

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE app LOGIN;
CREATE ROLE other LOGIN;
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('hold', 'model', '1.0.0', 'Start it', 'hold'),
	('again', 'model', '1.0.0', 'Start it', 'retry');
CREATE TABLE asked (n text PRIMARY KEY, state text);
CREATE TRIGGER ask AFTER INSERT ON asked FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('hold', 'n', 'state<-state');
GRANT USAGE ON SCHEMA domowf TO app, other;
GRANT SELECT ON domowf.queue, domowf.log, domowf.request TO app, other;
GRANT EXECUTE ON FUNCTION domowf_enqueue, domowf_enqueue_call, domowf_wait,
	domowf_retry, domowf_discard, domowf_resolve, domowf_hold TO app
SQL

sub value
{
	my ($at, $sql) = @_;

	return $at->safe_psql('postgres', $sql);
}

sub enqueue
{
	my ($at, @request) = @_;

	return value($at, Domowf->enqueue_sql(@request));
}

sub outcome
{
	my ($at, $request, $timeout) = @_;

	return value($at, Domowf->outcome_sql($request, undef, $timeout));
}

# Until the worker has looked where it is.
sub is_served
{
	my ($at) = @_;

	return $at->poll_query_until('postgres', <<'SQL')
SELECT timeline = (pg_control_checkpoint()).timeline_id
	AND system_identifier = (pg_control_system()).system_identifier
FROM domowf.state
SQL
	  || die 'the queue is not served';
}

sub set_worker
{
	my ($at, $value) = @_;

	value($at, "ALTER SYSTEM SET domowf.worker = $value");
	$at->reload;
	return $at->poll_query_until('postgres',
		'SELECT count(*) = '
		  . ($value eq 'on' ? 1 : 0)
		  . q{ FROM pg_stat_activity WHERE backend_type = 'domowf worker'});
}

sub states
{
	my ($at, @requests) = @_;

	return value($at, "SELECT string_agg(state, ' ' ORDER BY id) FROM domowf.request"
		  . ' WHERE id IN (' . join(',', @requests) . ')');
}

# ---- by a person

is_served($node);
ok(1, 'a queue knows where it is served');
set_worker($node, 'off');
my $app = Domowf->session($node, user => 'app');
my $session = Domowf->session($node);
my %of;

$of{hold} = $app->enqueue('hold', 'person');
$of{again} = $app->enqueue('again', 'person again');
$of{later} = $app->enqueue('hold', 'person later',
	run_at => q{now() + interval '1 hour'});
$of{cancel} = $app->value(
	q{SELECT domowf_enqueue_call('cancel', '{"id": "unknown"}')});
$of{first} = $app->enqueue('hold', 'person first', order_key => q{'k'});
$of{second} = $app->enqueue('hold', 'person second', order_key => q{'k'},
	key => q{'second'});
$of{others} = $session->enqueue('hold', 'person others');
is($app->value("SELECT domowf_hold('2020-01-01')"), 0,
	'domowf_hold(): nothing was enqueued before');
is($app->run('SELECT domowf_hold(NULL)')->{sqlstate}, '22004', '... NULL');
is( Domowf->session($node, user => 'other')->run('SELECT domowf_hold()')->{sqlstate},
	'42501', '... who may not execute it');
is( $app->run('BEGIN READ ONLY; SELECT domowf_hold()')->{sqlstate},
	'25006', '... a read-only transaction');
$app->run('ROLLBACK');
is($app->value('BEGIN; SELECT domowf_hold(clock_timestamp()); ROLLBACK'),
	4, '... may be rolled back');
is(states($node, values %of), join(' ', ('queued') x 7), '... which holds nothing');

$app->send("SELECT (domowf_wait($of{hold}, '170 s')).state");
is( value($node, 'SET ROLE app; SELECT domowf_hold(clock_timestamp())'),
	4, '... holds every start that waits and is not to be repeated');
is($app->wait->{out}, 'in_doubt', '... who waits for one is told');
is(states($node, @of{qw(hold later first second)}),
	'in_doubt in_doubt in_doubt in_doubt', '... they are in doubt');
is(states($node, @of{qw(again cancel others)}),
	'queued queued queued', '... the others are not, nor those of others');
is( $session->value(
		"SELECT attempts, errors->0->>'class', errors->0->>'message' = error,"
		  . " due = 'infinity' FROM domowf.queue WHERE id = $of{hold}"),
	'0|held|t|t', '... with the reason, and no attempt');
is($app->value('SELECT domowf_hold(clock_timestamp())'), 0, '... once');
is($session->value('SELECT domowf_hold(clock_timestamp())'),
	1, '... a superuser holds those of all');
set_worker($node, 'on');
is(outcome($node, $of{cancel}), 'rejected', '... a cancel goes on');
is(outcome($node, $of{again}), 'done', '... what may be repeated goes on');
is($domo->arrived('person'), 0, '... what is held does not');
$app->value("SELECT domowf_discard($of{others}), domowf_retry($of{hold}), domowf_resolve($of{later}, 'it')");
is(outcome($node, $of{hold}), 'done', '... until somebody has it sent');
is(outcome($node, $of{later}), 'done', '... or has found it');
is(states($node, $of{others}), 'in_doubt', '... each his own');
value($node, "SELECT domowf_discard($of{others})");

# of an order key all are held; each goes when the one before it is settled
value($node, "SELECT domowf_retry($of{second})");
is(states($node, $of{first}, $of{second}), 'in_doubt queued',
	'an order key: one in doubt holds back the next');
value($node, "SELECT domowf_hold(clock_timestamp())");
value($node, "SELECT domowf_discard($of{first})");
ok( $node->poll_query_until('postgres',
		"SELECT NOT waiting FROM domowf.queue WHERE id = $of{second}"),
	'... which goes first then');
is( value($node, "SELECT state, due FROM domowf.queue WHERE id = $of{second}"),
	'in_doubt|infinity', '... and is in doubt itself');
is(enqueue($node, 'hold', 'person key', key => q{'second'}),
	$of{second}, '... its key is held');
value($node, "SELECT domowf_retry($of{second})");
is(outcome($node, $of{second}), 'done', '... until it is sent');
is($domo->arrived('person second'), 1, '... once');

# a row that somebody has locked is waited for
set_worker($node, 'off');
$id = enqueue($node, 'hold', 'locked');
$session->value('BEGIN');
$session->value("SELECT domowf_discard($id)");
my $waits = Domowf->session($node);
$waits->send('SELECT domowf_hold(clock_timestamp())');
$node->poll_query_until('postgres',
	q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = } . $waits->pid);
$session->value('ROLLBACK');
is($waits->wait->{out}, 1, 'one that somebody has locked is waited for, and held');
value($node, "SELECT domowf_discard($id)");

# ... and left alone, where that somebody has settled it
$id = enqueue($node, 'hold', 'settled');
$session->value('BEGIN');
$session->value("SELECT domowf_discard($id)");
$waits->send('SELECT domowf_hold(clock_timestamp())');
$node->poll_query_until('postgres',
	q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = } . $waits->pid);
$session->value('COMMIT');
is($waits->wait->{out}, 0, 'one that was settled meanwhile is not held');
is(states($node, $id), 'discarded', '... and stays so');
$_->quit foreach $app, $session, $waits;

# ---- a server that takes over

# What the copies have in their queues, and the original then sends.
my @sent;

sub fill
{
	my ($name) = @_;

	@sent = map { "$name $_" } 'plain', 'first', 'second', 'later', 'row';
	set_worker($node, 'off');
	@ids = (
		enqueue($node, 'hold', "$name plain"),
		enqueue($node, 'hold', "$name first", order_key => q{'k'}),
		enqueue($node, 'hold', "$name second", order_key => q{'k'}),
		enqueue($node, 'hold', "$name later",
			run_at => q{now() + interval '10 min'}),
		enqueue($node, 'again', "$name again"));
	value($node, "INSERT INTO asked VALUES ('$name row')");

	# as of one that has come from a publisher, and was sent again here (replica.c)
	value($node, "UPDATE domowf.queue SET batch = (batch::text::bigint | (1::bigint << 62))::text::xid8
		WHERE id = $ids[0]");
	return;
}

sub send_all
{
	set_worker($node, 'on');
	value($node, "SELECT domowf_retry($ids[3])");
	is(outcome($node, $_), 'done', "$sent[0]: the original sends $_") foreach @ids;
	row_tells($node, 'done');
	return;
}

# Waits until what came of the request is written into the row that asked for it.
sub row_tells
{
	my ($at, $state) = @_;

	return ok(
		$at->poll_query_until('postgres', "SELECT state = '$state' FROM asked WHERE n = '$sent[-1]'"),
		"$sent[-1] tells that it is $state");
}

# A copy of the original as it was when it was filled.
sub make_copy
{
	my ($name, $after, %option) = @_;
	my $copy = PostgreSQL::Test::Cluster->new($name);

	$copy->init_from_backup($node, $option{backup} // 'base');
	$copy->append_conf('postgresql.conf', "domowf.after_promotion = $after\n");
	$copy->append_conf('postgresql.conf', $option{conf}) if $option{conf};
	$copy->append_conf('postgresql.auto.conf', "domowf.worker = on\n");
	$option{prepare}->($copy) if $option{prepare};
	$copy->start;
	$copy->promote if $option{promote};
	until_served($copy);
	return $copy;
}

# With hot_standby = off nobody is let in for a moment after pg_ctl has come back.
sub until_served
{
	my ($at) = @_;

	return $at->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
}

sub promote
{
	my ($at) = @_;

	$at->promote;
	return until_served($at);
}

sub is_held
{
	my ($copy, $name) = @_;

	is(outcome($copy, $_, '170 s'), 'in_doubt', "$name: $_ is in doubt")
	  foreach @ids[ 0 .. 3 ];
	row_tells($copy, 'in_doubt');
	is(outcome($copy, $ids[4]), 'done', "$name: what may be repeated is");
	is( value($copy, "SELECT DISTINCT attempts, errors->0->>'class',"
			  . " error ~ 'took over' FROM domowf.queue"),
		'0|held|t', "$name: ... and says why");
	my $new = enqueue($copy, 'hold', "$name new");
	is(outcome($copy, $new), 'done', "$name: what is new is sent");
	is($domo->arrived("$name new"), 1, "$name: ... once");
	is($domo->arrived($_), 1, "started once: $_") foreach @sent;
	return;
}

fill('base');
$node->backup('base');
send_all();

# a session that is there before the worker: its requests are the new server's
my $copy = make_copy(
	'standby', 'hold',
	promote => 1,
	conf => "hot_standby = off\ndomowf.worker = off\n",
	prepare => sub {
		$_[0]->set_standby_mode;
		$_[0]->append_conf('postgresql.auto.conf', "domowf.worker = off\n");
	});
my $early = enqueue($copy, 'hold', 'early');
set_worker($copy, 'on');
is_held($copy, 'hot_standby = off');
is(outcome($copy, $early), 'done', '... and what came before its worker did');
ok(Domowf->log_since($copy, 0) =~ /took over, on timeline 2: 5 requests are in doubt/,
	'... as its log says');
$copy->restart;
$id = enqueue($copy, 'hold', 'after a restart');
is(outcome($copy, $id), 'done', '... it takes over once');
is(value($copy, q{SELECT string_agg(DISTINCT state, '') FROM domowf.request WHERE id = } . $ids[0]),
	'in_doubt', '... and what is held stays so');

# the same server, that crashes and is promoted: it alone has sent
$copy->append_conf('postgresql.auto.conf', "domowf.worker = off\n");
$copy->reload;
set_worker($copy, 'off');
$id = enqueue($copy, 'hold', 'own crash');
$copy->stop('immediate');
$copy->append_conf('postgresql.auto.conf', "domowf.worker = on\n");
$copy->set_standby_mode;
$copy->start;
promote($copy);
is(outcome($copy, $id), 'done', 'a crash that is mended by a promotion holds nothing');
is_served($copy);
is(value($copy, 'SELECT timeline FROM domowf.state'), 3, '... on a new timeline');

# but where it cannot be known that all came from here
set_worker($copy, 'off');
$id = enqueue($copy, 'hold', 'archive');
$copy->stop('immediate');
$copy->append_conf('postgresql.auto.conf', "domowf.worker = on\n");
$copy->append_conf('postgresql.conf', "restore_command = 'false'\n");
$copy->set_standby_mode;
$copy->start;
promote($copy);
is(outcome($copy, $id), 'in_doubt', 'where WAL may come from an archive, it does');
is($domo->arrived('archive'), 0, '... and nothing is sent');
$copy->stop;

# point-in-time recovery
my $recovery = <<'CONF';
restore_command = 'false'
recovery_target = 'immediate'
recovery_target_action = 'promote'
CONF
my $recover = sub { $_[0]->set_recovery_mode };

$copy = make_copy('target', 'hold', conf => $recovery, prepare => $recover);
is_held($copy, 'point-in-time recovery');
$copy->stop;

# One that somebody has locked, as a prepared transaction does for as long as nobody
# ends it, is passed by, and told of: it is neither sent nor does it end, and all
# others go on, also after a restart.  It is held when it is free.
$copy = make_copy('locked', 'hold',
	conf => $recovery . "max_prepared_transactions = 5\ndomowf.stall_after = '100ms'\ndomowf.poll_interval = '200ms'\n",
	prepare => sub {
		$recover->($_[0]);
		$_[0]->append_conf('postgresql.auto.conf', "domowf.worker = off\n");
	});
value($copy, "UPDATE domowf.queue SET expires_at = clock_timestamp() WHERE id = $ids[1]");
value($copy, "BEGIN; SELECT domowf_discard($ids[1]); PREPARE TRANSACTION 'locks'");
set_worker($copy, 'on');
foreach my $when ('locked', 'locked, and a restart')
{
	is(outcome($copy, enqueue($copy, 'hold', $when)), 'done', "$when: what is new is sent");
	is(states($copy, @ids[ 0 .. 3 ]), 'in_doubt queued queued in_doubt',
		"$when: the one is not held, nor the next of its order key, which goes with it; all others are");
	ok( $copy->poll_query_until('postgres',
			q{SELECT state ~ 'is passed by: it waits for a lock on transaction \d+.*, held by a prepared transaction' FROM domowf.worker}),
		"$when: it is told who has locked it");
	ok(Domowf->log_since($copy, 0) =~
		  /request $ids[1], which may have been sent before this server took over, cannot be put in doubt, and is not sent: another transaction has locked it/,
		"$when: ... and which it is");
	$copy->restart if $when eq 'locked';
}
value($copy, "ROLLBACK PREPARED 'locks'");
is_held($copy, 'locked');
ok($copy->poll_query_until('postgres', q{SELECT state !~ 'stalled' FROM domowf.worker}), 'locked: the stall is over');
is_served($copy);
$copy->stop;

$copy = make_copy('paused', 'pause', conf => $recovery . "hot_standby = off\n",
	prepare => $recover);
ok( $copy->poll_query_until('postgres',
		q{SELECT state = 'paused' AND pause_reason ~ 'promoted' FROM domowf.worker}),
	'pause, after point-in-time recovery with hot_standby = off');
is(states($copy, @ids), join(' ', ('queued') x 5), '... nothing is sent');
is(value($copy, 'SELECT domowf_hold(clock_timestamp())'), 5, '... until somebody has held');
row_tells($copy, 'in_doubt');
value($copy, 'SELECT domowf_resume()');
is(outcome($copy, $ids[4]), 'done', '... and let it go on');
is($domo->arrived($_), 1, "... started once: $_") foreach @sent;
$copy->restart;
is(outcome($copy, enqueue($copy, 'hold', 'resumed')), 'done', '... for good');
$copy->stop;

$copy = make_copy('going', 'go_on', conf => $recovery, prepare => $recover);
is(outcome($copy, $ids[0]), 'done', 'go_on goes on');
is($domo->arrived('base plain'), 2, '... and sends what was sent');
$copy->stop;

# a queue that keeps no number yet, as after an update from 1.0
value($node, 'UPDATE domowf.state SET timeline = NULL, system_identifier = NULL');
fill('unknown');
$node->backup('unknown');
send_all();
$copy = make_copy('unknown', 'hold', backup => 'unknown', conf => $recovery,
	prepare => $recover);
is_held($copy, 'a queue without a number');
$copy->stop;

# a standby that was made without a backup's label: it has received
fill('cold');
$node->stop;
$node->backup_fs_cold('cold');
$node->start;
my $cold = PostgreSQL::Test::Cluster->new('cold');
$cold->init_from_backup($node, 'cold', has_streaming => 1);
$cold->append_conf('postgresql.conf', "domowf.after_promotion = hold\n");
$cold->append_conf('postgresql.auto.conf', "domowf.worker = on\n");
$cold->start;
value($node, 'CREATE TABLE something ()');
$node->wait_for_catchup($cold, 'replay', $node->lsn('insert'));
$cold->append_conf('postgresql.conf', "primary_conninfo = ''\n");
$cold->reload;
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_replication');
send_all();
promote($cold);
is_held($cold, 'a standby without a label');
$cold->stop;

# the number of another cluster, from which pg_upgrade has brought the queue, and
# one of this cluster
$node->append_conf('postgresql.conf', "domowf.after_promotion = hold\n");
foreach my $other (1, 0)
{
	my $name = $other ? 'upgraded' : 'elsewhere';

	set_worker($node, 'off');
	$id = enqueue($node, 'hold', $name);
	value($node, 'UPDATE domowf.state SET timeline = 7, system_identifier ='
		  . " system_identifier + $other");
	$node->restart;
	set_worker($node, 'on');
	is(outcome($node, $id), $other ? 'done' : 'in_doubt',
		$other ? 'pg_upgrade is none' : 'any other timeline is');
	is_served($node);
}
$node->stop;

# What is made on a server that has taken over is its own, and so is a copy that
# somebody has resumed there: neither was served elsewhere.
$copy = make_copy('fresh', 'pause', conf => $recovery, prepare => $recover);
value($copy, "CREATE DATABASE $_") foreach qw(made pattern);
$copy->safe_psql($_, <<'SQL') foreach qw(made pattern);
CREATE EXTENSION domowf;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it')
SQL
is( $copy->safe_psql('made', q{SELECT timeline, system_identifier
		= (pg_control_system()).system_identifier FROM domowf.state}),
	'2|t', 'a queue that is made knows where');
$id = $copy->safe_psql('made', Domowf->enqueue_sql('it', 'made'));
is($copy->safe_psql('made', Domowf->outcome_sql($id)), 'done', '... and sends');
value($copy, 'ALTER SYSTEM SET domowf.worker = off');
$copy->reload;
$copy->poll_query_until('postgres',
	q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'domowf worker'});
$copy->safe_psql('pattern', 'UPDATE domowf.state SET timeline = 1');
value($copy, 'CREATE DATABASE copied TEMPLATE pattern');
$copy->safe_psql('copied', 'SELECT domowf_resume()');
$id = $copy->safe_psql('copied', Domowf->enqueue_sql('it', 'copied'));
value($copy, 'ALTER SYSTEM SET domowf.worker = on');
$copy->reload;
is($copy->safe_psql('copied', Domowf->outcome_sql($id)), 'done', '... and so does a copy of an older one');
$copy->stop;
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
done_testing();
