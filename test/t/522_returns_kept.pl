
# A return that fails is kept: its error is shown, later outcomes of its request
# wait behind it, it is tried again whatever the clock does, and given up after
# domowf.log_retention; and what is written is what has changed, and no more.
# Exists because a row that is written out of order, or over what its user has
# written meanwhile, is worse than one that is written late.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WrongClock;

use constant HOUR => 3600;

# what a process that writes back is refused
Domowf->expect_in_log(qr/violates check constraint "mine"|could not identify an equality operator/);

# before the stand-in, whose times the servers read
my $clock = WrongClock->new;
my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '100ms'
domowf.max_attempts = 1
END
my $session = Domowf->session($node);
my ($id, $got);

# Each column that is written leaves a line, of whoever writes it.
$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('good', 'model', '1.0.0', 's'), ('bad', 'scenario:status:400', '1.0.0', 's'),
	('lost', 'scenario:status:500', '1.0.0', 's');
CREATE TABLE public.orders (id int PRIMARY KEY, kind text, instance text, state text,
	problem text, reply jsonb, note text);
CREATE TRIGGER good AFTER INSERT ON public.orders FOR EACH ROW WHEN (NEW.kind = 'good') EXECUTE FUNCTION
	domowf_trigger('good', 'n=id', 'instance<-id', 'state<-state', 'problem<-error', 'reply<-response');
CREATE TRIGGER bad AFTER INSERT ON public.orders FOR EACH ROW WHEN (NEW.kind = 'bad') EXECUTE FUNCTION
	domowf_trigger('bad', 'n=id', 'instance<-id', 'state<-state', 'problem<-error');
CREATE TRIGGER lost AFTER INSERT ON public.orders FOR EACH ROW WHEN (NEW.kind = 'lost') EXECUTE FUNCTION
	domowf_trigger('lost', 'n=id', 'instance<-id', 'state<-state', 'problem<-error');
CREATE TABLE public.wrote (n serial, id int, what text);
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.wrote (id, what) VALUES (NEW.id, concat_ws('=', TG_ARGV[0], to_jsonb(NEW)->>TG_ARGV[0]));
	RETURN NULL;
END $$;
CREATE TRIGGER w1 AFTER UPDATE OF instance ON public.orders FOR EACH ROW EXECUTE FUNCTION public.note('instance');
CREATE TRIGGER w2 AFTER UPDATE OF state ON public.orders FOR EACH ROW EXECUTE FUNCTION public.note('state');
CREATE TRIGGER w3 AFTER UPDATE OF problem ON public.orders FOR EACH ROW EXECUTE FUNCTION public.note('problem');
CREATE TRIGGER w4 AFTER UPDATE OF note ON public.orders FOR EACH ROW EXECUTE FUNCTION public.note('note');
CREATE TRIGGER w5 AFTER UPDATE OF kind ON public.orders FOR EACH ROW EXECUTE FUNCTION public.note('kind');
END

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub until_returned
{
	my ($name) = @_;

	return until_true('SELECT count(*) = 0 FROM domowf.return_entry', $name);
}

# What was written into an order since the last time, in order.
sub wrote
{
	my ($order) = @_;

	return $session->value("WITH d AS (DELETE FROM public.wrote WHERE id = $order RETURNING *)"
		  . q{ SELECT string_agg(regexp_replace(what, '^(instance|problem)=.*', '\1=x'), ' ' ORDER BY n) FROM d});
}

# Waits until a request that an order asks for is settled or in doubt; its id.
sub order
{
	my ($order, $kind) = @_;

	$session->value("INSERT INTO public.orders (id, kind) VALUES ($order, '$kind')");
	return asked($order);
}

sub asked
{
	my ($order) = @_;
	my $sql = "FROM (SELECT id, state, request->'data'->>'n' AS n FROM domowf.queue"
	  . " UNION ALL SELECT id, outcome, request->'data'->>'n' FROM domowf.log) q WHERE n = '$order'";

	$node->poll_query_until('postgres', "SELECT state NOT IN ('queued', 'sending') $sql") or die "no order $order";
	return $session->value("SELECT id $sql");
}

