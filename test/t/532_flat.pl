
# What people ask each day costs the same whatever the log holds: all of stats,
# the metrics, the newest 20 requests and batches, what is not done, one
# instance, one request, one batch, the running batches; for the owner and for a
# role that row security lets see its own.  By pages that are touched, never by
# time: the log of this test has some 6,000.  A row has entries only in indexes
# that need one.  Exists because each of these read the whole log.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo, preload => 1,
	conf => "domowf.worker = off\nautovacuum = off\n");
my $session = Domowf->session($node);

$session->value(<<'END');
CREATE ROLE alice;
GRANT USAGE ON SCHEMA domowf TO alice;
GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO alice;
INSERT INTO domowf.log (id, operation, workflow, outcome, origin, attempts,
	instance_id, requested_by, requested_by_oid, enqueued_at, sent_at, settled_at, batch)
SELECT i, 'start', 'w', CASE WHEN i % 10000 = 0 THEN 'rejected' ELSE 'done' END,
	CASE WHEN i % 3 = 0 THEN 'call' ELSE 'request' END, 1, md5(i::text),
	r.rolname, r.oid, now() - interval '1 h', now(), now(), (1000 + i / 20)::text::xid8
FROM generate_series(1, 200000) i
	JOIN pg_roles r ON r.rolname = CASE i % 2 WHEN 0 THEN current_user ELSE 'alice' END;
INSERT INTO domowf.queue (id, state, waiting, operation, workflow, request, on_doubt,
	max_attempts, attempts, failures, claim, requested_by, requested_by_oid, batch,
	enqueued_at, run_at, due, lane)
SELECT 200000 + i, 'queued', false, 'start', 'w', '{}', 'hold', 12, 0, 0, 0, 'alice',
	'alice'::regrole, (11000 + i)::text::xid8, now(), now(), now(), i % 5
FROM generate_series(1, 100) i;
INSERT INTO domowf.counter (operation, workflow, server, requested_by, requested_by_oid, class,
	outcome, slot, n, attempts, waited, took, waited_5, took_4, folded)
SELECT 'start', 'w' || i, CASE WHEN i % 3 = 0 THEN 'eu' END, r.rolname, r.oid, class, outcome,
	now() - s * interval '5 min', 10, 10, 400000, 150000, 10, 10, s > 0
FROM generate_series(1, 1000) i JOIN pg_roles r
		ON r.rolname = CASE i % 2 WHEN 0 THEN current_user ELSE 'alice' END,
	(VALUES ('done', 'done'), ('rejected', 'rejected'), ('in doubt', 'in_doubt')) o (class, outcome),
	generate_series(0, 3) s;
ANALYZE domowf.log;
ANALYZE domowf.queue;
ANALYZE domowf.counter
END
my $pages = $session->value(q{SELECT relpages FROM pg_class WHERE oid = 'domowf.log'::regclass});
cmp_ok($pages, '>', 3000, "the log has $pages pages");
my $counted = $session->value(q{SELECT relpages FROM pg_class WHERE oid = 'domowf.counter'::regclass});
cmp_ok($counted, '>', 100, "what was counted has $counted pages, of 1,000 labels");

# Pages that a query touches, its planning aside, and rows that it returns.
sub cost
{
	my ($sql) = @_;
	my $plan = decode_json($session->value(
			"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) $sql"))->[0]{Plan};

	return ($plan->{'Shared Hit Blocks'} + $plan->{'Shared Read Blocks'},
		$plan->{'Actual Rows'});
}

