
# domowf_metrics() tells what Prometheus' conventions want told: names, types,
# cumulated buckets, counters that only grow and agree with what was done; and
# to whom it tells what.  Exists because a monitor sums up without a look.

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
	preload => 1, streaming => 1,
	conf => Domowf::RETRY_AT_ONCE . "domowf.poll_interval = '200ms'\n");
my $session = Domowf->session($node);
my $hour = q{now() + interval '1 hour'};
my $id;

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('plain', 'model', '1.0.0', 'Start it', 'hold'),
	('refused', 'scenario:status:404', '1.0.0', 'Start it', 'hold'),
	('doubtful', 'scenario:status:502', '1.0.0', 'Start it', 'hold');
CREATE ROLE alice;
CREATE ROLE monitor IN ROLE pg_monitor;
CREATE ROLE stranger;
GRANT USAGE ON SCHEMA domowf TO alice, stranger;
GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO alice;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO alice
END

sub as_role
{
	my ($role, $sql) = @_;

	$session->value("SET ROLE $role");
	my $result = $session->run($sql);
	$session->value('RESET ROLE');
	return $result;
}

# The sum of a metric's values, of rows that have these labels.
sub metric
{
	my ($name, $labels) = @_;

	return $session->value(sprintf
		q{SELECT sum(value) FROM domowf_metrics() WHERE name = 'domowf_%s' AND labels @> '%s'},
		$name, $labels // '{}');
}

$session->outcome($session->enqueue('plain', "n$_")) foreach 1 .. 3;
$session->outcome($id = $session->enqueue('refused', 'r'));
$session->outcome(my $doubt = $session->enqueue('doubtful', 'd'));
$session->enqueue('plain', 'later', run_at => $hour);
as_role('alice', Domowf->enqueue_sql('plain', 'of alice', run_at => $hour));

is(metric(@$_[ 0, 1 ]), $_->[2], "$_->[0] " . ($_->[1] // '')) foreach
  [ 'requests_total', '{"workflow": "plain", "operation": "start", "outcome": "done"}', 3 ],
  [ 'requests_total', '{"outcome": "rejected"}', 1 ],
  [ 'requests_total', undef, 4 ],
  [ 'requests_enqueued_total', undef, 7 ],
  [ 'requests_enqueued_total', '{"requested_by": "alice"}', 1 ],
  [ 'requests_doubted_total', undef, 1 ],
  [ 'attempts_total', '{"class": "done"}', 3 ],
  [ 'attempts_total', '{"class": "in doubt"}', 1 ],
  [ 'request_duration_seconds_count', undef, 4 ],
  [ 'request_duration_seconds_bucket', '{"le": "+Inf"}', 4 ],
  [ 'attempt_duration_seconds_count', '{"workflow": "doubtful"}', 1 ],
  [ 'attempt_duration_seconds_bucket', '{"le": "+Inf"}', 5 ],
  [ 'queue_waiting', undef, 2 ],
  [ 'queue_due', undef, 0 ],
  [ 'queue_in_doubt', '{"workflow": "doubtful"}', 1 ],
  [ 'worker_paused', undef, 0 ],
  [ 'worker_up', undef, 1 ],
  [ 'in_recovery', undef, 0 ],
  [ 'returns_waiting', undef, 0 ],
  [ 'tracked_instances', undef, 0 ];
cmp_ok(metric('table_bytes', '{"table": "log"}'), '>', 0, 'the size of the log');
cmp_ok(metric('attempt_duration_seconds_sum'), '>', 0, 'the time of attempts');
is($session->value('SELECT sum(waited) FROM domowf.counter'),
	$session->value(q{SELECT sum(extract(epoch FROM settled_at - enqueued_at) * 1000000)::bigint
		FROM domowf.log WHERE origin = 'request'}), 'times are exact');
is($session->value(sprintf q{SELECT round(%s::numeric, 6) - sum(waited) / 1000000 = 0 FROM domowf.counter},
		metric('request_duration_seconds_sum')), 't', '... and told in seconds');
is($session->value(<<'END'), '', 'buckets are cumulated');
SELECT name, labels FROM (
	SELECT name, labels, value, lag(value) OVER (PARTITION BY name, labels - 'le'
		ORDER BY replace(labels->>'le', '+Inf', 'Infinity')::float8) AS before
	FROM domowf_metrics() WHERE name LIKE '%_bucket') b
WHERE value < before
END

# To Prometheus a label that is empty is none.
sub told_twice
{
	return $session->value(<<'END');
SELECT name, told FROM domowf_metrics(), LATERAL (SELECT jsonb_object_agg(key, value) AS told
	FROM jsonb_each_text(labels) WHERE value <> '') t
GROUP BY name, told
HAVING count(*) > 1
END
}

is(told_twice(), '', 'each set of labels is there once');
is($session->value(<<'END'), '', 'names are as Prometheus wants them');
SELECT name FROM domowf_metrics()
GROUP BY name
HAVING name !~ '^domowf_[a-z_]+$' OR bool_or(value IS NULL OR help IS NULL)
	OR (min(type) = 'counter') <> (name LIKE '%_total')
	OR (min(type) = 'histogram') <> (name ~ '_(bucket|sum|count)$')
	OR NOT bool_and(type IN ('counter', 'gauge', 'histogram'))
END

is($session->value(<<'END'), '0.001 0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 10 30 60 300 3600 86400 +Inf', 'the bounds of bucket.c');
SELECT DISTINCT string_agg(labels->>'le', ' ' ORDER BY replace(labels->>'le', '+Inf', 'Infinity')::float8)
FROM domowf_metrics() WHERE name LIKE '%_bucket' GROUP BY name, labels - 'le'
END

# ---- counters only grow

$session->value(q{SELECT domowf_pause('for a while')});
ok($node->poll_query_until('postgres', q{SELECT state = 'paused' FROM domowf.worker}), 'paused');
$session->value("SELECT domowf_retry($id), domowf_retry($doubt)");
is(metric('requests_total'), 4, 'what is sent again was settled all the same');
is(metric('requests_reopened_total', '{"outcome": "rejected"}'), 1, '... and counts as opened again');
is(metric('requests_enqueued_total'), 7, '... and was not enqueued anew');
is(metric('queue_due'), 2, '... two are due now');
is(metric('worker_paused'), 1, '... while sending is paused');
$session->value('TRUNCATE domowf.log');
is(metric('requests_total'), 4, 'without the log');
$session->value('SELECT domowf_resume()');
$session->outcome($_) foreach $id, $doubt;

# ---- what is sent again to another server was enqueued once, for the first one

sub enqueued
{
	return join ' ', map { metric('requests_enqueued_total', qq({"workflow": "moving"$_})) || 0 }
	  '', ', "server": "one"', ', "server": "two"';
}

$session->value(sprintf <<'END', ($domo->url, Domowf::TOKEN) x 2);
CREATE SERVER one FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
CREATE USER MAPPING FOR PUBLIC SERVER one OPTIONS (token '%s');
CREATE SERVER two FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
CREATE USER MAPPING FOR PUBLIC SERVER two OPTIONS (token '%s');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('moving', 'scenario:status:404', '1.0.0', 'Start it');
SELECT domowf_pause('for a while')
END
my $moved = $session->enqueue('moving', 'queued', run_at => $hour);
is(enqueued(), '1 0 0', 'where the settings point');
foreach my $step ([ 'one', '1 0 0' ], [ 'two', '1 0 0' ])
{
	$session->value("UPDATE domowf.workflow SET server = '$step->[0]' WHERE name = 'moving'");
	is($session->value("SELECT domowf_retry($moved)"), 't', "sent again to server $step->[0]");
	is($session->value("SELECT server FROM domowf.queue WHERE id = $moved"), $step->[0], '... in its queue');
	is(enqueued(), $step->[1], '... and enqueued where it was');
}
$session->value('SELECT domowf_resume()');
is($session->outcome($moved), 'rejected', '... and settled there');
is(enqueued(), '1 0 0', '... enqueued as before');
is(metric('requests_total', '{"workflow": "moving", "server": "two", "outcome": "rejected"}'), 1, '... an outcome of that server');
$session->value(q{UPDATE domowf.workflow SET server = 'one' WHERE name = 'moving'});
$session->value("SELECT domowf_pause('again'), domowf_retry($moved)");
is(enqueued(), '1 0 0', 'a settled one that is sent again to another server');
$session->value("SELECT domowf_discard($moved)");
is(enqueued(), '1 0 0', '... and is discarded');
is($session->value(q{SELECT count(*) FROM domowf_metrics() WHERE labels->>'outcome' = 'moved'}), 0,
	'moved is no outcome');
is($session->value(q{SELECT rejected || ' ' || discarded FROM domowf.stats WHERE workflow = 'moving'}), '0 1',
	'stats: what it is now');

# ---- opened again, settled elsewhere: the log came from there

$session->value(<<'END');
INSERT INTO domowf.log (id, operation, workflow, outcome, origin, attempts, request, on_doubt,
	max_attempts, requested_by, requested_by_oid, enqueued_at, settled_at, batch)
SELECT 1000000, 'start', 'refused', 'expired', 'request', 0, request, on_doubt, max_attempts,
	requested_by, requested_by_oid, enqueued_at, settled_at, batch
FROM domowf.log WHERE workflow = 'refused' LIMIT 1
END
is($session->value('SELECT domowf_retry(1000000)'), 't', 'what was settled elsewhere is sent again');
is($session->value(q{SELECT expired FROM domowf.stats WHERE workflow = 'refused'}), 0,
	'... which makes no negative number');
$session->value('SELECT domowf_resume()');

# ---- to whom it tells what

my $all = 'SELECT count(DISTINCT labels->>$$requested_by$$) FROM domowf_metrics()';
is(as_role('monitor', $all)->{out}, 2, 'pg_monitor is told all');
is(as_role('alice', "$all WHERE labels->>'requested_by' <> 'alice'")->{out}, 0, 'a role what it asked for');
is(as_role('alice', "$all WHERE labels->>'requested_by' = 'alice'")->{out}, 1, '... that, too');
is(as_role('alice', q{SELECT count(*) FROM domowf_metrics() WHERE labels->>'workflow' = 'doubtful'})->{out},
	0, '... and of no other workflow');
is(as_role('stranger', $all)->{sqlstate}, '42501', 'others nothing');

# ---- what is counted together has no workflow, as calls have none

# of which there are enough not to be counted together with the others
$session->outcome($session->value(q{SELECT domowf_enqueue_call('start', jsonb_build_object(
	'messageName', 'Start it', 'version', '1.0.0', 'modelId', 'a call', 'data', '{}'::jsonb))})) foreach 1 .. 3;
my $settled = metric('requests_total');
$session->value(<<'END');
INSERT INTO domowf.counter (operation, workflow, requested_by, requested_by_oid, class, outcome, n, waited, waited_0)
	SELECT 'start', 'plain', 'role' || i, 100000 + i, 'done', 'done', 1, 1, 1 FROM generate_series(1, 1500) i
END
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM domowf.counter WHERE workflow = ''}),
	'labels are counted together');