sub returns_of
{
	my ($request, $columns) = @_;

	return $session->value("SELECT string_agg(concat_ws(' ', $columns), ', ' ORDER BY e.id)"
		  . " FROM domowf.return_entry e WHERE request_id = $request");
}

# Lets what waits for its next try be tried now, and waits until it was.
sub tried_again
{
	my ($request) = @_;
	my $tries = $session->value("SELECT max(tries) FROM domowf.return_entry WHERE request_id = $request");

	$session->value("UPDATE domowf.return_entry SET due = now() WHERE request_id = $request AND tries = $tries");
	return $node->poll_query_until('postgres', "SELECT max(tries) > $tries AND bool_and(tries = 0 OR"
		  . " error <> 'the process that was at it ended') FROM domowf.return_entry WHERE request_id = $request");
}

# ---- in order

$session->value(q{ALTER TABLE public.orders ADD CONSTRAINT sure CHECK (state <> 'in_doubt') NOT VALID});
$id = order(1, 'lost');
until_true("SELECT error ~ 'check constraint \"sure\"' FROM domowf.returns WHERE request_id = $id", 'a check refuses it');
is($session->value("SELECT domowf_resolve($id, 'found')"), 't', 'meanwhile it is resolved');
ok(tried_again($id), 'the first one is tried again');
order(2, 'good');
until_true(q{SELECT state = 'done' FROM public.orders WHERE id = 2}, 'other rows are written');
is(returns_of($id, 'state, tries > 1, tries = 0'), 'in_doubt t f, done f t', 'but the later outcome waits behind the first');
is(wrote(1), '', '... nothing is written');
$session->value("UPDATE domowf.return_entry SET due = now() - interval '1 min' WHERE request_id = $id AND tries = 0");
ok(tried_again($id), '... even if it is due sooner');
is(returns_of($id, 'state, tries = 0'), 'in_doubt f, done t', '... it waits');
$session->value('ALTER TABLE public.orders DROP CONSTRAINT sure');
$session->value("SELECT domowf_retry_return($id)");
until_returned('both are written');
is(wrote(1), 'state=in_doubt problem=x instance=x state=done problem', '... in their order');
is($session->value('SELECT concat_ws(\' \', instance, state) FROM public.orders WHERE id = 1'), 'found done',
	'... so that the last one stands there');

# ---- given up

$session->value(q{ALTER TABLE public.orders ADD CONSTRAINT sure CHECK (state NOT IN ('in_doubt', 'rejected')) NOT VALID});
$id = order(3, 'bad');
until_true("SELECT error ~ 'sure' FROM domowf.returns WHERE request_id = $id", 'one that fails');
my $age = "UPDATE domowf.return_entry SET since = since - interval '31 d' WHERE request_id = $id";
$session->configure('domowf.log_retention', '0');
ok(Domowf->until_taken_up($node), 'nothing is removed');
$session->value($age);
ok(tried_again($id) && tried_again($id), '... a month old, it is tried');
$session->value('ALTER SYSTEM RESET domowf.log_retention; SELECT pg_reload_conf()');
until_true("SELECT next_try IS NULL FROM domowf.returns WHERE request_id = $id", 'it is given up after domowf.log_retention');
my $tries = returns_of($id, 'tries');
$session->value('ALTER TABLE public.orders DROP CONSTRAINT sure');
order(4, 'good');
until_true(q{SELECT state = 'done' FROM public.orders WHERE id = 4}, '... others go on');
is(returns_of($id, 'tries'), $tries, '... it is tried no more');
is($session->value(q{SELECT ok, detail ~ 'sure' FROM domowf_check() WHERE check_name = 'returns'}), 'f|t', '... and domowf_check() tells of it');
is($session->value("SELECT domowf_retry_return($id)"), 't', 'domowf_retry_return() brings it back');
until_returned('... it is written');
is($session->value('SELECT state FROM public.orders WHERE id = 3'), 'rejected', '... really');

