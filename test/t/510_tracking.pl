
# Tracking: an instance is read as it stands, and what requests start is followed
# to its end.  Exists because a start that succeeded is not the end of the story,
# and because Domo documents no call that tells it: so all of it is off unless
# asked for, and whatever a poll meets must not change what is known of the start.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# What domowf_instance() says of a 5xx.
Domowf->expect_in_log(qr/could not complete read/);

my @tokens = ('home-token-0123456789', 'eu-token-0123456789');
my $domo = Domo->new(tokens => [ $tokens[0] ]);
my $eu = Domo->new(tokens => [ $tokens[1] ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::POLLED_WHEN_DUE . <<'END');
domowf.poll_interval = '100ms'
domowf.retry_base = '10ms'
domowf.retry_cap = '50ms'
END
my $session = Domowf->session($node);
my ($id, $got, $instance);

$session->value(sprintf <<'END', $eu->url, $tokens[1]);
CREATE ROLE app LOGIN;
CREATE SERVER eu FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
CREATE USER MAPPING FOR PUBLIC SERVER eu OPTIONS (token '%s');
END

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

# Enqueues a start and waits for it: request and instance.
sub start
{
	my ($workflow, $n) = @_;
	my $request = $session->enqueue($workflow, $n);

	$session->outcome($request);
	return ($request, $session->request($request, 'instance_id'));
}

# As if the time of its next poll had come, or so long had passed since its start.
sub due_now
{
	my ($request, $age) = @_;

	return $session->value(sprintf q{UPDATE domowf.tracked SET due = now()%s
		WHERE request_id = %s}, $age ? ", started_at = now() - interval '$age'" : '', $request);
}

sub reads
{
	my ($of) = @_;

	return scalar $domo->record(operation => 'read', id => $of);
}

# What the log has of it once it is tracked no more.
sub ended
{
	my ($request, $columns, $expected, $name) = @_;

	until_true("SELECT instance_finished_at IS NOT NULL AND NOT EXISTS (SELECT FROM"
		  . " domowf.tracked WHERE request_id = $request)"
		  . " FROM domowf.log WHERE id = $request", "$name: it is over");
	return is($session->value("SELECT $columns FROM domowf.log WHERE id = $request"),
		$expected, $name);
}

# ---- off

$got = $session->run(q{SELECT domowf_instance('x')});
is($got->{sqlstate}, '55000', 'off: domowf_instance() says so');
like($got->{hint}, qr/domowf\.track_instances.*does not document/, '... and which setting');
$got = $session->run(q{INSERT INTO domowf.workflow
	(name, model_id, version, message_name, track, server) VALUES
	('followed', 'm', '1.0.0', 's', true, NULL), ('plain', 'm', '1.0.0', 's', false, NULL)});
is(scalar @{ $got->{warnings} }, 1, 'track warns, of those that have it');
like($got->{warnings}[0]{message}, qr/domowf\.track_instances is on/, '... what it waits for');
is(scalar @{ $session->run(q{UPDATE domowf.workflow SET version = '1.0.0'})->{warnings} },
	0, '... when it is set, and no more');
my ($early, $early_instance) = start('followed', 'early');
due_now($early);
is($session->value(q{SELECT count(*) FROM domowf.tracked}), 1, 'it is noted all the same');
start('plain', 'other');
is($session->value(q{SELECT count(*) FROM domowf.tracked}), 1, '... of those alone');
is(reads($early_instance), 0, '... and nothing is polled');

# ---- domowf_instance()

$session->configure('domowf.track_instances', 'on');
ok(Domowf->until_taken_up($node), 'on');
$session->value('SELECT 1') until $session->value(q{SHOW domowf.track_instances}) eq 'on';
is($session->value(sprintf q{SELECT concat_ws(' ', id = '%s', status, response->>'status')
	FROM domowf_instance('%1$s')}, $early_instance), 't IN_PROGRESS IN_PROGRESS', 'an instance as it stands');
foreach my $told ([ 'completed', 'COMPLETED' ], [ 'cancelled', 'CANCELED' ],
	[ 'canceled', 'CANCELED' ], [ 'not-started', 'NOT_STARTED' ], [ 'json-null', '' ],
	[ 'string-null', '' ], [ 'failed', 'FAILED' ])
{
	is($session->value("SELECT status FROM domowf_instance('scenario:reply:status-$told->[0]')"),
		$told->[1], "status $told->[0]");
}
foreach my $error ([ q{NULL}, '22004' ], [ q{''}, '22023' ], [ q{'..'}, '22023' ],
	[ q{'nobody'}, '38404' ], [ q{'scenario:status:500'}, '38U03' ],
	[ q{'scenario:status:401'}, '38401' ], [ q{'scenario:reply:truncated'}, '38U03' ],
	[ q{'x', 'nowhere'}, '42704' ])
{
	is($session->run("SELECT domowf_instance($error->[0])")->{sqlstate}, $error->[1],
		"domowf_instance($error->[0])");
}
is($session->run(q{SELECT (domowf_instance('x')).*})->{sqlstate}, '0A000', 'not once for each column');
is($session->value(q{SELECT count(*) FROM domowf.log WHERE operation = 'read_instance'}),
	0, 'it is not logged');
my $app = Domowf->session($node, user => 'app');
is($app->run(q{SELECT domowf_instance('x')})->{sqlstate}, '42501', 'not granted to PUBLIC');
$session->value(q{GRANT EXECUTE ON FUNCTION domowf_instance TO app});
is($app->run(q{SELECT domowf_instance('x', 'eu')})->{sqlstate}, '42501', 'USAGE of a server');
$session->value(q{GRANT USAGE ON FOREIGN SERVER eu TO app});
is($app->value(q{SELECT i.status FROM domowf_instance('scenario:normal', 'eu') i}),
	'IN_PROGRESS', 'an instance of a server');
is($session->value(sprintf q{BEGIN READ ONLY; SELECT i.id FROM domowf_instance('%s') i; COMMIT},
		$early_instance), $early_instance, 'a transaction that only reads may');

# ---- what requests start

until_true("SELECT instance_status = 'IN_PROGRESS' FROM domowf.log WHERE id = $early",
	'what was started before is polled once it is on');
is($session->value("SELECT tries FROM domowf.tracked"), 1, '... once');
$session->value(q{UPDATE domowf.tracked SET due = now(), tries = 12});
until_true(q{SELECT tries = 13 AND due BETWEEN now() + interval '10 min'
	AND now() + interval '15 min' FROM domowf.tracked}, '... and again, at last after a quarter of an hour');
$domo->set_instance($early_instance, 'COMPLETED');
due_now($early);
ended($early, 'instance_status, outcome, error IS NULL, instance_finished_at <= now()',
	'COMPLETED|done|t|t', 'its end');
is($session->request($early, 'instance_status'), 'COMPLETED', 'the view has it');
my $before = reads($early_instance);

$domo->set_states(undef, [ undef, 1 ], [ 'NOT_STARTED', 1 ], [ 'IN_PROGRESS', 2 ],
	[ 'CANCELLED', 1 ]);
my $waiter = Domowf->session($node);
($id, $instance) = start('followed', 'states');
$waiter->send("SELECT w.state, w.instance_status FROM domowf_wait_finished($id, '170 s') w");
foreach my $n (1 .. 5)
{
	due_now($id);
	until_true("SELECT count(*) = 0 FROM domowf.tracked WHERE request_id = $id AND tries < $n",
		"poll $n");
}
is($waiter->wait->{out}, 'done|CANCELED', 'domowf_wait_finished() returns then');
ended($id, 'instance_status', 'CANCELED', 'CANCELLED with two L');
is(reads($instance), 5, 'as many reads as it took');
is(reads($early_instance), $before, '... and none of what has ended');
$domo->set_states(undef, [ 'FAILED', 1 ]);
($id, $instance) = start('followed', 'fails');
due_now($id);
ended($id, 'instance_status, outcome', 'FAILED|done', 'an instance that fails');

# ---- whatever a poll meets

$domo->set_states(undef, [ 'IN_PROGRESS', 1 ]);
($id, $instance) = start('followed', 'odd');
foreach my $scenario (qw(status:500 status:403 status:400 reset-after close-after half-body
	garbage blocked redirect text:200 reply:truncated reply:no-id reply:only-id reply:array
	reply:deep reply:huge-number reply:invalid-utf8 reply:status-unknown oversize:3000000 status:401
	status:404))
{
	my $seen = reads($instance);

	$domo->script($scenario, operation => 'read', contains => $instance);
	due_now($id);
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM domowf.tracked"
			  . " WHERE request_id = $id AND due > now()")
		  && reads($instance) > $seen, "$scenario is tried again");
}
is($session->value("SELECT outcome, error IS NULL, errors IS NULL, attempts, instance_finished_at IS NULL"
	  . " FROM domowf.log WHERE id = $id"), 'done|t|t|1|t', 'none has changed what is known of the start');