is(told_twice(), '', '... and no set of labels is there twice');
is(metric('requests_total'), $settled + 1500, '... all are told');

# ---- a lock is not waited for for ever

my $locker = Domowf->session($node);
$session->value(q{SET statement_timeout = '120s'});
foreach my $table (qw(queue log counter))
{
	$locker->value("BEGIN; LOCK TABLE domowf.$table");
	is($session->run('SELECT count(*) FROM domowf_metrics()')->{sqlstate}, '55P03', "somebody has locked $table: an error");
	$locker->value('COMMIT');
}
$locker->quit;

# ---- what has no worker says so: a database in which none runs yet, a standby

my $up = q{SELECT string_agg(name || ' ' || value, ', ' ORDER BY name) FROM domowf_metrics()
	WHERE name IN ('domowf_in_recovery', 'domowf_worker_up')};
my $standby = PostgreSQL::Test::Cluster->new('standby');
$node->backup('copy');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', $up), 'domowf_in_recovery 1, domowf_worker_up 0', 'a standby');
$standby->stop;
$node->append_conf('postgresql.conf', q{shared_preload_libraries = ''});
$session->quit;
$node->restart;
is($node->safe_psql('postgres', $up), 'domowf_in_recovery 0, domowf_worker_up 0', 'a server without the library');

done_testing();
