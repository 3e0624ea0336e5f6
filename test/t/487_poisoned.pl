
# A request whose outcome the log refuses for what it holds (an id that it has
# already, a unique index or a check of somebody's) is held in doubt, with its
# outcome and its instance, and stops no other: not as many as can be in flight
# either.  And new ids are nobody's: not after a restored log, nor after
# setval().  Exists because eight such requests ran in Domo, stopped everything,
# and eight more with each restart.

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

# what the worker is refused
Domowf->expect_in_log(qr/duplicate key value violates|violates check constraint|too many notifications/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.max_connections = 8
restart_after_crash = on
END
if ($node->pg_version >= 17)
{
	$node->append_conf('postgresql.conf', 'max_notify_queue_pages = 64');
	$node->restart;
}
my $session = Domowf->session($node);
my ($got, @ids);

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it'),
	('gated', 'scenario:gate-executed:way', '1.0.0', 'Start it'),
	('late', 'scenario:gate-executed:way', '1.0.0', 'Start it')
END

sub value { return $session->value($_[0]); }

sub enqueue
{
	my ($count, $workflow) = @_;

	$workflow //= 'it';
	return split /\n/,
	  value("SELECT domowf_enqueue('$workflow') FROM generate_series(1, $count)");
}

sub states
{
	return join ' ', map { value(Domowf->outcome_sql($_)) } @_;
}

# A row of the log that has come some other way.
sub restore
{
	value("INSERT INTO domowf.log SELECT (jsonb_populate_record(l,
		jsonb_build_object('id', $_, 'key', null, 'order_key', null))).*
		FROM domowf.log l LIMIT 1") foreach @_;
	return;
}

# ---- a unique index of somebody's

my $instance = value(Domowf->start_sql('model'));
value(q{CREATE UNIQUE INDEX mine ON domowf.log (instance_id) WHERE operation = 'cancel'});
my @cancels = split /\n/,
  value(sprintf q{SELECT domowf_enqueue_call('cancel', '{"instanceId": "%s"}')
	FROM generate_series(1, %d)}, $instance, FLIGHT + 1);
my @starts = enqueue(3);
is(states(@starts), 'done done done', 'what the log refuses stops no other');
is( join(' ', sort split / /, states(@cancels)),
	join(' ', 'done', ('in_doubt') x FLIGHT),
	'... and is in doubt, but for the one that it takes');