# one that was given up does not come behind what was written since
$session->value(q{ALTER TABLE public.orders ADD CONSTRAINT sure CHECK (state <> 'in_doubt') NOT VALID});
$id = order(5, 'lost');
until_true("SELECT error ~ 'sure' FROM domowf.returns WHERE request_id = $id", 'another one that fails');
$session->value("UPDATE domowf.return_entry SET since = since - interval '31 d' WHERE request_id = $id");
until_true("SELECT next_try IS NULL FROM domowf.returns WHERE request_id = $id", '... is given up');
$session->value("SELECT domowf_resolve($id, 'later')");
until_true(q{SELECT state = 'done' FROM public.orders WHERE id = 5}, '... what comes later is written');
$session->value('ALTER TABLE public.orders DROP CONSTRAINT sure');
$session->value("SELECT domowf_retry_return($id)");
until_returned('... and nothing is left');
is($session->value('SELECT concat_ws(\' \', instance, state) FROM public.orders WHERE id = 5'), 'later done',
	'... nor written over it');

# it goes with its request
$session->value(q{ALTER TABLE public.orders ADD CONSTRAINT sure CHECK (state <> 'rejected') NOT VALID});
$id = order(6, 'bad');
until_true("SELECT error ~ 'sure' FROM domowf.returns WHERE request_id = $id", 'one more');
$session->value("UPDATE domowf.return_entry SET since = since - interval '31 d' WHERE request_id = $id");
until_true("SELECT next_try IS NULL FROM domowf.returns WHERE request_id = $id", '... is given up');
$session->value("UPDATE domowf.log SET settled_at = settled_at - interval '31 d' WHERE id = $id");
until_returned('... and goes with the row of the log');
$session->value('ALTER TABLE public.orders DROP CONSTRAINT sure');

# what is tried so late is not given up while it is tried for the first time
$session->value(q{ALTER TABLE public.orders ADD CONSTRAINT sure CHECK (id <> 70 OR state IS NULL) NOT VALID});
my $failed = order(70, 'bad');
until_true("SELECT error ~ 'sure' FROM domowf.returns WHERE request_id = $failed", 'one fails');
$session->configure('domowf.returns', 'off');
ok(Domowf->until_taken_up($node), 'nothing is written back');
$id = order(71, 'bad');
my $holder = Domowf->session($node);
$holder->value('BEGIN; SELECT id FROM public.orders WHERE id = 71 FOR UPDATE');
$session->value("UPDATE domowf.return_entry SET since = since - interval '31 d' WHERE request_id = $id;"
	  . "UPDATE domowf.log SET settled_at = settled_at - interval '31 d' WHERE id = $id");
until_true("SELECT count(*) = 0 FROM domowf.log WHERE id = $id", '... until even the row of the log is gone');
$session->configure('domowf.return_timeout', '1h');
$session->configure('domowf.returns', 'on');
until_true(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'domowf returns' AND wait_event_type = 'Lock'}, '... then it is, and waits');
$session->value("UPDATE domowf.return_entry SET since = since - interval '31 d' WHERE request_id = $failed");
until_true("SELECT next_try IS NULL FROM domowf.returns WHERE request_id = $failed", '... the one that has failed is given up');
$holder->value('COMMIT');
until_true(q{SELECT state = 'rejected' FROM public.orders WHERE id = 71}, '... and the late one is written');
$session->value("UPDATE domowf.log SET settled_at = settled_at - interval '31 d' WHERE id = $failed");
until_returned('... so that nothing is left');
$session->value('ALTER TABLE public.orders DROP CONSTRAINT sure; ALTER SYSTEM RESET domowf.return_timeout; SELECT pg_reload_conf()');

# ---- a clock that is set back