like($session->value("SELECT error FROM domowf.tracked WHERE request_id = $id"), qr/404/,
	'the last failure is told');
$domo->script('reply:id-odd', operation => 'read', contains => $instance);
due_now($id);
until_true("SELECT error = 'the reply is about another instance' FROM domowf.tracked WHERE request_id = $id",
	'a reply about another instance is a failure');
is($session->outcome($session->enqueue('plain', 'after')), 'done', 'none has paused anything');

# ---- an id that is not found

# as if the first 404 in a row had come so long ago
sub missing_for
{
	my ($request, $age) = @_;

	return $session->value("UPDATE domowf.tracked SET due = now(), missing_since = now() - interval '$age'"
		  . " WHERE request_id = $request");
}

sub polled_again
{
	my ($request, $missing, $name) = @_;

	return until_true("SELECT due > now() AND (missing_since IS NOT NULL) = $missing"
		  . " FROM domowf.tracked WHERE request_id = $request", $name);
}

$domo->forget_instance($instance);
due_now($id, '3 hours');
polled_again($id, 'true', 'one 404, hours after the start: again');
due_now($id);
polled_again($id, 'true', '... and a second one, a moment later');
$domo->script('status:500', operation => 'read', contains => $instance);
missing_for($id, '11 minutes');
polled_again($id, 'false', 'another failure between them: not all were missed');
due_now($id);
polled_again($id, 'true', '... so they count anew');
missing_for($id, '9 minutes');
polled_again($id, 'true', '404 for nine minutes: again');
missing_for($id, '11 minutes');
ended($id, 'instance_status IS NULL, outcome, error', 't|done|its instance is followed no longer:'
	  . ' Domo does not know it (HTTP status 404)', '404 for more than ten minutes');