$got = value(
	"SELECT DISTINCT e->>'class', e->>'outcome', e->>'instance_id', e->>'status'
	FROM domowf.queue, jsonb_array_elements(errors) e WHERE state = 'in_doubt'");
is($got, "not written|done|$instance|200", '... with what is known of it');
like(value(q{SELECT DISTINCT error FROM domowf.queue}),
	qr/^Its outcome \(done\) cannot be written: duplicate key/, '... and why');
value('DROP INDEX domowf.mine');
value("SELECT domowf_resolve(id, '$instance') FROM domowf.queue");
is(value('SELECT count(*) FROM domowf.queue'), 0, '... until somebody settles it');

# ---- a check of somebody's, on what a reply brings

value(q{ALTER TABLE domowf.log ADD CONSTRAINT mine CHECK (http_status <> 404) NOT VALID;
	UPDATE domowf.workflow SET model_id = 'scenario:status:404' WHERE name = 'gated'});
@ids = (enqueue(FLIGHT, 'gated'), enqueue(1));
is(states(@ids), join(' ', ('in_doubt') x FLIGHT, 'done'), 'so is a rejection');
is( value("SELECT DISTINCT errors->0->>'class', errors->1->>'outcome' FROM domowf.queue"),
	'rejected|rejected',
	'... with both');
value(q{ALTER TABLE domowf.log DROP CONSTRAINT mine;
	SELECT domowf_discard(id) FROM domowf.queue;
	UPDATE domowf.workflow SET model_id = 'scenario:gate-executed:way' WHERE name = 'gated'});

# ---- ids: setval() while it runs

my $highest = value('SELECT max(id) FROM domowf.log');
value(q{SELECT setval('domowf.request_id', 1, false)});
@ids = enqueue(20);
ok(!grep({ $_ <= $highest } @ids), 'after setval() ids are new');
is(states(@ids), join(' ', ('done') x 20), '... and requests done');
value(q{SELECT setval('domowf.request_id', 1, false)});
$got = Domowf->session($node)->value(q{SELECT domowf_enqueue('it')});
cmp_ok($got, '>', $ids[-1], '... in a new session as well');
is(states($got), 'done', '... which is done');

# ---- a row that comes while a request is in flight

@ids = enqueue(FLIGHT, 'gated');
$domo->wait_for(held => '=' . FLIGHT);
restore(@ids);
$domo->release('way', FLIGHT);
ok($node->poll_query_until('postgres',
		sprintf "SELECT count(*) = %d FROM domowf.queue WHERE state = 'in_doubt'", FLIGHT),
	'as many as can be in flight are in doubt');
is(states(enqueue(1)), 'done', '... and stop no other');
is( value("SELECT count(DISTINCT e->>'instance_id') FROM domowf.queue,
	jsonb_array_elements(errors) e"),
	FLIGHT, '... and each one says which instance it has started');
is($session->run("SELECT domowf_resolve($ids[0], 'x')")->{sqlstate},
	'23505', 'it cannot be settled before the log is mended');
value("DELETE FROM domowf.log WHERE id = ANY('{" . join(',', @ids) . "}')");
value("SELECT domowf_resolve(id, errors->0->>'instance_id') FROM domowf.queue");
is(value('SELECT count(*) FROM domowf.queue'), 0, '... and can then');

# ---- the same when the worker is told to end

@ids = (enqueue(2, 'gated'), enqueue(1, 'late'));
$domo->wait_for(held => '=3');
restore(@ids[ 0, 1 ]);
$node->append_conf('postgresql.conf', 'domowf.worker = off');
$node->reload;
$domo->release('way', 3);
ok($node->poll_query_until('postgres', 'SELECT pid IS NULL FROM domowf.worker'),
	'the worker ends');
is(states(@ids), 'in_doubt in_doubt done', '... and has written what it can');
is( value(q{SELECT DISTINCT errors->0->>'class' FROM domowf.queue}),
	'not written', '... whatever was refused');
value("DELETE FROM domowf.log WHERE id = ANY('{" . join(',', @ids[ 0, 1 ]) . "}')");
value('SELECT domowf_discard(id) FROM domowf.queue');
$node->append_conf('postgresql.conf', 'domowf.worker = on');
$node->reload;

# ---- what expires

# in one transaction, so that none expires before
value('BEGIN');
my @expired = split /\n/,
  value(q{SELECT domowf_enqueue('it', expires_at => now() + interval '2 s',
	run_at => now() + interval '1 h') FROM generate_series(1, 5)});
restore(@expired[ 1, 3 ]);
value('COMMIT');
is(states(@expired), 'expired in_doubt expired in_doubt expired',
	'what the log refuses keeps no other from expiring');
like(value('SELECT DISTINCT error FROM domowf.queue'),
	qr/^It expired and was never sent, which cannot be written: duplicate key/, '... and says why');
value("DELETE FROM domowf.log WHERE id = ANY('{$expired[1],$expired[3]}')");
value('SELECT domowf_discard(id) FROM domowf.queue');

# ---- a log that is restored while there is no worker

$node->append_conf('postgresql.conf', 'domowf.worker = off');
$node->reload;
ok($node->poll_query_until('postgres', 'SELECT pid IS NULL FROM domowf.worker'),
	'the worker ends');
@ids = enqueue(FLIGHT);
restore(@ids, $ids[-1] + 500);
my @later = enqueue(2);
my $before = $domo->record;
$node->append_conf('postgresql.conf', 'domowf.worker = on');
$node->reload;
is(states(@later), 'done done', 'what the log has not is sent');
is(scalar $domo->record, $before + 2, '... and nothing else');
is( value("SELECT DISTINCT state, error, attempts FROM domowf.queue"),
	'in_doubt|domowf.log has another request of this id, so that its outcome could not be written|0',
	'what it has is held, and says why');
ok( $node->poll_query_until('postgres',
		"SELECT last_value >= $ids[-1] + 500 FROM domowf.request_id"),
	'the worker sees to it that new ids are free');
value("DELETE FROM domowf.log WHERE id = ANY('{" . join(',', @ids) . "}')");
value('SELECT domowf_retry(id) FROM domowf.queue');
is(states(@ids), join(' ', ('done') x FLIGHT), '... and it can be sent again');

# ---- rows that take neither their outcome nor that they are in doubt, more of
# ---- them than can be in flight

value(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE 'not this one' USING ERRCODE = TG_ARGV[0];
	END $$;
	ALTER SYSTEM SET domowf.stall_after = '100ms';
	ALTER SYSTEM SET domowf.drain_timeout = '500ms'});
value('SELECT pg_reload_conf()');

sub hang
{
	my ($code) = @_;

	value("CREATE TRIGGER mine BEFORE UPDATE OR DELETE ON domowf.queue FOR EACH ROW
		WHEN (OLD.state = 'sending' AND OLD.request->'data'->>'n' LIKE 'bad%')
		EXECUTE FUNCTION refuse('$code'); ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER mine");
	return;
}

# Waits until that many were answered, and cannot be written; others are sent
# meanwhile, and it is a stall.
sub others_go
{
	my ($code, $n, $count) = @_;

	@ids = map { $session->enqueue('it', "$n $_") } 1 .. $count;
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = $count FROM domowf.queue WHERE state = 'sending'"),
		"$code: rows that take neither outcome nor doubt are sent") if $count > FLIGHT;
	is(states(enqueue(2 * FLIGHT)), join(' ', ('done') x (2 * FLIGHT)),
		"$code: $count of them stop no other");
	ok( $node->poll_query_until('postgres',
			q{SELECT state ~ 'stalled: what came of requests cannot be written: .*not this one' FROM domowf.worker}),
		'... they are a stall');
	ok( $node->poll_query_until('postgres',
			q{SELECT NOT ok AND detail ~ 'what came of requests cannot be written.*not this one.*tried again'
				FROM domowf_check() WHERE check_name = 'worker'}),
		'... so says the check');
	ok($node->poll_query_until('postgres', 'SELECT in_flight = 0 FROM domowf.worker'),
		'... and not in flight');
	return;
}

foreach my $code (qw(P0001 XX000))
{
	# of the moment, for all that its code says: as many as there are places
	my $count = $code eq 'P0001' ? 2 * FLIGHT + 1 : FLIGHT;

	hang($code);
	others_go($code, "bad $code", $count);
	value('DROP TRIGGER mine ON domowf.queue; SELECT domowf_resume()');
	is(states(@ids), join(' ', ('done') x $count), '... and their outcome is written when it is mended');
	is_deeply([ grep { $domo->arrived("bad $code $_") != 1 } 1 .. $count ], [], '... sent once each');
}

# those that nobody mends

hang('P0001');
others_go('a restart', 'bad restart', FLIGHT + 1);
my $offset = Domowf->log_size($node);
$session->quit;
$node->restart;
$session = Domowf->session($node);
is((() = Domowf->log_since($node, $offset) =~ /request \d+ was answered when its worker ended/g),
	FLIGHT + 1, 'a worker that ends says what it could not write');
is(states(enqueue(FLIGHT)), join(' ', ('done') x FLIGHT), '... the next one sends');
value('DROP TRIGGER mine ON domowf.queue');
is(states(@ids), join(' ', ('in_doubt') x (FLIGHT + 1)), '... and they are in doubt when it is mended');
is_deeply([ grep { $domo->arrived("bad restart $_") != 1 } 1 .. FLIGHT + 1 ], [], '... sent once each');
value('SELECT domowf_discard(id) FROM domowf.queue');

# so many that the table is at fault: nothing more is sent, until it is mended

Domowf->set_test_point($node, 'set-aside=3');
ok(Domowf->until_taken_up($node), 'few are enough');
$offset = $domo->record;
hang('P0001');
@ids = map { $session->enqueue('it', "bad many $_") } 1 .. 4 * FLIGHT;
ok($node->poll_query_until('postgres', sprintf "SELECT count(*) >= %d FROM domowf.queue
		WHERE state = 'sending'", 3 + FLIGHT), 'of a table that is at fault a bounded number is sent');
my $good = $session->enqueue('it', 'good');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM domowf_check()
	WHERE check_name = 'worker' AND detail ~ 'cannot be written'}), '... and it is a stall');
