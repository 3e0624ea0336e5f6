
# A workflow that is called like an operation has keys of its own: who may start
# it alone does not hold those of what others ask for by domowf_enqueue_call().
# All others have the scope that they had in 1.0; an update converts the keys.

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
	conf => Domowf->own_installation
	  . Domowf::RETRY_AT_ONCE
	  . "domowf.poll_interval = '100ms'\n");
my $session = Domowf->session($node);
my $hour = q{now() + interval '1 hour'};
my ($id, $got, %of);

sub register
{
	return join "\n", map {
		'INSERT INTO domowf.workflow (name, model_id, version, message_name)'
		  . " VALUES ('$_', 'model', '1.0.0', 'Start it');"
	} @_;
}

sub cancel_sql
{
	return "SELECT domowf_enqueue_call('cancel', '{\"id\": \"none\"}', key => 'k', run_at => $hour)";
}

# Who has a key: scopes in their order, with what was asked for.
sub holders
{
	my ($key) = @_;

	return $session->value(<<"END");
SELECT coalesce(string_agg(scope, ', ' ORDER BY scope), '') FROM domowf.key
WHERE key = '$key'
END
}

# ---- scopes

my @names = (
	'cancel', 'workflow cancel', 'workflow workflow cancel', 'start',
	'set_permissions', 'read_instance', 'plain', 'workflow plain', 'workflow',
	'workflow  cancel', 'Cancel', 'cancel ');
$session->value(register(@names));
$of{$_} = $session->enqueue($_, 'n', key => q{'k'}, run_at => $hour)
  foreach @names;
$of{call} = $session->value(cancel_sql());
is(keys %{ { map { $_ => 1 } values %of } },
	@names + 1, 'each workflow has a scope of its own, and so has an operation');
is($session->enqueue($_, 'again', key => q{'k'}), $of{$_}, "asked for again: $_")
  foreach @names;
is($session->value(cancel_sql()), $of{call}, '... the operation');
is( $session->value(
		q{SELECT string_agg(workflow || ' -> ' || scope, ', ' ORDER BY request_id)
			FROM domowf.key JOIN domowf.queue ON id = request_id
			WHERE scope <> workflow}),
	join(', ',
		map { "$_ -> workflow $_" }
		  'cancel', 'workflow cancel', 'workflow workflow cancel', 'start',
		'set_permissions', 'read_instance'),
	'all others have their own name, as the operation');

# ---- rights

$session->value(<<'END');
CREATE ROLE starter;
GRANT EXECUTE ON FUNCTION domowf_enqueue(text, jsonb, text, text, timestamptz, timestamptz) TO starter;
CREATE ROLE caller;
GRANT EXECUTE ON FUNCTION domowf_enqueue_call(text, jsonb, text, text, timestamptz, timestamptz) TO caller;
END
$session->value('SET ROLE starter');
$got = $session->run(Domowf->enqueue_sql('cancel', 'held', key => q{'k'}));
is($got->{sqlstate}, '23505', 'the key of a workflow that is called like an operation');
is($got->{message}, 'key "k" of workflow "cancel" is in use',
	'... is told by its plain name');
$session->value(
	Domowf->enqueue_sql('cancel', 'first', key => q{'mine'}, run_at => $hour));
$session->value('SET ROLE caller');
$got = $session->run(cancel_sql() =~ s/'k'/'mine'/r);
is($got->{sqlstate}, '', "... and is nothing to who cancels") or diag $got->{err};
$session->value('RESET ROLE');
$session->value(q{SELECT domowf_discard(id) FROM domowf.queue});
is(holders('k') . holders('mine'), '', 'discarded: all of them are given back');

# ---- the operation's is held meanwhile, and stays held

my $call = $session->value(cancel_sql());

sub is_held
{
	my ($held, $name) = @_;

	return is(holders('k'), $held ? 'cancel, workflow cancel' : 'cancel', $name);
}