is($session->value("SELECT w.state FROM domowf_wait_finished($id, '170 s') w"), 'done',
	'whoever waits for that waits no longer');

# ---- at most seven days

($id, $instance) = start('followed', 'long');
due_now($id, '6 days 23 hours');
until_true("SELECT due > now() FROM domowf.tracked WHERE request_id = $id", 'a week less an hour: again');
due_now($id, '7 days 1 hour');
ended($id, q{instance_status, error ~ 'after 7 days'}, 'IN_PROGRESS|t', 'a week');
($id, $instance) = start('followed', 'long and down');
$domo->script('status:500', operation => 'read', contains => $instance, count => undef);
due_now($id, '7 days 1 hour');
ended($id, q{instance_status IS NULL, error ~ 'after 7 days.*500'}, 't|t', 'a week of failures');
$domo->clear_script;

# ---- who waits

$got = $session->run("SELECT domowf_wait_finished(" . (start('plain', 'untracked'))[0] . ", '1 s')");
is($got->{sqlstate}, '55000', 'what is not tracked is not waited for');
like($got->{message}, qr/is not tracked/, '... it says so');
is($session->run(q{SELECT domowf_wait_finished(4711, '1 s')})->{sqlstate}, '42704', 'no such request');
is($session->run(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT domowf_wait_finished(1, '1 s')})->{sqlstate},
	'25001', 'not above READ COMMITTED');
$session->run('ROLLBACK');
($id) = start('followed', 'timeout');
is($session->value("SELECT w.state FROM domowf_wait_finished($id, '10 ms') w"), 'done',
	'on timeout the row as it stands');
$session->value(q{GRANT USAGE ON SCHEMA domowf TO app; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app});
is($app->run("SELECT domowf_wait_finished($id, '1 s')")->{sqlstate}, '42704',
	'a request that one may not see is not there');