# and one, by which it would be seen that others can be written
cmp_ok($domo->record - $offset, '<=', 3 + FLIGHT + 1, '... and no more');
Domowf->set_test_point($node, '');
value('DROP TRIGGER mine ON domowf.queue; SELECT domowf_resume()');
is(states($good, @ids), join(' ', ('done') x (1 + 4 * FLIGHT)), '... until it is mended');
is_deeply([ grep { $domo->arrived("bad many $_") != 1 } 1 .. 4 * FLIGHT ], [], '... sent once each');
# ---- what is to be returned of it is refused: neither outcome nor doubt, of what
# ---- is sent, expires, or was left by a worker

value(<<'END');
ALTER SYSTEM SET domowf.poll_interval = '200ms';
SELECT pg_reload_conf();
CREATE SCHEMA own;
CREATE TABLE own.told (id bigint, state text);
CREATE FUNCTION own.tell(r domowf.request) RETURNS void LANGUAGE sql AS
	'INSERT INTO own.told VALUES (r.id, r.state)';
CREATE TABLE own.asked (id int PRIMARY KEY, workflow text, at timestamptz,
	request bigint, state text);
INSERT INTO domowf.workflow (name, model_id, version, message_name, expire_after, on_settled)
VALUES ('both', 'model', '1.0.0', 's', NULL, 'own.tell(domowf.request)'),
	('brief', 'model', '1.0.0', 's', '1 ms', 'own.tell(domowf.request)'),
	('left', 'scenario:gate-executed:left', '1.0.0', 's', NULL, 'own.tell(domowf.request)');