$domo->script('status:404', count => 1, contains => '"rejected"');
$id = $session->enqueue('cancel', 'rejected', key => q{'k'});
is($session->outcome($id), 'rejected', 'rejected by Domo');
is_held(0, '... it gives back its own key, and no other');
$session->value("SELECT domowf_retry($id)");
is($session->outcome($id), 'done', '... sent again');
is_held(1, '... it has its key again');
is($session->enqueue('cancel', 'again', key => q{'k'}), $id, '... and holds it');
$session->value("UPDATE domowf.log SET settled_at = '2020-01-01' WHERE id = $id");
ok( $node->poll_query_until('postgres',
		"SELECT NOT EXISTS (SELECT FROM domowf.log WHERE id = $id)"),
	'its row of the log is removed');
is_held(0, '... its key with it');

$id = $session->enqueue('cancel', 'expires', key => q{'k'}, run_at => $hour,
	expires_at => q{clock_timestamp() + interval '50 ms'});
is($session->outcome($id), 'expired', 'expired');
is_held(0, '... it gives back its key');
$session->value("SELECT domowf_resolve($id, 'it ran')");
is_held(1, '... until somebody says that it was done');
$session->value("SELECT domowf_discard($call)");
is(holders('k'), 'workflow cancel', 'the other way round: it stays');

# ---- an update from 1.0

$session->value('CREATE DATABASE old');
my $old = Domowf->session($node, dbname => 'old');
$old->value(q{CREATE EXTENSION domowf VERSION '1.0';
	UPDATE domowf.state SET paused = true;});
$old->value(register(@names));
my $rows = join ', ', map { "('$_')" } @names;
$old->value(<<"END");
INSERT INTO domowf.queue (id, state, waiting, operation, workflow, request, on_doubt,
	max_attempts, attempts, failures, claim, key, requested_by, requested_by_oid,
	batch, enqueued_at, run_at, due)
SELECT pg_catalog.nextval('domowf.request_id'), 'queued', false,
	coalesce(o, 'start'), w, '{"modelId": "m", "data": {}}', 'hold', 12, 0, 0, 0, k,
	current_user, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user),
	'1', now(), now(), 'infinity'
FROM (SELECT NULL, w, 'k' FROM (VALUES $rows) v (w)
	UNION ALL SELECT 'cancel', NULL, 'called') a (o, w, k);
INSERT INTO domowf.log (id, operation, workflow, outcome, origin, key, attempts,
	requested_by, requested_by_oid, enqueued_at, settled_at, batch)
SELECT pg_catalog.nextval('domowf.request_id'), 'start', 'cancel', 'done', 'request', 'logged', 1,
	current_user, 10, now(), now(), '2';
INSERT INTO domowf.key (scope, key, request_id)
SELECT coalesce(workflow, operation), key, id FROM domowf.queue
UNION ALL SELECT workflow, key, id FROM domowf.log
UNION ALL VALUES ('cancel', 'of nobody', 0)
END
my $is_1_0 = q{SELECT string_agg(scope, ', ' ORDER BY request_id, key) FROM domowf.key};
is( $old->value($is_1_0),
	join(', ', 'cancel', @names, 'cancel', 'cancel'),
	'1.0 has the names as they are');
$old->value('ALTER EXTENSION domowf UPDATE');
is( $old->value(
		q{SELECT string_agg(scope, ', ' ORDER BY request_id, key) FROM domowf.key}),
	join(', ',
		'cancel',
		(map { "workflow $_" } @names[ 0 .. 5 ]),
		@names[ 6 .. $#names ],
		'cancel', 'workflow cancel'),
	'... of which an update converts those that are called like an operation');
$of{$_} = $old->value("SELECT id FROM domowf.queue WHERE workflow = '$_'")
  foreach @names;
is($old->enqueue($_, 'held', key => q{'k'}), $of{$_}, "... held as before: $_")
  foreach @names;
is( $old->value(
		q{SELECT string_agg(check_name, ' ') FROM domowf_check()
			WHERE NOT ok AND check_name <> 'worker'}),
	'',
	'... and nothing is wrong');
$old->quit;

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
