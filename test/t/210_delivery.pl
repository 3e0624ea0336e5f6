
# Requests end to end: what is enqueued and committed is sent once and its
# outcome written down; what is rolled back is not sent; every row of the
# evidence table; what a person can do; who sees what.  Exists because the
# promise can only be proven by counting on the other side.

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
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '500ms'
END
my $session = Domowf->session($node);
my ($got, $id, $entry);

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('plain', 'model', '1.0.0', 'Start it', 'hold'),
	('again', 'model', '1.0.0', 'Start it', 'retry'),
	('refused', 'scenario:status:404', '1.0.0', 'Start it', 'hold'),
	('doubtful', 'scenario:status:502', '1.0.0', 'Start it', 'hold');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt,
	max_attempts)
VALUES ('few', 'scenario:status:502', '1.0.0', 'Start it', 'retry', 2)
END

# Columns of a request as it stands.
sub until_state
{
	my ($request, $state) = @_;

	return $node->poll_query_until('postgres',
		"SELECT state = '$state' FROM domowf.request WHERE id = $request");
}

# When this is done, all that was due before has been sent.
sub drain
{
	our $drains;

	return $session->outcome(
		$session->enqueue('plain', 'drain-' . ++$drains));
}

# ---- done

my $data = '{"n": "first", "d": 0.10, "big": 9007199254740993,'
  . ' "e": 1e400, "tiny": 1e-30, "text": "\u00e9\u6d41"}';
$id = $session->value("SELECT domowf_enqueue('plain', '$data')");
is($session->outcome($id, 'state, attempts, http_status'), 'done|1|200',
	'a request is sent after COMMIT and done');
($entry) = $domo->executed(contains => '"n": "first"');
is($entry->{data_text}, $session->value("SELECT '$data'::jsonb::text"),
	'data arrives digit for digit');
is($session->request($id, 'instance_id'), $entry->{instance},
	'the instance id is in the view request');
is( $session->value(
		"SELECT outcome, origin, workflow, model_id, requested_by = current_user,"
		  . " requested_by_oid = current_user::regrole,"
		  . " request->'data' = '$data'::jsonb, response->>'id' = instance_id,"
		  . " errors IS NULL, enqueued_at <= sent_at AND sent_at <= settled_at"
		  . " FROM domowf.log WHERE id = $id"),
	'done|request|plain|model|t|t|t|t|t|t',
	'the log has the whole of it');
is($session->value('SELECT count(*) FROM domowf.queue'),
	0, 'the queue is empty');

# ---- rollback

$session->run('BEGIN');
$session->enqueue('plain', 'rolled back');
$session->run('ROLLBACK');

$session->run('BEGIN');
my $kept = $session->enqueue('plain', 'kept');
$session->run('SAVEPOINT s');
$session->enqueue('plain', 'savepoint');
$session->run('ROLLBACK TO s');
my $kept_too = $session->enqueue('plain', 'kept too');
$session->run('COMMIT');

$session->value(q{DO $$ BEGIN
	PERFORM domowf_enqueue('plain', '{"n": "block kept"}');
	BEGIN
		PERFORM domowf_enqueue('plain', '{"n": "block"}');
		RAISE 'no';
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
END $$});

my $killed = Domowf->session($node);
$killed->run('BEGIN');
$killed->enqueue('plain', 'backend killed');
$session->value('SELECT pg_terminate_backend(' . $killed->pid . ', 100000)');
$killed->quit;

is($session->outcome($kept), 'done', 'what a savepoint does not cover is sent');
is($session->outcome($kept_too), 'done', 'what comes after the savepoint is sent');
is(drain(), 'done', 'all is sent');
is($domo->started($_), 1, "$_: executed once")
  foreach 'first', 'kept', 'kept too', 'block kept';
is($domo->arrived($_), 0, "$_: nothing was sent")
  foreach 'rolled back', 'savepoint', 'block', 'backend killed';

# ---- a batch

$domo->clear_record;
$session->value(q{SELECT count(domowf_enqueue('plain',
	jsonb_build_object('n', g))) FROM generate_series(1, 500) g});