CREATE UNIQUE INDEX mine ON domowf.return_entry (request_id);
END
value("CREATE TRIGGER ${_}_asked AFTER INSERT ON own.asked FOR EACH ROW
	WHEN (NEW.workflow = '$_') EXECUTE FUNCTION domowf_trigger('$_', 'n=id',
		'request<-request_id', 'state<-state')") foreach qw(both brief left);

# Waits until so many wait for their end to be written, while others are done.
sub are_kept
{
	my ($count, $name) = @_;

	is(states(enqueue(2 * FLIGHT)), join(' ', ('done') x (2 * FLIGHT)),
		"$name: what cannot be returned stops no other");
	is(value(q{SELECT count(*) FROM domowf.queue WHERE workflow IN ('both', 'brief', 'left')}),
		$count, '... and is kept');
	is(value('SELECT count(*) FROM own.told'), 0, '... and told to nobody');
	return;
}

sub are_told
{
	my ($state, $count, $name) = @_;

	ok($node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM domowf.return_entry)
		AND NOT EXISTS (SELECT FROM domowf.queue WHERE state <> 'in_doubt')}),
		"$name: it is written when it is mended");
	is(value(q{SELECT state, count(*), count(DISTINCT id) FROM own.told GROUP BY 1}),
		"$state|$count|$count", '... and told, once each');
	is(value(q{SELECT count(*) FROM own.asked a, own.told t
			WHERE a.request = t.id AND a.state = t.state}), $count, '... as its row says');
	value(q{TRUNCATE own.told, own.asked; SELECT domowf_discard(id) FROM domowf.queue});
	$node->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM domowf.return_entry)');
	value('TRUNCATE own.told');
	return;
}

my $sent = $domo->record;
value(sprintf q{INSERT INTO own.asked SELECT n, 'both' FROM generate_series(1, %d) n}, FLIGHT + 1);
are_kept(FLIGHT + 1, 'sent');
value('DROP INDEX domowf.mine; SELECT domowf_resume()');
are_told('done', FLIGHT + 1, 'sent');
is(scalar $domo->record, $sent + 3 * FLIGHT + 1, '... sent once each');

value('CREATE UNIQUE INDEX mine ON domowf.return_entry (request_id); SELECT domowf_pause()');
$offset = Domowf->log_size($node);
value(q{INSERT INTO own.asked SELECT n, 'brief' FROM generate_series(1, 3) n});
$node->poll_query_until('postgres', q{SELECT bool_and(expires_at < clock_timestamp())
	FROM domowf.queue WHERE workflow = 'brief'});
value('SELECT domowf_resume()');
$node->wait_for_log(qr/request \d+ cannot be put in doubt: duplicate key/, $offset);
are_kept(3, 'expired');
value('DROP INDEX domowf.mine');
are_told('expired', 3, 'expired');