$session->value(q{ALTER TABLE public.orders ADD CONSTRAINT sure CHECK (state <> 'rejected') NOT VALID});
$clock->set(HOUR);
$id = order(7, 'bad');
until_true("SELECT error ~ 'sure' FROM domowf.returns WHERE request_id = $id", 'an hour ahead one fails');
$clock->set(0);
$session->value('ALTER TABLE public.orders DROP CONSTRAINT sure');
until_returned('set back, it is tried again all the same');
is($session->value('SELECT state FROM public.orders WHERE id = 7'), 'rejected', '... and written');
$clock->set(HOUR);
$session->configure('domowf.returns', 'off');
ok(Domowf->until_taken_up($node), 'off');
$id = order(8, 'good');
is(returns_of($id, 'tries'), 0, 'an hour ahead one is noted');
$clock->set(0);
$session->configure('domowf.returns', 'on');
until_returned('... which is not waited for');
is($session->value('SELECT state FROM public.orders WHERE id = 8'), 'done', '... either');

# ---- what somebody has changed by hand is no process's end

my %changed = (
	'{}' => 'relation of returns_to',
	'[]' => 'relation of returns_to',
	q(returns_to - 'key') => 'key of returns_to',
	q(returns_to - 'columns') => 'columns of returns_to',
	q(returns_to || '{"key": [null]}') => 'key of returns_to',
	q(returns_to || '{"fields": [{}]}') => 'fields of returns_to',
	q(returns_to || '{"columns": [0]}') => 'key or columns of returns_to');
my @changed = sort keys %changed;

