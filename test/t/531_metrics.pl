
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
	preload => 1,
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
  [ 'returns_waiting', undef, 0 ],
  [ 'tracked_instances', undef, 0 ];
cmp_ok(metric('table_bytes', '{"table": "log"}'), '>', 0, 'the size of the log');
cmp_ok(metric('attempt_duration_seconds_sum'), '>', 0, 'the time of attempts');
is($session->value('SELECT sum(waited) FROM domowf.counter'),
	$session->value(q{SELECT sum(extract(epoch FROM settled_at - enqueued_at) * 1000000)::bigint
		FROM domowf.log WHERE origin = 'request'}), 'times are exact');
is(metric('request_duration_seconds_sum'),
	$session->value('SELECT (sum(waited) / 1000000)::float8 FROM domowf.counter'), '... and told in seconds');
is($session->value(<<'END'), '', 'buckets are cumulated');
SELECT name, labels FROM (
	SELECT name, labels, value, lag(value) OVER (PARTITION BY name, labels - 'le'
		ORDER BY replace(labels->>'le', '+Inf', 'Infinity')::float8) AS before
	FROM domowf_metrics() WHERE name LIKE '%_bucket') b
WHERE value < before
END
is($session->value(<<'END'), '', 'names are as Prometheus wants them, and each set of labels is there once');
SELECT name, labels FROM domowf_metrics()
GROUP BY name, labels
HAVING count(*) > 1 OR name !~ '^domowf_[a-z_]+$' OR bool_or(value IS NULL OR help IS NULL)
	OR (min(type) = 'counter') <> (name LIKE '%_total')
	OR (min(type) = 'histogram') <> (name ~ '_(bucket|sum|count)$')
	OR NOT bool_and(type IN ('counter', 'gauge', 'histogram'))
END

# ---- counters only grow

$session->value(q{SELECT domowf_pause('for a while')});
$session->value("SELECT domowf_retry($id), domowf_retry($doubt)");
is(metric('requests_total'), 4, 'what is sent again was settled all the same');
is(metric('requests_reopened_total', '{"outcome": "rejected"}'), 1, '... and counts as opened again');
is(metric('requests_enqueued_total'), 7, '... and was not enqueued anew');
is(metric('queue_due'), 2, '... two are due now');
is(metric('worker_paused'), 1, '... while sending is paused');
$session->value('TRUNCATE domowf.log');
is(metric('requests_total'), 4, 'without the log');
$session->value('SELECT domowf_resume()');

# ---- to whom it tells what

my $all = 'SELECT count(DISTINCT labels->>$$requested_by$$) FROM domowf_metrics()';
is(as_role('monitor', $all)->{out}, 2, 'pg_monitor is told all');
is(as_role('alice', "$all WHERE labels->>'requested_by' <> 'alice'")->{out}, 0, 'a role what it asked for');
is(as_role('alice', "$all WHERE labels->>'requested_by' = 'alice'")->{out}, 1, '... that, too');
is(as_role('alice', q{SELECT count(*) FROM domowf_metrics() WHERE labels->>'workflow' = 'doubtful'})->{out},
	0, '... and of no other workflow');
is(as_role('stranger', $all)->{sqlstate}, '42501', 'others nothing');

done_testing();