$domo->script('status:403', operation => 'start', contains => 'refused');
($id) = start('followed', 'refused');
is($session->value("SELECT w.state FROM domowf_wait_finished($id, '170 s') w"), 'rejected',
	'what was not started is not waited for');
is($session->value("SELECT count(*) FROM domowf.tracked WHERE request_id = $id"), 0, '... nor tracked');
$session->value("SELECT domowf_retry($id)");
$session->outcome($id);
is($session->value("SELECT count(*) FROM domowf.tracked WHERE request_id = $id"), 1,
	'... but once it is sent again');

# ---- by hand

$domo->script('status:500', operation => 'start', contains => 'doubtful');
$id = $session->enqueue('followed', 'doubtful');
is($session->outcome($id), 'in_doubt', 'one that is in doubt');
is($session->value("SELECT w.state FROM domowf_wait_finished($id, '170 s') w"), 'in_doubt', '... is not waited for');
$domo->set_states(undef, [ 'COMPLETED', 1 ]);
$instance = $session->value(Domowf->start_sql('m'));
$session->value("SELECT domowf_resolve($id, '$instance')");
due_now($id);
ended($id, 'instance_status', 'COMPLETED', 'what a person records is tracked, too');

# ---- an id that no call can name

$domo->script('reply:id-dots', operation => 'start', contains => 'unnamable');
$id = $session->enqueue('followed', 'unnamable');
is($session->outcome($id), 'done', 'an instance whose id is ..');
due_now($id);
ended($id, q{instance_id, instance_status IS NULL, outcome, error ~ '^its instance cannot be followed: .*id'}, '..|t|done|t',
	'... cannot be followed, which is told');

# ---- servers

$session->value(q{INSERT INTO domowf.workflow (name, model_id, version, message_name, track, server)
	VALUES ('there', 'm', '1.0.0', 's', true, 'eu')});
$eu->set_states(undef, [ 'COMPLETED', 1 ]);
($id, $instance) = start('there', 'far');
due_now($id);
ended($id, 'instance_status, server', 'COMPLETED|eu', 'an instance of a server is polled there');
is(scalar $eu->record(operation => 'read', id => $instance), 1, '... with its token');
is(reads($instance), 0, '... and nowhere else');
($id, $instance) = start('there', 'cut off');
$session->value(q{ALTER SERVER eu RENAME TO us});
my $asked = () = $eu->record(operation => 'read', id => $instance);
due_now($id);
my ($near, $near_instance) = start('followed', 'near');
due_now($near);
ended($near, 'instance_status', 'COMPLETED', 'a server that is gone keeps no other');
is(scalar $eu->record(operation => 'read', id => $instance), $asked, '... and is not asked');
$session->value(q{ALTER SERVER us RENAME TO eu});
ended($id, 'instance_status', 'COMPLETED', '... until it is there again');

# one of a role that is dropped is asked for nowhere, not where the settings point
$session->value(<<'END');
CREATE ROLE gone;
GRANT USAGE ON FOREIGN SERVER eu TO gone;
GRANT EXECUTE ON FUNCTION domowf_enqueue(text, jsonb, text, text, timestamptz, timestamptz) TO gone;
SET ROLE gone;
END
$id = $session->enqueue('there', 'of nobody');
$session->value('RESET ROLE');
is($session->outcome($id), 'done', 'an instance of a role');
$instance = $session->request($id, 'instance_id');
$session->value('DROP OWNED BY gone; DROP ROLE gone');
$asked = () = $eu->record(operation => 'read', id => $instance);
$session->value(q{ALTER TABLE domowf.log ADD CONSTRAINT mine CHECK (workflow <> 'there') NOT VALID});
my ($beside) = start('followed', 'beside');
due_now($_) foreach $id, $beside;
ended($beside, 'instance_status', 'COMPLETED', 'whose end the log refuses keeps no other');
$session->value(q{ALTER TABLE domowf.log DROP CONSTRAINT mine});
due_now($id);
ended($id, q{error ~ 'role that asked for it was dropped'}, 't', 'that is dropped');
is(reads($instance), 0, '... is not asked for where the settings point');
is(scalar $eu->record(operation => 'read', id => $instance), $asked, '... nor there');

