
# A planned stop leaves nothing in doubt that Domo answers in time: a fast and a
# smart stop of the server, domowf.worker = off, pg_terminate_backend() and
# domowf_pause() let what is in flight be answered and settled; and none of them waits for long for what is not answered.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant FLIGHT => 8;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	streaming => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.drain_timeout = '100s'
END
my $n = 0;

$node->safe_psql('postgres', <<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('gated', 'scenario:gate-executed:way', '1.0.0', 'Start it'),
	('hangs', 'scenario:hang', '1.0.0', 'Start it')
END

sub value
{
	return $node->safe_psql('postgres', "SET synchronous_commit = local; $_[0]");
}

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

# Enqueues as many as can be in flight at once; they are when it returns.
sub fill
{
	my $ids = value(sprintf q{SELECT string_agg(
			domowf_enqueue('gated', jsonb_build_object('n', i::text))::text, ',')
			FROM generate_series(%d, %d) i}, $n + 1, $n + FLIGHT);

	$n += FLIGHT;
	$domo->wait_for(held => '=' . FLIGHT);
	return $ids;
}

# How many of these are in each state.
sub states
{
	my ($ids) = @_;

	return value("SELECT string_agg(state || ' ' || c, ', ' ORDER BY state)
		FROM (SELECT state, count(*) AS c FROM domowf.request
			WHERE id IN ($ids) GROUP BY state) s");
}

sub worker
{
	return value('SELECT pid FROM domowf.worker');
}

# ---- the server

foreach my $mode (qw(fast smart))
{
	my $ids = fill();
	my $pid = worker();
	my $stop = IPC::Run::start(
		[ 'pg_ctl', '-D', $node->data_dir, '-m', $mode, '-w', '-t', 170, 'stop' ],
		'>', \my $out, '2>', \my $err);

	# it is told to end once nobody can connect any more
	$node->wait_for_log(qr/received $mode shutdown request/);
	$domo->release('way', FLIGHT);
	ok($stop->finish, "$mode stop: it ends when Domo has answered");
	$node->{_pid} = undef;
	$node->start;
	is(states($ids), 'done 8', "$mode stop: what was in flight is done");
}

# ---- the worker

foreach my $case (
	[ q{SELECT pg_terminate_backend((SELECT pid FROM domowf.worker))}, '' ],
	[ q{ALTER SYSTEM SET domowf.worker = off}, q{ALTER SYSTEM RESET domowf.worker} ],
	[ q{SELECT domowf_pause('for a while')}, q{SELECT domowf_resume()} ])
{
	my ($sql, $undo) = @$case;
	my $ids = fill();
	my $pid = worker();

	value($sql);
	$node->reload;
	$domo->release('way', FLIGHT);
	until_true("SELECT count(*) = @{[ FLIGHT ]} FROM domowf.request
		WHERE id IN ($ids) AND state = 'done'", "$sql: what was in flight is done");
	until_true("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid",
		'... and the worker ends')
	  unless $sql =~ /pause/;
	value($undo);
	$node->reload;
}

# ---- what is not answered

$node->append_conf('postgresql.auto.conf', "domowf.drain_timeout = '100ms'\n");
ok(Domowf->until_taken_up($node), 'the worker has little time to drain');
my $id = value(q{SELECT domowf_enqueue('hangs', '{"n": "hangs"}')});
$domo->wait_for(executed => 5 * FLIGHT + 1);
$node->stop('fast');
$node->start;
is(value(Domowf->outcome_sql($id)),
	'in_doubt', 'what is not answered in time is in doubt');
like(Domowf->log_since($node), qr/request $id was being sent when its worker ended/,
	'... and in the server\'s log');

# ---- what is shown of a worker that was ended

$id = value(q{SELECT domowf_enqueue('hangs', '{"n": "hangs"}')});
$domo->wait_for(executed => 5 * FLIGHT + 2);
until_true(q{SELECT in_flight = 1 FROM domowf.worker}, 'a request is in flight');
value('ALTER SYSTEM SET domowf.worker = off');
$node->reload;
value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
is(value(q{SELECT concat_ws(' ', pid, in_flight) FROM domowf.worker}),
	'0', '... which nobody has, who was ended meanwhile');
is(value(q{SELECT sum(value) FROM domowf_metrics() WHERE name ~ 'in_flight'}),
	'0', '... as the metric says');
value('ALTER SYSTEM RESET domowf.worker');
$node->reload;
is(value(Domowf->outcome_sql($id)), 'in_doubt', '... but in doubt');

# ---- a worker that waits for a standby that is not there

$node->append_conf('postgresql.auto.conf', "synchronous_standby_names = 's1'\n");
$node->reload;
Domowf->until_commits_wait($node);
$id = value(q{SELECT domowf_enqueue('gated', '{"n": "waits"}')});
until_true(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE
	backend_type = 'domowf worker' AND wait_event = 'SyncRep'},
	'a claim waits for a standby');
$node->stop('fast');
ok(1, '... which holds up no stop');
$node->append_conf('postgresql.auto.conf', "synchronous_standby_names = ''\n");
$node->start;
$domo->release('way', 1);
is(value(Domowf->outcome_sql($id)),
	'done', '... and what it had claimed was put back, not in doubt');

# ---- somebody's code on the tables, which does not end

$node->append_conf('postgresql.auto.conf',
	"domowf.test_point = 'drain-patience=1000'\n");
ok(Domowf->until_taken_up($node), 'the worker has little time to end');
value(<<'END');
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN PERFORM pg_sleep(1000); RETURN NULL; END $$;
CREATE TRIGGER wait AFTER INSERT ON domowf.log FOR EACH ROW EXECUTE FUNCTION wait();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER wait
END
my $waits = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE
	backend_type = 'domowf worker' AND wait_event = 'PgSleep'};

$id = value(q{SELECT domowf_enqueue('gated', '{"n": "logged for long"}')});
$domo->release('way', 1);
until_true($waits, 'a worker is in a trigger that waits');
is(value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker'),
	't', '... and ends when it is told to');
is(value("SELECT state FROM domowf.request WHERE id = $id"),
	'in_doubt', '... with what it was writing in doubt')
  if $node->poll_query_until('postgres',
	"SELECT state <> 'sending' FROM domowf.request WHERE id = $id");
value('ALTER TABLE domowf.log DISABLE TRIGGER wait');

# ... nor does it hold up a stop of the server
value('ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER wait');
value(q{SELECT domowf_enqueue('gated', '{"n": "logged for long, too"}')});
$domo->release('way', 1);
until_true($waits, 'another one is');
$node->stop('fast');
ok(1, '... which holds up no stop');
$node->start;
value('ALTER TABLE domowf.log DISABLE TRIGGER wait');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$node->stop;
done_testing();