value('CREATE UNIQUE INDEX mine ON domowf.return_entry (request_id)');
value(q{INSERT INTO own.asked SELECT n, 'left' FROM generate_series(1, 3) n});
$domo->wait_for(held => '=3');
$offset = Domowf->log_size($node);
$session->quit;
kill 'KILL', $node->safe_psql('postgres', 'SELECT pid FROM domowf.worker');
$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
$node->poll_query_until('postgres', 'SELECT pid IS NOT NULL FROM domowf.worker');
$session = Domowf->session($node);
$node->wait_for_log(qr/request \d+, which a worker was sending when it ended, cannot be put in doubt: duplicate key/, $offset);
$domo->release('left', 3);
are_kept(3, 'left by a worker');
value('DROP INDEX domowf.mine');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 3 FROM own.told WHERE state = 'in_doubt'}),
	'they are in doubt when it is mended');
are_told('in_doubt', 3, 'left by a worker');

# the log alone refuses it: who asked is told that it is in doubt

value(q{ALTER TABLE domowf.log ADD CONSTRAINT mine CHECK (workflow <> 'both') NOT VALID;
	INSERT INTO own.asked VALUES (1, 'both')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM own.told WHERE state = 'in_doubt'}),
	'what the log refuses is told as in doubt');
is(value(q{SELECT workflow, error ~ '^Its outcome .done. cannot be written' FROM domowf.queue}),
	'both|t', '... which it is');
value('ALTER TABLE domowf.log DROP CONSTRAINT mine');
are_told('in_doubt', 1, 'refused by the log');

# ---- what is counted is refused: that costs no outcome, and is said

$offset = Domowf->log_size($node);
my $counted = value('SELECT sum(n) FROM domowf.counter');
foreach my $hung (
	[ index => 'CREATE UNIQUE INDEX mine ON domowf.counter (operation)',
		'DROP INDEX domowf.mine' ],
	[ constraint => 'ALTER TABLE domowf.counter ADD CONSTRAINT mine CHECK (n < 0) NOT VALID',
		'ALTER TABLE domowf.counter DROP CONSTRAINT mine' ],
	[ trigger => q{CREATE TRIGGER mine BEFORE INSERT ON domowf.counter FOR EACH ROW
			EXECUTE FUNCTION refuse('P0001');
			ALTER TABLE domowf.counter ENABLE ALWAYS TRIGGER mine},
		'DROP TRIGGER mine ON domowf.counter' ])
{
	my ($kind, $hang, $mend) = @$hung;

	value('DELETE FROM domowf.counter') if $kind eq 'index';
	value($hang);
	value(q{INSERT INTO domowf.counter (operation, requested_by, requested_by_oid, n)
		VALUES ('start', 'me', 1, 1)}) if $kind eq 'index';
	like(value(q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'tables'}),
		qr/^f\|$kind mine of domowf\.counter is none of the extension's/,
		"$kind: the check says that it may refuse what is counted");
	@ids = enqueue(2 * FLIGHT);
	is(states(@ids), join(' ', ('done') x (2 * FLIGHT)), '... which costs no outcome');
	is(states(value(q{SELECT domowf_enqueue('it', expires_at => now() + interval '1 ms',
			run_at => now() + interval '1 h')})), 'expired', '... nor that of what expires');
	is(value("SELECT count(*) FROM domowf.log WHERE id = ANY('{" . join(',', @ids) . "}')"),
		2 * FLIGHT, '... and all is in the log');
	my $held = value(q{SELECT domowf_enqueue('it', run_at => now() + interval '1 h')});
	is(value("SELECT domowf_discard($held)"), 't', '... and a person settles one');
	value($mend);
}
like(Domowf->log_since($node, $offset), qr/what has happened to requests cannot be counted: /,
	'the log says that it is not counted');
is(states(enqueue(1)), 'done', 'mended');
ok( $node->poll_query_until('postgres',
		q{SELECT sum(n) > 1 FROM domowf.counter}), '... it is counted again');
is(value(q{SELECT ok FROM domowf_check() WHERE check_name = 'tables'}), 't', '... and the check is content');