ok( $node->poll_query_until('postgres',
		'SELECT percent = 100 FROM domowf.batch WHERE total = 500'),
	'a batch of 500 reaches 100 percent');
is( $session->value(
		q{SELECT total, done, failed, in_doubt, waiting, percent, eta,
			progress = repeat('#', 50), per_second > 0
			FROM domowf.batch WHERE total = 500}),
	'500|500|0|0|0|100.0||t|t',
	'the view batch says what became of it');
my $count = $domo->count(by => 'data.n', executed => 1);
is_deeply([ @$count{qw(total distinct max)} ],
	[ 500, 500, 1 ], 'each of them was executed exactly once');

# ---- cancel and set_permissions

my $instance = $session->outcome($session->enqueue('plain', 'to cancel'),
	'instance_id');
$id = $session->value(
	"SELECT domowf_enqueue_call('cancel', '{\"instanceId\": \"$instance\"}')");
is($session->outcome($id, 'operation, state, instance_id, instance_status, workflow'),
	"cancel|done|$instance|IN_PROGRESS|",
	'a cancel request is done');
is($domo->instance($instance)->{status}, 'CANCELED', '... in Domo');

$id = $session->value(q{SELECT domowf_enqueue_call('set_permissions',
	'{"modelId": "m1", "permissions": [{"id": "7", "type": "USER",
	"permissions": ["READ"]}]}')});
is($session->outcome($id, 'operation, state, order_key'),
	'set_permissions|done|m1', 'a set_permissions request is done');
is_deeply(
	[ map { $_->{id} } @{ $domo->permissions('m1') } ],
	['7'], '... in Domo');