foreach my $role (qw(postgres alice))
{
	$session->value("SET ROLE $role") if $role eq 'alice';
	foreach my $asked (
		[ 'all of stats', 'SELECT * FROM domowf.stats', 500 ],
		[ 'the newest 20 requests', 'SELECT * FROM domowf.request ORDER BY id DESC LIMIT 20', 20 ],
		[ 'what is not done', q{SELECT * FROM domowf.request WHERE state <> 'done'}, 100 ],
		[ 'what was rejected', q{SELECT * FROM domowf.request WHERE state = 'rejected'}, 0 ],
		[ 'one instance', q{SELECT * FROM domowf.request WHERE instance_id = md5('77')}, 1 ],
		[ 'one request', 'SELECT * FROM domowf.request WHERE id = 77', 1 ],
		[ 'the requests of one batch', q{SELECT * FROM domowf.request WHERE batch = '1077'}, 6 ],
		[ 'one batch', q{SELECT * FROM domowf.batch WHERE batch = '1077'}, 1 ],
		[ 'the running batches', 'SELECT * FROM domowf.batch WHERE waiting > 0', 100 ],
		[ 'the newest 20 batches', 'SELECT * FROM domowf.batch ORDER BY batch DESC LIMIT 20', 20 ])
	{
		my ($name, $sql, $least) = @$asked;
		my ($touched, $rows) = cost($sql);

		# how often a planner reads what was counted is its affair, as long as it
		# does not read the log
		cmp_ok($touched, '<', $name =~ /stats/ ? 4 * $counted + 100 : 500, "$role: $name, $touched pages");
		cmp_ok($rows, '>=', $least, '... and the rows');
	}
}
$session->value('RESET ROLE');
my ($touched, $rows) = cost('SELECT * FROM domowf.metric');
cmp_ok($touched, '<', $counted + 100, "the metrics, $touched pages");
cmp_ok($rows, '>', 40000, "... and $rows rows");
($touched, $rows) = cost(q{SELECT * FROM domowf.metric WHERE name = 'domowf_worker_up'});
cmp_ok($touched, '<', 50, "one of them that is not counted, $touched pages");
is($rows, 1, '... and its row');

# ---- an index has the rows that it must, and no others; it is asked alone, and
# nobody looks at its predicate again

$session->value(<<'END');
TRUNCATE domowf.log, domowf.queue, domowf.counter;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('plain', 'model', '1.0.0', 'Start it'),
	('refused', 'scenario:status:404', '1.0.0', 'Start it');
ALTER SYSTEM SET domowf.worker = on;
SELECT pg_reload_conf()
END
$session->value(Domowf->start_sql('model'));
$session->outcome($session->enqueue('plain', 'done'));
$session->outcome($session->enqueue('refused', 'not'));
$session->value('SET enable_seqscan = off');
foreach my $asked ([ 'log_undone', q{outcome <> 'done'}, 'id', 1 ],
	[ 'log_batch', q{origin <> 'call'}, 'batch', 2 ],
	[ 'log_instance', 'instance_id IS NOT NULL', 'instance_id', 2 ])
{
	my ($index, $predicate, $order, $count) = @$asked;
	my $sql = "SELECT id FROM domowf.log WHERE $predicate ORDER BY $order";

	like($session->value("EXPLAIN (COSTS OFF) $sql"), qr/using $index on/, "$index is read");
	is(() = $session->value($sql) =~ /\d+/g, $count, '... and has what it must');
}

# ---- by the statistics of an empty table all indexes that have a column cost the
# same, and one that does not begin with it is read from end to end

foreach my $by ([ 'queue', 'id', 'queue_pkey' ], [ 'tracked', 'request_id', 'tracked_pkey' ],
	[ 'return_entry', 'id', 'return_entry_pkey' ],
	[ 'return_entry', 'request_id', 'return_request' ])
{
	my ($table, $column, $index) = @$by;

	$session->value('UPDATE pg_class SET relpages = 500, reltuples = 0'
		  . " WHERE oid = 'domowf.$table'::regclass");
	like($session->value("EXPLAIN (COSTS OFF) SELECT * FROM domowf.$table WHERE $column = 1"),
		qr/using $index on/, "$table as if it were empty: $index is read");
}
done_testing();