# A full queue of NOTIFY, which any role can make, stops no settlement, nor what a
# person does: it is not told.  Nor does one that has become full since that was looked
# at, by which a commit fails, with a code that rows have, too: that is no row's fault.
sub is_not_told
{
	my ($name) = @_;
	my $offset = Domowf->log_size($node);
	my @sent = enqueue(3 * FLIGHT);
	my $id = value(q{SELECT domowf_enqueue('it', run_at => now() + interval '1 h')});

	is(states(@sent), join(' ', ('done') x (3 * FLIGHT)), "$name: all are done");
	my $person = Domowf->session($node);
	my $by_person = $person->run("SELECT domowf_discard($id)");
	$person->quit;
	is(states($id), 'discarded', '... and what a person settles is settled') or diag $by_person->{err};
	is(value(q{SELECT count(*) FROM domowf.queue WHERE state = 'in_doubt'}), 0, '... none is in doubt');
	return ($offset, $by_person);
}

# Whether the log says so; the worker does once a minute.
sub says_so
{
	my ($offset) = @_;

	return ok($node->wait_for_log('what becomes of requests is not told by NOTIFY: its queue is full', $offset),
		'... which the log says');
}

$session->configure('domowf.notify', 'on');
$session->configure('domowf.test_point', 'notify-full=0');
Domowf->until_taken_up($node) or die 'not taken up';
my ($from, $by_person) = is_not_told('the queue of NOTIFY is full');
says_so($from);
like($by_person->{err}, qr/WARNING: .*not told by NOTIFY/, '... and a person is told');
$session->configure('domowf.test_point', '');

SKIP:
{
	skip 'no setting makes the queue of NOTIFY small', 9 if $node->pg_version < 17;
	my $listener = Domowf->session($node);

	$listener->value('LISTEN crowd; BEGIN; SELECT 1');
	foreach my $length (7000, 1)
	{
		1 until $session->run("SELECT pg_notify('crowd', repeat('x', $length))")->{sqlstate} eq '54000';
	}
	value('SELECT pg_terminate_backend(pid, 60000) FROM domowf.worker');
	Domowf->until_taken_up($node) or die 'not taken up';
	($from) = is_not_told('a listener has filled it');
	says_so($from);

	# a new worker, which a commit tells
	$session->configure('domowf.test_point', 'notify-full=1000');
	value('SELECT pg_terminate_backend(pid, 60000) FROM domowf.worker');
	Domowf->until_taken_up($node) or die 'not taken up';
	$from = Domowf->log_size($node);
	@ids = enqueue(3 * FLIGHT);
	is(states(@ids), join(' ', ('done') x (3 * FLIGHT)), 'it has become full since: all are done');
	ok($node->wait_for_log('too many notifications in the NOTIFY queue', $from), '... by a second try');
	says_so($from);
	is(value(q{SELECT count(*) FROM domowf.queue WHERE state = 'in_doubt'}), 0, '... none is in doubt');
	$session->configure('domowf.test_point', '');
	$listener->value('COMMIT');
	value('SELECT pg_notification_queue_usage()');	# which cuts off what all have read
	$listener->quit;
}
$session->configure('domowf.notify', 'off');
Domowf->until_taken_up($node) or die 'not taken up';

# The fold has a transaction of its own: what keeps it is a stall that is named,
# and all else is looked after.
value(q{UPDATE domowf.counter SET slot = now() - interval '2 days';
	ALTER TABLE domowf.counter ADD CONSTRAINT mine CHECK (slot IS NOT NULL) NOT VALID;
	INSERT INTO domowf.counter (operation, requested_by, requested_by_oid, outcome, slot, n)
		SELECT 'start', 'me', 1, 'done', now(), 1 FROM generate_series(1, 1000)});
ok( $node->poll_query_until('postgres',
		q{SELECT state ~ '^stalled: what was counted cannot be folded: .*mine' FROM domowf.worker}),
	'a fold that is refused is a stall');
is(states(enqueue(FLIGHT)), join(' ', ('done') x FLIGHT), '... and stops nothing');
is(states(value(q{SELECT domowf_enqueue('it', expires_at => now() + interval '1 ms',
		run_at => now() + interval '1 h')})), 'expired', '... nor what expires');
value('ALTER TABLE domowf.counter DROP CONSTRAINT mine; SELECT pg_terminate_backend(pid, 60000) FROM domowf.worker');
ok( $node->poll_query_until('postgres',
		q{SELECT (SELECT count(*) FROM domowf.counter) < 100 AND state = 'idle' FROM domowf.worker}),
	'... until it is mended');
$session->quit;
$node->stop;

done_testing();