$session->configure('domowf.returns', 'off');
ok(Domowf->until_taken_up($node), 'off again');
foreach my $n (0 .. $#changed)
{
	$id = order(90 + $n, 'good');
	$session->value("UPDATE domowf.return_entry SET returns_to = "
		  . ($changed[$n] =~ /^\W/ ? "'$changed[$n]'" : $changed[$n]) . " WHERE request_id = $id");
}
order(99, 'good');
$session->configure('domowf.returns', 'on');
ok( $node->poll_query_until('postgres',
		"SELECT string_agg(error, ', ' ORDER BY request_id) FROM domowf.returns",
		join(', ', map { "what is to be written cannot be read: $changed{$_}" } @changed)),
	'what cannot be read says what it is; others are written');
$session->value("DELETE FROM domowf.return_entry; DELETE FROM public.orders WHERE id >= 90");

# ---- a table that has become another one since

# Inserts a row, lets something be done before its outcome is written back, and
# waits for why it cannot be.
sub changed
{
	my ($table, $change, $error, $name) = @_;

	$session->value(<<"END");
CREATE TABLE public.$table (id int PRIMARY KEY, state text);
CREATE TRIGGER go AFTER INSERT ON public.$table FOR EACH ROW EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
END
	$session->configure('domowf.returns', 'off');
	ok(Domowf->until_taken_up($node), 'off once more');
	$session->value("INSERT INTO public.$table VALUES (1)");
	until_true('SELECT count(*) = 1 FROM domowf.return_entry', 'one is noted');
	$session->value($change);
	$session->configure('domowf.returns', 'on');
	return until_true("SELECT count(*) = 1 FROM domowf.returns WHERE error = '$error'", $name);
}

changed('doubled', 'ALTER TABLE public.doubled DROP CONSTRAINT doubled_pkey, DISABLE TRIGGER go; INSERT INTO public.doubled SELECT * FROM public.doubled',
	'table "doubled" has more than one row of the key', 'a key that two rows have is a failure');
is($session->value('SELECT count(*) FROM public.doubled WHERE state IS NULL'), 2, '... neither is written');
$session->value('DELETE FROM public.doubled WHERE ctid = (SELECT max(ctid) FROM public.doubled)');
$session->value('SELECT domowf_retry_return(request_id) FROM domowf.returns');
until_returned('... until there is one');
is($session->value('SELECT state FROM public.doubled'), 'done', '... which is written');
changed('unequal', 'ALTER TABLE public.unequal DROP CONSTRAINT unequal_pkey; ALTER TABLE public.unequal ALTER id TYPE json USING to_json(id)',
	'could not identify an equality operator for type json', 'so is one whose column has a type without an equality');
$session->value('ALTER TABLE public.unequal ALTER id TYPE int USING id::text::int; SELECT domowf_retry_return(request_id) FROM domowf.returns');
until_returned('... until it has one');
is($session->value('SELECT state FROM public.unequal'), 'done', '... and the row is written');

# ---- that it has failed cannot be written either

$session->value(q{ALTER TABLE public.orders ADD CONSTRAINT sure CHECK (id <> 80 OR state IS NULL) NOT VALID});
$session->value(q{ALTER TABLE domowf.return_entry ADD CONSTRAINT mine CHECK (error !~ 'sure') NOT VALID});
$id = order(80, 'good');
until_true("SELECT tries > 1 FROM domowf.return_entry WHERE request_id = $id", 'one whose failure cannot be written is tried again');
is(returns_of($id, 'error'), 'the process that was at it ended', '... and tells of no more');
order(81, 'good');
until_true(q{SELECT state = 'done' FROM public.orders WHERE id = 81}, '... others are written');
$session->value('ALTER TABLE domowf.return_entry DROP CONSTRAINT mine');
until_true("SELECT error ~ 'sure' FROM domowf.returns WHERE request_id = $id", '... when it can be it says why');
$session->value('ALTER TABLE public.orders DROP CONSTRAINT sure');
$session->value("SELECT domowf_retry_return($id)");
until_returned('... and it is written in the end');
$session->value('DELETE FROM public.orders WHERE id >= 80');

# ---- what has changed, and no more

$session->value('DELETE FROM public.wrote');
$session->value('SELECT domowf_pause()');
$session->value(q{INSERT INTO public.orders (id, kind, note, problem) VALUES (10, 'good', 'old', NULL), (11, 'good', 'old', 'mine'),
	(12, 'good', 'old', NULL), (13, 'bad', 'old', 'old')});
$session->value(q{UPDATE public.orders SET state = 'done', note = 'new' WHERE id = 12; DELETE FROM public.wrote});
$session->value('SELECT domowf_resume()');
until_returned('four orders');
asked($_) foreach 10 .. 13;
until_returned('... are written');
is(wrote(10), 'instance=x state=done', 'columns with another value are written, no others');
is(wrote(11), 'instance=x state=done problem', '... one that is set to NULL is');
is(wrote(12), 'instance=x', '... one that has its value is not');
is(wrote(13), 'state=rejected problem=x', '... nor one that stays NULL');
is($session->value(q{SELECT string_agg(note, ' ' ORDER BY id) FROM public.orders WHERE id IN (10, 12)}), 'old new',
	'what a user has written meanwhile stays');
$session->value(<<'END');
CREATE TABLE public.same (id int PRIMARY KEY, state text);
CREATE TRIGGER go AFTER INSERT ON public.same FOR EACH ROW EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
CREATE TRIGGER w AFTER UPDATE ON public.same FOR EACH ROW EXECUTE FUNCTION public.note('state');
INSERT INTO public.same VALUES (20, 'done');
END
asked(20);
until_returned('one that has all its values');
is(wrote(20), '', '... is not written');

# while its user writes another column of it
my $user = Domowf->session($node);
$session->value('SELECT domowf_pause()');
$session->value(q{INSERT INTO public.orders (id, kind, note) VALUES (14, 'good', 'old')});
$user->value(q{BEGIN; UPDATE public.orders SET note = 'newer', problem = 'mine' WHERE id = 14});
$session->value('SELECT domowf_resume()');
until_true(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'domowf returns' AND wait_event_type = 'Lock'}, 'a return that waits for its user');
$user->value('COMMIT');
until_returned('... goes on');
is($session->value(q{SELECT concat_ws(' ', state, note, problem) FROM public.orders WHERE id = 14}), 'done newer', '... with what he has written');

# ---- the reply

is($session->value(q{SELECT count(*) FROM public.orders WHERE reply IS NOT NULL AND reply->>'id' = instance}), 7, 'Domo\'s reply stands in rows');
$session->value(<<'END');
CREATE TABLE public.told (r jsonb);
CREATE FUNCTION public.tell(r domowf.request) RETURNS void LANGUAGE sql AS
	'INSERT INTO public.told SELECT to_jsonb(r) || jsonb_build_object($$response$$, l.response) FROM domowf.log l WHERE l.id = r.id';
