
# A queue of 1.0 after ALTER EXTENSION UPDATE: its requests are in the lanes and
# have the order keys of those that are asked for now, and all are sent.

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
	conf => Domowf->own_installation . Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '1h'
END

sub value
{
	return $node->safe_psql('old', $_[0]);
}

$node->safe_psql('postgres', 'CREATE DATABASE old');
value(q{CREATE EXTENSION domowf VERSION '1.0'});

# As 1.0 writes them: (id, waiting, operation, workflow, order_key, run_at).
value(<<'END');
CREATE ROLE alice;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('one', 'model', '1.0.0', 'Start it'),
	('two', 'model', '1.0.0', 'Start it');
INSERT INTO domowf.queue (id, state, waiting, operation, workflow, request,
	on_doubt, max_attempts, attempts, failures, claim, order_key, requested_by,
	requested_by_oid, batch, enqueued_at, run_at, due)
SELECT nextval('domowf.request_id'), 'queued', waiting, operation, workflow,
	CASE operation
	WHEN 'start' THEN jsonb_build_object('messageName', 'Start it',
		'version', '1.0.0', 'modelId', 'model', 'data',
		jsonb_build_object('n', n))
	WHEN 'cancel' THEN '{"id": "none"}'
	ELSE '{"modelId": "m1", "permissions": [{"id": "7", "type": "USER",
		"permissions": ["READ"]}]}' END,
	'hold', 12, 0, 0, 0, order_key, r.rolname, r.oid,
	pg_current_xact_id(), now(), now(),
	CASE WHEN waiting THEN 'infinity' ELSE now() END
FROM pg_roles r, (VALUES
	(1, 'one 1', false, 'start', 'one', 'k'),
	(2, 'two 2', true, 'start', 'two', 'k'),
	(3, 'one 3', false, 'start', 'one', NULL),
	(4, 'call 4', false, 'start', NULL, 'm1'),
	(5, 'm1', true, 'set_permissions', NULL, 'm1'),
	(6, 'cancel', true, 'cancel', NULL, 'm1'),
	(7, 'mine', false, 'set_permissions', NULL, 'mine'))
	q (number, n, waiting, operation, workflow, order_key)
WHERE r.rolname = 'alice' ORDER BY number;
INSERT INTO domowf.log (id, operation, workflow, outcome, origin, order_key,
	attempts, request, requested_by, requested_by_oid, enqueued_at, settled_at,
	batch, on_doubt, max_attempts)
SELECT nextval('domowf.request_id'), 'start', 'two', 'rejected', 'request',
	'k', 1, jsonb_build_object('messageName', 'Start it', 'version', '1.0.0',
	'modelId', 'model', 'data', '{"n": "again"}'::jsonb), r.rolname, r.oid,
	now(), now(), pg_current_xact_id(), 'hold', 12
FROM pg_roles r WHERE r.rolname = 'alice'
END

# a worker comes when the update commits
value(q{UPDATE domowf.state SET paused = true});
value(q{ALTER EXTENSION domowf UPDATE});
is( value(q{SELECT string_agg(name || ' ' || order_scope, ', ' ORDER BY name)
		FROM domowf.workflow}),
	'one domowf 1.0, two domowf 1.0',
	'workflows of 1.0 share their order keys');
is( value(
		q{SELECT string_agg(replace(order_space, 'alice'::regrole::oid::text, 'alice'), ', ' ORDER BY id)
			FROM domowf.queue WHERE order_key IS NOT NULL}),
	'scope:domowf 1.0, scope:domowf 1.0, role:alice, model:, role:alice, role:alice',
	'each order key has its space');

# the same again, asked for now
value(<<'END');
GRANT USAGE ON SCHEMA domowf TO alice;
GRANT EXECUTE ON FUNCTION domowf_enqueue, domowf_enqueue_call TO alice;
SET ROLE alice;
SELECT domowf_enqueue('one', '{"n": "new"}'), domowf_enqueue('two', '{"n": "new"}',
	order_key => 'k'), domowf_enqueue_call('cancel', '{"id": "none"}',
	order_key => 'm1'), domowf_enqueue_call('set_permissions',
	'{"modelId": "m1", "permissions": [{"id": "7", "type": "USER",
	"permissions": ["READ"]}]}'), domowf_enqueue_call('start',
	'{"messageName": "m", "version": "1.0.0", "modelId": "m", "data": {}}')
END
is( value(
		q{SELECT count(*) FROM (SELECT coalesce(workflow, operation) FROM domowf.queue
			GROUP BY 1 HAVING count(DISTINCT lane) = 1 AND count(*) > 1) l}),
	5, 'they are in the lanes of those that are asked for now');
is( value(
		q{SELECT count(*) FROM (SELECT order_space, order_key FROM domowf.queue
			WHERE order_key <> 'mine' GROUP BY 1, 2 HAVING count(*) > 1) k}),
	3, '... and have their order keys');
is(value(q{SELECT bool_and(lane >> 32 = requested_by_oid::bigint) FROM domowf.queue}),
	't', '... by role');
is( value(
		q{SELECT domowf_retry(id) FROM domowf.log WHERE workflow = 'two'}),
	't', 'what 1.0 settled can be sent again');
is( value(
		q{SELECT waiting, order_space FROM domowf.queue WHERE request->'data'->>'n' = 'again'}),
	't|scope:domowf 1.0',
	'... behind those of its order key');
value(q{SELECT domowf_resume()});
ok( $node->poll_query_until('old', 'SELECT count(*) = 0 FROM domowf.queue'),
	'all are sent, also who stood behind a request of another kind');
is( value(
		q{SELECT string_agg(outcome, ' ' ORDER BY outcome) FROM (SELECT outcome
			FROM domowf.log GROUP BY 1) o}),
	'done rejected',
	'... and settled');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$node->stop;
done_testing();