$id = $session->value(q{SELECT domowf_enqueue_call('start',
	'{"messageName": "m", "version": "1.0.0", "modelId": "m2",
	"data": {"n": "by call"}}')});
is($session->outcome($id), 'done', 'a start by domowf_enqueue_call is done');
is($domo->started('by call'), 1, '... once');

$domo->script('status:502', count => 2, operation => 'cancel');
$id = $session->value(
	"SELECT domowf_enqueue_call('cancel', '{\"id\": \"$instance\"}')");
is($session->outcome($id, 'state, attempts'),
	'done|3', 'a cancel is sent again when it is in doubt');

# ---- the same errors as the calls, when it is enqueued

foreach my $bad (
	[ q{domowf_enqueue(NULL)}, '22004' ],
	[ q{domowf_enqueue('plain', NULL)}, '22004' ],
	[ q{domowf_enqueue('unknown')}, '42704' ],
	[ q{domowf_enqueue('plain', '[]')}, '22023' ],
	[ q{domowf_enqueue('plain', key => '')}, '22023' ],
	[ q{domowf_enqueue('plain', order_key => '')}, '22023' ],
	[ q{domowf_enqueue('plain', run_at => 'infinity')}, '22023' ],
	[ q{domowf_enqueue_call('stop', '{}')}, '22023' ],
	[ q{domowf_enqueue_call('start', '{}')}, '22023' ],
	[ q{domowf_enqueue_call('cancel', '{"id": ".."}')}, '22023' ],
	[ q{domowf_enqueue_call('set_permissions', '{"modelId": "x"}')}, '22023' ])
{
	is($session->run("SELECT $bad->[0]")->{sqlstate},
		$bad->[1], "$bad->[0]: $bad->[1]");
}
is($session->run('BEGIN READ ONLY; SELECT domowf_enqueue(\'plain\'); ROLLBACK')
	  ->{sqlstate}, '25006', 'not in a read-only transaction');

# ---- the evidence table

$id = $session->enqueue('refused', 'refused');
is($session->outcome($id, 'state, attempts, http_status'),
	'rejected|1|404', '404: rejected');
is($domo->arrived('refused'), 1, '... and sent once');
is( $session->value("SELECT jsonb_array_length(errors),"
		  . " errors->0->>'class', error ~ '404' FROM domowf.log"
		  . " WHERE id = $id"),
	'1|rejected|t',
	'... the log says why');

$domo->script('retry-after:429:1', count => 1, contains => 'throttled');
$id = $session->enqueue('plain', 'throttled');
is($session->outcome($id, 'state, attempts'), 'done|1', '429: sent again, and counted once');
my @entries = $domo->record(contains => 'throttled');
is(scalar @entries, 2, '... it was sent twice');
cmp_ok($entries[1]{time} - $entries[0]{time},
	'>=', 0.9, '... Retry-After was waited for');

$domo->accept_tokens('another-token');
$id = $session->enqueue('plain', 'unauthorized');
ok( $node->poll_query_until('postgres',
		"SELECT errors IS NOT NULL FROM domowf.queue WHERE id = $id"),
	'401: the request stays queued');
ok( $node->poll_query_until('postgres',
		'SELECT paused_until IS NOT NULL FROM domowf.worker'),
	'... and the worker says that it is paused');
$domo->accept_tokens(Domowf::TOKEN);
is($session->outcome($id, 'state, attempts'),
	'done|1', '... done when the token is good again');
is($domo->started('unauthorized'), 1, '... once');

$id = $session->enqueue('doubtful', 'doubtful');
is($session->outcome($id, 'state, attempts, http_status'),
	'in_doubt|1|502', '502: in doubt');
is(drain(), 'done', 'others go on');
is($domo->arrived('doubtful'), 1, '... and the doubtful one is held');

$domo->script($_, count => 1, contains => $_) foreach 'reset-after', 'half-body';
foreach my $scenario ('reset-after', 'half-body')
{
	$id = $session->enqueue('plain', $scenario);
	is($session->outcome($id, 'state, attempts'), 'in_doubt|1', "$scenario: in doubt");
	is($domo->started($scenario), 1, '... and it was executed');
}

$domo->script([ ('status:502') x 2, 'reset-after' ], contains => 'repeated');
$id = $session->enqueue('again', 'repeated');
is($session->outcome($id, 'state, attempts'), 'done|4', 'on_doubt = retry: sent again');
is($domo->started('repeated'), 2, '... so that it may be executed twice');
is( $session->value("SELECT jsonb_array_length(errors) FROM domowf.log"
		  . " WHERE id = $id"),
	3, '... the log has each failure');

$id = $session->enqueue('few', 'few');
is($session->outcome($id, 'state, attempts'),
	'in_doubt|2', 'max_attempts used up: in doubt');
is($domo->arrived('few'), 2, '... it was sent so often');

is(drain(), 'done', 'the connection is good');
$domo->stop_accepting;
$domo->close_idle;
$domo->wait_for(open => 0);
$id = $session->enqueue('plain', 'unsent');
ok( $node->poll_query_until('postgres',
		"SELECT jsonb_array_length(errors) > 2 FROM domowf.queue"
		  . " WHERE id = $id"),
	'no connection: tried again');
is( $session->request($id, 'state, attempts') =~ /^(?:queued|sending)\|0$/ ? 1 : 0,
	1, '... and no attempt is used');
$domo->resume_accepting;
is($session->outcome($id, 'state, attempts'), 'done|1', '... done when it can be sent');
is($domo->started('unsent'), 1, '... once');

# ---- run_at and expires_at

$id = $session->enqueue('plain', 'later', run_at => q{now() + interval '1500 ms'});
my $run_at = $session->value(
	"SELECT extract(epoch FROM run_at) FROM domowf.queue WHERE id = $id");
is(drain(), 'done', 'others go first');
is( $session->request($id, "state = 'queued' OR clock_timestamp() >= to_timestamp($run_at)"),
	't', 'run_at: queued until then');
is($session->outcome($id), 'done', '... and then sent');
($entry) = $domo->executed(contains => '"n": "later"');
cmp_ok($entry->{time}, '>=', $run_at, '... not before');

$session->value(q{SELECT domowf_pause('for a test')});
$id = $session->enqueue('plain', 'expired',
	expires_at => q{clock_timestamp() + interval '100 ms'});
is($session->outcome($id, 'state, attempts'),
	'expired|0', 'expires_at: expired where it could not be sent before');
$session->value('SELECT domowf_resume()');
is(drain(), 'done', 'resumed');
is($domo->arrived('expired'), 0, '... and never sent');

# ---- domowf_wait

is($session->run('BEGIN ISOLATION LEVEL REPEATABLE READ;'
		  . " SELECT domowf_wait($id); ROLLBACK")->{sqlstate},
	'25001', 'domowf_wait: 25001 in REPEATABLE READ');
is($session->run('SELECT domowf_wait(987654321)')->{sqlstate},
	'42704', 'domowf_wait: 42704 for no such request');
is($session->run(q{DO $$ BEGIN
		PERFORM domowf_wait(domowf_enqueue('plain'));
	END $$})->{sqlstate},
	'55000', 'domowf_wait: 55000 for a request of this transaction');
is($session->run('SELECT domowf_wait(NULL)')->{sqlstate},
	'22004', 'domowf_wait: 22004 for NULL');
$id = $session->enqueue('plain', 'waited', run_at => q{now() + interval '1 hour'});
is($session->value("SELECT (domowf_wait($id, '50 ms')).state"),
	'queued', 'domowf_wait: the row as it stands on timeout');

# ---- what a person does, by state

# A new request in that state.
sub request_in
{
	my ($state, $n) = @_;
	my %by = (
		in_doubt => sub { $session->enqueue('doubtful', $n) },
		rejected => sub { $session->enqueue('refused', $n) },
		done => sub { $session->enqueue('plain', $n) },
		queued => sub {
			$session->enqueue('plain', $n, run_at => q{now() + interval '1 hour'});
		},
		expired => sub {
			$session->enqueue('plain', $n, run_at => q{now() + interval '1 hour'},
				expires_at => q{clock_timestamp()});
		},
		discarded => sub {
			my $request = request_in('in_doubt', $n);
			$session->value("SELECT domowf_discard($request)");
			return $request;
		});
	my $request = $by{$state}->();

	until_state($request, $state)
	  or die "request $request is " . $session->request($request) . ", not $state";
	return $request;
}

my %expected = (
	# state => [ retry, discard, resolve ]: the state afterwards; undef: false
	in_doubt => [ 'in_doubt', 'discarded', 'done' ],
	rejected => [ 'rejected', 'discarded', 'done' ],
	expired => [ 'done', 'discarded', 'done' ],
	queued => [ 'done', 'discarded', 'done' ],
	done => [ undef, undef, undef ],
	discarded => [ undef, undef, undef ]);
foreach my $state (sort keys %expected)
{
	foreach my $action (0 .. 2)
	{
		my $name = (qw(retry discard resolve))[$action];
		my $after = $expected{$state}[$action];
		my $n = "$state $name";
		my $request = request_in($state, $n);
		my $before = $domo->arrived($n);
		my $argument = $name eq 'resolve' ? ", 'by hand'" : '';
		my $retried = $name eq 'retry' && defined $after;

		is( $session->value("SELECT domowf_$name($request$argument)"),
			defined $after ? 't' : 'f',
			"$name of one $state: " . (defined $after ? 'true' : 'false'));
		if ($retried)
		{
			$node->poll_query_until('postgres',
				"SELECT settled_at IS NOT NULL OR state = 'in_doubt'"
				  . " FROM domowf.request WHERE id = $request");
		}
		is($session->request($request), $after // $state, "... it is then "
			  . ($after // $state));
		is($domo->arrived($n), $before + ($retried ? 1 : 0),
			$retried ? '... sent once more' : '... nothing was sent');
		is($session->request($request, 'instance_id'),
			'by hand', '... with the instance given')
		  if $name eq 'resolve' && defined $after;
	}
}

$domo->script('gate:hold', count => 1, contains => 'in flight');
$id = $session->enqueue('plain', 'in flight');
$domo->wait_for(held => 1);
is($session->request($id), 'sending', 'a request is being sent');
is( $session->value(
		"SELECT domowf_retry($id), domowf_discard($id), domowf_resolve($id, 'x')"
	),
	'f|f|f',
	'... and nobody can interfere');

# at the end of the worker's turn, when the other side has the request already
ok( $node->poll_query_until('postgres',
		q{SELECT state = 'sending' AND in_flight = 1 FROM domowf.worker}),
	'... the worker says so');
$domo->release('hold');
is($session->outcome($id), 'done', '... it ends as usual');
is($session->value('SELECT domowf_retry(987654321)'),
	'f', 'no such request: false');
foreach my $call ('domowf_retry(NULL)', 'domowf_discard(NULL)',
	q{domowf_resolve(NULL, 'x')}, "domowf_resolve($id, NULL)")
{
	is($session->run("SELECT $call")->{sqlstate}, '22004', "$call: 22004");
}

my $old = $session->enqueue('refused', 'key 1', key => q{'k'});
is($session->outcome($old), 'rejected', 'a request with a key is rejected');
my $new = $session->enqueue('refused', 'key 2', key => q{'k'},
	run_at => q{now() + interval '1 hour'});
isnt($new, $old, '... and has given its key back');
is($session->run("SELECT domowf_retry($old)")->{sqlstate},
	'23505', '... so that it cannot be sent again');
is($session->request($old), 'rejected', '... it stays as it was');
$session->value("SELECT domowf_discard($new)");
is($session->value("SELECT domowf_retry($old)"),
	't', '... but when the other one has given up the key');
is($session->outcome($old), 'rejected', '... it is sent again');
is($domo->arrived('key 1'), 2, '... once more');

# ---- who sees what

$session->value(<<'END');
CREATE ROLE alice;
CREATE ROLE bob;
CREATE ROLE reader IN ROLE pg_read_all_data;
CREATE ROLE monitor IN ROLE pg_monitor;
CREATE ROLE app;
GRANT USAGE ON SCHEMA domowf TO alice, bob;
GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO alice, bob;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO alice, bob;
GRANT EXECUTE ON FUNCTION domowf_enqueue, domowf_wait TO app;
INSERT INTO domowf.workflow (name, model_id, version, message_name, granted_to)
VALUES ('granted', 'model', '1.0.0', 'Start it', 'app')
END

# Runs a statement as another role.
sub as_role
{
	my ($role, $sql) = @_;

	$session->value("SET ROLE $role");
	my $result = $session->run($sql);
	$session->value('RESET ROLE');
	return $result;
}

$id = as_role('alice', Domowf->enqueue_sql('refused', 'of alice'))->{out};
is($session->outcome($id, 'state, requested_by'),
	'rejected|alice', 'a request has the role that asked');
my $bobs = as_role('bob', Domowf->enqueue_sql('plain', 'of bob'))->{out};
$session->outcome($bobs);
my $see = 'SELECT count(*) FROM domowf.request WHERE id = ';
my $waits = as_role('alice',
	Domowf->enqueue_sql('plain', 'waits', key => q{'secret'},
		run_at => q{now() + interval '1 hour'}))
  ->{out};
my $see_key = q{SELECT count(*) FROM domowf.key WHERE key = 'secret'};
is(as_role('alice', $see . $id)->{out}, 1, 'a role sees what it asked for');
is(as_role('alice', $see . $waits)->{out}, 1, '... also in the queue');
is(as_role('bob', $see . $id)->{out}, 0, 'another role does not');
is(as_role('bob', $see . $waits)->{out}, 0, '... nor in the queue');
is(as_role($_->[0], $see_key)->{out}, $_->[1], "keys that $_->[0] sees")
  foreach [ 'alice', 1 ], [ 'bob', 0 ], [ 'reader', 1 ];
is( as_role('bob', 'SELECT count(DISTINCT requested_by) FROM domowf.request')
	  ->{out},
	1, 'a role sees nobody else at all');
is(as_role('bob', 'SELECT sum(total) FROM domowf.batch')->{out},
	1, '... nor in batch');
is(as_role('bob', "SELECT domowf_wait($id)")->{sqlstate},
	'42704', '... nor by domowf_wait');
is( as_role('bob',
		"SELECT domowf_retry($id), domowf_discard($waits),"
		  . " domowf_resolve($id, 'x')")->{out},
	'f|f|f', '... nor can it act on it');
is(as_role('reader', $see . $id)->{out},
	1, 'pg_read_all_data sees all requests');
is(as_role('reader', "SELECT domowf_wait($id)")->{sqlstate},
	'42501', '... but executes what it may only');
is(as_role('monitor', 'SELECT sum(done) > 500 FROM domowf.stats')->{out},
	't', 'pg_monitor sees the counts');
is(as_role('monitor', 'SELECT pid > 0 FROM domowf.worker')->{out},
	't', '... and the worker');
is(as_role('monitor', $see . $id)->{sqlstate},
	'42501', '... and no requests');
is( as_role('alice',
		'SELECT sum(rejected), sum(queued), sum(done) FROM domowf.stats')
	  ->{out},
	'1|1|0', 'stats counts what the reader may see');
is(as_role('alice', "SELECT domowf_retry($id)")->{out},
	't', 'a role may act on its own');
foreach my $change (
	"UPDATE domowf.queue SET state = 'done'",
	'DELETE FROM domowf.log',
	"INSERT INTO domowf.key VALUES ('x', 'y', 1)")
{
	is(as_role('alice', $change)->{sqlstate}, '42501',
		"$change: not by hand");
}

$got = as_role('app', Domowf->enqueue_sql('granted', 'of app'));
is($got->{sqlstate}, '', 'granted_to: no right on the schema is needed')
  or diag $got->{err};
is(as_role('app', "SELECT state FROM domowf_wait($got->{out}, '170 s')")->{out},
	'done', '... nor to wait for it');
is(as_role('alice', Domowf->enqueue_sql('granted', 'not of alice'))->{sqlstate},
	'42501', '... and nobody else may');
is(as_role('app', 'SELECT count(*) FROM domowf.request')->{sqlstate},
	'42501', '... reading is granted apart');

$session->value('DROP OWNED BY bob; DROP ROLE bob; CREATE ROLE bob;'
	  . ' GRANT USAGE ON SCHEMA domowf TO bob;'
	  . ' GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO bob');
is(as_role('bob', $see . $bobs)->{out},
	0, 'a new role of an old name sees nothing of the old one');

$session->value('DROP OWNED BY alice; DROP ROLE alice');
$session->value("SELECT domowf_retry($waits)");
is($session->outcome($waits), 'rejected', 'a role dropped since: rejected');
is($domo->arrived('waits'), 0, '... and nothing is sent');

# ---- pause survives a restart; notify; log_payload

is($session->value("SELECT domowf_pause('maintenance')"), '', 'paused');
ok( $node->poll_query_until('postgres',
		q{SELECT state = 'paused' AND pause_reason = 'maintenance'
			FROM domowf.worker}),
	'the worker says that it is paused, and why');
$id = $session->enqueue('plain', 'paused');
$session->quit;
$node->append_conf('postgresql.conf',
	"domowf.notify = on\ndomowf.log_payload = off\n");
$node->restart;
$session = Domowf->session($node);
ok( $node->poll_query_until('postgres',
		q{SELECT state = 'paused' AND pause_reason = 'maintenance'
			FROM domowf.worker}),
	'... also after a restart');
is($session->value("SELECT state FROM domowf_wait($id, '600 ms')"),
	'queued', '... and sends nothing');
is($domo->arrived('paused'), 0, '... as Domo knows');
my $listener = Domowf->session($node);
$listener->value('LISTEN domowf');
$session->value('SELECT domowf_resume()');
is($session->outcome($id), 'done', 'resumed');

# psql shows a notification after the statement during which it came
my $out = '';
foreach (1 .. 5000)
{
	$out .= $listener->value('SELECT 1');
	last if $out =~ /notification/;
}
$listener->quit;
my ($payload) = $out =~ /"domowf" with payload "(.*)" received/;
is( $session->value(
		"SELECT j->>'id', j->>'state', j->>'instance_id' = instance_id"
		  . " FROM (SELECT '"
		  . ($payload // '{}')
		  . "'::jsonb AS j) p, domowf.request WHERE id = $id"),
	"$id|done|t",
	'notify tells of the settlement');
is( $session->value(
		"SELECT request IS NULL, response IS NULL, instance_id IS NOT NULL"
		  . " FROM domowf.log WHERE id = $id"),
	't|t|t',
	'log_payload = off: neither request nor response');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
unlike(Domowf->log_since($node), qr/\Q@{[Domowf::TOKEN]}\E/,
	'the token is not in the log');
done_testing();