UPDATE domowf.workflow SET on_settled = 'public.tell(domowf.request)' WHERE name = 'good';
END
order(30, 'good');
until_returned('a function is told');
is($session->value(q{SELECT r->'response'->>'id' = r->>'instance_id' FROM public.told}), 't', '... and finds the reply in the log');
$session->value('TRUNCATE public.told');
$session->configure('domowf.log_payload', 'off');
ok(Domowf->until_taken_up($node), 'no payload');
$session->value(q{INSERT INTO public.orders (id, kind, reply) VALUES (31, 'good', '1')});
until_true(q{SELECT instance IS NOT NULL FROM public.orders WHERE id = 31}, 'a row is written');
is($session->value('SELECT reply IS NULL FROM public.orders WHERE id = 31'), 't', '... without the reply');
until_returned('... and a function is told');
is($session->value(q{SELECT r->'state', r->'response' FROM public.told}), '"done"|null', '... without it');
is($session->value('SELECT count(*) FROM public.told, public.orders o WHERE o.id = 31 AND r::text ~ o.instance'), 1, '... but of the instance');
$session->value('ALTER SYSTEM RESET domowf.log_payload; SELECT pg_reload_conf()');
ok(Domowf->until_taken_up($node), 'with payload again');
$session->value(q{UPDATE domowf.workflow SET on_settled = NULL});

# ---- foreign keys

$session->value(<<'END');
CREATE TABLE public.states (state text PRIMARY KEY);
INSERT INTO public.states VALUES ('new');
CREATE TABLE public.fk (id int PRIMARY KEY, state text DEFAULT 'new' REFERENCES public.states);
CREATE TABLE public.late (id int PRIMARY KEY, state text DEFAULT 'new' REFERENCES public.states DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE public.parent (id int PRIMARY KEY, state text DEFAULT 'new' UNIQUE);
CREATE TABLE public.child (state text REFERENCES public.parent (state));
CREATE TABLE public.cascades (id int PRIMARY KEY, state text DEFAULT 'new' UNIQUE);
CREATE TABLE public.cascaded (state text REFERENCES public.cascades (state) ON UPDATE CASCADE);
DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY ARRAY['fk', 'late', 'parent', 'cascades'] LOOP
	EXECUTE format('CREATE TRIGGER go AFTER INSERT ON public.%I FOR EACH ROW EXECUTE FUNCTION
		domowf_trigger(''good'', ''n=id'', ''state<-state'')', t);
END LOOP; END $$;
SELECT domowf_pause();
INSERT INTO public.fk VALUES (41); INSERT INTO public.late VALUES (42);
INSERT INTO public.parent VALUES (43); INSERT INTO public.child VALUES ('new');
INSERT INTO public.cascades VALUES (44); INSERT INTO public.cascaded VALUES ('new');
SELECT domowf_resume();
END
foreach ([ 'fk', 'fk_state_fkey' ], [ 'late', 'late_state_fkey' ], [ 'parent', 'child_state_fkey' ])
{
	my ($table, $key) = @$_;

	until_true("SELECT count(*) = 1 FROM domowf.returns WHERE target ~ '\\y$table\$' AND tries > 1 AND error ~ 'violates foreign key constraint \"$key\"'",
		"a foreign key, $table: it fails, says why, and is tried again");
	is($session->value("SELECT state FROM public.$table"), 'new', '... nothing is written');
}
until_true(q{SELECT count(*) = 1 FROM public.cascaded WHERE state = 'done'}, 'one that cascades does');
$session->value(q{INSERT INTO public.states VALUES ('done'); DELETE FROM public.child});
until_returned('what was missing is there');
is($session->value('SELECT concat_ws($$ $$, (SELECT state FROM public.fk), (SELECT state FROM public.late), (SELECT state FROM public.parent))'),
	'done done done', '... and all are written');

is($domo->violations, 0, 'Domo has nothing to complain of');
done_testing();
