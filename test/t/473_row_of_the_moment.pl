
# One row stops no other, whatever its error is: where a trigger of somebody's on a
# table of domowf's waits for a lock, or raises what is no fault of a row by its
# code (a lost connection, a full disk), or where somebody has locked a key, all
# else is claimed, recovered when a worker begins, let go in its order key, ended
# as its time is over, removed from the log, followed and returned; what is passed
# by is a stall, and is done once nothing keeps it any more.  Exists because only
# what a row holds was taken for its own fault, so that a locked row of a user's
# own table kept a whole database from being sent.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# what the worker is refused
Domowf->expect_in_log(qr/not this one|lock timeout|exceeds temp_file_limit/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.stall_after = '300ms'
domowf.max_connections = 2
END
my $session = Domowf->session($node);
my $holder = Domowf->session($node);

sub value { return $session->value($_[0]); }

sub enqueue { return $session->enqueue('it', @_); }

sub outcomes { return join ' ', map { $session->outcome($_) } @_; }

sub states { return join ' ', map { $session->request($_, 'state') } @_; }

sub until_true
{
	my ($query, $name) = @_;

	return ok($node->poll_query_until('postgres', $query), $name);
}

sub is_told
{
	my ($what, $name) = @_;

	return until_true("SELECT state ~ 'stalled: .*$what' FROM domowf.worker", $name);
}

sub is_no_stall
{
	my ($name) = @_;

	return until_true(q{SELECT state !~ 'stalled' FROM domowf.worker}, $name);
}

# A trigger that does this to each row of a table.
sub hang
{
	my ($what, $event, $table) = @_;

	value("CREATE TRIGGER mine AFTER $event ON domowf.$table FOR EACH ROW EXECUTE FUNCTION $what();
		ALTER TABLE domowf.$table ENABLE ALWAYS TRIGGER mine");
	return;
}

sub take_off { return value("DROP TRIGGER mine ON domowf.$_[0]"); }

# Holds what the trigger waits for, of rows of which the request says so.
sub hold { return $holder->value(q{BEGIN; SELECT count(*) FROM (SELECT FROM mine WHERE n LIKE 'held%' FOR UPDATE) m}); }

sub let_go { return $holder->value('COMMIT'); }

value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it'), ('other', 'model', '1.0.0', 'Start it');
CREATE TABLE mine (n text PRIMARY KEY, at timestamptz);
INSERT INTO mine SELECT 'held ' || i FROM generate_series(1, 9) i;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE public.mine SET at = now() WHERE n = NEW.request->'data'->>'n';
	RETURN NULL;
END $$;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.request->'data'->>'n' LIKE 'code %' THEN
		RAISE 'not this one' USING ERRCODE = substr(NEW.request->'data'->>'n', 6);
	END IF;
	RETURN NULL;
END $$
END

# ---- claims: more of them than can be in flight

hang('note', 'UPDATE', 'queue');
hold();
my @held = map { enqueue("held $_") } 1 .. 5;
is_told('a request that is due cannot be claimed: error 55P03: request \d+ cannot be claimed: .*lock timeout',
	'claims that wait for a lock are a stall');
is(outcomes(map { enqueue("free $_") } 1 .. 3), 'done done done', '... and keep no other of their lane');
is($session->outcome($session->enqueue('other', 'free')), 'done', '... nor any of another one');
is(states(@held), join(' ', ('queued') x 5), '... they wait');
let_go();
is(outcomes(@held), join(' ', ('done') x 5), '... until nobody holds it');
is_no_stall('... which is no stall');
take_off('queue');

hang('fail', 'UPDATE', 'queue');
my @codes = qw(08006 25P02 40001 53100 53400 55000 57014 58030 XX000);
my @bad = map { enqueue("code $_") } @codes;
is_told('a request that is due cannot be claimed: ', 'claims that fail as of the moment are a stall');
is(outcomes(map { enqueue("fine $_") } 1 .. 3), 'done done done', '... and keep no other');
is(states(@bad), join(' ', ('queued') x @bad), '... they wait');
take_off('queue');
is(outcomes(@bad), join(' ', ('done') x @bad), '... until it is mended');
is_deeply([ map { $domo->arrived("code $_") } @codes ], [ (1) x @codes ], '... sent once each');
is_no_stall('... which is no stall');

# ---- what a worker that died was sending

$domo->script('gate-executed:died', count => 2);
@held = map { enqueue($_) } 'held 1', 'free';
$domo->wait_for(held => 2);
hang('note', 'UPDATE', 'queue');
hold();
my $pid = value('SELECT pid FROM domowf.worker');
value("SELECT pg_terminate_backend($pid)");
Domowf->wait_for_end($pid);
is($session->outcome(enqueue('new')), 'done', 'what a dead worker has left, and cannot be written, keeps no worker from beginning');
is($session->outcome($held[1]), 'in_doubt', '... nor other rows from being put right');
is_told("request $held[0], which a worker was sending when it ended, cannot be put in doubt: .*lock timeout", '... it is a stall');
is(states($held[0]), 'sending', '... it stays as it is');
let_go();
is($session->outcome($held[0]), 'in_doubt', '... until nobody holds it');
$domo->release('died', 2);
value("SELECT domowf_discard($_)") foreach @held;

# ---- order keys

value('SELECT domowf_pause()');
my @first = map { enqueue('first', order_key => "'$_'") } 'a', 'b';
my @next = (enqueue('held 2', order_key => q{'a'}), enqueue('free', order_key => q{'b'}));
hold();
value("DELETE FROM domowf.queue WHERE id = $_") foreach @first;
value('SELECT domowf_resume()');
is($session->outcome($next[1]), 'done', 'an order key whose next waits for a lock keeps no other');
is_told("request $next[0], the next of its order key, cannot be let go: .*lock timeout", '... it is a stall');
let_go();
is($session->outcome($next[0]), 'done', '... until nobody holds it');

# with what is before it
hold();
@first = (enqueue('before', order_key => q{'c'}), enqueue('held 3', order_key => q{'c'}));
is($session->outcome($first[0]), 'done', 'what Domo has done is done, whatever the next of its order key waits for');
let_go();
is($session->outcome($first[1]), 'done', '... that one, too, once nobody holds it');
take_off('queue');

# ---- what expires: what a trigger on the log waits for, and a key that is locked

sub expiring { return enqueue($_[0], run_at => q{now() + interval '1 d'}, expires_at => 'clock_timestamp()', @_[1 .. $#_]); }

hang('note', 'INSERT', 'log');
hold();
my $keyed = enqueue('key', key => q{'held'}, run_at => q{now() + interval '1 d'});
$holder->value(q{SELECT FROM domowf.key WHERE key = 'held' FOR UPDATE});
value("UPDATE domowf.queue SET expires_at = now() WHERE id = $keyed");
@held = (expiring('held 4'), $keyed);
my $free = expiring('free', order_key => q{'d'});
my $behind = enqueue('free', order_key => q{'d'});
is(outcomes($free, $behind), 'expired done', 'what cannot be settled as expired keeps no other');
is_told('request \d+, whose time is over, cannot be settled: .*lock timeout', '... it is a stall');
is(states(@held), 'queued queued', '... it waits');
let_go();
is(outcomes(@held), 'expired expired', '... until nobody holds it');
is_no_stall('... which is no stall');
take_off('log');
is(value(q{SELECT count(*) FROM domowf.key WHERE key = 'held'}), 0, '... and its key is given back');

# many, of which each has one behind it that waits: that is for a moment, not for each
sub so_many_keep_nobody
{
	my ($name) = @_;
	my $began = time;
	my $outcomes = outcomes(map { enqueue("free $_") } 1 .. 3);

	is($outcomes, 'done done done', "$name keep nobody");
	cmp_ok(time - $began, '<', 9, '... for long');
	return;
}

value('SELECT domowf_pause()');
value(q{SELECT count(domowf_enqueue('it', jsonb_build_object('n', n), order_key => 'many ' || i,
	run_at => CASE n WHEN 'first' THEN now() + interval '1 d' END,
	expires_at => CASE n WHEN 'first' THEN now() + interval '1 d' END))
	FROM (VALUES ('first'), ('held 8')) v (n), generate_series(1, 200) i});
hang('note', 'UPDATE', 'queue');
value('SELECT domowf_resume()');
hold();
value(q{UPDATE domowf.queue SET expires_at = now() WHERE request->'data'->>'n' = 'first'});
until_true(q{SELECT count(*) > 0 FROM domowf.log WHERE request->'data'->>'n' = 'first'}, 'many expire');
so_many_keep_nobody('those that come behind them, and wait,');
is_told('request \d+, the next of its order key, cannot be let go: .*lock timeout', '... are a stall');
let_go();
until_true('SELECT count(*) = 0 FROM domowf.queue', '... and are sent once nobody holds it');
is_no_stall('... which is no stall');
take_off('queue');

# too many at once for what temporary files may hold
value(q{ALTER SYSTEM SET temp_file_limit = 0; ALTER SYSTEM SET work_mem = '64kB'});
Domowf->until_taken_up($node) or die 'not taken up';
value(q{SELECT domowf_pause(); SELECT count(domowf_enqueue('it', jsonb_build_object('n', repeat(md5(i::text), 600)),
	run_at => now() + interval '1 d', expires_at => now() + interval '1 d')) FROM generate_series(1, 300) i});
value(q{UPDATE domowf.queue SET expires_at = now()});
until_true('SELECT count(*) = 0 FROM domowf.queue', 'what has no room at once expires one by one');
value(q{SELECT domowf_resume(); ALTER SYSTEM RESET temp_file_limit; ALTER SYSTEM RESET work_mem});
Domowf->until_taken_up($node) or die 'not taken up';

# ---- old rows of the log

my @old = map { enqueue("old $_", key => "'old $_'") } 1 .. 3;
is(outcomes(@old), 'done done done', 'some that grow old');
$holder->value(q{BEGIN; SELECT FROM domowf.key WHERE key = 'old 1' FOR UPDATE});
value(sprintf q{UPDATE domowf.log SET settled_at = now() - interval '60 d' WHERE id IN (%s)}, join ',', @old);
until_true("SELECT count(*) = 0 FROM domowf.log WHERE id IN ($old[1], $old[2])", 'a row whose key is locked keeps no other from being removed');
is($session->outcome(expiring('free')), 'expired', '... nor anything from expiring');
is_told("row $old[0] of domowf.log, which is old, cannot be removed: .*lock timeout", '... it is a stall');
let_go();
until_true("SELECT count(*) = 0 FROM domowf.log WHERE id = $old[0]", '... until nobody holds it');
is_no_stall('... which is no stall');

# what keeps one of the things that are done at times keeps no other
$holder->value(q{BEGIN; LOCK TABLE domowf.key IN SHARE MODE});
is_told('what has expired or is old cannot be looked at: it waits for a lock on table domowf.key, held by process ' . $holder->pid,
	'a table that is locked is told as that');
let_go();
is_no_stall('... and is none');

# ---- what polls tell

value(q{ALTER SYSTEM SET domowf.track_instances = on});
Domowf->until_taken_up($node) or die 'not taken up';
value(q{UPDATE domowf.workflow SET track = true});
$domo->set_states(undef, [ 'COMPLETED', 1 ]);
my @followed = map { enqueue($_) } 'held 5', 'followed';
is(outcomes(@followed), 'done done', 'two that are followed');
hang('note', 'UPDATE', 'log');
hold();
value('UPDATE domowf.tracked SET due = now()');
until_true("SELECT instance_status = 'COMPLETED' FROM domowf.log WHERE id = $followed[1]",
	'what a poll has told that waits for a lock keeps no other');
is_told('tracked instances cannot be written: .*lock timeout', '... it is a stall');
let_go();
until_true("SELECT instance_status = 'COMPLETED' FROM domowf.log WHERE id = $followed[0]",
	'... and is written when nobody holds it');
take_off('log');
value('UPDATE domowf.workflow SET track = false');

# ---- waits that are shortened when a worker begins; and what is returned

$session->set_worker('off');
my @wait = map { enqueue($_) } 'held 6', 'waits';
value(q{UPDATE domowf.queue SET failures = 1, run_at = now() + interval '1 h', due = now() + interval '1 h'});
hang('note', 'UPDATE', 'queue');
hold();
$session->configure('domowf.worker', 'on');
is($session->outcome($wait[1]), 'done', 'a wait whose row waits for a lock keeps no other from being shortened');
let_go();
take_off('queue');
value("SELECT domowf_retry($wait[0])");
is($session->outcome($wait[0]), 'done', '... it is sent later');

value(<<'END');
CREATE TABLE asked (id int PRIMARY KEY, state text);
CREATE TRIGGER go AFTER INSERT ON asked FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('it', 'n=id', 'state<-state');
CREATE FUNCTION note_return() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE public.mine SET at = now() WHERE n = 'held 7' AND NEW.returns_to->'values'->>0 = '1';
	RETURN NULL;
END $$
END
hang('note_return', 'UPDATE', 'return_entry');
hold();
value('INSERT INTO asked VALUES (1), (2), (3)');
until_true(q{SELECT count(*) = 2 FROM asked WHERE id > 1 AND state = 'done'},
	'what is to be returned and waits for a lock keeps no other');
is(value('SELECT state IS NULL FROM asked WHERE id = 1'), 't', '... it waits');
let_go();
until_true(q{SELECT state = 'done' FROM asked WHERE id = 1}, '... until nobody holds it');

take_off('return_entry');

# one that waits, and behind it one that is locked
value('ALTER SYSTEM SET domowf.returns = off');
Domowf->until_taken_up($node) or die 'not taken up';
value('DELETE FROM asked');
foreach my $n (1, 12, 13)
{
	value("INSERT INTO asked VALUES ($n)");
	until_true("SELECT count(*) = 1 FROM domowf.return_entry WHERE returns_to->'values'->>0 = '$n'", "$n is to be returned");
}
hang('note_return', 'UPDATE', 'return_entry');
hold();
$holder->value(q{SELECT FROM domowf.return_entry WHERE returns_to->'values'->>0 = '12' FOR UPDATE});
value('ALTER SYSTEM SET domowf.returns = on');
Domowf->until_taken_up($node) or die 'not taken up';
until_true(q{SELECT state = 'done' FROM asked WHERE id = 13}, 'one that waits and one that is locked keep no third');
let_go();
until_true(q{SELECT count(*) = 3 FROM asked WHERE state = 'done'}, '... and are returned once nobody holds them');

# ---- what is followed no longer, in great number

value(sprintf <<'END', $domo->url, $domo->token);
CREATE SERVER eu FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
CREATE USER MAPPING FOR PUBLIC SERVER eu OPTIONS (token '%s');
INSERT INTO domowf.workflow (name, model_id, version, message_name, track, server)
VALUES ('there', 'model', '1.0.0', 'Start it', true, 'eu');
CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.instance_id LIKE 'old %%' THEN
		UPDATE public.mine SET at = now() WHERE n = 'held 9';
	END IF;
	RETURN NULL;
END $$;
END
my $there = $session->enqueue('there', 'cut off');
is($session->outcome($there), 'done', 'one that is followed at a server');

# as many as that, of somebody, that have been started so long ago, in a lane of
# their own
my $lane = 0;

sub follow
{
	my ($number, $role, $age) = @_;

	return value(sprintf q{WITH n AS (SELECT nextval('domowf.request_id') AS id, g FROM generate_series(1, %s) g),
	l AS (INSERT INTO domowf.log (id, operation, outcome, origin, attempts, instance_id, requested_by,
			requested_by_oid, settled_at, batch)
		SELECT id, 'start', 'done', 'request', 1, 'old ' || g, current_user, current_user::regrole, now(),
			pg_current_xact_id() FROM n)
	INSERT INTO domowf.tracked (request_id, instance_id, lane, due, tries, started_at, server, server_owner,
			server_role)
		SELECT n.id, 'old ' || g, %s, now(), 0, now() - interval '%s', 'eu', srvowner, %s
		FROM n, pg_foreign_server WHERE srvname IN ('eu', 'us')}, $number, ++$lane, $age, $role);
}

hang('note_end', 'UPDATE', 'log');
hold();
follow(200, 4000000, '1 min');
until_true(q{SELECT count(*) > 0 FROM domowf.tracked WHERE error ~ 'was dropped'}, 'the role of many was dropped');
so_many_keep_nobody('many that cannot be ended');
is_told('request \d+, whose instance is followed no longer, cannot be written: .*lock timeout', '... are a stall');
let_go();
value('UPDATE domowf.tracked SET due = now()');
until_true(q{SELECT count(*) = 200 FROM domowf.log WHERE instance_id LIKE 'old %' AND error ~ 'was dropped'},
	'... and end once nobody holds it');
is_no_stall('... which is no stall');
value("DELETE FROM domowf.tracked WHERE request_id <> $there");
hold();
value('ALTER SERVER eu RENAME TO us');
follow(300, 'current_user::regrole', '8 days');
until_true(q{SELECT count(*) > 0 FROM domowf.tracked WHERE error ~ 'after 7 days'}, 'nobody can poll many');
so_many_keep_nobody('many that nobody can poll');
is_told('request \d+, whose instance is followed no longer, cannot be written: .*lock timeout', '... are a stall');
let_go();

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach $session, $holder;
$node->stop;
done_testing();