# ---- one that nobody wants to have written back needs no table of returns

($id) = start('followed', 'locked');
my $locker = Domowf->session($node);
$locker->value('BEGIN; LOCK TABLE domowf.return_entry IN SHARE MODE');
due_now($id);
ended($id, 'instance_status', 'COMPLETED', 'an end that is written back nowhere waits for no lock of that');
$locker->value('ROLLBACK');
$locker->quit;

# ---- into the row that asked for it, and on from there

$session->value(<<'END');
CREATE TABLE public.orders (id int PRIMARY KEY, instance text, run text, ended timestamptz);
CREATE TRIGGER follow AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION
	domowf_trigger('followed', 'id', 'instance<-id', 'run<-status', 'ended<-finished_at');
CREATE TRIGGER on_end AFTER UPDATE OF run ON public.orders FOR EACH ROW
	WHEN (NEW.run = 'COMPLETED') EXECUTE FUNCTION domowf_trigger('plain', 'id');
CREATE TABLE public.told (state text, status text);
CREATE FUNCTION public.tell(r domowf.request) RETURNS void LANGUAGE sql AS
	'INSERT INTO public.told VALUES (r.state, r.instance_status)';
UPDATE domowf.workflow SET on_settled = 'public.tell(domowf.request)' WHERE name = 'followed';
INSERT INTO public.orders (id) VALUES (1);
END
until_true(q{SELECT instance IS NOT NULL AND ended IS NULL FROM public.orders},
	'the instance stands in the row');
$id = $session->value(q{SELECT l.id FROM domowf.log l
	JOIN public.orders o ON o.instance = l.instance_id});
due_now($id);
until_true(q{SELECT run = 'COMPLETED' AND ended = l.instance_finished_at
	FROM public.orders o JOIN domowf.log l ON l.instance_id = o.instance}, '... then its end');
until_true(q{SELECT count(*) = 1 FROM domowf.log
	WHERE workflow = 'plain' AND outcome = 'done' AND depth = 1},
	'... of which the next one comes, once');
until_true(q{SELECT count(*) > 0 FROM public.told}, 'a function is called');
is($session->value(q{SELECT string_agg(state, ' ') FROM public.told}), 'done',
	'a function is told of the states of a request');

# while the table of returns is locked, what is written back waits, and no other
$session->value(q{INSERT INTO domowf.workflow (name, model_id, version, message_name, track)
	VALUES ('alone', 'm', '1.0.0', 's', true); INSERT INTO public.orders (id) VALUES (2)});
until_true('SELECT instance IS NOT NULL FROM public.orders WHERE id = 2', 'one more row');
$id = $session->value(q{SELECT l.id FROM domowf.log l
	JOIN public.orders o ON o.instance = l.instance_id WHERE o.id = 2});
$locker = Domowf->session($node);
$locker->value('BEGIN; LOCK TABLE domowf.return_entry IN SHARE MODE');
($beside) = start('alone', 'beside a lock');
due_now($_) foreach $id, $beside;
ended($beside, 'instance_status', 'COMPLETED', 'the table of returns is locked: others go on');
$locker->value('ROLLBACK');
$locker->quit;
until_true(q{SELECT run = 'COMPLETED' FROM public.orders WHERE id = 2}, '... and it, when it is free');

# ---- the tables

until_true(q{SELECT count(*) = 0 FROM domowf_check() WHERE NOT ok}, 'nothing is wrong');
$session->value(q{ALTER TABLE domowf.tracked ENABLE TRIGGER refuse_replication});
like($session->value(q{SELECT detail FROM domowf_check() WHERE check_name = 'triggers'}),
	qr/domowf\.tracked does not fire always/, 'domowf_check() knows its triggers');
$session->value(q{ALTER TABLE domowf.tracked ENABLE ALWAYS TRIGGER refuse_replication});
$session->value(q{DROP INDEX domowf.tracked_lane});
like($session->value(q{SELECT detail FROM domowf_check() WHERE check_name = 'objects'}),
	qr/domowf\.tracked has lost its index on \(lane, due, request_id\)/, '... and its index');

is_deeply([ map { $_->{violations} } $domo->violations, $eu->violations ], [],
	'Domo had no complaints');
done_testing();
